"""Write files and folders, whole or not at all.

    write_whole(path, data)                a file of these bytes
    write_new(path, data)                  the same, if there is no file
    with whole_file(path) as partial:      a file that the block writes to `partial`
    with whole_folder(path) as partial:    a folder that the block fills

What is written stands beside `path`, under a name that nobody else uses, until it is complete. A
process that is killed leaves the old file as it was, and a partial file, which `is_partial` knows
by its name and `sweep` removes. Only a regular file is replaced: a link is followed, a device or a
pipe is written to, and a folder is an error. Disk errors are left to `diffae.system.files.writing`.
"""

import errno
import os
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

PARTIAL = re.compile(r".+\.[0-9a-f]{8}\.partial", re.DOTALL)


# ----------------------------------------------------------------------------------------------
# Files


def write_whole(path: Path, data: bytes) -> None:
    """Write `path` so that a reader finds all of it or nothing, even if two processes write at once."""
    with whole_file(path) as partial:
        partial.write_bytes(data)


def write_new(path: Path, data: bytes) -> None:
    """Write `path` in the same manner, but never over another file.

    Raises FileExistsError if it exists, also if another process makes it meanwhile.
    """
    with scratch_file(path) as partial:
        partial.write_bytes(data)
        try:
            os.link(partial, path)
        except FileExistsError:
            raise
        except OSError:  # a disk without hard links
            if path.exists():
                raise _error(errno.EEXIST, path) from None
            put(partial, path)


def copy_whole(source: Path, path: Path) -> None:
    """Write the content of the file `source` to `path`, in the same manner."""
    with whole_file(path) as partial:
        shutil.copyfile(source, partial)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A new, empty file for the block to write; it becomes `path` if the block succeeds.

    It has the permissions of the file that it replaces, or of any new file. For a device or a pipe
    the content is sent there when it is complete.
    """
    if is_stream(path):
        with TemporaryDirectory(prefix="diffae-") as folder:
            partial = Path(folder, "partial")
            partial.touch()
            yield partial
            with partial.open("rb") as content, _opened(path) as stream:
                shutil.copyfileobj(content, stream)
        return
    target = _end_of_links(path)
    if target.is_dir():
        raise _error(errno.EISDIR, path)
    with scratch_file(target) as partial:
        mode = (target if target.exists() else partial).stat().st_mode
        yield partial
        if partial.stat().st_mode != mode:  # the old file's, or safetensors made another
            partial.chmod(stat.S_IMODE(mode))
        put(partial, target)


@contextmanager
def scratch_file(path: Path) -> Iterator[Path]:
    """A new, empty file beside `path`; removed at the end if it is still there."""
    partial = path.with_name(_partial_name(path))
    partial.open("xb").close()
    try:
        yield partial
    finally:
        with suppress(OSError):
            partial.unlink()


def append(path: Path, content: bytes) -> None:
    """Add `content` to the file `path`.

    If the disk takes only a part of it, the file is restored.
    """
    with open(path, "ab", buffering=0) as file:
        end = os.fstat(file.fileno()).st_size
        try:
            written = file.write(content)
            while written < len(content):  # a disk that is nearly full takes a part
                written += file.write(content[written:])
        except OSError:
            with suppress(OSError):  # a pipe cannot be cut
                os.ftruncate(file.fileno(), end)
            raise


def is_stream(path: Path) -> bool:
    """Whether `path` leads to something that is written to rather than replaced.

    That is a pipe, a socket, a device, or the file that standard output or standard error goes to.
    """
    try:
        status = os.stat(path)
    except OSError:
        return False
    if stat.S_ISREG(status.st_mode):
        return _standard(status) is not None
    return not stat.S_ISDIR(status.st_mode)


def _standard(status: os.stat_result) -> int | None:
    """The descriptor of the standard stream that goes to this file."""
    for number in (1, 2):
        with suppress(OSError):
            if os.path.samestat(os.fstat(number), status):
                return number
    return None


def _opened(path: Path) -> IO[bytes]:
    """A stream, open for writing; a standard stream after what was printed so far."""
    number = _standard(os.stat(path))
    if number is None:
        return open(path, "wb")
    (sys.stdout if number == 1 else sys.stderr).flush()
    return os.fdopen(os.dup(number), "wb")


def put(made: Path, path: Path) -> None:
    """Move a finished file or folder to `path`.

    A file replaces a regular file or nothing, a folder an empty folder or nothing.
    """
    target = _end_of_links(path)
    with suppress(FileNotFoundError):
        mode = target.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise _error(errno.ELOOP if stat.S_ISLNK(mode) else errno.EEXIST, path)
    os.replace(made, target)


def _end_of_links(path: Path) -> Path:
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _error(number: int, path: Path) -> OSError:
    return OSError(number, os.strerror(number), str(path))


# ----------------------------------------------------------------------------------------------
# Folders


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder for the block to fill; it becomes `path` if the block succeeds.

    There must be nothing at `path`, or an empty folder.
    """
    if path.exists() and not path.is_dir():
        raise _error(errno.ENOTDIR, path)
    with scratch_folder(path) as partial:
        yield partial
        put(partial, path)


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """A new, empty folder beside `path`; removed at the end if it is still there.

    So are the folders above it that were made for it, if they are still empty.
    """
    path = Path(os.path.realpath(path))
    partial = path.with_name(f".{_partial_name(path)}")
    parents = [parent for parent in path.parents if not parent.exists()]
    try:
        partial.mkdir(parents=True)
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        for parent in parents:  # the nearest first
            with suppress(OSError):
                parent.rmdir()


# ----------------------------------------------------------------------------------------------
# What killed processes leave behind


def _partial_name(path: Path) -> str:
    return f"{path.name}.{secrets.token_hex(4)}.partial"


def is_partial(path: Path) -> bool:
    """Whether `path` is, by its name, a file that this module leaves behind when it is killed."""
    return bool(PARTIAL.fullmatch(path.name)) and path.is_file() and not path.is_symlink()


def sweep(paths: Iterable[Path], older: float = 0.0) -> None:
    """Remove those of `paths` that killed processes have left, if no other process can be writing.

    `older` spares what was written to within that many seconds.
    """
    for path in list(paths):
        with suppress(OSError):  # what is left does no harm
            if older and time.time() - path.lstat().st_mtime <= older:
                continue
            if is_partial(path):
                path.unlink()
            elif path.name.startswith(".") and PARTIAL.fullmatch(path.name):
                shutil.rmtree(path)  # which refuses a link
