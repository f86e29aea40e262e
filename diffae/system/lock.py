"""Locks: a folder is used by one process at a time.

A file called "lock" that we did not make is left alone.
"""

import fcntl
import os
import stat
from pathlib import Path
from typing import IO

from diffae.system.errors import UserError
from diffae.system.files import writing
from diffae.system.whole import is_partial

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
    """Whether `folder` holds more than a process leaves behind that was killed at its start."""
    return not all(is_partial(path) or _is_lock(path) for path in folder.iterdir())


def _is_lock(path: Path) -> bool:
    status = path.lstat()
    return path.name == LOCK and stat.S_ISREG(status.st_mode) and status.st_size == 0
