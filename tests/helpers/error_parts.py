"""Standard errors from their definitions."""

import numpy as np
import pytest

from benchmarks.metrics.codes.schema import named, section_of


def protocol(name, **choices):
    """`plain` with other choices for a number."""
    one = named("plain")
    for key, value in choices.items():
        one = one.changed(f"{section_of(name)}.{key}", value)
    return one


def over(influence, who):
    """The standard error of influences [n] of images that belong to persons."""
    k, n = len(set(who)), len(who)
    squares = [influence[who == one].sum() ** 2 for one in set(who.tolist())]
    return (k / (k - 1) * (n - 1) / n * sum(squares)) ** 0.5


def by_blocks(value, without, blocks):
    """The jackknife's standard error of a number, from its values without each block."""
    share = np.array([np.mean(blocks == block) for block in range(len(without))])
    own = value - (1 - share) * np.array(without)
    error = (np.square(own - share * own.sum()).sum() / (1 - np.square(share).sum())) ** 0.5
    if np.ptp(share) < 1e-12:  # as it is written for blocks of one size
        g = len(share)
        assert error == pytest.approx(((g - 1) * np.var(without)) ** 0.5, rel=1e-9)
    return error


def slope(value):
    """The derivative at 0 of a function of a number of copies, by five points."""
    return (8 * (value(1) - value(-1)) - (value(2) - value(-2))) / 12
