"""A training preset of another system: configuration, schedules, and training function."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from torch import nn

from benchmarks.systems.shared import folder
from diffae.diffusion.noise import generator
from diffae.system.settings import Range
from diffae.train.images import Images, Source
from diffae.train.trainer import fit
from diffae.train.types import Adam, Loss, Outcome, Run, Schedule, View

# The same for all: a rate that falls along a cosine, and a moving average that warms up.
schedule = partial(Schedule, decay="cosine", ema_warmup=True)


@dataclass(frozen=True)
class Stages:
    """A training in stages.

    `fit` runs a schedule, with a state in `out` from which a later run resumes.
    """

    preset: "SmallPreset"
    data: Images
    out: Path
    run: Run
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def fit(self, name: str, network: nn.Module, loss: Loss, adam: Adam | None = None) -> None:
        """Train `network` by the schedule `name` of the preset.

        Afterwards it holds the average of its weights.
        """
        path = self.out / f"training-{name}.safetensors"
        title = f"{self.preset.name}: {name}"
        training = fit(
            network,
            loss,
            len(self.data),
            self.preset.schedules[name],
            path,
            title,
            self.run,
            adam or Adam(),
            view=View(name),
        )
        self.outcomes[name] = Outcome.of(training)


@dataclass(frozen=True)
class SmallPreset:
    """A preset of a small version.

    `config` is the network's dataclass, `schedules` are by stage, `weights` those of the loss's
    terms. `build` makes the networks, trains them through `Stages.fit` and returns the one to keep.
    """

    name: str
    description: str
    config: Any
    schedules: dict[str, Schedule]
    build: Callable[[Stages], nn.Module]
    weights: dict[str, float] = field(default_factory=dict)
    image_size: int = 32
    portraits: Annotated[int, Range(1, 10**7)] = 40_000
    data_hint: str = ""
    split: Literal["train", "valid", "test", "all"] = "train"
    flip: bool = False
    expect: str = ""

    settable: ClassVar[tuple[str, ...]] = ("schedules", "weights", "flip", "split", "portraits")
    optional: ClassVar[tuple[str, ...]] = ()

    @property
    def decides(self) -> dict[str, Any]:
        """The settings that decide the result, apart from data, seed and precision; the others are texts."""
        names = ("config", "schedules", "weights", "image_size", "flip")
        return {name: value for name, value in asdict(self).items() if name in names}

    def without(self, stage: str) -> "SmallPreset":
        """Presets of these systems have no optional stage."""
        raise LookupError(stage)

    def sized(self, count: int) -> "SmallPreset":
        """The same preset, whatever the number of images."""
        return self

    def train(
        self, images: np.ndarray | Source, out: Path, run: Run, device: str
    ) -> dict[str, Outcome]:
        """Train on `images` (uint8 N x S x S x 3) and export to `out`. Returns a summary of each stage."""
        torch.manual_seed(int(generator(run.seed, "weights", 0).integers(2**32)))
        stages = Stages(self, Images(images, self.flip, device, run.workers), out, run)
        system = self.name.partition("-")[0]
        folder.write(self.build(stages), system, self.config, out)
        return stages.outcomes
