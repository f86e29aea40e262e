"""The speed-up of a network call in bfloat16 over float32, on the same weights.

    python docs/results/network_call.py [--rounds 15] [--threads 1,2] [--clock wall|processor] [--networks NAME:BATCH,...]

Each round times a call in both precisions, in turn, in one process; a ratio is the median over
rounds, with its quartiles. `processor` counts the time of this process only, which another process
on the machine does not stretch (take it for one thread; over several it is their sum).

NAME is a packaged autoencoder or a layout of the authors' (random weights); NAME.encoder is its
encoder.
"""

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from measure import in_turn, ratio, table
from torch import Tensor, nn

from benchmarks.runtime.precision import of_networks, precision
from diffae.model import DiffusionAutoencoder
from diffae.networks.config import ARCHITECTURES

CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
NETWORKS = "portraits:64,ffhq128_autoenc_130M:2"


def model_of(name: str) -> DiffusionAutoencoder:
    """A packaged model, or one of the authors' layouts with random weights, none of them zero."""
    if name not in ARCHITECTURES:
        return DiffusionAutoencoder.from_pretrained(name)
    torch.manual_seed(0)
    model = DiffusionAutoencoder(ARCHITECTURES[name]).eval().requires_grad_(False)
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.02)
    return model.to(memory_format=torch.channels_last)


def calls_of(name: str, batch: int) -> dict[str, Callable[[], Tensor]]:
    """One call of a network in each precision, on the same images and codes."""
    model_name, _, part = name.partition(".")
    model = model_of(model_name)
    torch.manual_seed(1)
    x = torch.randn(batch, 3, model.image_size, model.image_size)
    z, t = torch.randn(batch, model.latent_dim), torch.full((batch,), 300)

    def call(how: str) -> Tensor:
        with precision(how), of_networks():
            return model.encoder(x.clamp(-1, 1)) if part == "encoder" else model.unet(x, t, z)

    return {how: partial(call, how) for how in ("float32", "bfloat16")}


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--networks", default=NETWORKS)
    args = parser.parse_args()
    rows = []
    for name, batch in (network.split(":") for network in args.networks.split(",")):
        calls = calls_of(name, int(batch))
        exact, low = (call().float() for call in calls.values())
        difference = float((low - exact).norm() / exact.norm())
        for threads in map(int, args.threads.split(",")):
            torch.set_num_threads(threads)
            times = in_turn(calls, args.rounds, CLOCKS[args.clock])
            rows.append([name, batch, threads, ratio(*times.values()), f"{difference:.0e}"])
            print(*rows[-1], file=sys.stderr)
    print(table(rows, ["network", "batch", "threads", "times as fast", "outputs differ by"]))


if __name__ == "__main__":
    main()
