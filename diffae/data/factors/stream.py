"""Read parts of large files, even compressed ones, without unpacking them to the disk or to memory."""

import threading
import zipfile
import zlib
from math import prod
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from diffae.data import npz
from diffae.data.readers.zip_archive import start_of
from diffae.system.errors import UserError

PIECE = 1 << 16  # compressed bytes that are unpacked at once
STEP = 1 << 22  # unpacked bytes of a block
DEFLATE = -15  # zlib's `wbits` of an entry of a zip file
AGAIN = "download it again"


class Stream:
    """The bytes of a file from `start`, which zlib unpacks if they are `deflated`.

    They are unpacked in blocks of STEP bytes, and the state of zlib at the beginning of each block is
    kept. So each process unpacks the file once, up to the last block that it reads; after that, a read
    unpacks only the blocks that it needs.
    """

    def __init__(self, path: Path, start: int, deflated: bool):
        self.path, self.start, self.deflated = path, start, deflated
        self._lock = threading.Lock()
        # At the beginning of each block: the position in the file, and the state of zlib.
        self._states = [(start, zlib.decompressobj(DEFLATE))]
        self._number, self._block = -1, b""  # the block that was unpacked last

    def __reduce__(self) -> tuple[type["Stream"], tuple[Path, int, bool]]:
        # Other processes unpack the file themselves.
        return Stream, (self.path, self.start, self.deflated)

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes, or fewer at the end of the file. Raises UserError if the file is damaged."""
        try:
            with open(self.path, "rb") as file:
                if not self.deflated:
                    file.seek(self.start + offset)
                    return file.read(size)
                with self._lock:
                    first, last = offset // STEP, (offset + size - 1) // STEP
                    blocks = [self._unpacked(file, number) for number in range(first, last + 1)]
        except (OSError, zlib.error) as error:
            raise UserError(f"{self.path}: cannot be read ({error}); {AGAIN}") from None
        begin = offset - first * STEP
        return b"".join(blocks)[begin : begin + size]

    def _unpacked(self, file: IO[bytes], number: int) -> bytes:
        """Block `number`; empty after the end. Blocks before it are unpacked if its state is not known."""
        while self._number != number:
            current = min(number, len(self._states) - 1)
            place, kept = self._states[current]
            block, place, state = _unpack(file, place, kept.copy())
            self._number, self._block = current, block
            if current == len(self._states) - 1 and len(block) == STEP:
                self._states.append((place, state))
            elif current < number:
                return b""
        return self._block


def _unpack(
    file: IO[bytes], place: int, state: "zlib._Decompress"
) -> tuple[bytes, int, "zlib._Decompress"]:
    """At most STEP unpacked bytes from `place` of a file, and the place and state after them."""
    file.seek(place)
    unpacked = bytearray()
    while len(unpacked) < STEP and not state.eof:
        packed = file.read(PIECE)
        piece = state.decompress(packed, STEP - len(unpacked))
        unpacked += piece
        file.seek(file.tell() - len(state.unconsumed_tail))
        if not packed and not piece:
            break
    return bytes(unpacked), file.tell(), state


class StoredArray(NamedTuple):
    """An array of unsigned bytes in a file, of which single rows are read."""

    stream: Stream
    offset: int
    shape: tuple[int, ...]

    def row(self, index: int) -> np.ndarray:
        """Row `index`, uint8. Raises UserError if the file ends within it."""
        size = prod(self.shape[1:])
        content = self.stream.read(self.offset + index * size, size)
        if len(content) < size:
            raise UserError(f"{self.stream.path}: ends before image {index}; {AGAIN}")
        return np.frombuffer(content, np.uint8).reshape(self.shape[1:])


def array_in(path: Path, name: str) -> StoredArray:
    """An array of unsigned bytes in an npz file. Raises UserError for another or a damaged array."""
    with npz.opened(path, name) as (header, file):
        if header.dtype != np.uint8 or header.by_column:
            raise ValueError(f"it is {header}, not unsigned bytes by rows; {AGAIN}")
        offset = file.tell()
        with zipfile.ZipFile(path) as archive, open(path, "rb") as plain:
            entry = archive.getinfo(f"{name}.npy")
            stream = Stream(path, start_of(entry, plain), entry.compress_type != zipfile.ZIP_STORED)
    return StoredArray(stream, offset, header.shape)
