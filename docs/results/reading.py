"""Images a second from a data set and from its prepared copy, as a training reads them.

    python docs/results/reading.py [--preset portraits-short] [--data PATH]

In random order, in batches in [-1, 1], as a training reads what it does not hold, with 0, 1 and 2
workers, beside a step of the preset's training in float32 on this machine's default device. Without
--data, 512 portraits of 256 px are read. Every row begins with its files in the system's memory. Set
OMP_NUM_THREADS=1.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from measure import in_turn, table
from torch import nn

from diffae.data import Dataset, open_dataset, open_for_model
from diffae.data.portraits import ensure
from diffae.data.prepare import prepare
from diffae.model import DiffusionAutoencoder
from diffae.system import cli
from diffae.train.images import Images, OnDisk
from diffae.train.presets import PRESETS, Preset
from diffae.train.stages import image_loss
from diffae.train.step import Training, batch_indices
from diffae.train.types import Steps

READ, BATCH = 512, 32  # images that are read, and in a batch


def training_step(preset: Preset, device: str) -> Callable[[], float]:
    """A step of the training of the autoencoder, on images of noise."""
    model = DiffusionAutoencoder(preset.model).to(device)
    networks = nn.ModuleDict({"unet": model.unet, "encoder": model.encoder})
    networks.to(memory_format=torch.channels_last)
    training = Training(networks, preset.image, 0, "float32", steps=Steps(by_example=True))
    batch, size = preset.image.batch_size, preset.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (4 * batch, size, size, 3))
    loss = image_loss(model, Images(pixels.astype(np.uint8), preset.flip, device))

    def step() -> float:
        return training.advance(loss, batch_indices(4 * batch, batch, 0, training.step))

    return step


def images_per_second(data: Dataset, workers: int) -> float:
    """In the second epoch, from the first batch that is asked for."""
    order = np.random.default_rng(0).permutation(len(data))[:READ]
    source = Images(OnDisk(data, order), False, "cpu", workers)
    batches = torch.arange(len(order)).split(BATCH)

    def all_batches() -> None:
        with source.ahead(iter(batches)):
            for batch in batches:
                source.batch(batch)

    return len(order) / in_turn({"reading": all_batches}, 1)["reading"][0]


def main() -> None:
    parser = cli.Parser("docs/results/reading.py", __doc__)
    parser.add_argument("--preset", choices=PRESETS, default="portraits-short")
    parser.add_argument("--data", type=cli.path, help="what is read; portraits unless given")
    args = parser.parse()
    preset = PRESETS[args.preset]
    data = open_for_model(args.data or ensure(READ, 256), preset.image_size)
    device, rows = cli.default_device(), []
    times = in_turn({"step": training_step(preset, device)}, 3)["step"]
    rate_of_step = preset.image.batch_size / min(times)
    with tempfile.TemporaryDirectory(prefix="reading-") as folder:
        prepare(data, Path(folder) / "copy")
        copied = open_dataset(Path(folder) / "copy", preset.image_size)
        for workers in (0, 1, 2):
            for name, source in (("the data set", data), ("its prepared copy", copied)):
                rate = images_per_second(source, workers)
                rows.append([name, workers, f"{rate:,.0f}", f"{rate / rate_of_step:.1f}"])
    print(f"{preset.name}: a step on {device} takes {rate_of_step:,.1f} images a second\n")
    print(table(rows, ["read from", "workers", "images/s", "of the step's"]))


if __name__ == "__main__":
    cli.run(main)
