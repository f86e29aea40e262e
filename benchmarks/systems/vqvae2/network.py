"""VQ-VAE-2 with two levels (Razavi et al., NeurIPS 2019).

Its names are those of rosinality's vq-vae-2-pytorch. Images in [-1, 1] of any side that is a
multiple of 8; a top map at an eighth of the side, a bottom map at a quarter. The authors of the
weights changed the residual block later: until January 2021 its first ReLU worked in place, so that
the skip carried relu(x) (`relu_skip`); since then it carries x. Both load the same tensors.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from benchmarks.systems.shared.codebook import look_up, nearest
from benchmarks.systems.shared.named import named

STRIDE = 8  # pixels of a side for one code of the top map; half of them for one of the bottom map


@dataclass(frozen=True)
class VQVAE2Config:
    """Widths of the network; the defaults are those of the public weights."""

    channel: int = 128
    res_blocks: int = 2
    res_channel: int = 32
    embed_dim: int = 64
    n_embed: int = 512
    image_size: int = 256  # of training


class Residual(nn.Module):
    """relu, conv 3 x 3, relu, conv 1 x 1, plus the input or, with `relu_skip`, its ReLU."""

    def __init__(self, channel: int, inner: int, relu_skip: bool):
        super().__init__()
        self.relu_skip = relu_skip
        self.conv = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channel, inner, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(inner, channel, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return (relu(x) if self.relu_skip else x) + self.conv(x)


class Codebook(nn.Module):
    """`n` codes of width `dim`, the columns of `embed`; the other two buffers are its moving averages."""

    embed: Tensor
    cluster_size: Tensor
    embed_avg: Tensor

    def __init__(self, dim: int, n: int):
        super().__init__()
        embed = torch.randn(dim, n)
        self.register_buffer("embed", embed)
        self.register_buffer("cluster_size", torch.zeros(n))
        self.register_buffer("embed_avg", embed.clone())

    @property
    def codes(self) -> Tensor:
        """The code vectors: n x dim."""
        return self.embed.T

    def indices(self, maps: Tensor) -> Tensor:
        return nearest(maps, self.codes)

    def vectors(self, indices: Tensor) -> Tensor:
        return look_up(indices, self.codes)


class VQVAE2(nn.Module):
    """Encoder, two codebooks and decoder."""

    def __init__(self, config: VQVAE2Config, relu_skip: bool = True):
        super().__init__()
        self.config = config
        c, half, dim = config.channel, config.channel // 2, config.embed_dim

        def residuals() -> list[nn.Module]:
            return [Residual(c, config.res_channel, relu_skip) for _ in range(config.res_blocks)]

        self.enc_b = _blocks(
            *(_down(3, half), nn.ReLU(), _down(half, c), nn.ReLU(), _same(c, c)),
            *residuals(),
            nn.ReLU(),
        )
        self.enc_t = _blocks(_down(c, half), nn.ReLU(), _same(half, c), *residuals(), nn.ReLU())
        self.quantize_conv_t = nn.Conv2d(c, dim, 1)
        self.quantize_t = Codebook(dim, config.n_embed)
        self.dec_t = _blocks(_same(dim, c), *residuals(), nn.ReLU(), _up(c, dim))
        self.quantize_conv_b = nn.Conv2d(dim + c, dim, 1)
        self.quantize_b = Codebook(dim, config.n_embed)
        self.upsample_t = _up(dim, dim)
        self.dec = _blocks(
            *(_same(2 * dim, c), *residuals(), nn.ReLU()), *(_up(c, half), nn.ReLU(), _up(half, 3))
        )

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Indices of the codes, top and bottom: N x 3 x S x S -> N x S/8 x S/8 and N x S/4 x S/4 (int64)."""
        fine = self.enc_b(images)
        top = self.quantize_t.indices(self.quantize_conv_t(self.enc_t(fine)))
        bottom = self.quantize_b.indices(self.before_bottom(fine, self.quantize_t.vectors(top)))
        return top, bottom

    def before_bottom(self, fine: Tensor, top: Tensor) -> Tensor:
        """The input of the bottom codebook: N x dim x S/4 x S/4.

        It is computed from enc_b's map and the top map's vectors.
        """
        return self.quantize_conv_b(torch.cat([self.dec_t(top), fine], dim=1))

    def vectors(self, top: Tensor, bottom: Tensor) -> tuple[Tensor, Tensor]:
        """The code vectors of indices: N x dim x h x w each."""
        return self.quantize_t.vectors(top), self.quantize_b.vectors(bottom)

    def decode(self, top: Tensor, bottom: Tensor) -> Tensor:
        """Images of two maps of code vectors, unbounded around [-1, 1]."""
        return self.dec(torch.cat([self.upsample_t(top), bottom], dim=1))


def _blocks(*blocks: nn.Module) -> nn.Module:
    """A sequence of modules, called `blocks` in the checkpoints."""
    return named(blocks=nn.Sequential(*blocks))


def _down(c_in: int, c_out: int) -> nn.Module:
    return nn.Conv2d(c_in, c_out, 4, stride=2, padding=1)


def _same(c_in: int, c_out: int) -> nn.Module:
    return nn.Conv2d(c_in, c_out, 3, padding=1)


def _up(c_in: int, c_out: int) -> nn.Module:
    return nn.ConvTranspose2d(c_in, c_out, 4, stride=2, padding=1)
