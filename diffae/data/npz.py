"""npz and npy files from outside: what a header announces is checked before anything is unpacked.

NumPy allocates whatever a header says, and zipfile, zlib and NumPy raise a dozen kinds of error for a
damaged file. Here each is a UserError that names the file.
"""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from diffae.system.errors import UserError, refuse_duplicates
from diffae.system.files import file_size
from diffae.system.free_memory import fits

# Those that NumPy writes. Of others, zipfile unpacks more than it was asked for.
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class Header:
    """What the header of an array says; the file holds exactly as many bytes as it announces."""

    shape: tuple[int, ...]
    dtype: np.dtype
    by_column: bool

    def __str__(self) -> str:
        return f"{self.dtype} {self.shape}"


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Any error within the block becomes a UserError: `path`, `what` failed, and the reason."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{path}: {what}: {error or type(error).__name__}") from None


def names(path: Path) -> set[str]:
    """The names of the arrays of an npz file. Raises UserError if it is none, or a damaged one."""
    file_size(path)  # opening a pipe would wait for a writer
    with reading(path, "not an npz file, or a damaged one"), zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            archive.open(name).close()  # compares the two places where the archive has the name
        arrays = [name.removesuffix(".npy") for name in archive.namelist()]
        refuse_duplicates(arrays, path, "array")  # zipfile would take the last
        return set(arrays)


@contextmanager
def opened(path: Path, name: str) -> Iterator[tuple[Header, IO[bytes]]]:
    """The header of an array, and a stream of its content. Raises UserError if the header is wrong,
    and for any error within the block.
    """
    names(path)
    with reading(path, f"{name} cannot be read"), zipfile.ZipFile(path) as archive:
        entry = archive.getinfo(f"{name}.npy")
        if entry.compress_type not in COMPRESSIONS:
            raise ValueError(f"compressed by method {entry.compress_type}; save it by np.savez")
        with archive.open(entry) as file:
            yield _header(file, entry.file_size), file


@contextmanager
def opened_npy(path: Path) -> Iterator[tuple[Header, IO[bytes]]]:
    """The same of an npy file, which holds one array without a name."""
    size = file_size(path)
    with (
        reading(path, "not an npy file, or a damaged one; copy it again"),
        open(path, "rb") as file,
    ):
        yield _header(file, size), file


def _header(file: IO[bytes], size: int) -> Header:
    """The header of an array of `size` bytes with its header. Raises ValueError if it is wrong."""
    version = np.lib.format.read_magic(file)
    if version != (1, 0):  # of another, NumPy would read a header of any length
        raise ValueError(f"version {version} of NumPy's format")
    shape, by_column, dtype = np.lib.format.read_array_header_1_0(file)
    announced = file.tell() + prod(shape) * dtype.itemsize
    if dtype.hasobject or min(shape, default=0) < 0 or announced != size:
        pickled = "; objects are pickles: save numbers or text" if dtype.hasobject else ""
        raise ValueError(f"its header announces {dtype} {shape}, but has {size:,} bytes{pickled}")
    return Header(shape, dtype, by_column)


def array(path: Path, name: str) -> NDArray:
    """A whole array, without a name that of an npy file; check its header first.

    Raises UserError if the array and a copy in float64, which all callers make, do not fit into memory.
    """
    with opened(path, name) if name else opened_npy(path) as (header, file):
        count, size = prod(header.shape), header.dtype.itemsize
        fits(count * (size + max(size, 8)), f"{path}: {name or 'its array'}")
        flat = np.frombuffer(file.read(count * size), header.dtype)
        return flat.reshape(header.shape, order="F" if header.by_column else "C")
