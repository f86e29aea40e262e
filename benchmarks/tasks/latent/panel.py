"""Pictures of the space of codes: eigenvalues, spectrum and density, each beside that of white codes."""

import io
from collections.abc import Callable

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from scipy.fft import dctn
from torch import Tensor

from benchmarks.metrics.codes.data import Codes, Floats
from benchmarks.metrics.codes.space.density import places, plane
from benchmarks.metrics.codes.space.gaussian import variances
from benchmarks.metrics.codes.space.scaled import Scaling, grids

SIDE, DPI = 192, 96  # pixels
COLUMNS = ("eigenvalues", "spectrum", "density")
CAPTION = (
    "Codes of training images, normalised by channel; grey: white codes. Eigenvalues of the covariance (of maps channels "
    "x places) over their mean, the largest first. Power of a map by u + v over that of white maps, low frequencies first. "
    "Both axes of powers are logarithmic, from a ten-thousandth to ten thousand. Codes on two principal components, of "
    "maps one place each."
)
CODE, WHITE = "#1f5fa8", "#9a9a9a"
MOST = 4.0  # log10, and deviations
SHOWN = 1_000  # codes


def panel(codes: Codes) -> Tensor:
    """Images 3 x 3 x 192 x 192 in [-1, 1] of COLUMNS; of vectors the second is empty."""
    values, _ = grids(codes, Scaling())
    return torch.stack([_drawn(draw, values) for draw in (_eigenvalues, _spectrum, _density)])


def _drawn(draw: Callable[[Axes, Floats], None], values: Floats) -> Tensor:
    figure = Figure(figsize=(SIDE / DPI, SIDE / DPI), dpi=DPI)
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.96), xticks=[], yticks=[])
    draw(axes, values)
    axes.set(xticks=[], yticks=[])
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    pixels = np.asarray(Image.open(file).convert("RGB"))
    return torch.from_numpy(pixels.transpose(2, 0, 1) / 127.5 - 1).float()


def _eigenvalues(axes: Axes, values: Floats) -> None:
    each = np.sort(variances(values.reshape(*values.shape[:2], -1)))[::-1]
    _curve(axes, each / each.mean())


def _spectrum(axes: Axes, values: Floats) -> None:
    height, width = values.shape[2:]
    if min(height, width) < 2:
        axes.text(0.5, 0.5, "no map", ha="center", color=WHITE, transform=axes.transAxes)
        return
    power = np.square(dctn(values, norm="ortho", axes=(2, 3))).mean((0, 1)).ravel()
    u, v = np.indices((height, width))
    of_white = np.bincount((u + v).ravel())
    _curve(axes, np.bincount((u + v).ravel(), power) / of_white)


def _curve(axes: Axes, powers: Floats) -> None:
    axes.axhline(0, color=WHITE, linewidth=1)
    axes.plot(np.linspace(0, 1, len(powers)), np.log10(powers.clip(10**-MOST)), color=CODE)
    axes.set(xlim=(0, 1), ylim=(-MOST, MOST))


def _density(axes: Axes, values: Floats) -> None:
    values = values[:SHOWN]
    x = plane(values, places(values, 0)) if values.shape[1] > 1 else np.zeros((1, 2))
    x = x / x.std(0).clip(1e-12)
    circle = np.linspace(0, 2 * np.pi, 100)
    for radius in (1, 2):  # deviations
        axes.plot(radius * np.cos(circle), radius * np.sin(circle), color=WHITE, linewidth=1)
    axes.scatter(x[:, 0], x[:, 1], s=1, color=CODE, alpha=0.4, linewidths=0)
    axes.set(xlim=(-MOST, MOST), ylim=(-MOST, MOST))
