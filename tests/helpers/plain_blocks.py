"""The building blocks of the networks by their formulas, in plain operations, to compare with."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffae.networks.nn import AttentionBlock, ResBlock, resample


def awake(module: nn.Module) -> nn.Module:
    """With weights of one size everywhere: the layers that start at zero count too."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module


def norm(x: Tensor, layer: nn.Module) -> Tensor:
    return F.group_norm(x, 4, layer.weight, layer.bias)


def residual(block: ResBlock, x: Tensor, emb: Tensor, z: Tensor | None = None) -> Tensor:
    """Equation 7 of the paper."""
    h = block.in_layers[2](resample(F.silu(norm(x, block.in_layers[0])), block.direction))
    t_s, t_b = block.emb_layers[1](F.silu(emb))[:, :, None, None].chunk(2, dim=1)
    h = (1 + t_s) * norm(h, block.out_layers[0]) + t_b
    if z is not None:
        h = (1 + block.cond_emb_layers[1](F.silu(z)))[:, :, None, None] * h
    return block.skip_connection(resample(x, block.direction)) + block.out_layers[3](F.silu(h))


def attention(block: AttentionBlock, x: Tensor) -> Tensor:
    """One head over all pixels."""
    q, k, v = block.qkv(norm(x, block.norm).flatten(2)).chunk(3, dim=1)
    weights = torch.softmax(q.transpose(1, 2) @ k / math.sqrt(q.shape[1]), dim=-1)
    return x + block.proj_out(v @ weights.transpose(1, 2)).reshape(x.shape)
