"""`python -m diffae.data check`: what it prints, its contact sheet, its exit status."""

from functools import partial
from pathlib import Path

import in_process
import numpy as np
import pytest
from data_files import write_idx, write_rows
from PIL import Image
from refusal import refusal

import benchmarks.run
from diffae.data import open_dataset
from diffae.data.__main__ import main, sample_indices
from diffae.data.portraits import write_dataset
from diffae.system.errors import UserError
from reports.page.sheets import read_sheet

COUNT = 70


@pytest.fixture(scope="module")
def portraits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set") / "faces"
    write_dataset(folder, COUNT, 16, workers=1)
    return folder


@pytest.fixture
def folder(tmp_path):
    for index in range(300):
        Image.new("RGB", (12, 10), (index % 256, 0, 0)).save(tmp_path / f"{index:03d}.bmp")
    return tmp_path


def printed(capsys, *arguments):
    """Label to text, continuation lines joined."""
    main(["check", *map(str, arguments)])
    rows, label = {}, ""
    for line in capsys.readouterr().out.splitlines():
        assert len(line) <= 100 or " " not in line[13:]
        label = line[:13].strip() or label
        rows[label] = f"{rows.get(label, '')} {line[13:]}".strip()
    return rows


def test_everything_known_of_labelled_images(portraits, capsys):
    rows, data = printed(capsys, portraits), open_dataset(portraits, 64)
    assert rows["format"] == "CelebA"
    assert (rows["name"], rows["images"]) == ("faces", "70")
    assert (rows["first image"], rows["crop"]) == ("16 x 16", "center, then 64 x 64")
    count, shares = rows["attributes"].split(": ")
    assert count == "40"
    for text, name, share in zip(
        shares.split(", "), data.attribute_names, data.attributes.mean(axis=0), strict=True
    ):
        assert text == f"{name}={share:.3f}"
    people = len(set(data.identities))
    assert rows["identities"] == f"{people}, 0 of them in more than one split"
    assert rows["partition"] == "list_eval_partition.txt"
    train, valid, test = np.bincount(data.partition)
    assert rows["splits"] == f"train {train}, valid {valid}, test {test}"
    assert rows["decoded"] == "70 of 70 images, none damaged"


def test_people_in_several_splits_are_counted(portraits, tmp_path, capsys):
    names = [f"{i + 1:06d}.png" for i in range(4)]
    images = tmp_path / "img_align_celeba"
    images.mkdir()
    for name in names:
        (images / name).symlink_to(portraits / "img_align_celeba" / name)
    write_rows(tmp_path / "list_attr_celeba.txt", [4, "Male", *(f"{name} 1" for name in names)])
    write_rows(tmp_path / "list_eval_partition.txt", map("{} {}".format, names, "0012"))
    for identities, told in (("7789", "3, 0 of them"), ("7777", "1, 1 of them")):
        write_rows(tmp_path / "identity_CelebA.txt", map("{} {}".format, names, identities))
        assert printed(capsys, tmp_path)["identities"].startswith(told)


def test_images_without_labels(folder, capsys):
    rows = printed(capsys, folder, "--size", 8)
    assert rows["format"] == "folder of images"
    assert rows["attributes"].startswith("none; labels are read from class folders, labels.csv and")
    assert rows["identities"] == "none"
    assert rows["splits"] == "train 180, valid 30, test 90"
    assert rows["crop"] == "center, then 8 x 8"
    assert rows["decoded"] == "256 of 300 images, none damaged"


def test_enlarged_images_are_counted_and_left_out(folder, capsys):
    """Two of 300 are smaller than 10 px; the original of a copy is what counts, and a copy is without them too."""
    Image.new("RGB", (12, 9)).save(folder / "100.bmp")
    Image.new("RGB", (4, 12)).save(folder / "200.bmp")
    assert printed(capsys, folder, "--size", 9)["enlarged"] == "1 smaller than 9 px"
    assert printed(capsys, folder, "--size", 10)["enlarged"] == "2 smaller than 10 px"
    rows = printed(capsys, folder, "--size", 10, "--smallest", 10)
    assert (rows["images"], rows["enlarged"]) == ("298", "0 smaller than 10 px")
    assert rows["left out"] == "2 images smaller than 10 px"
    whole, kept = open_dataset(folder, 10), open_dataset(folder, 10).changed_by({"smallest": 10})
    large = [i for i in range(300) if i not in (100, 200)]
    assert (kept.images(range(298)) == whole.images(large)).all()
    assert (kept.partition == whole.partition[large]).all()
    out = folder.with_name("copy")
    for options, enlarged in (((), 2), (("--smallest", "10"), 0)):
        main(
            ["prepare", str(folder), f"{out}{enlarged}", "--size", "10", "--workers", "1", *options]
        )
        assert f"enlarged     {enlarged} smaller than 10 px" in capsys.readouterr().out
        assert open_dataset(Path(f"{out}{enlarged}"), 10).enlarged.sum() == enlarged
    with pytest.raises(UserError, match="--smallest 11: all images of .* the largest has 10 px"):
        main(["check", str(folder), "--smallest", "11"])


def test_padding_is_told(tmp_path, capsys):
    part = np.zeros((10, 28, 28)), np.zeros(10)
    write_idx(tmp_path, train=part, t10k=part)
    rows = printed(capsys, tmp_path, "--size", 64)
    assert (rows["format"], rows["first image"]) == ("IDX", "28 x 28")
    assert rows["crop"] == "padded to 32, center, then 64 x 64"
    assert rows["attributes"].startswith("10: class 0=1.000, class 1=0.000")


def test_a_damaged_image_of_the_sample_is_named(folder, tmp_path_factory):
    path = folder / f"{sample_indices(300)[100]:03d}.bmp"
    path.write_bytes(b"BM")
    cache = tmp_path_factory.mktemp("cache")
    result = in_process.command(main, "check", folder, "--size", 8, cache=cache)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith(f"error: {path}: cannot read this image")
    assert "folder of images" in result.stdout and "decoded" not in result.stdout


@pytest.mark.parametrize("sampled", [True, False])
def test_check_and_run_refuse_a_text_file_that_is_named_as_an_image(
    folder, tmp_path_factory, sampled
):
    """Of 300 images the sample of `check` has 256, and one image is measured by `run`."""
    number = set(sample_indices(300)) if sampled else set(range(300)) - set(sample_indices(300))
    for image in folder.iterdir():
        Image.new("RGB", (32, 32)).save(image)
    measured = np.flatnonzero(open_dataset(folder, 32).partition == 2)[:1]
    path = folder / f"{min(number - {*measured.tolist()}):03d}.bmp"
    path.write_text("not an image\n")
    cache = tmp_path_factory.mktemp("cache")
    words = (
        "reconstruction",
        "--systems",
        "dummy-constant",
        "--data",
        folder,
        "--profile",
        "smoke",
    )
    run = partial(in_process.command, benchmarks.run.main, *words, "--limit", 1)
    check = partial(in_process.command, main, "check", folder, "--size", 32)
    for ended in (check(cache=cache), run(cache=cache)):
        assert ended.returncode == 2
        assert ended.stderr.splitlines()[-1].startswith(
            f"error: {path}: cannot read this image (dam"
        )
    path.unlink()
    assert check(cache=cache).returncode == run(cache=cache).returncode == 0


def test_the_sample_is_fixed_and_spread():
    np.testing.assert_array_equal(sample_indices(5), range(5))
    indices = sample_indices(30_000)
    np.testing.assert_array_equal(indices, sample_indices(30_000))
    assert len(set(indices)) == 256 and (np.diff(indices) > 0).all()
    assert np.bincount(indices // 10_000).min() > 60


def test_the_sheet_shows_64_images_as_models_see_them(folder, tmp_path_factory, capsys):
    sheet = tmp_path_factory.mktemp("out") / "sheet"
    rows = printed(capsys, folder, "--size", 8, "--sheet", sheet)
    assert rows["sheet"] == str(sheet)
    shown = read_sheet(sheet)
    assert shown.lengths == (8,) * 8 and shown.about == {"images": 300}
    cells = np.stack([shown.cell(*divmod(place, 8)) for place in range(64)])
    sample = sample_indices(300)
    expected = sample[np.linspace(0, 255, 64).round().astype(int)] % 256
    np.testing.assert_array_equal(cells[:, 4, 4, 0], expected)
    assert (cells == cells[:, :1, :1]).all()


def test_a_sheet_that_cannot_be_written_is_named(folder, tmp_path_factory):
    sheet = tmp_path_factory.mktemp("out") / "missing" / "s.png"
    with pytest.raises(UserError, match=r"missing/s\.png: No such file.*another --sheet"):
        main(["check", str(folder), "--sheet", str(sheet)])


def test_a_sheet_takes_no_place_but_of_another_sheet(folder, tmp_path_factory, capsys):
    out = tmp_path_factory.mktemp("out")
    Image.new("RGB", (4, 4)).save(out / "holiday.png")
    (out / "thesis.png").write_text("years of work")
    (out / "link.png").symlink_to(folder / "000.bmp")
    (out / "folder.png").mkdir()
    before = (out / "holiday.png").read_bytes()
    for name in ("holiday.png", "thesis.png", "folder.png", "link.png"):
        line = refusal(main, capsys, "check", folder, "--size", 8, "--sheet", out / name)
        what = "is inside" if name == "link.png" else "exists"
        assert f"--sheet {out / name}: {what} " in line
    assert (out / "holiday.png").read_bytes() == before
    for size in (8, 16):
        main(["check", str(folder), "--size", str(size), "--sheet", str(out / "sheet.png")])
        assert read_sheet(out / "sheet.png").cell(7, 7).size == (size, size)
