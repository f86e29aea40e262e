"""How codes lie among each other: `twonn`, `density_cv`, `lnc`.

    twonn       n / sum ln(r2 / r1), by the distances of the two nearest codes: a dimension (Facco et al. 2017)
    density_cv  deviation over mean of a kernel density at its own points, in two dimensions (VA-VAE, Table 6;
                hustvl/LightningDiT@2725fed tools/latent_vis.py)
    lnc         share of the k nearest codes, by cosine, that have the label of the image

Maps are one place, drawn at random, to the second, and their mean over places to the last.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from torch.nn.functional import normalize

from benchmarks.metrics.codes.data import DISCRETE, Codes, Floats, Ints
from benchmarks.metrics.codes.errors import (
    estimate_of_labels,
    estimate_on_rows,
    jackknife,
    of_columns,
)
from benchmarks.metrics.codes.invariant.neighbours import nearest
from benchmarks.metrics.codes.number import single
from benchmarks.metrics.codes.space.scaled import Scaling, grids
from diffae.system.errors import UserError
from diffae.system.settings import Range
from reports.records.estimate import Estimate

FEWEST, MOST = 500, 2_000  # codes


class Twonn(Scaling):
    """The choices of `twonn`."""


@dataclass(frozen=True)
class Density(Scaling):
    """The choices of `density_cv`.

    plane  the two "principal" components, or "t-SNE" (perplexity 30, seed 42)
    most   codes, the first
    """

    plane: Literal["principal", "t-SNE"] = "principal"
    most: Annotated[int, Range(FEWEST, 100_000)] = MOST


@dataclass(frozen=True)
class Lnc(Scaling):
    """The choices of `lnc`: k nearest."""

    neighbours: Annotated[int, Range(1, 1_000)] = 10


def twonn(codes: Codes, choices: Twonn, _: int) -> Estimate:
    """Of distinct codes. Dimensions above ten are underestimated."""
    values, notes = grids(codes, choices)
    rows = np.unique(values.reshape(len(values), -1), axis=0, return_index=True)[1]
    if len(rows) < FEWEST:
        raise UserError(f"needs at least {FEWEST} distinct codes, not {len(rows)}")
    x = torch.from_numpy(values[rows].reshape(len(rows), -1))
    near = nearest(x, x, 3)[1]
    # anew: from products that of a nearly equal code would be lost
    distances = torch.stack([(x[places] - x).norm(dim=1) for places in near.T], dim=1)
    distances[near == torch.arange(len(x))[:, None]] = torch.inf
    first, second, _ = distances.sort(dim=1)[0].T.numpy()
    logs = np.log(second / first)
    if len(rows) < len(values):
        notes = (*notes, f"equal codes left out: {len(values) - len(rows):,}")
    influence = of_columns(-logs) / logs.mean() ** 2
    return estimate_on_rows(1 / logs.mean(), influence, codes, rows, *notes)


def density_cv(codes: Codes, choices: Density, seed: int) -> Estimate:
    """Of a plane Gaussian about .55 at 2,000 codes, of a uniform square .2."""
    values, notes = grids(codes, choices)
    if len(values) < FEWEST or values.shape[1] < 2:
        are = f"{len(values)} of {values.shape[1]}"
        raise UserError(f"needs {FEWEST} codes of at least two channels, not {are}")
    kept = codes.of(np.arange(min(len(values), choices.most)))
    place = places(values[: choices.most], seed)
    if choices.plane == "t-SNE":  # a minute each
        fixed = plane(values[: choices.most], place, choices.plane)
        return jackknife(lambda rows: _cv(fixed[rows]), kept, *notes, "the plane is fixed")

    def cv(rows: Ints) -> float:
        return _cv(plane(grids(kept.of(rows), choices)[0], place[rows]))

    return jackknife(cv, kept, *notes)


def _cv(points: Floats) -> float:
    from scipy.stats import gaussian_kde

    each = gaussian_kde(points.T)(points.T)
    return float(each.std() / each.mean())


def places(values: Floats, seed: int) -> Ints:
    """A place [n] of each map of n x C x H x W, which the seed draws."""
    return np.random.default_rng(seed).integers(values[0, 0].size, size=len(values))


def plane(values: Floats, place: Ints, choices: str = "principal") -> Floats:
    """Codes n x C x H x W in two dimensions, n x 2: of maps the `place` [n] of each."""
    n, C = values.shape[:2]
    x = values.reshape(n, C, -1)[np.arange(n), :, place]
    if choices == "principal":
        axes = torch.linalg.eigh(torch.from_numpy(x).T.cov())[1][:, -2:].numpy()
        return (x - x.mean(0)) @ axes
    from sklearn.manifold import TSNE

    as_in_files = x.astype(np.float32)  # t-SNE is chaotic: other last digits give another plane
    return TSNE(2, perplexity=30, random_state=42).fit_transform(as_in_files)


def lnc(codes: Codes, choices: Lnc, _: int) -> Estimate:
    """The mean over images of each label, and over labels. Other pictures of a person are no neighbours."""
    values, notes = grids(codes, choices)
    x = normalize(torch.from_numpy(values.mean((2, 3))))
    who, rows = codes.who, np.arange(len(values))
    most = choices.neighbours + int(np.unique(who, return_counts=True)[1].max())
    if most > len(rows):
        raise UserError(f"needs more than {most:,} codes, not {len(rows):,}")
    near = nearest(x, x, most)[1].numpy()
    others = who[near] != who[:, None]
    near = np.take_along_axis(near, np.argsort(~others, axis=1, kind="stable"), 1)
    near = near[:, : choices.neighbours]
    labels = codes.classes
    alike = labels[near] == labels[:, None]  # n x k x K
    shares = alike.mean(1)
    # an image is scored, and is a neighbour of others
    as_neighbour = np.zeros(shares.shape)
    np.add.at(as_neighbour, near, (alike - shares[:, None]) / choices.neighbours)
    influence = of_columns(shares + as_neighbour)
    chance = np.mean([np.square(np.bincount(y) / len(y)).sum() for y in labels.T])
    scored = shares.mean(0), influence, rows
    return estimate_of_labels([scored], codes, *notes, f"by chance {chance:.4f}")


GROUPS = (
    single("twonn", twonn, Twonn, channels=True),
    single("density_cv", density_cv, Density, channels=True),
    single("lnc", lnc, Lnc, DISCRETE, channels=True),
)
