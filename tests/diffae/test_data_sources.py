"""What the formats without labels share: the name of a data set, its crop, and splits by name."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_files import encode, refuses, write_files, write_idx, write_lmdb, write_tar, write_zip
from PIL import Image

from diffae.data import open_dataset
from diffae.data.readers.shards import classes_as_attributes
from diffae.data.readers.sources import split_of

KINDS = ("folder", "zip", "tar", "shards")
CELEBA = (178, 218)


def picture(size=(16, 16), format="PNG") -> bytes:
    return encode(Image.new("RGB", size, (9, 9, 9)), format)


def written(kind: str, place: Path, pictures) -> Path:
    """The data set of these images: a folder, or a file called as the folder would be."""
    entries = [(f"{i:03}.png", content) for i, content in enumerate(pictures)]
    if kind == "zip":
        return write_zip(place.with_name(f"{place.name}.zip"), entries)
    if kind == "tar":
        return write_tar(place.with_name(f"{place.name}.tar"), entries)
    if kind == "shards":
        return write_tar(place / "0.tar", entries).parent
    return write_files(place, entries)


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
def test_images_of_celebas_size_are_looked_for_in_eight_of_all(kind, place, seen, tmp_path):
    """Evenly spread from the first to the last."""
    sizes = [CELEBA if i == place else (24, 24) for i in range(30)]
    path = written(kind, tmp_path / "faces", map(picture, sizes))
    if seen:
        words = (
            "images of 178 x 218, as CelebA's, without attributes; give the folder with list_attr"
        )
        refuses(path, words, 16)
    assert open_dataset(path, 16, "center" if seen else None).transform.crop == "center"


FINGERPRINTS = {
    "folder": "8b77e23d29424979d457ed56bb108d49c999ba9028d56725b92d690c52486751",
    "zip": "8b77e23d29424979d457ed56bb108d49c999ba9028d56725b92d690c52486751",
    "tar": "4701cd364271d62b05a53687c8d10b76183c3c6e2cdd3d2293b5e5f275fdff84",
    "lmdb": "afba8ef127926edd7b6c2ff699f56cb25c8178a9b1af9766b38bb02269bdd7ce",
    "idx": "5672dc7e6ab7a839ce9dc780a8abb0d1789b4ab348cb8d34fc751868e17e74bf",
    "parquet": "a3365efdd65ef1f4ffe6fd7a96919c04db15ee6e692442140f27eb36853cbfa4",
}


@pytest.mark.parametrize("kind", FINGERPRINTS)
def test_the_fingerprint_that_results_are_kept_under_stays(kind, tmp_path):
    """Of three images in a format without compression, so that no encoder changes them."""
    pictures = [picture(format="BMP"), picture((24, 24), "BMP"), picture((8, 9), "BMP")]
    if kind == "lmdb":
        values = {f"16-{index:05d}": content for index, content in enumerate(pictures)}
        path = write_lmdb(tmp_path / "a.lmdb", values, 3)
    elif kind == "idx":
        part = np.arange(3 * 64).reshape(3, 8, 8), np.arange(3)
        path = write_idx(tmp_path / "idx", train=part, t10k=part)
    elif kind == "parquet":
        path = tmp_path / "a.parquet"
        pq.write_table(pa.table({"image": pictures, "label": [0, 1, 0]}), path)
    else:
        path = written(kind, tmp_path / "a", pictures)
    assert open_dataset(path, 8).fingerprint == FINGERPRINTS[kind]


@pytest.mark.parametrize(
    ("labels", "names", "expected"),
    [
        ([1, 0, 2], (), ("class 0", "class 1", "class 2")),
        ([1, 0], ("cat", "dog", "eel"), ("cat", "dog", "eel")),
        ([0, 1], ("crane", "owl", "crane"), ("crane (0)", "owl", "crane (2)")),
        ([0, -1, 1], (), "1 of 3 images have none"),
        ([0, 1000], (), "1 of 2 images have numbers up to 1,000, and 0 to 999 are read"),
        ([0, 1 << 40], (), f"1 of 2 images have numbers up to {1 << 40:,}, and 0 to 999 are read"),
        ([0], ["name"] * 1001, "1,001 classes, and at most 1,000 are read"),
    ],
)
def test_classes_are_attributes_or_it_is_said_why_not(labels, names, expected):
    """Of tar files and of columns; -1 is a class that is kept secret."""
    attributes = classes_as_attributes(np.array(labels, np.int64), names)
    if isinstance(expected, str):
        assert attributes == expected
    else:
        assert attributes["attribute_names"] == expected
        assert attributes["attributes"].argmax(axis=1).tolist() == labels


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
