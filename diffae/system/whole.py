"""Write files and folders, whole or not at all.

    write_whole(path, data)                a file of these bytes
    write_new(path, data)                  the same, if there is no file
    with whole_file(path) as partial:      a file that the block writes to `partial`
    with whole_folder(path) as partial:    a folder that the block fills

The content is written beside `path`, under a name that nobody else uses, and renamed when it is
complete. A process that is killed leaves the old file as it was and a partial file, which `sweep`
removes. The target of a link is replaced, and a pipe or a device is written to. Errors of the disk
are left to `diffae.system.files.writing`.
"""

import os
import re
import secrets
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

STANDARD_OUTPUT = Path("/dev/stdout")
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
            with open(path, "xb") as file:
                file.write(data)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A new, empty file for the block to write; it becomes `path` if the block succeeds.

    It has the permissions of the file that it replaces, or of any new file. A pipe or a device is
    sent the content when it is complete.
    """
    if is_stream(path):
        with TemporaryDirectory(prefix="diffae-") as folder:
            content = Path(folder, "content")
            yield content
            _send(content.read_bytes(), path)
        return
    target = Path(os.path.realpath(path))
    with scratch_file(target) as partial:
        try:
            mode = target.stat().st_mode
        except FileNotFoundError:
            mode = partial.stat().st_mode
        yield partial
        partial.chmod(stat.S_IMODE(mode))
        os.replace(partial, target)


@contextmanager
def scratch_file(path: Path) -> Iterator[Path]:
    """A new, empty file beside `path`; removed at the end if it is still there."""
    partial = path.with_name(_partial_name(path))
    partial.open("xb").close()
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def is_stream(path: Path) -> bool:
    """Whether `path` is written to rather than replaced: a pipe, a device, or standard output."""
    is_special = path.exists() and not path.is_file() and not path.is_dir()
    return is_special or path == STANDARD_OUTPUT


def _send(content: bytes, path: Path) -> None:
    if path == STANDARD_OUTPUT:  # perhaps a file, in which earlier output must stay
        sys.stdout.flush()
        with open(1, "wb", closefd=False) as stream:
            stream.write(content)
    else:
        path.write_bytes(content)


# ----------------------------------------------------------------------------------------------
# Folders


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder for the block to fill; it becomes `path` if the block succeeds.

    There must be nothing at `path`, or an empty folder.
    """
    with scratch_folder(path) as partial:
        yield partial
        os.replace(partial, os.path.realpath(path))


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """A new, empty folder beside `path`; removed at the end if it is still there."""
    path = Path(os.path.realpath(path))
    partial = path.with_name(f".{_partial_name(path)}")
    try:
        partial.mkdir(parents=True)
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


# ----------------------------------------------------------------------------------------------
# What killed processes leave behind


def _partial_name(path: Path) -> str:
    return f"{path.name}.{secrets.token_hex(4)}.partial"


def is_partial(path: Path) -> bool:
    """Whether `path` is, by its name, a file that this module leaves behind when it is killed."""
    return bool(PARTIAL.fullmatch(path.name)) and path.is_file() and not path.is_symlink()


def sweep(paths: Iterable[Path]) -> None:
    """Remove those of `paths` that killed processes have left, if no other process can be writing."""
    for path in list(paths):
        with suppress(OSError):  # what is left does no harm
            if is_partial(path):
                path.unlink()
            elif path.name.startswith(".") and PARTIAL.fullmatch(path.name):
                shutil.rmtree(path)  # which refuses a link
