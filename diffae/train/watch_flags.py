"""The flags of `python -m diffae.train` that say how a training is watched, and what they ask for."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffae import cli, distributed
from diffae.train.curves import Curves, TensorBoard, WeightsAndBiases, Writer
from diffae.train.watching import Several, Watch

LOGS = "logs"


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


def watch_of(args: argparse.Namespace, out: Path, config: Mapping[str, Any]) -> Watch:
    """What the flags ask for, in a folder that is this training's. `config` is what the training is, as it is shown.

    Raises UserError where a package is not there, or where a service refuses.
    """
    writers: list[Writer] = []
    if distributed.is_main():
        if args.tensorboard:
            writers.append(TensorBoard(out / LOGS))
        if args.wandb is not None:
            writers.append(WeightsAndBiases(args.wandb, out / LOGS, out.name, config))
    return Several([Curves(writers)] if writers else [])
