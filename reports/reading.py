"""Files of a run folder that may be anybody's: regular ones only, of a bounded size, or refused in one line.

Whoever compares two folders need not have made either. So nothing is allocated because a file says so, a FIFO is
not waited for, and what is refused is quoted in a few words however long it is.
"""

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

MEBIBYTE = 1 << 20
LARGEST_TEXT = 16 * MEBIBYTE  # some 40,000 rows; parsed, it takes thirty times as much at worst


class Refused(ValueError):
    """Input that cannot be used: one line that names the file, and the line or field in it."""


def read_bytes(path: Path, largest: int) -> bytes:
    """The content of the regular file `path`. Raises Refused if it is none or larger than `largest` bytes."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a FIFO without a writer would block
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise Refused(f"{path}: {_kind(status.st_mode)}, not a file")
            if status.st_size > largest:
                raise Refused(f"{path}: {status.st_size:,} bytes, more than {largest:,}")
            with open(handle, "rb", closefd=False) as file:
                return file.read(largest)
        finally:
            os.close(handle)
    except FileNotFoundError:
        raise Refused(f"{path}: no such file; give the folder of a finished run") from None
    except (OSError, ValueError) as error:
        if isinstance(error, Refused):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise Refused(f"{path}: not readable: {reason}") from None


def read_text(path: Path, largest: int = LARGEST_TEXT) -> str:
    """The content of the UTF-8 file `path`, with line ends as they are."""
    try:
        return read_bytes(path, largest).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(f"{path}: not UTF-8 text (byte {error.start})") from None


def read_json(path: Path, largest: int = LARGEST_TEXT) -> dict[str, Any]:
    """The object that the JSON file `path` holds."""
    try:
        content = json.loads(read_text(path, largest))
    except RecursionError:
        raise Refused(f"{path}: nested too deeply") from None
    except ValueError as error:  # JSONDecodeError, or a number of thousands of digits
        if isinstance(error, Refused):
            raise
        raise Refused(f"{path}: not JSON: {short(error)}") from None
    if not isinstance(content, dict):
        raise Refused(f"{path}: not an object of JSON but {short(repr(content))}")
    return content


def short(value: object, most: int = 80) -> str:
    """`value` as text on one line of at most `most` characters, all of them harmless to a terminal."""
    text = str(value)
    text = text if len(text) <= most else f"{text[: most - 4]} ..."
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def for_xml(text: str) -> str:
    """`text` without the control characters that XML 1.0 has no way to write."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", text)


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")
