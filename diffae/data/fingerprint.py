"""Survey every byte of a data set: its fingerprint, and images that other readers read differently.

The first survey reads everything and is stored under $DIFFAE_CACHE/fingerprints, in one small file
for each data set. The name of that file depends on name, size, times and inode of all files of the
data: as long as these do not change, the next survey costs one `stat` per file. `forget` makes the
next survey read everything again.
"""

import hashlib
import io
import json
import os
import re
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from PIL import Image

from diffae.data.transforms import DECODING_ERRORS, FORMATS
from diffae.system.errors import UserError
from diffae.system.files import cache_root, file_states, hash_of, read_file
from diffae.system.progress import shown
from diffae.system.whole import write_whole

VERSION = "3"  # of the survey; a new version invalidates the surveys that are stored
WORKERS, CHUNK = 4, 64
# Seconds: a file that was changed later may change again within one tick of its clock.
SETTLED = 2.0
LARGEST_NOTE = 1 << 26  # bytes of a stored survey


class Oddity(NamedTuple):
    """How an image file departs from 8-bit RGB in a respect that readers treat differently."""

    transparent: bool = False  # an alpha channel, or one transparent colour
    deep: bool = False  # 16 bits per channel
    unreadable: bool = False  # no image by its first bytes
    side: int = 0  # the shorter one, in px; 0 if unreadable


@dataclass(frozen=True)
class Survey:
    """The survey of `images` images: `fingerprint` is a SHA-256 of all content, labels included.

    `unreadable` is the index of the first file that is no image, if there is one. `sides` has the
    shorter side of each image in px, as (side, number of images in succession); empty if not known.
    """

    fingerprint: str
    images: int
    transparent: int = 0
    deep: int = 0
    unreadable: int | None = None
    sides: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        pairs = tuple((side, count) for side, count in self.sides)  # JSON has lists
        object.__setattr__(self, "sides", pairs)

    @property
    def sides_of_images(self) -> np.ndarray:
        """The shorter side of each image, int64; empty if not known."""
        sides, counts = np.array(self.sides, np.int64).reshape(-1, 2).T
        return np.repeat(sides, counts)

    @cached_property
    def note(self) -> str:
        """E.g. "3 of 600 images have transparency, laid on white"; empty if none."""
        counts = {
            "have transparency, laid on white": self.transparent,
            "have 16 bits per channel, scaled to 8": self.deep,
        }
        total = f"of {self.images} images"
        return "; ".join(f"{count} {total} {oddity}" for oddity, count in counts.items() if count)


class Surveyed(Protocol):
    """The part of an `ImageSource` that a survey needs."""

    def files(self) -> Iterable[tuple[str, Path]]:
        """Name and path of every file of the data set, label files included.

        Empty if the source is in memory: then `look` costs little, and is not stored.
        """

    def look(self) -> Survey:
        """Read everything, labels included. The survey is the same on any machine."""


def survey(source: Surveyed) -> Survey:
    """The survey of `source` that was stored, if its files have not changed; else a new one."""
    before = _note_of(source)
    if before is None:
        return source.look()
    if (kept := _read(before)) is not None:
        return kept
    seen = source.look()
    if _note_of(source) == before and _settled(source):
        with suppress(OSError):  # if the cache cannot be written, the next survey takes longer
            before.parent.mkdir(parents=True, exist_ok=True)
            write_whole(before, sealed(asdict(seen)))
    return seen


def known_survey(source: Surveyed) -> Survey | None:
    """The survey of `source` that was stored, if its files have not changed. No image is read."""
    path = _note_of(source)
    return source.look() if path is None else _read(path)


def forget(source: Surveyed) -> None:
    """Make the next survey read everything. For a subset, this forgets the whole data set."""
    path = _note_of(getattr(source, "whole", source))
    if path is not None:
        with suppress(OSError):
            path.unlink()


def state_of(source: Surveyed) -> str:
    """A value that changes when a file of `source` is written to, moved or replaced.

    For a source in memory it is the fingerprint of its content.
    """
    path = _note_of(source)
    return source.look().fingerprint if path is None else path.stem


def note_of_files(paths: Iterable[Path]) -> str:
    """The note on image files that belong to no data set. Unreadable files are not mentioned."""
    seen = [oddity(path) for path in paths]
    return _survey_of("", seen).note


def _survey_of(fingerprint: str, seen: list[Oddity]) -> Survey:
    transparent, deep = sum(o.transparent for o in seen), sum(o.deep for o in seen)
    unreadable = next((index for index, o in enumerate(seen) if o.unreadable), None)
    return Survey(
        fingerprint, len(seen), transparent, deep, unreadable, in_succession(o.side for o in seen)
    )


def in_succession(sides: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """The shorter sides of images, as a `Survey` has them."""
    return tuple((int(side), len(list(alike))) for side, alike in groupby(sides))


# ----------------------------------------------------------------------------------------------
# Reading every image


def look_at(
    title: str, heading: Iterable[bytes], count: int, fetch: Callable[[int], tuple[bytes, bytes]]
) -> Survey:
    """Survey `count` images in threads; `fetch` returns name and content of an image."""

    def look_at_image(index: int) -> tuple[bytes, Oddity]:
        name, content = fetch(index)
        return _framed(name) + hashlib.sha256(content).digest(), oddity(io.BytesIO(content))

    def look_at_chunk(start: int) -> list[tuple[bytes, Oddity]]:
        return [look_at_image(index) for index in range(start, min(start + CHUNK, count))]

    sha = hashlib.sha256(b"".join(map(_framed, heading)))
    oddities = []
    with ThreadPoolExecutor(WORKERS) as pool:
        chunks = pool.map(look_at_chunk, range(0, count, CHUNK))
        for chunk in shown(chunks, f"fingerprint of {title}", "images", count, len):
            for name_and_digest, image_oddity in chunk:
                sha.update(name_and_digest)
                oddities.append(image_oddity)
    return _survey_of(sha.hexdigest(), oddities)


def digest_parts(parts: Iterable[bytes]) -> str:
    """SHA-256 of byte strings, each after its length, so that it matters where one ends."""
    return hashlib.sha256(b"".join(map(_framed, parts))).hexdigest()


def _framed(part: bytes) -> bytes:
    return len(part).to_bytes(8, "little") + part


def oddity(file: io.BytesIO | Path) -> Oddity:
    """The oddity of an image file by its header, without decoding the image.

    A file that is damaged after its header counts as plain here, and is refused when it is decoded.
    """
    if isinstance(file, Path) and not file.is_file():  # a pipe would block
        return Oddity()
    try:
        with Image.open(file, formats=FORMATS) as image:
            # For a 16-bit colour PNG, Pillow's mode is "RGB", but the mode of its decoder "RGB;16B".
            deep = image.format == "PNG" and any(str(t.args).endswith(";16B") for t in image.tile)
            return Oddity(image.has_transparency_data, deep, side=min(image.size))
    except DECODING_ERRORS:
        return Oddity(unreadable=True)


# ----------------------------------------------------------------------------------------------
# Storing surveys


def _note_of(source: Surveyed) -> Path | None:
    """The file that stores the survey of the files as they are now; None for a source in memory."""
    states = _states(source)
    if not states:
        return None
    kind = type(source).__name__.encode()
    parts = (b"%s %d %d %d %d" % state for state in states)
    return cache_root() / "fingerprints" / f"{digest_parts([VERSION.encode(), kind, *parts])}.json"


def _states(source: Surveyed) -> list[tuple[bytes, int, int, int, int]]:
    """Name, size, times and inode of every file."""
    files = list(source.files())
    states = file_states([path for _, path in files])
    return [(os.fsencode(name), *state) for (name, _), state in zip(files, states, strict=True)]


def _settled(source: Surveyed) -> bool:
    newest = max(max(state[2], state[3]) for state in _states(source))
    return time.time() - newest / 1e9 > SETTLED


def _read(path: Path) -> Survey | None:
    """The survey that is stored, or None if it does not exist, is damaged or not ours."""
    try:
        kept = Survey(**unsealed(read_file(path, LARGEST_NOTE)))
        return kept if re.fullmatch("[0-9a-f]{64}", kept.fingerprint) else None
    except (UserError, ValueError, TypeError):
        return None


def sealed(content: dict[str, Any]) -> bytes:
    """JSON of `content` together with its SHA-256."""
    return (json.dumps({"content": content, "sha256": hash_of(content)}, indent=1) + "\n").encode()


def unsealed(data: bytes) -> dict[str, Any]:
    """The content that `sealed` wrote. Raises ValueError if a byte of it has changed."""
    try:
        whole = json.loads(data)
        content: dict[str, Any] = whole["content"]
        if whole["sha256"] == hash_of(content) and isinstance(content, dict):
            return content
    except (KeyError, TypeError, RecursionError):
        pass
    raise ValueError("not the content that was sealed")
