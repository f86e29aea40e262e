"""The few-label curve and the online code, against scikit-learn and closed forms."""

from dataclasses import replace

import numpy as np
import pytest
from codes_of_factors import made, with_labels
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from benchmarks.metrics.codes.data import Codes, LabelColumns, parts
from benchmarks.metrics.codes.invariant.curves import GRID, bits, code_length, few_labels
from diffae.system.errors import UserError

N = 300


OF_BITS = range(6)


def kinds(estimate):
    """What the error of an estimate is over."""
    return [source.units.partition(":")[0] for source in estimate.influences]


def fitted(x, y, rows, C):
    deviation = x[rows].std(0, ddof=1)
    scaled = (x - x[rows].mean(0)) / deviation
    return LogisticRegression(C=C, tol=1e-8).fit(scaled[rows], y[rows]), scaled


def test_few_labels_are_draws_of_the_rows_that_are_not_scored():
    codes = with_labels(made("rotated", N, 0), range(2, 4))
    part, wanted = parts(codes, 5), []
    pool = np.union1d(part.train, part.valid)
    for draw in range(5):
        rows = np.random.default_rng([5, 64, draw]).choice(pool, 64, replace=False)
        for y in codes.labels.values.T:
            fit, x = fitted(codes.values, y, rows, 1.0)
            wanted.append(roc_auc_score(y[part.test], fit.decision_function(x[part.test])))
    curve = few_labels(codes, 5)
    assert curve["256 labels"].value is None  # 150 rows are not scored
    assert curve["256 labels"].why == "needs 256 images to label; there are 150"
    assert curve["64 labels"].value == pytest.approx(np.mean(wanted), abs=1e-3)
    assert kinds(curve["64 labels"]) == ["images", "draws"] and curve["64 labels"].n == 150
    assert (
        curve["16 labels"].value < curve["64 labels"].value
        and curve["16 labels"].stderr > curve["64 labels"].stderr
    )


def test_both_are_of_binary_labels():
    codes = made("aligned", 100, 0)
    assert code_length(codes, 0) == code_length(with_labels(codes, OF_BITS), 0)
    for number in (few_labels, code_length):
        for one in (replace(codes, labels=None), with_labels(codes, range(6, 15))):
            with pytest.raises(UserError, match="needs labels that are binary"):
                number(one, 0)


def test_labels_of_one_value_on_all_scored_rows_are_refused():
    codes = with_labels(made("aligned", 100, 0), OF_BITS)
    codes.labels.values[parts(codes, 0).test] = 1
    why = "no binary label has both values on the scored rows"
    assert {estimate.why for estimate in few_labels(codes, 0).values()} == {why}


def test_few_labels_of_noise_are_at_chance():
    for found in few_labels(with_labels(made("noise", 600, 1), OF_BITS), 0, (16, 64, 256)).values():
        assert abs(found.value - 0.5) < 3.5 * found.stderr < 0.15


def test_the_code_is_that_of_blocks_that_double():
    codes = with_labels(made("rotated", 130, 3), range(2, 4))
    x, labels = codes.values, codes.labels.values
    order = np.argsort(np.random.default_rng([3]).permutation(130))
    wanted, by_last = np.ones((2, 130, 2))
    for k, y in enumerate(labels.T):
        before, last = np.zeros(3), np.zeros(3)
        for start, end in ((16, 32), (32, 64), (64, 128), (128, 130)):
            block, lengths = order[start:end], []
            for C in GRID:
                fit, scaled = fitted(x, y, order[:start], C)
                p = fit.predict_proba(scaled[block])[np.arange(end - start), y[block].astype(int)]
                lengths.append(-np.log2(p))
            wanted[block, k] = lengths[before.argmin()]
            by_last[block, k] = lengths[last.argmin()]
            last = np.sum(lengths, axis=1)
            before += last
    assert np.abs(wanted - by_last).max() > 0.1  # C is not chosen by the last block alone
    found = bits(codes, np.random.default_rng([3]))
    assert found == pytest.approx(wanted, abs=0.02)
    assert found[order[:16]] == pytest.approx(1)


def test_a_code_that_knows_nothing_takes_the_entropy_and_a_perfect_one_little():
    rng = np.random.default_rng(0)
    y = (rng.random((2000, 2)) < 0.2).astype(float)
    labels = LabelColumns(y, ("a", "b"), ("binary",) * 2)
    entropy = -(0.2 * np.log2(0.2) + 0.8 * np.log2(0.8))
    noise = code_length(Codes(rng.normal(size=(2000, 4)), labels), 0)["code_length"]
    assert entropy < noise.value < 1.1 * entropy
    share = y.mean(0)
    stated = -(share * np.log2(share) + (1 - share) * np.log2(1 - share)).mean()
    assert noise.notes == (f"entropy {stated:.4f} bits",)
    perfect = code_length(Codes(y, labels), 0)["code_length"]
    assert perfect.value < 0.15 and perfect.n == 2000
    assert noise.stderr < 0.05 and kinds(noise) == ["images", "draws"]


def test_pictures_of_a_person_follow_each_other():
    """Of a person's three equal pictures none is coded by a fit to the others, but at a block's end."""
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(200), 3)
    x, y = rng.normal(size=(200, 64))[who], (rng.random((200, 1)) < 0.5)[who].astype(float)
    codes = Codes(x, LabelColumns(y, ("y",), ("binary",)))
    apart, together = (
        code_length(each, 0)["code_length"] for each in (codes, replace(codes, persons=who))
    )
    assert together.value > apart.value + 0.05 and together.value > 0.97
    assert kinds(together) == ["persons", "draws"]
