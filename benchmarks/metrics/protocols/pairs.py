"""PSNR, SSIM and LPIPS of reconstructions by a protocol: scores of pairs of images, and their estimates."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.metrics.pixel import squared_error
from benchmarks.metrics.protocols.pixels import of_side
from benchmarks.metrics.protocols.schema import ImageProtocol, Psnr, RFid, Ssim
from benchmarks.metrics.sets.jackknife import influences
from benchmarks.metrics.ssim import similarity
from benchmarks.metrics.units import Units
from reports.records.estimate import Estimate, influences_of

Floats = NDArray[np.float64]
Pair = tuple[Tensor, Tensor]
Distance = Callable[..., Tensor]  # that of a PerceptualDistance
AT_ONCE = 1 << 17  # pixels of a side that are compared at a time on a CPU
SMALLEST_ERROR = 1e-10  # where equal images have 100 dB: the least error, or added to each


# ----------------------------------------------------------------------------------------------
# Of images


def scores_of(
    metric: str,
    protocol: ImageProtocol,
    made: Tensor,
    originals: Tensor,
    distance: Distance | None = None,
) -> Tensor:
    """What `estimate` needs of each pair of images, float64 [N] on the CPU.

    For "psnr" the mean squared error, for "ssim" SSIM, for "lpips" the distance by `distance`.
    `made` and `originals` are N x 3 x H x W, as `pixels.from_zero_to_one` takes them. Under an SSIM
    range "of the batch" N must be a multiple of the protocol's batch, but for the last images of
    all; SSIM is nan in a batch whose range is 0. Raises UserError for images that are too small for
    SSIM's window.
    """
    section = protocol.section(metric)
    few = max(AT_ONCE // made[0, 0].numel(), 1) if made.device.type == "cpu" else len(made)
    whole = len(made)
    if isinstance(section, Ssim) and section.range == "of the batch":
        whole = section.batch
    scores: list[Tensor] = []
    for batch in zip(made.split(whole), originals.split(whole), strict=True):

        def sides(batch: tuple[Tensor, ...] = batch) -> Iterator[Pair]:
            for a, b in zip(*(side.split(few) for side in batch), strict=True):
                yield (
                    of_side(a, protocol, metric, originals=False),
                    of_side(b, protocol, metric, originals=True),
                )

        if isinstance(section, Psnr):
            scores += [_error(a, b, section) for a, b in sides()]
        elif isinstance(section, Ssim):
            scores += _similarity(sides, section)
        else:
            assert distance is not None
            scores += [distance(2 * a - 1, 2 * b - 1, clamped=False) for a, b in sides()]
    return torch.cat(scores).double().cpu()


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
    """Why scores by `scores_of` have no mean; "" if they have one."""
    if not (flat := int(values.isnan().sum())):
        return ""
    return (
        f"{flat} of {len(values)} pairs are of a single grey level each: their range is 0, and SSIM with the range "
        "of the batch is 0 / 0 (the code prints rounding noise or nan); leave them out"
    )


# ----------------------------------------------------------------------------------------------
# Over images


def estimate(metric: str, protocol: ImageProtocol, scores: Tensor, units: Units) -> Estimate:
    """The number that a protocol prints, from `scores_of` all pairs [N] in their order.

    The influences are those of images, or of batches, where a batch has one error. Equal images make a
    PSNR infinite where the protocol says so; so is then their mean.
    """
    if why := lacking(scores):
        return Estimate(None, n=len(scores), why=why)
    section = protocol.section(metric)
    assert not isinstance(section, RFid)
    values = scores.double().numpy()
    starts = np.arange(0, len(values), section.batch)
    sizes = np.diff(starts, append=len(values))
    if isinstance(section, Psnr) and section.of == "batch":
        errors = np.add.reduceat(values, starts) / sizes
        equal = np.full(len(sizes), 1 / len(sizes))
        value, influence = _mean(_decibels(errors, section), equal)
        of_batches = influences_of(influence, units.named("batches"))
        return Estimate(value, of_batches, n=len(values))
    shares = np.repeat(1 / (len(sizes) * sizes), sizes)
    if not isinstance(section, Psnr):
        value, influence = _mean(values, shares)
    elif section.of == "all":
        value, influence = _of_all(values, section)
    else:
        value, influence = _mean(_decibels(values, section), shares)
    return Estimate(value, units.influences(influence), n=len(values))


def _mean(x: Floats, shares: Floats) -> tuple[float, Floats]:
    """The mean of x [k] weighted by `shares`, which sum to 1, and the influences [k] on it.

    The influences f (x - mean) are scaled so that their squares have the variance as expectation
    for independent x of one variance; those of equal shares are those of a plain mean. They are nan if
    the error is unknown: of a single x, or if the mean is not finite.
    """
    mean = float(shares @ x)
    if not np.isfinite(mean) or len(x) < 2:
        return mean, np.full(len(x), np.nan)
    squares = np.square(shares)
    expected = squares @ (1 - 2 * shares + squares.sum())
    return mean, shares * (x - mean) * np.sqrt(squares.sum() / expected)


def _of_all(errors: Floats, psnr: Psnr) -> tuple[float, Floats]:
    """PSNR of the mean of all squared errors, with influences by leaving out one image at a time."""
    count = len(errors)
    value = float(_decibels(errors.mean(), psnr))
    without = _decibels((errors.sum() - errors) / max(count - 1, 1), psnr)
    if not np.isfinite(without).all():  # one image alone has an error
        return value, np.full(count, np.nan)
    return value, influences(value, without, np.full(count, 1 / count))


def _decibels(error: Floats, psnr: Psnr) -> Floats:
    """PSNR at peak 1 of mean squared errors."""
    if psnr.equal_images == "100 dB":
        error = np.maximum(error, SMALLEST_ERROR)
    elif psnr.equal_images == "100 dB, 1e-10 added":
        error = error + SMALLEST_ERROR
    with np.errstate(divide="ignore"):
        return -10 * np.log10(error)
