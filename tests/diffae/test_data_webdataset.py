"""WebDataset shards, written by Python's tarfile to the naming rules of the format."""

import io
import json
import os
import tarfile

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from diffae.data import open_dataset
from diffae.errors import UserError

PHOTO = Image.fromarray(load_sample_images().images[1])


def tile(index):
    return PHOTO.crop((9 * index, 5 * index, 9 * index + 48, 5 * index + 48))


def encoded(index):
    file = io.BytesIO()
    tile(index).save(file, "png")
    return file.getvalue()


def write_tar(path, entries, kind=tarfile.USTAR_FORMAT, mode="w"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode, format=kind) as archive:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def samples(numbers, label=None):
    for i in numbers:
        yield f"a.b/{i:04d}.png", encoded(i)
        if label is not None:
            yield f"a.b/{i:04d}.cls", str(label(i)).encode()


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_shards_in_order_with_their_classes(tmp_path, kind):
    write_tar(tmp_path / "faces" / "f-000001.tar", samples(range(6, 12), lambda i: i % 3), kind)
    write_tar(tmp_path / "faces" / "f-000000.tar", samples(range(6), lambda i: i % 3), kind)
    data = open_dataset(tmp_path / "faces", 48)
    assert (len(data), data.name, data.transform.crop) == (12, "faces", "center")
    order = np.random.default_rng(0).permutation(12)
    np.testing.assert_array_equal(data.images(order), [np.asarray(tile(i)) for i in order])
    assert data.attribute_names == ("class 0", "class 1", "class 2")
    np.testing.assert_array_equal(data.attributes, np.arange(12)[:, None] % 3 == np.arange(3))
    assert data.partition_source == "seeded by image 60/10/30, seed 0"
    assert data.name_of(7) == "f-000001.tar, entry a.b/0007.png"


@pytest.mark.parametrize("layout", ["{}-000.tar", "faces-{}-000.tar", "{}/000.tar"])
@pytest.mark.parametrize("case", [str.lower, str.title])
def test_the_split_of_shards(tmp_path, layout, case):
    """However the names are written: `Train` is no other word than `train`."""
    for split, numbers in (("train", range(20)), ("val", range(20, 23)), ("test", range(23, 25))):
        write_tar(tmp_path / "set" / layout.format(case(split)), samples(numbers))
    data = open_dataset(tmp_path / "set", 48)
    assert [len(data.indices(split)) for split in ("train", "valid", "test")] == [20, 3, 2]
    np.testing.assert_array_equal(data.images(data.indices("test"))[0], np.asarray(tile(23)))
    assert data.partition_source == "splits of the files"


def test_without_a_test_split_validation_is_test(tmp_path):
    for split, numbers in (("train", range(20)), ("validation", range(20, 23))):
        write_tar(tmp_path / "set" / f"{split}-0.tar", samples(numbers))
    data = open_dataset(tmp_path / "set", 48)
    assert data.indices("valid").tolist() == [18, 19] and len(data.indices("test")) == 3
    assert (
        data.partition_source
        == "splits of the files, validation as test, last 10 % of train as valid"
    )


def test_a_test_shard_without_images_is_no_test_split(tmp_path):
    write_tar(tmp_path / "set" / "test-0.tar", [("a.txt", b"")])
    for split, numbers in (("train", range(20)), ("val", range(20, 23))):
        write_tar(tmp_path / "set" / f"{split}-0.tar", samples(numbers))
    data = open_dataset(tmp_path / "set", 48)
    assert len(data.indices("test")) == 3 and "validation as test" in data.partition_source
    (tmp_path / "set" / "val-0.tar").unlink()
    data = open_dataset(tmp_path / "set", 48)
    assert data.partition_source == "seeded by image 60/10/30, seed 0"


def test_json_labels_and_what_is_no_image(tmp_path):
    entries = [
        ("0.png", encoded(0)), ("0.json", json.dumps({"label": 1, "url": "x"}).encode()),
        ("1.json", b"0"), ("1.png", encoded(1)),
        ("2.txt", b"a caption alone"), ("._0.png", b"a fork"),
    ]  # fmt: skip
    data = open_dataset(write_tar(tmp_path / "few.tar", entries), 48)
    assert (len(data), data.name, data.left_out) == (2, "few", ("1 samples without an image",))
    np.testing.assert_array_equal(data.attributes, [[False, True], [True, False]])


def test_classes_that_some_lack_are_left_out(tmp_path):
    entries = [*samples([0, 1], lambda i: i), *samples([2])]
    data = open_dataset(write_tar(tmp_path / "few.tar", entries), 48)
    assert data.attributes is None and data.left_out == ("the classes: 1 of 3 images have none",)


def test_the_fingerprint_follows_names_classes_and_bytes(tmp_path):
    one = write_tar(tmp_path / "a" / "0.tar", samples(range(4), lambda i: i))
    split = tmp_path / "b"
    write_tar(split / "0.tar", samples(range(2), lambda i: i))
    write_tar(split / "1.tar", samples(range(2, 4), lambda i: i))
    other = write_tar(tmp_path / "c" / "0.tar", samples(range(4), lambda i: 3 - i))
    prints = [open_dataset(path, 48).fingerprint for path in (one, split, other)]
    assert prints[0] == prints[1] != prints[2]


def test_two_images_in_a_sample_are_refused(tmp_path):
    path = write_tar(tmp_path / "a.tar", [("0.in.png", encoded(0)), ("0.out.png", encoded(1))])
    with pytest.raises(
        UserError, match=r"a\.tar, sample 0: 2 images \(in\.png, out\.png\), and one"
    ):
        open_dataset(path, 48)


def test_bad_tar_files_are_named(tmp_path):
    good = write_tar(tmp_path / "good.tar", samples(range(3), lambda i: i))
    cut = tmp_path / "cut.tar"
    cut.write_bytes(good.read_bytes()[:3000])
    with pytest.raises(
        UserError, match=rf"^{cut}: cannot read this tar file \(unexpected end of data"
    ):
        open_dataset(cut, 48)
    packed = write_tar(tmp_path / "packed.tar", samples([0]), mode="w:gz")
    with pytest.raises(
        UserError, match=rf"^{packed}: cannot read this tar file .*unpacked to \.tar"
    ):
        open_dataset(packed, 48)
    with pytest.raises(UserError, match=r"none\.tar: no images in these tar files"):
        open_dataset(write_tar(tmp_path / "none.tar", [("a.txt", b"")]), 48)
    twice = write_tar(tmp_path / "twice.tar", [("0.png", encoded(0))] * 2)
    with pytest.raises(UserError, match=r"twice\.tar"):
        open_dataset(twice, 48)
    path = write_tar(tmp_path / "word.tar", [("0.png", encoded(0)), ("0.cls", b"cat")])
    with pytest.raises(UserError, match=r"word\.tar, entry 0\.cls: not the number of a class"):
        open_dataset(path, 48)
    data = open_dataset(write_tar(tmp_path / "bad.tar", [*samples([0]), ("1.png", b"no")]), 48)
    with pytest.raises(UserError, match=r"bad\.tar, entry 1\.png: cannot read this image"):
        data.images([1])


def test_a_shard_that_is_cut_short_under_the_run(tmp_path):
    path = write_tar(tmp_path / "a.tar", samples(range(3)))
    data = open_dataset(path, 48)
    os.truncate(path, 600)
    with pytest.raises(UserError, match=r"a\.tar, entry a\.b/0002\.png: the file ends within it"):
        data.images([2])
