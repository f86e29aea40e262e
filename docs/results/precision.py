"""The effect of bfloat16 on images, codes and scores.

    python docs/results/precision.py [CHECKPOINT ...] [--steps 2,5,10,20,100] [--solver ddim]

Sends eight portraits of the test split through the packaged models, or those given, in bfloat16 and
in float32, and compares the two as the check of `--precision` does
(`benchmarks.systems.precision_guard`). `network_call.py` measures the speed.
"""

import argparse

import numpy as np
import torch
from measure import table
from torch import Tensor

from benchmarks.core.images import select
from benchmarks.metrics.pixel import mse
from benchmarks.metrics.ssim import ssim
from benchmarks.runtime.precision import of_networks, precision
from benchmarks.systems.precision_guard import Outputs, differences
from diffae import DDIM, DiffusionAutoencoder
from diffae.checkpoints import checkpoint
from diffae.data import open_portraits
from diffae.networks.config import AUTOENCODER

NAMES = ("float32", "bfloat16")
IMAGES = 8
Model = DiffusionAutoencoder | DDIM


@torch.no_grad()
def round_trip(model: Model, originals: Tensor, name: str, steps: int, solver: str) -> Outputs:
    with precision(name), of_networks():
        if isinstance(model, DDIM):
            x_T = model.encode_stochastic(originals, steps=steps, solver=solver)
            return {"x_T": x_T, "images": model.decode(x_T, steps=steps, solver=solver)}
        z = model.encode(originals)
        x_T = model.encode_stochastic(originals, z, steps=steps, solver=solver)
        images = model.decode(z, x_T, steps=steps, solver=solver)
        return {"semantic codes": z.float(), "x_T": x_T, "images": images}


def compared(exact: Outputs, low: Outputs, originals: Tensor) -> list[str]:
    moved = differences(exact, low)
    a, b = exact["images"], low["images"]
    assert isinstance(a, Tensor) and isinstance(b, Tensor)
    shares = [f"{moved[kind]:.2%}" if kind in moved else "" for kind in ("semantic codes", "x_T")]
    errors = [f"{float(mse(each, originals).mean()):.2e}" for each in (a, b)]
    score, low_score = (float(ssim(each, originals).mean()) for each in (a, b))
    change = f"{abs(score - low_score):.1e}"
    return [f"{moved['images']:.2f}", f"{score:.5f}", change, *errors, *shares]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoints", nargs="*", default=("portraits", "portraits-ddim"))
    parser.add_argument("--steps", default="2,5,10,20,100")
    parser.add_argument("--solver", default="ddim")
    args = parser.parse_args()
    rows = []
    for path in args.checkpoints:
        autoencoder = checkpoint.open_checkpoint(path).config.kind == AUTOENCODER
        model = (DiffusionAutoencoder if autoencoder else DDIM).from_pretrained(path)
        selection = select(open_portraits(1_000, model.image_size), "test", IMAGES, 0)
        originals = selection.batch(np.arange(IMAGES))
        for steps in map(int, args.steps.split(",")):
            exact, low = (round_trip(model, originals, name, steps, args.solver) for name in NAMES)
            rows.append([path, steps, *compared(exact, low, originals)])
    heads = ["model", "T", "grey levels", "SSIM", "its change", "MSE", "MSE in bfloat16"]
    print(f"{IMAGES} portraits, solver {args.solver}\n")
    print(table(rows, [*heads, "z_sem", "x_T"]))


if __name__ == "__main__":
    main()
