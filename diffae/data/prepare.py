"""Make a prepared copy of a data set (`prepared.py` says what it is): in processes, and resumable.

Chunks of images are written to their place in one file of all pixels; `diffae-unfinished.json` says up to which image all of them
are there. Whatever the moment of a kill, the next run goes on from there and ends with the same bytes; the header, which makes
a copy of the folder, is written last. Where images are skipped the pixels are written once more, without their rows.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from tqdm import tqdm

from diffae.cli import say
from diffae.data import open_dataset, prepared
from diffae.data.dataset import Dataset
from diffae.data.prepared import (
    HEADER,
    LABELS,
    NAMES,
    PIXELS,
    UNFINISHED,
    Header,
    PreparedTransform,
    count_damaged,
    npy_header,
)
from diffae.data.survey import Survey, digest_parts, state_of
from diffae.distributed import mapped
from diffae.errors import UserError
from diffae.files import Target, amount, is_partial, refuse_outputs, write_whole, writing
from diffae.lock import foreign, lock_folder

ROWS = "pixels.unfinished"  # the file of all pixels, skipped ones too, until the copy is finished
CHUNK, CHUNK_BYTES = 64, 1 << 24
WORTH_PROCESSES = 4  # chunks: fewer are read before other processes have started
PORTRAITS_NOTE = "portraits.json"  # by which a training on portraits knows them
DEAD_PROCESS = (
    "prepare: a process that reads images died; make memory free or use fewer --workers, then run"
    " the same command again to go on"
)


@dataclass
class Progress:
    """`images` from the first on are written; `skipped` of them (index: reason) are not, and `enlarged` were smaller."""

    images: int
    skipped: dict[int, str]
    enlarged: int


class Part(NamedTuple):
    """What came of one chunk: the index that follows it, what was skipped in it, and how many were enlarged."""

    end: int
    skipped: dict[int, str]
    enlarged: int


def prepare(data: Dataset, out: Path, workers: int = 1, strict: bool = False) -> Header:
    """Copy `data`, as it comes out of its transform, to the folder `out`; or go on with it, or find it finished.

    A damaged image is skipped, or with `strict` a UserError. Raises UserError too if `out` is inside the data, holds
    anything else or the copy of something else, if no image can be read, or if files of `data` change meanwhile.
    """
    refuse_place(data, out)
    refuse_enlarging(data)
    with writing(out, "or choose another folder"):
        out.mkdir(parents=True, exist_ok=True)
        with lock_folder(out, "preparing data"):
            return _prepare(data, out, workers, strict)


def _prepare(data: Dataset, out: Path, workers: int, strict: bool) -> Header:
    state = state_of(data.source)
    if os.path.lexists(out / HEADER):
        header = finished(data, out, state)
        refuse_skipped(out, header.skipped, strict)
        _sweep(out)
        return header
    progress = begin(data, out, state)
    refuse_skipped(out, _by_name(data, progress.skipped), strict)
    chunk = max(1, min(CHUNK, CHUNK_BYTES // (data.image_size**2 * 3)))
    _copy(_Job(data, out / ROWS, strict, chunk), progress, workers, state)
    kept = np.setdiff1d(np.arange(len(data)), np.array(list(progress.skipped), np.int64))
    if not len(kept):
        index, reason = next(iter(progress.skipped.items()))
        raise UserError(f"{data.root}: no image can be read; {data.source.where(index)}: {reason}")
    header = _finish(data, out, progress, kept, state)
    _sweep(out)
    return header


def refuse_place(data: Dataset, out: Path) -> None:
    """UserError if `out` is within the data, or holds what is not a copy of ours, finished or not."""
    if isinstance(data.transform, PreparedTransform):
        raise UserError(f"{data.root}: a prepared copy already; give what it was made of")
    refuse_outputs([Target("OUT", out, Path.is_dir)], [data.root])
    if not os.path.lexists(out) or prepared.is_prepared(out):
        return
    if not out.is_dir() or foreign(out):
        raise UserError(f"{out}: exists and holds something else; choose another folder")


def refuse_enlarging(data: Dataset) -> None:
    """UserError, as in an evaluation, if the first image that can be read is smaller than the copy's."""
    for index in range(len(data)):
        try:
            native = data.transform.native_side(*data.source.read(index).size)
        except UserError:
            continue
        if native < data.image_size:
            raise UserError(
                f"{data.root}: images of {native} px, and a copy of {data.image_size} px would enlarge them; "
                f"use --size {native} or less"
            )
        return


def finished(data: Dataset, out: Path, state: str) -> Header:
    """The header of a finished copy of `data`; UserError if `out` holds that of something else."""
    header = Header.read(out)
    if header.transform == asdict(data.transform) and header.state == state:
        return header
    raise UserError(
        f"{out}: holds a copy of other data, of another size or crop, or from before the data changed; "
        "choose another folder, or remove this one"
    )


def refuse_skipped(out: Path, skipped: dict[str, str], strict: bool) -> None:
    """UserError if `strict`, and a copy, finished or not, is without images (name: reason) that are damaged."""
    if strict and skipped:
        name, reason = next(iter(skipped.items()))
        raise UserError(
            f"{out}: without {count_damaged(skipped)} ({name}: {reason}); mend them and remove this folder, "
            "or leave out --strict"
        )


def _by_name(data: Dataset, skipped: dict[int, str]) -> dict[str, str]:
    return {data.name_of(index): reason for index, reason in skipped.items()}


def begin(data: Dataset, out: Path, state: str) -> Progress:
    """How far an unfinished copy in `out` is; one of data that changed since starts anew, and so does an empty folder."""
    settings, start = asdict(data.transform), Progress(0, {}, 0)
    if os.path.lexists(out / UNFINISHED):
        kinds = {"transform": dict, "state": str, **prepared.kinds_of(Progress)}
        known = prepared.unsealed(out / UNFINISHED, kinds)
        if known["transform"] != settings:
            raise UserError(
                f"{out}: an unfinished copy of another size or crop; choose another folder, or remove it"
            )
        if known["state"] == state and (out / ROWS).exists():
            skipped = {int(index): reason for index, reason in known["skipped"].items()}
            return Progress(known["images"], skipped, known["enlarged"])
        if known["state"] != state:
            say(f"{out}: the data has changed since this copy was begun; it starts anew")
    _note(out, data, start, state)
    _make_room(data, out)
    return start


def _make_room(data: Dataset, out: Path) -> None:
    """A file for all pixels; UserError if the disk has no place for it."""
    needed = len(npy_header(len(data), data.image_size)) + len(data) * data.image_size**2 * 3
    free = shutil.disk_usage(out).free
    if free < needed:
        raise UserError(
            f"{out}: {amount(needed)} are needed, {amount(needed - free)} more than are free; make room or "
            "choose another folder"
        )
    with (out / ROWS).open("wb") as file:
        file.write(npy_header(len(data), data.image_size))
        file.truncate(needed)


def _note(out: Path, data: Dataset, progress: Progress, state: str) -> None:
    known = {"transform": asdict(data.transform), "state": state, **asdict(progress)}
    write_whole(out / UNFINISHED, prepared.sealed(known))


# ----------------------------------------------------------------------------------------------
# Copying


@dataclass(frozen=True)
class _Job:
    """What every process does: images of `data` into their rows of the file `rows`."""

    data: Dataset
    rows: Path
    strict: bool
    chunk: int  # images that are read before they are written

    def __call__(self, start: int) -> Part:
        """Copy the images from `start` on to the end of its chunk. Safe to do twice: the bytes are the same."""
        data, side = self.data, self.data.image_size
        end = min(start + self.chunk, len(data))
        pixels = np.zeros((end - start, side, side, 3), np.uint8)
        skipped, enlarged = {}, 0
        for index in range(start, end):
            try:
                image = data.source.read(index)
            except UserError as error:
                if self.strict:
                    raise
                skipped[index] = str(error).removeprefix(f"{data.source.where(index)}: ")
                continue
            pixels[index - start] = data.transform.apply(image, data.source.where(index))
            enlarged += data.transform.native_side(*image.size) < side
        self._write(start, pixels)
        return Part(end, skipped, enlarged)

    def _write(self, start: int, pixels: np.ndarray) -> None:
        """On the disk before the note says so: after a crash of the machine too."""
        place = len(npy_header(len(self.data), pixels.shape[1])) + start * pixels[0].nbytes
        with self.rows.open("r+b") as file:
            file.seek(place)
            file.write(pixels.tobytes())
            file.flush()
            os.fsync(file.fileno())


def _copy(job: _Job, progress: Progress, workers: int, state: str) -> None:
    """Everything that `progress` lacks, in `workers` processes, noted chunk by chunk."""
    count, out = len(job.data), job.rows.parent
    starts = range(progress.images, count, job.chunk)
    workers = workers if len(starts) >= WORTH_PROCESSES else 1
    with (
        tqdm(total=count, initial=progress.images, desc=f"copying {job.data.name}", unit="img", delay=1, disable=None) as bar,
        mapped(job, starts, workers, DEAD_PROCESS) as parts,
    ):  # fmt: skip
        for part in parts:
            bar.update(part.end - progress.images)
            progress.images = part.end
            progress.skipped |= part.skipped
            progress.enlarged += part.enlarged
            _note(out, job.data, progress, state)


# ----------------------------------------------------------------------------------------------
# Finishing


def _finish(data: Dataset, out: Path, progress: Progress, kept: np.ndarray, state: str) -> Header:
    """Put the pieces together; the header comes last."""
    names = [data.name_of(int(index)) for index in kept]
    parts = {LABELS: _labels(data, kept), NAMES: json.dumps(names).encode()}
    for name, content in parts.items():
        write_whole(out / name, content)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in parts.items()}
    digests[PIXELS] = _write_pixels(data, out, kept)
    skipped = _by_name(data, progress.skipped)
    seen = _survey_of(data, digests, bool(skipped))
    refuse_changed(data, state)
    header = Header(
        version=prepared.VERSION,
        name=f"{data.name}-subset" if skipped else data.name,
        of=len(data),
        images=len(kept),
        side=data.image_size,
        transform=asdict(data.transform),
        partition_source=data.partition_source,
        attribute_names=list(data.attribute_names),
        left_out=list(data.left_out),
        skipped=skipped,
        enlarged=progress.enlarged,
        survey=asdict(seen),
        state=state,
        sha256=digests,
    )
    note = Path(data.root) / PORTRAITS_NOTE
    if note.is_file():
        shutil.copyfile(note, out / PORTRAITS_NOTE)
    if not skipped:
        os.replace(out / ROWS, out / PIXELS)
    write_whole(out / HEADER, header.to_bytes())
    return header


def refuse_changed(data: Dataset, state: str) -> None:
    """UserError unless the data set, opened again, is of the same files, none of which was written to."""
    again = open_dataset(data.root, data.image_size, data.transform.crop)
    if state_of(again.source) != state:
        raise UserError(
            f"{data.root}: files were changed, added or taken out while it was copied; "
            "run the same command again, it starts anew"
        )


def _labels(data: Dataset, kept: np.ndarray) -> bytes:
    """An npz of the rows `kept` of every label that there is."""
    columns = {name: getattr(data, name) for name in ("partition", "attributes", "identities")}
    file = io.BytesIO()
    np.savez(file, **{name: c[kept] for name, c in columns.items() if c is not None})  # type: ignore[arg-type]
    return file.getvalue()


def _write_pixels(data: Dataset, out: Path, kept: np.ndarray) -> str:
    """pixels.npy of the rows `kept`; returns its SHA-256."""
    rows = np.load(out / ROWS, mmap_mode="r")
    sha = hashlib.sha256(start := npy_header(len(kept), data.image_size))
    with tqdm(total=len(kept), desc="fingerprint of the copy", unit="img", delay=1, disable=None) as bar:  # fmt: skip
        with _new_file(out / PIXELS if len(kept) < len(rows) else None) as file:
            file.write(start)
            for begin in range(0, len(kept), CHUNK):
                content = rows[kept[begin : begin + CHUNK]].tobytes()
                sha.update(content)
                file.write(content)
                bar.update(min(CHUNK, len(kept) - begin))
    return sha.hexdigest()


@contextmanager
def _new_file(path: Path | None) -> Iterator[BinaryIO]:
    """A file that is on the disk at the end of the block, or without a path one that keeps nothing."""
    with open(path or os.devnull, "wb") as file:
        yield file
        file.flush()
        if path:
            os.fsync(file.fileno())


def _survey_of(data: Dataset, digests: dict[str, str], other: bool) -> Survey:
    """The data set's own survey, or, where the copy is `other` than it, one whose fingerprint is of the copy."""
    if not other:
        return data.survey
    parts = [b"prepared", *(digests[name].encode() for name in sorted(digests))]
    parts += [json.dumps([data.partition_source, data.attribute_names]).encode()]
    try:
        seen = data.survey
    except UserError:  # of a damaged zip entry, which is skipped here
        seen = Survey("", len(data))
    return Survey(digest_parts(parts), len(data), seen.transparent, seen.deep)


def _sweep(out: Path) -> None:
    """Remove what belongs to the work on a copy that is finished now."""
    for path in (out / ROWS, out / UNFINISHED, *filter(is_partial, out.glob("*.partial"))):
        path.unlink(missing_ok=True)
