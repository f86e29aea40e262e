"""Does the gate catch what it should? Regressions planted on purpose, each against the same run without it.

    OMP_NUM_THREADS=1 python docs/results/gate_planted.py --processes 2 --out runs/gate-planted

Changes of weights are written as checkpoints, changes of code are patched in. Every run has a store of its own:
a store files results under weights, data and settings, and would not notice that code has changed. Prints a table.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from unittest.mock import patch

import torch
from PIL import Image
from tabulate import tabulate
from torch import Tensor, nn

import diffae.data.transforms as transforms
import diffae.model
from benchmarks import run as command
from benchmarks.core.runner.setup import open_data
from diffae import DiffusionAutoencoder
from diffae.data import open_portraits
from diffae.sampling.grids import uniform
from diffae.train.images import Images
from diffae.train.presets import PRESETS
from diffae.train.stages import autoencoder_loss
from diffae.train.trainer import Training, batch_indices
from reports.gate import IMPROVEMENT, REGRESSION, compare, read_margins, read_run

BENCHMARKS = ("reconstruction", "probes", "unconditional", "denoising")
SETTINGS = (
    "reconstruction.steps=20,50",
    "cost.steps=20,50",
    "samples.count=256",
    "unconditional.reference=1024",
    "samples.steps=10",
)
TRAINING_STEPS = 150

Change = Callable[[DiffusionAutoencoder], None]


@dataclass(frozen=True)
class Planted:
    """A regression: a change of the weights or of the code, and the metrics that should see it."""

    name: str
    seen_by: tuple[str, ...]
    weights: Change | None = None
    code: Callable[[], AbstractContextManager[object]] = nullcontext
    base: str = "base"


# ----------------------------------------------------------------------------------------------
# Weights


@torch.no_grad()
def six_bits(model: nn.Module) -> None:
    """Round every tensor of weights to 64 evenly spaced values."""
    for parameter in model.parameters():
        step = parameter.abs().max() / 31.5
        if step > 0:
            parameter.copy_((parameter / step).round().clamp(-32, 31) * step)


@torch.no_grad()
def noisy_encoder(model: DiffusionAutoencoder) -> None:
    """Add to each weight of the encoder noise of 1 % of its tensor's root mean square."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.encoder.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.add_(0.01 * parameter.square().mean().sqrt() * noise)


def trained_on(use_ema: bool) -> Change:
    """Train a little more at the full rate, then keep the EMA, or the last weights in its place."""

    def change(model: DiffusionAutoencoder) -> None:
        preset = PRESETS["portraits"]
        schedule = replace(preset.image, decay="constant", warmup_samples=0)
        dataset = open_portraits(5_000, model.image_size)
        images = Images(dataset.load_all(dataset.indices("train")), False, "cpu")
        networks = nn.ModuleDict({"unet": model.unet, "encoder": model.encoder})
        training = Training(networks.requires_grad_(True).train(), schedule, 0, "bfloat16")
        loss = autoencoder_loss(model, images, nn.Identity(), 0.0)
        for step in range(TRAINING_STEPS):
            training.advance(loss, batch_indices(len(images), schedule.batch_size, 0, step))
        if use_ema:
            training.use_ema()

    return change


# ----------------------------------------------------------------------------------------------
# Code


@contextmanager
def swapped_attributes() -> Iterator[None]:
    """Name two columns of the attribute file after each other."""

    def opened(*arguments):
        dataset = open_data(*arguments)
        names = list(dataset.attribute_names)
        a, b = names.index("Male"), names.index("Smiling")
        names[a], names[b] = names[b], names[a]
        return replace(dataset, attribute_names=tuple(names))

    with patch.object(command, "open_data", opened):
        yield


def wrong_filter() -> AbstractContextManager[object]:
    """Resize without antialiasing, whatever the settings say."""
    nearest = dict.fromkeys(transforms.FILTERS, Image.Resampling.NEAREST)
    return patch.object(transforms, "FILTERS", nearest)


def inversion_off_by_one(later: bool) -> AbstractContextManager[object]:
    """Call the network with its neighbour's timestep while encoding: t_(i+1), or t_(i-1), for t_i."""
    right = diffae.model.encode_steps

    def wrong(predict, x_0: Tensor, alphas: Tensor, steps: int, clip: bool = True):
        ts = uniform(steps)
        neighbours = [*ts[1:], ts[-1]] if later else [ts[0], *ts[:-1]]
        given = dict(zip(ts, neighbours, strict=True))

        def off(x: Tensor, t: Tensor) -> Tensor:
            return predict(x, torch.full_like(t, given[int(t[0])]))

        return right(off, x_0, alphas, steps, clip)

    return patch.object(diffae.model, "encode_steps", wrong)


PLANTED = (
    Planted("base", ()),
    Planted("weights rounded to 6 bits", ("ssim", "mse", "fd_effnet"), weights=six_bits),
    Planted("noise of 1 % on the encoder's weights", ("auroc", "mse"), weights=noisy_encoder),
    Planted("Male and Smiling swapped", ("auroc",), code=swapped_attributes),
    Planted("resize without antialiasing", ("ssim", "pd_effnet", "auroc"), code=wrong_filter),
    Planted("inversion one step late", ("ssim", "mse"), code=partial(inversion_off_by_one, True)),
    Planted("inversion one step early", ("ssim", "mse"), code=partial(inversion_off_by_one, False)),
    Planted("trained on, EMA", (), weights=trained_on(use_ema=True)),
    Planted(
        "an EMA copy that is not the EMA",
        ("ssim", "mse", "fd_effnet"),
        weights=trained_on(use_ema=False),
        base="trained on, EMA",
    ),
)


def measure(out: Path, number: int) -> Path:
    """The run folder of a planted regression, from a store of its own."""
    planted = PLANTED[number]
    folder = out / planted.name.replace(" ", "-").replace("%", "percent")
    checkpoint = folder / "checkpoint"
    store, portraits = folder / "cache", out / "portraits"
    if not store.exists():  # the images are the same for all
        store.mkdir(parents=True)
        portraits.mkdir(exist_ok=True)
        (store / "data").symlink_to(portraits.resolve())
    os.environ["DIFFAE_CACHE"] = str(store)
    if planted.weights is not None and not (checkpoint / "model.safetensors").exists():
        model = DiffusionAutoencoder.from_pretrained("portraits")
        planted.weights(model)
        model.save_pretrained(checkpoint)
    given = ["--ckpt", str(checkpoint)] if planted.weights is not None else []
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    arguments = ["--systems", "diffae", *given, *settings, "--out", str(folder / "run")]
    with planted.code():
        command.main([*BENCHMARKS, *arguments])
    return folder / "run"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/gate-planted"))
    parser.add_argument("--processes", type=int, default=1)
    args = parser.parse_args()
    with ProcessPoolExecutor(args.processes, mp_context=get_context("spawn")) as pool:
        folders = pool.map(partial(measure, args.out), range(len(PLANTED)))
        runs = {
            planted.name: read_run(folder) for planted, folder in zip(PLANTED, folders, strict=True)
        }
    rows = []
    for planted in PLANTED:
        if not planted.seen_by:
            continue
        found = compare(runs[planted.base], runs[planted.name], read_margins())
        worse = sorted((c for c in found if c.verdict == REGRESSION), key=lambda c: c.p)
        metrics = list(dict.fromkeys(c.record.metric for c in worse))
        caught = bool(set(metrics) & set(planted.seen_by))
        rows.append(
            (
                planted.name,
                "caught" if caught else "MISSED",
                len(worse),
                sum(c.verdict == IMPROVEMENT for c in found),
                ", ".join(metrics[:5]),
                ", ".join(planted.seen_by),
            )
        )
    headers = ("planted", "verdict", "worse", "better", "worse in", "should be seen by")
    print(tabulate(rows, headers, tablefmt="pipe"))


if __name__ == "__main__":
    main()
