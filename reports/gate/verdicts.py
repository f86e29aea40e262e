"""The regression gate: is a run worse than its baseline by more than a margin and more than chance?

Every number of either run gets a verdict. With loss = how much worse the new one is (negative:
better),

    regression     loss > margin is significant: Student's t of (loss - margin) / error, after
                   Holm's correction; or the number is no longer finite
    improvement    the same in the other direction
    same           the 95 % interval of the loss lies within the margin on both sides
    unresolved     none of these: a loss above the margin can be neither shown nor excluded
    changed        a number for which neither direction is better has changed
    missing        the baseline has the number and the new run has not
    new            the new run has the number and the baseline has not
    not compared   `note` says why: no uncertainty and different seeds, or a metric of samples; a
                   different n; or a baseline that is not finite

The error of a difference is paired over the units that both runs have
(`reports.records.estimate`). The probability that a run is falsely called worse is at most
`alpha`: alpha is divided equally among the families of numbers (a metric of a system in a
benchmark, and its means), and Holm's procedure (1979) is applied within each. `diffae-bench docs
numbers` has the details.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from diffae.system.errors import UserError
from reports.records.estimate import Error, t_tail
from reports.records.metric import Margin
from reports.records.metrics import METRICS, Metrics
from reports.records.published import OF_N
from reports.records.reading import grouped, short
from reports.records.record import HIGHER, NEITHER, Record, error_between
from reports.records.run_folder import Run
from reports.records.settings import changes
from reports.tables.ranking import comparable_n

REGRESSION, MISSING, IMPROVEMENT = "regression", "missing", "improvement"
UNRESOLVED, CHANGED, NEW, NOT_COMPARED = "unresolved", "changed", "new", "not compared"
SAME = "same"
FAILING = (REGRESSION, MISSING)
NO_VERDICT = (NEW, NOT_COMPARED, MISSING)  # these have no p
# Sorted by their interest to a reader.
VERDICTS = (REGRESSION, MISSING, IMPROVEMENT, CHANGED, UNRESOLVED, NOT_COMPARED, NEW, SAME)

MEANS = ("mean", "prevalence-weighted mean")
# Fields in which protocols may differ: the choice of images and noise, and the model that the gate judges.
FREE_FIELDS = {"seed", "model"}

NO_MARGIN = Margin(0.0)


@dataclass(frozen=True)
class Comparison:
    """One number in both runs. `loss` is new - base if lower is better, base - new if higher is better.

    `p` is that of a regression (of any change, for a metric without a better direction), after
    Holm's correction. `pairing_lost`: the runs shared images and noise, but the influences that
    pairing needs are missing.
    """

    record: Record
    base: float | None
    new: float | None
    loss: float = math.nan
    margin: float = 0.0
    error: Error | None = None
    paired: bool = False
    pairing_lost: bool = False
    p: float = math.nan
    verdict: str = SAME
    note: str = ""

    @property
    def family(self) -> tuple[str, ...]:
        kind = "means" if self.record.setting in MEANS else ""
        return (self.record.benchmark, self.record.system, self.record.metric, kind)


# ----------------------------------------------------------------------------------------------
# Comparing


def compare(
    base: Run, new: Run, margins: Mapping[str, Margin], alpha: float = 0.05
) -> list[Comparison]:
    """Every number of both runs, with its verdict.

    Raises UserError if a number was measured differently.
    """
    shared = [key for key in base.records if key in new.records]
    if not shared:
        raise UserError(f"{_folders(base, new)} have no number in common{_changed(base, new)}")
    for key in shared:
        check_protocols(base, new, key)
        check_uncertainty(base, new, key)
    comparisons = judge([_differ(base, new, key, margins) for key in shared], alpha)
    lost = [r for key, r in base.records.items() if key not in new.records and r.value is not None]
    fresh = [r for key, r in new.records.items() if key not in base.records and r.value is not None]
    added = [Comparison(r, None, r.value, verdict=NEW) for r in fresh]
    return [*comparisons, *map(_lost, lost), *added]


def _lost(record: Record) -> Comparison:
    """The comparison of a number that the new run lacks: a failure, unless it is a reference for an n
    that samples no longer have.
    """
    if record.reference and OF_N in record.system:
        note = "no samples of this n any more"
        return Comparison(record, record.value, None, verdict=NOT_COMPARED, note=note)
    return Comparison(record, record.value, None, verdict=MISSING, note="no such row")


def check_protocols(base: Run, new: Run, key: str) -> None:
    """Raise UserError, naming the changed setting and the field, if `key` was measured by different
    protocols.
    """
    was, now = base.records[key], new.records[key]
    if None in (now.value, was.value):
        return
    a = base.protocols.get(was.protocol, {}) | {"direction": was.direction}
    b = new.protocols.get(now.protocol, {}) | {"direction": now.direction}
    for field in sorted(set(a) | set(b)):
        if field not in FREE_FIELDS and a.get(field) != b.get(field):
            raise UserError(
                f"{_folders(base, new)} were not measured alike{_changed(base, new)}; "
                f"the protocols differ in {short(field, 40)}: {_quoted(a.get(field))} in {base.folder}, "
                f"{_quoted(b.get(field))} in {new.folder} ({_named(was)})"
            )


def is_of_sample(number: Record, metrics: Metrics) -> bool:
    """Whether another draw of as many images would change a number, and one direction is better."""
    metric = metrics.get(number.metric)
    return metric is not None and metric.depends_on_n and metric.direction != NEITHER


def check_uncertainty(base: Run, new: Run, key: str) -> None:
    """Raise UserError if the new run lacks the uncertainty of a number: without it no regression
    can be shown.

    A share of images, such as precision, has an error only where enough of them are on either
    side: a run may have one and another none, and that of the other counts for both.
    """
    was, now = base.records[key], new.records[key]
    if now.value is None or not math.isfinite(now.value):
        return
    if now.stderr is None and new.has_influences and is_of_sample(now, METRICS | new.metrics):
        return
    lost_error = was.stderr is not None and now.stderr is None
    if lost_error or (was.estimate.influences and not now.estimate.influences):
        where = new.folder / "influences.npz"
        lacks = "has no" if new.has_influences else "is missing, and with it the"
        raise UserError(
            f"{where}: {lacks} uncertainty of {_named(was)}, which {base.folder} has; give a complete run folder"
            f"{_changed(base, new)}"
        )


def _folders(base: Run, new: Run) -> str:
    return f"{new.folder} and {base.folder}"


def _changed(base: Run, new: Run) -> str:
    changed = "; ".join(changes(base.settings, new.settings))
    return f": {changed}" if changed else ""


def _named(record: Record) -> str:
    return short(f"{record.benchmark}, {record.system}, {record.metric}", 120)


def _quoted(value: object) -> str:
    return short(repr(value), 60)


def _differ(base: Run, new: Run, key: str, margins: Mapping[str, Margin]) -> Comparison:
    """The difference of one number and its error; without a verdict yet, unless none is possible."""
    was, now, metrics = base.records[key], new.records[key], METRICS | new.metrics
    comparison = Comparison(was, was.value, now.value)
    if was.value is None:
        return replace(comparison, verdict=SAME if now.value is None else NEW)
    if not math.isfinite(was.value):
        note = "not a finite number in the baseline"
        return replace(comparison, verdict=NOT_COMPARED, note=note)
    if now.value is None:
        return replace(comparison, verdict=MISSING, note=now.note)
    if not math.isfinite(now.value):  # in either direction: an infinite SSIM is no improvement
        note = "no longer a finite number"
        return replace(comparison, loss=math.inf, p=0.0, verdict=REGRESSION, note=note)
    before, n = comparable_n(was, metrics), comparable_n(now, metrics)
    if n != before:
        note = f"{n:,} images, {before:,} in the baseline: {was.metric} depends on the number of images"
        return replace(comparison, verdict=NOT_COMPARED, note=note)
    difference, is_paired = now.value - was.value, was.estimate.is_paired_with(now.estimate)
    comparison = replace(
        comparison, loss=-difference if was.direction == HIGHER else difference,
        margin=margins.get(was.metric, NO_MARGIN).at(was.value), error=error_between(was, now),
        paired=is_paired,
    )  # fmt: skip
    seeds = [run.protocols.get(r.protocol, {}).get("seed") for run, r in ((base, was), (new, now))]
    same_seed = seeds[0] == seeds[1]
    if comparison.error is not None:
        influences = was.estimate.influences or now.estimate.influences
        could_be_paired = same_seed and (influences or not base.has_influences)
        return replace(comparison, pairing_lost=bool(could_be_paired and not is_paired))
    if not same_seed:
        note = "different seeds, and no uncertainty is known"
        return replace(comparison, verdict=NOT_COMPARED, note=note)
    if comparison.loss and is_of_sample(was, metrics):
        note = "no uncertainty is known: the difference may be chance"
        return replace(comparison, verdict=NOT_COMPARED, note=note)
    return replace(comparison, error=Error(0.0, math.inf), paired=True)  # it is not due to chance


def judge(comparisons: Sequence[Comparison], alpha: float) -> list[Comparison]:
    """Set the p and the verdict of each comparison."""
    judged = list(comparisons)
    tested = [i for i, c in enumerate(comparisons) if c.verdict == SAME and c.error is not None]
    families = grouped(tested, lambda i: comparisons[i].family)
    for family in families.values():
        worse, better = (
            holm([one_sided_p(comparisons[i], sign) for i in family]) for sign in (1, -1)
        )
        for i, p, q in zip(family, worse, better, strict=True):
            judged[i] = _verdict(comparisons[i], p, q, alpha / len(families))
    return judged


def one_sided_p(comparison: Comparison, sign: int) -> float:
    """One-sided p of a loss (sign 1) or gain (-1) above the margin, without Holm's correction."""
    assert comparison.error is not None
    excess = sign * comparison.loss - comparison.margin
    if comparison.error.stderr == 0:
        return 0.0 if excess > 1e-12 * max(abs(comparison.base or 0), 1e-300) else 1.0
    return t_tail(excess / comparison.error.stderr, comparison.error.df)


def _verdict(comparison: Comparison, worse: float, better: float, level: float) -> Comparison:
    if comparison.record.direction == NEITHER:
        p = min(1.0, 2 * min(worse, better))
        return replace(comparison, p=p, verdict=CHANGED if p <= level else SAME)
    assert comparison.error is not None
    half = comparison.error.quantile(0.975)
    if worse <= level:
        verdict = REGRESSION
    elif better <= level:
        verdict = IMPROVEMENT
    else:
        within = abs(comparison.loss) + half <= comparison.margin or comparison.loss == half == 0
        verdict = SAME if within else UNRESOLVED
    return replace(comparison, p=worse, verdict=verdict)


def holm(p: Iterable[float]) -> list[float]:
    """P-values of one family, adjusted by Holm's step-down procedure (1979)."""
    values = list(p)
    order = sorted(range(len(values)), key=values.__getitem__)
    adjusted, highest = [0.0] * len(values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - rank) * values[i]))
        adjusted[i] = highest
    return adjusted
