"""Properties of estimates: the error of a difference is that of a simulation, and a run gives them back."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import number, write_run

from reports.records.estimate import Error, Estimate, Influence, influences_on_mean
from reports.records.run_folder import read_run

DRAWS = 2_000
COUNT = st.integers(2, 12)


def sum_of_means(samples, reference, units):
    """The sum of two means, of units of these names."""
    influences = map(influences_on_mean, (samples, reference), units)
    return Estimate(samples.mean() + reference.mean(), sum(influences, ()))


@settings(max_examples=20, derandomize=True, deadline=None)
@given(COUNT, COUNT, st.floats(-1, 1), st.floats(0.1, 3), st.floats(0, 3), st.sampled_from("ab"), st.sampled_from("ab"))  # fmt: skip
def test_the_variance_of_a_difference_is_that_of_a_simulation(
    samples, references, correlation, scale, weight, samples_of, reference_of
):
    """Of two numbers whose samples, and whose reference, are the same units or others."""
    random = np.random.default_rng(0)
    ours, theirs = random.normal(size=(2, DRAWS, samples))
    our_reference, their_reference = weight * random.normal(size=(2, DRAWS, references))
    if samples_of == "a":
        theirs = correlation * ours + math.sqrt(1 - correlation**2) * theirs
    if reference_of == "a":
        their_reference = our_reference
    units = [f"samples:{samples_of}", f"reference:{reference_of}"]
    differences = [
        sum_of_means(scale * x, y, units).minus(sum_of_means(z, w, ["samples:a", "reference:a"]))
        for x, y, z, w in zip(theirs, their_reference, ours, our_reference, strict=True)
    ]
    simulated = np.var([difference.value for difference in differences])
    stated = np.mean([difference.stderr**2 for difference in differences])
    assert stated == pytest.approx(simulated, rel=0.2, abs=1e-12)  # known to 3 % and some 2 %


@st.composite
def estimates(draw):
    """An estimate without an error, with one alone, or with the influences of several sources."""
    value = draw(st.none() | st.floats(-1e6, 1e6) | st.floats(-1, 1).map(np.float64))
    n = draw(st.none() | st.integers(0, 10**12))
    kind = draw(st.sampled_from(["no error", "error", "influences"]))
    stderr = max(abs(value or 0), 1) * draw(st.floats(1e-9, 10))
    if value is None or kind == "no error":
        return Estimate(value, n=n)
    if kind == "error":
        return Estimate(
            value, error=Error(stderr, draw(st.floats(1, 1e4) | st.just(math.inf))), n=n
        )
    sizes = draw(st.lists(st.integers(2, 5), min_size=1, max_size=3))
    arrays = (stderr * np.random.default_rng(size).normal(size=size) for size in sizes)
    influences = tuple(Influence(f'é, "{i}"\n', array) for i, array in enumerate(arrays))
    return Estimate(value, influences, n=n)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(written=st.lists(estimates(), min_size=1, max_size=4), with_influences=st.booleans())
def test_a_run_that_was_written_is_read_with_the_same_estimates(
    tmp_path_factory, written, with_influences
):
    records = [
        replace(number("table1", "ssim", None, setting=str(i)), estimate=estimate)
        for i, estimate in enumerate(written)
    ]
    folder = write_run(tmp_path_factory.mktemp("run"), records, with_influences)
    for row, estimate in zip(read_run(folder).rows, written, strict=True):
        read = row.estimate
        assert (read.value, read.stderr, read.n) == (estimate.value, estimate.stderr, estimate.n)
        if estimate.error:  # the degrees of freedom are those of the interval
            assert 1 / read.error.df == pytest.approx(1 / estimate.error.df, rel=0.01, abs=1e-5)
        kept = estimate.influences if with_influences else ()
        for ours, theirs in zip(read.influences, kept, strict=True):
            assert ours.units == theirs.units
            np.testing.assert_allclose(ours.values, theirs.values, rtol=1e-6)
