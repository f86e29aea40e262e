"""What the steps of a preset cost: operations and bytes, counted on tensors without numbers, and seconds, timed.

Without numbers (PyTorch's FakeTensorMode) a network of any size is counted in seconds, as a CPU's kernels would compute and keep. What
autograd keeps is counted for one example and for two: it grows by the difference with every further example; the rest (copies
of the weights in bfloat16) is paid once. What kernels take while they run is not in it.
"""

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from diffae.config import AUTOENCODER
from diffae.counting import flops
from diffae.model import DDIM, DiffusionAutoencoder
from diffae.noise import Noise, generator
from diffae.train import chain, stages
from diffae.train.images import Images
from diffae.train.memory import activation_bytes
from diffae.train.precision import DTYPES
from diffae.train.presets import Preset
from diffae.train.types import Loss, Schedule
from diffae.unet import recompute

COPIES = 5  # of each weight, float32: itself, its gradient, Adam's two moments, its moving average
FORWARD_AND_BACKWARD = 3  # times the operations of forward alone
LONG_ENOUGH = 0.1  # seconds of a pass that is timed


@dataclass(frozen=True)
class Stage:
    """What trains together: its networks, its schedule, and its loss for so many examples."""

    name: str
    network: nn.Module
    schedule: Schedule
    loss: Callable[[int], Tensor]

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.network.parameters())


@dataclass(frozen=True)
class Kept:
    """Bytes that a step keeps for its gradient: for a batch, and for each of its examples."""

    fixed: int
    each: int

    def of(self, examples: int) -> int:
        return self.fixed + self.each * examples


@dataclass(frozen=True)
class Costs:
    """Of one stage: the operations of a step for one example, and what it keeps, with activations kept or recomputed."""

    name: str
    schedule: Schedule
    parameters: int
    flops: int
    kept: Kept
    recomputed: Kept

    @property
    def weights(self) -> int:
        """Bytes that a device holds whatever the batch: weights, gradient, Adam, moving average."""
        return COPIES * 4 * self.parameters

    def bytes(self, examples: int, again: bool) -> int:
        """What a device holds when it computes so many examples at once."""
        return self.weights + (self.recomputed if again else self.kept).of(examples)


def counted(preset: Preset, precision: str, asked: Collection[str] | None = None) -> list[Costs]:
    """The costs of the stages of a preset that are `asked` for (see `plan`). Nothing is computed."""
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    found = list(plan(preset, "cpu", precision, asked))
    for stage in found:
        _without_numbers(stage.network, mode)
    with mode:
        return [_counted(stage) for stage in found]


def plan(
    preset: Preset, device: str, precision: str, asked: Collection[str] | None = None
) -> Iterator[Stage]:
    """The stages of a preset, with weights as a training begins with them, on grey images.

    `asked` are stages as in `chain`; None: those that are trained where nothing is chosen.
    """
    own = chain.own_stages(preset)
    asked = own if asked is None else asked
    if chain.AUTOENCODER in own:
        names = {chain.AUTOENCODER: (stages.ENCODER, stages.IMAGE), chain.LATENT: (stages.LATENT,)}
        wanted = {name for stage in asked for name in names.get(stage, ())}
        yield from (s for s in _all(preset, device, precision) if s.name in wanted)
    if chain.BASELINE in asked:
        baseline = preset if chain.BASELINE in own else chain.baseline_of(preset)
        yield from (replace(s, name=chain.BASELINE) for s in _all(baseline, device, precision))


def _all(preset: Preset, device: str, precision: str) -> Iterator[Stage]:
    images = _Grey(preset.image_size, device)
    if preset.model.kind != AUTOENCODER:
        baseline = DDIM(preset.model).to(device)
        loss = stages.baseline_loss(baseline, images)
        yield _stage(stages.IMAGE, baseline.unet, preset.image, loss, precision)
        return
    model = DiffusionAutoencoder(preset.model).to(device)
    extra = preset.encoder is not None or preset.pixel_weight > 0
    pixels = stages.PixelDecoder(preset.model).to(device) if extra else None
    if pixels is not None and preset.encoder is not None:
        loss = stages.pixel_loss(model, images, pixels)
        both = nn.ModuleList([model.encoder, pixels])
        yield _stage(stages.ENCODER, both, preset.encoder, loss, precision)
    loss = stages.autoencoder_loss(model, images, pixels, preset.pixel_weight)
    networks: list[nn.Module] = [model.unet, model.encoder]
    networks += [pixels] if pixels is not None and preset.pixel_weight else []
    yield _stage(stages.IMAGE, nn.ModuleList(networks), preset.image, loss, precision)
    if model.latent_net is not None and preset.latent is not None:
        z = torch.randn(2, preset.model.z_channels, device=device)
        loss = stages.latent_loss(model, z)
        yield _stage(stages.LATENT, model.latent_net, preset.latent, loss, precision)


def seconds(stage: Stage, part: int) -> tuple[float, float]:
    """Of forward and backward of one example, where at most `part` are computed at once, and of a step of Adam."""
    optimiser = torch.optim.AdamW(stage.network.parameters(), lr=0.0, fused=True)
    examples, each = 1, 0.0
    while each * examples < LONG_ENOUGH and examples < max(2, part):
        examples *= 2
        stage.loss(examples).backward()
        optimiser.step()
        each = _timed(lambda n=examples: stage.loss(n).backward(), stage) / examples  # type: ignore[misc]
    step = _timed(optimiser.step, stage)
    optimiser.zero_grad()
    return each, step


class _Grey(Images):
    """Images that need no data."""

    def __init__(self, size: int, device: str):
        super().__init__(np.zeros((1, size, size, 3), np.uint8), False, device)
        self.size = size

    def batch(self, indices: Tensor, noise: Noise | None = None) -> Tensor:
        x = torch.zeros(len(indices), 3, self.size, self.size, device=self.device)
        return x.contiguous(memory_format=torch.channels_last)


def _stage(name: str, network: nn.Module, schedule: Schedule, loss: Loss, precision: str) -> Stage:
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.train()
    device = next(network.parameters()).device
    dtype = DTYPES.get(precision) if schedule.bfloat16 else None

    def of(examples: int) -> Tensor:
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            return loss(torch.arange(examples) % 2, generator(0, "dry run", 0))

    return Stage(name, network, schedule, of)


def _without_numbers(network: nn.Module, mode: FakeTensorMode) -> None:
    for module in network.modules():
        for name, weight in module._parameters.items():
            if weight is not None and not isinstance(weight, FakeTensor):
                module._parameters[name] = nn.Parameter(mode.from_tensor(weight))
        for name, buffer in module._buffers.items():
            if buffer is not None and not isinstance(buffer, FakeTensor):
                module._buffers[name] = mode.from_tensor(buffer)


def _counted(stage: Stage) -> Costs:
    with torch.no_grad():
        forward = flops(lambda: stage.loss(1))
    kept, recomputed = (_kept(stage, again) for again in (False, True))
    operations = FORWARD_AND_BACKWARD * forward
    return Costs(stage.name, stage.schedule, stage.parameters, operations, kept, recomputed)


def _kept(stage: Stage, again: bool) -> Kept:
    """What a step keeps; `again` with activations that are computed again."""
    recompute(stage.network, again)
    one, two = (activation_bytes(stage.network, lambda n=n: stage.loss(n)) for n in (1, 2))  # type: ignore[misc]
    recompute(stage.network, False)
    return Kept(max(2 * one - two, 0), two - one)


def _timed(work: Callable[[], object], stage: Stage) -> float:
    device = next(stage.network.parameters()).device
    ready = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    ready()
    start = time.perf_counter()
    work()
    ready()
    return time.perf_counter() - start
