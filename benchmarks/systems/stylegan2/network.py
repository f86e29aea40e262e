"""The generator of StyleGAN2.

Karras et al., 2020, "Analyzing and improving the image quality of StyleGAN".

z -> mapping -> w, one vector for all layers (W) or one for each (W+) -> synthesis -> image. This is
the network of skip connections, whose image is the sum of the contributions of all resolutions; the
tensors have the names of the authors' PyTorch port. Everything is computed in the precision of the
weights: the port's half precision at high resolutions is an optimisation of its own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FIR = (1.0, 3.0, 3.0, 1.0)  # the filter of upsampling, in each direction
UPSAMPLING = 4  # the gain of the filter where three of four pixels are zeros
SLOPE, GAIN = 0.2, math.sqrt(2)  # of leaky ReLU, and the gain that keeps the variance
EPSILON = 1e-8
START = 4  # px, of the constant


@dataclass(frozen=True)
class StyleGAN2Config:
    """`channels` are those of 4, 8, 16, ... px, up to the image's side; `conv_clamp` 0 is none."""

    channels: tuple[int, ...]
    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 8
    mapping_width: int = 512
    lr_multiplier: float = 0.01
    conv_clamp: float = 0.0

    @property
    def resolutions(self) -> list[int]:
        return [START << level for level in range(len(self.channels))]

    @property
    def image_size(self) -> int:
        return self.resolutions[-1]

    @property
    def num_ws(self) -> int:
        """Vectors of w that the synthesis takes: 14 at 256 px."""
        return 2 * len(self.channels)


def fir_filter() -> Tensor:
    """The two-dimensional filter, 4 x 4, of sum 1."""
    row = torch.tensor(FIR, device="cpu")  # also while a network is built without memory
    return torch.outer(row, row) / row.sum().square()


class Generator(nn.Module):
    """StyleGAN2's generator: `mapping` and `synthesis`."""

    def __init__(self, config: StyleGAN2Config):
        super().__init__()
        self.config = config
        self.mapping = Mapping(config)
        self.synthesis = Synthesis(config)


# ----------------------------------------------------------------------------------------------
# z -> w


class Mapping(nn.Module):
    """Normalise z, then fully connected layers; the average of w over many z is stored as `w_avg`."""

    w_avg: Tensor

    def __init__(self, config: StyleGAN2Config):
        super().__init__()
        inner = [config.mapping_width] * (config.mapping_layers - 1)
        widths = [config.z_dim, *inner, config.w_dim]
        self.layers, self.z_dim = config.mapping_layers, config.z_dim
        for i in range(self.layers):
            layer = EqualisedLinear(widths[i], widths[i + 1], 0.0, config.lr_multiplier)
            self.add_module(f"fc{i}", layer)
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def forward(self, z: Tensor, truncation: float = 1.0) -> Tensor:
        """z [N, z_dim] -> w [N, w_dim], pulled towards the average if `truncation` (psi) is below 1."""
        x = z * (z.square().mean(1, keepdim=True) + EPSILON).rsqrt()
        for i in range(self.layers):
            x = F.leaky_relu(self.get_submodule(f"fc{i}")(x), SLOPE) * GAIN
        return x if truncation == 1 else self.w_avg + truncation * (x - self.w_avg)


class EqualisedLinear(nn.Module):
    """A fully connected layer whose weights are scaled when they are used.

    They are stored at N(0, 1 / lr_multiplier^2).
    """

    def __init__(self, inputs: int, outputs: int, bias: float, lr_multiplier: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), bias / lr_multiplier))
        self.scale, self.lr_multiplier = lr_multiplier / math.sqrt(inputs), lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.lr_multiplier)


# ----------------------------------------------------------------------------------------------
# w -> image


class Synthesis(nn.Module):
    """From the constant at 4 px through a block for each resolution.

    Every layer is modulated by its own w.
    """

    def __init__(self, config: StyleGAN2Config):
        super().__init__()
        self.resolutions = config.resolutions
        for level, side in enumerate(self.resolutions):
            inputs = config.channels[level - 1] if level else 0
            self.add_module(f"b{side}", Block(inputs, config.channels[level], side, config))

    def blocks(self) -> "list[Block]":
        return [self.get_submodule(f"b{side}") for side in self.resolutions]  # type: ignore[misc]

    def layers(self) -> "list[Layer]":
        """The layers that take noise, in order."""
        return [layer for block in self.blocks() for layer in block.layers()]

    def noise_maps(self) -> list[Tensor]:
        """The network's own noise maps, one for each of `layers`: r x r."""
        return [layer.noise_const for layer in self.layers()]

    def forward(self, ws: Tensor, noise: Sequence[Tensor] | None) -> Tensor:
        """ws [N, num_ws, w_dim] -> images N x 3 x S x S, nominally in [-1, 1], not clamped.

        `noise` has a map for each of `layers`, r x r or N x 1 x r x r, which is added times the
        layer's strength; None: none.
        """
        maps = iter(noise if noise is not None else [None] * len(self.layers()))
        x, image = None, None
        for level, block in enumerate(self.blocks()):
            # The w of a block's toRGB is also that of the next block's first layer.
            x, image = block(x, image, ws[:, max(0, 2 * level - 1) : 2 * level + 2], maps)
        return image  # type: ignore[return-value]


class Block(nn.Module):
    """The layers of one resolution and their contribution to the image.

    The first has a constant as its input.
    """

    fir: Tensor

    def __init__(self, inputs: int, channels: int, side: int, config: StyleGAN2Config):
        super().__init__()
        self.first = not inputs
        if self.first:
            self.const = nn.Parameter(torch.randn(channels, side, side))
        else:
            self.conv0 = Layer(inputs, channels, side, config, up=True)
            self.register_buffer("fir", UPSAMPLING * fir_filter(), persistent=False)
        self.conv1 = Layer(channels, channels, side, config)
        self.torgb = ToRGB(channels, config)

    def layers(self) -> "list[Layer]":
        return [self.conv1] if self.first else [self.conv0, self.conv1]

    def forward(self, x, image, ws, maps):  # type: ignore[no-untyped-def]
        """Features and image of this resolution.

        Takes features and image so far (None at first), w of each of the layers and of toRGB, noise
        maps in order.
        """
        if self.first:
            x = self.const.expand(len(ws), -1, -1, -1)
        for i, layer in enumerate(self.layers()):
            x = layer(x, ws[:, i], next(maps))
        more = self.torgb(x, ws[:, -1])
        return x, more if image is None else upsampled(image, self.fir) + more


class Layer(nn.Module):
    """A modulated 3 x 3 convolution, noise, bias, leaky ReLU."""

    noise_const: Tensor
    fir: Tensor | None

    def __init__(
        self, inputs: int, outputs: int, side: int, config: StyleGAN2Config, up: bool = False
    ):
        super().__init__()
        self.clamp = config.conv_clamp
        self.affine = EqualisedLinear(config.w_dim, inputs, 1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("noise_const", torch.randn(side, side))
        fir = UPSAMPLING * fir_filter() if up else None
        self.register_buffer("fir", fir, persistent=False)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        x = modulated(x, self.weight, self.affine(w), self.fir)
        if noise is not None:
            x = x + self.noise_strength * noise
        x = F.leaky_relu(x + self.bias[:, None, None], SLOPE) * GAIN
        return x.clamp(-self.clamp, self.clamp) if self.clamp else x


class ToRGB(nn.Module):
    """A modulated 1 x 1 convolution to three colours, without demodulation."""

    def __init__(self, channels: int, config: StyleGAN2Config):
        super().__init__()
        self.clamp = config.conv_clamp
        self.affine = EqualisedLinear(config.w_dim, channels, 1.0)
        self.weight = nn.Parameter(torch.randn(3, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style = self.affine(w) / math.sqrt(self.weight.shape[1])
        image = F.conv2d(x * style[:, :, None, None], self.weight, self.bias)
        return image.clamp(-self.clamp, self.clamp) if self.clamp else image


def modulated(x: Tensor, weight: Tensor, style: Tensor, fir: Tensor | None) -> Tensor:
    """Convolve with weights times `style` [N, inputs], divided by their norm (paper, eq. 1 and 3).

    The factors are applied to the input and to the output, so that one convolution serves the whole
    batch. With a filter `fir` the side is doubled.
    """
    squares = weight.square().sum((2, 3))
    norm = (style.square() @ squares.T + EPSILON).rsqrt()
    x = x * style[:, :, None, None]
    x = F.conv2d(x, weight, padding=1) if fir is None else doubled(x, weight, fir)
    return x * norm[:, :, None, None]


def doubled(x: Tensor, weight: Tensor, fir: Tensor) -> Tensor:
    """A convolution to twice the side: transposed with stride 2 (2 H + 1), then the filter."""
    x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    return filtered(x, fir, padding=1)


def filtered(x: Tensor, fir: Tensor, padding: int) -> Tensor:
    """Convolve each channel with the filter."""
    channels = x.shape[1]
    return F.conv2d(x, fir.expand(channels, 1, -1, -1), padding=padding, groups=channels)


def upsampled(image: Tensor, fir: Tensor) -> Tensor:
    """An image at twice the side: zeros between its pixels, then the filter."""
    kernel = fir.expand(image.shape[1], 1, -1, -1)
    return F.conv_transpose2d(image, kernel, stride=2, padding=1, groups=image.shape[1])
