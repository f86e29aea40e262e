"""Write docs/presets.md: every preset, and what a step of it costs.

python docs/presets.py
"""

from itertools import product
from pathlib import Path

from tabulate import tabulate

from diffae.train.dry_run import operations, plan
from diffae.train.presets import PRESETS, SCHEDULES, Preset, other_presets
from diffae.train.stages import AUTOENCODER
from diffae.train.types import Schedule

HEAD = """# Presets

Made by `python docs/presets.py`; the values are those of `diffae/train/presets.toml`. How one is trained, and how its settings
are changed, is in [training.md](training.md); `--dry-run` says what it takes on a machine."""

COPIES = 5  # of each weight that a device holds: itself, gradient, two moments, moving average
COSTS = """## What a step costs

Of the autoencoder (encoder, UNet, and the pixel decoder where there is one) or the DDIM baseline. Operations are those of forward and
backward for one image, as `--dry-run` counts them. Gigabytes are those of weights in float32 with gradient, Adam's moments and moving
average."""

EXPECT = """## What to expect

Of the paper's presets, trained to the end as the authors did."""

ELSE = """## Presets of other systems

Their networks, losses and schedules are the harness's; command, data, saved state and resuming are the same."""


def page(costs: str | None = None) -> str:
    """`costs`: its table of costs, where it is known; counting it takes a minute."""
    presets = list(PRESETS.values())
    costs = costs_table(presets) if costs is None else costs
    parts = [HEAD, "## Models", _models(presets), "## Schedules", _schedules(presets)]
    expected = [f"- `{preset.name}`: {preset.expect}" for preset in presets if preset.expect]
    others = [f"- `{preset.name}`: {preset.description}" for preset in other_presets()]
    parts += [COSTS, costs, EXPECT, "\n".join(expected), ELSE, "\n".join(others)]
    return "\n\n".join(parts) + "\n"


def costs_table(presets: list[Preset]) -> str:
    rows = []
    for preset in presets:
        *_, image = plan(preset, "cpu", AUTOENCODER)
        parameters = sum(p.numel() for p in image.network.parameters())
        gigabytes = COPIES * 4 * parameters / 1e9
        row = [f"`{preset.name}`", f"{parameters:,}", f"{operations(image) / 1e9:,.1f}"]
        rows.append([*row, f"{gigabytes:.2f}"])
    head = ["preset", "parameters", "GFLOPs per image", "GB"]
    return tabulate(rows, head, "github", disable_numparse=True)


def _models(presets: list[Preset]) -> str:
    models = [preset.model for preset in presets]
    columns = {
        "preset": [f"`{preset.name}`" for preset in presets],
        "": [preset.description for preset in presets],
        "pixels": [str(model.image_size) for model in models],
        "predicts": [model.prediction for model in models],
        "numbers in z": [f"{m.z_channels:,}" if m.encoder_channel_mult else "-" for m in models],
        "channels": [str(model.model_channels) for model in models],
        "multipliers": [", ".join(map(str, model.channel_mult)) for model in models],
    }
    return tabulate(columns, "keys", "github", disable_numparse=True)


def _schedules(presets: list[Preset]) -> str:
    rows = []
    for preset, name in product(presets, SCHEDULES):
        schedule: Schedule | None = getattr(preset, name)
        if schedule is None:
            continue
        least = "at most " if preset.epochs and name != "latent" else ""
        row = [f"`{preset.name}`", name, f"{least}{schedule.samples:,}", f"{schedule.batch_size:,}"]
        last = f" in the last {schedule.decay_samples:,}" if schedule.decay_samples else ""
        decay = f" to 0{last}" if schedule.decay == "cosine" else ""
        row += [f"{schedule.learning_rate:g}{decay}", f"{schedule.ema_decay:g}"]
        rows.append([*row, "yes" if preset.flip and name != "latent" else ""])
    head = ["preset", "stage", "examples", "batch", "learning rate", "EMA", "mirrored"]
    return tabulate(rows, head, "github", disable_numparse=True)


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(page())
