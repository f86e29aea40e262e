"""Edits of codes: along a direction for each attribute, or by a system's own method."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.metrics.edits import Floats
from benchmarks.plugin import Context, Job, System
from benchmarks.systems.protocol.base import has_own, why_immovable
from benchmarks.tasks.shared.probe_fits import ADAM, ALL, Rows, fit_adam, fit_job, selections
from benchmarks.tasks.shared.probe_fits import features as features_of
from probes import LinearProbe
from probes.linear import feature_moments, normalise

Direction = Literal["paper", "mean difference", "others regressed out", "ridge"]
PAPER: Final = "paper"
MEANS: Final = "mean difference"
REGRESSED: Final = "others regressed out"
RIDGE: Final = "ridge"
OWN, ORACLE, NO_EDIT = "its own", "code of the truth", "no edit, encoded 1 x"
ALPHAS = tuple(10.0**k for k in range(6))
# How w of an edit z + s sqrt(d) w / |w| on normalised z is fitted to training images; and other edits.
FITS = {
    PAPER: f"logistic regression, {ADAM}",
    MEANS: "mean of the images with the attribute less that of the others",
    REGRESSED: "its coefficient in a linear regression of z on all attributes",
    RIDGE: f"ridge regression of the attribute on z, alpha of {ALPHAS} by leave-one-out error",
    OWN: "the system's method edit",
    ORACLE: "the code of x'",
    NO_EDIT: "none",
}
FARTHEST = 2  # times the largest strength whose dose was measured

Fits = Mapping[str, Job | None]  # by direction


# ----------------------------------------------------------------------------------------------
# Fits of directions


def fit_all(context: Context, system: System, names: tuple[Direction, ...]) -> Fits:
    """The fits of directions of all attributes, if the code can be moved; None for the system's own edits."""
    fits = dict[str, Job | None]()
    if not why_immovable(system):
        fits |= {name: fit(context, system, name) for name in names}
    return fits | ({OWN: None} if has_own(system, "edit") else {})


def fit(context: Context, system: System, name: str, rows: Rows = ALL) -> Job:
    """Directions as the weights of a probe, fitted to the probes' training images, or some `rows` of them."""
    if name == PAPER:
        return fit_adam(context, system, rows)
    train = selections(context)[0]
    labels = torch.from_numpy(train.labels[rows])

    def fitted(features: Tensor) -> LinearProbe:
        moments = feature_moments(features[rows])
        x, y = normalise(features[rows], *moments).double().numpy(), labels.double().numpy()
        weight = torch.from_numpy(directions(name, x, y)).float()
        return LinearProbe(weight, torch.zeros(len(weight)), *moments)

    decided_by = [train.labels, *([rows] if isinstance(rows, np.ndarray) else [])]
    settings = {"direction": name, "fit": FITS[name]}
    codes = features_of(context, system)[:1]
    return fit_job(f"fit: {name}", settings, codes, decided_by, fitted)


def directions(name: str, x: Floats, y: Floats) -> Floats:
    """Directions [A, d] of normalised codes [n, d] for attributes [n, A] of 0 and 1, of both values each."""
    if name == RIDGE:
        from sklearn.linear_model import RidgeCV

        return RidgeCV(ALPHAS, alpha_per_target=True).fit(x, y).coef_.reshape(y.shape[1], -1)
    if name == REGRESSED:
        coefficients = np.linalg.lstsq(np.column_stack([np.ones(len(x)), y]), x, rcond=None)[0]
        return coefficients[1:].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):  # of other attributes
        shares = y / y.sum(0) - (1 - y) / (1 - y).sum(0)
    return np.nan_to_num(shares).T @ x


def halves(context: Context) -> tuple[list[NDArray[np.bool_]], NDArray[np.bool_]]:
    """Which training images are in either half of them, by persons where they are known; and of which
    attributes [A] a half has one class alone.
    """
    train = selections(context)[0]
    rows = [train.units.blocks(2) == half for half in range(2)]
    labels = [train.labels[half] for half in rows]
    return rows, np.any([half.all(0) | ~half.any(0) for half in labels], axis=0)


def fit_halves(context: Context, system: System, name: str) -> list[Job]:
    """The fits of a direction to both halves; none where no attribute has both classes in both."""
    rows, lone = halves(context)
    return [] if lone.all() else [fit(context, system, name, half) for half in rows]


def agreement(context: Context, *probes: LinearProbe) -> Floats:
    """The cosine of the directions of each attribute by `fit_halves`, in normalised codes: [A]. nan where a
    half has one class alone.
    """
    lone = halves(context)[1]
    if not probes:
        return np.full(len(lone), np.nan)
    a, b = (probe.weight.double().numpy() for probe in probes)
    with np.errstate(divide="ignore", invalid="ignore"):
        cosines = (a * b).sum(1) / np.sqrt(np.square(a).sum(1) * np.square(b).sum(1))
    return np.where(lone, np.nan, cosines)


def strength_of_dose_1(doses: Mapping[float, float]) -> tuple[float, str]:
    """The strength whose dose is 1, from the doses of some strengths; else the one of the largest dose, and
    a note.

    The dose is taken to be linear between 0 and the strengths, and in proportion to the strength beyond
    the largest, up to `FARTHEST` times as far.
    """
    points = [(0.0, 0.0), *sorted(doses.items())]
    for (strength, dose), (next_strength, next_dose) in pairwise(points):
        if dose < 1 <= next_dose:
            share = (1 - dose) / (next_dose - dose)
            return strength + share * (next_strength - strength), ""
    largest, dose = points[-1]
    if dose * FARTHEST >= 1:
        return largest / dose, ""
    best = max(doses, key=lambda strength: doses[strength])
    return best, "a dose of 1 is out of reach on validation images"
