"""Whether numbers of several runs were measured alike, by their protocols."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter

from reports.records.metrics import METRICS, Metrics
from reports.records.reading import Fields, few, flat, joined, short
from reports.records.record import Record
from reports.tables.ranking import comparable_n

Protocols = Mapping[str, Fields]
Instruments = dict[tuple[str | bool, ...], list[dict[str, str]]]

# Protocol fields of the system and of its images and noise, which do not describe the measurement.
OF_SYSTEM = frozenset(
    "model solver grid top end clip x_T x_0 run_at decoding_dtype inversion_steps inversion_calls "
    "decoding_steps decoding_calls latent_steps latent_calls".split()
)
MOST_FIELDS = 4  # named in a note
FREE = frozenset(("seed", "device"))  # randomness, and the machine
# What a number is compared with: first the records of its setting, else those of its metric.
LEVELS = attrgetter("table", "metric", "setting", "reference"), attrgetter("table", "metric")


def noted(
    names: Sequence[str],
    protocols: Sequence[Protocols],
    parts: Sequence[Sequence[Record]],
    metrics: Metrics = METRICS,
) -> Iterator[list[Record]]:
    """The records of each thing, by its name and protocols.

    Those measured differently from those of the first thing that has them have a note and a contest
    of their own.
    """
    indices = [_instruments(*pair, metrics) for pair in zip(protocols, parts, strict=True)]
    yield list(parts[0])
    for j in range(1, len(names)):
        records = []
        for record in parts[j]:
            ours = _measured_by(record, protocols[j], metrics)
            before = [(i, there) for i in range(j) if (there := _beside(indices[i], record))]
            if record.value is None or not before or ours in before[0][1]:
                records.append(record)
                continue
            (first, instruments), *others = before
            why = f"measured otherwise than in {names[first]}: {_difference(ours, instruments)}"
            alike = next((i for i, there in others if ours in there), j)
            note = joined(record.note, why, by="; ")
            records.append(replace(record, contest=names[alike], note=note))
        yield records


def _instruments(protocols: Protocols, part: Iterable[Record], metrics: Metrics) -> Instruments:
    """The instruments of a thing's numbers, by what they are compared with."""
    instruments: Instruments = {}
    for record in part:
        if record.value is None:
            continue
        ours = _measured_by(record, protocols, metrics)
        for level in LEVELS:
            there = instruments.setdefault(level(record), [])
            if ours not in there:
                there.append(ours)
    return instruments


def _beside(instruments: Instruments, record: Record) -> list[dict[str, str]]:
    """The instruments in the same position; if there are none, those of the same metric.

    A reference has no others.
    """
    levels = LEVELS[:1] if record.reference else LEVELS
    places = (instruments.get(level(record), []) for level in levels)
    return next((place for place in places if place), [])


def _measured_by(record: Record, protocols: Protocols, metrics: Metrics) -> dict[str, str]:
    """The instrument, and the number of images if numbers of different n are not comparable."""
    n = comparable_n(record, metrics)
    return instrument(record, protocols) | ({} if n is None else {"n": str(n)})


def instrument(
    record: Record, protocols: Protocols, without: Iterable[str] = OF_SYSTEM
) -> dict[str, str]:
    """The fields of a record's protocol that must be equal for a comparison, as text."""
    fields = protocols.get(record.protocol.split(", ")[0], {})
    return {k: str(v) for k, v in flat(fields) if k.split(".")[0] not in {*without, *FREE}}


def _difference(ours: Mapping[str, str], beside: Iterable[Mapping[str, str]]) -> str:
    """The fields in which a number differs from the nearest one."""

    def fields(other: Mapping[str, str]) -> list[str]:
        names = sorted(ours.keys() | other.keys())
        return [_field(k, ours, other) for k in names if ours.get(k) != other.get(k)]

    return ", ".join(few(min(map(fields, beside), key=len), MOST_FIELDS))


def _field(name: str, ours: Mapping[str, str], other: Mapping[str, str]) -> str:
    words = name.split(".")[-1].replace("_", " ")
    if name == "data_sha256":
        return "other images"
    if name.endswith("_sha256"):
        return f"a different {words.removesuffix(' sha256')} network"
    a, b = (short(fields.get(name, "none"), 40) for fields in (ours, other))
    return f"{words} {a} against {b}"
