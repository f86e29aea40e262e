"""What bfloat16 gains on this processor, and how far it moves images, codes and scores.

    python docs/results/precision.py speed [--size128 2] [--repeats 5]
    python docs/results/precision.py images [CHECKPOINT ...] [--images 8] [--steps 2,5,10,20,100] [--solver ddim]

`speed` prints how many times as fast as float32 one call of the UNet is: of the packaged DiffAE (32 px) and of the authors'
FFHQ128 layout with random weights (128 px, `--size128` images at a time), both precisions in turn, in CPU seconds of
one process; so set OMP_NUM_THREADS=1. `images` sends portraits of the test split through the packaged models, or those
given, both ways, and compares bfloat16 with float32 as the guard of `--precision` does (`benchmarks.core.runner.precision_guard`).
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor

from benchmarks.core.runner.precision_guard import Outputs, deviations
from benchmarks.core.selection import select
from benchmarks.metrics.pixel import mse
from benchmarks.metrics.ssim import ssim
from benchmarks.runtime.precision import of_networks, precision
from diffae import DDIM, DiffusionAutoencoder, bfloat16, checkpoint
from diffae.config import ARCHITECTURES, AUTOENCODER
from diffae.data import open_portraits

NAMES = ("float32", "bfloat16")
Model = DiffusionAutoencoder | DDIM


def speed(args: argparse.Namespace) -> None:
    packaged = DiffusionAutoencoder.from_pretrained("portraits")
    torch.manual_seed(0)
    large = DiffusionAutoencoder(ARCHITECTURES["ffhq128_autoenc_130M"]).eval()
    rows = []
    for model, batch in ((packaged, 8), (packaged, 64), (large, args.size128)):
        size = model.config.image_size
        x, z = torch.randn(batch, 3, size, size), torch.randn(batch, model.latent_dim)
        rows.append(
            [f"UNet, {size} px", batch, *gain(partial(model.predict_noise, x, 500, z), args)]
        )
        rows.append(
            [f"encoder, {size} px", batch, *gain(partial(model.encode, x.clamp(-1, 1)), args)]
        )
    print(bfloat16.support("cpu")[1], f"; {torch.get_num_threads()} thread(s)\n", sep="")
    print(tabulate(rows, ["call", "images at once", "times as fast", "least", "most"], "pipe"))


def gain(call: Callable[[], object], args: argparse.Namespace) -> list[str]:
    """CPU seconds in float32 over those in bfloat16, of neighbouring calls: the median, the least and the most."""
    ratios = []
    for repeat in range(args.repeats + 1):
        taken = [seconds(name, call) for name in NAMES]
        if repeat:  # what a first call sets up is not timed
            ratios.append(taken[0] / taken[1])
    return [f"{of(ratios):.2f}" for of in (statistics.median, min, max)]


@torch.no_grad()
def seconds(name: str, call: Callable[[], object]) -> float:
    with precision(name), of_networks():
        start = time.process_time()
        call()
        return time.process_time() - start


def images(args: argparse.Namespace) -> None:
    rows = []
    for path in args.checkpoints or ("portraits", "portraits-ddim"):
        autoencoder = checkpoint.open_checkpoint(path).config.kind == AUTOENCODER
        model = (DiffusionAutoencoder if autoencoder else DDIM).from_pretrained(path)
        selection = select(open_portraits(1_000, model.image_size), "test", args.images, 0)
        originals = selection.batch(np.arange(args.images))
        for steps in map(int, args.steps.split(",")):
            exact, low = (round_trip(model, originals, name, steps, args.solver) for name in NAMES)
            rows.append([path, steps, *compared(exact, low, originals)])
    heads = ["model", "T", "grey levels", "SSIM", "moves by", "MSE", "in bfloat16", "z_sem", "x_T"]
    print(f"{args.images} portraits, solver {args.solver}\n")
    print(tabulate(rows, heads, "pipe", disable_numparse=True))


@torch.no_grad()
def round_trip(model: Model, originals: Tensor, name: str, steps: int, solver: str) -> Outputs:
    with precision(name), of_networks():
        if isinstance(model, DDIM):
            x_T = model.encode_stochastic(originals, steps=steps, solver=solver)
            return {"x_T": x_T, "images": model.decode(x_T, steps=steps, solver=solver)}
        z = model.encode(originals)
        x_T = model.encode_stochastic(originals, z, steps=steps, solver=solver)
        images = model.decode(z, x_T, steps=steps, solver=solver)
        return {"semantic": z.float(), "x_T": x_T, "images": images}


def compared(exact: Outputs, low: Outputs, originals: Tensor) -> list[str]:
    found = deviations(exact, low, originals)
    a, b = exact["images"], low["images"]
    assert isinstance(a, Tensor) and isinstance(b, Tensor)
    shares = [f"{found[what]:.2%}" if what in found else "" for what in ("semantic", "x_T")]
    errors = [f"{float(mse(each, originals).mean()):.2e}" for each in (a, b)]
    score = float(ssim(a, originals).mean())
    return [f"{found['images']:.2f}", f"{score:.5f}", f"{found['ssim']:.1e}", *errors, *shares]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True)
    add = commands.add_parser("speed").add_argument
    add("--size128", type=int, default=2)
    add("--repeats", type=int, default=5)
    commands.choices["speed"].set_defaults(run=speed)
    add = commands.add_parser("images").add_argument
    add("checkpoints", nargs="*")
    add("--images", type=int, default=8)
    add("--steps", default="2,5,10,20,100")
    add("--solver", default="ddim")
    commands.choices["images"].set_defaults(run=images)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
