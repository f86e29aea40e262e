"""The page `presets`: every preset of a training, and what one step of it costs."""

import csv
from pathlib import Path

from benchmarks.reference.tables import table
from diffae.train.presets import PRESETS, SCHEDULES, Preset, other_presets
from diffae.train.types import Schedule

COUNTED = Path(__file__).with_name("costs.csv")  # counting takes a minute
COPIES = 5  # of each weight on a device: weight, gradient, two moments, moving average
HEAD = """# Presets

A preset has all settings of a training. [Training](training.md) explains how a model is trained by one,
and how its settings are changed. `diffae-bench train PRESET --dry-run` prints the time and the memory
that it takes on your machine."""
COSTS = """## What a step costs

The costs are those of the autoencoder (encoder, UNet, and the pixel decoder if there is one) or of the
DDIM baseline. Operations are counted for one image, forward and backward. Gigabytes are those of the
weights in float32, with their gradient, Adam's two moments and the moving average."""
EXPECT = """## What to expect

These are the paper's numbers for its presets, when they are trained to the end as the authors did."""
OTHERS = """## Presets of other systems

Networks, losses and schedules are written for this package. The command, the data, the saved state and
resuming are the same."""


def page() -> str:
    presets = list(PRESETS.values())
    expected = [f"- `{preset.name}`: {preset.expect}" for preset in presets if preset.expect]
    others = [f"- `{preset.name}`: {preset.description}" for preset in other_presets()]
    parts = [HEAD, "## Models", _models(presets), "## Schedules", _schedules(presets)]
    parts += [COSTS, _costs(), EXPECT, "\n".join(expected), OTHERS, "\n".join(others)]
    return "\n\n".join(parts) + "\n"


def _costs() -> str:
    rows = []
    with COUNTED.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            parameters, gflops = int(row["parameters"]), float(row["gflops"])
            gigabytes = COPIES * 4 * parameters / 1e9
            rows.append(
                [f"`{row['preset']}`", f"{parameters:,}", f"{gflops:,.1f}", f"{gigabytes:.2f}"]
            )
    return table(rows, ["preset", "parameters", "GFLOPs per image", "GB"])


def _models(presets: list[Preset]) -> str:
    rows = []
    for preset in presets:
        model = preset.model
        numbers = f"{model.z_channels:,}" if model.encoder_channel_mult else "none"
        multipliers = ", ".join(map(str, model.channel_mult))
        row = [f"`{preset.name}`", preset.description, str(model.image_size), model.prediction]
        rows.append([*row, numbers, str(model.model_channels), multipliers])
    heads = ["preset", "model", "pixels", "predicts", "numbers in z", "channels", "multipliers"]
    return table(rows, heads)


def _schedules(presets: list[Preset]) -> str:
    rows = []
    for preset in presets:
        for stage in SCHEDULES:
            schedule: Schedule | None = getattr(preset, stage)
            if schedule is not None:
                rows.append([f"`{preset.name}`", stage, *_schedule(preset, stage, schedule)])
    heads = ["preset", "stage", "examples", "batch", "learning rate", "EMA", "mirrored"]
    return table(rows, heads)


def _schedule(preset: Preset, stage: str, schedule: Schedule) -> list[str]:
    of_images = stage != "latent"
    examples = f"{schedule.samples:,}"
    if preset.epochs and of_images:
        examples = f"at most {examples}"
    rate = f"{schedule.learning_rate:g}"
    if schedule.decay == "cosine":
        rate += " to 0"
        if schedule.decay_samples:
            rate += f" in the last {schedule.decay_samples:,}"
    mirrored = "yes" if preset.flip and of_images else "no"
    return [examples, f"{schedule.batch_size:,}", rate, f"{schedule.ema_decay:g}", mirrored]
