"""The IDX format of MNIST and Fashion-MNIST, plain or gzipped, with the file names of Debian's package.

An IDX file is two zero bytes, a type (8: unsigned byte), the number of dimensions, each dimension
as a big-endian uint32, and the values.
"""

import gzip
import math
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from diffae.data.dataset import Dataset
from diffae.data.fingerprint import Survey, digest_parts
from diffae.data.partition import TEST, TRAIN
from diffae.data.readers.folder import describe_others
from diffae.data.readers.sources import partition_of
from diffae.data.transforms import Transform
from diffae.system.errors import UserError
from diffae.system.files import file_size
from diffae.system.free_memory import fits

UNSIGNED_BYTE = 8
CLASSES = 10
PADDED_SIZE = 32
FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


@dataclass(frozen=True)
class IdxImages:
    """An `ImageSource`: uint8 N x H x W grey images in memory, with their labels (uint8 N)."""

    root: Path
    pixels: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, index: int) -> Image.Image:
        return Image.fromarray(self.pixels[index]).convert("RGB")

    def where(self, index: int) -> str:
        return f"{self.root}, image {index}"

    def files(self) -> list[tuple[str, Path]]:
        """No files, since everything is in memory."""
        return []

    def look(self) -> Survey:
        """Survey the decompressed images and labels, so that gzipped and plain files are equal."""
        shape = str(self.pixels.shape).encode()
        parts = [shape, self.pixels.tobytes(), self.labels.tobytes()]
        side = min(self.pixels.shape[1:3])
        return Survey(digest_parts(parts), len(self), sides=((side, len(self)),))


def is_idx(path: Path) -> bool:
    return any(os.path.lexists(path / f"train-images-idx3-ubyte{suffix}") for suffix in ("", ".gz"))


def open_idx(path: Path, image_size: int, crop: str | None, seed: int) -> Dataset:
    """Open a folder of IDX files, with the ten classes as ten attributes.

    The last tenth of train is the valid split, and t10k is test, so `seed` is not used.

    28-pixel images are padded with black to 32, so that a UNet can halve them, and then resized. Only
    with `image_size` 28 they stay as they are.
    """
    pixels, labels, (train, test) = read_both(path)
    fashion = "fashion" in path.resolve().name.lower()
    side = max(pixels.shape[1:])
    pad_to = PADDED_SIZE if side < PADDED_SIZE and image_size != side else None
    transform = Transform(image_size, crop or "center", pad_to=pad_to)
    partition, _ = partition_of([TRAIN, TEST], [train, test], seed)
    split = (partition, "IDX t10k as test, last 10 % of train as valid")
    name = "fashion-mnist" if fashion else path.resolve().name
    names = FASHION_CLASSES if fashion else tuple(f"class {i}" for i in range(CLASSES))
    source, attributes = IdxImages(path, pixels, labels), labels[:, None] == np.arange(CLASSES)
    others = describe_others(path, path.glob("t*-ubyte*"))
    return Dataset(name, path, source, transform, *split, names, attributes, left_out=others)


def read_both(folder: Path) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Images, uint8 N x H x W, and N labels: those of train, then those of t10k; and both numbers."""
    train, train_labels = read_labelled(folder, "train")
    test, test_labels = read_labelled(folder, "t10k")
    if train.shape[1:] != test.shape[1:]:
        raise UserError(f"{folder}: train and t10k images differ in size")
    pixels, labels = np.concatenate([train, test]), np.concatenate([train_labels, test_labels])
    return pixels, labels, (len(train), len(test))


def read_labelled(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 N x H x W, and N labels of "train" or "t10k"."""
    images = read_idx(find_idx(folder, f"{part}-images-idx3-ubyte"), dimensions=3)
    path = find_idx(folder, f"{part}-labels-idx1-ubyte")
    labels = read_idx(path, dimensions=1)
    if images.size == 0:
        raise UserError(f"{folder}: the {part} file holds no images")
    if len(labels) != len(images):
        raise UserError(f"{path}: {len(labels)} labels for {len(images)} images")
    if labels.max() >= CLASSES:
        raise UserError(f"{path}: label {labels.max()} is not a class, 0 to {CLASSES - 1}")
    return images, labels


def find_idx(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if os.path.lexists(path):
            return path
    raise UserError(f"{folder / name}[.gz] is missing; four files are needed")


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """The uint8 array of an IDX file with that many dimensions; `UserError` if it is damaged.

    Its content decides whether it is gzipped: browsers unpack files and leave `.gz` in the name.
    """
    file_size(path)  # a pipe would block
    start = 4 + 4 * dimensions
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if zipped else path.open("rb") as file:
            header = file.read(start)
            expected = bytes([0, 0, UNSIGNED_BYTE, dimensions])
            if len(header) != start or not header.startswith(expected):
                kind = f"an IDX file of unsigned bytes in {dimensions} dimensions"
                raise UserError(f"{path}: not {kind} (it starts with {header.hex()})")
            shape = struct.unpack(f">{dimensions}I", header[4:])
            promised = math.prod(shape)
            fits(2 * promised + CLASSES * shape[0], path)  # train and t10k are joined
            data = file.read(promised + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot read this IDX file ({error})") from error
    if len(data) != promised:
        following = "more" if len(data) > promised else str(len(data))
        raise UserError(f"{path}: its header promises {promised} bytes, but {following} follow")
    return np.frombuffer(data, np.uint8).reshape(shape)
