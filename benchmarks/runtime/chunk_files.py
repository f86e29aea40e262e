"""The file of a chunk of the store: named arrays, with a seal that tells another chunk's file from its own."""

import io
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from benchmarks.runtime.calling import Arrays, is_count, share_of_counts
from diffae.system import cli
from diffae.system.files import Json, hash_of
from diffae.system.whole import write_whole

SEAL = "seal"  # the name of an array in each file

Piece = tuple[int, int]  # the positions of a chunk, from the first to before the second


def write(path: Path, arrays: Arrays, key: Mapping[str, Json]) -> None:
    """Write the arrays into a file, whole or not at all, and the key beside the first file of its folder."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays, **{SEAL: _seal(path, arrays)})  # type: ignore[arg-type]
    path.parent.mkdir(parents=True, exist_ok=True)
    note = path.parent / "key.json"
    if not note.exists():
        write_whole(note, json.dumps(dict(key), indent=1, sort_keys=True).encode())
    write_whole(path, buffer.getvalue())


def read(path: Path) -> Arrays | None:
    """The arrays of a file, or None if it is damaged or another chunk's."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if not np.array_equal(arrays.pop(SEAL), _seal(path, arrays)):
            raise ValueError("another chunk")
        return arrays
    except (OSError, EOFError, ValueError, KeyError, RuntimeError, BadZipFile, zlib.error):
        cli.say(f"{path}: damaged, computing it again")
        return None


def _seal(path: Path, arrays: Arrays) -> np.ndarray:
    """A hash of a chunk's key and positions, and of the names, types and shapes of its arrays.

    A file that was moved here, or whose arrays are others, does not match it.
    """
    forms = {name: (str(array.dtype), array.shape) for name, array in arrays.items()}
    digest = hash_of([path.parent.name, path.name, forms])
    return np.frombuffer(bytes.fromhex(digest), np.uint8)


def apart(computed: Arrays, group: list[Piece]) -> list[Arrays]:
    """Split the arrays of a group of chunks by chunk. A preview belongs to the first one."""
    if len(group) == 1:
        return [computed]
    first, count = group[0][0], group[-1][1] - group[0][0]
    places = [slice(start - first, stop - first) for start, stop in group]
    for name, array in computed.items():
        rows = len(array) if array.ndim else -1
        if not is_count(name) and rows not in (count, 0) and not (first == 0 < rows < count):
            raise ValueError(f"{name}: {array.shape} for {count} positions: give each a row")
    of = computed.items()
    return [{name: _share(name, array, at, count) for name, array in of} for at in places]


def _share(name: str, array: np.ndarray, place: slice, count: int) -> np.ndarray:
    """The rows of an array, of `count` positions, that belong to those at `place`."""
    if is_count(name):
        return share_of_counts(array, place, count)
    return array[place] if len(array) == count or place.start == 0 else array[:0]
