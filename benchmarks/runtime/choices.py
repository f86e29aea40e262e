"""The values of options: --precision, --batch-size, and those of metric networks. Nothing here needs
PyTorch.
"""

from dataclasses import dataclass
from pathlib import Path

from diffae.system.cli import did_you_mean
from diffae.system.errors import UserError
from reports.records.metrics import EFFNET, FEATURE_NETWORKS

PRECISIONS = ("float32", "tf32", "bfloat16")  # see precision.py
AUTO = "auto"
# images at once, `AUTO`, or None: a chunk of the store; see batches.py
BatchSize = int | str | None

FEATURES = ("inception", EFFNET, *FEATURE_NETWORKS)


@dataclass(frozen=True)
class NetworkChoice:
    """Which metric networks a run uses.

    `features` names those of metrics on features; without any it is FID's Inception, or its
    stand-in. `stand_ins` leaves out all weights that do not ship with the packages, so that no
    number depends on what was fetched. `weights_dir` is a folder of weights; `allow_unknown` uses
    files of unknown content.
    """

    features: tuple[str, ...] = ()
    stand_ins: bool = False
    weights_dir: Path | None = None
    allow_unknown: bool = False

    def __post_init__(self) -> None:
        for name in self.features:
            if name not in FEATURES:
                raise UserError(f"no feature network {name!r}{did_you_mean(name, FEATURES)}")
            if self.stand_ins and name != EFFNET:
                raise UserError(f"stand-ins alone leave out the feature network {name}: choose one")
