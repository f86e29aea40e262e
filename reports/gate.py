"""The regression gate: is a run worse than its baseline by more than noise and more than a margin?

For every number that both runs have, with loss = how much worse the new one is (negative: better),

    regression    loss > margin is shown:  (loss - margin) / error beyond Student's t, after Holm's correction
    improvement   the same the other way
    same          the 95 % interval of the loss lies within the margin on both sides
    unresolved    none of these: a loss above the margin can be neither shown nor excluded with these images

An error of the difference is paired over the units that both runs have (`reports.uncertainty`). A run is falsely
called worse with probability `alpha` at most: alpha is divided equally among the families of numbers (a
metric of a system in a benchmark, and its means), and Holm's procedure (1979) shares it within each.
"""

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from scipy.stats import t as student_t

from reports.reading import Refused
from reports.records import HIGHER, NEITHER, Record, read_records, record_key
from reports.uncertainty import (
    Error,
    Uncertainty,
    difference_error,
    paired,
    read_uncertainties,
)

REGRESSION, MISSING, IMPROVEMENT = "regression", "missing", "improvement"
UNRESOLVED, CHANGED, NEW, NOT_COMPARED = "unresolved", "changed", "new", "not compared"
SAME = "same"
FAILING = (REGRESSION, MISSING)
# In the order of their interest to a reader.
VERDICTS = (REGRESSION, MISSING, IMPROVEMENT, CHANGED, UNRESOLVED, NOT_COMPARED, NEW, SAME)

MEANS = ("mean", "prevalence-weighted mean")
FREE_FIELDS = {"seed"}  # protocols may differ in what only chooses the images and the noise


@dataclass(frozen=True)
class Run:
    """What the gate reads of a run folder."""

    folder: Path
    records: dict[str, Record]
    uncertainties: dict[str, Uncertainty]
    protocols: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Margin:
    """A loss of this size does not matter: in the metric's unit, or as a share of the baseline's value."""

    size: float
    is_share: bool

    def at(self, value: float) -> float:
        return self.size * abs(value) if self.is_share else self.size


NO_MARGIN = Margin(0.0, False)


@dataclass(frozen=True)
class Comparison:
    """One number of both runs. `loss` is new - base where lower is better, base - new where higher is.

    `p` is that of a regression (of any change, for a metric without a better side), after Holm's correction.
    """

    record: Record
    base: float | None
    new: float | None
    loss: float = math.nan
    margin: float = 0.0
    error: Error | None = None
    paired: bool = False
    p: float = math.nan
    verdict: str = SAME
    note: str = ""

    @property
    def family(self) -> tuple[str, ...]:
        kind = "means" if self.record.setting in MEANS else ""
        return (self.record.benchmark, self.record.system, self.record.metric, kind)


# ----------------------------------------------------------------------------------------------
# Reading


def read_run(folder: Path) -> Run:
    """Read a run folder, or a baseline kept of one. Raises Refused naming the file that is not as it should be."""
    try:
        records = read_records(folder / "records.csv")
        notes = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        path = folder / "influences.npz"
        uncertainties = read_uncertainties(path) if path.exists() else {}
        protocols = {str(name): dict(fields) for name, fields in notes["protocols"].items()}
    except FileNotFoundError as error:
        raise Refused(
            f"{error.filename}: no such file; give the folder of a finished run"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(f"{folder}: not the folder of a finished run: {error}") from None
    if not records:
        raise Refused(f"{folder}: records.csv has no rows")
    return Run(folder, {record_key(r): r for r in records}, uncertainties, protocols)


def read_margins(path: Path | None = None) -> dict[str, Margin]:
    """Margins by metric from a CSV file (default: the one that ships). Raises Refused naming what is wrong."""
    source = resources.files("reports") / "margins.csv" if path is None else path
    try:
        rows = list(csv.DictReader(source.read_text(encoding="utf-8").splitlines()))
        margins = {r["metric"]: Margin(float(r["margin"]), r["of"] == "share") for r in rows}
        kinds = {r["of"] for r in rows}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise Refused(f"{source}: not a file of margins (metric,margin,of,why): {error}") from None
    if not kinds <= {"value", "share"} or any(not 0 <= m.size < math.inf for m in margins.values()):
        raise Refused(f"{source}: a margin is a number from 0 up, of 'value' or of 'share'")
    return margins


# ----------------------------------------------------------------------------------------------
# Comparing


def compare(
    base: Run, new: Run, margins: Mapping[str, Margin], alpha: float = 0.05
) -> list[Comparison]:
    """Every number of both runs, with its verdict. Raises Refused if a number was measured differently."""
    shared = [key for key in base.records if key in new.records]
    if not shared:
        raise Refused(f"{base.folder} and {new.folder} have no number in common")
    for key in shared:
        check_protocols(base, new, key)
    found = [_differ(base, new, key, margins) for key in shared]
    found = judge(found, alpha)
    lost = [r for key, r in base.records.items() if key not in new.records and r.value is not None]
    fresh = [r for key, r in new.records.items() if key not in base.records and r.value is not None]
    found += [Comparison(r, r.value, None, verdict=MISSING, note="no such row") for r in lost]
    return found + [Comparison(r, None, r.value, verdict=NEW) for r in fresh]


def check_protocols(base: Run, new: Run, key: str) -> None:
    """Raise Refused, naming the field, if the number `key` was measured by different protocols."""
    ours, theirs = new.records[key], base.records[key]
    if None in (ours.value, theirs.value) or ours.protocol == theirs.protocol:
        return
    a, b = base.protocols.get(theirs.protocol, {}), new.protocols.get(ours.protocol, {})
    for field in sorted(set(a) | set(b)):
        if field not in FREE_FIELDS and a.get(field) != b.get(field):
            what = f"{theirs.benchmark}, {theirs.system}, {theirs.metric}"
            raise Refused(
                f"the protocols differ in {field}: {a.get(field)!r} in {base.folder}, "
                f"{b.get(field)!r} in {new.folder} ({what})"
            )


def _differ(base: Run, new: Run, key: str, margins: Mapping[str, Margin]) -> Comparison:
    """The difference of one number and its error; no verdict yet, unless none can be had."""
    theirs, ours = base.records[key], new.records[key]
    if theirs.value is None or ours.value is None:
        return _without_value(theirs, ours)
    difference = ours.value - theirs.value
    loss = -difference if theirs.direction == HIGHER else difference
    a, b = base.uncertainties.get(key, ()), new.uncertainties.get(key, ())
    margin = margins.get(theirs.metric, NO_MARGIN).at(theirs.value)
    found = Comparison(theirs, theirs.value, ours.value, loss, margin, paired=paired(a, b))
    found = replace(found, error=difference_error(a, b) or _unpaired(theirs, ours))
    if found.error is not None:
        return found
    if theirs.protocol == ours.protocol:  # the same images and noise: what is left is no chance
        return replace(found, error=Error(0.0, math.inf), paired=True)
    return replace(
        found, verdict=NOT_COMPARED, note="another seed, and the number has no uncertainty"
    )


def _without_value(theirs: Record, ours: Record) -> Comparison:
    found = Comparison(theirs, theirs.value, ours.value)
    if theirs.value is None:
        return replace(found, verdict=SAME if ours.value is None else NEW)
    return replace(found, verdict=MISSING, note=ours.note)


def _unpaired(theirs: Record, ours: Record) -> Error | None:
    """From the standard errors in the records, where influences are not known."""
    if theirs.stderr is None or ours.stderr is None:
        return None
    return Error(math.hypot(theirs.stderr, ours.stderr), math.inf)


def judge(found: Sequence[Comparison], alpha: float) -> list[Comparison]:
    """Give each comparison its p and its verdict."""
    tested = [c for c in found if c.verdict == SAME and c.error is not None]
    families: dict[tuple[str, ...], list[Comparison]] = {}
    for comparison in tested:
        families.setdefault(comparison.family, []).append(comparison)
    judged: dict[int, Comparison] = {}
    for family in families.values():
        worse = holm([_p(c, 1) for c in family])
        better = holm([_p(c, -1) for c in family])
        for comparison, p, q in zip(family, worse, better, strict=True):
            judged[id(comparison)] = _verdict(comparison, p, q, alpha / len(families))
    return [judged.get(id(c), c) for c in found]


def _p(comparison: Comparison, sign: int) -> float:
    """One-sided p of a loss (sign 1) or gain (-1) above the margin."""
    assert comparison.error is not None
    excess = sign * comparison.loss - comparison.margin
    if comparison.error.stderr == 0:
        return 0.0 if excess > 1e-12 * max(abs(comparison.base or 0), 1e-300) else 1.0
    return float(student_t.sf(excess / comparison.error.stderr, comparison.error.df))


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
