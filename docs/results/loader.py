"""Does reading keep up with training? Images per second from a data set and from its prepared copy, against a step.

    python docs/results/loader.py [--data PATH] [--preset portraits] [--images 512] [--workers 0,1,2]

Images come in random order, in batches in [-1, 1], as a training reads what it does not hold, with so many workers; the step is loss and
gradient of the preset's autoencoder on this machine's default device. A ratio above 1 means that reading alone is faster.
Without --data it reads portraits of 256 px. Every row begins with its files in the system's memory.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate
from torch.nn import functional as F

from diffae import cli
from diffae.data import Dataset, open_dataset, open_for_model
from diffae.data.portraits import ensure
from diffae.data.prepare import prepare
from diffae.diffusion import add_noise
from diffae.model import DiffusionAutoencoder
from diffae.train.images import Images, OnDisk
from diffae.train.presets import PRESETS

BATCH, STEPS = 32, 3


def reading(data: Dataset, images: int, workers: int) -> float:
    """Images a second as a training reads them, the second time round, from the first batch that is asked for."""
    order = np.random.default_rng(0).permutation(len(data))[:images]
    source = Images(OnDisk(data, order), False, "cpu", workers)
    batches = torch.arange(len(order)).split(BATCH)
    for _ in range(2):
        start = time.perf_counter()
        with source.ahead(iter(batches)):
            for batch in batches:
                source.batch(batch)
        seconds = time.perf_counter() - start
    return len(order) / seconds


def stepping(preset: str, device: str) -> float:
    """Images a second of loss and gradient, the fastest of a few steps."""
    model = DiffusionAutoencoder(PRESETS[preset].model).to(device)
    size, best = PRESETS[preset].image_size, np.inf
    for _ in range(STEPS):
        start = time.perf_counter()
        x_0 = torch.randn(BATCH, 3, size, size, device=device)
        t = torch.randint(0, len(model.alphas), (BATCH,), device=device)
        noise = torch.randn_like(x_0)
        x_t = add_noise(x_0, noise, model.alphas[t])
        loss = F.mse_loss(model.unet(x_t, t, model.encoder(x_0)), noise)
        loss.backward()
        float(loss.detach())
        best = min(best, time.perf_counter() - start)
    return BATCH / best


def main() -> None:
    parser = cli.Parser("docs/results/loader.py", __doc__)
    parser.add_argument("--data", type=cli.path)
    parser.add_argument("--preset", choices=PRESETS, default="portraits")
    parser.add_argument("--images", type=cli.positive, default=512)
    parser.add_argument("--workers", default="0,1,2")
    args = parser.parse()
    size = PRESETS[args.preset].image_size
    data = open_for_model(args.data or ensure(args.images, 256), size)
    with tempfile.TemporaryDirectory(prefix="loader-") as folder:
        prepare(data, Path(folder) / "copy")
        sets = {
            "the data set": data,
            "its prepared copy": open_dataset(Path(folder) / "copy", size),
        }
        device = cli.default_device()
        step = stepping(args.preset, device)
        rows = []
        for workers in map(int, args.workers.split(",")):
            for name, read in sets.items():
                rate = reading(read, args.images, workers)
                rows.append([name, workers, f"{rate:,.0f}", f"{rate / step:.1f}"])
    print(f"{args.preset}, {size} px, a step on {device}: {step:,.1f} images a second")
    print(tabulate(rows, ["read from", "workers", "images/s", "of the step's"], "github"))


if __name__ == "__main__":
    cli.run(main)
