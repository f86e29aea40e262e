"""Reading untrusted JSON: errors in one line, with short and harmless quotations."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffae.system.cli import printable
from diffae.system.errors import UserError
from diffae.system.files import read_text

MEBIBYTE = 1 << 20
LARGEST_TEXT = 16 * MEBIBYTE  # some 40,000 rows; parsed, it takes thirty times as much at worst


def read_json(path: Path) -> dict[str, Any]:
    """The object in the JSON file `path`. Raises UserError naming the file if there is none."""
    try:
        content = json.loads(read_text(path, LARGEST_TEXT))
    except RecursionError:
        raise UserError(f"{path}: nested too deeply") from None
    except ValueError as error:  # JSONDecodeError, or a number of thousands of digits
        raise UserError(f"{path}: not JSON: {short(error)}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: not an object of JSON but {short(repr(content))}")
    return content


def part_of(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The object `name` of a JSON object; empty if it has none."""
    found = content.get(name)
    return found if isinstance(found, dict) else {}


def short(value: object, most: int = 80) -> str:
    """`value` as text on one line of at most `most` characters, all of them harmless to a terminal."""
    text = str(value)
    return printable(text if len(text) <= most else f"{text[: most - 4]} ...")


def joined(*parts: str, by: str = ", ") -> str:
    """The parts that are not empty, separated by commas."""
    return by.join(filter(None, parts))


def named(system: str, reason: str) -> str:
    """`reason` with the name of the system that it is about, once."""
    return reason if reason.startswith(system) else f"{system}: {reason}"


def for_xml(text: str) -> str:
    """`text` without the control characters that XML 1.0 cannot represent."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", text)
