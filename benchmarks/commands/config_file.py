"""`--config FILE`: a command line as TOML.

Keys are the names of the flags; `benchmarks` are those to run.

    benchmarks = ["reconstruction", "probes"]
    profile = "quick"
    seed = 1

    [ckpt]
    diffae = "last.ckpt"

    [set]
    reconstruction.images = 64

The parser of the command line reads every value, so that both refuse the same values.
"""

import argparse
from collections.abc import Iterable, Iterator, Mapping
from numbers import Real
from pathlib import Path
from typing import Any

from diffae.system import cli
from diffae.system.errors import UserError, naming
from diffae.system.files import read_toml

BENCHMARKS = "benchmarks"  # the only key without a flag
NEVER = ("config", "help")
REPEATED = ("ckpt", "set")


def words(path: Path, parser: argparse.ArgumentParser) -> tuple[list[str], dict[str, list[str]]]:
    """The benchmarks that the file names, and the arguments of its other keys.

    The arguments are those of the command line, by key.
    """
    try:
        content = read_toml(path)
    except UserError as error:
        raise UserError(f"--config {error}") from None
    with naming(f"--config {path}", ValueError):
        found = arguments(content, parser)
    return found.pop(BENCHMARKS, []), found


def arguments(given: Mapping[str, object], parser: argparse.ArgumentParser) -> dict[str, list[str]]:
    """The words of the command line that these values stand for, by flag.

    Raises ValueError, naming the key, for a flag that there is not, and for a value of a kind that it
    cannot take.
    """
    flags = {
        flag[2:]: action
        for flag, action in parser._option_string_actions.items()
        if flag.startswith("--") and flag[2:] not in NEVER
    }
    found: dict[str, list[str]] = {}
    for key, value in given.items():
        name = key.replace("_", "-")
        if name not in (BENCHMARKS, *flags):
            raise ValueError(f"{key}: no such flag{cli.did_you_mean(key, [BENCHMARKS, *flags])}")
        try:
            is_flag = name in flags
            found[name] = list(_arguments(flags[name], name, value) if is_flag else texts(value))
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None
    return found


def _arguments(action: argparse.Action, name: str, value: object) -> Iterator[str]:
    """The arguments of one key. Raises ValueError if its value is of a kind that the flag cannot take."""
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise ValueError(f"must be true or false, not {value!r}")
        yield from [f"--{name}"] * value
    elif name in REPEATED:
        for text in _pairs(value) if isinstance(value, Mapping) else texts(value):
            yield f"--{name}={text}"
    else:
        yield f"--{name}={','.join(texts(value))}"


def _pairs(table: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """NAME=VALUE for each entry of a table, and SECTION.NAME=VALUE for those of its subtables."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _pairs(value, f"{above}{name}.")
        else:
            yield f"{above}{name}={','.join(texts(value))}"


def texts(value: object) -> list[str]:
    """A value, or each of several, as it would be typed on the command line."""
    if isinstance(value, Iterable) and not isinstance(value, str | Mapping):
        return [_text(part) for part in value]
    return [_text(value)]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | Path | Real):
        return str(value)
    raise ValueError(f"must be a text, a number or a list of them, not {value!r}")
