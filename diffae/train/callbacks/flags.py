"""The flags of `python -m diffae.train` for watching a training, and the callbacks they select."""

import argparse
from pathlib import Path

import numpy as np
from torch import Tensor

from diffae.checkpoints.trained_on import NOTE, TrainedOn
from diffae.data import Dataset
from diffae.networks.config import AUTOENCODER
from diffae.system import cli, distributed
from diffae.system.errors import UserError
from diffae.train.callbacks.curves import Curves
from diffae.train.callbacks.evaluations import Evaluations
from diffae.train.callbacks.sheets import COUNT, SHARE, Sheets
from diffae.train.presets import AnyPreset, Preset
from diffae.train.trainer import TrainingCallback

LOGS, SHEETS, EVALUATIONS = "logs", "sheets", "evaluations"
TASK, PROFILE = "reconstruction", "smoke"  # the default benchmarks and profile


def add(parser: cli.Parser) -> None:
    title = "watching (`diffae-bench docs training`); these do not change the weights"
    option = parser.add_argument_group(title).add_argument
    board = f"write loss, learning rate, gradient norm and images per second to OUT/{LOGS}"
    option("--tensorboard", action="store_true", help=board)
    sheets = f"draw the output for {COUNT} images to OUT/{SHEETS} after every N images (default: a tenth of a stage); 0: never"
    option("--sheet-every", type=cli.natural, metavar="N", help=sheets)
    interval = f"measure the model on held-out images after every N images, to OUT/{EVALUATIONS}"
    option("--evaluate-every", type=cli.positive, metavar="N", help=interval)
    tasks = f"the benchmarks of --evaluate-every (default: {TASK}; `python -m benchmarks.run list` shows them)"
    option("--evaluate", type=_tasks, metavar="TASK,...", help=tasks)
    profile = f"the profile of --evaluate-every (default: {PROFILE})"
    option("--evaluate-profile", type=cli.word, metavar="NAME|FILE", help=profile)


def _tasks(text: str) -> tuple[str, ...]:
    """The type of --evaluate: names separated by commas."""
    return tuple(cli.word(word.strip()) for word in text.split(","))


def callbacks_of(
    args: argparse.Namespace, preset: AnyPreset, out: Path, data: Dataset, trained_on: TrainedOn
) -> list[TrainingCallback]:
    """The callbacks that the flags select, for a training on a part of `data` in a folder `out`.

    Nothing is written before the training begins. Raises UserError if a package is missing, if an
    image of the sheets cannot be read, or if no data are held out to evaluate on.
    """
    curves = Curves(out / LOGS) if args.tensorboard and distributed.is_main() else None
    callbacks: list[TrainingCallback] = [] if curves is None else [curves]
    if not isinstance(preset, Preset):
        return callbacks
    holds_out = len(data.indices("test")) > 0 and not trained_on.saw(data, "test")
    samples = preset.image.samples
    if args.sheet_every != 0:
        share = args.sheet_every / samples if args.sheet_every else SHARE
        images = _evenly_spread(data, "test" if holds_out else trained_on.split)
        source = "Held-out images." if holds_out else "Images of the training."
        callbacks.append(Sheets(out / SHEETS, share, preset.name, images, source))
    if args.evaluate_every is not None:
        if not holds_out:
            raise UserError(
                f"--evaluate-every: {data.name} holds out no images; use --set split=train"
            )
        words = ["--profile", args.evaluate_profile or PROFILE, "--device", args.device]
        words += ["--data", str(args.data)] if args.data else []  # else the portraits
        words += ["--crop", args.crop] if args.crop else []
        system = "diffae" if preset.model.kind == AUTOENCODER else "ddim"
        tasks, share = args.evaluate or (TASK,), args.evaluate_every / samples
        place, note = out / EVALUATIONS, out / NOTE
        callbacks.append(Evaluations(place, share, note, tasks, system, words, curves))
    return callbacks


def _evenly_spread(data: Dataset, split: str) -> Tensor:
    """COUNT images of a split, far apart: neighbours may show the same person."""
    indices = data.indices(split)
    places = np.linspace(0, len(indices) - 1, min(COUNT, len(indices))).astype(int)
    return data.batch(indices[places])
