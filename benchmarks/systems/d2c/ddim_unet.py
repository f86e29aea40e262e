"""The U-Net of DDIM (Song et al., 2021; Ho et al., 2020) under its published names.

It predicts the noise in a map, here in D2C's latents. Every GroupNorm has 32 groups, so all widths
are multiples of 32.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.systems.shared.named import named

GROUPS, GROUP_NORM_EPS = 32, 1e-6
LONGEST_PERIOD = 10_000.0


def time_embedding(t: Tensor, width: int) -> Tensor:
    """Embed steps: N -> N x width.

    Sines, then cosines, of a step times `width` / 2 frequencies from 1 down to 1/10,000.
    """
    half = width // 2
    fall = math.log(LONGEST_PERIOD) / (half - 1)
    angles = t[:, None] * torch.exp(-fall * torch.arange(half, device=t.device, dtype=t.dtype))
    return torch.cat((angles.sin(), angles.cos()), dim=1)


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(GROUPS, channels, eps=GROUP_NORM_EPS)


class _Block(nn.Module):
    """Two convolutions, with the step added in between, and a skip connection."""

    def __init__(self, c_in: int, c_out: int, c_time: int):
        super().__init__()
        self.norm1, self.norm2 = _norm(c_in), _norm(c_out)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        self.temb_proj = nn.Linear(c_time, c_out)
        if c_in != c_out:
            self.nin_shortcut = nn.Conv2d(c_in, c_out, 1)
        self.changes_width = c_in != c_out

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.temb_proj(F.silu(time))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (self.nin_shortcut(x) if self.changes_width else x)


class _Attention(nn.Module):
    """Attention over all positions, with one head."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = _norm(channels)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        projections = (self.q(h), self.k(h), self.v(h))
        q, k, v = (projected.flatten(2).transpose(1, 2) for projected in projections)
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
        return x + self.proj_out(seen)


def _down(channels: int) -> nn.Module:
    """A convolution that halves the side; padding is zeros on the right and below."""
    conv = nn.Conv2d(channels, channels, 3, stride=2)
    return named(edge=nn.ZeroPad2d((0, 1, 0, 1)), conv=conv)


def _up(channels: int) -> nn.Module:
    larger = nn.Upsample(scale_factor=2, mode="nearest")
    return named(larger=larger, conv=nn.Conv2d(channels, channels, 3, padding=1))


class _Level(nn.Module):
    """The blocks of one resolution, each followed by an attention if the level has any.

    All levels but the last end with the change to the next resolution.
    """

    def __init__(self, widths: Sequence[tuple[int, int]], c_time: int, attends: bool):
        super().__init__()
        self.block = nn.ModuleList(_Block(c_in, c_out, c_time) for c_in, c_out in widths)
        self.attn = nn.ModuleList(_Attention(c_out) for _, c_out in widths if attends)
        self.downsample: nn.Module | None = None
        self.upsample: nn.Module | None = None

    def step(self, i: int, x: Tensor, time: Tensor) -> Tensor:
        x = self.block[i](x, time)
        return self.attn[i](x) if self.attn else x


def _levels(modules: nn.ModuleList) -> list[_Level]:
    return [module for module in modules if isinstance(module, _Level)]


class DDIMUNet(nn.Module):
    """The U-Net: maps of N x c x S x S, S divisible by two at every level but the last.

    `mult`: width of each level, in `channels`; `blocks` of each level of the encoder, one more in
    the decoder; `attends`: which levels have attention.
    """

    def __init__(
        self, c: int, channels: int, mult: Sequence[int], blocks: int, attends: Sequence[bool]
    ):
        super().__init__()
        c_time, self.channels = 4 * channels, channels
        # The embedding of the step, four times as wide as the network.
        dense = nn.ModuleList([nn.Linear(channels, c_time), nn.Linear(c_time, c_time)])
        self.temb = nn.ModuleDict({"dense": dense})
        self.conv_in = nn.Conv2d(c, channels, 3, padding=1)
        widths = [channels * m for m in mult]
        self.down = nn.ModuleList()
        kept = [channels]  # widths of the skip connections to the decoder
        now = channels
        for level, width in enumerate(widths):
            pairs = [(now, width)] + [(width, width)] * (blocks - 1)
            self.down.append(_Level(pairs, c_time, attends[level]))
            kept += [width] * blocks
            now = width
            if level + 1 < len(widths):
                self.down[-1].downsample = _down(width)
                kept.append(width)
        first = {"block_1": _Block(now, now, c_time), "attn_1": _Attention(now)}
        self.mid = nn.ModuleDict(first | {"block_2": _Block(now, now, c_time)})
        self.up = nn.ModuleList()
        for level, width in reversed(list(enumerate(widths))):
            pairs = []
            for _ in range(blocks + 1):
                pairs.append((now + kept.pop(), width))
                now = width
            self.up.insert(0, _Level(pairs, c_time, attends[level]))
            if level > 0:
                self.up[0].upsample = _up(width)
        self.norm_out = _norm(now)
        self.conv_out = nn.Conv2d(now, c, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """The noise in x at steps t [N], floating-point numbers from 0."""
        first, second = self.temb["dense"].children()
        time = second(F.silu(first(time_embedding(t, self.channels))))
        h = self.conv_in(x)
        kept = [h]
        for level in _levels(self.down):
            for i in range(len(level.block)):
                h = level.step(i, h, time)
                kept.append(h)
            if level.downsample is not None:
                h = level.downsample(h)
                kept.append(h)
        h = self.mid["block_2"](self.mid["attn_1"](self.mid["block_1"](h, time)), time)
        for level in reversed(_levels(self.up)):
            for i in range(len(level.block)):
                h = level.step(i, torch.cat((h, kept.pop()), dim=1), time)
            if level.upsample is not None:
                h = level.upsample(h)
        return self.conv_out(F.silu(self.norm_out(h)))
