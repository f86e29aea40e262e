"""Edits against the truth: x is an image, x' the same with one attribute changed, drawn as x was.

    r(.)   an image encoded and decoded        y   the edit of x, decoded; all with the x_T of x
    D = y - r(x)     what the edit moved       D* = r(x') - r(x)   what it should have moved

Every number is a function of sums over all pairs, never a mean of ratios: true changes differ 250-fold
between attributes. 0/0 is undefined, and not perfect. The influence of a pair is found by leaving it out;
the influences of the pairs of one image or person are summed.

Gain, dose, off-target share, effectiveness and leaks say nothing of an attribute that the code does not
hold: they have no value there, and the reason is that of `unheld`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics.group import Group
from benchmarks.metrics.networks.faces import without_face
from benchmarks.metrics.units import Units
from reports.records.estimate import Estimate

Floats = NDArray[np.float64]
NO_EDIT_DEFINED = "defined for no edit"
FACES = "arcface"


# ----------------------------------------------------------------------------------------------
# Sums of pairs


@dataclass(frozen=True, eq=False)
class EditSums:
    """Sums over the numbers of an image, [n] for n pairs; None where they are not known.

    The code of the truth is an edit too, of which y is r(x'). It alone has `steps`.
    """

    held: Floats | None = None  # <r(x') - r(x), x' - x>
    change: Floats | None = None  # |x' - x|^2
    true: Floats | None = None  # |D*|^2
    left: Floats | None = None  # |y - r(x')|^2
    along: Floats | None = None  # <D, D*>
    moved: Floats | None = None  # |D|^2
    outside: Floats | None = None  # |D|^2 where x and x' are equal, and of how many numbers
    n_outside: Floats | None = None
    inside: Floats | None = None  # |D*|^2 where they are not, and of how many numbers
    n_inside: Floats | None = None
    pairs: Floats | None = None  # 1 for each pair
    missed: Floats | None = None  # |E(y) - f(z)|: f(z) is the edited code, E(y) that of its image
    step: Floats | None = None  # |f(z) - z|
    hits: Floats | None = None  # 1 if a classifier sees the attribute in y as it should be, else 0
    hits_before: Floats | None = None  # the same of r(x)
    hits_true: Floats | None = None  # the same of r(x')
    hits_drawn: Floats | None = None  # the same of x'
    logits: Floats | None = None  # [n, A], how far y moves all logits in the direction of the edit
    logits_true: Floats | None = None  # [n, A], how far r(x') moves them
    returned: Floats | None = None  # squared error after the edit was undone; 0 without an inverse
    inverts: Floats | None = None  # 1 where the change has an inverse, else 0
    steps: Floats | None = None  # [n, d], from the code of x to that of x'
    identity: Floats | None = None  # the faces of x and y compared; nan where none is found
    alone: NDArray[np.bool_] | None = None  # [n, A], which others the true change leaves alone

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "EditSums":
        """The sums among some arrays."""
        names = {field.name for field in fields(cls)}
        return cls(**{name: array for name, array in arrays.items() if name in names})

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The known sums by name."""
        return {name: array for name, array in vars(self).items() if array is not None}

    def at(self, rows: NDArray[np.integer] | slice) -> "EditSums":
        """The sums of some of the pairs."""
        return EditSums(**{name: array[rows] for name, array in self.arrays.items()})


@dataclass(frozen=True, eq=False)
class EditedPairs:
    """The pairs of one edit: their sums, and the units that their images form.

    strength  of the edit, if it has one
    silenced  why numbers of an attribute that the code does not hold have no value, "" if they have one;
              found from the sums unless it is given
    """

    sums: EditSums
    units: Units
    strength: float | None = None
    silenced: str | None = None

    @cached_property
    def unheld(self) -> str:
        """Why the code does not hold the attribute; "" if it does, or if there is no truth."""
        if self.silenced is not None:
            return self.silenced
        if self.sums.held is None:
            return ""
        return unheld(_estimate(NUMBERS["kept"], [self], NUMBERS["kept"].undefined))


def unheld(kept: Estimate) -> str:
    """Why numbers of an edit say nothing: `kept` does not exceed twice its error. "" if it does."""
    if kept.value is None or kept.stderr is None:
        return kept.why or "of too few people to know whether the code holds the attribute"
    if kept.value > 2 * kept.stderr:
        return ""
    return f"the code does not hold the attribute: kept {kept.value:.3f} ± {kept.stderr:.3f}"


# ----------------------------------------------------------------------------------------------
# Numbers as functions of totals over pairs


OfTotals = Callable[[Floats, int], Floats]  # of the totals [..., K] over n pairs


@dataclass(frozen=True)
class EditNumber:
    """A number of edits, `value`, from the totals over n pairs of `columns` [n, K].

    undefined  why there is no value where it is not finite
    held_only  whether it says nothing of attributes that the code does not hold
    """

    columns: Callable[[EditSums], Floats | None]
    value: OfTotals
    undefined: str = ""
    held_only: bool = False


def _of_sums(
    names: str, value: Callable[..., Floats], undefined: str = "", held_only: bool = False
) -> EditNumber:
    """A number that is a function of some sums, in the order of `names`."""

    def columns(sums: EditSums) -> Floats | None:
        arrays = [getattr(sums, name) for name in names.split()]
        return None if any(array is None for array in arrays) else np.stack(arrays, axis=1)

    def of_totals(total: Floats, n: int) -> Floats:
        return value(*np.moveaxis(total, -1, 0))

    return EditNumber(columns, of_totals, undefined, held_only)


def _step_columns(sums: EditSums) -> Floats | None:
    if sums.steps is None:
        return None
    return np.hstack([sums.steps, np.square(sums.steps).sum(1, keepdims=True)])


def _share_of_one_direction(total: Floats, n: int) -> Floats:
    """(n |mean c|^2 - mean |c|^2) / ((n - 1) mean |c|^2) of the true moves c of the code.

    It is unbiased: 0 on average for moves in random directions, and below 0 by chance. Scale, offset
    and rotation of the code do not change it.
    """
    of_sum, squares = np.square(total[..., :-1]).sum(-1), total[..., -1]
    return np.asarray((of_sum - squares) / ((n - 1) * squares))


def _leak_columns(sums: EditSums) -> Floats | None:
    """<D, D*>, |D*|^2, and of each attribute both changes of its logit and whether the pair counts."""
    if sums.logits is None or sums.logits_true is None or sums.alone is None:
        return None
    assert sums.along is not None and sums.true is not None
    changes = [sums.logits, sums.logits_true]
    counts = sums.alone & np.isfinite(changes).all(0)
    counted = [np.where(counts, change, 0) for change in changes]
    return np.column_stack([sums.along, sums.true, *counted, counts])


def _beyond_truth(total: Floats) -> Floats:
    moved, true, count = np.moveaxis(total[..., 2:].reshape(*total.shape[:-1], 3, -1), -2, 0)
    return np.asarray((moved - total[..., :1] / total[..., 1:2] * true) / count)


def _mean_leak(total: Floats, n: int) -> Floats:
    sizes = np.abs(_beyond_truth(total))
    return np.asarray(np.nansum(sizes, axis=-1) / np.isfinite(sizes).sum(-1))


def _largest_leak(total: Floats, n: int) -> Floats:
    return np.asarray(np.fmax.reduce(np.abs(_beyond_truth(total)), axis=-1))


NOTHING_TRUE = "the true change changes nothing that is decoded"
ALL_CHANGE = "the true changes leave no other attribute alone"
NUMBERS = {
    # 1 - sum |y - r(x')|^2 / sum |D*|^2: 1 the truth, 0 nothing done, < 0 harm
    "gain": _of_sums("left true", lambda left, true: 1 - left / true, NOTHING_TRUE, True),
    # sum <D, D*> / sum |D*|^2: how far the edit goes
    "dose": _of_sums("along true", lambda along, true: along / true, NOTHING_TRUE, True),
    # sum |D - dose D*|^2 / sum |D|^2: share of the move that is not the truth
    "off_target": _of_sums(
        "along true moved", lambda along, true, moved: 1 - along**2 / (true * moved),
        "the edit changes nothing, or the true change nothing that is decoded", True),
    # (hits(y) - hits(r(x))) / (hits(r(x')) - hits(r(x))); a hit: a classifier sees the attribute as it should be
    "effectiveness": _of_sums(
        "hits hits_before hits_true",
        lambda hits, before, true: (hits - before) / np.where(true > before, true - before, 0),
        "a classifier sees no more of the attribute in the decoded truth", True),
    "on_target": _of_sums("hits pairs", lambda hits, pairs: hits / pairs, "no pairs"),
    # mean |D|^2 where x and x' are equal / mean |D*|^2 where they are not
    "leak_out": _of_sums(
        "outside n_outside inside n_inside",
        lambda outside, m, inside, n: (outside / m) / (inside / n),
        "the true change changes all of the image, or nothing that is decoded", True),
    # sum |E(y) - f(z)| / sum |f(z) - z|: e4e's LEC (2102.02766, metrics/LEC.py), as a share of the step
    "lec": _of_sums(
        "missed step", lambda missed, step: missed / step, "the edit does not move the code"),
    # mean d(r(r(x)), the image that undoing the edit of y leads to), of pairs whose change has an inverse
    "reversibility": _of_sums(
        "returned inverts", lambda returned, inverts: returned / inverts,
        "the changes have no inverse: other attributes change with them"),
    # mean and largest size over other attributes of `beyond_truth`
    "leak_mean": EditNumber(_leak_columns, _mean_leak, ALL_CHANGE, True),
    "leak_max": EditNumber(_leak_columns, _largest_leak, ALL_CHANGE, True),
    # sum <r(x') - r(x), x' - x> / sum |x' - x|^2: 1 all of the attribute is decoded, 0 nothing
    "kept": _of_sums(
        "held change", lambda held, change: held / change, "nothing changes in the images"),
    # share of the true moves of the code that is one vector for all
    "direction_r2": EditNumber(
        _step_columns, _share_of_one_direction, "fewer than two pairs, or no code moves"),
    FACES: _of_sums("identity pairs", lambda same, pairs: same / pairs),
}  # fmt: skip


def estimate_edit(pairs: EditedPairs) -> dict[str, Estimate]:
    """Every number of an edit that its sums allow; where it is undefined with the reason."""

    def reason(number: EditNumber) -> str:
        return (number.held_only and pairs.unheld) or number.undefined

    return _estimates([pairs], reason)


def estimate_mean_edit(edits: Sequence[EditedPairs]) -> dict[str, Estimate]:
    """The mean of each number over the edits for which it is defined, and of their strengths."""
    return _estimates(edits, lambda number: NO_EDIT_DEFINED)


def _estimates(
    edits: Sequence[EditedPairs], reason: Callable[[EditNumber], str]
) -> dict[str, Estimate]:
    """The means over edits; `reason` says why a number is defined for none.

    Of each number they are over the edits whose sums allow it. `kept` is of the code of the truth alone.
    """
    estimates = dict[str, Estimate]()
    for name, number in NUMBERS.items():
        allowing = [pairs for pairs in edits if number.columns(pairs.sums) is not None]
        if name == "kept":
            allowing = [pairs for pairs in allowing if pairs.sums.steps is not None]
        if allowing:
            estimates[name] = _estimate(number, allowing, reason(number))
    strengths = [pairs.strength for pairs in edits if pairs.strength is not None]
    if strengths:
        n = sum(len(pairs.units) for pairs in edits)
        estimates["strength"] = Estimate(float(np.mean(strengths)), n=n)
    return estimates


def number_of(name: str, sums: EditSums) -> float:
    """The value of one of NUMBERS, whether the code holds the attribute or not; nan if it is undefined."""
    return _jackknife(NUMBERS[name], sums)[0]


def beyond_truth(sums: EditSums) -> Floats:
    """What an edit moves of other attributes beyond the truth: L - dose T [A].

    L and T are means over pairs of the changes of logits by the edit and by the decoded truth, in the
    direction of the edit; of each attribute those of pairs of which the truth leaves it alone. Attributes
    without such a pair, or of logit nan, are nan. After attribute dependency (Wu et al. 2021,
    StyleSpace, arXiv 2011.12799), less what the truth moves too.
    """
    columns = _leak_columns(sums)
    assert columns is not None
    with np.errstate(divide="ignore", invalid="ignore"):
        return _beyond_truth(columns.sum(0))


def _estimate(number: EditNumber, edits: Sequence[EditedPairs], undefined: str) -> Estimate:
    """The mean of a number over the edits for which it is defined; `undefined` says why there are none."""
    counted = [(pairs.sums, pairs.units) for pairs in edits]
    if number is NUMBERS[FACES]:
        counted = [_with_faces(*pairs) for pairs in counted]
    numbers = [_jackknife(number, sums) for sums, _ in counted]
    silent = [number.held_only and bool(pairs.unheld) for pairs in edits]
    defined = [k for k, (value, _) in enumerate(numbers) if not (silent[k] or np.isnan(value))]
    shown = defined or range(len(edits))
    units = Units.joined([counted[k][1] for k in shown])
    count = sum(len(edits[k].units) for k in shown)
    left_out = without_face(count - len(units), count, "pairs")
    if not defined:
        return Estimate(None, n=len(units) or None, why=undefined or left_out)
    share = f"of {len(defined)} of {len(edits)} edits" if len(defined) < len(edits) else ""
    return Estimate(
        float(np.mean([numbers[k][0] for k in defined])),
        units.influences(np.concatenate([numbers[k][1] / len(defined) for k in defined])),
        n=len(units),
        notes=tuple(note for note in (share, left_out) if note),
    )


def _with_faces(sums: EditSums, units: Units) -> tuple[EditSums, Units]:
    """The pairs with a face in both images."""
    assert sums.identity is not None
    rows = np.flatnonzero(~np.isnan(sums.identity))
    return sums.at(rows), units.at(rows)


def _jackknife(number: EditNumber, sums: EditSums) -> tuple[float, Floats]:
    """The value of a number, and the influence [n] of each pair by leaving it out; nan if undefined."""
    columns = number.columns(sums)
    assert columns is not None
    return _left_out(columns, number.value)


def _left_out(columns: Floats, of_totals: OfTotals) -> tuple[float, Floats]:
    """A function of the totals of columns [n, K], and the influence [n] of each row by leaving it out."""
    columns, n = np.asarray(columns, np.float64), len(columns)
    total = columns.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(of_totals(total, n)) if n else np.nan
        without = of_totals(total - columns, n - 1) if n > 1 else np.full(n, np.nan)
    if not np.isfinite(value):
        return np.nan, np.full(n, np.nan)
    return value, np.sqrt((n - 1) / max(n, 1)) * (value - without)


# ----------------------------------------------------------------------------------------------
# Other numbers of edits


def f1_of_batches(
    target: NDArray[np.bool_], seen: NDArray[np.bool_], batch: int, units: Units
) -> dict[str, Estimate]:
    """The mean over batches of the F1 of what is `seen` in images [n]; its spread over them is a note.

    The F1 of a batch is 0 where nothing is seen nor should be, as in scikit-learn.
    """
    inside = np.arange(len(target))[:, None] // batch == np.arange(-(-len(target) // batch))
    parts = [inside & (target & seen)[:, None], inside & (target != seen)[:, None], inside]

    def of_each(total: Floats) -> tuple[Floats, Floats]:
        right, wrong, count = np.moveaxis(total.reshape(*total.shape[:-1], 3, -1), -2, 0)
        return 2 * right / np.maximum(2 * right + wrong, 1), count > 0

    def mean(total: Floats, n: int) -> Floats:
        f1, is_there = of_each(total)
        return np.asarray(f1.sum(-1) / is_there.sum(-1))

    columns = np.hstack(parts).astype(np.float64)
    value, influence = _left_out(columns, mean)
    if np.isnan(value):
        return {"f1": Estimate(None, why="no images")}
    f1 = of_each(columns.sum(0))[0]
    spread = f"± {f1.std():.3f} over {len(f1)} batches"
    return {"f1": Estimate(value, units.influences(influence), notes=(spread,))}


def direction_consistency(cosines: Floats, n: int) -> dict[str, Estimate]:
    """The mean cosine of the directions [A] that two halves of n training images give attributes."""
    defined = cosines[np.isfinite(cosines)]
    value, why = None, "a half of the training images is of one class, or tells no direction"
    if len(defined):
        value, why = float(defined.mean()), "no error: of one division of the training images"
    return {"direction_consistency": Estimate(value, n=n, why=why)}


GROUPS = (
    Group((*(name for name in NUMBERS if name != FACES), "strength"), "edits", estimate_edit),
    Group(("f1",), "edits", f1_of_batches),
    Group(("direction_consistency",), "edits", direction_consistency),
    Group(("composition", "composition_l1", "lec_frobenius", "logit_change"), "edits", Units.means),
)
