"""How fast a training step is: against a plain one, in two processes against one, and its noise in threads; how its memory grows.

    python docs/results/training_speed.py [step] [processes] [noise] [images] [--rounds 9] [--preset portraits]

`step`: forward, backward, clipping, Adam and moving average of the preset's UNet at fixed z, by the trainer and by the plain network
of network_call.py in float32 (standard layers, contiguous memory, Adam and average parameter by parameter, noise of the
batch), in turn; a ratio is the median over rounds of the plain one's time over ours, with its quartiles. It fails if their gradients
differ. `processes`: images a second of two gloo processes of one thread over those of one process of one thread, three times in turn.
`noise`: milliseconds that a step of 32 images of 128 px waits for its noise, drawn in the step or by threads while another device
computes (here: while the processor sleeps). `images`: peak memory of a training on 512 and on 4,096 images of 64 px that are read
from disk.
"""

import copy
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from network_call import Plain, ratio
from PIL import Image
from tabulate import tabulate
from torch import Tensor, nn
from torch.nn import functional as F

from diffae import cli
from diffae.diffusion import add_noise, velocity
from diffae.model import DiffusionAutoencoder
from diffae.noise import ExampleNoise, Noise, NoiseAhead, normals
from diffae.train.images import Images
from diffae.train.presets import PRESETS, Preset
from diffae.train.stages import noised
from diffae.train.trainer import Training
from diffae.train.types import Steps

Step = Callable[[], object]
CLOSE = 1e-3  # of the gradient of float32: what the order of sums may change


class PlainStep:
    """A step as one would write it first: float32, standard layers, one parameter after the other."""

    def __init__(self, model: DiffusionAutoencoder, images: Tensor, rate: float):
        self.network, self.model = Plain(model.unet), model
        self.network.train()
        self.images = images.contiguous()
        self.z = codes(model, len(images))
        self.average = [p.detach().clone() for p in self.network.parameters()]
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=rate, foreach=False)

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


def codes(model: DiffusionAutoencoder, count: int) -> Tensor:
    return torch.randn(count, model.config.z_channels, generator=torch.Generator().manual_seed(0))


def decoder_loss(model: DiffusionAutoencoder, data: Images) -> Callable[[Tensor, Noise], Tensor]:
    """The diffusion loss at fixed z: of the UNet alone."""
    z = codes(model, len(data))

    def loss(indices: Tensor, noise: Noise) -> Tensor:
        x_0 = data.batch(indices, noise)
        batch = noised(x_0, model.alphas, model.config.prediction, noise)
        return F.mse_loss(model.unet(batch.x_t, batch.t, z).float(), batch.target)

    return loss


def steps(preset: Preset, rounds: int) -> str:
    torch.manual_seed(0)
    model = DiffusionAutoencoder(preset.model)
    for p in model.parameters():
        if not p.any():
            nn.init.normal_(p, std=0.02)
    batch = preset.image.batch_size
    pixels = np.random.default_rng(0).integers(0, 256, (batch, *[preset.image_size] * 2, 3))
    data = Images(pixels.astype(np.uint8), False, "cpu")
    rows = []
    for precision in ("float32", "bfloat16"):
        own = copy.deepcopy(model)
        own.unet.to(memory_format=torch.channels_last)
        schedule = replace(preset.image, learning_rate=1e-8)
        training = Training(own.unet, schedule, 0, precision, steps=Steps(by_example=True))
        loss = decoder_loss(own, data)
        plain = PlainStep(model, data.batch(torch.arange(batch)), 1e-8)
        if precision == "float32":
            _check(training, loss, plain)
        ours: Step = lambda: training.advance(loss, torch.arange(batch))  # noqa: B023, E731
        times: dict[str, list[float]] = {"plain": [], "ours": []}
        for number in range(rounds + 1):
            for name, step in (("plain", plain), ("ours", ours)):
                start = time.perf_counter()
                step()
                if number:
                    times[name].append(time.perf_counter() - start)
        each = 1000 * statistics.median(times["ours"]) / batch
        rows.append([precision, ratio(times["plain"], times["ours"]), f"{each:.1f}"])
    head = ["ours in", "times as fast as plain float32", "ms an image"]
    threads = torch.get_num_threads()
    table = tabulate(rows, head, "github", disable_numparse=True)
    return f"A step of {preset.name}, batches of {batch}, {threads} thread(s)\n\n{table}"


def _check(training: Training, loss: Callable[..., Tensor], plain: PlainStep) -> None:
    """That both compute the same: gradients on the same images, times and noise."""
    count = len(plain.images)
    noise = ExampleNoise(0, "training", range(count))
    t = torch.from_numpy(noise.integers(len(plain.model.alphas), size=count))
    expected = torch.autograd.grad(
        plain.loss(t, normals(noise, plain.images.shape)), list(plain.network.parameters())
    )
    value = loss(torch.arange(count), ExampleNoise(0, "training", range(count)))
    found = torch.autograd.grad(value, training.parameters)
    apart = sum(float((a - b).square().sum()) for a, b in zip(expected, found, strict=True)) ** 0.5
    whole = sum(float(a.square().sum()) for a in expected) ** 0.5
    if apart > CLOSE * whole:
        sys.exit(f"the gradients of both differ by {apart / whole:.1e} of themselves")


def processes(preset: Preset, rounds: int) -> str:
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(min(rounds, 3)):
        for count, found in rates.items():
            with tempfile.TemporaryDirectory(prefix="training-speed-") as folder:
                out = Path(folder) / "run"
                launch = [
                    "-m",
                    "torch.distributed.run",
                    "--standalone",
                    f"--nproc-per-node={count}",
                ]
                words = ["-m", "diffae.train", preset.name, "--set", "image.samples=960"]
                words += ["--stages", "autoencoder", "--set", "encoder=none"]
                words += ["--set", "portraits=256", "--device", "cpu", "--out", str(out)]
                subprocess.run(
                    [sys.executable, *(launch if count > 1 else []), *words],
                    env=os.environ | {"OMP_NUM_THREADS": "1"},
                    check=True,
                    capture_output=True,
                )
                outcome = json.loads((out / "training.json").read_text())["stages"]["image"]
                found.append(outcome["examples"] / outcome["seconds"])
    gains = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
    text = ", ".join(f"{gain:.2f}" for gain in gains)
    one, two = (statistics.median(found) for found in rates.values())
    return f"Two processes over one, {preset.name}: {text} times ({two:.1f} and {one:.1f} images a second)"


def noise(rounds: int, size: int = 128, batch: int = 32) -> str:
    """The sleep stands for a device that computes a step."""
    waited: dict[str, list[float]] = {"in the step": [], "by threads": []}
    ahead = NoiseAhead(0, "training")
    for number in range(rounds + 2):
        numbers, then = (range(n * batch, (n + 1) * batch) for n in (number, number + 1))
        for name, found in waited.items():
            start = time.perf_counter()
            own = name == "in the step"
            drawn = ExampleNoise(0, "training", numbers) if own else ahead.of(numbers, then)
            drawn.integers(1000, size=batch)
            normals(drawn, (batch, 3, size, size))
            if number > 1:
                found.append(time.perf_counter() - start)
            time.sleep(0.2)
    rows = [[name, f"{1000 * statistics.median(found):.1f}"] for name, found in waited.items()]
    table = tabulate(rows, ["noise is drawn", "ms that a step waits"], "github")
    return f"{batch} images of {size} px\n\n{table}"


def peaks() -> Iterator[str]:
    """A process of its own each, so that its peak is the training's."""
    for count in (512, 4096):
        with tempfile.TemporaryDirectory(prefix="training-speed-") as folder:
            photographs = Path(folder) / "images"
            photographs.mkdir()
            generator = np.random.default_rng(0)
            for number in range(count):
                pixels = generator.integers(0, 256, (64, 64, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(photographs / f"{number:05}.png", compress_level=0)
            code = (
                "import resource, sys\n"
                "from diffae.train import images\n"
                "images.IN_MEMORY = 0\n"
                "from diffae.train.__main__ import main\n"
                "main(sys.argv[1:])\n"
                "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
            )
            words = [
                "portraits",
                "--stages",
                "autoencoder",
                "--set",
                "encoder=none",
                "--data",
                str(photographs),
                "--set",
                "image.samples=256",
            ]
            result = subprocess.run(
                [sys.executable, "-c", code, *words, "--out", str(Path(folder) / "run")],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            kilobytes = int(result.stdout.split()[-1])
            yield f"{count:,} images read from disk: peak {kilobytes / 1e6:.2f} GB"


def main() -> None:
    parser = cli.Parser("docs/results/training_speed.py", __doc__)
    kinds = ["step", "processes", "noise", "images"]
    parser.add_argument("what", nargs="*", choices=kinds, default=kinds)
    parser.add_argument("--rounds", type=cli.positive, default=9)
    parser.add_argument("--preset", choices=PRESETS, default="portraits")
    args = parser.parse()
    preset = PRESETS[args.preset]
    if "step" in args.what:
        print(steps(preset, args.rounds), end="\n\n", flush=True)
    if "processes" in args.what:
        print(processes(preset, args.rounds), end="\n\n", flush=True)
    if "noise" in args.what:
        print(noise(args.rounds), end="\n\n", flush=True)
    if "images" in args.what:
        print("\n".join(peaks()))


if __name__ == "__main__":
    cli.run(main)
