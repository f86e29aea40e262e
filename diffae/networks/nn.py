"""Building blocks of the UNet and of the semantic encoder (paper, Section 3 and Appendix A).

Modules and parameters carry the names of the authors' checkpoints, so that their weights load as
they are.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


def timestep_embedding(t: Tensor, dim: int) -> Tensor:
    """Sinusoidal embedding of integer timesteps: N -> N x dim, cosines first, then sines."""
    half = dim // 2
    places = torch.arange(half, dtype=torch.float32, device=t.device)
    frequencies = torch.exp(-math.log(10_000) * places / half)
    angles = t[:, None].float() * frequencies[None]
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class GroupNorm(nn.GroupNorm):
    """Group normalisation computed in float32 at least, whatever the dtype of the input."""

    def __init__(self, channels: int, groups: int):
        super().__init__(min(groups, channels), channels)

    def forward(self, input: Tensor) -> Tensor:
        if _sums_in_float32(input):
            return super().forward(input)
        wide = torch.promote_types(input.dtype, torch.float32)
        return super().forward(input.to(wide)).to(input.dtype)


def _sums_in_float32(x: Tensor) -> bool:
    """Whether PyTorch's kernel accumulates bfloat16 in float32, and is faster than with casts.

    This holds on the CPU, except for channels last below 1,024 pixels, where the kernel is five
    times slower than with casts.
    """
    if x.dtype != torch.bfloat16 or x.device.type != "cpu":
        return False
    return x.is_contiguous() or x.shape[2:].numel() >= 1024


class SiLU(nn.SiLU):
    """SiLU of a tensor that is not used elsewhere: in place where no gradient is recorded."""

    def forward(self, input: Tensor) -> Tensor:
        return F.silu(input, inplace=not input.requires_grad)


class Dropout(nn.Dropout):
    """Dropout whose mask belongs to an example, if `keys` has a number for each of them.

    The mask is then the same in any batch, and when the block is recomputed for its gradient.
    Without `keys` it is PyTorch's dropout.
    """

    keys: Sequence[int] | None = None

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.p == 0 or self.keys is None:
            return super().forward(input)
        source = torch.Generator(input.device)
        mask = torch.empty(input.shape, dtype=input.dtype, device=input.device)
        for example_mask, key in zip(mask, self.keys, strict=True):
            example_mask.bernoulli_(1 - self.p, generator=source.manual_seed(key))
        return input * mask.div_(1 - self.p)


def _scaled(h: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """scale h + shift, written into `h`, which is not used elsewhere, where no gradient is recorded."""
    recorded = h.requires_grad or scale.requires_grad or shift.requires_grad
    # The compiler does not support `out`, and plans memory itself.
    apart = recorded or torch.compiler.is_compiling()
    return torch.addcmul(shift, h, scale, out=None if apart else h)


def _sum(x: Tensor, h: Tensor) -> Tensor:
    """x + h, written into `h`, which is not used elsewhere, where no gradient is recorded."""
    return x + h if x.requires_grad or h.requires_grad else h.add_(x)


def zero_init(module: nn.Conv1d | nn.Conv2d) -> nn.Module:
    nn.init.zeros_(module.weight)
    if module.bias is not None:
        nn.init.zeros_(module.bias)
    return module


def resample(x: Tensor, direction: str | None) -> Tensor:
    if direction == "down":
        return F.avg_pool2d(x, 2)
    if direction == "up":
        return F.interpolate(x, scale_factor=2.0, mode="nearest")
    return x


def enlarged_conv(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """`conv` (3 x 3) of upsampled `x`, without upsampling: 16 products for four pixels instead of 36.

    The four pixels are equal, so the weights that apply to them are summed first: the 3 x 3 kernel
    becomes one of 4 x 4, and the whole a transposed convolution, for which the kernel is mirrored.
    """
    kernel = F.avg_pool2d(conv.weight.flip(2, 3), 2, stride=1, padding=1, divisor_override=1)
    # Turned as a matrix, which for channels last is seven times faster than as O x I x 4 x 4.
    turned = kernel.permute(0, 2, 3, 1).flatten(0, 2).t().contiguous()
    turned = turned.unflatten(1, (conv.out_channels, 4, 4))
    return F.conv_transpose2d(x, turned, conv.bias, stride=2, padding=1)


class ResBlock(nn.Module):
    """Residual block, with adaptive group normalisation if it is given a time embedding.

    AdaGN(h, t, z) = (1 + z_s) ((1 + t_s) GroupNorm(h) + t_b)      (paper, Eq. 7, with the authors' "1 +")

    Without `embed_channels` (the semantic encoder) only the first half remains: norm, SiLU,
    convolution.
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        groups: int,
        dropout: float = 0.0,
        embed_channels: int | None = None,
        z_channels: int | None = None,
        direction: str | None = None,
    ):
        super().__init__()
        self.direction = direction
        self.in_layers = nn.Sequential(
            GroupNorm(channels, groups), SiLU(), nn.Conv2d(channels, out_channels, 3, padding=1)
        )
        self.conditional = embed_channels is not None
        if embed_channels is not None:
            self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embed_channels, 2 * out_channels))
            self.out_layers = nn.Sequential(
                GroupNorm(out_channels, groups),
                SiLU(),
                Dropout(dropout),
                zero_init(nn.Conv2d(out_channels, out_channels, 3, padding=1)),
            )
        if z_channels is not None:
            self.cond_emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(z_channels, out_channels))
        same = channels == out_channels
        self.skip_connection = nn.Identity() if same else nn.Conv2d(channels, out_channels, 1)

    def forward(self, x: Tensor, emb: Tensor | None = None, z: Tensor | None = None) -> Tensor:
        norm, activation, conv = self.in_layers
        h = activation(norm(x))
        if self.direction == "up":
            h = enlarged_conv(h, conv)  # type: ignore[arg-type]
        else:
            h = conv(resample(h, self.direction))
        if emb is not None:
            _, activation, dropout, conv = self.out_layers
            h = conv(dropout(activation(self._adaptive_norm(h, emb, z))))
        return _sum(self.skip_connection(resample(x, self.direction)), h)

    def _adaptive_norm(self, h: Tensor, emb: Tensor, z: Tensor | None) -> Tensor:
        t_scale, t_shift = self.emb_layers(emb)[:, :, None, None].chunk(2, dim=1)
        if z is None:
            scale, shift = 1 + t_scale, t_shift
        else:
            z_scale = 1 + self.cond_emb_layers(z)[:, :, None, None]
            scale, shift = z_scale * (1 + t_scale), z_scale * t_shift
        return _scaled(self.out_layers[0](h), scale, shift)


class AttentionBlock(nn.Module):
    """Self-attention over all pixels with one head, residual."""

    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.norm = GroupNorm(channels, groups)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)
        zero_init(self.proj_out)

    def forward(self, x: Tensor) -> Tensor:
        # N x HW x C: a view, if x is channels last
        tokens = self.norm(x).flatten(2).transpose(1, 2)
        q, k, v = _each(self.qkv, tokens).chunk(3, dim=-1)
        h = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        return _sum(x, _each(self.proj_out, h).transpose(1, 2).reshape(x.shape))


def _each(conv: nn.Conv1d, tokens: Tensor) -> Tensor:
    """Apply a convolution of kernel size 1 to tokens, N x L x C.

    Fused attention needs contiguous channels.
    """
    return F.linear(tokens, conv.weight.squeeze(-1), conv.bias)


class _Uninitialised(TorchFunctionMode):
    """Functions that give a tensor its initial values do nothing."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Collection[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        module = getattr(func, "__module__", None)
        if module == "torch.nn.init" or func in (Tensor.normal_, Tensor.uniform_):
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


@contextmanager
def without_weights(device: str = "meta") -> Iterator[None]:
    """Within the block, new modules get no initial weights, and on the meta device no memory.

    It is for modules whose weights are loaded afterwards. No random numbers are drawn.
    """
    with torch.device(device), _Uninitialised():
        yield


@contextmanager
def evaluating(module: nn.Module | None) -> Iterator[None]:
    """Within the block, `module` and its submodules are in evaluation mode.

    Afterwards each mode is restored.
    """
    training = [] if module is None else [part for part in module.modules() if part.training]
    try:
        for part in training:
            part.training = False
        yield
    finally:
        for part in training:
            part.training = True
