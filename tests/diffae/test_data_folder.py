"""A folder of images: which files count, their order, and what is refused."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from data_files import refuses
from PIL import Image
from refusal import refusal

from diffae.data import open_dataset
from diffae.data.__main__ import main
from diffae.data.partition import TEST, TRAIN, VALID
from diffae.data.readers.folder import find_images
from diffae.data.readers.sources import partition_of
from diffae.system.errors import UserError


def write_image(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16), (value, value, value)).save(path)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "holiday"
    for value, name in enumerate(["b.PNG", "a/z.jpg", "a/b/c.webp", "10.jpeg", "9.bmp"]):
        write_image(root / name, 50 * value)
    (root / "notes.txt").write_text("not an image")
    write_image(root / ".thumbnails" / "t.png")
    (root / "._b.png").write_bytes(b"resource fork of another system")
    return root


def test_images_of_every_suffix_sorted_by_relative_path(folder):
    assert find_images(folder).names == ("10.jpeg", "9.bmp", "a/b/c.webp", "a/z.jpg", "b.PNG")
    data = open_dataset(folder, 16)
    np.testing.assert_allclose(data.images(range(5))[:, 8, 8, 0], [150, 200, 100, 50, 0], atol=1)


SPLIT = {"any/Train/a.png": 0, "any/Train/test/b.png": 0, "any/val/c.png": 1, "any/test/d.png": 2}


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_folders_called_train_and_test_are_the_split(kind, tmp_path):
    """The outermost of such names decides; a folder like any other among them, and it is by image
    as ever.
    """
    root = tmp_path / "photographs"
    for name in SPLIT:
        write_image(root / name)
    path = root if kind == "folder" else Path(shutil.make_archive(root, "zip", root))
    data = open_dataset(path, 16)
    split = {
        data.name_of(i).removeprefix("entry "): int(data.partition[i]) for i in range(len(data))
    }
    assert (split, data.partition_source) == (SPLIT, "splits of the files")
    write_image(root / "more" / "e.png")
    path = root if kind == "folder" else Path(shutil.make_archive(root, "zip", root))
    assert open_dataset(path, 16).partition_source == "seeded by image 60/10/30, seed 0"


@pytest.mark.parametrize("train, valid", [(9, 0), (10, 1), (29, 2)])
def test_a_tenth_of_train_is_valid_and_the_rest_stays(train, valid):
    """Of nine images a tenth is none, not all of them."""
    partition, source = partition_of([TRAIN, TEST], [train, 3], seed=0)
    assert partition.tolist() == [TRAIN] * (train - valid) + [VALID] * valid + [TEST] * 3
    assert source == "splits of the files" + ", last 10 % of train as valid" * (valid > 0)


def test_links_are_followed_once_and_loops_end(folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    write_image(elsewhere / "linked.png")
    (folder / "more").symlink_to(elsewhere)
    (folder / "again").symlink_to(folder)
    (elsewhere / "back").symlink_to(folder)
    assert find_images(folder).names.count("more/linked.png") == 1
    assert len(find_images(folder).names) == 6


def test_a_link_to_itself_is_named(folder):
    (folder / "loop.png").symlink_to(folder / "loop.png")
    data = open_dataset(folder, 16)
    with pytest.raises(UserError, match=r"loop\.png: cannot (read|be read)"):
        data.images(range(len(data)))
    with pytest.raises(UserError, match=r"loop\.png: cannot (read|be read)"):
        _ = data.fingerprint


def test_missing_path(tmp_path):
    refuses(tmp_path / "nowhere", r"nowhere: no such folder or zip file", 16)
    os.mkfifo(tmp_path / "pipe.zip")
    refuses(tmp_path / "pipe.zip", r"pipe\.zip: a pipe, not a file", 8)
    (tmp_path / "notes.txt").touch()
    refuses(tmp_path / "notes.txt", r"notes\.txt: of no known format", 8)


def test_a_folder_without_images(tmp_path):
    (tmp_path / "scan.heic").touch()
    message = r"\(looked for png, jpg, jpeg, webp, bmp\); 1 other file: heic 1$"
    refuses(tmp_path, rf"^{tmp_path}: no images in this folder {message}", 16)


# ----------------------------------------------------------------------------------------------
# What is no data


def test_formats_that_are_not_read_are_counted(folder, capsys):
    for index in range(10):
        (folder / f"{index}.TIFF").touch()
    for name in ("a.gif", "a/b.gif", ".hidden.gif"):
        (folder / name).touch()
    line = "13 other files: tiff 10, gif 2, txt 1"
    assert open_dataset(folder, 16).left_out == (line,)
    main(["check", str(folder), "--size", "16"])
    assert f"left out     {line}\n" in capsys.readouterr().out
    archive = shutil.make_archive(folder, "zip", folder)
    assert open_dataset(archive, 16).left_out == (line,)


def write_run(folder, *more):
    """What `benchmarks.run` leaves in a run folder."""
    for name in ("pictures/a.png", "pictures/deep/b.png"):
        write_image(folder / name)
    for name in ("run.json", *more):
        (folder / name).write_text("{}")
    return folder


@pytest.mark.parametrize("begun", ["lock", "records.csv"])
def test_pictures_of_runs_are_no_data(folder, begun):
    """A second run on `--data .` measured 41 images, where the first had measured 40."""
    names = find_images(folder).names
    for run in ("runs/one", "runs/two"):
        write_run(folder / run, begun)
    assert len(open_dataset(write_run(folder.parent / "a run.json alone"), 16)) == 2
    assert find_images(folder).names == names and len(open_dataset(folder, 16)) == len(names)


def test_a_run_folder_is_refused_and_its_pictures_may_be_asked_for(tmp_path, capsys):
    run = write_run(tmp_path / "run", "records.csv")
    assert f"{run}: a run folder of diffae-bench" in refusal(main, capsys, "check", run)
    assert len(open_dataset(run / "pictures", 16)) == 2


def test_the_cache_is_no_data_unless_it_is_asked_for(folder, monkeypatch):
    names = find_images(folder).names
    monkeypatch.setenv("DIFFAE_CACHE", str(folder / "cache"))
    write_image(folder / "cache" / "data" / "portraits" / "000001.png")
    assert find_images(folder).names == names
    assert find_images(folder / "cache" / "data" / "portraits").names == ("000001.png",)
    assert len(find_images(folder / "cache").names) == 1
