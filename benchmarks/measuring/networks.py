"""The networks of metrics that `benchmarks.measure` was asked for."""

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from benchmarks import weights
from benchmarks.metrics import METRICS
from benchmarks.metrics.networks.faces import FaceEmbedding
from benchmarks.metrics.networks.features import FeatureNetwork
from benchmarks.metrics.networks.perceptual import PerceptualDistance
from diffae.system.errors import UserError
from reports.records.metrics import alternatives


def load_weights(*metrics: str, args: Namespace) -> tuple[Path, torch.device]:
    """The file of the weights of these metrics' one network, and the device.

    Raises UserError, naming the stand-ins, if the file is missing.
    """
    with naming_stand_in(*metrics):
        network = METRICS[metrics[0]].network
        path = weights.load_path(network, args.weights_dir, args.allow_unknown_weights)
    return path, torch.device(args.device)


@contextmanager
def naming_stand_in(*metrics: str) -> Iterator[None]:
    """For a block that loads the network of metrics: an error names a stand-in of each metric."""
    try:
        yield
    except UserError as error:
        others = [other for metric in metrics for other in _stand_ins(metric)[:1]]
        it = "stands in for it" if len(others) == 1 else "stand in for them"
        hint = f"; {' and '.join(others)} {it}" if others else ""
        raise UserError(f"{error}{hint}") from None


def _stand_ins(metric: str) -> list[str]:
    return [name for name in alternatives(metric)[1:] if not METRICS[name].only_on]


def described(seen: FeatureNetwork | PerceptualDistance | FaceEmbedding) -> str:
    """The name and weights of a network, with a note if they are not the published ones."""
    odd = [text for name, text in seen.describe().items() if name.endswith("_weights")]
    return ", ".join([seen.name, f"sha256 {seen.sha256}", *map(str, odd)])
