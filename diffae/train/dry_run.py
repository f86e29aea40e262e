"""`--dry-run`: estimate the hours of a training without training or writing anything.

A step is timed, or with `--tflops` its operations are counted. Reading images is not included.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import torch
from tabulate import tabulate

from diffae.diffusion.noise import generator
from diffae.model import DiffusionAutoencoder
from diffae.networks.counting import flops
from diffae.system.cli import plain
from diffae.train.images import Images
from diffae.train.init import network_of
from diffae.train.presets import Preset
from diffae.train.stages import AUTOENCODER, LATENT, image_stages, latent_stage
from diffae.train.step import Training
from diffae.train.types import Stage, Steps

HEADS = ("stage", "examples", "per second", "hours")
LONG_ENOUGH = 1.0  # seconds of a step that is timed
SHORTEST = 1e-9  # seconds of a step that is too short for a coarse clock


def plan(preset: Preset, device: str, only: str | None = None, images: int = 0) -> Iterator[Stage]:
    """The stages of a training on this number of `images` (0: not known), with two black ones as data.

    `only` is the choice of --stages.
    """
    preset = preset.sized(images)
    model, size = network_of(preset.model).to(device), preset.image_size
    black = Images(np.zeros((2, size, size, 3), np.uint8), False, device)
    if only != LATENT:
        yield from image_stages(preset, model, black)
    if only != AUTOENCODER and isinstance(model, DiffusionAutoencoder) and preset.latent:
        yield latent_stage(preset, model, torch.randn(2, preset.model.z_channels, device=device))


def operations(stage: Stage, recompute: bool = False) -> int:
    """The operations of a step for one example: three forward passes, four with recomputation."""
    with torch.no_grad():
        forward = flops(lambda: stage.loss(torch.arange(1), generator(0, "dry run", 0)))
    return forward * (4 if recompute and stage.name != LATENT else 3)


def examples_per_second(stage: Stage, most: int, precision: str, steps: Steps) -> float:
    """The speed of a step, with as many examples as take LONG_ENOUGH, at most `most`."""
    examples, seconds = 1, 0.0
    steps = replace(steps, by_example=stage.by_example)
    while seconds < LONG_ENOUGH and examples < most:
        examples = min(2 * examples, most)
        schedule = replace(stage.schedule, batch_size=examples)
        training = Training(stage.network, schedule, 0, precision, stage.adam, steps)
        for _ in range(2):  # the first is a rehearsal
            before = training.seconds
            training.advance(stage.loss, torch.arange(examples) % 2)
            seconds = training.seconds - before
    return examples / max(seconds, SHORTEST)


def report(
    stages: Iterable[Stage], precision: str, steps: Steps, gpus: int = 1, tflops: int | None = None
) -> str:
    """The hours that the stages take on `gpus` devices that share each batch."""
    rows, total = [], 0.0
    for stage in stages:
        schedule = stage.schedule
        if tflops is None:
            share = max(schedule.batch_size // gpus, 2)
            rate = gpus * examples_per_second(stage, share, precision, steps)
        else:
            rate = gpus * tflops * 1e12 / operations(stage, steps.recompute)
        hours = schedule.samples / rate / 3600
        total += hours
        rows.append((stage.name, f"{schedule.samples:,}", plain(rate, 3), plain(hours, 2)))
    table = tabulate(rows, HEADS, "github", disable_numparse=True)
    basis = "timed here" if tflops is None else f"if each sustains {tflops} TFLOP/s"
    return f"{table}\n\n{plain(total, 2)} hours in all, {precision}, {gpus} device(s), {basis}"
