"""The nearest code of a codebook, as VQ-VAE and VQ-GAN choose it, and replacing unused codes."""

import numpy as np
import torch
from torch import Tensor

PIECE = 4096  # vectors at once: with 16,384 codes their distances take 256 MiB
DEAD = 0.05  # vectors per step that choose a code, on average, below which it is replaced


def nearest(maps: Tensor, codebook: Tensor) -> Tensor:
    """The index of the nearest code: N x C x h x w, K x C -> N x h x w (int64).

    Squared distances |z|^2 + |e|^2 - 2 z.e in float32 whatever the precision of the caller; the
    first of equal ones. Half precision would choose different codes.
    """
    with torch.autocast(maps.device.type, enabled=False):
        vectors = maps.movedim(1, -1)
        codes = codebook.float()
        found = [
            _nearest(piece, codes) for piece in vectors.reshape(-1, maps.shape[1]).split(PIECE)
        ]
    return torch.cat(found).reshape(vectors.shape[:-1])


def _nearest(vectors: Tensor, codes: Tensor) -> Tensor:
    vectors = vectors.float()
    lengths = vectors.square().sum(1, keepdim=True) + codes.square().sum(1)
    return torch.argmin(lengths - 2 * vectors @ codes.T, dim=1)


def look_up(indices: Tensor, codebook: Tensor) -> Tensor:
    """The code vectors of indices: N x h x w, K x C -> N x C x h x w."""
    return codebook[indices].movedim(-1, 1).contiguous()


@torch.no_grad()
def replace_dead_codes(
    codes: Tensor, usage: Tensor, vectors: Tensor, noise: np.random.Generator
) -> None:
    """Replace the codes (K x C) whose `usage` (K) is below DEAD, in place.

    They become some of the `vectors` M x C, drawn by `noise`.
    """
    dead = usage < DEAD
    chosen = torch.from_numpy(noise.integers(len(vectors), size=len(dead))).to(vectors.device)
    codes[dead] = vectors[chosen][dead]
    usage[dead] = 1.0
