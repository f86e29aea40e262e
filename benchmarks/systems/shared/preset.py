"""A training preset of another system: configuration, schedules, and training function.

All but the function is in presets.toml: a section for each preset.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Generic

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from benchmarks.systems.shared import folder
from benchmarks.systems.shared.folder import C
from diffae.diffusion.noise import generator
from diffae.system.files import read_toml
from diffae.system.settings import Range
from diffae.train.images import Images, Source
from diffae.train.presets import AnyPreset
from diffae.train.stages import state_path
from diffae.train.trainer import TrainingRun, fit
from diffae.train.types import Adam, Loss, Outcome, Schedule, Stage


@dataclass(frozen=True)
class Stages(Generic[C]):
    """A training in stages.

    `fit` runs a schedule, with a state in `out` from which a later run resumes.
    """

    preset: "SmallPreset[C]"
    data: Images
    out: Path
    run: TrainingRun
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def fit(self, name: str, network: nn.Module, loss: Loss, adam: Adam = Adam()) -> None:
        """Train `network` by the schedule `name` of the preset.

        Afterwards it holds the average of its weights.
        """
        title, schedule = f"{self.preset.name}: {name}", self.preset.schedules[name]
        stage = Stage(name, title, network, schedule, loss, adam, by_example=False)
        self.outcomes[name] = fit(stage, len(self.data), state_path(self.out, name), self.run)


@dataclass(frozen=True, kw_only=True)
class SmallPreset(AnyPreset, Generic[C]):
    """A preset of a small version.

    `config` is the network's dataclass, `schedules` are by stage, `weights` those of the loss's
    terms. `build` makes the networks, trains them through `Stages.fit` and returns the one to keep.
    """

    config: C
    schedules: dict[str, Schedule]
    build: Callable[[Stages[C]], nn.Module]
    weights: dict[str, float] = field(default_factory=dict)
    image_size: int = 32
    portraits: Annotated[int, Range(1, 10**7)] = 40_000

    deciding = ("config", "schedules", "weights", "image_size", "flip")
    settable = ("schedules", "weights", "flip", "split", "portraits")

    def train(self, images: Source, out: Path, run: TrainingRun, device: str) -> dict[str, Outcome]:
        """Train on `images` (uint8 N x S x S x 3) and export to `out`. Returns a summary of each stage."""
        torch.manual_seed(int(generator(run.seed, "weights", 0).integers(2**32)))
        stages = Stages(self, Images(images, self.flip, device, run.workers), out, run)
        system = self.name.partition("-")[0]
        folder.write(self.build(stages), system, self.config, out)
        return stages.outcomes


def small_preset(
    name: str, config: type[C], build: Callable[[Stages[C]], nn.Module]
) -> SmallPreset[C]:
    """The preset of that name, whose network has a configuration of that dataclass."""
    row = read_toml(Path(__file__).with_name("presets.toml"))[name]
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in row["config"].items()}
    schedules = {stage: Schedule(**own) for stage, own in row["schedules"].items()}
    row |= {"config": config(**values), "schedules": schedules}
    return SmallPreset(name, build=build, **row)


# ----------------------------------------------------------------------------------------------
# Statistics of batch norms after a training: those of its averaged weights, with which no step has been computed

BATCH, BATCHES = 128, 64
Show = Callable[[Tensor], Tensor | tuple[Tensor, ...]]


class _Shown(nn.Module):
    """A network to which images are shown by `show`, as `update_bn` expects it."""

    def __init__(self, network: nn.Module, show: Show):
        super().__init__()
        self.network, self.show = network, show

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self.show(images)


def settle(network: nn.Module, show: Show, data: Images) -> None:
    """Set the statistics of every batch norm of `network` to their mean over batches.

    `show` passes the batches through it: the first 8,192 training images in whole batches, or all
    of fewer. Leaves the network in evaluation mode.
    """
    whole = max(1, len(data) // BATCH)
    places = torch.arange(len(data)).split(BATCH)[: min(whole, BATCHES)]
    update_bn((data.batch(place) for place in places), _Shown(network, show))
    network.eval()
