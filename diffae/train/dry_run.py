"""`--dry-run`: what a training would take: parameters, operations, memory, hours, disk. Nothing is trained or written.

Each network's loss is computed for one example and for two. What autograd keeps grows by the difference with every further
example; the rest (copies of the weights in bfloat16) is paid once. Seconds are those of a forward and backward pass of
two examples, after one that does not count, and of one step of the optimiser. A larger batch is often faster an image,
above all on a GPU; reading images is not in it, nor is what kernels take while they run.
"""

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from diffae.config import AUTOENCODER
from diffae.model import DDIM, DiffusionAutoencoder
from diffae.noise import generator
from diffae.train import chain, stages
from diffae.train.memory import activation_bytes
from diffae.train.presets import Preset, Schedule
from diffae.train.stages import Images
from diffae.train.trainer import Loss
from diffae.unet import recompute

GB = 1e9
COPIES = (
    5  # of each weight in float32: itself, its gradient, Adam's two moments, its moving average
)
KEPT = 4  # of them that a state on disk holds; two states stay
LONG_ENOUGH = 0.1  # seconds of a pass that is timed
MICRO = (64, 32, 16, 8, 1)
Pass = Callable[[int], Tensor]


@dataclass(frozen=True)
class Stage:
    """What trains together: its networks, its schedule, and its loss for so many examples."""

    name: str
    network: nn.Module
    schedule: Schedule
    loss: Pass

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


def report(
    preset: Preset,
    count: int,
    device: str,
    precision: str,
    gpus: int = 1,
    asked: Collection[str] | None = None,
) -> str:
    """What `preset` would take on `count` images (0: not known), in `precision`; `gpus` of this device only divide.

    `asked` are stages as in `chain`; None: those that are trained where nothing is chosen.
    """
    found = list(
        _chosen(preset, chain.own_stages(preset) if asked is None else asked, device, precision)
    )
    lines = [f"{preset.name}: on {device} in {precision}, {gpus} of it; nothing is written"]
    if device == "cpu":
        lines.append(f"{torch.get_num_threads()} thread(s) of this machine, as busy as it is")
    lines += ["", _costs(found, gpus), "", _memory(found, gpus), "", _disk(preset, found, count)]
    return "\n".join(lines)


def _chosen(preset: Preset, asked: Collection[str], device: str, precision: str) -> Iterator[Stage]:
    """The stages of the preset that are asked for, and its baseline's."""
    own = chain.own_stages(preset)
    if chain.AUTOENCODER in own:
        names = {chain.AUTOENCODER: (stages.ENCODER, stages.IMAGE), chain.LATENT: (stages.LATENT,)}
        wanted = {name for stage in asked for name in names.get(stage, ())}
        yield from (stage for stage in plan(preset, device, precision) if stage.name in wanted)
    if chain.BASELINE in asked:
        baseline = preset if chain.BASELINE in own else chain.baseline_of(preset)
        yield from (replace(s, name=chain.BASELINE) for s in plan(baseline, device, precision))


def plan(preset: Preset, device: str, precision: str) -> Iterator[Stage]:
    """The stages of a preset, with weights as a training begins with them."""
    size = preset.image_size
    two = np.zeros((2, size, size, 3), np.uint8)
    images = Images(two, False, device)
    if preset.model.kind != AUTOENCODER:
        baseline = DDIM(preset.model).to(device)
        loss = stages.baseline_loss(baseline, images)
        yield _stage("image", baseline.unet, preset.image, loss, precision)
        return
    model = DiffusionAutoencoder(preset.model).to(device)
    extra = preset.encoder is not None or preset.pixel_weight > 0
    pixels = stages.PixelDecoder(preset.model).to(device) if extra else None
    if pixels is not None and preset.encoder is not None:
        loss = stages.pixel_loss(model, images, pixels)
        both = nn.ModuleList([model.encoder, pixels])
        yield _stage("encoder", both, preset.encoder, loss, precision)
    loss = stages.autoencoder_loss(model, images, pixels, preset.pixel_weight)
    networks: list[nn.Module] = [model.unet, model.encoder]
    networks += [pixels] if pixels is not None and preset.pixel_weight else []
    yield _stage("image", nn.ModuleList(networks), preset.image, loss, precision)
    if model.latent_net is not None and preset.latent is not None:
        z = torch.randn(2, preset.model.z_channels, device=device)
        loss = stages.latent_loss(model, z)
        yield _stage("latent", model.latent_net, preset.latent, loss, precision)


def _stage(name: str, network: nn.Module, schedule: Schedule, loss: Loss, precision: str) -> Stage:
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.train()
    device = next(network.parameters()).device
    dtype = torch.float16 if precision == "float16" else torch.bfloat16
    lower = precision != "float32" and schedule.bfloat16

    def of(examples: int) -> Tensor:
        with torch.autocast(device.type, dtype, enabled=lower):
            return loss(torch.arange(examples) % 2, generator(0, "dry run", 0))

    return Stage(name, network, schedule, of)


def kept(stage: Stage, again: bool = False) -> Kept:
    """What a step keeps; `again` with activations that are computed again."""
    recompute(stage.network, again)
    one, two = (activation_bytes(stage.network, lambda n=n: stage.loss(n)) for n in (1, 2))  # type: ignore[misc]
    recompute(stage.network, False)
    return Kept(max(2 * one - two, 0), two - one)


@torch.no_grad()
def flops(stage: Stage) -> int:
    """Operations of matrix products and convolutions of one example's loss, 2 per multiply-add; backward is twice that."""
    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    custom = {fused: lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v)}
    with FlopCounterMode(display=False, custom_mapping=custom) as counter:
        stage.loss(1)
    return counter.get_total_flops()


def seconds(stage: Stage) -> tuple[float, float]:
    """Of forward and backward of one example, and of one step of Adam."""
    optimiser = torch.optim.AdamW(stage.network.parameters(), lr=0.0, fused=True)
    examples, each = 1, 0.0
    while each * examples < LONG_ENOUGH and examples < max(2, stage.schedule.batch_size):
        examples *= 2
        stage.loss(examples).backward()
        optimiser.step()
        each = _timed(lambda n=examples: stage.loss(n).backward(), stage) / examples  # type: ignore[misc]
    step = _timed(optimiser.step, stage)
    optimiser.zero_grad()
    return each, step


def _timed(work: Callable[[], object], stage: Stage) -> float:
    device = next(stage.network.parameters()).device
    ready = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    ready()
    start = time.perf_counter()
    work()
    ready()
    return time.perf_counter() - start


def _costs(found: list[Stage], gpus: int) -> str:
    rows = []
    for stage in found:
        each, step = seconds(stage)
        rate = gpus / (each + step * gpus / stage.schedule.batch_size)
        hours = stage.schedule.samples / rate / 3600
        row = [stage.name, f"{stage.parameters:,}", f"{3 * flops(stage) / 1e9:,.1f}"]
        rows.append([*row, f"{stage.schedule.samples:,}", f"{rate:,.3g}", f"{hours:,.3g}"])
    head = ["stage", "parameters", "GFLOPs of a step an example", "examples", "a second", "hours"]
    return tabulate(rows, head, "github", disable_numparse=True)


def _memory(found: list[Stage], gpus: int) -> str:
    rows = []
    for stage in found:
        weights = COPIES * 4 * stage.parameters
        all_kept, few = kept(stage), kept(stage, again=True)
        share = max(stage.schedule.batch_size // gpus, 1)
        for examples in (share, *(n for n in MICRO if n < share)):
            cells = [f"{(weights + k.of(examples)) / GB:.2f}" for k in (all_kept, few)]
            rows.append([stage.name, f"{examples:,}", f"{weights / GB:.2f}", *cells])
    head = ["stage", "at once", "GB: weights, gradient, Adam, EMA"]
    head += ["GB: and activations", "GB: so, recomputed"]
    return tabulate(rows, head, "github", disable_numparse=True)


def _disk(preset: Preset, found: list[Stage], count: int) -> str:
    states = sum(2 * KEPT * 4 * stage.parameters for stage in found)
    latent = any(stage.name == stages.LATENT for stage in found)
    codes = 4 * count * preset.model.z_channels if latent else 0
    pixels = 3 * count * preset.image_size**2
    images = f"; {count:,} images are {pixels / GB:.3f} GB of pixels" if count else ""
    return f"disk: states {states / GB:.2f} GB, z_sem of all images {codes / GB:.3f} GB{images}"
