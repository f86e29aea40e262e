"""Inputs and services of a benchmark: the run's data, settings and seed, images, codes, metric
networks and records.

context.sizes(Sizes)                             settings of the profile (profiles.py)
context.select("test", 100)                      images by position (images.py)
context.codes.semantic(system, selection)        codes and features, from the store
context.networks.perceptual                      metric networks (metrics/networks/chosen.py)
context.record(..., protocol=context.protocol(...))     records
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.core.images import CodeStore, Selection, select
from benchmarks.core.profiles import Profile, S
from benchmarks.core.store import Store
from benchmarks.metrics import METRICS
from benchmarks.metrics.networks.chosen import MetricNetworks
from benchmarks.metrics.pixel import resize
from benchmarks.metrics.protocols.printed import fields_of
from benchmarks.runtime.calling import Batches
from benchmarks.runtime.choices import BatchSize, NetworkChoice, TaskOptions
from benchmarks.systems.protocol.base import System
from diffae.data import Dataset
from diffae.sheet import Sheet, write
from diffae.system import distributed
from diffae.system.files import writing
from reports.records.estimate import Estimate
from reports.records.published import attach
from reports.records.record import Record, protocol_id

RESIZED = "bilinear with antialiasing"  # by `resize`; the paper does not name its filter


# ----------------------------------------------------------------------------------------------
# Records


class RecordProtocol:
    """How a number was measured: plain values by name. `id` is their hash, which a record carries."""

    def __init__(self, fields: Mapping[str, Any]):
        self.fields: Mapping[str, Any] = json.loads(json.dumps(fields, sort_keys=True))

    @cached_property
    def id(self) -> str:
        return protocol_id(self.fields)


def with_note(record: Record, note: str) -> Record:
    """The record with `note` appended to its note."""
    return replace(record, note="; ".join(filter(None, [record.note, note])))


def make_record(
    dataset: Dataset,
    benchmark: str,
    table: str,
    system: str,
    metric: str,
    estimate: Estimate,
    *,
    protocol: RecordProtocol | None = None,
    note: str = "",
    **fields: Any,
) -> Record:
    """A record of an estimate, with the metric's direction and unit and the published number that
    belongs beside it.

    A value that is not a finite number becomes no value, and the note says what it was. The note
    also contains what the estimate says of itself, and mentions files that other software decodes
    differently, such as images with an alpha channel. `fields` are others of a `Record`: split
    (default: "test"), setting, steps, solver, calls, reference, of_machine. Raises TypeError if
    the number is not an `Estimate`.
    """
    if not isinstance(estimate, Estimate):
        kind = type(estimate).__name__
        raise TypeError(f"{metric} of {benchmark} is of type {kind}: give Estimate(value, n=...)")
    metric_info = METRICS[metric]
    notes = [note, *estimate.remarks]
    if estimate.value is not None and not math.isfinite(estimate.value):
        kind = "not a number" if math.isnan(estimate.value) else "infinite"
        notes.insert(0, f"the value is {kind}")
        estimate = replace(estimate, value=None, influences=(), error=None)
    if estimate.value is not None:
        notes.append(dataset.survey.note)
    record = Record(
        benchmark,
        table,
        system,
        dataset.name,
        metric=metric,
        estimate=estimate,
        direction=metric_info.direction,
        unit=metric_info.unit,
        protocol=protocol.id if protocol else "",
        note="; ".join(filter(None, notes)),
        measured_by=protocol.fields if protocol else {},
        **{"split": "test", "setting": "", "steps": None, **fields},
    )
    return attach(record, record.measured_by, fields_of)


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
    def codes(self) -> CodeStore:
        """The codes of images, which are kept in the store."""
        return CodeStore(
            self.store, self.networks, self.device, self.precision, self.options.deciding
        )

    # ------------------------------------------------------------------------------------------
    # Rows

    def protocol(self, benchmark: str, **fields: Any) -> RecordProtocol:
        """A protocol with the fields of the run and those given."""
        return RecordProtocol(
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
    def record(self) -> Callable[..., Record]:
        """`make_record` for this data set."""
        return partial(make_record, self.dataset)
