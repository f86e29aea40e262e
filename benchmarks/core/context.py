"""Inputs and services of a benchmark: the run's data, settings and seed, images, codes, metric
networks and rows.

context.sizes(Sizes)                             settings of the profile (profiles.py)
context.select("test", 100)                      images by position (images.py)
context.codes.semantic(system, selection)        codes and features, from the store
context.networks.perceptual                      metric networks (metrics/networks/chosen.py)
context.record(..., protocol=context.protocol(...))     rows
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.images import Codes, Selection, select
from benchmarks.core.profiles import Profile, S
from benchmarks.core.store import Store
from benchmarks.metrics import METRICS
from benchmarks.metrics.networks.chosen import MetricNetworks
from benchmarks.metrics.pixel import resize
from benchmarks.runtime.calling import Batches
from benchmarks.runtime.choices import BatchSize, NetworkChoice, TaskOptions
from benchmarks.systems.protocol.base import System
from diffae.data import Dataset
from diffae.sheet import Sheet, write
from diffae.system import distributed
from diffae.system.files import writing
from reports.records.published import attach
from reports.records.record import Record, protocol_id
from reports.records.uncertainty import UNKNOWN, Error, Uncertainty
from reports.records.uncertainty import error as standard_error

R = TypeVar("R", bound=Record)

RESIZED = "bilinear with antialiasing"  # by `resize`; the paper does not name its filter


# ----------------------------------------------------------------------------------------------
# Rows: a number with its uncertainty, its protocol and the scores of single images


class RowProtocol:
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
    protocol: RowProtocol | None = None,
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


# ----------------------------------------------------------------------------------------------
# What a benchmark is given


@dataclass
class Context:
    """The inputs of a run, shared by all of its benchmarks.

    `pictures` is the folder of their pictures (None: draw none), `images` the folder of
    reconstructions as single files (None: keep none). `model` describes the system that is being
    measured (`for_system`). `choice` says which metric networks are used;
    `networks` are made from it unless given.
    """

    dataset: Dataset
    profile: Profile
    seed: int
    device: torch.device
    store: Store
    pictures: Path | None
    choice: NetworkChoice = field(default_factory=NetworkChoice)
    precision: str = "float32"  # of the systems' networks, see precision.py
    batch_size: BatchSize = None  # of all networks, see calling.py
    benchmark: str = ""  # the one that is being measured
    model: Mapping[str, Any] = field(default_factory=dict)
    networks: MetricNetworks = None  # type: ignore[assignment]
    images: Path | None = None
    options: TaskOptions = TaskOptions()

    def __post_init__(self) -> None:
        if self.networks is None:
            batches = Batches.from_option(self.batch_size)
            self.networks = MetricNetworks(self.choice, self.device, batches, self.dataset.name)

    def for_system(self, system: System) -> "Context":
        """A copy for one system: protocols then contain `System.describe`, and the size at which
        the system runs if it is not that of the comparison (the paper ran others at 256 px and
        compared at 128 px).
        """
        size, shown = system.image_size, self.dataset.image_size
        model = dict(system.describe())
        if size not in (None, shown):
            model |= {"run_at": size, "compared_at": f"{shown}, {RESIZED}"}
        return replace(self, model=model)

    def resized(self, images: Tensor) -> Tensor:
        """A system's images at the size of the comparison: N x 3 x S x S, unchanged if they have it."""
        return resize(images, self.dataset.image_size)

    def sizes(self, kind: type[S]) -> S:
        """The settings of one task: the run's instance of its `Sizes`."""
        return self.profile.sizes(kind)

    def select(self, split: str, count: int) -> Selection:
        """The first `count` images of a split in the run's order, or all if there are fewer."""
        return select(self.dataset, split, count, self.seed)

    def save_sheet(self, name: str, sheet: Sheet) -> None:
        """Draw a sheet of pictures into the PNG file of that name, where pictures are wanted."""
        if self.pictures is not None and distributed.is_main():
            with writing(self.pictures, "or choose another --out"):
                self.pictures.mkdir(parents=True, exist_ok=True)
                write(self.pictures / name, sheet)

    @property
    def codes(self) -> Codes:
        """The codes of images, which are kept in the store."""
        return Codes(self.store, self.networks, self.device, self.precision, self.options.deciding)

    # ------------------------------------------------------------------------------------------
    # Rows

    def protocol(self, benchmark: str, **fields: Any) -> RowProtocol:
        """A protocol with the fields of the run and those given."""
        return RowProtocol(
            {
                "benchmark": benchmark,
                "dataset": self.dataset.name,
                "dataset_images": len(self.dataset),
                "data_sha256": self.dataset.fingerprint,
                "transform": self.dataset.transform.describe(),
                "partition": self.dataset.partition_source,
                "seed": self.seed,
                "precision": self.precision,
                "device": self.device.type,
                **self.options.deciding,
                **({"model": dict(self.model)} if self.model else {}),
                **fields,
            }
        )

    @property
    def record(self) -> Callable[..., Row]:
        """`make_row` for this data set."""
        return partial(make_row, self.dataset)
