"""The LMDB files of DiffAE's authors: FFHQ, CelebA, CelebA-HQ, LSUN horse and bedroom.

    ffhq256.lmdb/data.mdb       "256-00000" to the bytes of an image file, "length" to a number

A key has the size of the image ("None": its original size) and its index, in five or seven digits.
Label files of CelebA or CelebA-HQ beside the `.lmdb` folder are used if they list as many images as
there are in the folder.
"""

import math
import os
import re
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from diffae.data.dataset import Dataset, LabelFields
from diffae.data.readers import celeba, label_files
from diffae.data.readers.celeba import default_crop, read_celeba_labels, read_celebahq_labels
from diffae.data.readers.folder import counted, describe_others
from diffae.data.readers.sources import EncodedImages, seeded
from diffae.data.transforms import Transform
from diffae.system.errors import UserError, needed
from diffae.system.files import file_size
from diffae.system.free_memory import fits

if TYPE_CHECKING:
    import lmdb

DATA_FILE, LOCK_FILE = "data.mdb", "lock.mdb"
KEY = re.compile(r"(None|\d+)-(\d+)")
# A meta page: the magic number, bytes of a page (in its first tree), number of the last page, transaction.
META, MAGIC = struct.Struct("<16xI20xI92xQQ"), 0xBEEFC0DE

_READING = threading.Lock()  # LMDB refuses to open a file twice in one process


@dataclass(frozen=True)
class LmdbImages(EncodedImages):
    """The images of an LMDB file. Image `i` has the key f"{resolution}-{i:0{digits}}"."""

    root: Path
    resolution: str
    digits: int
    length: int
    label_files: tuple[Path, ...] = ()

    def __len__(self) -> int:
        return self.length

    def where(self, index: int) -> str:
        return f"{self.root}, key {self.key(index)}"

    def key(self, index: int) -> str:
        return f"{self.resolution}-{index:0{self.digits}}"

    def content(self, index: int) -> bytes:
        """The bytes of the image file. Threads that call it wait for each other."""
        content = get(self.root, self.key(index))
        if content is None:
            raise UserError(f"{self.where(index)}: missing; download the file again")
        return content

    def files(self) -> Iterator[tuple[str, Path]]:
        yield DATA_FILE, self.root / DATA_FILE
        yield from ((path.name, path) for path in self.label_files)

    def heading(self) -> Iterator[bytes]:
        """What the fingerprint covers first: size and number of images, and the label files."""
        yield f"{self.resolution} {self.length}".encode()
        yield from super().heading()


def is_lmdb(path: Path) -> bool:
    return os.path.lexists(path / DATA_FILE)


def open_lmdb(path: Path, image_size: int, crop: str | None, seed: int) -> Dataset:
    """Open an LMDB folder, named "celeba" or "celeba-hq" by its label files, else after the folder.

    The default crop is "d2c" for CelebA at its original 178 x 218, else "center".
    """
    source = find_images(path)
    name = path.resolve().name.removesuffix(".lmdb")
    parent = Path(os.path.abspath(path)).parent  # if `path` is a link, the folder of the link
    split, fields = seeded(len(source), seed), LabelFields()
    if labels := find_labels(parent, len(source), seed):
        name, split, fields = labels.title(name), labels.split, labels.fields
        source = replace(source, label_files=labels.files)
    if crop is None:
        crop = default_crop(source.read(0)) if source.resolution == "None" else "center"
    transform, left_out = Transform(image_size, crop), describe_unread(source)
    left_out += describe_others(path, [path / DATA_FILE, path / LOCK_FILE])
    return Dataset(name, path, source, transform, *split, left_out=left_out, **fields)


def describe_unread(source: LmdbImages) -> tuple[str, ...]:
    """A line of text on images of other sizes, and on those beyond the `length` of the file."""
    with reading(source.root, "the keys") as transaction:
        entries = transaction.stat()["entries"]
    others, images = entries - 1 - len(source), counted(len(source), "image")
    if others <= 0:
        return ()
    read = f"the {images} of size {source.resolution} that its length counts"
    return (f"{others:,} of {entries:,} entries: not among {read}",)


def find_images(root: Path) -> LmdbImages:
    """The images of the largest size in the file. Raises `UserError` if it has no number of images."""
    length = get(root, "length") or b""
    if not length.isdigit() or len(length) > label_files.LONGEST_NUMBER or not int(length):
        raise UserError(f"{root}: no number under the key 'length'; download the file again")
    fits(64 * int(length), f"{root}: a split of {int(length):,} images")
    first_keys = list(first_of_each_size(root))
    if not first_keys:
        raise UserError(f"{root}: no keys like 256-00000; not an LMDB file of DiffAE's authors")
    side = {size: math.inf if size == "None" else int(size) for size, _ in first_keys}
    resolution, number = max(first_keys, key=lambda key: side[key[0]])
    source = LmdbImages(root, resolution, len(number), int(length))
    source.content(len(source) - 1)
    return source


def first_of_each_size(root: Path) -> Iterator[tuple[str, str]]:
    """Size and digits of the first key of each size, without reading every key."""
    with reading(root, "the keys") as transaction:
        cursor = transaction.cursor()
        has_key = cursor.first()
        while has_key:
            match = KEY.fullmatch(bytes(cursor.key()).decode("latin-1"))
            if match:
                yield match[1], match[2]
                has_key = cursor.set_range(f"{match[1]}.".encode())  # "." follows "-" in ASCII
            else:
                has_key = cursor.next()


def find_labels(folder: Path, count: int, seed: int) -> label_files.CelebaLabels | None:
    """Labels from a file in `folder` that lists `count` images."""
    for file, read in (
        (celeba.HQ_ATTRIBUTE_FILE, read_celebahq_labels),
        (celeba.ATTRIBUTE_FILE, read_celeba_labels),
    ):
        path = label_files.find_label_file(folder, file)
        if path is None or label_files.read_header(path, label_files.read_rows(path))[0] != count:
            continue
        labels = read(folder, seed)
        stems = [Path(image).stem for image in labels.names]
        numbers = file == celeba.HQ_ATTRIBUTE_FILE
        ordered = list(map(str, range(count))) if numbers else sorted(stems)
        for row, (stem, expected) in enumerate(zip(stems, ordered, strict=True)):
            if stem != expected:
                line = row + (2 if label_files.is_csv(path) else 3)
                problem = f"line {line}: {labels.names[row]} where {expected} belongs"
                raise UserError(f"{path}: {problem}; image i of an LMDB file is row i")
        return labels
    return None


def get(root: Path, key: str) -> bytes | None:
    with reading(root, f"key {key}") as transaction:
        value = transaction.get(key.encode())
        fits(len(value or b""), f"{root}, key {key}")
        return None if value is None else bytes(value)


@contextmanager
def reading(root: Path, part: str) -> Iterator["lmdb.Transaction"]:
    """A transaction. The file is open only within the block, so that processes share no handle.

    Any error of the library within the block becomes a UserError that names the `part` of the file.
    """
    lmdb = needed("lmdb", root, "lmdb")
    refuse_cut_short(root / DATA_FILE)
    try:
        with (
            _READING,
            lmdb.open(str(root), readonly=True, lock=False, readahead=False, create=False) as file,
            file.begin(buffers=True) as transaction,
        ):
            yield transaction
    except lmdb.Error as error:
        raise UserError(f"{root}, {part}: this LMDB file is damaged ({error})") from error


def refuse_cut_short(path: Path) -> None:
    """Raise UserError if the file is shorter than the newer of its two meta pages says.

    The library maps the file into memory, so the process would end (SIGBUS).
    """
    size = file_size(path)  # a pipe would block
    try:
        with path.open("rb") as file:
            first = META.unpack(file.read(META.size))
            file.seek(first[1])
            second = META.unpack(file.read(META.size))
    except struct.error:
        raise UserError(f"{path}: cannot open this LMDB file; download it again") from None
    if first[0] != MAGIC or second[:2] != first[:2] or first[1] < META.size:
        raise UserError(f"{path}: cannot open this LMDB file (it is none); download it again")
    _, page_size, last_page, _ = max(first, second, key=lambda meta: meta[-1])
    whole = (last_page + 1) * page_size
    if size < whole:
        raise UserError(f"{path}: {size} bytes of {whole}; the download is incomplete, repeat it")
