"""Standard errors of numbers of codes against their spread over data that are drawn again."""

from dataclasses import replace

import numpy as np
import pytest
from codes_of_factors import made

from benchmarks.metrics.codes.data import Codes
from benchmarks.metrics.codes.errors import found, jackknife, of_columns
from benchmarks.metrics.codes.invariant.curves import code_length, few_labels
from benchmarks.metrics.codes.schema import named
from benchmarks.metrics.codes.table import measure

PLAIN = named("plain")


def binary(codes):
    labels = codes.labels
    few = replace(
        labels, values=labels.values[:, :6], names=labels.names[:6], kinds=labels.kinds[:6]
    )
    return replace(codes, labels=few)


def number(name, codes, seed):
    if name == "code_length":
        return code_length(binary(codes), seed)
    if name.startswith("few_labels"):
        count = int(name.partition(" ")[2])
        return few_labels(binary(codes), seed, (count,))[count]
    return measure(name, codes, PLAIN, seed)


def drawn(name, kind, n, draws):
    """Numbers and standard errors [draws] of data drawn again, split anew."""
    every = [number(name, made(kind, n, [n, draw]), draw) for draw in range(draws)]
    return np.array([one.value for one in every]), np.array([one.stderr for one in every])


def ratio(values, errors):
    """The standard error, root mean square, over the standard deviation of the numbers."""
    return np.sqrt(np.square(errors).mean()) / values.std(ddof=1)


def test_the_error_of_a_mean_is_the_usual_one_over_images_and_over_persons():
    values = np.random.default_rng(0).normal(size=(60, 1))
    codes, rows = Codes(values), np.arange(60)
    one = found(float(values.mean()), of_columns(values)[:, 0], codes, rows)
    assert one.stderr == pytest.approx(values.std(ddof=1) / 60**0.5) and one.over == "images"
    pairs = np.repeat(values[:30], 2, axis=0)
    people = replace(codes, values=pairs, persons=np.repeat(np.arange(30), 2))
    of_pairs = found(float(pairs.mean()), of_columns(pairs)[:, 0], people, rows)
    assert of_pairs.stderr == pytest.approx(values[:30].std(ddof=1) / 30**0.5)
    assert of_pairs.over == "persons"
    alone = replace(people, persons=np.zeros(60, int))
    assert found(0.0, of_columns(values)[:, 0], alone, rows).stderr is None


def test_the_jackknife_of_a_mean_is_its_error():
    values = np.random.default_rng(0).normal(size=(4000, 1))
    one = jackknife(lambda rows: float(values[rows].mean()), Codes(values))
    assert one.value == pytest.approx(values.mean())
    assert one.stderr == pytest.approx(values.std() / 4000**0.5, rel=0.5)
    pairs = np.repeat(values, 2, axis=0)
    people = Codes(pairs, persons=np.repeat(np.arange(4000), 2))
    both = jackknife(lambda rows: float(pairs[rows].mean()), people)
    assert both.stderr == pytest.approx(values.std() / 4000**0.5, rel=0.5)


# What many draws show of n = 500 where it is not 1: neighbours are drawn again too, and a jackknife
# counts what is of second order twice, which is all there is where dimensions are equally strong.
KNOWN = {"knn": 0.8, "rankme": 1.5, "participation": 1.5}
ONE = (
    "auroc",
    "ap",
    "ridge_r2",
    "mcc",
    "cca",
    "explicitness",
    "infoe",
    "few_labels 64",
    "code_length",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ONE, *KNOWN])
@pytest.mark.parametrize("kind", ["aligned", "noise"])
def test_an_error_is_about_the_spread_over_data_drawn_again(name, kind):
    """24 draws tell the ratio to a third; of noise infoe's is 0.7."""
    assert 0.55 < ratio(*drawn(name, kind, 500, 24)) / KNOWN.get(name, 1.0) < 1.7


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ridge_r2", "mcc", "few_labels 64"])
def test_an_error_of_512_mixed_dimensions_is_about_the_spread(name):
    assert 0.55 < ratio(*drawn(name, "mixed", 500, 24)) < 1.7
