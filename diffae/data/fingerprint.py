"""Survey every byte of a data set: its fingerprint, and images that other readers read differently.

The first survey reads everything. Its result is kept under $DIFFAE_CACHE/fingerprints, one small
file for each data set, together with name, size, times and inode of all of its files: as long as
those do not change, the next survey costs one `stat` per file. `forget` makes the next one read
everything again.
"""

import hashlib
import io
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from PIL import Image

from diffae.data.transforms import DECODING_ERRORS, FORMATS
from diffae.system.errors import UserError
from diffae.system.files import cache_root, file_state, hash_of, read_file
from diffae.system.progress import shown
from diffae.system.whole import write_whole

VERSION = "2"  # of the survey: a change invalidates those that are stored
WORKERS, CHUNK = 4, 64
# Seconds: a file that was changed later may change again within one tick of its clock.
SETTLED = 2.0
LARGEST_NOTE = 4096  # bytes of a kept survey


class Oddity(NamedTuple):
    """How an image file departs from 8-bit RGB in a respect that readers treat differently."""

    transparent: bool = False  # an alpha channel, or one transparent colour
    deep: bool = False  # 16 bits per channel
    unreadable: bool = False  # no image by its first bytes


@dataclass(frozen=True)
class Survey:
    """The survey of `images` images: `fingerprint` is a SHA-256 of all content, labels included.

    `unreadable` is the index of the first file that is no image, if there is one.
    """

    fingerprint: str
    images: int
    transparent: int = 0
    deep: int = 0
    unreadable: int | None = None

    @property
    def note(self) -> str:
        """E.g. "3 of 600 images have transparency, laid on white"; empty if none."""
        told = {
            "have transparency, laid on white": self.transparent,
            "have 16 bits per channel, scaled to 8": self.deep,
        }
        return "; ".join(f"{n} of {self.images} images {what}" for what, n in told.items() if n)


class Surveyed(Protocol):
    """The part of an `ImageSource` that a survey needs."""

    def files(self) -> Iterable[tuple[str, Path]]:
        """Every file of the data set, labels included, by its name.

        Empty if the source is in memory, so that `look` costs nothing.
        """

    def look(self) -> Survey:
        """Read everything, labels included.

        The result does not depend on the machine or the copy.
        """


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


def forget(source: Surveyed) -> None:
    """Make the next survey read everything; of a part of a data set, all of it."""
    path = _note_of(getattr(source, "whole", source))
    if path is not None:
        with suppress(OSError):
            path.unlink()


def state_of(source: Surveyed) -> str:
    """A value that changes when a file of `source` is written to, moved or replaced.

    For a source in memory it is its content.
    """
    path = _note_of(source)
    return source.look().fingerprint if path is None else path.stem


def note_of_files(paths: Iterable[Path]) -> str:
    """The note on image files that belong to no data set; unreadable ones count as plain."""
    seen = [oddity(path) for path in paths]
    return _survey_of("", seen).note


def _survey_of(fingerprint: str, seen: list[Oddity]) -> Survey:
    transparent, deep = sum(o.transparent for o in seen), sum(o.deep for o in seen)
    unreadable = next((index for index, o in enumerate(seen) if o.unreadable), None)
    return Survey(fingerprint, len(seen), transparent, deep, unreadable)


# ----------------------------------------------------------------------------------------------
# Looking


def look_at(
    title: str, heading: Iterable[bytes], count: int, fetch: Callable[[int], tuple[bytes, bytes]]
) -> Survey:
    """Survey `count` images in threads; `fetch` gives name and content of each."""

    def look_at_some(start: int) -> list[tuple[bytes, Oddity]]:
        named = map(fetch, range(start, min(start + CHUNK, count)))
        digest = hashlib.sha256
        return [(_framed(n) + digest(c).digest(), oddity(io.BytesIO(c))) for n, c in named]

    sha, odd = hashlib.sha256(b"".join(map(_framed, heading))), []
    with ThreadPoolExecutor(WORKERS) as pool:
        parts = pool.map(look_at_some, range(0, count, CHUNK))
        for seen in shown(parts, f"fingerprint of {title}", "images", count, len):
            for part, found in seen:
                sha.update(part)
                odd.append(found)
    return _survey_of(sha.hexdigest(), odd)


def digest_parts(parts: Iterable[bytes]) -> str:
    """SHA-256 of byte strings, each preceded by its length, so that boundaries count."""
    return hashlib.sha256(b"".join(map(_framed, parts))).hexdigest()


def _framed(part: bytes) -> bytes:
    return len(part).to_bytes(8, "little") + part


def oddity(file: io.BytesIO | Path) -> Oddity:
    """The oddity in an image file's header, without decoding it.

    A file that is damaged behind its first bytes is plain here and refused where it is decoded.
    """
    if isinstance(file, Path) and not file.is_file():  # a pipe would block
        return Oddity()
    try:
        with Image.open(file, formats=FORMATS) as image:
            # Pillow says "RGB" of a coloured PNG of 16 bits, but its decoder is set to "RGB;16B".
            deep = image.format == "PNG" and any(str(t.args).endswith(";16B") for t in image.tile)
            return Oddity(image.has_transparency_data, deep)
    except DECODING_ERRORS:
        return Oddity(unreadable=True)


# ----------------------------------------------------------------------------------------------
# Keeping


def _note_of(source: Surveyed) -> Path | None:
    """The file that keeps the survey of the files as they are now.

    None if nothing is to be kept.
    """
    states = list(_states(source))
    if not states:
        return None
    kind = type(source).__name__.encode()
    parts = (b"%s %d %d %d %d" % state for state in states)
    return cache_root() / "fingerprints" / f"{digest_parts([VERSION.encode(), kind, *parts])}.json"


def _states(source: Surveyed) -> Iterator[tuple[bytes, int, int, int, int]]:
    """Name, size, times and inode of every file."""
    for name, path in source.files():
        try:
            state = file_state(path)
        except OSError as error:
            raise UserError(f"{path}: cannot read this file ({error.strerror})") from error
        yield os.fsencode(name), *state


def _settled(source: Surveyed) -> bool:
    newest = max(max(state[2], state[3]) for state in _states(source))
    return time.time() - newest / 1e9 > SETTLED


def _read(path: Path) -> Survey | None:
    """The survey that was kept, or None if it does not exist, is damaged or not ours."""
    try:
        kept = Survey(**unsealed(read_file(path, LARGEST_NOTE)))
        return kept if re.fullmatch("[0-9a-f]{64}", kept.fingerprint) else None
    except (UserError, ValueError, TypeError):
        return None


def sealed(content: dict[str, Any]) -> bytes:
    """JSON that carries the SHA-256 of its own content."""
    return (json.dumps({"content": content, "sha256": hash_of(content)}, indent=1) + "\n").encode()


def unsealed(data: bytes) -> dict[str, Any]:
    """The content of `sealed`. Raises ValueError if a byte of it has changed."""
    try:
        whole = json.loads(data)
        content: dict[str, Any] = whole["content"]
        if whole["sha256"] == hash_of(content) and isinstance(content, dict):
            return content
    except (KeyError, TypeError, RecursionError):
        pass
    raise ValueError("not the content that was sealed")
