"""IDX files written exactly to the format, with torchvision as the reference."""

import gzip
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torchvision
import torchvision.transforms as T
from data_files import NO_FILES, idx_bytes, put_in_place_of, refuses, write_idx
from PIL import Image
from refusal import refused_file

from diffae.data import open_dataset

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
TRAIN, TEST = 40, 7


def write_folder(folder, side=28):
    """`TRAIN` + `TEST` random images with labels 0 to 9."""
    images = np.random.default_rng(0).integers(0, 256, (TRAIN + TEST, side, side))
    train, t10k = ((part, np.arange(len(part)) % 10) for part in np.split(images, [TRAIN]))
    return write_idx(folder, train=train, t10k=t10k)


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "FashionMNIST" / "raw")


@pytest.fixture
def oracle(folder):
    """Images (uint8 N x 28 x 28) and labels, both files, as torchvision reads them."""
    parts = [
        torchvision.datasets.FashionMNIST(folder.parents[1], train=train) for train in (True, False)
    ]
    images = np.concatenate([part.data.numpy() for part in parts])
    return images, np.concatenate([part.targets.numpy() for part in parts])


def test_pixels_and_classes_are_torchvisions(folder, oracle):
    images, labels = oracle
    data = open_dataset(folder, 28)
    np.testing.assert_array_equal(data.images(range(len(data))), np.stack([images] * 3, axis=3))
    np.testing.assert_array_equal(data.attributes.argmax(axis=1), labels)
    np.testing.assert_array_equal(data.attributes.sum(axis=1), 1)
    assert data.identities is None


@pytest.mark.parametrize(("side", "size"), [(28, 32), (28, 64), (48, 48)])
def test_small_images_have_a_black_border_before_they_are_resized(tmp_path, side, size):
    data = open_dataset(write_folder(tmp_path / "a", side), size)
    steps = [T.Pad(2)] * (side < 32) + [T.Resize(size), T.Grayscale(3)]
    for index in (0, 39, 46):
        expected = T.Compose(steps)(Image.fromarray(data.source.pixels[index]))
        np.testing.assert_array_equal(data.images([index])[0], np.asarray(expected))


def test_split_is_by_file(folder):
    data = open_dataset(folder, 32)
    np.testing.assert_array_equal(data.indices("train"), range(36))
    np.testing.assert_array_equal(data.indices("valid"), range(36, 40))
    np.testing.assert_array_equal(data.indices("test"), range(40, 47))
    assert data.partition_source == "IDX t10k as test, last 10 % of train as valid"


def test_class_names_come_from_the_folder(tmp_path):
    fashion = open_dataset(write_folder(tmp_path / "fashion-mnist"), 32)
    digits = open_dataset(write_folder(tmp_path / "mnist"), 32)
    assert fashion.name == "fashion-mnist"
    assert fashion.attribute_names == tuple(torchvision.datasets.FashionMNIST.classes)
    assert (digits.name, digits.attribute_names[3]) == ("mnist", "class 3")


def test_gzipped_or_not_is_the_same_data_set(folder, tmp_path):
    zipped = tmp_path / "zipped"
    zipped.mkdir()
    for path in folder.iterdir():
        (zipped / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    plain, packed = open_dataset(folder, 32), open_dataset(zipped, 32)
    np.testing.assert_array_equal(packed.images([1, 45]), plain.images([1, 45]))
    assert packed.fingerprint == plain.fingerprint


def test_a_gz_name_on_an_unpacked_file_is_read(folder):
    path = folder / "train-images-idx3-ubyte"
    path.rename(f"{path}.gz")
    assert len(open_dataset(folder, 32)) == TRAIN + TEST


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
DAMAGE = [
    (IMAGES, lambda b: b"", "it starts with \\)"),
    (IMAGES, lambda b: b"\0\0\x0d\x03" + b[4:], "not an IDX file of unsigned bytes"),
    (IMAGES, lambda b: b[:9], "it starts with 000008030000002800"),
    (IMAGES, lambda b: b[:-5], "promises 31360 bytes, but 31355 follow"),
    (IMAGES, lambda b: b + b"\0", "promises 31360 bytes, but more follow"),
    (IMAGES, lambda b: gzip.compress(b)[:-400], "cannot read this IDX file"),
    (IMAGES, lambda b: gzip.compress(b)[:20] + b"x" * 99, "takes .* of memory"),
    (IMAGES, lambda b: b[:4] + b"\xff" * 12 + b[16:], "takes .* of memory"),
    (LABELS, lambda b: idx_bytes(np.zeros(39)), "39 labels for 40 images"),
    (LABELS, lambda b: idx_bytes(np.full(40, 11)), "label 11 is not a class, 0 to 9"),
]


@pytest.mark.parametrize(("name", "damage", "message"), DAMAGE)
def test_damaged_files_are_named(folder, name, damage, message):
    path = folder / name
    path.write_bytes(damage(path.read_bytes()))
    refuses(folder, f"^{path}: .*{message}", 32)


def test_no_more_is_unpacked_than_the_header_promises(folder):
    """A bomb: 100 MB of zeros behind the images, in 100 kB."""
    path = folder / IMAGES
    path.write_bytes(gzip.compress(path.read_bytes() + bytes(100_000_000), 1))
    tracemalloc.start()
    refuses(folder, f"^{path}: .* promises 31360 bytes, but more follow", 32)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


def test_a_missing_file_is_named(folder):
    (folder / "t10k-labels-idx1-ubyte").unlink()
    refuses(folder, r"t10k-labels-idx1-ubyte\[\.gz\] is missing", 32)


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="apt-get install dataset-fashion-mnist")
def test_debians_fashion_mnist():
    data = open_dataset(DEBIAN, 32)
    assert data.name == "fashion-mnist"
    np.testing.assert_array_equal(np.bincount(data.partition), [54000, 6000, 10000])
    np.testing.assert_array_equal(data.attributes.sum(axis=0), 7000)
    np.testing.assert_array_equal(data.attributes[60000:].sum(axis=0), 1000)


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
@pytest.mark.parametrize("kind", NO_FILES)
def test_a_part_that_is_no_file_is_refused_by_name(folder, name, kind):
    """Without its first file the folder was none of IDX, and opened as one of images."""
    put_in_place_of(folder / name, kind)
    refused_file(lambda _: open_dataset(folder, 32), folder / name)
