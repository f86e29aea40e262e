"""Portraits as pixels, and as a data set on disk in CelebA's layout."""

import io
import json
import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import NoReturn

import numpy as np
import resvg_py
from PIL import Image, ImageFilter

from diffae.data.dataset import Dataset
from diffae.data.portraits.attributes import ATTRIBUTES, Portrait, portrait
from diffae.data.portraits.draw import SIZE, to_svg
from diffae.data.readers.celeba import ATTRIBUTE_FILE, IDENTITY_FILE, IMAGE_FOLDER, PARTITION_FILE
from diffae.data.transforms import LARGEST_SIZE, SMALLEST_SIZE, Transform
from diffae.system.distributed import mapped
from diffae.system.errors import UserError
from diffae.system.files import cache_root, foreign, read_text
from diffae.system.progress import shown
from diffae.system.whole import sweep, write_whole

PORTRAITS_VERSION = "1"
LARGEST_COUNT = 1_000_000
BLUR_RADIUS = 4.5  # in units of the drawing

NOTE = "portraits.json"
CHUNK = 64
DEAD_PROCESS = "portraits: a process that draws died; free some memory, then run this again"
LARGEST_NOTE, LEFT_FOR_GOOD = 10_000, 3600  # bytes, seconds
WORTH_PROCESSES = 8  # chunks: fewer are drawn before other processes have started


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
    out: Path, count: int, size: int, seed: int = 0, workers: int | None = None
) -> None:
    """Write portraits 0..count-1 as `size` px PNGs with CelebA's label files.

    The label files come last, so that an unfinished set is not taken for a finished one; run again,
    it is finished without drawing twice. Raises UserError, and writes nothing, if `out` holds
    anything else.
    """
    if not 1 <= count <= LARGEST_COUNT:
        raise UserError(f"portraits: count must be 1 to {LARGEST_COUNT:,}, not {count:,}")
    if not SMALLEST_SIZE <= size <= LARGEST_SIZE:
        raise UserError(f"portraits: size must be {SMALLEST_SIZE} to {LARGEST_SIZE}, not {size:,}")
    _claim(out, {"version": PORTRAITS_VERSION, "seed": seed, "count": count, "size": size})
    images = out / IMAGE_FOLDER
    images.mkdir(exist_ok=True)
    sweep(images.glob("*.partial"), older=LEFT_FOR_GOOD)  # recent ones may be others' that draw now
    missing = [i for i in range(count) if not (images / _name(i)).exists()]
    chunks = [missing[a : a + CHUNK] for a in range(0, len(missing), CHUNK)]
    draw = partial(_draw, images, size, seed)
    workers = (workers or os.cpu_count() or 1) if len(chunks) > WORTH_PROCESSES else 1
    with mapped(draw, chunks, workers, DEAD_PROCESS) as counts:
        for _ in shown(counts, "drawing portraits", "images", len(missing), int):
            pass
    _write_labels(out, count, seed)


def ensure(count: int, size: int, seed: int = 0) -> Path:
    """The folder of a set of portraits under $DIFFAE_CACHE or ~/.cache/diffae.

    They are drawn if it does not exist.
    """
    out = cache_root() / "data" / f"portraits-{PORTRAITS_VERSION}-seed{seed}-{size}px-{count}"
    if not (out / ATTRIBUTE_FILE).exists():
        write_dataset(out, count, size, seed)
    return out


def is_of_a_set(path: Path) -> bool:
    """Whether a picture is in the folder of a set of portraits that was written here."""
    return path.parent.name == IMAGE_FOLDER and (path.parents[1] / NOTE).is_file()


def _draw(images: Path, size: int, seed: int, indices: list[int]) -> int:
    for i in indices:
        png = io.BytesIO()
        _image(portrait(seed, i), size).save(png, format="PNG")
        write_whole(images / _name(i), png.getvalue())
    return len(indices)


def _name(index: int) -> str:
    return f"{index + 1:06d}.png"


def _claim(out: Path, settings: dict[str, object]) -> None:
    """Make `out` the folder of this set."""
    note, content = out / NOTE, json.dumps(settings)
    if os.path.lexists(note):
        if read_text(note, LARGEST_NOTE).strip() != content:
            raise UserError(f"{out}: holds other portraits (see {note}); choose another folder")
        return
    if foreign(out):
        raise UserError(f"{out}: exists and holds something else; choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    _write(note, [content])


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
# Portraits that are not drawn: labels only, for commands that only count


def planned(count: int, image_size: int, seed: int = 0) -> Dataset:
    """The data set that `open_portraits` would draw and open. Reading an image raises UserError."""
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
    )


class _Undrawn(tuple[int, ...]):
    """Images that do not exist."""

    def read(self, index: int = 0) -> NoReturn:
        raise UserError("these portraits are not drawn")

    where = files = look = read
