"""Sizes of codes, and how much of its codebooks a system uses on some images.

The measures are the share of codes that occur, and the perplexity of their shares.
"""

import math

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics.group import Group
from benchmarks.metrics.sets.jackknife import BLOCKS, influences
from benchmarks.metrics.units import Units
from reports.records.estimate import Estimate, influences_of

Counts = NDArray[np.int64]


def sizes(numbers: float, bits: float | None, side: int) -> dict[str, Estimate]:
    """The size of a code of so many `numbers`, as papers count it, beside images of `side` px.

    `bits` are those of a quantised code, None of others.
    """
    values = {"latent_dim": numbers, "compression": 3 * side**2 / numbers}
    if bits is not None:
        values |= {"code_bits": bits, "bits_per_pixel": bits / side**2}
    estimates = {metric: Estimate(value) for metric, value in values.items()}
    if bits is None:
        why = "not quantised: its code is of real numbers"
        estimates["bits_per_pixel"] = Estimate(None, why=why)
    return estimates


def use(counts: Counts, units: Units) -> dict[str, Estimate]:
    """How a codebook of K codes is used, from `counts` [BLOCKS, K]: how often the images of each block
    have each code. The share of its codes grows with the images.

    The error of the perplexity is a jackknife over blocks of images.
    """
    total = counts.sum(0)
    perplexity = _perplexity(total)
    without = np.array([_perplexity(total - block) for block in counts])
    of_blocks = influences(perplexity, without, counts.sum(1) / max(total.sum(), 1))
    return {
        "code_bits": Estimate(math.log2(len(total))),
        "codebook_use": Estimate(float((total > 0).mean())),
        "perplexity": Estimate(perplexity, influences_of(of_blocks, units.named("blocks"))),
    }


def count_codes(tokens: NDArray[np.integer], blocks: Counts, size: int) -> Counts:
    """Counts of each of `size` codes in each block [BLOCKS, size].

    Takes tokens N x ... and the block of each image [N].
    """
    tokens_of_blocks = (tokens[blocks == block].ravel() for block in range(BLOCKS))
    return np.stack([np.bincount(codes, minlength=size) for codes in tokens_of_blocks])


def _perplexity(counts: Counts) -> float:
    """exp of the entropy of the codes' shares: the number of codes that would have it if used evenly."""
    shares = counts[counts > 0] / max(counts.sum(), 1)
    return float(np.exp(-(shares * np.log(shares)).sum()))


GROUPS = (
    Group(("latent_dim", "compression", "code_bits", "bits_per_pixel"), "a system", sizes),
    Group(("codebook_use", "perplexity"), "codes", use),
)
