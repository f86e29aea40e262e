"""A folder belongs to one process at a time."""

import fcntl
from pathlib import Path
from typing import IO

from diffae.errors import UserError
from diffae.files import writing

LOCK = "lock"


def lock_folder(folder: Path, doing: str) -> IO[str]:
    """Lock `folder` while the file returned is open. Raises UserError if another process has it.

    The system releases the lock when the process ends, however it ends.
    """
    with writing(folder, "or choose another folder"):
        lock = open(folder / LOCK, "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(f"{folder}: another process is {doing} in this folder") from None
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be locked ({error.strerror}); choose a folder on another file system"
        ) from None
    return lock


def foreign(folder: Path) -> bool:
    """Whether `folder` holds more than a process leaves behind that was killed before it had begun."""
    return any(path.name != LOCK and path.suffix != ".partial" for path in folder.iterdir())
