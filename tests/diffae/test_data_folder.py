"""A folder of images: which files count, in which order, and what is refused."""

import shutil

import numpy as np
import pytest
from PIL import Image

from diffae.data import open_dataset
from diffae.data.folder import image_names
from diffae.errors import UserError


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
    assert image_names(folder) == ("10.jpeg", "9.bmp", "a/b/c.webp", "a/z.jpg", "b.PNG")
    data = open_dataset(folder, 16)
    np.testing.assert_allclose(data.images(range(5))[:, 8, 8, 0], [150, 200, 100, 50, 0], atol=1)


def test_a_folder_has_no_labels(folder):
    data = open_dataset(str(folder), 16)
    assert (data.name, data.attribute_names) == ("holiday", ())
    assert data.attributes is None and data.identities is None
    assert data.partition_source == "seeded by image 60/10/30, seed 0"


def test_links_are_followed_once_and_loops_end(folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    write_image(elsewhere / "linked.png")
    (folder / "more").symlink_to(elsewhere)
    (folder / "again").symlink_to(folder)
    (elsewhere / "back").symlink_to(folder)
    assert image_names(folder).count("more/linked.png") == 1
    assert len(image_names(folder)) == 6


def test_a_link_to_itself_is_named(folder):
    (folder / "loop.png").symlink_to(folder / "loop.png")
    data = open_dataset(folder, 16)
    with pytest.raises(UserError, match=r"loop\.png: cannot read"):
        data.images(range(len(data)))
    with pytest.raises(UserError, match=r"loop\.png: cannot read"):
        _ = data.fingerprint


def test_fingerprint_follows_names_and_content(folder, tmp_path):
    fingerprint = open_dataset(folder, 16).fingerprint
    moved = shutil.copytree(folder, tmp_path / "moved")
    assert open_dataset(moved, 32, crop="none", seed=5).fingerprint == fingerprint
    (moved / "b.PNG").rename(moved / "c.png")
    assert open_dataset(moved, 16).fingerprint != fingerprint


def test_fingerprint_of_many_files_sees_every_size(tmp_path):
    for index in range(300):
        write_image(tmp_path / f"{index:03d}.bmp")
    fingerprints = {open_dataset(tmp_path, 16).fingerprint}
    for index in range(8):  # one of these at least is not among the 256 that are read
        with (tmp_path / f"{index:03d}.bmp").open("ab") as file:
            file.write(b"\0")
        fingerprints.add(open_dataset(tmp_path, 16).fingerprint)
    assert len(fingerprints) == 9


def test_missing_path(tmp_path):
    with pytest.raises(UserError, match=r"nowhere: no such folder or zip file"):
        open_dataset(tmp_path / "nowhere", 16)


def test_a_file_is_not_a_folder(folder):
    with pytest.raises(UserError, match=r"b\.PNG: a file, not a folder"):
        open_dataset(folder / "b.PNG", 16)


def test_empty_folder(tmp_path):
    with pytest.raises(UserError, match=rf"{tmp_path}: no images in this folder"):
        open_dataset(tmp_path, 16)


def test_folder_without_images(tmp_path):
    (tmp_path / "README.md").write_text("text")
    with pytest.raises(UserError, match="looked for png, jpg, jpeg, webp, bmp"):
        open_dataset(tmp_path, 16)


def test_zero_byte_image_is_named(folder):
    path = folder / "a" / "empty.png"
    path.touch()
    data = open_dataset(folder, 16)
    with pytest.raises(UserError, match=rf"^{path}: cannot read this image"):
        data.batch(data.indices("all"))


@pytest.mark.parametrize(
    ("image_size", "crop", "message"), [(16, "middle", "crop 'middle'"), (4, None, "image size 4")]
)
def test_bad_settings_are_refused(folder, image_size, crop, message):
    with pytest.raises(UserError, match=message):
        open_dataset(folder, image_size, crop=crop)
