"""Small autoencoders of 32 px: trained ones, some minutes of one core each, and linear ones.

    mkdir -p runs/latent-study && OMP_NUM_THREADS=1 python docs/results/latent/autoencoders.py runs/latent-study

It trains those whose weights are not in the folder, and continues after an interruption.
"""

import sys
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import systems
from benchmarks.systems import System
from diffae.data import open_portraits
from diffae.diffusion.noise import Noise, normals
from diffae.networks.nn import GroupNorm
from diffae.train.trainer import TrainingRun, choose_precision, fit
from diffae.train.types import Schedule, Stage

SCHEDULE = Schedule(48_000, 64, 2e-3, 3_200, "cosine", ema_decay=0.995, ema_warmup=True, bfloat16=True)  # fmt: skip
# Channels of the 8 x 8 map, and the weight of the KL term. Without the term there is no noise either.
KL = ((4, "1e-4"), (4, "1e-2"), (16, "1e-4"), (1, "1e-4"), (16, "1e-2"), (2, "1e-4"), (8, "1e-4"), (4, "1e-6"))  # fmt: skip
TRAINED = {f"c = {c}, KL {weight}": (c, float(weight)) for c, weight in KL}
TRAINED |= {"c = 4, no KL": (4, 0.0)}
BASE = "c = 4, KL 1e-4"
# The side of a patch, and how many principal components of each are kept.
PATCHES = ((4, 1), (4, 2), (4, 4), (4, 8), (8, 4), (8, 16), (16, 64))
LINEAR = {f"linear, {side} px, c = {c}": (side, c) for side, c in PATCHES}


class Block(nn.Module):
    """Two convolutions, each after a group norm, added to the input."""

    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.Sequential(*(layer for _ in range(2) for layer in _normed(width, width)))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def _normed(of: int, to: int) -> tuple[nn.Module, ...]:
    return GroupNorm(of, 8), nn.SiLU(), nn.Conv2d(of, to, 3, padding=1)


class Autoencoder(nn.Module):
    """Images N x 3 x 32 x 32 in [-1, 1]; codes N x c x 8 x 8, the means of the posterior."""

    def __init__(self, c: int):
        super().__init__()
        end = _normed(64, 2 * c)
        self.encoder = nn.Sequential(
            *(nn.PixelUnshuffle(2), nn.Conv2d(12, 32, 3, padding=1), Block(32)),
            *(nn.Conv2d(32, 64, 2, stride=2), Block(64), Block(64), *end),
        )
        self.decoder = nn.Sequential(
            *(nn.Conv2d(c, 64, 3, padding=1), Block(64), Block(64), nn.Conv2d(64, 128, 1)),
            *(nn.PixelShuffle(2), Block(32), *_normed(32, 12), nn.PixelShuffle(2)),
        )

    def encode(self, images: Tensor) -> Tensor:
        return self.encoder(images).chunk(2, dim=1)[0]

    def decode(self, code: Tensor) -> Tensor:
        return self.decoder(code).clamp(-1, 1)

    def loss(self, images: Tensor, weight: float, noise: Noise) -> Tensor:
        """The mean absolute error, and `weight` times the mean KL of a number of the code."""
        mean, log_var = self.encoder(images).float().chunk(2, dim=1)
        log_var = log_var.clamp(-30, 20)
        sigma = (log_var / 2).exp() if weight else torch.zeros(())
        found = self.decoder(mean + sigma * normals(noise, mean.shape)).float()
        kl = (mean.square() + log_var.exp() - 1 - log_var).mean() / 2
        return F.l1_loss(found, images) + weight * kl


class Linear(nn.Module):
    """Principal components of the patches of images: codes N x c x 32/side x 32/side."""

    def __init__(self, side: int, c: int):
        super().__init__()
        self.side = side
        patches = F.pixel_unshuffle(images(), side).movedim(1, -1).flatten(0, 2).double()
        self.register_buffer("mean", patches.mean(0).float()[:, None, None])
        basis = torch.linalg.eigh(patches.T.cov()).eigenvectors.flip(1)[:, :c]
        self.register_buffer("basis", basis.float())

    def encode(self, images: Tensor) -> Tensor:
        patches = F.pixel_unshuffle(images, self.side) - self.mean
        return torch.einsum("ndhw,dc->nchw", patches, self.basis)

    def decode(self, code: Tensor) -> Tensor:
        patches = torch.einsum("nchw,dc->ndhw", code, self.basis) + self.mean
        return F.pixel_shuffle(patches, self.side).clamp(-1, 1)


class Scrambled(nn.Module):
    """An autoencoder with sin(A first) added to the second half of its flat, standardised codes.

    Decoding takes it off again: reconstructions are those of the autoencoder.
    """

    def __init__(self, base: Autoencoder, codes: Tensor):
        super().__init__()
        self.base, half = base, codes[0].numel() // 2
        normal = torch.randn(half, half, generator=torch.Generator().manual_seed(0))
        self.register_buffer("A", 4 / half**0.5 * normal)
        self.register_buffer("mean", codes.flatten(1).mean(0))
        self.register_buffer("std", codes.flatten(1).std(0))

    def encode(self, images: Tensor) -> Tensor:
        return self._shifted(self.base.encode(images), 1)

    def decode(self, code: Tensor) -> Tensor:
        return self.base.decode(self._shifted(code, -1))

    def _shifted(self, z: Tensor, sign: int) -> Tensor:
        first, second = ((z.flatten(1) - self.mean) / self.std).chunk(2, dim=1)
        second = second + sign * (first @ self.A).sin()
        return (torch.cat([first, second], dim=1) * self.std + self.mean).view_as(z)


@cache
def images() -> Tensor:
    """The training images of profile `quick`: N x 3 x 32 x 32 in [-1, 1]."""
    dataset = open_portraits(10_000, 32)
    return dataset.batch(dataset.indices("train"))


@torch.inference_mode()
def encoded(system: System) -> Tensor:
    """The codes of the training images, in their own shape."""
    return torch.cat([system.encode_semantic(batch) for batch in images().split(64)])


def trained(title: str, folder: Path) -> Autoencoder:
    """The autoencoder of `TRAINED`, trained unless `folder` has its weights."""
    c, weight = TRAINED[title]
    torch.manual_seed(0)
    network, path = Autoencoder(c), folder / f"{systems.slug(title)}.safetensors"
    if not path.exists():
        stage = Stage("autoencoder", title, network, SCHEDULE, lambda indices, noise: network.loss(images()[indices], weight, noise), by_example=False)  # fmt: skip
        run = TrainingRun(0, title, choose_precision("auto", "cpu")[0])
        fit(stage, len(images()), path.with_suffix(".state"), run)
        save_file(network.state_dict(), path)
    network.load_state_dict(load_file(path))
    return network.eval()


def load(title: str, folder: Path) -> System:
    """A system by its title, or a packaged one by its name."""
    if title in LINEAR:
        return systems.wrap(Linear(*LINEAR[title]), image_size=32, title=title)
    if title in TRAINED:
        return systems.wrap(trained(title, folder), image_size=32, title=title)
    if title == "scrambled":
        scrambled = Scrambled(trained(BASE, folder), encoded(load(BASE, folder)))
        return systems.wrap(scrambled.eval(), image_size=32, title=title)
    system = systems.load(title)
    if system.learns_from_data:
        system.fit(images()[: system.latent_dim * 8].split(512))
    return system


if __name__ == "__main__":
    for one in TRAINED:
        trained(one, Path(sys.argv[1]))
