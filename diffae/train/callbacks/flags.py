"""The flags of `python -m diffae.train` for watching a training, and the callbacks they select."""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffae.checkpoints.trained_on import NOTE, TrainedOn
from diffae.data import Dataset, open_for_model
from diffae.networks.config import AUTOENCODER
from diffae.system import cli, distributed
from diffae.system.errors import UserError
from diffae.train.callbacks.curves import Curves, TensorBoard, WeightsAndBiases
from diffae.train.callbacks.evaluations import Evaluations
from diffae.train.callbacks.sheets import COUNT, Sheets
from diffae.train.images import Images, OnDisk
from diffae.train.presets import AnyPreset, Preset
from diffae.train.stages import ENCODER, IMAGE, LATENT
from diffae.train.trainer import Callback

LOGS, SHEETS, EVALUATIONS = "logs", "sheets", "evaluations"
TASK, PROFILE = "reconstruction", "smoke"  # the default benchmarks and profile


def add(parser: cli.Parser) -> None:
    title = "watching (`diffae-bench docs training`); these do not change the weights"
    option = parser.add_argument_group(title).add_argument
    board = f"write loss, learning rate, gradient norm and images per second to OUT/{LOGS}"
    option("--tensorboard", action="store_true", help=board)
    wandb = "the same, to a project of Weights & Biases; with WANDB_MODE=offline to OUT/logs only"
    option("--wandb", type=cli.word, metavar="PROJECT", help=wandb)
    sheets = f"draw the output for {COUNT} images to OUT/{SHEETS} after every N images; 0: never"
    option("--sheet-every", type=cli.natural, metavar="N", help=sheets)
    every = f"measure the model on held-out images after every N images, to OUT/{EVALUATIONS}"
    option("--evaluate-every", type=cli.positive, metavar="N", help=every)
    tasks = f"the benchmarks of --evaluate-every (default: {TASK}; `python -m benchmarks.run list` shows them)"
    option("--evaluate", type=_tasks, metavar="TASK,...", help=tasks)
    profile = f"the profile of --evaluate-every (default: {PROFILE})"
    option("--evaluate-profile", type=cli.word, metavar="NAME|FILE", help=profile)
    data = "the data of --evaluate-every (default: the test split of --data)"
    option("--evaluate-data", type=cli.path, help=data)


def _tasks(text: str) -> tuple[str, ...]:
    """The type of --evaluate: names separated by commas."""
    return tuple(cli.word(word.strip()) for word in text.split(","))


def callbacks_of(
    args: argparse.Namespace, preset: AnyPreset, out: Path, data: Dataset, trained_on: TrainedOn
) -> list[Callback]:
    """The callbacks that the flags select, for a training on a part of `data` in a folder `out`.

    Nothing is written before the training begins. Raises UserError if a package is missing, or if
    no data are held out to evaluate on.
    """
    curves: list[Curves] = []
    if distributed.is_main():
        if args.tensorboard:
            curves.append(TensorBoard(out / LOGS))
        if args.wandb is not None:
            curves.append(WeightsAndBiases(args.wandb, out / LOGS, out.name, preset.decides))
    callbacks: list[Callback] = [*curves]
    if args.sheet_every != 0 and isinstance(preset, Preset):
        indices, whose = _looked_at(data, trained_on)
        shown = OnDisk(data, indices, {})  # a damaged one is reported by the training

        def images() -> Tensor:
            pixels = shown[range(len(shown))]
            return Images(pixels, False, "cpu").batch(torch.arange(len(pixels)))

        every = _by_stage(preset, args.sheet_every) if args.sheet_every else None
        callbacks.append(Sheets(out / SHEETS, preset.name, images, whose, every, curves))
    if args.evaluate_every is not None and isinstance(preset, Preset):
        tasks, every = args.evaluate or (TASK,), _by_stage(preset, args.evaluate_every)
        system = "diffae" if preset.model.kind == AUTOENCODER else "ddim"
        words = _measured(args, data, preset, trained_on)
        folder, note = out / EVALUATIONS, out / NOTE
        callbacks.append(Evaluations(folder, note, every, tasks, system, words, curves))
    return callbacks


def _by_stage(preset: Preset, images: int) -> dict[str, int]:
    """The interval in images, by stage.

    The latent DDIM, whose examples are codes and many more, is shown as often as the image stages.
    """
    of_latent = preset.image if preset.latent is None else preset.latent
    latent = max(1, images * of_latent.samples // preset.image.samples)
    return {ENCODER: images, IMAGE: images, LATENT: latent}


def _measured(
    args: argparse.Namespace, data: Dataset, preset: AnyPreset, trained_on: TrainedOn
) -> list[str]:
    """The flags of an evaluation: its profile, its device and its data, none for the portraits.

    Raises UserError if the training sees the test split of these data.
    """
    if args.evaluate_data is not None:
        data = open_for_model(args.evaluate_data, preset.image_size, args.crop)
    if not len(data.indices("test")) or trained_on.saw(data, "test"):
        ways = "give --evaluate-data PATH, or --set split=train"
        raise UserError(f"--evaluate-every: {data.name} holds out no images; {ways}")
    words = ["--profile", args.evaluate_profile or PROFILE, "--device", args.device]
    if path := args.evaluate_data or args.data:
        words += ["--data", str(path), *(["--crop", args.crop] if args.crop else [])]
    return words


def _looked_at(data: Dataset, trained_on: TrainedOn) -> tuple[np.ndarray, str]:
    """COUNT images for the sheets and their description: held-out ones, if the training leaves some.

    They are evenly spread, since neighbours may be of one person.
    """
    held_out = data.indices("test")
    if len(held_out) and not trained_on.saw(data, "test"):
        indices, whose = held_out, "Held-out images"
    else:
        indices, whose = data.indices(trained_on.split), "Images of the training"
    places = np.linspace(0, len(indices) - 1, min(COUNT, len(indices)))
    return indices[places.astype(int)], whose
