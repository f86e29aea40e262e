"""Read files from outside with care, and never write over files that are not ours.

A path from a user may be a pipe without a writer, an endless device, or a file of terabytes:
`read_file` checks type and size before it opens it. (`whole.py` writes files.)
"""

import errno
import fcntl
import hashlib
import json
import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from diffae.system.errors import UserError, once
from diffae.system.whole import is_partial, is_stream

# Errors of a disk, and what to do about them.
REFUSALS = {
    errno.EBADF: "let no plug-in close it (os.close)",
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
    errno.EFBIG: "allow larger files",
    errno.EROFS: "make it writable",
    errno.EACCES: "make it writable",
    errno.EPERM: "make it writable",
    errno.ENOTDIR: "give a folder",
    errno.EEXIST: "give a folder",
    errno.EISDIR: "move the folder away",
    errno.ELOOP: "give a path that is no circle of links",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ENXIO: "give a file",
    errno.EBUSY: "give a file that is not mounted",
    errno.ENOTEMPTY: "give an empty folder",
}
# Errors that mean the same only while writing.
UNMADE = {errno.ENOENT: "give a folder that can be made"}

Json = bool | int | float | str | None | Sequence["Json"] | Mapping[str, "Json"]  # to be written
JsonObject = dict[str, Any]  # of a file from outside: its values are still to be checked

MOST = 2**26  # bytes of a text file: labels, notes
MOST_SETTINGS = 2**20  # bytes of a profile or a command line


def file_size(path: Path, most: int | None = None) -> int:
    """Bytes of the regular file at `path`; links are followed.

    Raises UserError, and opens nothing, if it is a pipe, folder or device, does not exist, is not
    accessible, or holds more than `most` bytes. Call it before anything opens a file from outside.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise UserError(f"{path}: cannot be read: {_reason(error)}") from None
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{path}: {_kind(status.st_mode)}, not a file")
    if most is not None and status.st_size > most:
        raise UserError(f"{path}: {status.st_size:,} bytes, and at most {most:,} are read")
    return status.st_size


def file_state(path: Path) -> tuple[int, int, int, int]:
    """Numbers that change when a file is written to or another takes its place.

    A cache of a file's content has them in its key. Length and time of modification are not enough,
    because tools that copy files keep that time.
    """
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def file_states(paths: Sequence[Path]) -> list[tuple[int, int, int, int]]:
    """The state of each file. Raises UserError naming one that cannot be read."""
    states = []
    for path in paths:
        try:
            states.append(file_state(path))
        except OSError as error:
            raise UserError(f"{path}: cannot read this file ({error.strerror})") from error
    return states


def read_file(path: Path, most: int) -> bytes:
    """The content of a regular file of at most `most` bytes.

    Raises UserError as `file_size` does.
    """
    file_size(path, most)
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {_reason(error)}") from None


def read_text(path: Path, most: int = MOST) -> str:
    """The text of a regular file, UTF-8 with or without a byte order mark, its line ends unchanged."""
    try:
        return read_file(path, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is not UTF-8 text") from None


def read_json(path: Path, most: int = MOST) -> JsonObject:
    """The object in a JSON file. Raises UserError naming the file if it holds none."""
    try:
        content = json.loads(read_text(path, most), object_pairs_hook=partial(once, path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged: not JSON: {error!s:.80}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: damaged: not an object of JSON but {content!r:.80}")
    return content


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file. Raises UserError naming file and line."""
    text = read_text(path, MOST_SETTINGS)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not TOML: {error}") from None


def sha256(path: Path) -> str:
    """The SHA-256 of a file in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_of(content: Json) -> str:
    """The SHA-256 of plain values, in hex: that of their JSON with sorted keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _reason(error: OSError | ValueError) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def amount(size: int) -> str:
    """A number of bytes as text, such as "3.2 GB", in the largest unit that does not exceed it."""
    for unit, count in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= count:
            return f"{size / count:.1f} {unit}"
    return f"{size} bytes"


def cache_root() -> Path:
    """The folder of the cache: $DIFFAE_CACHE, or ~/.cache/diffae if that is unset or empty."""
    folder = os.environ.get("DIFFAE_CACHE") or "~/.cache/diffae"
    try:
        return Path(folder).expanduser()
    except RuntimeError:
        raise UserError(f"{folder}: no home folder here; set DIFFAE_CACHE to a folder") from None


def file_name(text: str) -> str:
    """`text` from outside, such as the name of an attribute, made safe as part of a file name."""
    return re.sub(r"[^\w .+-]", "_", text)[:100]


@contextmanager
def writing(folder: Path, otherwise: str) -> Iterator[None]:
    """Turn a disk error within the block into a UserError that names `folder` and the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno not in REFUSALS | UNMADE:
            raise
        raise UserError(refusal(error, folder, otherwise)) from None


def refusal(error: OSError, folder: Path | str, otherwise: str = "") -> str:
    """A disk error in one line."""
    remedy = " ".join(filter(None, [(REFUSALS | UNMADE)[error.errno or 0], otherwise]))
    return f"{folder}: {error.strerror}; {remedy}, then run the same command again to resume"


# ----------------------------------------------------------------------------------------------
# Outputs, and what they may replace


def never(path: Path) -> bool:
    """`replaces` of an output that replaces nothing."""
    return False


def empty_folder(path: Path) -> bool:
    """`replaces` of a folder that is written as a whole."""
    return path.is_dir() and not any(path.iterdir())


@dataclass(frozen=True)
class OutputPath:
    """The path of a file or folder that a command writes (None: it writes none), and its flag.

    `replaces` says whether what exists at `path` has the format that the command writes, and so may
    be replaced; it is `Path.exists` where the command appends. It is not called for an empty file or
    a device.
    """

    flag: str
    path: Path | None
    replaces: Callable[[Path], bool] = never


def refuse_outputs(outputs: Sequence[OutputPath], inputs: Iterable[Path | str | None]) -> None:
    """Raise UserError unless each output has a path of its own, where nothing else is lost.

    An output must not be one of the `inputs` (files, and folders that must not change), lie in one
    or contain one, not even by a link; the same holds between outputs. A file that exists must have
    the output's format (`OutputPath.replaces`). Every command calls this before its work.
    """
    taken = [(Path(path), f"{path}, which must not change") for path in inputs if path is not None]
    for target in outputs:
        if target.path is None:
            continue
        where = f"{target.flag} {target.path}"
        for path, description in taken:
            if relation := _relation(target.path, path):
                raise UserError(f"{where}: {relation} {description}; choose a different path")
        if _holds_something(target.path) and not target.replaces(target.path):
            raise UserError(f"{where}: exists and would be overwritten; choose a different path")
        taken.append((target.path, f"what {target.flag} writes"))


def _relation(path: Path, other: Path) -> str:
    """The relation of `path` to `other`: "is", "is inside", "contains", or "" if there is none."""
    a, b = Path(os.path.realpath(path)), Path(os.path.realpath(other))
    if a == b:
        return "is"
    if a.is_relative_to(b):
        return "is inside"
    return "contains" if b.is_relative_to(a) else ""


def _holds_something(path: Path) -> bool:
    """Whether something at `path` could be lost, or would be in the way.

    False if there is nothing, a broken link, an empty file, or a stream.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return False
    except OSError:
        return os.path.lexists(path)
    return stat.S_ISDIR(status.st_mode) or (status.st_size > 0 and not is_stream(path))


def begins(start: bytes, holding: bytes = b"") -> Callable[[Path], bool]:
    """A function that says whether a file begins with `start` and contains `holding`."""

    def matches(path: Path) -> bool:
        with suppress(UserError):
            content = read_file(path, MOST)
            return content.startswith(start) and holding in content
        return False

    return matches


# ----------------------------------------------------------------------------------------------
# Locks: a folder is used by one process at a time


LOCK = "lock"  # an empty file


def lock_folder(folder: Path, doing: str) -> IO[str]:
    """Lock `folder` while the file returned is open. Raises UserError if another process has it.

    The system releases the lock when the process ends, in whatever manner.
    """
    with writing(folder, "or choose another folder"):
        lock = open_lock(folder / LOCK)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(f"{folder}: another process is {doing} in this folder") from None
    except OSError as error:
        raise UserError(f"{folder}: cannot be locked ({error.strerror}); choose another") from None
    return lock


def open_lock(path: Path) -> IO[str]:
    """Open the file to lock, creating it if necessary.

    Nothing is ever written to it, and no link is followed.

    Raises UserError if it is a link, a pipe, a folder or a device.
    """
    if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        raise UserError(f"{path}: not a plain file, as our lock would be; move it away")
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o666), "r+")


def foreign(folder: Path) -> bool:
    """Whether `folder` exists and holds more than a process that was killed at its start leaves behind.

    Call it before looking for the file that marks the folder as ours: another process may write that
    file meanwhile.
    """
    if not os.path.lexists(folder):
        return False
    return not folder.is_dir() or not all(is_partial(p) or _is_lock(p) for p in folder.iterdir())


def _is_lock(path: Path) -> bool:
    try:
        status = path.lstat()
    except FileNotFoundError:  # another process has just removed it, or given it its final name
        return True
    return path.name == LOCK and stat.S_ISREG(status.st_mode) and status.st_size == 0
