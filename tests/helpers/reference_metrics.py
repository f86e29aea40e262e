"""SSIM, the Frechet and the kernel distance as they are defined, in float64, and the distances of package lpips."""

import warnings
from pathlib import Path
from types import SimpleNamespace

import lpips
import numpy as np
import pytest
import torch
import torchvision
from metric_weights import vgg16_trunk
from sklearn.metrics.pairwise import polynomial_kernel
from torch import Tensor
from torch.nn.functional import conv2d

from benchmarks.weights import KNOWN
from diffae.networks.nn import without_weights


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Of each pair of images N x 3 x H x W in [0, 1]: 11 x 11 Gaussian, sigma 1.5, zero padding."""
    x = torch.arange(11, dtype=torch.float64) - 5
    line = torch.exp(-(x**2) / (2 * 1.5**2))
    window = (line[:, None] * line / line.sum() ** 2).expand(3, 1, 11, 11)

    def local(images: Tensor) -> Tensor:
        return conv2d(images, window, padding=5, groups=3)

    ma, mb = local(a), local(b)
    va, vb, vab = local(a * a) - ma**2, local(b * b) - mb**2, local(a * b) - ma * mb
    top = (2 * ma * mb + 1e-4) * (2 * vab + 9e-4)
    return (top / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4))).mean((1, 2, 3))


def frechet(x: np.ndarray, y: np.ndarray) -> float:
    """Heusel et al., eq. 6, of features [n, d] and [m, d].

    The trace of the root is the sum of the singular values of the product of the centred features,
    of which none is squared.
    """
    x, y = x.astype(np.float64), y.astype(np.float64)
    s, t = (np.linalg.qr((z - z.mean(0)) / np.sqrt(len(z) - 1), mode="r") for z in (x, y))
    roots = np.linalg.svd(s @ t.T, compute_uv=False).sum()
    means = np.square(x.mean(0) - y.mean(0)).sum()
    return float(means + np.square(s).sum() + np.square(t).sum() - 2 * roots)


def kernel(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased squared MMD of features [n, d] and [m, d] with scikit-learn's (x.y / d + 1)^3."""
    n, m = len(x), len(y)
    xx, yy, xy = (polynomial_kernel(*pair, degree=3) for pair in ((x, x), (y, y), (x, y)))
    own = [k[~np.eye(len(k), dtype=bool)].sum() / (len(k) * (len(k) - 1)) for k in (xx, yy)]
    return float(sum(own) - 2 * xy.sum() / (n * m))


def lpips_package(net: str, folder: Path) -> lpips.LPIPS:
    """Its distance by AlexNet ("alex") or VGG16 ("vgg") with the trunk of `write_random_weights`,
    in place of its download.
    """
    models = torchvision.models
    with without_weights("cpu"):
        name, trunk = {
            "alex": ("alexnet", models.AlexNet().features),
            "vgg": ("vgg16", vgg16_trunk()),
        }[net]
    state = torch.load(folder / KNOWN[name].files[-1].filename)
    trunk.load_state_dict({key.removeprefix("features."): value for key, value in state.items()})
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore", UserWarning)
        patch.setattr(models, name, lambda pretrained: SimpleNamespace(features=trunk))
        return lpips.LPIPS(net=net, verbose=False)
