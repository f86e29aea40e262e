"""A small variational autoencoder (Kingma and Welling, 2014)."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmarks.plugin import UserError

SIZE, DIM, WIDTH = 32, 64, 16


class VAE(nn.Module):
    """Images 3 x 32 x 32 in [-1, 1] <-> vectors of 64 numbers."""

    def __init__(self):
        super().__init__()
        last = SIZE // 8
        self.encoder = nn.Sequential(
            *(self._half(3, WIDTH), self._half(WIDTH, 2 * WIDTH), self._half(2 * WIDTH, 4 * WIDTH)),
            nn.Flatten(),
            nn.Linear(4 * WIDTH * last**2, 2 * DIM),  # mean and log variance
        )
        self.decoder = nn.Sequential(
            nn.Linear(DIM, 4 * WIDTH * last**2),
            nn.Unflatten(1, (4 * WIDTH, last, last)),
            *(self._double(4 * WIDTH, 2 * WIDTH), self._double(2 * WIDTH, WIDTH)),
            nn.ConvTranspose2d(WIDTH, 3, 4, 2, 1),
        )

    @classmethod
    def load(cls, path: str | Path | None) -> "VAE":
        if path is None:
            raise UserError("my-vae has no weights of its own: give --ckpt my-vae=PATH")
        net = cls()
        net.load_state_dict(load_file(path))
        return net.eval()

    def encode(self, images: Tensor) -> Tensor:
        return self.encoder(images).chunk(2, dim=1)[0]

    def loss(self, images: Tensor) -> Tensor:
        """The negative evidence lower bound, with a Gaussian of standard deviation 0.1 around each pixel."""
        mean, log_variance = self.encoder(images).chunk(2, dim=1)
        codes = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        error = (self.decoder(codes) - images).square().sum((1, 2, 3)) / (2 * 0.1**2)
        divergence = (mean.square() + log_variance.exp() - log_variance - 1).sum(1) / 2
        return (error + divergence).mean()

    @staticmethod
    def _half(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(inputs, outputs, 4, 2, 1), nn.SiLU())

    @staticmethod
    def _double(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(nn.ConvTranspose2d(inputs, outputs, 4, 2, 1), nn.SiLU())
