"""Read npz and npy files that may be damaged: headers are checked before anything is unpacked.

NumPy allocates as much memory as a header announces, and zipfile, zlib and NumPy raise a dozen kinds
of error for a damaged file. Here each becomes a UserError that names the file.
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

# Those that NumPy writes. With others, zipfile unpacks more bytes than are requested.
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class ArrayHeader:
    """The header of an array. The file holds exactly as many bytes as the header announces."""

    shape: tuple[int, ...]
    dtype: np.dtype
    by_column: bool

    def __str__(self) -> str:
        return f"{self.dtype} {self.shape}"


@contextmanager
def reading(path: Path, problem: str) -> Iterator[None]:
    """Any error within the block becomes a UserError with `path`, `problem` and the reason."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{path}: {problem}: {error or type(error).__name__}") from None


def names(path: Path) -> set[str]:
    """The names of the arrays of an npz file. Raises UserError for another or a damaged file."""
    file_size(path)  # opening a pipe would wait for a writer
    with reading(path, "not an npz file, or a damaged one"), zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            archive.open(name).close()  # compares the name in the directory with that at the entry
        arrays = [name.removesuffix(".npy") for name in archive.namelist()]
        refuse_duplicates(arrays, path, "array")  # zipfile would take the last
        return set(arrays)


@contextmanager
def opened(path: Path, name: str) -> Iterator[tuple[ArrayHeader, IO[bytes]]]:
    """The header of an array of an npz file, and a stream of its content.

    Raises UserError if the header is wrong, and for any error within the block.
    """
    names(path)
    with reading(path, f"{name} cannot be read"), zipfile.ZipFile(path) as archive:
        entry = archive.getinfo(f"{name}.npy")
        if entry.compress_type not in COMPRESSIONS:
            raise ValueError(f"compressed by method {entry.compress_type}; save it by np.savez")
        with archive.open(entry) as file:
            yield _header(file, entry.file_size), file


@contextmanager
def opened_npy(path: Path) -> Iterator[tuple[ArrayHeader, IO[bytes]]]:
    """As `opened`, for an npy file, which holds one array without a name."""
    size = file_size(path)
    with (
        reading(path, "not an npy file, or a damaged one; copy it again"),
        open(path, "rb") as file,
    ):
        yield _header(file, size), file


def _header(file: IO[bytes], size: int) -> ArrayHeader:
    """Read the header of an array; both together have `size` bytes.

    Raises ValueError if the header is wrong.
    """
    version = np.lib.format.read_magic(file)
    if version != (1, 0):  # for other versions, NumPy would read a header of any length
        raise ValueError(f"version {version} of NumPy's format")
    shape, by_column, dtype = np.lib.format.read_array_header_1_0(file)
    announced = file.tell() + prod(shape) * dtype.itemsize
    if dtype.hasobject or min(shape, default=0) < 0 or announced != size:
        pickled = "; objects are pickles: save numbers or text" if dtype.hasobject else ""
        raise ValueError(f"its header announces {dtype} {shape}, but has {size:,} bytes{pickled}")
    return ArrayHeader(shape, dtype, by_column)


def array(path: Path, name: str) -> NDArray:
    """A whole array of an npz file, or with an empty `name` that of an npy file.

    Raises UserError if the array and a copy in float64, which all callers make, do not fit into memory.
    """
    with opened(path, name) if name else opened_npy(path) as (header, file):
        count, size = prod(header.shape), header.dtype.itemsize
        fits(count * (size + max(size, 8)), f"{path}: {name or 'its array'}")
        flat = np.frombuffer(file.read(count * size), header.dtype)
        return flat.reshape(header.shape, order="F" if header.by_column else "C")
