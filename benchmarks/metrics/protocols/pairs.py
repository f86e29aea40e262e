"""PSNR, SSIM and LPIPS of reconstructions by a protocol: numbers of images, and their average."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.metrics.frechet_jackknife import influences
from benchmarks.metrics.pixel import squared_error
from benchmarks.metrics.protocols.pixels import of_side
from benchmarks.metrics.protocols.schema import Protocol, Psnr, Ssim
from benchmarks.metrics.ssim import similarity

Floats = NDArray[np.float64]
Pair = tuple[Tensor, Tensor]
Distance = Callable[..., Tensor]  # that of a PerceptualDistance
AT_ONCE = 1 << 17  # pixels of a side that are compared at a time on a CPU
SMALLEST_ERROR = 1e-10  # where equal images have 100 dB: the least error, or added to each


# ----------------------------------------------------------------------------------------------
# Of images


def of_images(
    metric: str,
    protocol: Protocol,
    made: Tensor,
    originals: Tensor,
    distance: Distance | None = None,
) -> Tensor:
    """What `average` needs of each pair of images, float64 [N] on the CPU.

    For "psnr" the mean squared error, for "ssim" SSIM, for "lpips" the distance by `distance`.
    `made` and `originals` are N x 3 x H x W, as `pixels.from_zero_to_one` takes them. Under an SSIM
    range "of the batch" N must be a multiple of the protocol's batch, but for the last images of
    all; SSIM is nan in a batch whose range is 0. Raises UserError for images that are too small for
    SSIM's window.
    """
    section: Any = getattr(protocol, metric)
    of_batch = metric == "ssim" and section.range == "of the batch"
    few = max(AT_ONCE // made[0, 0].numel(), 1) if made.device.type == "cpu" else len(made)
    whole = section.batch if of_batch else len(made)
    found: list[Tensor] = []
    for batch in zip(made.split(whole), originals.split(whole), strict=True):

        def sides(batch: tuple[Tensor, ...] = batch) -> Iterator[Pair]:
            for a, b in zip(*(side.split(few) for side in batch), strict=True):
                yield (
                    of_side(a, protocol, metric, originals=False),
                    of_side(b, protocol, metric, originals=True),
                )

        if metric == "psnr":
            found += [_error(a, b, section) for a, b in sides()]
        elif metric == "ssim":
            found += _similarity(sides, section)
        else:
            assert distance is not None
            found += [distance(2 * a - 1, 2 * b - 1, clamped=False) for a, b in sides()]
    return torch.cat(found).double().cpu()


def _error(a: Tensor, b: Tensor, psnr: Psnr) -> Tensor:
    error = squared_error(a.double(), b.double())
    return error / 4 if psnr.error == "halved" else error


def _similarity(sides: Callable[[], Iterator[Pair]], ssim: Ssim) -> Iterator[Tensor]:
    """SSIM of the pairs of `sides`, a part of a batch at a time."""

    def pairs() -> Iterator[Pair]:
        for a, b in sides():
            yield (2 * a - 1, 2 * b - 1) if ssim.pixels == "[-1, 1]" else (a, b)

    span = _extent(pairs()) if ssim.range == "of the batch" else float(ssim.range)
    for a, b in pairs():
        sample = ssim.covariance == "sample"
        similar = similarity(a, b, ssim.window, ssim.padding, span, sample)
        yield similar if span else torch.full_like(similar, torch.nan)


def _extent(pairs: Iterator[Pair]) -> float:
    """The range of a batch: that of one side, whichever is wider."""
    ends = [[side.aminmax() for side in pair] for pair in pairs]
    sides = (zip(*of_side, strict=True) for of_side in zip(*ends, strict=True))
    return max(float(max(highest) - min(lowest)) for lowest, highest in sides)


def lacking(values: Tensor) -> str:
    """Why numbers of images by `of_images` have no average; "" if they have one."""
    if not (flat := int(values.isnan().sum())):
        return ""
    return (
        f"{flat} of {len(values)} pairs are of a single grey level each: their range is 0, and SSIM with the range "
        "of the batch is 0 / 0 (the code prints rounding noise or nan); leave them out"
    )


# ----------------------------------------------------------------------------------------------
# Over images


@dataclass(frozen=True, eq=False)
class Measured:
    """A number of n pairs of images.

    The squares of `influences` sum to its variance by the draw of the images. They are of its
    `units`: of the images, of the batches, where a batch has one error, or of the blocks of a Frechet
    distance. All are nan if the variance is unknown: of a single unit, or of a value that is not
    finite. `reason` says why a value is nan.
    """

    value: float
    influences: Floats
    n: int
    units: Literal["images", "batches", "blocks"] = "images"
    reason: str = ""

    @property
    def stderr(self) -> float | None:
        found = float(np.sqrt(np.square(self.influences).sum()))
        return found if np.isfinite(found) else None


def average(metric: str, protocol: Protocol, values: Tensor) -> Measured:
    """The number that a protocol prints, from `of_images` of all images [N] in their order.

    Equal images make a PSNR infinite where the protocol says so; so is then their mean.
    """
    return replace(_average(metric, protocol, values), n=len(values), reason=lacking(values))


def _average(metric: str, protocol: Protocol, values: Tensor) -> Measured:
    section = getattr(protocol, metric)
    x = values.double().numpy()
    starts = np.arange(0, len(x), section.batch)
    sizes = np.diff(starts, append=len(x))
    shares = np.repeat(1 / (len(sizes) * sizes), sizes)
    if metric != "psnr":
        return _mean(x, shares)
    if section.of == "all":
        return _of_all(x, section)
    if section.of == "batch":
        errors = np.add.reduceat(x, starts) / sizes
        equal = np.full(len(sizes), 1 / len(sizes))
        return replace(_mean(_decibels(errors, section), equal), units="batches")
    return _mean(_decibels(x, section), shares)


def _mean(x: Floats, shares: Floats) -> Measured:
    """The mean of x [k] weighted by `shares`, which sum to 1.

    The influences f (x - mean) are scaled so that their squares have the variance as expectation
    for independent x of one variance; those of equal shares are of_mean's of reports.
    """
    mean = float(shares @ x)
    if not np.isfinite(mean) or len(x) < 2:
        return Measured(mean, np.full(len(x), np.nan), len(x))
    squares = np.square(shares)
    expected = squares @ (1 - 2 * shares + squares.sum())
    return Measured(mean, shares * (x - mean) * np.sqrt(squares.sum() / expected), len(x))


def _of_all(errors: Floats, psnr: Psnr) -> Measured:
    """PSNR of the mean of all squared errors, with influences by leaving out one image at a time."""
    count = len(errors)
    value = float(_decibels(errors.mean(), psnr))
    without = _decibels((errors.sum() - errors) / max(count - 1, 1), psnr)
    if not np.isfinite(without).all():  # one image alone has an error
        return Measured(value, np.full(count, np.nan), count)
    return Measured(value, influences(value, without, np.full(count, 1 / count)), count)


def _decibels(error: Floats, psnr: Psnr) -> Floats:
    """PSNR at peak 1 of mean squared errors."""
    if psnr.equal_images == "100 dB":
        error = np.maximum(error, SMALLEST_ERROR)
    elif psnr.equal_images == "100 dB, 1e-10 added":
        error = error + SMALLEST_ERROR
    with np.errstate(divide="ignore"):
        return -10 * np.log10(error)
