"""What does watching cost? A step of a training with and without its curves, and a sheet, in seconds of the processor.

    OMP_NUM_THREADS=1 python docs/results/watching.py [--preset portraits] [--rounds 20]

Steps with a point for TensorBoard after each (a training of more than a thousand steps has fewer) and steps without take
turns; seconds of all threads of this process are counted, so that a busy machine does not matter. Medians, and quartiles of the ratio.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from diffae import cli
from diffae.model import DiffusionAutoencoder
from diffae.train import precision
from diffae.train.images import Images
from diffae.train.presets import PRESETS
from diffae.train.stages import autoencoder_loss
from diffae.train.trainer import Training, batch_indices
from diffae.train.types import Steps, View
from diffae.train.watch.curves import Curves, TensorBoard
from diffae.train.watch.sheets import COUNT, Sheets, of_autoencoder

STEPS = 3  # in a row


def main() -> None:
    parser = cli.Parser("python docs/results/watching.py", __doc__)
    parser.add_argument("--preset", default="portraits", choices=PRESETS)
    parser.add_argument("--rounds", type=cli.positive, default=20)
    args = parser.parse()
    with tempfile.TemporaryDirectory() as folder:
        measure(args, Path(folder))


def measure(args: argparse.Namespace, folder: Path) -> None:
    preset = PRESETS[args.preset]
    size, batch = preset.image_size, preset.image.batch_size
    pixels = np.random.default_rng(0).integers(0, 256, (4 * batch, size, size, 3), np.uint8)
    model = DiffusionAutoencoder(preset.model)
    networks = nn.ModuleDict({"unet": model.unet, "encoder": model.encoder})
    networks.to(memory_format=torch.channels_last)
    how = precision.choose(precision.AUTO, "cpu")[0]
    training = Training(networks, preset.image, 0, how, steps=Steps(by_example=True))
    loss = autoencoder_loss(model, Images(pixels, preset.flip, "cpu"), None, 0.0)

    def steps(watch: Curves | None) -> float:
        begun = time.process_time()
        for _ in range(STEPS):
            indices = batch_indices(len(pixels), batch, 0, training.step)
            value = training.advance(loss, indices)
            if watch is not None:
                watch.step(value)
        return (time.process_time() - begun) / STEPS

    every_step = Curves([TensorBoard(folder / "logs")])
    every_step.begins(training, View("image"), lambda: 0)
    every_step._every = 1
    steps(every_step)  # imports and first calls
    plain, watched = zip(
        *[(steps(None), steps(every_step)) for _ in range(args.rounds)], strict=True
    )
    ratio = np.quantile(np.divide(watched, plain), (0.25, 0.5, 0.75))
    print(f"{preset.name} in {how}: a step of {batch} images {np.median(plain):.3f} s")
    print("with a point after each: {1:.3f} of it ({0:.3f} to {2:.3f})".format(*ratio))

    images = torch.from_numpy(pixels[:COUNT]).permute(0, 3, 1, 2).float() / 127.5 - 1
    sheets = Sheets(folder / "sheets", "t", lambda: images, "", {"image": batch}, lambda path: None)
    begun = time.process_time()
    sheets.begins(training, View("image", of_autoencoder(model)), lambda: 0)
    drawn = time.process_time() - begun
    print(f"a sheet of {COUNT} images {drawn:.2f} s: {drawn / np.median(plain):.1f} steps")


if __name__ == "__main__":
    main()
