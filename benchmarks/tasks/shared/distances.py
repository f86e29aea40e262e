"""Frechet distances with their jackknife, from the store: shared by the benchmarks of samples."""

import numpy as np

from benchmarks.core.context import Context
from benchmarks.core.store import Arrays
from benchmarks.metrics.frechet_jackknife import BLOCKS, Jackknife, Side, between, shares_of
from benchmarks.metrics.frechet_pairs import PairedJackknife, paired_jackknife
from benchmarks.runtime.digest import digest


def distance(context: Context, samples: Side, reference: Side) -> Jackknife:
    """The distance of two sides.

    A side of several comparisons should be the same `Side` object in all of them.
    """

    def compute() -> Arrays:
        found = between(samples, reference)
        return {
            "value": np.array(found.value),
            "without_samples": found.without_samples,
            "without_reference": found.without_reference,
        }

    key = {
        "work": "distance",
        "blocks": BLOCKS,
        "samples": samples.digest,
        "sample_blocks": digest(samples.blocks),
        "reference": reference.digest,
        "reference_blocks": digest(reference.blocks),
    }
    found = context.store.once(key, compute)
    return Jackknife(
        float(found["value"]),
        found["without_samples"],
        found["without_reference"],
        samples.shares,
        reference.shares,
    )


def paired_distance(
    context: Context, made: np.ndarray, originals: np.ndarray, blocks: np.ndarray
) -> PairedJackknife:
    """The distance between features [n, d] of images and of their originals, row by row.

    The rows lie in the blocks [n].
    """

    def compute() -> Arrays:
        found = paired_jackknife(made, originals, blocks)
        return {"value": np.array(found.value), "without": found.without}

    key = {
        "work": "paired distance",
        "blocks": digest(blocks),
        "made": digest(made),
        "originals": digest(originals),
    }
    found = context.store.once(key, compute)
    return PairedJackknife(float(found["value"]), found["without"], shares_of(blocks))
