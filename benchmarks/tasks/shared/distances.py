"""Distances of sets of features with their jackknife, from the store.

Kernel and Frechet distances are measured on the same features. The benchmarks of samples share them.
"""

import numpy as np

from benchmarks.core.context import Context
from benchmarks.core.store import Arrays
from benchmarks.metrics import METRICS, frechet_jackknife, kernel
from benchmarks.metrics.frechet_jackknife import BLOCKS, Jackknife, Side, shares_of
from benchmarks.metrics.frechet_pairs import PairedJackknife, paired_jackknife
from benchmarks.metrics.networks.features import FeatureNetwork
from benchmarks.runtime.digest import digest
from reports.records.metrics import alternatives

BETWEEN = {"kid": kernel.between, "fid": frechet_jackknife.between}  # by the published metric
TITLES = {"kid": "kernel", "fid": "Frechet"}


def metrics_of(network: FeatureNetwork) -> dict[str, str]:
    """The name of each of `BETWEEN` where the features are those of `network`."""
    return {
        metric: name
        for metric in BETWEEN
        for name in alternatives(metric)
        if METRICS[name].network == network.network
    }


def distance(context: Context, metric: str, samples: Side, reference: Side) -> Jackknife:
    """The distance of two sides by one of `BETWEEN`.

    A side of several comparisons should be the same `Side` object in all of them.
    """

    def compute() -> Arrays:
        found = BETWEEN[metric](samples, reference)
        return {
            "value": np.array(found.value),
            "without_samples": found.without_samples,
            "without_reference": found.without_reference,
        }

    key = {
        "work": "distance",
        "metric": metric,
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
