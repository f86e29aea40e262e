"""Render portraits, and write them as a data set in CelebA's layout."""

import io
import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from math import prod
from pathlib import Path
from typing import NoReturn

import numpy as np
import resvg_py
from PIL import Image, ImageFilter

from diffae.data.dataset import Dataset, Factors, Indices
from diffae.data.factors.combinations import counts_within
from diffae.data.fingerprint import Survey
from diffae.data.partition import SPLITS
from diffae.data.portraits.attributes import (
    ATTRIBUTES,
    FACTORS,
    GRID,
    Portrait,
    excluded_by,
    independent,
    portrait,
    with_attribute,
)
from diffae.data.portraits.draw import SIZE, to_svg
from diffae.data.prepared import PORTRAITS_NOTE
from diffae.data.readers.celeba import ATTRIBUTE_FILE, IDENTITY_FILE, IMAGE_FOLDER, PARTITION_FILE
from diffae.data.transforms import LARGEST_SIZE, SMALLEST_SIZE, Transform
from diffae.system.cli import did_you_mean
from diffae.system.distributed import mapped
from diffae.system.errors import UserError
from diffae.system.files import cache_root, foreign, read_text
from diffae.system.progress import shown
from diffae.system.whole import write_new, write_whole

PORTRAITS_VERSION = "1"
Settings = dict[str, str | int | dict[str, int]]  # of a set of portraits, as its note holds them
LARGEST_COUNT = 1_000_000
BLUR_RADIUS = 4.5  # in units of the drawing

TABLE = "labels.csv"
CHUNK = 64
DEAD_PROCESS = "portraits: a process that draws died; free some memory, then run this again"
LARGEST_NOTE = 10_000  # bytes
WORTH_PROCESSES = 8  # chunks; fewer are drawn sooner than processes have started


def render(portrait: Portrait, size: int) -> np.ndarray:
    """The portrait as uint8 size x size x 3."""
    return np.asarray(_image(portrait, size))


def _image(portrait: Portrait, size: int) -> Image.Image:
    svg = to_svg(portrait)
    png = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, skip_system_fonts=True)
    image = Image.open(io.BytesIO(bytes(png))).convert("RGB")
    if portrait.attributes["Blurry"]:
        image = image.filter(ImageFilter.GaussianBlur(BLUR_RADIUS * size / SIZE))
    return image


def write_dataset(
    out: Path,
    count: int,
    size: int,
    seed: int = 0,
    workers: int | None = None,
    levels: Mapping[str, int] | None = None,
) -> None:
    """Write portraits 0..count-1 as PNGs of `size` px, with CelebA's label files.

    With `levels` they are `independent`, and labels.csv has their attributes and factors instead.

    The label files are written last, so that an unfinished set is not taken for a finished one. Another
    call draws only the missing pictures. Raises UserError, and writes nothing, if `out` holds anything
    else.
    """
    if not 1 <= count <= LARGEST_COUNT:
        raise UserError(f"portraits: count must be 1 to {LARGEST_COUNT:,}, not {count:,}")
    if not SMALLEST_SIZE <= size <= LARGEST_SIZE:
        raise UserError(f"portraits: size must be {SMALLEST_SIZE} to {LARGEST_SIZE}, not {size:,}")
    settings: Settings = {"version": PORTRAITS_VERSION, "seed": seed, "count": count}
    make_portrait = partial(portrait, seed)
    if levels is not None:
        _check_levels(levels, count)
        settings["levels"] = dict(levels)
        make_portrait = partial(independent, seed, levels=levels)
    _claim(out, settings | {"size": size})
    images = out / IMAGE_FOLDER
    images.mkdir(exist_ok=True)
    missing = [i for i in range(count) if not (images / _name(i)).exists()]
    chunks = [missing[a : a + CHUNK] for a in range(0, len(missing), CHUNK)]
    draw = partial(_draw, images, size, make_portrait)
    workers = (workers or os.cpu_count() or 1) if len(chunks) > WORTH_PROCESSES else 1
    with mapped(draw, chunks, workers, DEAD_PROCESS) as counts:
        for _ in shown(counts, "drawing portraits", "images", len(missing), int):
            pass
    if levels is None:
        _write_labels(out, count, seed)
    else:
        _write_table(out, list(map(make_portrait, range(count))), levels)


def ensure(count: int, size: int, seed: int = 0, levels: Mapping[str, int] | None = None) -> Path:
    """The folder of a set of portraits under $DIFFAE_CACHE or ~/.cache/diffae, drawn on first use."""
    out = _cached(count, size, seed, levels)
    if not are_drawn(count, size, seed, levels):
        write_dataset(out, count, size, seed, levels=levels)
    return out


def are_drawn(
    count: int, size: int, seed: int = 0, levels: Mapping[str, int] | None = None
) -> bool:
    """Whether `ensure` would draw nothing."""
    return (_cached(count, size, seed, levels) / (TABLE if levels else ATTRIBUTE_FILE)).exists()


def _cached(count: int, size: int, seed: int, levels: Mapping[str, int] | None) -> Path:
    name = f"portraits-{PORTRAITS_VERSION}-seed{seed}-{size}px-{count}"
    name += "".join(f"-{factor}{count}" for factor, count in (levels or {}).items())
    return cache_root() / "data" / name


def is_of_a_set(path: Path) -> bool:
    """Whether a picture is in the folder of a set of portraits that `write_dataset` wrote."""
    return path.parent.name == IMAGE_FOLDER and (path.parents[1] / PORTRAITS_NOTE).is_file()


def _draw(images: Path, size: int, make: Callable[[int], Portrait], indices: list[int]) -> int:
    """Draw the portraits of these indices; returns their number."""
    for i in indices:
        png = io.BytesIO()
        _image(make(i), size).save(png, format="PNG")
        write_whole(images / _name(i), png.getvalue())
    return len(indices)


def _name(index: int) -> str:
    return f"{index + 1:06d}.png"


def _claim(out: Path, settings: Settings) -> None:
    """Make `out` the folder of this set of portraits, even if another process does so at the same time."""
    note, content = out / PORTRAITS_NOTE, json.dumps(settings)
    is_foreign = foreign(out)  # read before the note, which another process may be writing
    if not os.path.lexists(note):
        if is_foreign:
            raise UserError(f"{out}: exists and holds something else; choose another folder")
        out.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            write_new(note, f"{content}\n".encode())
    if read_text(note, LARGEST_NOTE).strip() != content:
        raise UserError(f"{out}: holds other portraits (see {note}); choose another folder")


def _check_levels(levels: Mapping[str, int], count: int) -> None:
    """Raise UserError for factors that do not exist or exclude each other, or impossible levels."""
    names = (*FACTORS, *ATTRIBUTES)
    for name, level_count in levels.items():
        if name not in names:
            raise UserError(f"--factors: no factor {name!r}{did_you_mean(name, names)}")
        if level_count < 2 or (name in ATTRIBUTES and level_count > 2):
            allowed = "2" if name in ATTRIBUTES else "2 or more"
            raise UserError(f"--factors: {name} takes {allowed} levels")
        for other in levels.keys() & excluded_by(name):
            raise UserError(f"--factors: {name} and {other} exclude each other; leave out one")
    if count % prod(levels.values()):
        combinations = f"{prod(levels.values()):,} combinations of --factors"
        raise UserError(f"--count {count}: must be a multiple of the {combinations}")


def _write_table(out: Path, portraits: list[Portrait], levels: Mapping[str, int]) -> None:
    """Write labels.csv: split, attributes that vary, and factors. Factors with levels are ordered."""
    rows = {"file": [_name(i) for i in range(len(portraits))]}
    rows |= {"split": [next(k for k, v in SPLITS.items() if v == p.partition) for p in portraits]}
    for name in filter(levels.get, ATTRIBUTES) if levels else ATTRIBUTES:
        rows[name] = [str(int(p.attributes[name])) for p in portraits]
    for name in FACTORS:
        kind = "ordered" if name in levels else "real"
        rows[f"{name}:{kind}"] = [f"{p.factors[name]:.6f}" for p in portraits]
    _write(out / TABLE, map(",".join, [tuple(rows), *zip(*rows.values(), strict=True)]))


def _write_labels(out: Path, count: int, seed: int) -> None:
    portraits = [portrait(seed, i) for i in range(count)]
    rows = [(_name(i), p) for i, p in enumerate(portraits)]
    _write(out / PARTITION_FILE, [f"{name} {p.partition}" for name, p in rows])
    _write(out / IDENTITY_FILE, [f"{name} {p.identity + 1}" for name, p in rows])
    signs = [
        f"{name} " + " ".join(" 1" if p.attributes[a] else "-1" for a in ATTRIBUTES)
        for name, p in rows
    ]
    _write(out / ATTRIBUTE_FILE, [str(count), " ".join(ATTRIBUTES), *signs])


def _write(path: Path, lines: Iterable[str]) -> None:
    write_whole(path, "".join(f"{line}\n" for line in lines).encode())


# ----------------------------------------------------------------------------------------------
# The drawing of a data set of portraits, and data sets of portraits that are never drawn

_portrait = cache(portrait)


@dataclass(frozen=True)
class PortraitDrawing:
    """How a data set of portraits is drawn: both its `Drawing` and its `Truth` (`diffae.data.dataset`)."""

    seed: int
    size: int  # px
    dry: bool = False  # in a dry run nothing is drawn
    attributes: tuple[str, ...] = ATTRIBUTES

    def factors(self, indices: Indices) -> Factors:
        """The real-valued FACTORS."""
        values = [[*_portrait(self.seed, int(i)).factors.values()] for i in indices]
        shape = (-1, len(FACTORS))
        return Factors(np.reshape(values, shape), FACTORS, ("real",) * len(FACTORS))

    def changes(self, index: int, attribute: str, on: bool) -> dict[str, bool] | None:
        """The attributes that `with_attribute` changes, with their new values; None if it changes none."""
        was = _portrait(self.seed, index)
        changed = with_attribute(was, attribute, on).attributes.items() - was.attributes.items()
        return dict(changed) if was.attributes[attribute] != on else None

    def picture(self, index: int, attribute: str, on: bool) -> Image.Image:
        """The portrait `with_attribute`, drawn at the size of the data set."""
        return _image(with_attribute(portrait(self.seed, index), attribute, on), self.size)

    def combinations(self, most: int) -> Path | int | None:
        """The folder of portraits in all combinations of GRID, or of fewer levels; drawn on first use."""
        counts = counts_within([*GRID.values()], most)
        if counts is None:
            return None
        if self.dry:
            return prod(counts)
        levels = dict(zip(GRID, counts, strict=True))
        return ensure(prod(counts), self.size, self.seed, levels)


def planned(count: int, image_size: int, seed: int = 0) -> Dataset:
    """The data set that `open_portraits` would draw, with labels only: reading an image is a UserError.

    Its fingerprint is no other's.
    """
    portraits = [portrait(seed, index) for index in range(count)]
    return Dataset(
        name="portraits",
        root=Path("portraits"),
        source=_Undrawn(range(count)),
        transform=Transform(image_size),
        partition=np.array([p.partition for p in portraits], np.int8),
        partition_source=PARTITION_FILE,
        attribute_names=tuple(ATTRIBUTES),
        attributes=np.array([[p.attributes[name] for name in ATTRIBUTES] for p in portraits]),
        identities=np.array([p.identity + 1 for p in portraits], np.int64),
        drawing=(drawing := PortraitDrawing(seed, image_size, dry=True)),
        truth=drawing,
    )


class _Undrawn(tuple[int, ...]):
    """Images that do not exist."""

    def read(self, index: int) -> NoReturn:
        raise UserError("these portraits are not drawn")

    where = read

    def files(self) -> tuple[()]:
        return ()

    def look(self) -> Survey:
        return Survey("not drawn", len(self))
