"""The store: results of expensive work on disk, one file for each chunk, found by all that they
depend on.

The units of a job (job.py) are cut into chunks of a fixed size. Its key names everything that decides
the arrays (weights, data, transform, steps, seed, metric networks ...). The hash of the key names a
folder, and a finished chunk is one npz file in it, written whole or not at all. So a killed run resumes,
a second run computes nothing twice, and any number of processes can share the work: chunk i belongs
to rank i mod world. Neighbouring chunks may be computed together to fill a GPU; then every few
neighbours belong to a rank, and each chunk still has a file of its own. A file that is damaged, or
that is another's by its seal, is computed again.

A fresh store (`--fresh`) uses nothing from before the run: it computes every chunk again and
replaces its file, so that other runs read either the old or the new one. A fresh run that was
killed begins again.
"""

import fcntl
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from tqdm import tqdm

from benchmarks.core.job import Arrays, Job
from benchmarks.runtime import chunk_files
from benchmarks.runtime.calling import Clamped, is_count, without_counts
from benchmarks.runtime.chunk_files import Piece
from benchmarks.runtime.errors import agreeing
from benchmarks.systems.protocol.checked import Checked
from diffae.system import distributed
from diffae.system.errors import UserError
from diffae.system.files import LOCK, Json, cache_root, open_lock, writing
from diffae.system.whole import sweep

CHUNK = 64  # on a GPU also the batch size of every network, unless --batch-size says otherwise
FOLDER = re.compile(r".+-[0-9a-f]{24}")  # one key's
ELSEWHERE = "or set DIFFAE_CACHE to another folder"


def default_root() -> Path:
    """$DIFFAE_CACHE/store, or ~/.cache/diffae/store."""
    return cache_root() / "store"


class Store:
    """A store in the folder `root`; up to `together` neighbouring chunks are computed at once."""

    def __init__(self, root: Path, fresh: bool = False):
        self.root, self.fresh = root, fresh
        self.together = 1
        # is called for each chunk
        self.computed: Callable[[Job, int], None] = lambda job, units: None
        self._renewed: set[Path] = set()  # files of this run's own, in a fresh store
        self._whole: dict[Job, Arrays] = {}  # of jobs that others take, while these are read
        self._in_use: IO[str] | None = None

    def make(self) -> None:
        """Make the folder. Raises UserError if it cannot be made."""
        with writing(self.root, ELSEWHERE):
            self.root.mkdir(parents=True, exist_ok=True)

    def sweep(self) -> None:
        """Remove the partial files of killed processes, unless another run uses the store."""
        self.make()
        with writing(self.root, ELSEWHERE):
            self._in_use = open_lock(self.root / LOCK)
        # Where another run uses the store, or there are no locks, partial files stay: they do no harm.
        with suppress(OSError):
            fcntl.flock(self._in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
            partial = self.root.glob("*/*.partial")
            sweep(path for path in partial if FOLDER.fullmatch(path.parent.name))
        with suppress(OSError):
            fcntl.flock(self._in_use, fcntl.LOCK_SH)  # until this process ends

    def read_all(self, jobs: Sequence[Job]) -> list[Arrays]:
        """The arrays of each job; what is missing is computed. A job that several others take is read once."""
        try:
            return [self._taken(job) for job in jobs]
        finally:
            self._whole.clear()

    def read(self, job: Job) -> Arrays:
        """The arrays of all chunks of a job, joined; what is missing is computed. Memory holds the result and
        one more chunk.
        """
        if job.count == 0:
            return dict(job.empty)
        if job.count is None:
            return next(self.chunks(job))
        arrays: Arrays = {}
        filled: dict[str, int] = {}
        for (start, stop), chunk in zip(
            _pieces(0, job.count, job.chunk), self.chunks(job), strict=True
        ):
            for name, part in chunk.items():
                if is_count(name):
                    arrays[name] = arrays.get(name, 0) + part
                    continue
                if name in job.without or (job.names is not None and name not in job.names):
                    continue
                if start == 0:  # a preview has rows for the first positions only
                    rows = job.count if len(part) == stop else len(part)
                    arrays[name], filled[name] = np.empty((rows, *part.shape[1:]), part.dtype), 0
                place = arrays[name][filled[name] : filled[name] + len(part)]
                if (place.shape, place.dtype) != (part.shape, part.dtype):
                    form = f"{part.shape} {part.dtype}"
                    raise ValueError(f"{name}: {form} for {stop - start} positions")
                place[...] = part
                filled[name] += len(part)
        return {name: array[: filled.get(name)] for name, array in arrays.items()}

    def chunks(self, job: Job) -> Iterator[Arrays]:
        """Yield the chunks of a job in order. The ranks divide the missing ones among them; then every rank
        reads all, one by one.
        """
        count, ranks = 1 if job.count is None else job.count, distributed.world()
        pieces = _pieces(0, count, job.chunk)
        taken = list(_taken_by(job))
        if taken and self._lacks(job, pieces):
            for other in taken:  # every rank reads these, before each computes its chunks
                self._taken(other)
        size = min(self.together, -(-len(pieces) // ranks))  # so that every process has some
        groups = _neighbours(pieces, size)[distributed.rank() :: ranks]
        todo = [missing for group in groups for missing in self._missing(job, group)]
        with agreeing(), self._bar(job, todo) as bar:
            for group in todo:
                distributed.check()
                self._file_chunks(job, group)
                bar.update(group[-1][1] - group[0][0])
        self._renewed |= {self._path(job, piece) for piece in pieces}
        for piece in pieces:
            yield self._chunk(job, piece)

    def rows(self, job: Job, positions: Sequence[int]) -> Arrays:
        """The rows of a job at a few positions, of which the chunks are read one by one."""
        rows: list[Arrays] = []
        for position in positions:
            start = position - position % CHUNK
            chunk = self._rows(job, start, min(start + CHUNK, job.count or 1))
            at = slice(position - start, position - start + 1)
            rows.append({name: array[at] for name, array in chunk.items()})
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

    def pieces(self, job: Job) -> dict[Piece, bool]:
        """The chunks of a job, and whether each is in the store."""
        pieces = _pieces(0, 1 if job.count is None else job.count, job.chunk)
        if self._lacks_all(job):
            return dict.fromkeys(pieces, False)
        return {piece: self._has(self._path(job, piece)) for piece in pieces}

    def _lacks_all(self, job: Job) -> bool:
        """Whether no chunk of a job is stored, which is found sooner than for each of thousands."""
        return not (self.root / job.folder).exists()

    def _taken(self, job: Job) -> Arrays:
        """The arrays of a job, which are kept while those that take it are read."""
        for other, arrays in self._whole.items():
            if other.is_same(job):
                return arrays
        self._whole[job] = self.read(job)
        return self._whole[job]

    def _lacks(self, job: Job, pieces: list[Piece]) -> bool:
        """Whether any rank lacks a chunk; all ranks answer alike."""
        lacks = not all(self._has(self._path(job, piece)) for piece in pieces)
        return distributed.agree("lacks" if lacks else None) is not None

    def _bar(self, job: Job, todo: list[list[Piece]]) -> Any:
        named = [
            job.work,
            *(job.decides[name] for name in ("system", "steps") if name in job.decides),
        ]
        title, unit = " ".join(map(str, named)), "part" if job.chunk else "image"
        total = sum(group[-1][1] - group[0][0] for group in todo)
        off = not (todo and distributed.is_main())
        return tqdm(total=total, desc=title, unit=unit, leave=False, disable=off or None)

    def _missing(self, job: Job, pieces: list[Piece]) -> list[list[Piece]]:
        """Those of the chunks that have no file, in groups of neighbours to be computed together."""
        missing = [piece for piece in pieces if not self._has(self._path(job, piece))]
        return _neighbours(missing, self.together)

    def _rows(self, job: Job, start: int, stop: int) -> Arrays:
        """The rows of a job at these positions, the first of which begins a chunk."""
        # a chunk is read and stored whole, also where fewer rows are wanted
        whole = stop + -stop % CHUNK
        pieces = _pieces(start, min(whole, stop if job.count is None else job.count))
        for group in self._missing(job, pieces):
            self._file_chunks(job, group)
        chunks = [without_counts(self._chunk(job, piece)) for piece in pieces]
        joined = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
        return {name: array[: stop - start] for name, array in joined.items()}

    def _chunk(self, job: Job, piece: Piece) -> Arrays:
        """The arrays of one chunk, read from its file; computed and stored first if there is none."""
        path = self._path(job, piece)
        arrays = self._get(path) if self._has(path) else None
        if arrays is None:
            self._file_chunks(job, [piece])
            # not what was computed: what is read has one memory layout, whoever computed it
            arrays = self._get(path)
        if arrays is None:
            raise UserError(f"{path}: cannot be read back; check the disk, {ELSEWHERE}")
        return arrays

    def _file_chunks(self, job: Job, group: list[Piece]) -> None:
        """Compute neighbouring chunks together and store each in its file."""
        start, stop = group[0][0], group[-1][1]
        first, last = job.rows_each * start, job.rows_each * stop
        rows = [self._rows(other, first, last) for other in job.rows_of]
        taken = [without_counts(self._taken(other)) for other in job.takes]
        outside = job.system.outside if isinstance(job.system, Checked) else Clamped()
        outside.take()  # of this computation alone
        computed = job.compute(np.arange(start, stop), *rows, *taken) | outside.take()
        for piece, arrays in zip(group, chunk_files.apart(computed, group), strict=True):
            path = self._path(job, piece)
            self._put(path, arrays, job.key)
            self._renewed.add(path)
            self.computed(job, piece[1] - piece[0])

    def _put(self, path: Path, arrays: Arrays, key: Mapping[str, Json]) -> None:
        with writing(self.root, ELSEWHERE):
            chunk_files.write(path, arrays, key)

    def _get(self, path: Path) -> Arrays | None:
        """The arrays of a chunk's file, or None if it is damaged or another's."""
        return chunk_files.read(path)

    def _has(self, path: Path) -> bool:
        """Whether there is a file that may be read instead of computing."""
        return path.exists() and (not self.fresh or path in self._renewed)

    def _path(self, job: Job, piece: Piece) -> Path:
        return self.root / job.folder / "{:08d}-{:08d}.npz".format(*piece)


class MemoryStore(Store):
    """A store in memory, for a run that writes nothing. Each process computes everything for itself."""

    def __init__(self) -> None:
        super().__init__(Path("memory"))
        self._kept: dict[Path, Arrays] = {}

    def make(self) -> None:
        """Nothing to make."""

    def sweep(self) -> None:
        """Nothing to remove."""

    def _lacks_all(self, job: Job) -> bool:
        return False  # each is soon found

    def _has(self, path: Path) -> bool:
        return path in self._kept

    def _put(self, path: Path, arrays: Arrays, key: Mapping[str, Json]) -> None:
        # copies, in one memory layout, as they are read from a file
        self._kept[path] = {name: np.array(array, order="C") for name, array in arrays.items()}

    def _get(self, path: Path) -> Arrays | None:
        kept = self._kept.get(path)
        return None if kept is None else {name: array.copy() for name, array in kept.items()}


def preview_of(job: Job) -> Job:
    """The preview of a job alone, which its first chunk has."""
    count = min(job.count or 0, CHUNK)
    return replace(job, count=count, names=("preview",), without=())


def _pieces(start: int, stop: int, chunk: int | None = None) -> list[Piece]:
    size = chunk or CHUNK
    return [(a, min(a + size, stop)) for a in range(start, stop, size)]


def _taken_by(job: Job) -> Iterator[Job]:
    """The jobs whose whole arrays a job needs, or those do whose rows it takes."""
    yield from job.takes
    for other in job.rows_of:
        yield from _taken_by(other)


def _neighbours(pieces: list[Piece], most: int) -> list[list[Piece]]:
    """Split chunks, in order, into groups of up to `most` neighbours."""
    groups: list[list[Piece]] = []
    for piece in pieces:
        if groups and len(groups[-1]) < most and groups[-1][-1][1] == piece[0]:
            groups[-1].append(piece)
        else:
            groups.append([piece])
    return groups
