"""The plane on which the density of codes is measured."""

import numpy as np
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from benchmarks.metrics.codes.space import density


def test_tsne_gets_float32_as_files_of_latents_hold():
    """As in LightningDiT@2725fed tools/latent_vis.py; with one thread, since their order changes sums."""
    values = np.random.default_rng(0).standard_normal((100, 5, 1, 1))
    with threadpool_limits(1):
        found = density.plane(values, np.zeros(100, int), "t-SNE")
        single, double = (
            TSNE(2, perplexity=30, random_state=42).fit_transform(x)
            for x in (values[:, :, 0, 0].astype(np.float32), values[:, :, 0, 0])
        )
    assert np.array_equal(found, single) and not np.array_equal(single, double)
