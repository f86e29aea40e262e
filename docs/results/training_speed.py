"""The speed of a training: its step, two processes, noise, reading, and the cost of watching it.

    python docs/results/training_speed.py [step] [processes] [noise] [reading] [watching] [--rounds 9] [--preset portraits-short] [--data PATH]

`step`: forward, backward, clipping, Adam and moving average of the preset's UNet at fixed z, by the
trainer and by the plain network of network_call.py in float32 (standard layers, contiguous memory,
Adam and average parameter by parameter, noise of the batch), in turn; a ratio is the median over
rounds of the plain one's time over ours, with its quartiles. It fails if their gradients differ.
`processes`: images a second of two gloo processes of one thread over those of one process of one
thread, three times in turn. `noise`: milliseconds that a step of 32 images of 128 px waits for its
noise, drawn in the step or by threads while another device computes (here: while the processor
sleeps).

`reading`: images a second from a data set (--data, or 512 portraits of 256 px) and from its
prepared copy, in random order, in batches in [-1, 1], as a training reads what it does not hold,
with 0, 1 and 2 workers, beside a step of the preset's training in float32 on this machine's default
device; every row begins with its files in the system's memory. `watching`: seconds of the processor
of a step with a point for TensorBoard after it (a training of more than a thousand steps has fewer)
over those of one without, in turn, and of a sheet. Set OMP_NUM_THREADS=1 for both.
"""

import argparse
import copy
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from measure import in_turn, program, ratio, table
from network_call import Plain, random_model
from torch import Tensor, nn
from torch.nn import functional as F

from diffae.data import Dataset, open_dataset, open_for_model
from diffae.data.portraits import ensure
from diffae.data.prepare import prepare
from diffae.diffusion.gaussian import add_noise, velocity
from diffae.diffusion.noise import ExampleNoise, Noise, normals
from diffae.model import DiffusionAutoencoder
from diffae.system import cli
from diffae.train.callbacks.curves import Curves
from diffae.train.callbacks.sheets import COUNT, Sheets, of_images
from diffae.train.images import Images, OnDisk
from diffae.train.presets import PRESETS, Preset
from diffae.train.stages import image_loss, noised
from diffae.train.trainer import Training, batch_indices, choose_precision
from diffae.train.types import AUTO, Stage, Steps

CLOSE = 1e-3  # of the gradient of float32: what the order of sums may change
READ, BATCH = 512, 32  # images that are read, and in a batch
RATE = 1e-8  # of learning: steps are timed at the same weights, nearly


def noisy_images(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3)).astype(np.uint8)


def trained(preset: Preset, device: str, how: str) -> tuple[Training, Callable[[], float], Stage]:
    """A training of the autoencoder on noisy images, a step of it, and its stage."""
    model = DiffusionAutoencoder(preset.model).to(device)
    networks = nn.ModuleDict({"unet": model.unet, "encoder": model.encoder})
    networks.to(memory_format=torch.channels_last)
    training = Training(networks, preset.image, 0, how, steps=Steps(by_example=True))
    batch = preset.image.batch_size
    data = Images(noisy_images(4 * batch, preset.image_size), preset.flip, device)
    loss, pictures = image_loss(model, data), partial(of_images, model)

    def step() -> float:
        return training.advance(loss, batch_indices(4 * batch, batch, 0, training.step))

    stage = Stage("image", preset.name, networks, preset.image, loss, pictures=pictures)
    return training, step, stage


# ----------------------------------------------------------------------------------------------
# A step


class PlainStep:
    """A straightforward training step: float32, standard layers, one parameter after the other."""

    def __init__(self, model: DiffusionAutoencoder, images: Tensor, z: Tensor):
        self.network, self.model = Plain(model.unet), model
        self.network.train()
        self.images, self.z = images.contiguous(), z
        self.average = [p.detach().clone() for p in self.network.parameters()]
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=RATE, foreach=False)

    def loss(self, t: Tensor, eps: Tensor) -> Tensor:
        alphas = self.model.alphas[t]
        x_t = add_noise(self.images, eps, alphas).contiguous()
        return F.mse_loss(self.network(x_t, t, self.z), velocity(self.images, eps, alphas))

    def __call__(self) -> None:
        t = torch.randint(0, len(self.model.alphas), (len(self.images),))
        self.optimiser.zero_grad()
        self.loss(t, torch.randn_like(self.images)).backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0, foreach=False)
        self.optimiser.step()
        with torch.no_grad():
            for average, p in zip(self.average, self.network.parameters(), strict=True):
                average.mul_(0.9999).add_(p, alpha=0.0001)


def step(args: argparse.Namespace) -> str:
    preset: Preset = PRESETS[args.preset]
    model = random_model(preset.model)
    batch = preset.image.batch_size
    data, indices = (
        Images(noisy_images(batch, preset.image_size), False, "cpu"),
        torch.arange(batch),
    )
    z = torch.randn(batch, preset.model.z_channels, generator=torch.Generator().manual_seed(0))
    rows = []
    for name in ("float32", "bfloat16"):
        own = copy.deepcopy(model)
        own.unet.to(memory_format=torch.channels_last)
        schedule = replace(preset.image, learning_rate=RATE)
        training = Training(own.unet, schedule, 0, name, steps=Steps(by_example=True))

        def loss(indices: Tensor, noise: Noise, own: DiffusionAutoencoder = own) -> Tensor:
            """The diffusion loss at fixed z: of the UNet alone."""
            x_0 = data.batch(indices, noise)
            x_t, t, target = noised(x_0, own.alphas, own.config.prediction, noise)
            return F.mse_loss(own.unet(x_t, t, z).float(), target)

        plain = PlainStep(model, data.batch(indices), z)
        if name == "float32":
            check(training, loss(indices, ExampleNoise(0, "training", range(batch))), plain)
        ours = partial(training.advance, loss, indices)
        times = in_turn({"plain": plain, "ours": ours}, args.rounds)
        each = 1000 * statistics.median(times["ours"]) / batch
        rows.append([name, ratio(*times.values()), f"{each:.1f}"])
    threads = torch.get_num_threads()
    made = table(rows, ["ours in", "times as fast as plain float32", "ms an image"])
    return f"A step of {preset.name}, batches of {batch}, {threads} thread(s)\n\n{made}"


def check(training: Training, loss: Tensor, plain: PlainStep) -> None:
    """Check that both compute the same: gradients on the same images, times and noise."""
    count = len(plain.images)
    noise = ExampleNoise(0, "training", range(count))
    t = torch.from_numpy(noise.integers(len(plain.model.alphas), size=count))
    theirs = plain.loss(t, normals(noise, plain.images.shape))
    expected = torch.autograd.grad(theirs, list(plain.network.parameters()))
    found = torch.autograd.grad(loss, training.parameters)
    apart = sum(float((a - b).square().sum()) for a, b in zip(expected, found, strict=True)) ** 0.5
    whole = sum(float(a.square().sum()) for a in expected) ** 0.5
    if apart > CLOSE * whole:
        raise SystemExit(f"the gradients of both differ by {apart / whole:.1e} of themselves")


# ----------------------------------------------------------------------------------------------
# Processes, noise


def processes(args: argparse.Namespace) -> str:
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(3):
        for count, found in rates.items():
            with tempfile.TemporaryDirectory(prefix="training-speed-") as folder:
                words = ["-m", "diffae.train", args.preset, "--set", "image.samples=960"]
                words += ["--stages", "autoencoder", "--set", "encoder=none"]
                words += ["--set", "portraits=256", "--device", "cpu", "--out", f"{folder}/run"]
                program(*words, processes=count)
                note = json.loads(Path(folder, "run", "training.json").read_text())
                found.append(
                    note["stages"]["image"]["examples"] / note["stages"]["image"]["seconds"]
                )
    gains = ", ".join(f"{two / one:.2f}" for one, two in zip(*rates.values(), strict=True))
    one, two = map(statistics.median, rates.values())
    return f"Two processes over one, {args.preset}: {gains} times ({two:.1f} and {one:.1f} images a second)"


def noise(args: argparse.Namespace) -> str:
    """The waiting time for noise."""
    pools, size = {"by one thread": None, "by four": ThreadPoolExecutor(4)}, 128
    waited: dict[str, list[float]] = {name: [] for name in pools}
    for number in range(args.rounds):
        for name, found in waited.items():
            start = time.perf_counter()
            numbers = range(number * BATCH, (number + 1) * BATCH)
            drawn = ExampleNoise(0, "training", numbers, pools[name])
            drawn.integers(1000, size=BATCH)
            normals(drawn, (BATCH, 3, size, size))
            found.append(time.perf_counter() - start)
    rows = [[name, f"{1000 * statistics.median(found):.1f}"] for name, found in waited.items()]
    made = table(rows, ["noise is drawn", "ms that a step waits"])
    return f"{BATCH} images of {size} px\n\n{made}"


# ----------------------------------------------------------------------------------------------
# Reading


def reading(args: argparse.Namespace) -> str:
    preset = PRESETS[args.preset]
    data = open_for_model(args.data or ensure(READ, 256), preset.image_size)
    device, rows = cli.default_device(), []
    _, step, _ = trained(preset, device, "float32")
    rate_of_step = preset.image.batch_size / min(in_turn({"step": step}, 3)["step"])
    with tempfile.TemporaryDirectory(prefix="training-speed-") as folder:
        prepare(data, Path(folder) / "copy")
        copied = open_dataset(Path(folder) / "copy", preset.image_size)
        for workers in (0, 1, 2):
            for name, read in (("the data set", data), ("its prepared copy", copied)):
                rate = read_by_training(read, workers)
                rows.append([name, workers, f"{rate:,.0f}", f"{rate / rate_of_step:.1f}"])
    made = table(rows, ["read from", "workers", "images/s", "of the step's"])
    title = f"{preset.name}, {preset.image_size} px, a step on {device}"
    return f"{title}: {rate_of_step:,.1f} images a second\n\n{made}"


def read_by_training(data: Dataset, workers: int) -> float:
    """Images per second as a training reads them, in the second epoch, from the first batch requested."""
    order = np.random.default_rng(0).permutation(len(data))[:READ]
    source = Images(OnDisk(data, order), False, "cpu", workers)
    batches = torch.arange(len(order)).split(BATCH)

    def all_batches() -> None:
        with source.ahead(iter(batches)):
            for batch in batches:
                source.batch(batch)

    return len(order) / in_turn({"reading": all_batches}, 1)["reading"][0]


# ----------------------------------------------------------------------------------------------
# Watching


def watching(args: argparse.Namespace) -> str:
    preset = PRESETS[args.preset]
    batch = preset.image.batch_size
    how = choose_precision(AUTO, "cpu")[0]
    training, step, stage = trained(preset, "cpu", how)
    with tempfile.TemporaryDirectory() as folder:
        every_step = Curves(Path(folder) / "logs")
        every_step.begins(training, stage, lambda: 0)
        every_step._every = 1
        calls = {"watched": lambda: every_step.step(step()), "plain": step}
        times = in_turn(calls, 3 * args.rounds, time.process_time)
        pixels = torch.from_numpy(noisy_images(COUNT, preset.image_size)).permute(0, 3, 1, 2)
        shown = pixels.float() / 127.5 - 1
        sheets = Sheets(Path(folder) / "s", "t", lambda: shown, "", {"image": batch})
        begun = time.process_time()
        sheets.begins(training, stage, lambda: 0)
        drawn = time.process_time() - begun
    plain = statistics.median(times["plain"])
    return (
        f"{preset.name} in {how}: a step of {batch} images {plain:.3f} s\n"
        f"with a point after each: {ratio(*times.values())} of it\n"
        f"a sheet of {COUNT} images {drawn:.2f} s: {drawn / plain:.1f} steps"
    )


KINDS = {one.__name__: one for one in (step, processes, noise, reading, watching)}


def main() -> None:
    parser = cli.Parser("docs/results/training_speed.py", __doc__)
    parser.add_argument("what", nargs="*", choices=KINDS, default=list(KINDS))
    parser.add_argument("--rounds", type=cli.positive, default=9)
    parser.add_argument("--preset", choices=PRESETS, default="portraits-short")
    parser.add_argument("--data", type=cli.path, help="what is read; portraits unless given")
    args = parser.parse()
    for what in args.what:
        print(KINDS[what](args), end="\n\n", flush=True)


if __name__ == "__main__":
    cli.run(main)
