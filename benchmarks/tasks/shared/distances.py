"""Frechet distances with their jackknife, from the store: shared by the benchmarks that look at samples."""

import numpy as np

from benchmarks.core.context import Context
from benchmarks.core.store import Arrays, digest
from benchmarks.metrics.frechet_jackknife import BLOCKS, Jackknife, Side, between


def distance(context: Context, samples: Side, reference: Side) -> Jackknife:
    """The distance of two sides. One that many are held against should be the same `Side` for all of them."""

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
