"""Frechet distances with their jackknife, from the store: shared by the benchmarks that look at samples."""

import numpy as np

from benchmarks.core.context import Context
from benchmarks.core.store import Arrays, digest
from benchmarks.metrics.frechet_jackknife import BLOCKS, Jackknife, jackknife, shares_of


def distance(
    context: Context,
    samples: np.ndarray,
    sample_blocks: np.ndarray,
    reference: np.ndarray,
    reference_blocks: np.ndarray,
) -> Jackknife:
    """The distance of features [n, d] to features [m, d], whose rows lie in the blocks [n] and [m] given."""

    def compute() -> Arrays:
        found = jackknife(samples, reference, sample_blocks, reference_blocks)
        return {
            "value": np.array(found.value),
            "without_samples": found.without_samples,
            "without_reference": found.without_reference,
        }

    key = {"work": "distance", "blocks": BLOCKS} | {
        name: digest(array)
        for name, array in (
            ("samples", samples),
            ("sample_blocks", sample_blocks),
            ("reference", reference),
            ("reference_blocks", reference_blocks),
        )
    }
    found = context.store.once(key, compute)
    return Jackknife(
        float(found["value"]),
        found["without_samples"],
        found["without_reference"],
        shares_of(sample_blocks),
        shares_of(reference_blocks),
    )
