"""Rows of results that several benchmarks make alike."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from benchmarks.core.selection import Selection
from reports.records.record import Record

SSIM = "11 x 11 Gaussian, sigma 1.5, zero padding, range [0, 1]"  # of a protocol


def in_words(level: float) -> str:
    """A level of a setting, as short as names it exactly: two of them never share a name, nor a key."""
    short = f"{level:g}"
    return short if float(short) == level else repr(level)


def means(
    row: Callable[..., Record],
    selection: Selection,
    scores: Mapping[str, np.ndarray],
    **fields: Any,
) -> Iterator[Record]:
    """The mean of each metric's score [N] of the images.

    `row` is `context.record` with the arguments before the metric.
    """
    for metric, values in scores.items():
        value, uncertainty = selection.mean(values)
        yield row(
            metric,
            value,
            uncertainty=uncertainty,
            split=selection.split,
            n=len(selection),
            per_image=(selection, values),
            **fields,
        )
