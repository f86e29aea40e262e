"""Parts of large files, also of compressed ones, without unpacking them to the disk or to memory."""

import struct
import threading
import zipfile
import zlib
from bisect import bisect_right
from math import prod
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from diffae.system.errors import UserError

PIECE = 1 << 16  # compressed bytes that are unpacked at once
STEP = 1 << 24  # unpacked bytes after which the state of zlib is kept
PLAIN, ZIPPED, GZIPPED = 0, -15, 31  # zlib's `wbits`
WBITS = {zipfile.ZIP_STORED: PLAIN, zipfile.ZIP_DEFLATED: ZIPPED}
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
AGAIN = "download it again"


class _Place(NamedTuple):
    """Unpacked bytes from `begin`, and how it goes on: at `place` of the file, with a state of zlib."""

    begin: int
    piece: bytes
    place: int
    state: Any

    @property
    def end(self) -> int:
        return self.begin + len(self.piece)


class Stream:
    """The bytes of a file from `start`: as they are, or as zlib unpacks them by `wbits`.

    To read unpacked bytes somewhere, zlib goes on from the last state that was kept before them, so
    the file is unpacked once from its start in each process, and then at most STEP bytes at a time.
    """

    def __init__(self, path: Path, start: int = 0, wbits: int = PLAIN):
        self.path, self.start, self.wbits = path, start, wbits
        self._lock = threading.Lock()
        self._kept = [_Place(0, b"", start, zlib.decompressobj(wbits or ZIPPED))]
        self._last = self._kept[0]

    def __reduce__(self) -> tuple[type["Stream"], tuple[Path, int, int]]:
        return Stream, (self.path, self.start, self.wbits)  # what is kept stays in its process

    def read(self, offset: int, size: int) -> bytes:
        """So many bytes, fewer where the file ends. Raises UserError naming the file if it is damaged."""
        try:
            with open(self.path, "rb") as file:
                if self.wbits == PLAIN:
                    file.seek(self.start + offset)
                    return file.read(size)
                with self._lock:
                    return self._unpacked(file, offset, size)
        except (OSError, zlib.error) as error:
            raise UserError(f"{self.path}: cannot be read ({error}); {AGAIN}") from None

    def _unpacked(self, file: IO[bytes], offset: int, size: int) -> bytes:
        kept = self._kept[bisect_right(self._kept, offset, key=lambda one: one.begin) - 1]
        at = self._last if kept.begin <= self._last.begin <= offset else kept
        found = at.piece[offset - at.begin : offset - at.begin + size]
        while len(found) < size and not at.state.eof:
            file.seek(at.place)
            if not (packed := file.read(PIECE)):
                break
            state = at.state.copy()
            at = _Place(at.end, state.decompress(packed), at.place + len(packed), state)
            if at.end >= self._kept[-1].begin + STEP:
                self._kept.append(at._replace(begin=at.end, piece=b""))
            start = max(offset + len(found) - at.begin, 0)
            found += at.piece[start : start + size - len(found)]
        self._last = at
        return found


class StoredArray(NamedTuple):
    """An array of unsigned bytes in a file, of which single rows are read."""

    stream: Stream
    offset: int
    shape: tuple[int, ...]

    def row(self, index: int) -> np.ndarray:
        """Row `index`, uint8. Raises UserError if the file ends before it does."""
        size = prod(self.shape[1:])
        found = self.stream.read(self.offset + index * size, size)
        if len(found) < size:
            raise UserError(f"{self.stream.path}: ends before image {index}; {AGAIN}")
        return np.frombuffer(found, np.uint8).reshape(self.shape[1:])


def array_in(path: Path, name: str) -> StoredArray:
    """An array of unsigned bytes in an npz file. Raises UserError if it is none, or damaged."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
            entry = archive.getinfo(f"{name}.npy")
            read = HEADERS[np.lib.format.read_magic(file)]
            shape, by_column, dtype = read(file)
            offset = file.tell()
        with open(path, "rb") as plain:
            plain.seek(entry.header_offset + 26)
            start = entry.header_offset + 30 + sum(struct.unpack("<HH", plain.read(4)))
    except (OSError, ValueError, KeyError, EOFError, struct.error, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: {name} cannot be read ({error}); {AGAIN}") from None
    if dtype != np.uint8 or by_column or offset + prod(shape) != entry.file_size:
        raise UserError(f"{path}: {name} is {dtype} {shape} in {entry.file_size:,} bytes; {AGAIN}")
    if entry.compress_type not in WBITS:
        raise UserError(f"{path}: compressed by method {entry.compress_type}; save it by np.savez")
    return StoredArray(Stream(path, start, WBITS[entry.compress_type]), offset, shape)
