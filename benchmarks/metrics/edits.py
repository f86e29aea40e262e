"""Edits against the truth: x is an image, x' the same with one attribute changed, drawn as x was.

    r(.)   an image encoded and decoded        y   the edit of x, decoded; all with the x_T of x
    D = y - r(x)     what the edit moved       D* = r(x') - r(x)   what it should have moved

Every number is a function of sums over all pairs, never a mean of ratios: true changes differ 250-fold
between attributes. 0/0 is undefined, and not perfect. `measure` gives the influence of each pair by leaving it
out; the influences of one person's pairs are summed afterwards (`reports.records.estimate.by_group`).

Gain, dose and off-target share say nothing of an attribute that the code does not hold (`unheld`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import max_pool2d

from reports.records import estimate as whole
from reports.records.estimate import Influences

Floats = NDArray[np.float64]
Sums = dict[str, Floats]  # of each pair, [n] each
ONE_LEVEL = 2 / 255  # of 8 bits, in images of [-1, 1]


@dataclass(frozen=True, eq=False)
class Estimate:
    """A number and the influence [n] of each pair on it; where it is undefined nan, and `why`."""

    value: float
    influence: Floats
    why: str = ""


@dataclass(frozen=True)
class Number:
    """A number of pairs: `of` their totals of these `sums`, in this order. `held_only` numbers are of
    attributes that the code holds.
    """

    sums: tuple[str, ...]
    of: Callable[..., Floats]
    undefined: str = ""
    held_only: bool = False


NOTHING_TRUE = "the true change changes nothing that is decoded"
NUMBERS = {
    # sum <r(x') - r(x), x' - x> / sum |x' - x|^2: 1 all of the attribute is decoded, 0 nothing
    "kept": Number(("held", "change"), lambda held, change: held / change, "nothing changes in the images"),
    # 1 - sum |y - r(x')|^2 / sum |D*|^2: 1 the truth, 0 nothing done, < 0 harm
    "gain": Number(("left", "true"), lambda left, true: 1 - left / true, NOTHING_TRUE, True),
    # sum <D, D*> / sum |D*|^2: how far the edit goes
    "dose": Number(("along", "true"), lambda along, true: along / true, NOTHING_TRUE, True),
    # sum |D - dose D*|^2 / sum |D|^2: share of the move that is not the truth
    "off_target": Number(
        ("along", "true", "moved"), lambda along, true, moved: 1 - along**2 / (true * moved),
        "the edit changes nothing, or the true change nothing that is decoded", True),
    # (hits(y) - hits(r(x))) / (hits(r(x')) - hits(r(x))); a hit: a classifier sees the attribute as it should be
    "effectiveness": Number(
        ("hits", "hits_before", "hits_true"),
        lambda hits, before, true: (hits - before) / np.where(true > before, true - before, 0),
        "a classifier sees no more of the attribute in the decoded truth", True),
    "on_target": Number(("hits", "pairs"), lambda hits, pairs: hits / pairs, "no pairs"),
    # mean |D|^2 where x and x' are equal / mean |D*|^2 where they are not
    "leak_out": Number(
        ("outside", "n_outside", "inside", "n_inside"), lambda outside, m, inside, n: (outside / m) / (inside / n),
        "the true change changes all of the image, or nothing that is decoded", True),
    # sum |E(y) - f(z)| / sum |f(z) - z|: e4e's LEC (2102.02766, metrics/LEC.py), as a share of the step
    "lec": Number(("missed", "step"), lambda missed, step: missed / step, "the edit does not move the code"),
    # mean d(r(r(x)), what undoing the edit of y comes back to), of pairs whose change has an inverse
    "reversibility": Number(
        ("returned", "inverts"), lambda returned, inverts: returned / inverts,
        "the changes have no inverse: other attributes change with them"),
}  # fmt: skip


def measure(name: str, sums: Mapping[str, Floats]) -> Estimate:
    """One of NUMBERS, of the sums [n] of each pair."""
    number = NUMBERS[name]
    columns = np.stack([sums[one] for one in number.sums], axis=1)
    return _estimate(columns, lambda total, n: number.of(*np.moveaxis(total, -1, 0)), number.undefined)  # fmt: skip


def direction_r2(steps: Floats) -> Estimate:
    """Share of the true moves c of the code, [n, d], that is one vector for all; unbiased, so 0 on average
    for moves in random directions, and below 0 by chance.

    (n |mean c|^2 - mean |c|^2) / ((n - 1) mean |c|^2). Scale, offset and rotation of the code do not change it.
    """
    squares = np.square(steps).sum(1, keepdims=True)

    def share(total: Floats, n: int) -> Floats:
        one, of_each = np.square(total[..., :-1]).sum(-1), total[..., -1]
        return (one - of_each) / ((n - 1) * of_each)

    return _estimate(np.hstack([steps, squares]), share, "fewer than two pairs, or no code moves")


def mean_over(values: Floats, none: str) -> Estimate:
    """The mean of [n] pairs; undefined because of `none`."""
    return _estimate(values[:, None], lambda total, n: total[..., 0] / n, none)


def leakage(
    sums: Mapping[str, Floats], alone: NDArray[np.bool_]
) -> tuple[Floats, dict[str, Estimate]]:
    """What an edit moves of other attributes: L - dose T [A], and its mean and largest size over them.

    L and T are means over pairs of the changes of logits by the edit and by the decoded truth, "logits" and
    "logits_true" [n, A], in the direction of the edit; of each attribute those of pairs of which the truth
    leaves it alone [n, A]. Attributes without such a pair, or of logit nan, are left out: nan. After
    attribute dependency (Wu et al. 2021, StyleSpace, arXiv 2011.12799), less what the truth moves too.
    """
    changes = [sums["logits"], sums["logits_true"]]
    alone = alone & np.isfinite(changes).all(0)
    ours = [np.where(alone, change, 0) for change in changes]

    def beyond(total: Floats) -> Floats:
        moved, true, count = np.moveaxis(total[..., 2:].reshape(*total.shape[:-1], 3, -1), -2, 0)
        return (moved - total[..., :1] / total[..., 1:2] * true) / count

    def mean(total: Floats, n: int) -> Floats:
        sizes = np.abs(beyond(total))
        return np.nansum(sizes, axis=-1) / np.isfinite(sizes).sum(-1)

    def largest(total: Floats, n: int) -> Floats:
        return np.fmax.reduce(np.abs(beyond(total)), axis=-1)

    columns = np.column_stack([sums["along"], sums["true"], *ours, alone])
    with np.errstate(divide="ignore", invalid="ignore"):
        of_all = beyond(columns.sum(0))
    why = "the true changes leave no other attribute alone"
    of = {"leak_mean": mean, "leak_max": largest}
    return of_all, {name: _estimate(columns, one, why) for name, one in of.items()}


def _estimate(columns: Floats, of: Callable[[Floats, int], Floats], undefined: str) -> Estimate:
    """`of` the totals of columns [n, K], and the influence of each pair by leaving it out."""
    columns, n = np.asarray(columns, np.float64), len(columns)
    total = columns.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(of(total, n)) if n else np.nan
        without = of(total - columns, n - 1) if n > 1 else np.full(n, np.nan)
    if not np.isfinite(value):
        return Estimate(np.nan, np.full(n, np.nan), undefined)
    return Estimate(value, np.sqrt((n - 1) / max(n, 1)) * (value - without))


def f1_of_batches(
    target: NDArray[np.bool_], seen: NDArray[np.bool_], batch: int
) -> tuple[Estimate, Floats]:
    """The mean over batches of the F1 of what is `seen` in images [n], and the F1 of each; 0 where nothing is
    seen nor should be, as in scikit-learn.
    """
    inside = np.arange(len(target))[:, None] // batch == np.arange(-(-len(target) // batch))
    parts = [inside & (target & seen)[:, None], inside & (target != seen)[:, None], inside]

    def of_each(total: Floats) -> tuple[Floats, Floats]:
        right, wrong, count = np.moveaxis(total.reshape(*total.shape[:-1], 3, -1), -2, 0)
        return 2 * right / np.maximum(2 * right + wrong, 1), count > 0

    def mean(total: Floats, n: int) -> Floats:
        f1, is_there = of_each(total)
        return f1.sum(-1) / is_there.sum(-1)

    columns = np.hstack(parts).astype(np.float64)
    return _estimate(columns, mean, "no images"), of_each(columns.sum(0))[0]


def mean_of(estimates: list[Estimate]) -> Estimate:
    """The mean of several numbers, with the influences of all their pairs, one after another."""
    parts = [one.influence / len(estimates) for one in estimates]
    return Estimate(float(np.mean([one.value for one in estimates])), np.concatenate(parts))


def unheld(kept: Estimate, uncertainty: Influences) -> str:
    """Why numbers of an edit say nothing: `kept` does not exceed twice its error. "" if it does."""
    error = whole.Estimate(None, uncertainty).error
    if np.isnan(kept.value) or error is None:
        return kept.why or "of too few people to know whether the code holds the attribute"
    if kept.value > 2 * error.stderr:
        return ""
    return f"the code does not hold the attribute: kept {kept.value:.3f} ± {error.stderr:.3f}"


# ----------------------------------------------------------------------------------------------
# Sums of pairs


def sums_of(x: Tensor, changed: Tensor, decoded: Tensor, truth: Tensor, y: Tensor) -> Sums:
    """Of x, x', r(x), r(x') and y, N x 3 x S x S in [-1, 1] each, and 1 for each pair, "pairs". "inside" are
    places where x and x' differ by more than a level of 8 bits in any channel, and their neighbours.
    """
    change, moved, true, left = changed - x, y - decoded, truth - decoded, y - truth
    differs = (change.abs() > 1.5 * ONE_LEVEL).any(1, keepdim=True).to(x)
    inside = max_pool2d(differs, 3, stride=1, padding=1).expand_as(x)
    products = {
        "held": (true, change),
        "change": (change, change),
        "true": (true, true),
        "left": (left, left),
        "along": (moved, true),
        "moved": (moved, moved),
        "outside": (moved, moved * (1 - inside)),
        "n_outside": (1 - inside, 1 - inside),
        "inside": (true, true * inside),
        "n_inside": (inside, inside),
    }
    sums = {k: (a.double() * b.double()).flatten(1).sum(1) for k, (a, b) in products.items()}
    return {k: v.numpy() for k, v in sums.items()} | {"pairs": np.ones(len(x))}
