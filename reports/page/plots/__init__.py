"""The plots of a table: what its `TableSpec.plots` names, or its headline.

A metric is drawn against a number (`against`): T, network calls, the number in settings such as
"noise 0.3", the operations of an image, or another metric of the same row, such as the size of a
code. Where there is no number, each setting or system has a row of dots (`in_rows`). A plot is left
out if there is nothing to draw.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter

from reports.page.plots.data import Plot, X, is_drawable, numbers_of
from reports.page.plots.figures import SIZE, against, in_rows
from reports.records.record import NEITHER, Record
from reports.records.specs import TableSpec
from reports.tables.build import Merged
from reports.tables.contests import first_metric
from reports.tables.numbers import metric_label
from reports.tables.ranking import at_largest_steps, choose, of_like_n

LABELS = {"steps": "T (steps)", "calls": "network calls per image", "operations": "GFLOP per image"}
MOST_FAMILIES = 8  # of settings, each with a plot
NUMBER = re.compile(r"(?<![\w.])-?\d{1,6}(?:\.\d{1,6})?(?![\w.])")


def plots_of(benchmark: str, found: Merged) -> list[Plot]:
    """The plots of one benchmark, in the order of its tables."""
    plots: list[Plot] = []
    for spec in sorted(found.specs, key=lambda spec: spec.order):
        records = numbers_of(found, spec.source)
        if records and records[0].benchmark == benchmark:
            plots += _of_table(spec, choose(spec, records), found)
    return plots


def _of_table(spec: TableSpec, records: list[Record], found: Merged) -> list[Plot]:
    if spec.plots is not None:
        return [p for pair in spec.plots for p in _plots(spec, records, found, *pair)]
    known, metrics = found.known, spec.headline or spec.metrics
    ranked = (m for m in metrics if m not in known or known[m].direction != NEITHER)
    metric = next(ranked, "")
    numbers = [axis for axis in ("steps", "calls") if axis in (*spec.rows, *spec.columns)]
    columns = [axis for axis in numbers if axis in spec.columns]
    for axes in (columns, ["setting"], numbers, ["system"]):
        if plots := [p for axis in axes for p in _plots(spec, records, found, metric, axis)]:
            return plots
    return []


def _plots(
    spec: TableSpec, records: Sequence[Record], found: Merged, wanted: str, axis: str
) -> Iterator[Plot]:
    """The plots of one metric of a table, or of its first stand-in that was measured."""
    metric = first_metric(records, [wanted], found.known)
    ours = of_like_n([r for r in records if r.metric == metric], found.known)
    if axis == "setting" and (families := _families(ours)):
        for name, x in list(families.items())[:MOST_FAMILIES]:
            header = "" if spec.setting_header == "setting" else f"{spec.setting_header}: "
            yield from against(found, spec, ours, header + name, _of_setting(x))
    elif axis in ("setting", "system"):
        if axis == "system" or len({r.setting for r in ours}) > 1:
            yield from in_rows(found, spec, at_largest_steps(ours), axis)
    elif axis in ("steps", "calls"):
        yield from against(found, spec, ours, LABELS[axis], attrgetter(axis), log=True)
    elif axis == "operations":  # also at other T, from the benchmark's other tables
        settings = {(r.benchmark, r.setting) for r in ours}
        every = [r for r in found.records if r.metric == metric and is_drawable(r)]
        alike = [r for r in every if (r.benchmark, r.setting) in settings]
        counted = _operations(found)
        yield from against(found, spec, alike, LABELS[axis], counted, log=True, room=SIZE)
    else:
        label = metric_label(axis, found.known)
        yield from against(found, spec, ours, label, _beside(records, axis), log=True, room=SIZE)


def _families(records: Iterable[Record]) -> dict[str, dict[str, float]]:
    """Settings that differ in one number, by their text with `…` in its place."""
    families: dict[str, dict[str, float]] = {}
    for setting in dict.fromkeys(r.setting for r in records):
        numbers = NUMBER.findall(setting)
        if len(numbers) == 1:
            families.setdefault(NUMBER.sub("…", setting), {})[setting] = float(numbers[0])
    return {name: numbers for name, numbers in families.items() if len(numbers) > 1}


def _of_setting(numbers: dict[str, float]) -> X:
    return lambda record: numbers.get(record.setting)


def _beside(records: Sequence[Record], metric: str) -> X:
    """The number of another metric in the row of a record."""
    row = attrgetter("system", "setting", "dataset", "split")
    values = {row(r): r.value for r in records if r.metric == metric}
    return lambda record: values.get(row(record)) or None


def _operations(found: Merged) -> X:
    """The operations of an image, if the run counted them: its network calls (a single pass: one)
    times those of one call, plus the semantic encoder once.
    """
    counted = {(r.system, r.setting): r.value or 0.0 for r in found.records if r.metric == "gflops"}

    def operations(record: Record) -> float | None:
        decode = counted.get((record.system, "decode"))
        if not decode:
            return None
        calls = 1 if record.calls is None else record.calls
        return calls * decode + counted.get((record.system, "encode, semantic"), 0.0) or None

    return operations
