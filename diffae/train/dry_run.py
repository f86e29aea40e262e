"""`--dry-run`: an estimate of a training: parameters, operations, memory, hours, disk.

Nothing is trained or written.

Operations and bytes are counted on tensors without data (PyTorch's FakeTensorMode), so that a
network of any size takes seconds. They are those of a CPU's kernels. What autograd keeps is
counted for one example and for two: the difference is added for every further example; the rest
(copies of the weights in bfloat16) counts once. The workspace of kernels is not included.

Hours come from a short timing of forward, backward and optimiser on this device, or, with
`--tflops`, from the operations that a device sustains. Reading images and communication between
processes are not included.
"""

import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from diffae.diffusion.noise import generator
from diffae.model import DiffusionAutoencoder
from diffae.networks.counting import flops
from diffae.networks.nn import without_weights
from diffae.networks.unet import recompute
from diffae.system import cli
from diffae.train import chain
from diffae.train.images import Images
from diffae.train.init import network_of
from diffae.train.presets import Preset
from diffae.train.stages import ENCODER, IMAGE, LATENT, image_stages, latent_stage
from diffae.train.types import DTYPES, Schedule, Stage, Steps

GB = 1e9
STORED = 4  # copies of each weight, float32, that a state on disk holds
COPIES = 5  # held by a device: the weight, its gradient, Adam's two moments, its moving average
FORWARD_AND_BACKWARD = 3  # times the operations of forward alone
LONG_ENOUGH = 0.1  # seconds of a pass that is timed
SHORTEST = 1e-9  # seconds, of what a coarse clock sees no time pass in: rates are divided by it
FREE = 0.1  # of a device's memory: what kernels may take


class Kept(NamedTuple):
    """Bytes that a step keeps for its gradient: for a batch, and for each of its examples."""

    fixed: int
    each: int


@dataclass(frozen=True)
class Costs:
    """The costs of one stage.

    The operations of a step for one example, and the bytes it keeps: with activations kept, and
    recomputed.
    """

    name: str
    schedule: Schedule
    parameters: int
    flops: int
    kept: tuple[Kept, Kept]

    @property
    def weights(self) -> int:
        """Bytes that a device holds for any batch: weights, gradient, Adam, moving average."""
        return COPIES * 4 * self.parameters


def counted(
    preset: Preset, precision: str, asked: Collection[str] | None = None, images: int = 0
) -> list[Costs]:
    """The costs of the stages of a preset that are `asked` for, on that many `images` (see `plan`).

    Nothing is computed.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    found = list(plan(preset, "cpu", asked, images))
    for stage in found:
        _without_numbers(stage.network, mode)
    with mode:
        return [_counted(stage, precision) for stage in found]


def plan(
    preset: Preset, device: str, asked: Collection[str] | None = None, images: int = 0
) -> Iterator[Stage]:
    """The stages of a preset, with weights as at the start of a training, on grey images.

    `asked` are stages as in `chain`; None: those that are trained by default. Their schedules are
    those of a training on so many `images`; 0: not known.
    """
    own = chain.own_stages(preset)
    asked = own if asked is None else asked
    names = {chain.AUTOENCODER: (ENCODER, IMAGE), chain.LATENT: (LATENT,)}
    wanted = {name for stage in asked for name in names.get(stage, ())}
    if chain.AUTOENCODER in own:
        yield from (s for s in _all(preset.sized(images), device) if s.name in wanted)
    if chain.BASELINE in asked:
        baseline = preset if chain.BASELINE in own else chain.baseline_of(preset)
        baseline = baseline.sized(images)
        yield from (replace(s, name=chain.BASELINE) for s in _all(baseline, device))


def _all(preset: Preset, device: str) -> Iterator[Stage]:
    model, size = network_of(preset.model).to(device), preset.image_size
    none = np.zeros((2, size, size, 3), np.uint8)
    yield from image_stages(preset, model, _Grey(none, False, device))
    if isinstance(model, DiffusionAutoencoder) and preset.latent is not None:
        z = torch.randn(2, preset.model.z_channels, device=device)
        yield latent_stage(preset, model, z)


class _Grey(Images):
    """Images that are not read."""

    def _pixels(self, indices: Tensor) -> Tensor:
        assert isinstance(self.source, np.ndarray)
        return torch.zeros(len(indices), *self.source.shape[1:], dtype=torch.uint8)


def loss_of(stage: Stage, examples: int, precision: str) -> Tensor:
    """The mean loss of a stage over that many examples, as a training in `precision` computes it."""
    stage.network.train()
    device = next(stage.network.parameters()).device
    dtype = DTYPES.get(precision) if stage.schedule.bfloat16 else None
    with torch.autocast(device.type, dtype, enabled=dtype is not None):
        return stage.loss(torch.arange(examples) % 2, generator(0, "dry run", 0))


def _counted(stage: Stage, precision: str) -> Costs:
    with torch.no_grad():
        forward = flops(lambda: loss_of(stage, 1, precision))
    kept = _kept(stage, precision, False), _kept(stage, precision, True)
    operations = FORWARD_AND_BACKWARD * forward
    parameters = sum(p.numel() for p in stage.network.parameters())
    return Costs(stage.name, stage.schedule, parameters, operations, kept)


def _kept(stage: Stage, precision: str, again: bool) -> Kept:
    """The bytes that a step keeps; with `again`, activations are recomputed."""
    recompute(stage.network, again)
    one = activation_bytes(stage.network, lambda: loss_of(stage, 1, precision))
    two = activation_bytes(stage.network, lambda: loss_of(stage, 2, precision))
    recompute(stage.network, False)
    return Kept(max(2 * one - two, 0), two - one)


def _without_numbers(network: nn.Module, mode: FakeTensorMode) -> None:
    for module in network.modules():
        for tensors in (module._parameters, module._buffers):
            for name, tensor in tensors.items():
                if tensor is not None and not isinstance(tensor, FakeTensor):
                    tensors[name] = mode.from_tensor(tensor)  # type: ignore[assignment]


def activation_bytes(network: nn.Module, loss: Callable[[], Tensor]) -> int:
    """Bytes of the tensors that the graph of `loss()` keeps, without the weights of `network`.

    Each storage counts once. For a scalar loss of one batch. The workspace of kernels is not
    included. Tensors without numbers (`torch._subclasses.FakeTensorMode`) count as real ones would.
    """
    weights = {_identity(p) for p in (*network.parameters(), *network.buffers())}
    kept: dict[int, int] = {}

    def keep(saved: Tensor) -> Tensor:
        if (identity := _identity(saved)) not in weights:
            kept[identity] = saved.untyped_storage().nbytes()
        return saved

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        value = loss()
        assert value.ndim == 0
        return sum(kept.values())


def _identity(tensor: Tensor) -> int:
    """The identity of a tensor's storage, also if it has no address."""
    return tensor.untyped_storage()._cdata


def seconds(stage: Stage, part: int, precision: str) -> tuple[float, float]:
    """Seconds of forward and backward of one example, and of a step of Adam.

    At most `part` examples, but at least two, are computed at once.
    """
    optimiser = torch.optim.AdamW(stage.network.parameters(), lr=0.0, fused=True)
    device = next(stage.network.parameters()).device

    def backward() -> None:
        loss_of(stage, examples, precision).backward()

    examples, each, most = 1, 0.0, max(2, part)
    while each * examples < LONG_ENOUGH and examples < most:
        examples = min(2 * examples, most)
        backward()
        optimiser.step()
        each = _timed(backward, device) / examples
    step = _timed(optimiser.step, device)
    optimiser.zero_grad()
    return each, step


def _timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of `work`, with what a GPU still computes when it returns."""
    ready = partial(torch.cuda.synchronize, device) if device.type == "cuda" else lambda: None
    ready()
    start = time.perf_counter()
    work()
    ready()
    return max(time.perf_counter() - start, SHORTEST)


# ----------------------------------------------------------------------------------------------
# The report


@dataclass(frozen=True)
class How:
    """The devices of a training, and how its steps would be taken.

    `tflops`: 10^12 operations per second that one device sustains; None: it is timed here, on
    `device`.
    """

    device: str
    precision: str
    devices: int = 1
    tflops: int | None = None
    steps: Steps = Steps()

    def share(self, schedule: Schedule) -> int:
        """Examples of a batch that one device computes."""
        return max(schedule.batch_size // self.devices, 1)

    def part(self, schedule: Schedule) -> int:
        """Examples that it computes at once."""
        share = self.share(schedule)
        return min(self.steps.micro_batch or share, share)


def report(preset: Preset, images: int, how: How, asked: Collection[str] | None = None) -> str:
    """The estimate for the `asked` stages of `preset`, on that many images (0: not known)."""
    found = counted(preset, how.precision, asked, images)
    rates = list(_rates(preset, found, how, asked))
    hours = [c.schedule.samples / rate / 3600 for c, rate in zip(found, rates, strict=True)]
    columns = {
        "stage": [c.name for c in found],
        "parameters": [f"{c.parameters:,}" for c in found],
        "GFLOPs of a step per example": [f"{c.flops / 1e9:,.1f}" for c in found],
        "examples": [f"{c.schedule.samples:,}" for c in found],
        "per second": [cli.plain(rate, 3) for rate in rates],
        "hours": [cli.plain(took, 2) for took in hours],
        "GB: weights, gradient, Adam, EMA": [f"{c.weights / GB:.2f}" for c in found],
        "activations of an example": [f"{c.kept[False].each / GB:.3f}" for c in found],
        "with --recompute": [f"{c.kept[True].each / GB:.3f}" for c in found],
    }
    if how.tflops is not None:
        where = "device of a different machine"
        basis = f"if each device sustains {how.tflops} TFLOP/s; steps that are too short for that take longer"
    else:
        where = f"{how.device} of this machine"
        threads = f", {torch.get_num_threads()} thread(s), the machine as busy as it is"
        taken = f"; {how.devices} devices are assumed to be {how.devices} times as fast"
        basis = f"timed here{threads * (how.device == 'cpu')}{taken * (how.devices > 1)}"
    lines = [
        f"{preset.name}: {how.devices} x {where}, {how.precision}; nothing is written\n",
        tabulate(columns, "keys", "github", disable_numparse=True),
        f"{cli.plain(sum(hours), 2)} hours in all, {basis}\n",
        *([] if how.tflops is not None else _fits(found, how)),
        _disk(preset, found, images, how),
    ]
    return "\n".join(lines)


def _rates(
    preset: Preset, found: Sequence[Costs], how: How, asked: Collection[str] | None
) -> Iterator[float]:
    """Examples per second of each stage."""
    if how.tflops is not None:
        for costs in found:  # recomputing activations is another forward, or a little less
            again = how.steps.recompute and costs.kept[True] != costs.kept[False]
            passes = FORWARD_AND_BACKWARD + again
            operations = passes * costs.flops / FORWARD_AND_BACKWARD
            yield how.devices * how.tflops * 1e12 / operations
        return
    for stage in plan(preset, how.device, asked):
        recompute(stage.network, how.steps.recompute)
        each, step = seconds(stage, how.part(stage.schedule), how.precision)
        yield how.devices / (each + step / how.share(stage.schedule))


def _fits(found: Sequence[Costs], how: How) -> Iterator[str]:
    """For each stage the most examples at once that fit into this device's memory."""
    there = _memory_of(how.device)
    for c in found:
        part, ways = how.part(c.schedule), []
        for again in (False, True)[how.steps.recompute :]:
            room = (1 - FREE) * there - c.weights - c.kept[again].fixed
            most = min(part, int(room / max(c.kept[again].each, 1)))
            least = 1 if how.steps.micro_batch is None else part
            if most >= least:
                cut = [f"--micro-batch {most}"] * (most < how.share(c.schedule))
                ways.append(" ".join(["--recompute"] * again + cut))
            if most == part:
                break
        what = "fits with " + ", or ".join(ways) if all(ways) else "fits"
        yield f"{there / GB:.0f} GB of memory here: {c.name} {what if ways else 'does not fit'}"


def _memory_of(device: str) -> int:
    """Bytes of memory of a device, or of this machine."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _disk(preset: Preset, found: Sequence[Costs], images: int, how: How) -> str:
    states = sum((how.steps.keep + 1) * STORED * 4 * c.parameters for c in found)
    latent = any(c.name == LATENT for c in found)
    codes = 4 * images * preset.model.z_channels if latent else 0
    width = getattr(torch, preset.dtype).itemsize
    with without_weights():
        model = network_of(preset.model)
    export = width * sum(p.numel() for p in model.parameters())
    text = f"disk: states {states / GB:.2f} GB ({how.steps.keep} kept, one being written), checkpoint {export / GB:.2f} GB"
    if images:
        pixels = 3 * images * preset.image_size**2
        text += f", z_sem {codes / GB:.3f} GB; {images:,} images are {pixels / GB:.3f} GB of pixels"
    return text
