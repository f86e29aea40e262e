"""How much of its codebooks a system uses on some images.

The measures are the share of codes that occur, and their perplexity.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.core.images import Selection
from benchmarks.core.measurement import Solved
from benchmarks.core.store import Arrays
from benchmarks.metrics.frechet_jackknife import BLOCKS, influences
from benchmarks.runtime.digest import digest
from reports.records.uncertainty import Uncertainty, of_influences


@dataclass(frozen=True)
class Use:
    """Use of one codebook.

    `counts` [BLOCKS, K] says how often the images of each jackknife block have each code.
    """

    name: str
    counts: NDArray[np.int64]

    @property
    def share(self) -> float:
        """The share of the codes that occur at all; it grows with the number of images."""
        return float((self.counts.sum(0) > 0).mean())

    @property
    def perplexity(self) -> float:
        return _perplexity(self.counts.sum(0))

    def perplexity_influences(self) -> NDArray[np.float64]:
        """The influence of each block of images on the perplexity (a jackknife over blocks)."""
        total = self.counts.sum(0)
        without = np.array([_perplexity(total - block) for block in self.counts])
        return influences(self.perplexity, without, self.counts.sum(1) / max(total.sum(), 1))

    def uncertainty(self, selection: Selection) -> Uncertainty:
        """The uncertainty of the perplexity."""
        return of_influences(self.perplexity_influences(), selection.units("blocks"))


def uses(at: Solved, images: Selection) -> Iterator[Use]:
    """The use of each codebook of a system on the images, from the store."""
    books = at.system.codebooks
    if not books or not len(images):
        return
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
    chunks = list(at.context.store.chunks(key, len(images), compute))
    for name in books:
        yield Use(name, np.sum([chunk[f"counts.{name}"] for chunk in chunks], axis=0))


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
