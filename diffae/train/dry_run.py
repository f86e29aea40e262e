"""`--dry-run`: what a training would take: parameters, operations, memory, hours, disk. Nothing is trained or written.

Hours come from a short timing of forward, backward and optimiser on this device, or, with `--tflops`, from the operations
that a device keeps up. Reading images and what processes tell each other are not in them.
"""

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import torch
from tabulate import tabulate

from diffae import cli
from diffae.config import AUTOENCODER
from diffae.model import DDIM, DiffusionAutoencoder
from diffae.train.costs import Costs, counted, plan, seconds
from diffae.train.presets import Preset
from diffae.train.stages import LATENT
from diffae.train.types import Schedule
from diffae.unet import recompute

GB = 1e9
STORED = 4  # copies of each weight, float32, that a state on disk holds
PARTS = (64, 32, 16, 8, 4, 2, 1)  # examples at once that are considered
FREE = 0.1  # of a device's memory: what kernels may take


@dataclass(frozen=True)
class How:
    """The devices of a training, and how its steps would be taken (see `trainer.Steps`).

    `tflops`: 10^12 operations a second that one device keeps up; None: it is timed here, on `device`.
    """

    device: str
    precision: str
    devices: int = 1
    tflops: int | None = None
    micro_batch: int | None = None
    recompute: bool = False
    keep: int = 2

    def share(self, schedule: Schedule) -> int:
        """Examples of a batch that one device computes."""
        return max(schedule.batch_size // self.devices, 1)

    def parts(self, schedule: Schedule) -> list[int]:
        """Examples that it may compute at once, the most first."""
        share = self.share(schedule)
        if self.micro_batch is not None:
            return [min(self.micro_batch, share)]
        return [share, *(part for part in PARTS if part < share)]


def report(preset: Preset, images: int, how: How, asked: Collection[str] | None = None) -> str:
    """What the stages of `preset` that are `asked` for (see `costs.plan`) would take on so many images (0: not known)."""
    found = counted(preset, how.precision, asked)
    where = f"{how.device} of this machine" if how.tflops is None else "device of another machine"
    lines = [f"{preset.name}: {how.devices} x {where}, {how.precision}; nothing is written"]
    lines += ["", _costs(found, list(_rates(preset, found, how, asked)), how)]
    lines += ["", _memory(found, how)]
    if how.tflops is None:
        lines += ["", *_fits(found, how)]
    return "\n".join([*lines, "", _disk(preset, found, images, how)])


def _rates(
    preset: Preset, found: Sequence[Costs], how: How, asked: Collection[str] | None
) -> Iterator[float]:
    """Examples a second of each stage."""
    if how.tflops is not None:
        yield from (how.devices * how.tflops * 1e12 / costs.flops for costs in found)
        return
    for stage in plan(preset, how.device, how.precision, asked):
        recompute(stage.network, how.recompute)
        each, step = seconds(stage, how.parts(stage.schedule)[0])
        yield how.devices / (each + step / how.share(stage.schedule))


def _costs(found: Sequence[Costs], rates: Sequence[float], how: How) -> str:
    hours = [c.schedule.samples / rate / 3600 for c, rate in zip(found, rates, strict=True)]
    rows = [
        [
            c.name,
            f"{c.parameters:,}",
            f"{c.flops / 1e9:,.1f}",
            f"{c.schedule.samples:,}",
            cli.plain(rate, 3),
            cli.plain(took, 2),
        ]
        for c, rate, took in zip(found, rates, hours, strict=True)
    ]
    head = ["stage", "parameters", "GFLOPs of a step an example", "examples", "a second", "hours"]
    table = tabulate(rows, head, "github", disable_numparse=True)
    return f"{table}\n{cli.plain(sum(hours), 2)} hours in all, {_basis(how)}"


def _basis(how: How) -> str:
    """What the hours rest on."""
    if how.tflops is not None:
        return f"as if each device kept up {how.tflops} TFLOP/s; steps that are too short for that take longer"
    taken = f"; {how.devices} devices are taken to be {how.devices} times as fast"
    return f"timed here{_threads(how)}" + taken * (how.devices > 1)


def _threads(how: How) -> str:
    on_cpu = f", {torch.get_num_threads()} thread(s), the machine as busy as it is"
    return on_cpu if how.device == "cpu" else ""


def _memory(found: Sequence[Costs], how: How) -> str:
    rows = []
    for c in found:
        above = float("inf")
        for part in how.parts(c.schedule):
            if c.bytes(part, False) > 0.95 * above:
                continue  # smaller parts save nothing
            above = c.bytes(part, False)
            cells = [f"{c.bytes(part, again) / GB:.2f}" for again in (False, True)]
            rows.append([c.name, f"{part:,}", f"{c.weights / GB:.2f}", *cells])
    head = ["stage", "at once", "GB a device: weights, gradient, Adam, EMA"]
    head += ["and activations", "so, with --recompute"]
    return tabulate(rows, head, "github", disable_numparse=True)


def _fits(found: Sequence[Costs], how: How) -> Iterator[str]:
    """For each stage the largest parts of a batch that this device has memory for."""
    there = _memory_of(how.device)
    for c in found:
        share = how.share(c.schedule)
        ways = []
        for again in (False, True)[how.recompute :]:
            parts = how.parts(c.schedule)
            fitting = [part for part in parts if c.bytes(part, again) <= (1 - FREE) * there]
            if fitting:
                part = fitting[0]
                ways.append(
                    " ".join(["--recompute"] * again + [f"--micro-batch {part}"] * (part < share))
                )
            if parts[0] in fitting:
                break
        what = (
            "does not fit"
            if not ways
            else "fits with " + ", or ".join(ways)
            if all(ways)
            else "fits"
        )
        yield f"{there / GB:.0f} GB of memory here: {c.name} {what}"


def _memory_of(device: str) -> int:
    """Bytes of a device, or of this machine."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _disk(preset: Preset, found: Sequence[Costs], images: int, how: How) -> str:
    states = sum((how.keep + 1) * STORED * 4 * c.parameters for c in found)
    latent = any(c.name == LATENT for c in found)
    codes = 4 * images * preset.model.z_channels if latent else 0
    width = getattr(torch, preset.dtype).itemsize
    with torch.device("meta"):
        model = (DiffusionAutoencoder if preset.model.kind == AUTOENCODER else DDIM)(preset.model)
    export = width * sum(p.numel() for p in model.parameters())
    text = f"disk: states {states / GB:.2f} GB ({how.keep} kept, one being written), checkpoint {export / GB:.2f} GB"
    if images:
        pixels = 3 * images * preset.image_size**2
        text += f", z_sem {codes / GB:.3f} GB; {images:,} images are {pixels / GB:.3f} GB of pixels"
    return text
