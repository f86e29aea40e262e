"""The options of `python -m benchmarks.run`.

They are read and checked, as far as possible without importing PyTorch.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import systems
from benchmarks.core import suites
from benchmarks.core.profiles import BUILT_IN, DEFAULT, Profile, find, for_run
from benchmarks.core.registry import chosen
from benchmarks.core.runner.request import Options
from benchmarks.core.sizes import Solver, Steps, typed
from benchmarks.metrics.protocols import edits
from benchmarks.metrics.protocols import schema as protocols
from benchmarks.runtime.choices import NetworkChoice, add_options, given, names
from benchmarks.systems import slug
from benchmarks.systems.shared import recognised
from diffae.system import cli
from diffae.system.errors import UserError
from diffae.system.signals import importing

BY_FOLDER = "diffusers"  # the system whose checkpoints have titles of their own
PROFILE_HELP = f"{', '.join(BUILT_IN)}, or a TOML file (default: {DEFAULT})"


def parse(arguments: list[str] | None, description: str | None) -> Options:
    """Read the command line. Raises UserError naming the flag or name that is wrong."""
    words = sys.argv[1:] if arguments is None else arguments
    args = parser(description).parse(words, intermixed=True)
    if not args.what:
        raise UserError("no benchmark given: name some, or all (`list` shows them)")
    if args.crop is not None and args.data is None:
        raise UserError("--crop: says how --data is cut, and there is no --data")
    checkpoints = _checkpoints(args.ckpt)
    given = {"systems": _system_names(args.systems, checkpoints), "checkpoints": checkpoints}
    return options_of(args, args.what, words, arguments=tuple(words), **given)


def options_of(
    args: argparse.Namespace, what: Sequence[str], words: Iterable[str], **more: Any
) -> Options:
    """The options of a run of benchmarks or of a suite, `what`, from the parsed `words` of the command.

    Raises UserError.
    """
    if suite := suites.asked(what):
        suite.refuse(words)
        with importing():
            vars(args).update(suite.options)
        more["suite"] = suite.about
    benchmarks = tuple(suite.content["benchmarks"]) if suite else chosen(what)
    if args.weights_dir is not None and not args.weights_dir.is_dir():
        raise UserError(f"--weights-dir {args.weights_dir}: no such folder")
    with importing():
        profile = args.profile if isinstance(args.profile, Profile) else find(args.profile)
        changed = [*args.set, *["representation.axes=true"] * args.axes]
        profile = for_run(profile, benchmarks, args.steps, args.solver, changed, args.limit)
    ours, of_edits = _protocols(args.protocol, benchmarks)
    return Options(
        benchmarks=benchmarks,
        profile=profile,
        device=args.device or cli.default_device(),
        networks=NetworkChoice(**given(args, NetworkChoice)),
        protocols=protocols.asked(ours, args.explain),
        edit_protocols=edits.LIBRARY.asked(of_edits, False),
        **given(args, Options),
        **more,
    )


def _protocols(given: tuple[str, ...], benchmarks: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The protocols of reconstructions and those of edits. A name is of the kind that has it and is measured; a
    file, or an unknown name, of the first that is measured.
    """
    kinds = {"reconstruction": protocols.names(), "edits": edits.names()}
    able = {name: has for name, has in kinds.items() if name in benchmarks} or kinds
    of = {one: [name for name, has in able.items() if one in has] or [*able] for one in given}
    return [tuple(one for one in given if of[one][0] == name) for name in kinds]


def parser(description: str | None) -> cli.Parser:
    """The parser of the command: its flags are the options of `Options` and those that choose them."""
    found = cli.Parser(cli.prog("benchmarks.run"), description)
    add = found.add_argument
    add("what", nargs="*", help="all, benchmarks, a suite, or one of list, weights, doctor, docs")
    several: dict[str, Any] = {"action": "append", "default": []}
    ckpt = (
        "checkpoint of a system, a path or hf://OWNER/NAME; without SYSTEM= the file shows which; may be repeated, with a "
        "TITLE for each further checkpoint of the same system"
    )
    add("--ckpt", type=cli.word, metavar="[SYSTEM[:TITLE]=]PATH", help=ckpt, **several)
    known = f"default: {','.join(systems.DEFAULT)}, or those of --ckpt"
    add("--systems", type=names, metavar="NAME,...|all", help=known)
    add("--profile", default=DEFAULT, metavar="NAME|FILE", help=PROFILE_HELP)
    steps = _setting(tuple[Steps, ...])
    add("--steps", type=steps, metavar="10,20,...", help="T of Tables 1, 2 and 4")
    solver = "solver of all benchmarks that use one: ddim (the paper's), fast, ... (`diffae-bench docs solvers`)"
    add("--solver", type=_setting(Solver), metavar="NAME", help=solver)
    changed = "change one setting of the profile (`diffae-bench docs profiles`); may be repeated"
    add("--set", metavar="TASK.NAME=VALUE", help=changed, **several)
    axes = "in representation, also measure numbers that are bound to the axes of a code"
    add("--axes", action="store_true", help=axes)
    add("--limit", type=cli.positive, metavar="N", help="cap every count, for trying things out")
    add("--device", type=cli.device, help="cpu, cuda or cuda:N (default: a GPU if there is one)")
    also = (
        f"measure reconstructions also as other evaluation codes do: {', '.join(protocols.names())}; or edits: "
        f"{', '.join(edits.names())}"
    )
    add("--protocol", type=names, default=(), metavar="NAME|FILE.toml,...", help=also)
    add_options(found, Options)
    add_options(found, NetworkChoice)
    return found


def _setting(hint: Any) -> Callable[[str], Any]:
    """The type of a flag whose value is that of a setting (sizes.py)."""
    return cli.argument(lambda text: typed(text, hint))


def _system_names(asked: tuple[str, ...] | None, checkpoints: Iterable[str]) -> tuple[str, ...]:
    """The systems of --systems; without it, the default ones and those of `checkpoints`.

    If `checkpoints` names none of the default ones, only its systems: giving a VQ-GAN alone
    evaluates that alone.
    """
    if asked is None:
        given = tuple(dict.fromkeys(map(_system_of, checkpoints)))
        others = tuple(name for name in given if name not in systems.DEFAULT)
        return others if others and others == given else systems.DEFAULT + others
    if asked == ("all",):
        return tuple(systems.REGISTRY.usable())
    for name in asked:
        systems.require(name)
    return asked


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
        found = recognised.system_of(text)
    except UserError as error:
        named = f"name that: --ckpt NAME={text} (`list` has the names)"
        own = f"or your own class: --ckpt module:Class={text}"
        hint = f"; if it is of a different system, {named}, {own}" if Path(text).is_file() else ""
        raise UserError(f"{error}{hint}") from None
    systems.REGISTRY.require(found)
    return found, text
