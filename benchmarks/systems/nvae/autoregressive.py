"""The normalising flows of NVAE's posteriors (Vahdat and Kautz, 2020, Section 3.2): z - mu(z), where mu of each number
depends on those before it only, in order of rows, columns and channels; or, mirrored, of those after it in space."""

import torch
from torch import Tensor, nn

from benchmarks.systems.nvae.cells import WeightNormConv
from benchmarks.systems.shared.named import named

EXPANSION = 6


def channel_mask(c_out: int, c_in: int, itself: bool) -> Tensor:
    """Which inputs [c_out, c_in] an output sees at its own place: those of the numbers before it, or `itself` too.

    Inputs and outputs belong to the same number of steps, min(c_out, c_in), in order.
    """
    steps = min(c_out, c_in)
    step_out = torch.arange(c_out, device="cpu")[:, None] * steps // c_out
    step_in = torch.arange(c_in, device="cpu") * steps // c_in
    return (step_in <= step_out if itself else step_in < step_out).float()


def mask(c_out: int, c_in: int, side: int, itself: bool, mirror: bool, depthwise: bool) -> Tensor:
    """What a kernel [c_out, c_in, side, side] may see: rows above its middle, in its row what lies left of it, and in
    the middle by channels. `mirror` turns space round, the middle's channels stay. No file has it: on the CPU, whatever
    device modules are made on."""
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
    """Its norm is that of what it sees."""

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
    """z - mu(z)."""

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
    """Of what comes before each number, then of what comes after; z is N x C x H x W."""

    def __init__(self, channels: int):
        super().__init__()
        self.cell1 = _Half(channels, mirror=False)
        self.cell2 = _Half(channels, mirror=True)

    def forward(self, z: Tensor) -> Tensor:
        return self.cell2(self.cell1(z))
