"""The flags of `python -m diffae.train` that say how a training is watched, and what they ask for."""

import argparse
from pathlib import Path

import numpy as np
from torch import Tensor

from diffae import cli, distributed
from diffae.data import Dataset
from diffae.errors import UserError
from diffae.train.curves import Curves, TensorBoard, WeightsAndBiases, Writer
from diffae.train.elsewhere import AnyPreset
from diffae.train.presets import Preset
from diffae.train.sheets import COUNT, PER_STAGE, SHARE, Sheets
from diffae.train.watching import Several, Watch
from diffae.trained_on import TrainedOn

LOGS, SHEETS = "logs", "sheets"


def add(parser: cli.Parser) -> None:
    group = parser.add_argument_group("watching (docs/training.md); nothing of it changes a weight")
    group.add_argument(
        "--tensorboard",
        action="store_true",
        help=f"write loss, learning rate, norm of the gradient and images a second to DIR/{LOGS}",
    )
    group.add_argument(
        "--wandb",
        metavar="PROJECT",
        help="the same for a project of Weights & Biases; WANDB_MODE=offline keeps it here",
    )
    group.add_argument(
        "--sheet-every",
        type=cli.natural,
        metavar="N",
        help=f"draw what the model makes of {COUNT} images to DIR/{SHEETS} after every N images, 0: never "
        f"(default: {PER_STAGE} times a stage, in at most {SHARE:.0%}".replace("%", "%%")
        + " of the time)",
    )


def refuse(args: argparse.Namespace, preset: AnyPreset) -> None:
    """Raises UserError if the flags ask for what cannot be shown of a preset."""
    if args.sheet_every and not isinstance(preset, Preset):
        raise UserError(
            f"--sheet-every: not for {preset.name}, only for DiffAE and the DDIM baseline"
        )


def watch_of(
    args: argparse.Namespace, preset: AnyPreset, out: Path, data: Dataset, trained_on: TrainedOn
) -> Watch:
    """What the flags ask for, of a training on a part of `data` in a folder `out`; nothing is written before it begins.

    Raises UserError where a package is not there.
    """
    writers: list[Writer] = []
    if distributed.is_main():
        if args.tensorboard:
            writers.append(TensorBoard(out / LOGS))
        if args.wandb is not None:
            writers.append(WeightsAndBiases(args.wandb, out / LOGS, out.name, preset.decides))
    curves = Curves(writers)
    watches: list[Watch] = [curves] if writers else []
    if args.sheet_every != 0:
        indices, whose = _looked_at(data, trained_on)

        def images() -> Tensor:
            return data.batch(indices)

        title, every = preset.name, args.sheet_every
        watches.append(Sheets(out / SHEETS, title, images, whose, every, curves.picture))
    return Several(watches)


def _looked_at(data: Dataset, trained_on: TrainedOn) -> tuple[np.ndarray, str]:
    """The images of the sheets and what is said of them: held-out ones, where the training leaves some."""
    held_out = data.indices("test")
    if not len(held_out) or trained_on.saw(data, "test"):
        return _spread(data.indices(trained_on.split)), "Images of the training"
    return _spread(held_out), "Held-out images"


def _spread(indices: np.ndarray) -> np.ndarray:
    """COUNT of them from first to last: neighbours may be of one person."""
    places = np.linspace(0, len(indices) - 1, min(COUNT, len(indices)))
    return indices[places.astype(int)]
