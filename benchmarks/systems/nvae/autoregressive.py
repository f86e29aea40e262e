"""The normalising flows of NVAE's posteriors (Vahdat and Kautz, 2020, Section 3.2): z - mu(z).

mu of each number depends only on those before it, in order of rows, columns and channels; or,
mirrored, on those after it in space.
"""

import torch
from torch import Tensor, nn

from benchmarks.systems.nvae.cells import WeightNormConv
from benchmarks.systems.shared.named import named

EXPANSION = 6


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
        self.register_buffer(
            "mask", mask(*shape, side, itself, mirror, depthwise), persistent=False
        )

    def seen_weight(self) -> Tensor:
        return self.weight * self.mask


class _Half(nn.Module):
    """One flow, z - mu(z)."""

    def __init__(self, channels: int, mirror: bool):
        super().__init__()
        wide = EXPANSION * channels
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
