"""Make a prepared copy of a data set (`prepared.py` describes it), in several processes.

Chunks of images are written to their position in one file of all pixels; the header, which makes
the folder a copy, is written last. A run that was killed starts from the beginning. If images are
skipped, the pixels are written once more, without their rows.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap, write_array_header_1_0
from tqdm import tqdm

from diffae.data import native_side, open_dataset, prepared
from diffae.data.dataset import LABEL_FIELDS, Dataset
from diffae.data.fingerprint import Survey, digest_parts, state_of
from diffae.data.prepared import HEADER, LABELS, NAMES, PIXELS, UNFINISHED, Header
from diffae.system.distributed import mapped
from diffae.system.errors import UserError
from diffae.system.files import Target, amount, refuse_outputs, sha256, writing
from diffae.system.lock import foreign, lock_folder
from diffae.system.whole import copy_whole, put, sweep, whole_file, write_whole

ROWS = "pixels.unfinished"  # the file of all pixels, skipped ones too, until the copy is finished
CHUNK, CHUNK_BYTES = 64, 1 << 24
WORTH_PROCESSES = 4  # chunks: fewer are read before other processes have started
DEAD_PROCESS = (
    "prepare: a process that reads images died; free some memory or use fewer --workers, then run"
    " the same command again"
)


def prepare(data: Dataset, out: Path, workers: int = 1, strict: bool = False) -> Header:
    """Copy `data`, after its transform, to the folder `out`; or find it copied.

    A damaged image is skipped, or with `strict` a UserError. Raises UserError too if `out` is
    inside the data, holds anything else or the copy of something else, if no image can be read, or
    if files of `data` change meanwhile.
    """
    refuse_place(data, out)
    if (native := native_side(data)) < data.image_size:
        raise UserError(
            f"{data.root}: images of {native} px, and a copy of {data.image_size} px would enlarge them; "
            f"use --size {native} or less"
        )
    with writing(out, "or choose another folder"):
        out.mkdir(parents=True, exist_ok=True)
        with lock_folder(out, "preparing data"):
            sweep(out.glob("*.partial"))  # which may take the room that is needed
            state = state_of(data.source)
            if os.path.lexists(out / HEADER):
                header = finished(data, out, state, strict)
            else:
                header = _finish(data, out, *_copy(data, out, workers, strict), state)
                write_whole(out / HEADER, header.to_bytes())
            for path in (out / ROWS, out / UNFINISHED):
                path.unlink(missing_ok=True)
            return header


def refuse_place(data: Dataset, out: Path) -> None:
    """Raise UserError if `out` is within the data, or holds anything but a copy of ours."""
    if isinstance(data.transform, prepared.PreparedTransform):
        raise UserError(f"{data.root}: a prepared copy already; give what it was made of")
    refuse_outputs([Target("OUT", out, Path.is_dir)], [data.root])
    if not os.path.lexists(out) or prepared.is_prepared(out):
        return
    if not out.is_dir() or foreign(out):
        raise UserError(f"{out}: exists and holds something else; choose another folder")


def finished(data: Dataset, out: Path, state: str, strict: bool) -> Header:
    """The header of a finished copy of `data`.

    Raises UserError if `out` holds the copy of something else, or, with `strict`, a copy that left
    out damaged images.
    """
    header = Header.read(out)
    if header.transform != asdict(data.transform) or header.state != state:
        raise UserError(
            f"{out}: holds a copy of other data, of a different size or crop, or from before the data changed; "
            "choose another folder, or remove this one"
        )
    if strict and header.skipped:
        name, reason = next(iter(header.skipped.items()))
        raise UserError(
            f"{out}: without {prepared.count_damaged(header.skipped)} ({name}: {reason}); mend them and remove this folder, "
            "or leave out --strict"
        )
    return header


# ----------------------------------------------------------------------------------------------
# Copying


@dataclass(frozen=True)
class _Job:
    """The work of each process: images of `data` into their rows of the file `rows`."""

    data: Dataset
    rows: Path
    strict: bool
    chunk: int  # images that are read before they are written

    def __call__(self, start: int) -> tuple[int, dict[int, str], int]:
        """Copy the images from `start` to the end of its chunk.

        Returns how many these are, the skipped ones (index: reason), and how many were enlarged.
        """
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
        # Not through a mapping, where a full disk would end the process.
        with self.rows.open("r+b") as file:
            file.seek(np.load(self.rows, mmap_mode="r").offset + start * pixels[0].nbytes)
            file.write(pixels.tobytes())
        return end - start, skipped, enlarged


def _copy(data: Dataset, out: Path, workers: int, strict: bool) -> tuple[dict[int, str], int]:
    """Write all pixels, in `workers` processes. Raises UserError if the disk is full."""
    count, side = len(data), data.image_size
    needed, free = count * side**2 * 3, shutil.disk_usage(out).free
    if free < needed:
        raise UserError(
            f"{out}: {amount(needed)} are needed, and {amount(free)} are free; make room or choose another folder"
        )
    (out / UNFINISHED).touch()
    open_memmap(out / ROWS, "w+", np.uint8, (count, side, side, 3))
    job = _Job(data, out / ROWS, strict, max(1, min(CHUNK, CHUNK_BYTES // (side**2 * 3))))
    starts = range(0, count, job.chunk)
    workers = workers if len(starts) >= WORTH_PROCESSES else 1
    skipped: dict[int, str] = {}
    enlarged = 0
    with (
        tqdm(total=count, desc=f"copying {data.name}", unit="img", delay=1, disable=None) as bar,
        mapped(job, starts, workers, DEAD_PROCESS) as parts,
    ):
        for images, damaged, small in parts:
            bar.update(images)
            skipped |= damaged
            enlarged += small
    return skipped, enlarged


# ----------------------------------------------------------------------------------------------
# Finishing


def _finish(data: Dataset, out: Path, damaged: dict[int, str], enlarged: int, state: str) -> Header:
    """Write the other files; returns the header.

    Raises UserError unless the data set, opened again, has the same, unchanged files.
    """
    kept = np.setdiff1d(np.arange(len(data)), list(damaged))
    columns = {name: getattr(data, name) for name in LABEL_FIELDS}
    labels = io.BytesIO()
    np.savez(labels, **{name: c[kept] for name, c in columns.items() if c is not None})  # type: ignore[arg-type]
    write_whole(out / LABELS, labels.getvalue())
    names = [data.name_of(int(index)) for index in kept]
    write_whole(out / NAMES, json.dumps(names).encode())
    _write_pixels(out, kept)
    digests = {name: sha256(out / name) for name in (LABELS, NAMES, PIXELS)}
    seen = _survey_of(data, digests) if damaged else data.survey
    if state_of(open_dataset(data.root, data.image_size, data.transform.crop).source) != state:
        raise UserError(
            f"{data.root}: files were changed, added or removed while it was copied; "
            "run the same command again; it starts from the beginning"
        )
    note = Path(data.root) / prepared.PORTRAITS_NOTE
    if note.is_file():
        copy_whole(note, out / prepared.PORTRAITS_NOTE)
    return Header(
        version=prepared.VERSION,
        name=f"{data.name}-subset" if damaged else data.name,
        of=len(data),
        images=len(kept),
        side=data.image_size,
        transform=asdict(data.transform),
        partition_source=data.partition_source,
        attribute_names=list(data.attribute_names),
        left_out=list(data.left_out),
        skipped={data.name_of(index): reason for index, reason in damaged.items()},
        enlarged=enlarged,
        survey=asdict(seen),
        state=state,
        sha256=digests,
    )


def _write_pixels(out: Path, kept: np.ndarray) -> None:
    """Write pixels.npy of the rows `kept`; it is on the disk when this returns."""
    rows = open_memmap(out / ROWS, "r+")
    if len(kept) == len(rows):
        rows.flush()
        put(out / ROWS, out / PIXELS)
        return
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(kept), *rows.shape[1:])}
    with whole_file(out / PIXELS) as partial, partial.open("wb") as file:
        write_array_header_1_0(file, header)
        for begin in range(0, len(kept), CHUNK):
            file.write(rows[kept[begin : begin + CHUNK]].tobytes())
        file.flush()
        os.fsync(file.fileno())


def _survey_of(data: Dataset, digests: dict[str, str]) -> Survey:
    """A survey with a fingerprint of a copy that left images out."""
    parts = [b"prepared", *(digests[name].encode() for name in sorted(digests))]
    parts += [json.dumps([data.partition_source, data.attribute_names]).encode()]
    try:
        seen = data.survey
    except UserError:  # of a damaged zip entry, which is skipped here
        seen = Survey("", len(data))
    return Survey(digest_parts(parts), len(data), seen.transparent, seen.deep)
