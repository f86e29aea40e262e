"""Several runs in one table: groups of runs that are shown as one, their means, and systems side by side.

- Runs whose settings differ in nothing but the seed, and runs with the same given name, are one thing: their
  numbers become means with the spread between runs.
- A system that two things have keeps its name if the numbers that both have are the same, and is shown once;
  otherwise the name of the run follows that of the system.
- A number that was measured differently from those of the first run beside it has a note, and is ranked with none
  of them.
"""

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean, stdev
from typing import Any

from diffae.system.errors import UserError, refuse_duplicates
from reports.records.estimate import Error, Estimate
from reports.records.metric import Metric
from reports.records.metrics import METRICS, Metrics
from reports.records.reading import grouped, joined, short
from reports.records.record import Record, record_key
from reports.records.run_folder import Run
from reports.records.settings import changes
from reports.tables.protocol_diff import instrument, noted
from reports.tables.ranking import comparable_n

Key = tuple[str, str]  # a table, and the key of a record
Number = tuple[float | int | str | None, ...]  # all that makes two numbers the same


@dataclass(frozen=True)
class RunGroup:
    """A run, or several seeds of it, under one name in a table. `name` is empty for a run alone."""

    name: str
    sources: tuple[Run, ...]

    @property
    def protocols(self) -> dict[str, dict[str, Any]]:
        return {key: fields for source in self.sources for key, fields in source.protocols.items()}


def run_groups_of(sources: Sequence[Run]) -> tuple[RunGroup, ...]:
    """Raises UserError if a run was given twice, or if two groups would have one name."""
    groups: list[list[Run]] = []
    refuse_duplicates((str(source.folder.resolve()) for source in sources), "the runs", "folder")
    for source in sources:
        group = next((g for g in groups if _one_thing(g[0], source)), None)
        if group is None:
            groups.append(group := [])
        group.append(source)
    names = labels_of(groups) if len(groups) > 1 else [groups[0][0].label]
    return tuple(RunGroup(name, tuple(g)) for name, g in zip(names, groups, strict=True))


def _one_thing(first: Run, other: Run) -> bool:
    if first.label or other.label:
        return first.label == other.label
    a, b = ({k: v for k, v in s.settings.items() if k != "seed"} for s in (first, other))
    seeds = first.settings.get("seed"), other.settings.get("seed")
    return bool(a) and a == b and None not in seeds and seeds[0] != seeds[1]


# ----------------------------------------------------------------------------------------------
# Names


def labels_of(groups: Sequence[Sequence[Run]]) -> list[str]:
    """A name for each group of runs: its label, else the name of its folder; of several folders,
    what their names begin with.
    """
    names = [group[0].label or _common_name(group) for group in groups]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two runs would be called {name}; name them: NAME=RUN")
    return names


def _common_name(group: Sequence[Run]) -> str:
    names = [source.folder.resolve().name for source in group]
    return os.path.commonprefix(names).rstrip("-_. ") or names[0]  # noqa: RUF071


# ----------------------------------------------------------------------------------------------
# Means


def pooled(run_group: RunGroup, by_run: Sequence[Sequence[Record]]) -> list[Record]:
    """The records of a group of runs, each once: unchanged for one run, means for several."""
    if len(by_run) == 1:
        return [replace(r, run=run_group.name, origin=record_key(r)) for r in by_run[0]]
    _check_repeated(run_group)
    all_records = (record for records in by_run for record in records)
    groups = grouped(all_records, lambda record: (record.table, record_key(record)))
    _check_alike(run_group, groups.values())
    try:
        return [_mean(group, len(by_run), run_group) for group in groups.values()]
    except OverflowError:
        where = run_group.sources[0].folder
        raise UserError(f"{where}: numbers too large to take their mean") from None


def _mean(group: Sequence[Record], runs: int, run_group: RunGroup) -> Record:
    """The mean of a number over runs.

    None if the numbers are not comparable because their counts of images differ.
    """
    measured = [r for r in group if r.value is not None]
    notes = [r.note for r in measured or group if r.note]
    metrics = METRICS | run_group.sources[0].metrics
    counts = {comparable_n(r, metrics) or 0 for r in measured}
    if len(counts) > 1:
        several = ", ".join(f"{n:,}" for n in sorted(counts))
        notes = [f"no mean: the runs have {several} images, and it depends on how many"]
        measured = []
    elif len(measured) < runs:
        notes.append(f"measured in {len(measured)} of {runs} runs" if measured else "")
    values = [r.value for r in measured if r.value is not None]
    first = (measured or group)[0]
    return replace(
        first,
        run=run_group.name,
        origin=record_key(first),
        runs=len(measured),
        pooled=bool(measured),
        estimate=_mean_estimate(measured),
        spread=_spread(values, exact=all(r.stderr is None for r in measured)),
        protocol=", ".join(dict.fromkeys(r.protocol for r in group if r.protocol)),
        note=joined(*dict.fromkeys(notes), by="; "),
    )


def _mean_estimate(measured: Sequence[Record]) -> Estimate:
    """The mean of a number over runs, with the standard error within one run."""
    values = [r.value for r in measured if r.value is not None]
    n = min((r.n for r in measured if r.n is not None), default=None)
    stderr = _root_mean_square([r.stderr for r in measured])
    df = 1.0 if n is None else max(n - 1.0, 1.0)
    error = None if stderr is None else Error(stderr, df)
    return Estimate(fmean(values) if values else None, error=error, n=n)


def _spread(values: Sequence[float], exact: bool) -> float | None:
    """The standard deviation between runs.

    None for one run, and for a number without randomness (a size).
    """
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return None
    return None if exact and len(set(values)) == 1 else stdev(values)


def _root_mean_square(errors: Sequence[float | None]) -> float | None:
    present = [error for error in errors if error is not None]
    if not present or len(present) < len(errors):
        return None
    return math.sqrt(fmean(error * error for error in present))


def _check_repeated(run_group: RunGroup) -> None:
    """Raise UserError for runs of equal settings and seed: their numbers are equal, and their
    spread says nothing.
    """
    for other, source in combinations(run_group.sources, 2):
        if source.settings and source.settings == other.settings:
            raise UserError(
                f"{source.folder}: has the settings, weights and seed of {other.folder}, so it is not a further run of "
                f"{short(run_group.name or 'it', 40)}; leave it out or give it a different name"
            )


def _check_alike(run_group: RunGroup, groups: Iterable[Sequence[Record]]) -> None:
    """Raise UserError unless averaged runs differ only in the seed, or in the model if the user
    named them alike.
    """
    for group in groups:
        measured = [r for r in group if r.value is not None]
        instruments = [instrument(r, run_group.protocols, without=("model",)) for r in measured]
        for other in instruments[1:]:
            if differing := {key for key, _ in instruments[0].items() ^ other.items()}:
                folders = " and ".join(str(source.folder) for source in run_group.sources[:2])
                raise UserError(
                    f"{folders}: no seeds of one thing, their protocols differ in {short(min(differing), 40)} "
                    f"({short(group[0].benchmark, 40)}); give them two names"
                )


def merged_metrics(sources: Sequence[Run]) -> dict[str, Metric]:
    """The metrics of plug-ins in all runs. Raises UserError if two define one name differently."""
    metrics: dict[str, Metric] = {}
    for source in sources:
        for name, metric in source.metrics.items():
            if metrics.setdefault(name, metric) != metric:
                reason = f"metric {name} is defined differently in an earlier run"
                raise UserError(f"{source.folder}: {reason}")
    return metrics


# ----------------------------------------------------------------------------------------------
# Systems of several runs


def side_by_side(
    run_groups: Sequence[RunGroup], records: Sequence[Sequence[Record]], metrics: Metrics
) -> tuple[Record, ...]:
    """The `records` of all groups of runs, with distinct names of systems and with notes on what was
    measured differently.
    """
    names, protocols = [g.name for g in run_groups], [g.protocols for g in run_groups]
    parts = list(noted(names, protocols, records, metrics))
    ambiguous, seen = _ambiguous_systems(parts), set()
    kept: list[Record] = []
    for run_group, part in zip(run_groups, parts, strict=True):
        for record in part:
            if record.system in ambiguous:
                record = replace(record, system=f"{record.system} ({run_group.name})")
            key = (record.table, record_key(record))
            if key not in seen:
                kept.append(record)
            seen.add(key)
    return tuple(kept)


def _ambiguous_systems(parts: Sequence[Sequence[Record]]) -> set[str]:
    """The systems that several groups of runs have, with different numbers or with none in common."""
    ambiguous: set[str] = set()
    first: dict[str, dict[Key, Number]] = {}
    for part in parts:
        ours: dict[str, dict[Key, Number]] = {}
        for r in part:
            number = (r.value, r.stderr, r.n, r.contest)
            ours.setdefault(r.system, {})[r.table, record_key(r)] = number
        for system, numbers in ours.items():
            earlier = first.setdefault(system, numbers)
            if earlier is not numbers and not _agree(earlier, numbers):
                ambiguous.add(system)
    return ambiguous


def _agree(earlier: Mapping[Key, Number], ours: Mapping[Key, Number]) -> bool:
    """Whether all numbers that both have are the same, and there are some."""
    shared = [key for key in earlier if key in ours]
    is_measured = any(earlier[key][0] is not None for key in shared)
    return is_measured and all(earlier[key] == ours[key] for key in shared)


def remarks(run_groups: Sequence[RunGroup]) -> Iterator[str]:
    """For each group but the first, in which settings it differs from the first."""
    first = run_groups[0].sources[0].settings
    for run_group in run_groups[1:]:
        other = run_group.sources[0].settings
        differences = list(changes(first, other))
        if not differences and first.get("data_sha256") != other.get("data_sha256"):
            differences.append("other images")
        if differences:
            yield f"{run_group.name} is not measured as {run_groups[0].name}: {'; '.join(differences)}"
