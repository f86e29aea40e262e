"""The speed-up by bfloat16 on this processor, and its effect on images, codes and scores.

    python docs/results/precision.py speed [--size128 2] [--repeats 5]
    python docs/results/precision.py images [CHECKPOINT ...] [--images 8] [--steps 2,5,10,20,100] [--solver ddim]

`speed` prints how many times as fast as float32 one call of the UNet is: of the packaged DiffAE (32
px) and of the authors' FFHQ128 layout with random weights (128 px, `--size128` images at a time),
both precisions in turn, in CPU seconds of one process, the median of the repeats and its quartiles;
so set OMP_NUM_THREADS=1. `images` sends portraits of the test split through the packaged models, or
those given, in both precisions, and compares bfloat16 with float32 as the guard of `--precision`
does (`benchmarks.core.runner.precision_guard`).
"""

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from measure import in_turn, ratio, table
from torch import Tensor

from benchmarks.core.runner.precision_guard import Outputs, deviations
from benchmarks.core.selection import select
from benchmarks.metrics.pixel import mse
from benchmarks.metrics.ssim import ssim
from benchmarks.runtime.precision import of_networks, precision
from diffae import DDIM, DiffusionAutoencoder
from diffae.checkpoints import checkpoint
from diffae.data import open_portraits
from diffae.networks import bfloat16
from diffae.networks.config import ARCHITECTURES, AUTOENCODER

NAMES = ("float32", "bfloat16")
Model = DiffusionAutoencoder | DDIM


@torch.no_grad()
def speed(args: argparse.Namespace) -> None:
    packaged = DiffusionAutoencoder.from_pretrained("portraits")
    torch.manual_seed(0)
    large = DiffusionAutoencoder(ARCHITECTURES["ffhq128_autoenc_130M"]).eval()
    rows = []
    for model, batch in ((packaged, 8), (packaged, 64), (large, args.size128)):
        size = model.config.image_size
        x, z = torch.randn(batch, 3, size, size), torch.randn(batch, model.latent_dim)
        unet, encoder = (
            partial(model.predict_noise, x, 500, z),
            partial(model.encode, x.clamp(-1, 1)),
        )
        for name, call in (("UNet", unet), ("encoder", encoder)):
            calls = {how: partial(in_precision, how, call) for how in NAMES}
            times = in_turn(calls, args.repeats, time.process_time)
            rows.append([f"{name}, {size} px", batch, ratio(*times.values())])
    print(bfloat16.support("cpu")[1], f"; {torch.get_num_threads()} thread(s)\n", sep="")
    print(table(rows, ["call", "images at once", "times as fast"]))


def in_precision(name: str, call: Callable[[], object]) -> None:
    with precision(name), of_networks():
        call()


def images(args: argparse.Namespace) -> None:
    rows = []
    for path in args.checkpoints:
        autoencoder = checkpoint.open_checkpoint(path).config.kind == AUTOENCODER
        model = (DiffusionAutoencoder if autoencoder else DDIM).from_pretrained(path)
        selection = select(open_portraits(1_000, model.image_size), "test", args.images, 0)
        originals = selection.batch(np.arange(args.images))
        for steps in map(int, args.steps.split(",")):
            exact, low = (round_trip(model, originals, name, steps, args.solver) for name in NAMES)
            rows.append([path, steps, *compared(exact, low, originals)])
    heads = ["model", "T", "grey levels", "SSIM", "change", "MSE", "in bfloat16", "z_sem", "x_T"]
    print(f"{args.images} portraits, solver {args.solver}\n")
    print(table(rows, heads))


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
    parser.add_argument("what", choices=("speed", "images"))
    parser.add_argument("checkpoints", nargs="*", default=("portraits", "portraits-ddim"))
    parser.add_argument("--size128", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--steps", default="2,5,10,20,100")
    parser.add_argument("--solver", default="ddim")
    args = parser.parse_args()
    (speed if args.what == "speed" else images)(args)


if __name__ == "__main__":
    main()
