"""D2C (Sinha et al., 2021): an autoencoder, and a DDIM that samples its codes.

The autoencoder is built from NVAE's cells; its code is one map without noise. Modules have the
published names within each of the checkpoint's three parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.systems.d2c.ddim_unet import DDIMUNet
from benchmarks.systems.shared import cells
from benchmarks.systems.shared.cells import WeightNormConv

TIMESTEPS = 1000


@dataclass(frozen=True)
class D2CConfig:
    """Sizes of a D2C.

    Autoencoder: channels at the full side; ordinary cells before each halving (`pre`), at each
    scale of the encoder, the finest first (`enc`), at each of the decoder, the coarsest first
    (`dec`), and after each last doubling (`post`); channels of the code, components of the output,
    squeeze-and-excitation, bits of the input. DDIM: its side, channels, widths, blocks, and which
    levels attend (0 or 1).
    """

    channels: int
    pre: tuple[int, ...]
    enc: tuple[int, ...]
    dec: tuple[int, ...]
    post: tuple[int, ...]
    latent_channels: int
    mixtures: int
    squeeze: bool
    bits: int
    latent_side: int
    unet_channels: int
    unet_mult: tuple[int, ...]
    unet_blocks: int
    unet_attends: tuple[int, ...]

    @property
    def stride(self) -> int:
        """Pixels per side of one position of the code."""
        return 2 ** (len(self.pre) + len(self.enc) - 1)

    @property
    def image_size(self) -> int:
        """The side of the images whose codes the DDIM was trained on."""
        return self.stride * self.latent_side

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        return self.latent_channels, self.latent_side, self.latent_side


class Autoencoder(nn.Module):
    """Images N x 3 x H x W in [0, 1], sides multiples of the stride, to codes and back to logits."""

    def __init__(self, config: D2CConfig):
        super().__init__()
        c, squeeze = config, config.squeeze
        top = c.channels * c.stride
        self.stem = WeightNormConv(3, c.channels, 3)
        self.pre_process = cells.falling(c.channels, [*c.pre, 0], squeeze)
        self.enc_tower = cells.falling(c.channels * 2 ** len(c.pre), c.enc, squeeze)
        self.enc0 = nn.Sequential(nn.ELU(), WeightNormConv(top, top, 1), nn.ELU())
        self.enc_sampler = WeightNormConv(top, c.latent_channels, 3)
        self.dec0 = WeightNormConv(c.latent_channels, top, 3)
        self.dec_tower = cells.rising(top, c.dec, squeeze)
        wide = c.channels * 2 ** len(c.post)
        self.post_process = cells.rising(wide, [0, *c.post], squeeze, cells.POST_EXPANSION)
        head = WeightNormConv(c.channels, 10 * c.mixtures, 3)
        self.image_conditional = nn.Sequential(nn.ELU(), head)

    def encode(self, images: Tensor) -> Tensor:
        h = self.enc_tower(self.pre_process(self.stem(2 * images - 1)))
        return self.enc_sampler(self.enc0(h))

    def logits(self, z: Tensor) -> Tensor:
        """Logits of the distribution of the image's values (logistic_mixture.py): N x 10 K x H x W."""
        return self.image_conditional(self.post_process(self.dec_tower(self.dec0(z))))


class Standardised(nn.Module):
    """Mean and standard deviation of each channel of the codes of training images: 1 x C x 1 x 1 each."""

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("std", torch.ones(1, channels, 1, 1))

    def standardise(self, z: Tensor) -> Tensor:
        return (z - self.mean) / self.std

    def restore(self, z: Tensor) -> Tensor:
        return z * self.std + self.mean


def alphas() -> Tensor:
    """prod_{s <= t} (1 - beta_s) at t = -1, 0, ..., 999, in float32 as published.

    The first entry, for t = -1, is one.
    """
    betas = torch.linspace(1e-4, 0.02, TIMESTEPS, dtype=torch.float64, device="cpu").float()
    return torch.cat((torch.ones(1, device="cpu"), (1 - betas).cumprod(0)))


def steps_by_skip(skip: int) -> list[int]:
    """The published code's timesteps: every `skip`-th below the last, and the last.

    They are 11 for a skip of 100.
    """
    return [*range(0, TIMESTEPS - 1, skip), TIMESTEPS - 1]


class D2C(nn.Module):
    """The three parts. Codes are those of the autoencoder; the DDIM computes with standardised ones."""

    def __init__(self, configuration: D2CConfig):
        super().__init__()
        c = self.configuration = configuration
        self.autoencoder = Autoencoder(c)
        attends = [bool(level) for level in c.unet_attends]
        self.diffusion = DDIMUNet(
            c.latent_channels, c.unet_channels, c.unet_mult, c.unet_blocks, attends
        )
        self.latent_mod = Standardised(c.latent_channels)
        self.alphas = alphas()

    def predict_noise(self, z: Tensor, t: Tensor) -> Tensor:
        """The noise in standardised z at timesteps t [N]."""
        return self.diffusion(z, t.to(z))

    def ddim(self, z: Tensor, timesteps: Sequence[int]) -> Tensor:
        """Denoise standardised z from the last of `timesteps`, one network call at each.

        DDIM with eta 0 and no clipping.
        """
        path = [-1, *timesteps]
        for t, after in zip(path[:0:-1], path[-2::-1], strict=True):
            # They stay on the CPU: a number without dimensions is passed to a GPU without a copy.
            a, b = (self.alphas[s + 1].to(z.dtype) for s in (t, after))
            eps = self.predict_noise(z, torch.full((len(z),), t, device=z.device))
            x_0 = (z - (1 - a).sqrt() * eps) / a.sqrt()
            z = b.sqrt() * x_0 + (1 - b).sqrt() * eps
        return z

    def add_noise(self, z: Tensor, t: int, eps: Tensor) -> Tensor:
        """Standardised z, noised to timestep t."""
        a = self.alphas[t + 1].to(z.dtype)
        return a.sqrt() * z + (1 - a).sqrt() * eps
