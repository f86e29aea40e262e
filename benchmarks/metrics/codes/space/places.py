"""How the places of a map differ: its spectrum (`sec_25`, `sec_50`) and how alike near places are (`lds`, `cds`,
`rmsc`).

    sec_r   sum of E_uv over u + v > r (H + W - 2), by the sum of all; E the squares of the orthonormal
            DCT-II, mean over images and channels. The constant is in the sum
    lds     mean cosine of the four neighbours, less that of places far apart
    cds     minus the slope of the mean cosine against the distance, 1 to 8
    rmsc    root of mean |u_t - mean u|^2 of places u_t of unit length

SEC is of Diffusing in the Right Space (arXiv 2606.03578), the others of iREPA (Singh et al., arXiv 2512.10794;
End2End-Diffusion/iREPA@99ad4ac metrics/spatial_metrics.py). Distances are Manhattan, in places.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.fft import dctn
from torch.nn.functional import normalize

from benchmarks.metrics.codes.data import Codes, Floats, Ints
from benchmarks.metrics.codes.errors import estimate_on_rows, of_columns
from benchmarks.metrics.codes.number import several
from benchmarks.metrics.codes.space.scaled import Scaling, maps
from reports.records.estimate import Estimate

FAR, FARTHEST = 6, 8  # places
TINY = 1e-8
AT_ONCE = 2**24  # cosines


class Sec(Scaling):
    """The choices of `sec_25` and `sec_50`."""


@dataclass(frozen=True)
class Spatial(Scaling):
    """The choices of `lds`, `cds` and `rmsc`.

    far   the least distance of places far apart: 6, or on maps with H + W < 10 "at least 3/8" of the largest;
          or always "6 places"
    """

    far: Literal["at least 3/8", "6 places"] = "at least 3/8"


def high(height: int, width: int, share: float) -> Floats:
    """Which frequencies are beyond this `share` of the largest u + v: 0 or 1, H x W."""
    u, v = np.indices((height, width))
    return (u + v > share * (height + width - 2)).astype(np.float64)


def _estimate_sec(codes: Codes, choices: Sec, _: int) -> dict[str, Estimate]:
    values, notes = maps(codes, choices)
    power = np.square(dctn(values, type=2, norm="ortho", axes=(2, 3))).mean(1)
    height, width = power.shape[1:]
    total, rows, estimates = power.sum((1, 2)), np.arange(len(power)), {}
    for name, share in {"sec_25": 0.25, "sec_50": 0.5}.items():
        mask = high(height, width, share)
        above = (power * mask).sum((1, 2))
        ratio = above.mean() / total.mean()
        white = f"white noise {mask.mean():.4g} on {height} x {width} places"
        influence = of_columns(above - ratio * total) / total.mean()
        estimates[name] = estimate_on_rows(ratio, influence, codes, rows, *notes, white)
    return estimates


def distances(height: int, width: int) -> Ints:
    """The distance of each place from each: [H W, H W]."""
    y, x = (axis.ravel() for axis in np.indices((height, width)))
    return np.abs(y[:, None] - y) + np.abs(x[:, None] - x)


def cosines(values: Floats) -> Floats:
    """The mean cosine of two places of a map of n x C x H x W at each distance 0, 1, ...: n x (H + W - 1)."""
    distance = distances(values.shape[2], values.shape[3])
    count = torch.from_numpy(np.bincount(distance.ravel()))
    places = normalize(torch.from_numpy(values).flatten(2), dim=1, eps=TINY)
    index, blocks = torch.from_numpy(distance.ravel()), []
    for maps_of_block in places.split(max(AT_ONCE // distance.size, 1)):
        products = (maps_of_block.mT @ maps_of_block).flatten(1)
        sums = products.new_zeros(len(maps_of_block), len(count))
        blocks.append(sums.index_add_(1, index, products) / count)
    return torch.cat(blocks).numpy()


def pairs(height: int, width: int, far: int) -> Floats:
    """The share of each distance among the ordered pairs of places at least `far` apart: [H + W - 1]."""
    count = np.bincount(distances(height, width).ravel())
    return np.where(np.arange(len(count)) >= far, count, 0) / count[far:].sum()


def _lds(alike: Floats, places: tuple[int, int], choices: Spatial) -> tuple[Floats, str]:
    """By the mean cosines [n, H + W - 1] of maps of these `places`, H x W."""
    largest = sum(places) - 2
    far = FAR if largest >= FARTHEST or choices.far == "6 places" else -(-3 * largest // 8)
    return alike[:, 1] - alike @ pairs(*places, far), f"far: {far} places or more"


def _cds(alike: Floats) -> tuple[Floats, str]:
    distance = np.arange(1, min(FARTHEST, alike.shape[1] - 1) + 1)
    centred = distance - distance.mean()
    slope = alike[:, distance] @ centred / np.square(centred).sum()
    return -slope, f"distances 1 to {distance[-1]}"


def _rmsc(values: Floats) -> tuple[Floats, str]:
    places = normalize(torch.from_numpy(values).flatten(2), dim=1, eps=TINY)
    spread = (places - places.mean(2, keepdim=True)).square().sum(1).mean(1).sqrt()
    return spread.numpy(), f"white noise {(1 - 1 / places.shape[2]) ** 0.5:.4g} of many channels"


def _estimate_spatial(codes: Codes, choices: Spatial, _: int) -> dict[str, Estimate]:
    """The means over images."""
    values, notes = maps(codes, choices, least=4)
    alike, places = cosines(values), (values.shape[2], values.shape[3])
    scores = {"lds": _lds(alike, places, choices), "cds": _cds(alike), "rmsc": _rmsc(values)}
    rows = np.arange(len(values))
    return {
        name: estimate_on_rows(each.mean(), of_columns(each), codes, rows, *notes, note)
        for name, (each, note) in scores.items()
    }


GROUPS = (
    several(("sec_25", "sec_50"), _estimate_sec, Sec, channels=True),
    several(("lds", "cds", "rmsc"), _estimate_spatial, Spatial, channels=True),
)
