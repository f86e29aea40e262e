"""What the formats without labels share: the name of a data set, its crop, and splits by name."""

import io
from pathlib import Path

import pytest
from data_files import refuses, write_tar, write_zip
from PIL import Image

from diffae.data import open_dataset
from diffae.data.readers.sources import split_of

KINDS = ("folder", "zip", "tar", "shards")
CELEBA = (178, 218)


def picture(size=(16, 16)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (9, 9, 9)).save(file, "PNG")
    return file.getvalue()


def written(kind: str, place: Path, pictures) -> Path:
    """The data set of these images: a folder, or a file called as the folder would be."""
    entries = [(f"{i:03}.png", content) for i, content in enumerate(pictures)]
    if kind == "zip":
        return write_zip(place.with_name(f"{place.name}.zip"), entries)
    if kind == "tar":
        return write_tar(place.with_name(f"{place.name}.tar"), entries)
    if kind == "shards":
        write_tar(place / "0.tar", entries)
        return place
    place.mkdir(parents=True)
    for name, content in entries:
        (place / name).write_bytes(content)
    return place


@pytest.mark.parametrize("kind", KINDS)
def test_a_data_set_is_called_as_its_folder_or_its_file(kind, tmp_path, monkeypatch):
    """Without the file's last suffix, and whatever link leads there."""
    path = written(kind, tmp_path / "faces.v2", [picture()] * 3)
    assert open_dataset(path, 16).name == "faces.v2"
    link = tmp_path / f"latest{path.suffix if path.is_file() else '.1'}"
    link.symlink_to(path)
    assert open_dataset(link, 16).name == "faces.v2"
    monkeypatch.chdir(path if path.is_dir() else path.parent)
    assert open_dataset("." if path.is_dir() else path.name, 16).name == "faces.v2"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("place", "seen"), [(0, True), (12, True), (28, False), (29, True)])
def test_images_of_celebas_size_are_looked_for_in_eight_of_all(
    kind, place, seen, tmp_path, monkeypatch
):
    """Evenly spread from the first to the last; the message names labels above, from any folder."""
    sizes = [CELEBA if i == place else (24, 24) for i in range(30)]
    path = written(kind, tmp_path / "faces", map(picture, sizes))
    monkeypatch.chdir(tmp_path)
    if seen:
        refuses(path, r"images of 178 x 218, as CelebA's, without attributes; put list_attr", 16)
        (tmp_path / "list_attr_celeba.txt").write_text("")
        refuses(Path(path.name), f"give {tmp_path}, which has list_attr_celeba.txt", 16)
    assert open_dataset(path, 16, "center" if seen else None).transform.crop == "center"


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train-00000-of-00002.parquet", 0),
        ("a/train.tar", 0),
        ("TRAIN_0.tar", 0),
        ("faces-train2017.tar", 0),
        ("val-0.tar", 1),
        ("faces.valid.tar", 1),
        ("dev_3.tar", 1),
        ("a/Validation-0.tar", 1),
        ("val2014.tar", 1),
        ("test/000.tar", 2),
        ("faces_test2017-1.tar", 2),
        ("train/test-0.tar", 2),  # its own name before its folder's
        ("test/train-0.tar", 0),
        ("test/a/000.tar", None),  # the folder above alone
        ("contest-0.tar", None),
        ("training-0.tar", None),
        ("data/000.tar", None),
    ],
)
def test_the_split_in_the_name_of_a_shard(name, split):
    assert split_of(Path("set", name)) == split
