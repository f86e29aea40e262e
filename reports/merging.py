"""Several runs in one table: whose numbers they are, which of them are seeds of one thing, and which compare.

    merge([read_source(a), read_source(b)])

- Runs whose settings differ in nothing but the seed, and runs that were given one name, are one thing: their numbers become
  means with the spread between runs.
- A system that two things have keeps its name where its numbers are the same in both, and stands once; otherwise each is
  followed by the name of its run.
- A number that was measured otherwise than those of the first run beside it says so in a note, and competes with none of them.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from reports.labels import labels_of
from reports.metrics import Metric
from reports.reading import Refused, short
from reports.records import Record, record_key
from reports.settings import changes
from reports.shown import Shown
from reports.sources import Source
from reports.specs import TableSpec

# Fields of protocols that say how a system works and which images and noise it was given, not how it is measured.
OF_SYSTEM = frozenset(
    {"model", "solver", "grid", "top", "end", "clip", "x_T", "x_0", "run_at", "decoding_dtype"}
    | {
        f"{way}_{what}"
        for way in ("inversion", "decoding", "latent")
        for what in ("steps", "calls")
    }
)
MOST_FIELDS = 4  # that a note names
FREE = frozenset(("seed", "device"))  # what chance decides, and where it ran
# What stands beside a number: first what has its setting, else what has its metric.
LEVELS = ("table", "metric", "setting", "reference"), ("table", "metric")


@dataclass(frozen=True)
class Thing:
    """What stands in a table under one name: a run, or several that are seeds of it. `name` is empty for a run alone."""

    name: str
    sources: tuple[Source, ...]

    @property
    def protocols(self) -> dict[str, dict[str, Any]]:
        return {key: fields for source in self.sources for key, fields in source.protocols.items()}


@dataclass(frozen=True)
class Merged:
    """The numbers of several runs for one set of tables; `remarks` say what a reader has to know of the runs."""

    things: tuple[Thing, ...]
    records: tuple[Record, ...]
    times: tuple[Record, ...]
    specs: tuple[TableSpec, ...]
    metrics: dict[str, Metric]
    remarks: tuple[str, ...]

    @property
    def shown(self) -> list[Shown]:
        """The records, with the run that each is of."""
        return [
            r if isinstance(r, Shown) else _shown(r, run=self.things[0].name) for r in self.records
        ]

    @property
    def sources(self) -> list[Source]:
        return [source for thing in self.things for source in thing.sources]


def merge(sources: Sequence[Source]) -> Merged:
    """Put runs side by side. Raises Refused where one was given twice, or where runs of one name were not measured alike."""
    _check_distinct(sources)
    things = things_of(sources)
    if len(sources) == 1:
        records, times = sources[0].records, sources[0].times
    else:
        records = _side_by_side(things, [_pooled(thing, "records") for thing in things])
        times = _side_by_side(things, [_pooled(thing, "times") for thing in things])
    specs = {spec.name: spec for source in reversed(sources) for spec in source.specs}
    remarks = tuple(_remarks(things))
    return Merged(things, records, times, tuple(specs.values()), _metrics(sources), remarks)


def _check_distinct(sources: Sequence[Source]) -> None:
    seen: set[Path] = set()
    for source in sources:
        if (path := source.folder.resolve()) in seen:
            raise Refused(f"{source.folder}: the same run is given twice")
        seen.add(path)


def _metrics(sources: Sequence[Source]) -> dict[str, Metric]:
    """What the metrics that runs bring mean. Raises Refused if two mean different things by one name."""
    found: dict[str, Metric] = {}
    for source in sources:
        for name, metric in source.metrics.items():
            if found.setdefault(name, metric) != metric:
                raise Refused(
                    f"{source.folder}: metric {name} is another one than in a run before it"
                )
    return found


def _remarks(things: Sequence[Thing]) -> Iterator[str]:
    """What was set otherwise for another thing than for the first."""
    first = things[0].sources[0].settings
    for thing in things[1:]:
        other = thing.sources[0].settings
        found = list(changes(first, other))
        if not found and first.get("data_sha256") != other.get("data_sha256"):
            found.append("other images")
        if found:
            yield f"{thing.name} is not measured as {things[0].name}: {'; '.join(found)}"


# ----------------------------------------------------------------------------------------------
# Which runs are one thing


def things_of(sources: Sequence[Source]) -> tuple[Thing, ...]:
    groups: list[list[Source]] = []
    for source in sources:
        group = next((g for g in groups if _one_thing(g[0], source)), None)
        if group is None:
            groups.append([source])
        else:
            group.append(source)
    names = labels_of(groups) if len(groups) > 1 else [groups[0][0].label]
    return tuple(Thing(name, tuple(g)) for name, g in zip(names, groups, strict=True))


def _one_thing(first: Source, other: Source) -> bool:
    if first.label or other.label:
        return first.label == other.label
    a, b = ({k: v for k, v in s.settings.items() if k != "seed"} for s in (first, other))
    seeds = first.settings.get("seed"), other.settings.get("seed")
    return bool(a) and a == b and None not in seeds and seeds[0] != seeds[1]


def _pooled(thing: Thing, what: str) -> list[Shown]:
    """The records of a thing, each once: as they are, or the means of its runs."""
    by_run: list[list[Record]] = [list(getattr(source, what)) for source in thing.sources]
    if len(by_run) == 1:
        return [_shown(record, run=thing.name) for record in by_run[0]]
    _check_repeated(thing)
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in (record for records in by_run for record in records):
        groups.setdefault((record.table, record_key(record)), []).append(record)
    _check_alike(thing, groups.values())
    try:
        return [_mean(group, len(by_run), thing.name) for group in groups.values()]
    except OverflowError:
        raise Refused(f"{thing.sources[0].folder}: numbers too large to take their mean") from None


def _shown(record: Record, **more: Any) -> Shown:
    given = {f.name: getattr(record, f.name) for f in fields(Record)}
    return Shown(**given, origin=record_key(record), **more)


def _mean(group: Sequence[Record], runs: int, name: str) -> Shown:
    measured = [r for r in group if r.value is not None]
    values = [r.value for r in measured if r.value is not None]
    notes = [r.note for r in measured or group if r.note]
    if len(measured) < runs:
        notes.append(f"measured in {len(measured)} of {runs} runs" if measured else "")
    return replace(
        _shown((measured or group)[0], run=name, runs=len(measured), pooled=bool(measured)),
        value=fmean(values) if values else None,
        spread=_spread(values, exact=all(r.stderr is None for r in measured)),
        stderr=_root_mean_square(r.stderr for r in measured),
        ci_low=None,
        ci_high=None,
        n=min((r.n for r in measured if r.n is not None), default=None),
        protocol=", ".join(dict.fromkeys(r.protocol for r in group if r.protocol)),
        note="; ".join(dict.fromkeys(note for note in notes if note)),
    )


def _spread(values: Sequence[float], exact: bool) -> float | None:
    """The standard deviation between runs; None of one run, and of a number that knows no chance (a size)."""
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return None
    return None if exact and len(set(values)) == 1 else stdev(values)


def _root_mean_square(errors: Iterable[float | None]) -> float | None:
    found = list(errors)
    known = [error for error in found if error is not None]
    return math.sqrt(fmean(e * e for e in known)) if known and len(known) == len(found) else None


def _check_repeated(thing: Thing) -> None:
    """The same settings and seed again give the same numbers, and a spread that says nothing."""
    for i, source in enumerate(thing.sources):
        for other in thing.sources[:i]:
            if source.settings and source.settings == other.settings:
                raise Refused(
                    f"{source.folder}: has the settings, weights and seed of {other.folder}; it is no other run of "
                    f"{short(thing.name or 'it', 40)}, leave it out or give it another name"
                )


def _check_alike(thing: Thing, groups: Iterable[Sequence[Record]]) -> None:
    """Runs that are averaged differ in nothing but what chance decides, and the model where a person says so."""
    for group in groups:
        first, *others = [r for r in group if r.value is not None] or [group[0]]
        ours = instrument(first, thing.protocols, without=("model",))
        for other in others:
            theirs = instrument(other, thing.protocols, without=("model",))
            if differing := sorted(
                k for k in ours.keys() | theirs.keys() if ours.get(k) != theirs.get(k)
            ):
                folders = " and ".join(str(source.folder) for source in thing.sources[:2])
                raise Refused(
                    f"{folders}: no seeds of one thing, their protocols differ in {short(differing[0], 40)} "
                    f"({short(first.benchmark, 40)}); give them two names"
                )


# ----------------------------------------------------------------------------------------------
# Whose numbers they are, and which compare


def _side_by_side(things: Sequence[Thing], parts: Sequence[Sequence[Shown]]) -> tuple[Shown, ...]:
    """The records of all things, with names that tell them apart and notes on what was measured otherwise."""
    parts = list(_noted(things, parts))
    told, seen = _told_apart(things, parts), set()
    found: list[Shown] = []
    for thing, part in zip(things, parts, strict=True):
        for record in part:
            if record.system in told:
                record = replace(record, system=f"{record.system} ({thing.name})")
            key = (record.table, record_key(record))
            if key not in seen:
                found.append(record)
            seen.add(key)
    return tuple(found)


def _told_apart(things: Sequence[Thing], parts: Sequence[Sequence[Shown]]) -> set[str]:
    """The systems that several things have, with other numbers."""
    told: set[str] = set()
    first: dict[str, tuple[Thing, dict[Any, Any]]] = {}
    for thing, part in zip(things, parts, strict=True):
        ours: dict[str, dict[Any, Any]] = {}
        for r in part:
            number = (r.value, r.stderr, r.n, r.contest)
            ours.setdefault(r.system, {})[r.table, record_key(r)] = number
        for system, numbers in ours.items():
            other, theirs = first.setdefault(system, (thing, numbers))
            if other is not thing and not _same_system(other, theirs, thing, numbers):
                told.add(system)
    return told


def _same_system(a: Thing, theirs: Mapping, b: Thing, ours: Mapping) -> bool:
    """By its numbers; where the two have none in common, by the weights of their runs."""
    here, there = _measured(theirs), _measured(ours)
    if any(here[table] != there[table] for table in here.keys() & there.keys()):
        return False
    shared = [key for key in theirs if key in ours]
    if any(theirs[key][0] is not None for key in shared):
        return all(theirs[key] == ours[key] for key in shared)
    weights, others = (t.sources[0].settings.get("weights") or {} for t in (a, b))
    common = weights.keys() & others.keys()
    return bool(common) and all(weights[name] == others[name] for name in common)


def _measured(numbers: Mapping[tuple[str, str], tuple[object, ...]]) -> dict[str, bool]:
    """Of each table, whether it has a number and not only reasons why there is none."""
    found: dict[str, bool] = {}
    for (table, _), (value, *_) in numbers.items():
        found[table] = found.get(table, False) or value is not None
    return found


def _noted(things: Sequence[Thing], parts: Sequence[Sequence[Shown]]) -> Iterator[list[Shown]]:
    """Each thing's records; those that were measured otherwise than the first thing's, with a note and in a contest of
    their own."""
    indices = [_instruments(thing, part) for thing, part in zip(things, parts, strict=True)]
    yield list(parts[0])
    for j in range(1, len(things)):
        names = [thing.name for thing in things[: j + 1]]
        noted = []
        for record in parts[j]:
            ours, beside = instrument(record, things[j].protocols), indices[0].beside(record)
            if record.value is None or not beside or ours in beside:
                noted.append(record)
                continue
            peers = (i for i in range(1, j) if ours in indices[i].beside(record))
            why = f"measured otherwise than in {names[0]}: {_difference(ours, beside)}"
            note = "; ".join(filter(None, [record.note, why]))
            noted.append(replace(record, contest=names[next(peers, j)], note=note))
        yield noted


@dataclass(frozen=True)
class _Index:
    """How the numbers of a thing were measured, by what they stand beside."""

    found: Mapping[tuple[object, ...], list[dict[str, str]]]

    def beside(self, record: Record) -> list[dict[str, str]]:
        """Of those in the same place; where there are none, of those of the same metric. A reference has no others."""
        levels = LEVELS[:1] if record.reference else LEVELS
        places = (self.found.get(_place(record, level), []) for level in levels)
        return next((place for place in places if place), [])


def _instruments(thing: Thing, part: Iterable[Record]) -> _Index:
    found: dict[tuple[object, ...], list[dict[str, str]]] = {}
    for record in part:
        if record.value is None:
            continue
        ours = instrument(record, thing.protocols)
        for level in LEVELS:
            known = found.setdefault(_place(record, level), [])
            if ours not in known:
                known.append(ours)
    return _Index(found)


def _place(record: Record, level: Sequence[str]) -> tuple[object, ...]:
    return tuple(getattr(record, name) for name in level)


def instrument(
    record: Record, protocols: Mapping[str, Mapping[str, Any]], without: Iterable[str] = OF_SYSTEM
) -> dict[str, str]:
    """The fields of a record's protocol that must be equal where numbers are compared, as text."""
    fields = protocols.get(record.protocol.split(", ")[0], {})
    return {k: v for k, v in _flat(fields) if k.split(".")[0] not in {*without, *FREE}}


def _flat(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif value is not None:  # a field that another version does not know
            yield prefix + name, str(value)


def _difference(ours: Mapping[str, str], beside: Iterable[Mapping[str, str]]) -> str:
    """In which fields a number differs from the nearest one."""

    def fields(theirs: Mapping[str, str]) -> list[str]:
        names = sorted(ours.keys() | theirs.keys())
        return [_field(k, ours, theirs) for k in names if ours.get(k) != theirs.get(k)]

    found = min(map(fields, beside), key=len)
    more = [f"{len(found) - MOST_FIELDS} more"] * (len(found) > MOST_FIELDS)
    return ", ".join([*found[:MOST_FIELDS], *more])


def _field(name: str, ours: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    words = name.split(".")[-1].replace("_", " ")
    if name == "data_sha256":
        return "other images"
    if name.endswith("_sha256"):
        return f"another {words.removesuffix(' sha256')} network"
    a, b = (short(fields.get(name, "none"), 40) for fields in (ours, theirs))
    return f"{words} {a} against {b}"
