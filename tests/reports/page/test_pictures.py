"""The pictures of the page: exact images of a run's sheets, within the size limit."""

import base64
import io
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from runs import SCORES, two_systems

from diffae.sheet import Sheet
from diffae.sheet import write as write_sheet
from reports.page import pictures, write
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
    kind, _, data = image["src"].partition(";base64,")
    return kind, np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def test_images_are_those_of_the_sheet_to_the_pixel(run):
    pixels = torch.randint(0, 256, (4, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    rows = (pixels / 127.5 - 1).split(2)
    notes = [["", ""], ["SSIM 0.5", "SSIM 0.7"]]
    sheet_of(run, "a.png", rows, rows=("input", "output"), columns=("x", "y"), notes=notes)
    (figure,), _ = pictures_of(read([run]))
    kind, found = decoded(figure.images[1][0])
    assert kind == "data:image/png"
    assert np.array_equal(found, pixels[2].permute(1, 2, 0).numpy())
    image = figure.images[1][0]
    assert (image["width"], image["height"]) == (96, 96)  # six times, a whole number
    assert image["alt"] == "output, x, SSIM 0.5" and image["note"] == "SSIM 0.5"
    assert figure.sheet.columns == ("x", "y") and figure.sheet.rows == ("input", "output")


def test_what_has_no_room_is_named(run, monkeypatch):
    for i in range(4):
        sheet_of(run, f"{i}.png", [images(4, 32, i)])
    monkeypatch.setattr(pictures, "MOST_BYTES", 45_000)
    figures, left_out = pictures_of(read([run]))
    assert sum(figure.size for figure in figures) <= 45_000
    assert len(figures) == 2 and [line.split(":")[0] for line in left_out] == [
        "pictures/2.png (2.png)",
        "pictures/3.png (3.png)",
    ]


@pytest.mark.slow
def test_a_page_of_very_many_pictures_stays_under_ten_megabytes(run):
    noise = torch.randint(0, 256, (64, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    sheet_of(run, "00.png", (noise / 127.5 - 1).split(8))
    for i in range(1, 9):
        shutil.copy(run / "pictures/00.png", run / f"pictures/{i:02d}.png")
    write(run / "report.html", [run])
    assert 5e6 < (run / "report.html").stat().st_size < 10e6
    assert "no room on a page of 10 MB" in (run / "report.html").read_text(encoding="utf-8")


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


@pytest.mark.parametrize("whole", [False, True])
def test_a_sheet_may_say_which_rows_stand_for_all(run, whole):
    names = ("input", "drawn", "truth", "edit")
    sheet_of(run, "a.png", images(8, 8).split(2), rows=names, strip=[0, 3, 2])
    figures, _ = pictures_of(read([run]))
    strip = pictures.strip_of(figures, whole)
    assert strip["rows"] == [figures[0].images[place] for place in (0, 3, 2)]
    assert strip["caption"] == "a.png; from top to bottom: input, edit, truth"


def test_names_on_a_sheet_stay_text(run):
    name = "<script>alert(1)</script>"
    texts = {"title": name, "caption": name, "rows": (name,), "columns": (name,)}
    sheet_of(run, "a.png", [images(1, 8)], notes=[[name]], **texts)
    write(run / "report.html", [run])
    text = (run / "report.html").read_text(encoding="utf-8")
    assert name not in text and text.count("&lt;script&gt;alert(1)") >= 6


@pytest.mark.parametrize(
    ("side", "kind", "remark"),
    [(63, "png", ""), (64, "png", ""), (65, "jpeg", "kept as JPEG here"),
     (192, "jpeg", "kept as JPEG here"), (193, "jpeg", "shrunk from 193 to 192 px, kept as JPEG here")],
)  # fmt: skip
def test_images_beyond_64_px_are_kept_as_jpeg_and_those_beyond_192_are_shrunk(
    run, side, kind, remark
):
    sheet_of(run, "a.png", [images(1, side)])
    ((figure,), _) = pictures_of(read([run]))
    found, pixels = decoded(figure.images[0][0])
    assert (found, figure.remark) == (f"data:image/{kind}", remark)
    assert pixels.shape[:2] == (min(side, 192),) * 2
