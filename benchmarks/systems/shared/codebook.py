"""The nearest code of a codebook, as VQ-VAE and VQ-GAN choose it, and replacing unused codes."""

import numpy as np
import torch
from torch import Tensor

from diffae.system.errors import UserError

PIECE = 4096  # vectors at once: with 16,384 codes their distances take 256 MiB
DEAD = 0.05  # a code that fewer vectors choose per step, on average, is replaced


def nearest(maps: Tensor, codebook: Tensor) -> Tensor:
    """The index of the nearest code: N x C x h x w, K x C -> N x h x w (int64).

    Squared distances |z|^2 + |e|^2 - 2 z.e in float32 whatever the precision of the caller; the
    first of equal ones. Half precision would choose different codes.
    """
    indices = [_distances(piece, codebook).argmin(1) for piece in _vectors(maps).split(PIECE)]
    return torch.cat(indices).reshape(maps.movedim(1, -1).shape[:-1])


def of_rank(maps: Tensor, codebook: Tensor, ranks: Tensor) -> Tensor:
    """The index of the code with a given rank by distance, 0 for the nearest: N x h x w (int64).

    `ranks` [N, h, w] has the rank for each vector.

    Raises UserError if a rank is not below the number of codes.
    """
    most = int(ranks.max()) if ranks.numel() else 0
    if most >= len(codebook):
        raise UserError(f"there is no code of rank {most}: the codebook has {len(codebook)}")
    pairs = zip(_vectors(maps).split(PIECE), ranks.reshape(-1, 1).split(PIECE), strict=True)
    indices = []
    for vectors, ranks_of_vectors in pairs:
        ascending = _distances(vectors, codebook).topk(most + 1, largest=False).indices
        indices.append(ascending.gather(1, ranks_of_vectors))
    return torch.cat(indices).reshape(ranks.shape)


def _vectors(maps: Tensor) -> Tensor:
    """N x C x h x w -> (N h w) x C."""
    return maps.movedim(1, -1).reshape(-1, maps.shape[1])


def _distances(vectors: Tensor, codebook: Tensor) -> Tensor:
    """Squared distances of vectors M x C from all codes: M x K."""
    with torch.autocast(vectors.device.type, enabled=False):
        vectors, codes = vectors.float(), codebook.float()
        lengths = vectors.square().sum(1, keepdim=True) + codes.square().sum(1)
        return lengths - 2 * vectors @ codes.T


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
