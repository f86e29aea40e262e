"""Options of a run that systems, metrics and benchmarks read. Nothing here needs PyTorch.

An option is a field of a dataclass. Its flag (benchmarks.run), its keyword (`benchmarks.evaluate`),
its help, and its place in run.json, in protocols and in keys follow from the field.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from diffae.system import cli
from diffae.system.errors import UserError
from diffae.system.files import Json
from diffae.system.settings import Values, changed_options, option, options_of, switch
from reports.records.metrics import EFFNET, FEATURE_NETWORKS

PRECISIONS = ("float32", "tf32", "bfloat16")  # see precision.py
AUTO = "auto"
# images at once, `AUTO`, or None: a chunk of the store; see calling.py
BatchSize = int | str | None

side = cli.between(1, 4096)  # of images in pixels
FEATURES = ("inception", EFFNET, *FEATURE_NETWORKS)


def names(text: str) -> tuple[str, ...]:
    """The type of an option that takes several names."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise argparse.ArgumentTypeError("no name given")
    return names


def ascending(text: str) -> tuple[int, ...]:
    """The type of an option that takes several whole numbers from 1."""
    return tuple(sorted({cli.positive(part) for part in text.split(",")}))


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """The options that `run` and `measure` share: where networks are computed, and how much is
    measured.
    """

    device: str = option(
        "cpu, cuda or cuda:N (default: a GPU if there is one)", cli.default_device, type=cli.device
    )
    _limit = "measure at most N images, pairs or samples, drawn at random"
    limit: int | None = option(_limit, type=cli.positive, metavar="N")


@dataclass(frozen=True, kw_only=True)
class WeightChoice:
    """Where the weights of metric networks are: `weights_dir` is a folder of them;
    `allow_unknown_weights` uses files of unknown content.
    """

    weights_dir: Path | None = option(
        "folder of metric weights, see `doctor`", type=cli.path, metavar="DIR"
    )
    allow_unknown_weights: bool = switch("use weights whose hash is not known")


@dataclass(frozen=True, kw_only=True)
class NetworkChoice(WeightChoice):
    """Which metric networks a run uses.

    `features` names those of metrics on features; without any it is FID's Inception, or its
    stand-in. `stand_ins` leaves out all weights that do not ship with the packages, so that no
    number depends on what was fetched.
    """

    _features = f"networks of all metrics on features (default: inception, or its stand-in): {', '.join(FEATURES)}"
    features: tuple[str, ...] = option(_features, (), type=names, metavar="NAME,...")
    stand_ins: bool = switch("use only metric weights of packages: equal numbers everywhere")

    def __post_init__(self) -> None:
        for name in self.features:
            if name not in FEATURES:
                raise UserError(f"no feature network {name!r}{cli.did_you_mean(name, FEATURES)}")
            if self.stand_ins and name != EFFNET:
                raise UserError(f"stand-ins alone leave out the feature network {name}: choose one")


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """The options that benchmarks read, as `context.options`."""

    _attributes = "attributes that `identity` and `edits` edit, and `fewshot` samples (default: some that the data has)"
    attributes: tuple[str, ...] = option(_attributes, (), type=names, metavar="NAME,...")
    _keep = "also reconstruct from only so many tokens or numbers of a code, the first ones, by systems that can"
    keep: tuple[int, ...] = option(_keep, (), type=ascending, metavar="1,2,4,...")
    _size = "side in pixels at which images are compared (default: that of the smallest system, as in the paper)"
    size: int | None = option(_size, type=side, metavar="N")
    _native = "reconstruct each image at its own size and aspect, by systems that have a stride, in place of one size"
    native: bool = switch(_native)
    protocols: tuple[str, ...] = ()  # of reconstructions, see metrics/protocols/schema.py
    edit_protocols: tuple[str, ...] = ()  # see metrics/protocols/edits.py
    # the entry of the chosen suite in run.json, see core/suites.py
    suite: Mapping[str, Any] = field(default_factory=dict)
    explain: bool = switch("reconstructions by every protocol, and why the numbers differ")

    @cached_property
    def changed(self) -> Values:
        """The options that are not the default, which run.json has."""
        return changed_options(TaskOptions, self)

    @cached_property
    def deciding(self) -> Mapping[str, Json]:
        """Those of them that decide numbers."""
        options = options_of(TaskOptions)
        return {name: v for name, v in self.changed.items() if options[name].metadata["decides"]}
