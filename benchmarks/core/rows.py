"""Rows: a number with its uncertainty, its protocol and the scores of single images."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np

from benchmarks.core.images import Selection
from benchmarks.metrics import METRICS
from diffae.data import Dataset
from reports.records.published import attach
from reports.records.record import Record, protocol_id
from reports.records.uncertainty import UNKNOWN, Error, Uncertainty
from reports.records.uncertainty import error as standard_error

R = TypeVar("R", bound=Record)


class Protocol:
    """How a number was measured: plain values by name. `id` is their hash, which a record carries."""

    def __init__(self, fields: Mapping[str, Any]):
        self.fields: Mapping[str, Any] = json.loads(json.dumps(fields, sort_keys=True))

    @cached_property
    def id(self) -> str:
        return protocol_id(self.fields)


class PerImage(NamedTuple):
    """The scores of single images behind a mean: indices in the data set [N], and scores [N]."""

    images: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Row(Record):
    """A record, and what does not fit into a cell of it: what its uncertainty is made of, the
    fields of its protocol, the score of each image. `of_machine` marks what depends on the
    machine, such as a time; `failed` says that there is no value because something
    broke.
    """

    uncertainty: Uncertainty = field(default=UNKNOWN, compare=False, repr=False)
    measured_by: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    per_image: PerImage | None = field(default=None, compare=False, repr=False)
    of_machine: bool = field(default=False, compare=False)
    failed: bool = field(default=False, compare=False)


def as_row(record: Record) -> Row:
    """A record as a row without further information."""
    return record if isinstance(record, Row) else Row(**vars(record))


def with_note(record: R, note: str) -> R:
    """The record with `note` appended to its note."""
    return replace(record, note="; ".join(filter(None, [record.note, note])))


def make_row(
    dataset: Dataset,
    benchmark: str,
    table: str,
    system: str,
    metric: str,
    value: float | None,
    *,
    uncertainty: Uncertainty = UNKNOWN,
    stderr: float | None = None,
    protocol: Protocol | None = None,
    note: str = "",
    per_image: tuple[Selection, np.ndarray] | None = None,
    **fields: Any,
) -> Row:
    """A row, with the metric's direction and unit and the paper's number for the same cell.

    The standard error is that of `uncertainty`, or `stderr` where the influences of single units
    are not known. The interval has 95 %, by Student's t. A value that is not a finite number
    becomes no value, and the note says what it was. The note also mentions files that other
    software decodes differently, such as images with an alpha channel. `per_image` is a selection
    and the score of each of its images, where the number is a mean of such. `fields` are others of a
    `Row`: split (default: "test"), setting, steps, n, solver, calls, reference, of_machine.
    """
    info = METRICS[metric]
    if value is not None and not math.isfinite(value):
        said = "not a number" if math.isnan(value) else "infinite"
        note = "; ".join(filter(None, [f"the value is {said}", note]))
        value, uncertainty, stderr = None, UNKNOWN, None
    if value is not None:
        note = "; ".join(filter(None, [note, dataset.survey.note]))
    if not all(np.isfinite(part.values).all() for part in uncertainty):
        uncertainty = UNKNOWN
    error = standard_error(uncertainty)
    if error is None and stderr is not None and np.isfinite(stderr):
        error = Error(stderr, math.inf)
    half = error.quantile(0.975) if value is not None and error else None
    row = Row(
        benchmark,
        table,
        system,
        dataset.name,
        metric=metric,
        value=value,
        stderr=error.stderr if error else None,
        ci_low=None if half is None or value is None else value - half,
        ci_high=None if half is None or value is None else value + half,
        direction=info.direction,
        unit=info.unit,
        protocol=protocol.id if protocol else "",
        note=note,
        uncertainty=uncertainty,
        measured_by=protocol.fields if protocol else {},
        per_image=None if per_image is None else PerImage(per_image[0].order, per_image[1]),
        **{"split": "test", "setting": "", "steps": None, **fields},
    )
    return attach(row, row.measured_by)
