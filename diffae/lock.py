"""A folder belongs to one process at a time."""

import fcntl
from pathlib import Path
from typing import IO

from diffae.errors import UserError


def lock_folder(folder: Path, doing: str) -> IO[str]:
    """Lock `folder` while the file returned is open. Raises UserError if another process has it.

    The system releases the lock when the process ends, however it ends.
    """
    lock = open(folder / "lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise UserError(f"{folder}: another process is {doing} in this folder") from None
    return lock
