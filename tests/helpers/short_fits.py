"""Classifiers by Adam that learn from a hundredth of their batches."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from probes import fewshot, linear


@contextmanager
def short_fits() -> Iterator[None]:
    """Within the block, fits of every classifier by Adam are a hundred times shorter."""
    whole = linear.shuffled_batches

    def few(n, steps, generator, epoch=None):
        return whole(n, max(1, steps // 100), generator, epoch)

    with pytest.MonkeyPatch.context() as patch:
        for module in (linear, fewshot):
            patch.setattr(module, "shuffled_batches", few)
        yield
