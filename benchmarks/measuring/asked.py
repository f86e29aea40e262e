"""What `benchmarks.measure` is asked for, and the networks that it takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch

from benchmarks.metrics import METRICS
from benchmarks.metrics.networks.chosen import Networks
from benchmarks.metrics.networks.faces import FaceEmbedding
from benchmarks.metrics.networks.features import FeatureNetwork
from benchmarks.metrics.networks.perceptual import PerceptualDistance
from benchmarks.runtime.batches import Batches
from benchmarks.runtime.choices import NetworkChoice
from diffae.system.errors import UserError
from reports.records.metrics import alternatives

OURS = "diffae"  # the name of our way of reading images


@dataclass(frozen=True)
class Asked:
    """The options of the command; `b` is None where the statistics of `a` are saved alone."""

    a: Path
    b: Path | None = None
    save: Path | None = None
    subsets: tuple[int, int] | None = None
    protocol: str | None = None
    reading: str = OURS
    batch_size: int = 32
    device: str = "cpu"
    choice: NetworkChoice = field(default_factory=NetworkChoice)

    @property
    def pair(self) -> tuple[Path, Path]:
        """A and B, of what compares them."""
        assert self.b is not None
        return self.a, self.b

    @cached_property
    def networks(self) -> Networks:
        return Networks(self.choice, torch.device(self.device), Batches(self.batch_size))


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
