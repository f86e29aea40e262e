"""Options of a run that systems, metrics and benchmarks read. Nothing here needs PyTorch.

An option is a field of a dataclass. Its flag (benchmarks.run) and its keyword
(`benchmarks.evaluate`) follow from the field, and so does its help.
"""

import argparse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from diffae.system import cli
from diffae.system.errors import UserError
from diffae.system.settings import LARGEST, Range, typed
from reports.records.metrics import EFFNET, FEATURE_NETWORKS

PRECISIONS = ("float32", "tf32", "bfloat16")  # see precision.py
AUTO = "auto"
# images at once, `AUTO`, or None: a chunk of the store; see calling.py
BatchSize = int | str | None

Default = bool | int | str | tuple[()] | None
Value = Path | int | str | tuple[str, ...] | tuple[int, ...] | None
Argument = str | Iterable[str] | Callable[[str], Value]  # of `add_argument`

LARGEST_SIDE = 4096  # pixels at which images are compared
FEATURES = ("inception", EFFNET, *FEATURE_NETWORKS)


def option(
    text: str, default: Default = None, flag: str = "", decides: bool = False, **more: Argument
) -> Any:
    """A dataclass field that is an option; `text` is its help, `more` are arguments of `add_argument`.

    `flag` is the name of the flag if it is not the field's name. An option that `decides` numbers is
    a part of their protocols and keys whenever it is not the default.
    """
    more["help"] = text
    return field(default=default, metadata={"flag": flag, "decides": decides, "arguments": more})


def switch(text: str, flag: str = "", decides: bool = False) -> bool:
    """A dataclass field that is an option without a value, which is off by default."""
    return option(text, False, flag, decides, action="store_true")


def add_options(parser: argparse.ArgumentParser, kind: type) -> None:
    """Add the flag of every option of a dataclass to a parser."""
    for option in fields(kind):
        if option.metadata:
            flag = option.metadata["flag"] or option.name.replace("_", "-")
            more = option.metadata["arguments"]
            parser.add_argument(f"--{flag}", dest=option.name, default=option.default, **more)


def given(args: argparse.Namespace, kind: type) -> dict[str, Any]:
    """The options of a dataclass among parsed arguments."""
    return {field.name: getattr(args, field.name) for field in fields(kind) if field.metadata}


def names(text: str) -> tuple[str, ...]:
    """The type of an option that takes several names."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise argparse.ArgumentTypeError("no name given")
    return names


def ascending(text: str) -> tuple[int, ...]:
    """The type of an option that takes several whole numbers from 1."""
    return tuple(sorted({*typed(text, tuple[Annotated[int, Range(1, LARGEST)], ...])}))


@dataclass(frozen=True)
class NetworkChoice:
    """Which metric networks a run uses.

    `features` names those of metrics on features; without any it is FID's Inception, or its
    stand-in. `stand_ins` leaves out all weights that do not ship with the packages, so that no
    number depends on what was fetched. `weights_dir` is a folder of weights; `allow_unknown` uses
    files of unknown content.
    """

    features: tuple[str, ...] = option(
        f"networks of all metrics on features (default: inception, or its stand-in): {', '.join(FEATURES)}",
        (),
        type=names,
        metavar="NAME,...",
    )
    stand_ins: bool = switch(
        "leave out all metric weights but those of packages: the same numbers on every machine"
    )
    weights_dir: Path | None = option("folder of metric weights", type=cli.path, metavar="DIR")
    allow_unknown: bool = switch("use weights whose hash is not known", "allow-unknown-weights")

    def __post_init__(self) -> None:
        for name in self.features:
            if name not in FEATURES:
                raise UserError(f"no feature network {name!r}{cli.did_you_mean(name, FEATURES)}")
            if self.stand_ins and name != EFFNET:
                raise UserError(f"stand-ins alone leave out the feature network {name}: choose one")


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """The options that benchmarks read, as `context.options`."""

    attributes: tuple[str, ...] = option(
        "attributes that `identity` and `edits` edit (default: some that the data has)",
        (),
        type=names,
        metavar="NAME,...",
    )
    keep: tuple[int, ...] = option(
        "also reconstruct from only so many tokens or numbers of a code, the first ones, by systems that can",
        (),
        type=cli.argument(ascending),
        metavar="1,2,4,...",
    )
    size: int | None = option(
        "side in pixels at which images are compared (default: that of the smallest system, as in the paper)",
        type=cli.between(1, LARGEST_SIDE),
        metavar="N",
    )
    protocols: tuple[str, ...] = ()  # of reconstructions, see metrics/protocols/schema.py
    edit_protocols: tuple[str, ...] = ()  # see metrics/protocols/edits.py
    # the entry of the chosen suite in run.json, see core/suites.py
    suite: Mapping[str, Any] = field(default_factory=dict)
    explain: bool = switch("reconstructions by every protocol, and why the numbers differ")

    @cached_property
    def deciding(self) -> dict[str, Value]:
        """The options that decide numbers and are not the default."""
        names = [option.name for option in fields(self) if option.metadata.get("decides")]
        chosen = [name for name in names if getattr(self, name) != getattr(type(self), name)]
        return {name: getattr(self, name) for name in chosen}
