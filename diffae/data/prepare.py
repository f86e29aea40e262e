"""Make a prepared copy of a data set, in several processes. `prepared.py` describes its files.

The header is written last, and a folder without one is not a finished copy. If the command was killed,
it starts again from the beginning.
"""

import io
import json
import math
import os
import shutil
from functools import partial
from pathlib import Path

import numpy as np
from numpy.lib.format import write_array_header_1_0

from diffae.data import native_side, open_dataset, prepared
from diffae.data.dataset import LABEL_FIELDS, Dataset
from diffae.data.fingerprint import Survey, digest_parts, in_succession, state_of
from diffae.data.prepared import HEADER, LABELS, NAMES, PIXELS, UNFINISHED, Header
from diffae.system import files
from diffae.system.distributed import mapped
from diffae.system.errors import UserError
from diffae.system.progress import shown
from diffae.system.whole import sweep, whole_file, write_whole

CHUNK, CHUNK_BYTES = 64, 1 << 24
WORTH_PROCESSES = 4  # chunks; fewer are read sooner than processes have started
DEAD_PROCESS = "prepare: a process that reads images died; use fewer --workers, then run it again"


def prepare(data: Dataset, out: Path, workers: int = 1, strict: bool = False) -> Header:
    """Copy the images of `data`, after its transform, to the folder `out`, unless that has been done.

    A damaged image is skipped, or with `strict` a UserError. Raises UserError too if `out` is inside
    the data or holds anything else, also the copy of something else, if no image can be read, or if
    files of `data` change meanwhile.
    """
    refuse_place(data, out)
    if (native := native_side(data)) < data.image_size:
        small = f"images of {native} px would be enlarged"
        raise UserError(f"{data.root}: {small}; use --size {native} or less")
    with files.writing(out, "or choose another folder"):
        out.mkdir(parents=True, exist_ok=True)
        with files.lock_folder(out, "preparing data"):
            sweep(out.glob("*.partial"))  # they may take the room that is needed
            state = state_of(data.source)
            if os.path.lexists(out / HEADER):
                header = read_finished(data, out, state, strict)
            else:
                header = _finish(data, out, *_copy(data, out, workers, strict), state)
                write_whole(out / HEADER, header.to_bytes())
            (out / UNFINISHED).unlink(missing_ok=True)
            return header


def refuse_place(data: Dataset, out: Path) -> None:
    """Raise UserError if `out` is inside the data, or holds anything but a prepared copy."""
    if isinstance(data.transform, prepared.PreparedTransform):
        raise UserError(f"{data.root}: a prepared copy already; give what it was made of")
    files.refuse_outputs([files.OutputPath("OUT", out, Path.is_dir)], [data.root])
    if files.foreign(out) and not prepared.is_prepared(out):
        raise UserError(f"{out}: exists and holds something else; choose another folder")


def read_finished(data: Dataset, out: Path, state: str, strict: bool) -> Header:
    """The header of a finished copy of `data`.

    Raises UserError if `out` holds the copy of something else, or with `strict` a copy without some
    damaged images.
    """
    header = Header.read(out)
    if header.transform != data.transform or header.state != state:
        raise UserError(f"{out}: a copy of other data, or at another size or crop; choose another")
    if strict and header.skipped:
        name, reason = next(iter(header.skipped.items()))
        raise UserError(f"{out}: without {name} ({reason}); mend it and remove this folder")
    return header


# ----------------------------------------------------------------------------------------------
# Copying


# Of a chunk: pixels, the skipped images (index: reason), and the number of enlarged images.
Copied = tuple[np.ndarray, dict[int, str], int]


def _copied(data: Dataset, strict: bool, chunk: int, start: int) -> Copied:
    """Copy the images from `start` to the end of its chunk."""
    pixels = [np.zeros((0, data.image_size, data.image_size, 3), np.uint8)]
    skipped, enlarged = {}, 0
    for index in range(start, min(start + chunk, len(data))):
        where = data.source.where(index)
        try:
            image = data.source.read(index)
        except UserError as error:
            if strict:
                raise
            skipped[index] = str(error).removeprefix(f"{where}: ")
            continue
        pixels.append(data.transform.apply(image, where)[None])
        enlarged += data.transform.native_side(*image.size) < data.image_size
    return np.concatenate(pixels), skipped, enlarged


def _copy(data: Dataset, out: Path, workers: int, strict: bool) -> tuple[dict[int, str], int]:
    """Write all pixels, read by `workers` processes.

    Returns the skipped images (index: reason), and the number of enlarged images. Raises UserError if
    the disk is full.
    """
    count, shape = len(data), (data.image_size, data.image_size, 3)
    image_bytes = math.prod(shape)
    needed, free = count * image_bytes, shutil.disk_usage(out).free
    if free < needed:
        have = f"{files.amount(needed)} are needed, and {files.amount(free)} are free"
        raise UserError(f"{out}: {have}; make room or choose another folder")
    (out / UNFINISHED).touch()
    chunk = max(1, min(CHUNK, CHUNK_BYTES // image_bytes))
    starts = range(0, count, chunk)
    job = partial(_copied, data, strict, chunk)
    workers = workers if len(starts) >= WORTH_PROCESSES else 1
    header = {"descr": "|u1", "fortran_order": False}
    skipped: dict[int, str] = {}
    enlarged = 0
    with (
        mapped(job, starts, workers, DEAD_PROCESS) as parts,
        whole_file(out / PIXELS) as unfinished,
        unfinished.open("wb") as file,
    ):
        write_array_header_1_0(file, {**header, "shape": (count, *shape)})
        for pixels, damaged, small in shown(
            parts, f"copying {data.name}", "images", count, lambda part: len(part[0]) + len(part[1])
        ):
            file.write(pixels.tobytes())
            skipped |= damaged
            enlarged += small
        file.seek(0)  # the header has the same length for any number of images
        write_array_header_1_0(file, {**header, "shape": (count - len(skipped), *shape)})
        file.flush()
        os.fsync(file.fileno())
    return skipped, enlarged


# ----------------------------------------------------------------------------------------------
# Finishing


def _finish(data: Dataset, out: Path, damaged: dict[int, str], enlarged: int, state: str) -> Header:
    """Write labels and names, and return the header.

    Raises UserError unless the data set, when it is opened again, has the same, unchanged files.
    """
    kept = np.setdiff1d(np.arange(len(data)), list(damaged))
    columns = {name: getattr(data, name) for name in LABEL_FIELDS}
    labels = io.BytesIO()
    np.savez(labels, **{name: c[kept] for name, c in columns.items() if c is not None})  # type: ignore[arg-type]
    write_whole(out / LABELS, labels.getvalue())
    names = [data.name_of(int(index)) for index in kept]
    write_whole(out / NAMES, json.dumps(names).encode())
    digests = {name: files.sha256(out / name) for name in (LABELS, NAMES, PIXELS)}
    survey = _survey_of(data, digests, kept) if damaged else data.survey
    again = open_dataset(data.root, data.image_size, data.transform.crop)
    if state_of(again.changed_by(data.transform.options).source) != state:
        raise UserError(f"{data.root}: its files changed meanwhile; run the same command again")
    note = Path(data.root) / prepared.PORTRAITS_NOTE
    if note.is_file():
        write_whole(out / prepared.PORTRAITS_NOTE, note.read_bytes())
    left_out = list(data.left_out)
    if data.truth is not None:
        left_out.append("the pairs of pairs.csv")
    return Header(
        version=prepared.VERSION,
        name=f"{data.name}-subset" if damaged else data.name,
        of=len(data),
        images=len(kept),
        side=data.image_size,
        transform=data.transform,
        partition_source=data.partition_source,
        attribute_names=list(data.attribute_names),
        left_out=left_out,
        skipped={data.name_of(index): reason for index, reason in damaged.items()},
        enlarged=enlarged,
        survey=survey,
        state=state,
        sha256=digests,
    )


def _survey_of(data: Dataset, digests: dict[str, str], kept: np.ndarray) -> Survey:
    """The survey of a copy without some images: its fingerprint is that of the files of the copy."""
    parts = [b"prepared", *(digests[name].encode() for name in sorted(digests))]
    parts += [json.dumps([data.partition_source, data.attribute_names]).encode()]
    try:
        survey = data.survey
    except UserError:  # for a damaged entry of a zip file, which is skipped here
        survey = Survey("", len(data))
    sides = survey.sides_of_images
    of_kept = in_succession(sides[kept]) if len(sides) else ()
    return Survey(digest_parts(parts), len(data), survey.transparent, survey.deep, sides=of_kept)
