"""The headline of tables with Frechet distances: at small n, the kernel distance of the same features.

A Frechet distance of n images in d dimensions is too high for every model, and mostly bias where n
is a few times d. A kernel distance has no bias at any n.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from reports.records.metrics import Metrics, alternatives, comparable_n
from reports.records.record import Record
from reports.records.specs import TableSpec

ENOUGH = 5  # images for each dimension of the features, on the smaller side
PUBLISHED = "paper"  # the profile in which the published metrics lead
SMOKE = "smoke"  # the profile that only shows that everything runs
KERNEL = {"fid": "kid"}  # by what a Frechet distance is replaced

Protocols = Mapping[str, Mapping[str, Any]]


def with_headlines(
    specs: Iterable[TableSpec], records: Sequence[Record], protocols: Protocols, profile: object
) -> tuple[TableSpec, ...]:
    """The `specs` of a run, each with the headline that suits its records.

    `protocols` are the records' by id, and `profile` is the built-in one that the run's was made
    from. A kernel distance that was measured takes the place of the Frechet distance if that of any
    system has fewer than `ENOUGH` images for each dimension, except in the profile `PUBLISHED`.
    """
    if profile == PUBLISHED:
        return tuple(specs)
    measured = [r for r in records if r.value is not None]
    made = []
    for spec in specs:
        ours = [r for r in measured if r.table == spec.source]
        made.append(replace(spec, headline=tuple(_led(m, ours, protocols) for m in spec.headline)))
    return tuple(made)


def _led(metric: str, measured: Sequence[Record], protocols: Protocols) -> str:
    """`metric`, or the kernel distance in its place."""
    rivals = [r for r in measured if not r.reference]
    kernel = KERNEL.get(metric)
    if kernel is None or not any(r.metric in alternatives(kernel) for r in rivals):
        return metric
    frechet = [r for r in rivals if r.metric in alternatives(metric)]
    few = any(_is_of_few(r, protocols.get(r.protocol, {})) for r in frechet)
    return kernel if few or not frechet else metric


def _is_of_few(record: Record, protocol: Mapping[str, Any]) -> bool:
    """Whether a Frechet distance is one of so few images that it is mostly bias."""
    dim = protocol.get("feature_dim")
    sides = [n for n in (record.n, protocol.get("reference_n")) if type(n) is int]
    return type(dim) is int and min(sides, default=0) < ENOUGH * dim


def of_like_n(records: Sequence[Record], known: Metrics) -> list[Record]:
    """The records of a table without the references that no system can be held against: their metric
    depends on n, and no system has theirs.
    """
    counts: dict[str, set[int | None]] = {}
    for r in records:
        if not r.reference and r.value is not None:
            counts.setdefault(r.metric, set()).add(comparable_n(r, known))

    def is_alike(r: Record) -> bool:
        n = comparable_n(r, known)
        return not r.reference or n is None or n in counts.get(r.metric, {n})

    return list(filter(is_alike, records))
