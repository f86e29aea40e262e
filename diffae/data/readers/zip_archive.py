"""A zip file of images, in any folders: an export of FFHQ or LSUN, StyleGAN's and EDM's archives.

Nothing is unpacked to the disk. StyleGAN's `dataset.json` (labels) is not read.
"""

import lzma
import struct
import zipfile
from pathlib import Path
from typing import IO

from diffae.data.dataset import Dataset
from diffae.data.readers.folder import is_image, left_out_of, nothing_in
from diffae.data.readers.sources import EncodedImages, dataset_of, partition_of_folders
from diffae.data.transforms import DECODING_ERRORS
from diffae.system.errors import UserError, refuse_duplicates
from diffae.system.free_memory import fits

ENCRYPTED, UTF8 = 0x1, 0x800  # bits of an entry's flags
HEADER = struct.Struct("<26xHH")  # of an entry: the lengths of its name and of its extra field
LOCAL, END = b"PK\x03\x04", b"PK\x05\x06"  # how an entry and the record at the end begin
MANY = 0xFFFF  # the number of entries in that record if it is too large for the field
LONG_END = b"PK\x06\x06"  # how the record begins that has the number then

# zipfile raises RuntimeError for a password and, as NotImplementedError, for a rare compression, and
# OverflowError for a position that is beyond any file.
READING_ERRORS = (*DECODING_ERRORS, RuntimeError, OverflowError, lzma.LZMAError, zipfile.BadZipFile)


class ZipImages(EncodedImages):
    """The images of a zip file, sorted by name. The file is opened for each read."""

    def __init__(self, path: Path):
        self.root = path
        archive = read_directory(path)
        entries = [e.filename for e in archive.infolist() if e.file_size or not e.is_dir()]
        names = sorted(filter(is_image, entries))
        self.left_out = left_out_of(name for name in entries if not is_image(name))
        refuse_duplicates(names, path, "entry")
        self.entries = tuple(archive.getinfo(name) for name in names)

    def __len__(self) -> int:
        return len(self.entries)

    def where(self, index: int) -> str:
        return f"{self.root}, entry {self.entries[index].filename}"

    def name(self, index: int) -> bytes:
        return self.entries[index].filename.encode(errors="surrogateescape")

    def content(self, index: int) -> bytes:
        """The bytes of the image file, with its CRC checked by zipfile."""
        entry = self.entries[index]
        fits(entry.file_size, self.where(index))
        try:
            with self.root.open("rb") as file:
                file.seek(start_of(entry, file))
                packed, piece = zipfile.ZipExtFile(file, "r", entry), max(1, entry.file_size)
                # For these two methods, a read unpacks no more than `piece` bytes, whatever the entry
                # holds. For others it unpacks all that it reads from the file: 45 bytes may become 46 MB.
                if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    piece = packed.MIN_READ_SIZE = 64
                return b"".join(packed.read(piece) for _ in range(0, entry.file_size, piece))
        except READING_ERRORS as error:
            raise UserError(f"{self.where(index)}: damaged ({error}); copy it again") from error

    def files(self) -> list[tuple[str, Path]]:
        return [(self.root.name, self.root)]


def is_zip(path: Path) -> bool:
    return path.is_file() and (path.suffix.lower() == ".zip" or zipfile.is_zipfile(path))


def open_zip(path: Path, image_size: int, crop: str | None, seed: int) -> Dataset:
    """Open every image in the zip file. The split is made as for a folder of images."""
    source = ZipImages(path)
    if not source.entries:
        raise UserError(nothing_in(path, "zip file", source.left_out))
    for index, entry in enumerate(source.entries):
        if entry.flag_bits & ENCRYPTED:
            raise UserError(f"{source.where(index)}: encrypted; unpack it and give the folder")
    split = partition_of_folders([entry.filename for entry in source.entries], seed)
    return dataset_of(path, source, image_size, crop, split, source.left_out)


def start_of(entry: zipfile.ZipInfo, file: IO[bytes]) -> int:
    """The position in a zip file of the first byte of an entry's content.

    Raises BadZipFile if another entry is there, or none.
    """
    file.seek(entry.header_offset)
    header = file.read(HEADER.size)
    if not header.startswith(LOCAL) or len(header) < HEADER.size:
        raise zipfile.BadZipFile("no entry where the directory says")
    name_length, extra_length = HEADER.unpack(header)
    name = file.read(name_length).decode("utf-8" if entry.flag_bits & UTF8 else "cp437")
    if name != entry.orig_filename:
        raise zipfile.BadZipFile("another entry where the directory says")
    return file.tell() + int(extra_length)


def read_directory(path: Path) -> zipfile.ZipFile:
    """The directory of a zip file. Raises UserError if it is damaged or does not list all entries."""
    try:
        with zipfile.ZipFile(path) as archive:
            refuse_unlisted(path, archive)
            return archive
    except PermissionError:
        raise
    except READING_ERRORS as error:
        raise UserError(f"{path}: cannot read this zip file ({error}); copy it again") from error


def refuse_unlisted(path: Path, archive: zipfile.ZipFile) -> None:
    """Raise UserError if a zip file has entries that its directory does not list.

    A damaged length in the directory hides the entries that follow. If several zip files were put into
    one, only the entries of the last are listed.
    """
    entries = archive.infolist()
    first = min((entry.header_offset for entry in entries), default=0)
    with path.open("rb") as file:
        follows_another = first > 0 and file.read(len(LOCAL)) == LOCAL
        file.seek(archive.start_dir)
        directory = file.read()
    end = directory[directory.rindex(END) :]
    count, longer = int.from_bytes(end[10:12], "little"), directory.rfind(LONG_END)
    if count == MANY and longer >= 0:
        count = int.from_bytes(directory[longer + 32 : longer + 40], "little")
    complete = count in (len(entries), len(entries) % (MANY + 1), MANY)
    if not complete or follows_another or LOCAL in end:
        mend = "unpack it, or repair it with `zip -FF`"
        raise UserError(f"{path}: its directory does not list all entries; {mend}")
