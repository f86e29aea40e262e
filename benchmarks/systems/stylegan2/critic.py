"""The discriminator of StyleGAN2: residual blocks, and the deviation between the images of a batch.

Karras et al., 2020, Section 4 and figure 7; the statistic over a batch is that of Karras et al.,
2018, Section 3. Weights are scaled when they are used, as the generator's are.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.systems.stylegan2.network import GAIN, SLOPE, START, Linear, filtered, fir_filter

ALIKE = 4  # images whose deviation is taken together


class Discriminator(nn.Module):
    """A score for each image, high if it looks real; `channels` are those at 4, 8, ... px."""

    def __init__(self, channels: tuple[int, ...]):
        super().__init__()
        down = channels[::-1]
        self.from_rgb = Convolution(3, down[0], 1)
        self.blocks = nn.Sequential(*(_Halving(a, b) for a, b in pairwise(down)))
        self.last = Convolution(down[-1] + 1, down[-1], 3)
        self.dense = Linear(down[-1] * START**2, down[-1], 0.0)
        self.out = Linear(down[-1], 1, 0.0)

    def forward(self, images: Tensor) -> Tensor:
        """Images N x 3 x S x S in [-1, 1] -> [N]."""
        x = self.last(with_deviation(self.blocks(self.from_rgb(images))))
        x = F.leaky_relu(self.dense(x.flatten(1)), SLOPE) * GAIN
        return self.out(x)[:, 0]


class Convolution(nn.Module):
    """A convolution whose weights are stored at N(0, 1).

    It has a bias and leaky ReLU unless it is `linear`; the filter precedes a stride.
    """

    fir: Tensor | None

    def __init__(self, inputs: int, outputs: int, side: int, stride: int = 1, linear: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, side, side))
        self.bias = None if linear else nn.Parameter(torch.zeros(outputs))
        self.scale, self.stride = 1 / math.sqrt(inputs * side**2), stride
        self.register_buffer("fir", fir_filter() if stride > 1 else None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        side = self.weight.shape[2]
        if self.fir is not None:  # its output has one more row for 3 x 3
            x = filtered(x, self.fir, padding=2 if side == 3 else 1)
        padding = side // 2 if self.stride == 1 else 0
        x = F.conv2d(x, self.weight * self.scale, self.bias, self.stride, padding)
        return x if self.bias is None else F.leaky_relu(x, SLOPE) * GAIN


class _Halving(nn.Module):
    """Two convolutions, of which the second halves the side, plus one of 1 x 1 as a shortcut."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first = Convolution(inputs, inputs, 3)
        self.second = Convolution(inputs, outputs, 3, stride=2)
        self.beside = Convolution(inputs, outputs, 1, stride=2, linear=True)

    def forward(self, x: Tensor) -> Tensor:
        return (self.second(self.first(x)) + self.beside(x)) / math.sqrt(2)


def with_deviation(x: Tensor) -> Tensor:
    """x [N, C, H, W] with one more channel: the mean standard deviation in groups of images.

    Groups have ALIKE images of the batch, every (N / ALIKE)-th; a batch that is no multiple of
    ALIKE is one group.
    """
    count = ALIKE if len(x) % ALIKE == 0 else len(x)
    groups = x.reshape(count, -1, *x.shape[1:])
    deviation = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
    channel = deviation.repeat(count)[:, None, None, None].expand(-1, 1, *x.shape[2:])
    return torch.cat([x, channel], 1)
