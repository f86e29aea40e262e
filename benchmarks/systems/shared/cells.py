"""The cells of NVAE (Vahdat and Kautz, 2020, Section 3.2), which D2C's autoencoder uses too.

Modules and parameters have the names of the published code, so that its tensors load unchanged. All
maps are N x C x H x W.
"""

from collections.abc import Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.systems.shared.named import named

NORM_EPS = 1e-5  # added to the norm of a kernel, not under its root
BATCH_NORM_EPS, BATCH_NORM_MOMENTUM = 1e-5, 0.05
RESIDUAL = 0.1  # scale of what a cell adds to its input
DECODER_EXPANSION, POST_EXPANSION, FLOW_EXPANSION = 6, 3, 6


class WeightNormConv(nn.Conv2d):
    """A convolution with weight norm: the kernel is exp(log_weight_norm) w / (||w|| + 1e-5).

    The norm is over all inputs of an output. Sides are kept at stride 1.
    """

    def __init__(
        self, c_in: int, c_out: int, side: int, stride: int = 1, groups: int = 1, bias: bool = True
    ):
        super().__init__(c_in, c_out, side, stride, side // 2, groups=groups, bias=bias)
        self.log_weight_norm = nn.Parameter(torch.zeros(c_out, 1, 1, 1))

    def seen_weight(self) -> Tensor:
        """w; a masked convolution uses a part of it."""
        return self.weight

    def norm(self) -> Tensor:
        return self.seen_weight().flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)

    def kernel(self) -> Tensor:
        return self.log_weight_norm.exp() * self.seen_weight() / (self.norm() + NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.kernel(), self.bias)


def start_norms(network: nn.Module) -> None:
    """Set each log_weight_norm of a new network so that its kernels equal w as initialised."""
    for module in network.modules():
        if isinstance(module, WeightNormConv):
            module.log_weight_norm.data = module.norm().detach().clamp(min=1e-3).log()


class BatchNorm(nn.BatchNorm2d):
    """A batch norm with a count of batches, which files need not have.

    The count is on the CPU, whatever device modules are made on.
    """

    def __init__(self, channels: int):
        super().__init__(channels, eps=BATCH_NORM_EPS, momentum=BATCH_NORM_MOMENTUM)
        self.num_batches_tracked = torch.zeros((), dtype=torch.long, device="cpu")


class BatchNormSwish(BatchNorm):
    """Batch norm, then swish (x sigmoid x): one module in the published code."""

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(super().forward(x))


def norm_conv(c_in: int, c_out: int, stride: int = 1) -> nn.Module:
    """Batch norm, swish, 3 x 3 convolution: the encoder's operation, of which a cell has two."""
    return named(bn_act=BatchNormSwish(c_in), conv_0=WeightNormConv(c_in, c_out, 3, stride))


def depthwise(c_in: int, c_out: int, expansion: int, up: bool) -> nn.Module:
    """The decoder's operation, of which a cell has one.

    `expansion` times the channels, a depthwise 5 x 5 convolution, and back; twice the side with
    `up`. These convolutions have neither weight norm nor bias.
    """
    wide = expansion * c_in

    def swished(inputs: int, side: int, groups: int) -> nn.Module:
        conv = nn.Conv2d(inputs, wide, side, padding=side // 2, groups=groups, bias=False)
        return named(conv=nn.Sequential(conv, BatchNormSwish(wide)))

    operations = nn.Sequential(
        *([nn.Upsample(scale_factor=2, mode="nearest")] if up else []),
        named(bn=BatchNorm(c_in)),
        swished(c_in, 1, groups=1),
        swished(wide, 5, groups=wide),
        nn.Conv2d(wide, c_out, 1, bias=False),
        named(bn=BatchNorm(c_out)),
    )
    return named(conv=operations)


class SqueezeExcite(nn.Module):
    """Each channel times a number in (0, 1) computed from the means of all channels (Hu et al., 2018)."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = max(channels // 16, 4)
        self.se = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.se(x.mean(dim=(2, 3)))[:, :, None, None]


class FactorizedReduce(nn.Module):
    """Half the side, by four 1 x 1 convolutions, whose outputs are concatenated.

    Each takes one position of every 2 x 2 square. Slices take the place of a stride of 2: with AVX2
    and fewer than 8 channels oneDNN writes the gradient of a strided 1 x 1 convolution beyond its
    memory (uxlfoundation/oneDNN#6035).
    """

    def __init__(self, c_in: int, c_out: int):
        super().__init__()
        quarter = c_out // 4
        self.conv_1, self.conv_2, self.conv_3 = (WeightNormConv(c_in, quarter, 1) for _ in range(3))
        self.conv_4 = WeightNormConv(c_in, c_out - 3 * quarter, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(x)
        seen = (
            self.conv_1(x[:, :, ::2, ::2]),
            self.conv_2(x[:, :, 1::2, 1::2]),
            self.conv_3(x[:, :, ::2, 1::2]),
            self.conv_4(x[:, :, 1::2, ::2]),
        )
        return torch.cat(seen, dim=1)


class NVAECell(nn.Module):
    """skip(x) + 0.1 SE(operations(x)). `squeeze`: whether it has an SE."""

    def __init__(
        self, skip: nn.Module, operations: Sequence[nn.Module], channels: int, squeeze: bool
    ):
        super().__init__()
        self.skip = skip
        self._ops = nn.ModuleList(operations)
        self.se: nn.Module = SqueezeExcite(channels) if squeeze else nn.Identity()

    @classmethod
    def encoding(cls, channels: int, squeeze: bool) -> Self:
        operations = [norm_conv(channels, channels) for _ in range(2)]
        return cls(nn.Identity(), operations, channels, squeeze)

    @classmethod
    def down(cls, c_in: int, squeeze: bool) -> Self:
        """Half the side, twice the channels."""
        c_out = 2 * c_in
        operations = [norm_conv(c_in, c_out, stride=2), norm_conv(c_out, c_out)]
        return cls(FactorizedReduce(c_in, c_out), operations, c_out, squeeze)

    @classmethod
    def decoding(cls, channels: int, squeeze: bool, expansion: int = DECODER_EXPANSION) -> Self:
        operation = depthwise(channels, channels, expansion, up=False)
        return cls(nn.Identity(), [operation], channels, squeeze)

    @classmethod
    def up(cls, c_in: int, squeeze: bool, expansion: int = DECODER_EXPANSION) -> Self:
        """Twice the side, half the channels."""
        c_out = c_in // 2
        larger = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        skip = nn.Sequential(larger, WeightNormConv(c_in, c_out, 1, bias=False))
        return cls(skip, [depthwise(c_in, c_out, expansion, up=True)], c_out, squeeze)

    def forward(self, x: Tensor) -> Tensor:
        seen = self.skip(x)
        for operation in self._ops:
            x = operation(x)
        return seen + RESIDUAL * self.se(x)


def falling(width: int, cells: Sequence[int], squeeze: bool) -> nn.Sequential:
    """The given number of cells at each scale, and between scales one that halves the side."""
    tower = nn.Sequential()
    for scale, count in enumerate(cells):
        if scale:
            tower.append(NVAECell.down(width, squeeze))
            width *= 2
        tower.extend(NVAECell.encoding(width, squeeze) for _ in range(count))
    return tower


def rising(
    width: int, cells: Sequence[int], squeeze: bool, expansion: int = DECODER_EXPANSION
) -> nn.Sequential:
    """The given number of cells at each scale, and between scales one that doubles the side."""
    tower = nn.Sequential()
    for scale, count in enumerate(cells):
        if scale:
            tower.append(NVAECell.up(width, squeeze, expansion))
            width //= 2
        tower.extend(NVAECell.decoding(width, squeeze, expansion) for _ in range(count))
    return tower


def to_bits(images: Tensor, bits: int) -> Tensor:
    """Images in [-1, 1] as the published code takes them: in [0, 1], with `bits` bits.

    Fewer than eight are the highest of eight, floor(v / 2^(8 - bits)) / (2^bits - 1) of integer
    grey levels v. The image is first rounded to grey levels: in float32, 8, 16, 24, ... would
    become a level too low on conversion to [-1, 1] and back.
    """
    if bits == 8:
        return (images + 1) / 2
    grey_levels = ((images + 1) * 127.5).round().clamp(0, 255)
    return (grey_levels / 2 ** (8 - bits)).floor() / (2**bits - 1)


# ----------------------------------------------------------------------------------------------
# The normalising flows of the posteriors: z - mu(z). mu of each number depends only on those before it, in order of rows,
# columns and channels; or, mirrored, on those after it in space.


def channel_mask(c_out: int, c_in: int, itself: bool) -> Tensor:
    """Mask of inputs [c_out, c_in] that an output sees at its own position.

    These are the numbers before it, with `itself` also its own. Inputs and outputs are divided into
    the same number of steps, min(c_out, c_in), in order.
    """
    steps = min(c_out, c_in)
    step_out = torch.arange(c_out, device="cpu")[:, None] * steps // c_out
    step_in = torch.arange(c_in, device="cpu") * steps // c_in
    return (step_in <= step_out if itself else step_in < step_out).float()


def mask(c_out: int, c_in: int, side: int, itself: bool, mirror: bool, depthwise: bool) -> Tensor:
    """Mask of a kernel [c_out, c_in, side, side].

    It sees the rows above its middle, in its own row what lies to the left, and in the middle by
    channels. `mirror` mirrors space, but not the channels of the middle. It is not stored in files:
    it is made on the CPU, whatever device modules are made on.
    """
    seen = torch.zeros(c_out, c_in, side, side, device="cpu")
    middle = side // 2
    seen[:, :, :middle] = 1
    seen[:, :, middle, :middle] = 1
    if mirror:
        seen = seen.flip((2, 3))
    by_channels = float(itself) if depthwise else channel_mask(c_out, c_in, itself)
    seen[:, :, middle, middle] = by_channels
    return seen


class MaskedConv(WeightNormConv):
    """A masked convolution; its weight norm is that of the unmasked part."""

    mask: Tensor

    def __init__(
        self, c_in: int, c_out: int, side: int, itself: bool, mirror: bool, depthwise: bool = False
    ):
        super().__init__(c_in, c_out, side, groups=c_in if depthwise else 1, bias=side == 1)
        shape = c_out, self.weight.shape[1]
        seen = mask(*shape, side, itself, mirror, depthwise)
        self.register_buffer("mask", seen, persistent=False)

    def seen_weight(self) -> Tensor:
        return self.weight * self.mask


class _Half(nn.Module):
    """One flow, z - mu(z)."""

    def __init__(self, channels: int, mirror: bool):
        super().__init__()
        wide = FLOW_EXPANSION * channels
        hidden = nn.Sequential(
            MaskedConv(channels, wide, 3, itself=False, mirror=mirror),
            nn.ELU(),
            MaskedConv(wide, wide, 5, itself=True, mirror=mirror, depthwise=True),
            nn.ELU(),
        )
        self.conv = named(convz=hidden)
        last = MaskedConv(wide, channels, 1, itself=True, mirror=mirror)
        self.mu = named(elu=nn.ELU(), conv_0=last)  # one ELU more

    def forward(self, z: Tensor) -> Tensor:
        return z - self.mu(self.conv(z))


class Flow(nn.Module):
    """Two flows: by what comes before each number, then by what comes after; z is N x C x H x W."""

    def __init__(self, channels: int):
        super().__init__()
        self.cell1 = _Half(channels, mirror=False)
        self.cell2 = _Half(channels, mirror=True)

    def forward(self, z: Tensor) -> Tensor:
        return self.cell2(self.cell1(z))
