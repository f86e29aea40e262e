"""Arrays of an npz file that may be anybody's: what it promises is looked at before anything is allocated for it."""

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np

from reports.reading import MEBIBYTE, Refused, read_bytes, short

LARGEST_FILE, LARGEST_UNPACKED = 512 * MEBIBYTE, 512 * MEBIBYTE
LARGEST_DIRECTORY = 16 * MEBIBYTE  # of the archive: the names and places of some 200,000 arrays
# What the zip module and zlib raise on a damaged file.
DAMAGE = (ValueError, OSError, EOFError, RuntimeError, struct.error, zlib.error, zipfile.BadZipFile)
# Version 1.0 of the format: numbers or text, in one dimension or none.
HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '([<|](?:f[248]|[iu][1248]|U[1-9]\d{0,8}))', "
    rb"'fortran_order': False, 'shape': \((\d{0,15},?)\), \} *\n",
    re.DOTALL,
)


def read_arrays(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of the npz file `path`, by name. Raises Refused naming the file.

    Only what NumPy writes is read: members that are stored or deflated and not encrypted, arrays of plain
    numbers or text in one or no dimension, as long as their header says.
    """
    content = read_bytes(path, LARGEST_FILE)
    try:
        _check_directory(content)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            _check_members(members)
            for member in members:
                yield member.filename.removesuffix(".npy"), _array(archive.read(member))
    except DAMAGE as error:
        raise Refused(f"{path}: not the influences of a run: {short(error)}") from None


def _check_directory(content: bytes) -> None:
    """The end of the archive says how large its directory is, which the zip module reads whole."""
    end = content.rfind(b"PK\5\6", max(0, len(content) - 65_557))
    if end < 0 or len(content) - end < 22:
        raise ValueError("it is cut short, or no npz file")
    (size,) = struct.unpack_from("<I", content, end + 12)
    if size > LARGEST_DIRECTORY:
        raise ValueError(f"a directory of {size:,} bytes, more than {LARGEST_DIRECTORY:,}")


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    names = {member.filename for member in members}
    if len(names) < len(members):
        raise ValueError("two arrays have one name")
    total = sum(member.file_size for member in members)
    if total > LARGEST_UNPACKED:
        raise ValueError(f"it unpacks to {total:,} bytes, more than {LARGEST_UNPACKED:,}")
    for member in members:
        if member.flag_bits & 1:
            raise ValueError(f"{short(member.filename, 40)} is encrypted")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{short(member.filename, 40)} has compression {member.compress_type}")


def _array(content: bytes) -> np.ndarray:
    """An array as `numpy.save` writes it. NumPy's own reader evaluates a header as Python, and allocates what it says."""
    match = HEADER.match(content)
    if match is None:
        raise ValueError(f"an array with another header: {short(content[10:80])}")
    dtype, shape = np.dtype(match[1].decode()), tuple(int(n) for n in match[2].split(b",") if n)
    promised, there = prod(shape) * dtype.itemsize, len(content) - match.end()
    if promised != there:
        raise ValueError(f"an array of {there:,} bytes whose header says {promised:,}")
    return np.frombuffer(content, dtype, offset=match.end()).reshape(shape)
