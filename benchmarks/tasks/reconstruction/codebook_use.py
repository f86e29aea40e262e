"""How much of its codebooks a system uses on some images.

The measures are the share of codes that occur, and their perplexity.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics.frechet_jackknife import BLOCKS, influences
from benchmarks.plugin import Arrays, Cell, Computation, Row, Selection, Solved
from benchmarks.runtime.digest import digest
from reports.records.uncertainty import of_influences


def rows(cell: Cell, at: Solved, images: Selection) -> Iterator[Row]:
    """The rows of each codebook of a system. The share of its codes grows with the images."""
    for name, counts in uses(at, images).items():
        of, total = cell.but(setting=name), counts.sum(0)
        yield of.row("code_bits", math.log2(len(total)))
        yield of.row("codebook_use", float((total > 0).mean()))
        value, influence = perplexity(counts)
        yield of.row("perplexity", value, of_influences(influence, images.units("blocks")))


def uses(at: Solved, images: Selection) -> dict[str, NDArray[np.int64]]:
    """How often the images of each jackknife block have each code, [BLOCKS, K] by codebook."""
    books = at.system.codebooks
    if not books or not len(images):
        return {}
    blocks = images.blocks(BLOCKS)

    def compute(positions: np.ndarray) -> Arrays:
        tokens = zip(books.items(), at.system.tokens(at.codes(images, positions)), strict=True)
        return {
            f"counts.{name}": _counts(one.cpu().numpy(), blocks[positions], size)
            for (name, size), one in tokens
        }

    key = at.context.codes.key("codebooks", at.system, images)
    # which block an image lies in depends on all images, not on those of a chunk alone
    key |= {"blocks": digest(blocks), "books": dict(books)}
    counted = Computation("codebooks", key, len(images), compute)
    chunks = list(at.context.store.chunks(counted))
    return {name: np.sum([chunk[f"counts.{name}"] for chunk in chunks], axis=0) for name in books}


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
    flat = tokens.reshape(len(tokens), -1)
    cells = (blocks[:, None] * size + flat).ravel()
    return np.bincount(cells, minlength=BLOCKS * size).reshape(BLOCKS, size)


def _perplexity(counts: NDArray[np.int64]) -> float:
    """exp of the entropy of the codes' shares: the number of codes that would have it if used evenly."""
    shares = counts[counts > 0] / max(counts.sum(), 1)
    return float(np.exp(-(shares * np.log(shares)).sum()))
