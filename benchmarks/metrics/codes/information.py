"""Numbers of the information that each axis of a code has about each label.

I[j, f] is the mutual information of axis j and label f, H[f] the entropy of a label. Of N labels and
d axes, with n the mean of I over permuted labels and A = (I - n) / (H - n), the adjusted mutual
information (Vinh et al., 2010), or A = I / H where a protocol subtracts nothing:

    mig         mean over labels of the largest A minus the second largest (Chen et al., 2018)
    modularity  mean over axes of 1 - (sum of the other I^2) / ((N - 1) largest I^2) (Ridgeway and
                Mozer, 2018), of I - n
    infom       mean over axes of the largest A / sum of A, scaled from 1/N..1 to 0..1
    infoc       the same over labels, scaled from 1/d..1 (Hsu et al., 2023)

An axis or a label without any information has no such share: `Infomec.uninformed` says what follows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr
from scipy.stats import rankdata

from benchmarks.metrics.codes import axes
from benchmarks.metrics.codes.data import DISCRETE, Codes, Floats, Ints
from benchmarks.metrics.codes.errors import LISTED, blocks_of, jackknifed, no_jackknife, undefined
from benchmarks.metrics.codes.number import CodeGroup, several
from benchmarks.metrics.sets.jackknife import BLOCKS
from diffae.system.errors import UserError
from diffae.system.settings import Range
from reports.records.estimate import Estimate
from reports.records.reading import few

MEAN, LARGEST = 20, 100  # permutations for their mean, and for their largest information
Rows = NDArray[np.bool_] | slice
ALL = slice(None)
Score = Callable[[Floats], float]  # of I - n and A [2, d, N]
TINY = 1e-12  # an information that is due to rounding
ALONG = {"infom": ("axes", 1), "infoc": ("labels", 0)}  # what is averaged, and what is summed over
NEEDED = 10  # rows, without a block, for the information by nearest neighbours
WORTH_REFITTING = 500_000  # rows x axes x labels of nearest neighbours, about 5 s


@dataclass(frozen=True)
class Mig(axes.Concepts):
    """MIG.

    most       how many rows at most are drawn; 0: all
    null       the mean information about permuted labels is "subtracted" or "kept"
    estimator  of the information: "equal counts": `bins` of equally many images, by rank, equal
               values in one; "equal widths": `bins` over the range of an axis; "clusters": `bins`
               by k-means of a concept's components; "neighbours": of a real-valued axis by the
               nearest `bins` (Ross, 2014; scikit-learn's `mutual_info_classif`); "values": each
               value of an axis is a bin, for codes of quantised models
    """

    most: axes.Count = 0
    null: Literal["subtracted", "kept"] = "subtracted"
    estimator: Literal["equal counts", "equal widths", "clusters", "neighbours", "values"] = (
        "equal counts"
    )
    bins: Annotated[int, Range(2, 1000)] = 20


@dataclass(frozen=True)
class Modularity(Mig):
    """Modularity: the fields of MIG, and which axes count.

    active  "above null": those with more information (A, of any label) than any axis has about
            permuted labels; those with a "range > 1/8" or "1/20" of the largest, or "range > 0";
            or "all"
    """

    active: Literal["above null", "range > 1/8", "range > 1/20", "range > 0", "all"] = "above null"


@dataclass(frozen=True)
class Infomec(Modularity):
    """InfoM and InfoC: the fields of modularity, and what is done with what has no information.

    uninformed  axes, or labels, without information are "left out" of the mean; or "refused", where
                the authors' code divides zero by zero; or "labels refused", and axes left out
    """

    uninformed: Literal["left out", "refused", "labels refused"] = "left out"


def binned(x: Floats, choices: Mig, seed: int) -> Ints:
    """The bin, from 0, of each value [n, d], or of each concept [n, concepts]."""
    if choices.estimator == "equal counts":
        return ((rankdata(x, axis=0) - 0.5) / len(x) * choices.bins).astype(int)
    if choices.estimator == "values":
        axes.refuse_real_values(x)
        return np.stack([np.unique(column, return_inverse=True)[1] for column in x.T], axis=1)
    if choices.estimator == "equal widths":
        edges = [np.histogram(column, choices.bins)[1][:-1] for column in x.T]
        return np.stack([np.digitize(c, e) - 1 for c, e in zip(x.T, edges, strict=True)], axis=1)
    from sklearn.cluster import KMeans

    means = KMeans(choices.bins, random_state=seed)
    return np.stack(
        [means.fit_predict(c) for c in np.split(x, max(choices.concepts, 1), axis=1)], 1
    )


def plug_in(bins: Ints, y: Ints) -> Floats:
    """Mutual information [d, N] in nats of discrete axes [n, d] and labels [n, N]."""
    information = np.empty((bins.shape[1], y.shape[1]))
    size = y.max(axis=0) + 1
    for j, f in np.ndindex(information.shape):
        count = np.bincount(bins[:, j] * size[f] + y[:, f], minlength=size[f] * (bins.max() + 1))
        joint = count.reshape(-1, size[f]) / len(y)
        apart = np.outer(joint.sum(axis=1), joint.sum(axis=0))
        information[j, f] = rel_entr(joint, apart).sum()
    return information


def entropies(y: Ints) -> Floats:
    """Entropies [N] in nats of labels [n, N]."""
    return np.array([plug_in(column[:, None], column[:, None])[0, 0] for column in y.T])


def nearest(x: Floats, y: Ints, neighbours: int, seed: int) -> Floats:
    """Mutual information [d, N] in nats of real-valued axes [n, d] and labels [n, N]."""
    from sklearn.feature_selection import mutual_info_classif

    given = {"discrete_features": False, "n_neighbors": neighbours, "random_state": seed}
    return np.stack([mutual_info_classif(x, label, **given) for label in y.T], axis=1)


@dataclass(frozen=True)
class _Matrices:
    """What is known of the axes that count.

    each     I - n and A [2, d, N] of all rows, then without each block in the same bins
    blocks   the block of each row
    why      why there are none without blocks
    notes    what was left out
    """

    each: Sequence[Floats]
    blocks: Ints
    why: str
    notes: tuple[str, ...]


def _matrices(codes: Codes, choices: Mig, seed: int) -> _Matrices:
    n, random = len(codes.values), np.random.default_rng([seed, len(codes.values)])
    rows = np.sort(random.permutation(n)[: choices.most or n])
    x, y = choices.axes(codes.values, rows)[rows], codes.classes[rows]
    if (np.ptp(y, axis=0) == 0).any():
        raise UserError("a label has one value on the rows that are taken")
    near = choices.estimator == "neighbours"
    bins = np.empty(x.shape, int) if near else binned(x, choices, seed)
    active = choices.active if isinstance(choices, Modularity) else "all"

    def information(kept: Rows, y: Ints) -> Floats:
        """Of the axes in some rows, and these labels."""
        if near:
            return nearest(x[kept], y, choices.bins, seed)
        return plug_in(bins[kept], y)

    null = np.zeros((1, bins.shape[1], y.shape[1]))
    if choices.null == "subtracted":
        count = LARGEST if active == "above null" else MEAN
        null = np.stack([information(ALL, random.permutation(y)) for _ in range(count)])
    chance = null.mean(axis=0)

    def corrected(kept: Rows) -> Floats:
        less = chance * len(y) / len(y[kept])  # it falls as 1/n
        matrix = information(kept, y[kept]) - less
        with np.errstate(invalid="ignore", divide="ignore"):  # of a label with one value
            return np.stack([matrix, matrix / (entropies(y[kept]) - less)])

    whole = corrected(ALL)
    most = ((null - chance) / (entropies(y) - chance)).max()
    counted = _active(x, whole[1], most, active)
    left_out = f"{(~counted).sum()} of {len(counted)} axes left out by their information or range"
    notes = () if counted.all() else (left_out,)
    count, why = axes.FEW if near else BLOCKS, ""
    if near and x.size * y.shape[1] > WORTH_REFITTING:
        count, why = 0, "no error: a jackknife would take too long"
    blocks = blocks_of(codes, count or 1)[rows]
    few_left = near and np.bincount(blocks).max() > len(blocks) - NEEDED
    if count:
        why = no_jackknife(blocks[:1] if few_left else blocks)
    without = (corrected(blocks != block) for block in range(0 if why else count))
    return _Matrices([m[:, counted] for m in (whole, *without)], blocks, why, notes)


def _active(x: Floats, adjusted: Floats, null: float, choices: str) -> NDArray[np.bool_]:
    """The axes that count, of axes [n, d] (or of concepts) and their A [d, N]."""
    if choices == "above null":
        return adjusted.max(axis=1) > null
    ranges = np.ptp(x, axis=0)
    shares = {"range > 1/8": 8, "range > 1/20": 20, "range > 0": np.inf}
    return (
        ranges > ranges.max() / shares[choices]
        if choices in shares
        else np.ones(len(adjusted), bool)
    )


def gap(matrix: Floats) -> float:
    """MIG of I - n and A [2, 2, N] of each label's best axis and the next."""
    first, second = matrix[1]
    return float((first - second).mean())


def modularity(matrix: Floats) -> float:
    """Modularity of I - n and A [2, d, N]; an axis without information has 0."""
    squares = np.maximum(matrix[0], 0) ** 2
    most = squares.max(axis=1)
    others = (squares.sum(axis=1) - most) / (np.where(most > 0, most, 1) * (squares.shape[1] - 1))
    return float(np.where(most > 0, 1 - others, 0).mean())


def concentration(matrix: Floats, axis: int) -> float:
    """InfoM (axis 1) and InfoC (axis 0) of I - n and A [2, d, N]."""
    share, least = _shares(matrix, axis), 1 / matrix.shape[axis + 1]
    mean = np.nanmean(share) if np.isfinite(share).any() else least
    return float((mean - least) / (1 - least))


def _shares(matrix: Floats, axis: int) -> Floats:
    """The largest A over the sum of A along an axis, nan where there is no information."""
    adjusted = np.maximum(matrix[1], 0)
    total = adjusted.sum(axis=axis)
    return adjusted.max(axis=axis) / np.where(total > TINY, total, np.nan)


def _uninformed(
    name: str, matrix: Floats, choices: Infomec, labels: Sequence[str]
) -> tuple[str, ...]:
    """A note of the axes or labels without information. Raises UserError where they are refused."""
    kind, axis = ALONG[name]
    empty = np.isnan(_shares(matrix, axis))
    if not empty.any():
        return ()
    count = f"{empty.sum()} of {len(empty)} {kind}"
    if kind == "labels":
        names = [label for label, is_empty in zip(labels, empty, strict=True) if is_empty]
        count += f" ({', '.join(few(names, LISTED))})"
    is_refused = choices.uninformed == "refused" or (
        choices.uninformed != "left out" and kind == "labels"
    )
    if is_refused or (empty.all() and choices.null == "kept"):
        why = f"{count} without information, for which the authors' code gives nan"
        raise UserError(f"{name}: {why}; leave out these {kind}, or take the protocol plain")
    return (f"{count} without information, left out of the mean",)


def _estimate(name: str, score: Score, codes: Codes, choices: Mig, matrices: _Matrices) -> Estimate:
    """A metric of these matrices. Raises UserError where it is not defined."""
    each, notes = matrices.each, matrices.notes
    _, d, labels = each[0].shape
    if not d and choices.null == "kept":
        raise UserError(f"{name}: no axis counts, as where every axis is constant")
    if not d:
        notes = (*notes, "no axis counts: 0")
        return Estimate(0.0, n=len(matrices.blocks), why=matrices.why, notes=notes)
    axes.needs(name, *(("axes that count", d) if name in ("mig", "infoc") else ("labels", labels)))
    if isinstance(choices, Infomec):
        assert codes.labels is not None
        notes = (*notes, *_uninformed(name, each[0], choices, codes.labels.names))
    if name == "mig":  # the jackknife is of these two
        best = np.argsort(-each[0][1], axis=0, kind="stable")[None, :2]
        each = [np.take_along_axis(matrix, best, axis=1) for matrix in each]
    return jackknifed([score(matrix) for matrix in each], matrices.blocks, matrices.why, *notes)


def _estimates(
    scores: Mapping[str, Score], codes: Codes, choices: Mig, seed: int
) -> dict[str, Estimate]:
    """The metrics of the information by these `scores`; of one that is not defined, the reason."""
    matrices, estimates = _matrices(codes, choices, seed), {}
    for name, score in scores.items():
        try:
            estimates[name] = _estimate(name, score, codes, choices, matrices)
        except UserError as error:
            estimates[name] = undefined(str(error))
    return estimates


def _group(section: type[Mig], scores: Mapping[str, Score]) -> CodeGroup:
    estimates = partial(_estimates, scores)
    return several(tuple(scores), estimates, section, DISCRETE)


GROUPS = (
    _group(Mig, {"mig": gap}),
    _group(Modularity, {"modularity": modularity}),
    _group(
        Infomec,
        {"infom": partial(concentration, axis=1), "infoc": partial(concentration, axis=0)},
    ),
)
