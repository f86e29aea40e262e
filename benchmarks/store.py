"""The store: results of expensive work, one file a chunk, filed under what they depend on.

Work is a list of positions, cut into chunks of a fixed size. A key says everything that decides the result
(weights, data, transform, steps, seed, metric networks ...); its hash names a folder, and a finished chunk is
one npz file in it, written whole or not at all. So a killed run goes on where it stopped, a second run
computes nothing twice, and any number of processes can share the work: chunk i belongs to rank i mod world.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import diffae
from diffae import distributed

CHUNK = 64

Arrays = dict[str, np.ndarray]
Compute = Callable[[np.ndarray], Arrays]  # positions -> arrays, one row a position


def default_root() -> Path:
    """$DIFFAE_CACHE/store, or ~/.cache/diffae/store."""
    return Path(os.environ.get("DIFFAE_CACHE", Path.home() / ".cache" / "diffae")) / "store"


class Store:
    def __init__(self, root: Path):
        self.root = root

    def chunks(self, key: dict[str, Any], count: int, compute: Compute) -> Iterator[Arrays]:
        """Positions 0..count-1 in chunks, in order: computed by all ranks together, then read back.

        `key["work"]` names the kind of work in the folder's name and on the progress bar.
        """
        pieces = [(a, min(a + CHUNK, count)) for a in range(0, count, CHUNK)]
        mine = pieces[distributed.rank() :: distributed.world()]
        todo = [piece for piece in mine if not self._file(key, piece).exists()]
        if todo:
            title = " ".join(str(key[name]) for name in ("work", "system", "steps") if name in key)
            total = sum(stop - start for start, stop in todo)
            with tqdm(total=total, desc=title, unit="image", leave=False) as progress:
                for piece in todo:
                    self.chunk(key, piece, compute)
                    progress.update(piece[1] - piece[0])
        distributed.barrier()
        for piece in pieces:
            yield _read(self._file(key, piece))

    def chunk(self, key: dict[str, Any], piece: tuple[int, int], compute: Compute) -> Arrays:
        """The arrays of one chunk, read from its file or computed and filed."""
        path = self._file(key, piece)
        if not path.exists():
            _write(path, compute(np.arange(*piece)), key)
        return _read(path)

    def array(self, key: dict[str, Any], count: int, compute: Compute, name: str) -> np.ndarray:
        """One array of all chunks, joined: count x ..."""
        return np.concatenate([arrays[name] for arrays in self.chunks(key, count, compute)])

    def once(self, key: dict[str, Any], compute: Callable[[], Arrays]) -> Arrays:
        """Work that is not a list of positions: computed by the first rank, read by all."""
        if distributed.is_main():
            self.chunk(key, (0, 1), lambda _: compute())
        distributed.barrier()
        return _read(self._file(key, (0, 1)))

    def _file(self, key: dict[str, Any], piece: tuple[int, int]) -> Path:
        complete = {"version": diffae.__version__, **key}
        name = hashlib.sha256(json.dumps(complete, sort_keys=True).encode()).hexdigest()[:24]
        return self.root / f"{key['work']}-{name}" / f"{piece[0]:08d}-{piece[1]:08d}.npz"


def digest(array: np.ndarray) -> str:
    """SHA-256 of an array's content, for keys of work that depends on it."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def _write(path: Path, arrays: Arrays, key: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    note = path.parent / "key.json"
    if not note.exists():
        _replace(note, json.dumps(key, indent=1, sort_keys=True).encode())
    partial = path.with_name(f"{path.stem}.{os.getpid()}.partial")
    with open(partial, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    os.replace(partial, path)


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_bytes(data)
    os.replace(partial, path)


def _read(path: Path) -> Arrays:
    with np.load(path) as file:
        return {name: file[name] for name in file.files}
