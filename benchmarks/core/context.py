"""Inputs and services of a benchmark: the run's data, settings and seed, images, codes, metric
networks and protocols.

context.sizes(Sizes)                             settings of the profile (profiles.py)
context.select("test", 100)                      images by position (images.py)
context.codes.semantic(system, selection)        jobs that compute codes and features (images.py)
context.networks.perceptual                      metric networks (metrics/networks/chosen.py)
context.protocol(**fields)                       how a number was measured
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.core.images import CodeStore, Selection, select
from benchmarks.core.profiles import Profile, S
from benchmarks.core.store import Store
from benchmarks.metrics.networks.chosen import MetricNetworks
from benchmarks.metrics.pixel import resize
from benchmarks.runtime.calling import Batches
from benchmarks.runtime.choices import BatchSize, NetworkChoice, TaskOptions
from benchmarks.systems.protocol.base import System
from diffae.data import Dataset
from diffae.sheet import Sheet, write
from diffae.system import distributed
from diffae.system.files import Json, writing

RESIZED = "bilinear with antialiasing"  # by `resize`; the paper does not name its filter


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
    model: Mapping[str, Json] = field(default_factory=dict)
    networks: MetricNetworks = None  # type: ignore[assignment]
    images: Path | None = None
    options: TaskOptions = TaskOptions()

    def __post_init__(self) -> None:
        if self.networks is None:
            data = self.dataset
            batches = Batches.from_option(self.batch_size, self.device, data.image_size)
            self.networks = MetricNetworks(self.choice, self.device, batches, data.name)

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

    def with_training_images(self) -> "Context":
        """This context, or a copy whose data has training images (`Dataset.with_training_images`)."""
        return replace(self, dataset=self.dataset.with_training_images(self.seed))

    def save_sheet(self, name: str, sheet: Sheet) -> None:
        """Draw a sheet of pictures into the PNG file of that name, where pictures are wanted."""
        if self.pictures is not None and distributed.is_main():
            with writing(self.pictures, "or choose another --out"):
                self.pictures.mkdir(parents=True, exist_ok=True)
                write(self.pictures / name, sheet)

    @property
    def codes(self) -> CodeStore:
        """The jobs that compute codes and features of images."""
        return CodeStore(self.networks, self.device, self.precision, self.options.deciding)

    # ------------------------------------------------------------------------------------------
    # Protocols

    def protocol(self, **fields: Json) -> Mapping[str, Json]:
        """How a number is measured, as plain values by name: the fields of the run and those given."""
        return json.loads(json.dumps({**self._of_run, **fields}, sort_keys=True))

    @cached_property
    def _of_run(self) -> dict[str, Json]:
        """What all protocols contain."""
        return {
            "benchmark": self.benchmark,
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
        }
