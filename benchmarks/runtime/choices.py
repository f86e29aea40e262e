"""Options of a run that systems, metrics and benchmarks read. Nothing here needs PyTorch.

An option is a field of a dataclass. Its flag (benchmarks.run) and its keyword
(`benchmarks.evaluate`) follow from the field, and so does what is said of it.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
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

LARGEST_SIDE = 4096  # pixels at which images are compared
FEATURES = ("inception", EFFNET, *FEATURE_NETWORKS)


def option(says: str, value: Any = None, flag: str = "", decides: bool = False, **how: Any) -> Any:
    """A field that is an option: what its help `says`, its default `value`, and in `how` more arguments of
    `add_argument`; none for a switch.

    `flag` is its name if that is not the field's. One that `decides` numbers is a part of their
    protocols and keys where it is not the default.
    """
    how = {"help": says, **(how or {"action": "store_true"})}
    return field(default=value, metadata={"flag": flag, "decides": decides, "how": how})


def switch(says: str, flag: str = "", decides: bool = False) -> Any:
    return option(says, False, flag, decides)


def add_options(parser: argparse.ArgumentParser, kind: type) -> None:
    """Add the flag of every option of a dataclass to a parser."""
    for one in fields(kind):
        if one.metadata:
            flag = one.metadata["flag"] or one.name.replace("_", "-")
            how = {"dest": one.name, "default": one.default, **one.metadata["how"]}
            parser.add_argument(f"--{flag}", **how)


def given(args: argparse.Namespace, kind: type) -> dict[str, Any]:
    """The options of a dataclass among parsed arguments."""
    return {one.name: getattr(args, one.name) for one in fields(kind) if one.metadata}


def names(text: str) -> tuple[str, ...]:
    """The type of an option that takes several names."""
    found = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not found:
        raise argparse.ArgumentTypeError("no name given")
    return found


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
    # what run.json says of the suite that was asked for, see core/suites.py
    suite: Mapping[str, Any] = field(default_factory=dict)
    explain: bool = switch("reconstructions by every protocol, and why the numbers differ")

    @property
    def deciding(self) -> dict[str, Any]:
        """The options that decide numbers and are not the default."""
        names = [one.name for one in fields(self) if one.metadata.get("decides")]
        chosen = [name for name in names if getattr(self, name) != getattr(type(self), name)]
        return {name: getattr(self, name) for name in chosen}
