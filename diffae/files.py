"""Files that are written whole or not at all, and what is said when a disk refuses them."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from diffae.errors import UserError

# What a disk may answer, and what to do about it.
REFUSALS = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
    errno.EFBIG: "allow larger files",
    errno.EROFS: "make it writable",
    errno.EACCES: "make it writable",
    errno.EPERM: "make it writable",
    errno.ENOTDIR: "give a folder",
    errno.EEXIST: "give a folder",
}


def write_whole(path: Path, data: bytes) -> None:
    """Write `path`, so that whoever looks finds all of it or nothing, even if two write it at once."""
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    except OSError:
        with suppress(OSError):
            partial.unlink()
        raise


@contextmanager
def writing(folder: Path, otherwise: str) -> Iterator[None]:
    """Turn a disk's refusal within the block into a UserError that names `folder` and the way out."""
    try:
        yield
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        raise UserError(refusal(error, folder, otherwise)) from None


def refusal(error: OSError, folder: Path | str, otherwise: str = "") -> str:
    """A disk's refusal in one line."""
    assert error.errno is not None
    remedy = " ".join(filter(None, [REFUSALS[error.errno], otherwise]))
    return f"{folder}: {error.strerror}; {remedy}, then run the same command again to go on"
