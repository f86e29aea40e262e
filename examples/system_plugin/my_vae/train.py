"""Train for a minute on the portraits, after these are drawn.

python -m my_vae.train weights.safetensors
"""

import argparse

import torch
from safetensors.torch import save_file
from torch import Tensor

from benchmarks.plugin import open_portraits
from my_vae.network import SIZE, VAE


def train(images: Tensor, steps: int, batch: int = 64) -> VAE:
    torch.manual_seed(0)
    net = VAE()
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(steps):
        loss = net.loss(images[torch.randint(len(images), (batch,))])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return net.eval()


def main(out: str, steps: int = 1000) -> None:
    portraits = open_portraits(10_000, SIZE)
    images = portraits.batch(portraits.indices("train")[:4000])
    save_file(train(images, steps).state_dict(), out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m my_vae.train", description=__doc__)
    parser.add_argument("out", help="file of weights to write, such as weights.safetensors")
    main(parser.parse_args().out)
