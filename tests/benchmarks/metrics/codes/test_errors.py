"""Standard errors of numbers of codes against their spread over data that are drawn again."""

import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from codes_of_factors import made
from doc_scripts import script
from scipy.stats import chi2

from benchmarks.metrics.codes.data import Codes, LabelColumns
from benchmarks.metrics.codes.errors import (
    blocks_of,
    estimate_of_pairs,
    estimate_on_rows,
    jackknife,
    of_columns,
    rows_and_halves,
)
from benchmarks.metrics.codes.schema import named
from benchmarks.metrics.codes.table import measure
from diffae.system.errors import UserError

RESULTS = Path(__file__).parents[4] / "docs" / "results"


def test_the_error_of_a_mean_is_the_usual_one_over_images_and_over_persons():
    values = np.random.default_rng(0).normal(size=(60, 1))
    codes, rows = Codes(values), np.arange(60)
    one = estimate_on_rows(float(values.mean()), of_columns(values)[:, 0], codes, rows)
    assert (
        one.stderr == pytest.approx(values.std(ddof=1) / 60**0.5) and codes.units.kind == "images"
    )
    pairs = np.repeat(values[:30], 2, axis=0)
    people = replace(codes, values=pairs, persons=np.repeat(np.arange(30), 2))
    of_pairs = estimate_on_rows(float(pairs.mean()), of_columns(pairs)[:, 0], people, rows)
    assert of_pairs.stderr == pytest.approx(values[:30].std(ddof=1) / 30**0.5)
    assert people.units.kind == "persons"
    alone = replace(people, persons=np.zeros(60, int))
    assert estimate_on_rows(0.0, of_columns(values)[:, 0], alone, rows).stderr is None


def test_draws_of_blocks_differ_and_each_is_always_the_same():
    first, other, again = (blocks_of(Codes(np.zeros((60, 1))), 2, draw) for draw in (0, 1, 0))
    assert (first == again).all() and (first != other).any()


FEW = "knn viv viv_by_class code_fd epps_pulley density_cv mig infoc cca mcc rankme".split()


@pytest.mark.parametrize("name, given", [*product(FEW, (True, False)), ("dci_c", False)])
def test_of_one_or_two_persons_there_is_a_number_or_a_reason(name, given):
    """Nothing is left without the one person; of two, one is fitted on, and none is left to choose on."""
    random, n = np.random.default_rng(0), 500
    y = random.integers(2, size=(n, 2)).astype(float)
    labels = LabelColumns(y, ("a", "b"), ("binary", "binary"))
    every = Codes(
        random.normal(size=(n, 4)) + 2 * y[:, [0, 0, 1, 1]],
        labels,
        np.arange(n) % 3 if given else None,
    )
    for people in (1, 2):
        codes = replace(every, persons=np.arange(n) // 3 % people)
        try:
            one = measure(name, codes, named("plain"), 0)
        except UserError as error:
            expected = "no training row is of another" if given else "the split has no rows for"
            assert expected in str(error) and (people == 1 or not given)
            continue
        assert np.isfinite(one.value) and (one.stderr is None or people == 2)
        if name not in ("knn", "cca", "mcc", "rankme"):  # whose error is by influences
            assert (one.why == "no error: too few persons") == (one.stderr is None)


def test_the_jackknife_of_a_mean_is_its_error():
    values = np.random.default_rng(0).normal(size=(4000, 1))
    one = jackknife(lambda rows: float(values[rows].mean()), Codes(values))
    assert one.value == pytest.approx(values.mean())
    assert one.stderr == pytest.approx(values.std() / 4000**0.5, rel=0.5)
    pairs = np.repeat(values, 2, axis=0)
    people = Codes(pairs, persons=np.repeat(np.arange(4000), 2))
    both = jackknife(lambda rows: float(pairs[rows].mean()), people)
    assert both.stderr == pytest.approx(values.std() / 4000**0.5, rel=0.5)


@pytest.mark.parametrize(("mean", "persons"), [(0, False), (1, False), (0, True)])
def test_what_is_of_pairs_counts_once(mean, persons):
    """The squared length of the mean of n normal vectors of d dimensions of means m has the variance
    2 d / n^2 + 4 d m^2 / n, of which the influences alone have 4 d / n^2 + 4 d m^2 / n.
    """
    n, d = 200, 200
    rng, variances = np.random.default_rng(0), []
    for _ in range(20):
        x = np.repeat(rng.normal(mean, size=(n, d)), 1 + persons, axis=0)
        codes = Codes(x, persons=np.arange(2 * n) // 2 if persons else None)

        parts = []
        for rows in rows_and_halves(codes):
            centre = x[rows].mean(0)
            parts.append(
                (float(centre @ centre), 2 * (x[rows] - centre) @ centre / len(rows), rows)
            )
        variances.append(estimate_of_pairs(parts, codes).stderr ** 2)
    wanted = 2 * d / n**2 + 4 * d * mean**2 / n
    assert np.mean(variances) == pytest.approx(wanted, rel=0.2)  # the least of V / 2 adds a tenth


# The page of docs/results -------------------------------------------------------------------------

CHEAP = [
    "auroc", "ap", "ridge_r2", "pearson_r", "label_mse", "knn", "rankme", "participation", "mcc",
    "cca", "tad", "mig", "explicitness", "infoe", "few_labels", "code_length",
]  # fmt: skip
DRAWS = 48


@pytest.fixture(scope="module")
def spread():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(RESULTS)  # where it has a module beside it
        yield script(RESULTS / "codes_spread.py")


@pytest.fixture(scope="module")
def cells(spread):
    """The cells of the page, by number, codes and n."""
    found = {}
    for n, part in zip(spread.MOST, spread.PAGE.read_text().split("## ")[1:], strict=True):
        lines = [line for line in part.splitlines() if line.startswith("|")]
        head, _, *rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
        for name, *row in rows:
            found |= {(name, kind, n): cell for kind, cell in zip(head[1:], row, strict=True)}
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", CHEAP)
@pytest.mark.parametrize("kind", ["aligned", "noise"])
def test_an_error_is_about_the_spread_over_codes_drawn_again(spread, cells, name, kind):
    """On draws that the page does not have. If the true ratio is within the page's limits, the
    measured one is within these with a probability of 99.9 %, as the variance of normal values of
    48 draws is a multiple of chi-squared of 47 degrees of freedom.
    """
    if not re.match("[0-9]", cells[name, kind, 500]):
        pytest.skip(f"on the page: {cells[name, kind, 500] or 'not measured'}")
    every = [spread.number(name, made(kind, 500, [1, draw]), draw) for draw in range(DRAWS)]
    frame = pd.DataFrame({"value": [one.value for one in every]})
    found, _, count = spread.ratio(frame.assign(stderr=[one.stderr for one in every]))
    low, high = np.sqrt(chi2.ppf([0.0005, 0.9995], count - 1) / (count - 1))
    assert spread.LOW / high < found < spread.HIGH / low
