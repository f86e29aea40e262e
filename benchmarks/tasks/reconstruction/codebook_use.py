"""How much of its codebooks a system uses on some images.

The measures are the share of codes that occur, and their perplexity.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics.frechet_jackknife import BLOCKS, influences
from benchmarks.plugin import Arrays, Cell, Computation, Record, Selection, Solved
from reports.records.estimate import influences_of


def rows(cell: Cell, at: Solved, images: Selection) -> Iterator[Record]:
    """The rows of each codebook of a system. The share of its codes grows with the images."""
    for name, counts in uses(at, images).items():
        of, total = cell.but(setting=name), counts.sum(0)
        yield of.row("code_bits", math.log2(len(total)))
        yield of.row("codebook_use", float((total > 0).mean()))
        value, influence = perplexity(counts)
        yield of.row("perplexity", value, influences_of(influence, images.units.named("blocks")))


def uses(at: Solved, images: Selection) -> dict[str, NDArray[np.int64]]:
    """How often the images of each jackknife block have each code, [BLOCKS, K] by codebook."""
    books = at.system.codebooks
    if not books or not len(images):
        return {}

    def compute(positions: np.ndarray) -> Arrays:
        tokens = zip(books.items(), at.system.tokens(at.codes(images, positions)), strict=True)
        return {
            f"tokens.{name}": one.cpu().numpy().astype(np.min_scalar_type(size - 1))
            for (name, size), one in tokens
        }

    key = at.context.codes.key("codebooks", at.system, images) | {"tokens of": dict(books)}
    found = Computation("codebooks", key, len(images), compute)
    counts = {name: np.zeros((BLOCKS, size), np.int64) for name, size in books.items()}
    first, blocks = 0, images.units.blocks(BLOCKS)
    for chunk in at.context.store.chunks(found):
        for name, size in books.items():
            tokens = chunk[f"tokens.{name}"]
            counts[name] += _counts(tokens, blocks[first : first + len(tokens)], size)
        first += len(tokens)
    return counts


def perplexity(counts: NDArray[np.int64]) -> tuple[float, NDArray[np.float64]]:
    """The perplexity of codes by their `counts` [BLOCKS, K], and the influence of each block of
    images on it (a jackknife over blocks).
    """
    total = counts.sum(0)
    value = _perplexity(total)
    without = np.array([_perplexity(total - block) for block in counts])
    return value, influences(value, without, counts.sum(1) / max(total.sum(), 1))


def _counts(tokens: NDArray[np.int64], blocks: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Counts of each code in each block [BLOCKS, size].

    Takes tokens N x ... and the block of each image [N].
    """
    each = (tokens[blocks == block].ravel() for block in range(BLOCKS))
    return np.stack([np.bincount(of_block, minlength=size) for of_block in each])


def _perplexity(counts: NDArray[np.int64]) -> float:
    """exp of the entropy of the codes' shares: the number of codes that would have it if used evenly."""
    shares = counts[counts > 0] / max(counts.sum(), 1)
    return float(np.exp(-(shares * np.log(shares)).sum()))
