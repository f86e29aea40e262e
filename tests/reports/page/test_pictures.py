"""The pictures of the page: exact images of a run's sheets, within the size limit."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image
from runs import SCORES, two_systems

from diffae.sheet import Sheet
from diffae.sheet import write as write_sheet
from reports.page import pictures, write
from reports.page.close_ups import window
from reports.page.first_screen import MOST_IMAGES, picture_of
from reports.page.pictures import pictures_of
from reports.tables.build import read


@pytest.fixture
def run(tmp_path):
    folder = two_systems(tmp_path / "run", SCORES * 0.1)
    (folder / "pictures").mkdir()
    return folder


def images(count, size, seed=0):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def sheet_of(run, name, drawn, **more):
    about = {"benchmark": "reconstruction", "system": "DiffAE"}
    write_sheet(
        run / "pictures" / name, Sheet(**{"title": name, "about": about, "images": drawn} | more)
    )


def decoded(image):
    kind, _, data = image.stored.src.partition(";base64,")
    assert kind == "data:image/webp"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def test_images_are_those_of_the_sheet_to_the_pixel(run):
    pixels = torch.randint(0, 256, (4, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    rows = (pixels / 127.5 - 1).split(2)
    notes = [["", ""], ["SSIM 0.5", "SSIM 0.7"]]
    sheet_of(run, "a.png", rows, rows=("input", "output"), columns=("x", "y"), notes=notes)
    (figure,), _ = pictures_of(read([run]))
    assert np.array_equal(decoded(figure.images[1][0]), pixels[2].permute(1, 2, 0).numpy())
    image = figure.images[1][0]
    assert (image.width, image.height) == (96, 96)  # six times, a whole number
    assert image.alt == "output, x, SSIM 0.5" and image.note == "SSIM 0.5"
    assert figure.sheet.columns == ("x", "y") and figure.sheet.rows == ("input", "output")


def test_the_first_picture_has_each_system_then_what_the_code_alone_gives(run):
    """Systems that read other images than the first one are left out; no more images than fit."""
    inputs, other = images(10, 16), images(10, 16, seed=9)
    both = ("input", "x_T inverted", "x_T random")
    for seed, (system, rows, read_images) in enumerate([
        ("DiffAE", both, inputs), ("DDIM", ("input", "reconstruction"), inputs),
        ("resized", ("input", "reconstruction"), other),
    ]):  # fmt: skip
        drawn = [read_images, *(images(10, 16, 20 + 2 * seed + i) for i in range(len(rows) - 1))]
        about = {"benchmark": "reconstruction", "system": system}
        sheet_of(run, f"{system}.png", drawn, rows=rows, about=about)
    figures, _ = pictures_of(read([run]))
    picture = picture_of(figures)
    assert [row.heading for row in picture] == [
        "input", "DiffAE, code and inverted noise", "DDIM", "DiffAE, code alone",
    ]  # fmt: skip
    alone = next(f for f in figures if f.sheet.about["system"] == "DiffAE").images[2]
    assert picture[3].images == alone[:MOST_IMAGES] and len(alone) > MOST_IMAGES


def test_pictures_that_are_no_sheets_are_named(run):
    Image.new("RGB", (8, 8)).save(run / "pictures/old.png")
    (run / "pictures/broken.png").write_bytes(b"no picture")
    (run / "pictures/folder.png").mkdir()
    figures, left_out = pictures_of(read([run]))
    assert not figures
    assert [line.split(":")[0] for line in left_out] == [
        "pictures/broken.png",
        "pictures/folder.png",
        "pictures/old.png",
    ]
    write(run / "report.html", [run])
    assert "pictures/broken.png" in (run / "report.html").read_text(encoding="utf-8")


def test_names_on_a_sheet_stay_text(run):
    name = "<script>alert(1)</script>"
    texts = {"title": name, "caption": name, "rows": (name,), "columns": (name,)}
    sheet_of(run, "a.png", [images(1, 8)], notes=[[name]], **texts)
    write(run / "report.html", [run])
    text = (run / "report.html").read_text(encoding="utf-8")
    assert name not in text and text.count("&lt;script&gt;alert(1)") >= 6


def test_large_images_are_kept_at_full_size_and_small_ones_to_the_pixel(run):
    for side in (64, 65, 512, 513):
        sheet_of(run, f"{side:03d}.png", [images(1, side)])
    figures, _ = pictures_of(read([run]))
    remarks = [figure.remark for figure in figures]
    assert remarks == ["", "", "", "shrunk from 513 to 512 px"]
    for figure, side, shown in zip(figures, (64, 65, 512, 512), (128, 65, 128, 128), strict=True):
        pixels = decoded(figure.images[0][0])
        assert pixels.shape == (side, side, 3) and figure.images[0][0].width == shown
        assert np.array_equal(pixels, np.asarray(figure.sheet.cell(0, 0))) == (side == 64)


def test_close_ups_are_cut_where_the_error_is_largest_and_lose_nothing(run):
    """The worst image, and that of the middle error, beside five times the difference."""
    inputs = torch.zeros(5, 3, 200, 160)
    outputs = inputs.clone()
    for i, error in enumerate((0.4, 0.1, 0.3, 0.2, 0.05)):  # in [-1, 1]; of image 3 the middle
        outputs[i, :, 190 - i, 150] += error
    rows = {"rows": ("input", "decoded"), "notes": ()}
    sheet_of(run, "a.png", [inputs, outputs], title="DiffAE: reconstruction", **rows)
    worst = {"title": "DiffAE: the worst reconstructions", **rows}
    sheet_of(run, "b.png", [inputs[:1], outputs[:1]], **worst)
    figure = pictures_of(read([run]))[0][0]
    assert figure.sheet.rows == ("DiffAE",) and len(figure.images[0]) == 6
    original, output, error = (decoded(image).astype(int) for image in figure.images[0][3:])
    assert original.shape == (128, 128, 3)
    assert np.array_equal(error, np.clip(5 * abs(original - output), 0, 255))
    assert (output != original).any(-1).sum() == 1 and error.max() == 5 * 25
    whole = np.zeros((200, 160))
    whole[7, 3] = whole[150, 140] = 1.0
    whole[151, 20] = 1.5
    sums = {(x, y): whole[y : y + 128, x : x + 128].sum() for y in range(73) for x in range(33)}
    left, top, right, bottom = window(whole)
    assert sums[left, top] == max(sums.values()) and (right - left, bottom - top) == (128, 128)


def test_a_picture_that_is_shown_twice_is_in_the_page_once(run):
    shown = images(3, 16)
    for name in ("a.png", "b.png"):
        sheet_of(run, name, [shown])
    write(run / "report.html", [run])
    page = (run / "report.html").read_text(encoding="utf-8").partition('<section id="s1-')[2]
    assert page.count("data:image/webp") == 3 and page.count("<img ") == 6


def test_when_there_is_no_room_each_system_keeps_its_first_sheet(run, monkeypatch):
    for i, system in enumerate(("DiffAE", "DiffAE", "DDIM", "DDIM")):
        sheet_of(run, f"{i}.png", [images(4, 32, i)], about={"benchmark": "b", "system": system})
    monkeypatch.setattr(pictures, "MOST_SMALL", 45_000)
    figures, left_out = pictures_of(read([run]))
    assert sum(figure.new_size or 1 for figure in figures) == len(figures) == 2
    assert [figure.sheet.about["system"] for figure in figures] == ["DiffAE", "DDIM"]
    assert [line.split(":")[0] for line in left_out] == [
        "pictures/1.png (1.png)",
        "pictures/3.png (3.png)",
    ]
