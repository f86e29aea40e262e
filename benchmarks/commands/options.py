"""The command line of `python -m benchmarks.run`.

It is read and checked, as far as possible without importing PyTorch.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks import systems
from benchmarks.core.runner.request import KINDS, Options, options_for
from benchmarks.runtime.choices import names
from benchmarks.systems import slug
from benchmarks.systems.shared import recognised
from diffae.system import cli
from diffae.system.errors import UserError
from diffae.system.settings import add_options
from diffae.system.signals import importing

BY_FOLDER = "diffusers"  # the system whose checkpoints have titles of their own


def parse(arguments: list[str] | None, description: str | None) -> Options:
    """Read the command line. Raises UserError naming the flag or name that is wrong."""
    words = sys.argv[1:] if arguments is None else arguments
    values = vars(parser(description).parse(words, intermixed=True))
    benchmarks = [name for text in values.pop("what") for name in text.split(",")]
    if not benchmarks:
        raise UserError("no benchmark given: name some, or all (`list` shows them)")
    if "crop" in values and "data" not in values:
        raise UserError("--crop: says how --data is cut, and there is no --data")
    if "smallest" in values and "data" not in values:
        raise UserError("--smallest: leaves out images of --data, and there is no --data")
    checkpoints = _checkpoints(values.pop("ckpt"))
    chosen: dict[str, Any] = {"systems": _system_names(values.pop("systems"), checkpoints)}
    chosen |= {"checkpoints": checkpoints, "arguments": tuple(words)}
    with importing():
        return options_for(benchmarks, values, **chosen)


def parser(description: str | None) -> cli.Parser:
    """The parser of the command: its flags are those of systems, and the options of a run."""
    command = cli.Parser(cli.prog("benchmarks.run"), description)
    add = command.add_argument
    add(
        "what",
        nargs="*",
        help="all, benchmarks (A,B or A B), a suite, or one of list, weights, doctor, docs",
    )
    ckpt = (
        "checkpoint of a system, a path or hf://OWNER/NAME; without SYSTEM= the file shows which; may be repeated, with a "
        "TITLE for each further checkpoint of the same system"
    )
    name = "[SYSTEM[:TITLE]=]PATH"
    add("--ckpt", action="append", default=[], type=cli.word, metavar=name, help=ckpt)
    default = f"default: {','.join(systems.DEFAULT)}, or those of --ckpt"
    add("--systems", type=names, metavar="NAME,...|all", help=default)
    for kind in KINDS:
        add_options(command, kind)
    return command


def _system_names(names: tuple[str, ...] | None, checkpoints: Iterable[str]) -> tuple[str, ...]:
    """The systems of --systems; without it, the default ones and those of `checkpoints`.

    If `checkpoints` names none of the default ones, only its systems: giving a VQ-GAN alone
    evaluates that alone.
    """
    if names is None:
        given = tuple(dict.fromkeys(map(_system_of, checkpoints)))
        others = tuple(name for name in given if name not in systems.DEFAULT)
        return others if others and others == given else systems.DEFAULT + others
    if names == ("all",):
        return tuple(systems.REGISTRY.usable())
    for name in names:
        systems.require(name)
    return names


def _checkpoints(texts: list[str]) -> dict[str, str]:
    """The checkpoints of --ckpt by SYSTEM or SYSTEM:TITLE. Raises UserError if one is given twice."""
    checkpoints: dict[str, str] = {}
    given = [_checkpoint(text) for text in texts]
    several = [name for name, _ in given].count(BY_FOLDER) > 1
    for name, path in given:
        if name == BY_FOLDER and several:  # named by their titles in tables
            with importing():
                from benchmarks.systems.diffusers import system as diffusers_system
            name = f"{BY_FOLDER}:{diffusers_system.find(path)[0].title}"
        if name in checkpoints:
            raise UserError(
                f"--ckpt: two checkpoints for {name}, {checkpoints[name]} and {path}; "
                f"give the second a title: --ckpt {name.partition(':')[0]}:TITLE={path}"
            )
        checkpoints[name] = path
    return checkpoints


def _system_of(key: str) -> str:
    """The system's name in SYSTEM:TITLE; package.module:factory and timm:MODEL are names as a whole."""
    name = key.partition(":")[0]
    return name if name != "timm" and name in systems.REGISTRY.names() else key


def _checkpoint(text: str) -> tuple[str, str]:
    """Parse `SYSTEM=PATH`, `SYSTEM:TITLE=PATH`, or `PATH`.

    In a `PATH` alone the kind of the checkpoint shows the system.
    """
    name, separator, path = text.partition("=")
    system, colon, title = name.partition(":")
    if path and _system_of(name) == name and systems.is_address(name):
        return name, path
    if separator and system in systems.REGISTRY.names():
        if not path or (colon and not (slug(title) and title.isprintable())):
            raise UserError(f"--ckpt {text}: expected SYSTEM=PATH or SYSTEM:TITLE=PATH")
        return name, path
    try:
        name = recognised.system_of(text)
    except UserError as error:
        named = f"name that: --ckpt NAME={text} (`list` has the names)"
        own = f"or your own class: --ckpt module:Class={text}"
        hint = f"; if it is of a different system, {named}, {own}" if Path(text).is_file() else ""
        raise UserError(f"{error}{hint}") from None
    systems.REGISTRY.require(name)
    return name, text
