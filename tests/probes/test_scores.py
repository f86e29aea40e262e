"""Scores against scikit-learn, and their standard errors against bootstraps and the textbook."""

import math

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn import metrics

from probes import auroc, influences, summarise
from probes.scores import accuracy, ap_influence, auc_influence, average_precision


def covariance(scores, labels):
    """That of the AUROCs, [A, A]."""
    influence = influences(scores, labels)["auroc"]
    return influence.T @ influence


def problem(n: int, shifts: list[float], prevalence: list[float], seed: int = 0):
    """Scores and labels [n, A], both correlated between attributes through shared factors."""
    rng = np.random.default_rng(seed)
    a = len(shifts)
    latent = 0.7 * rng.normal(size=(n, 1)) + 0.7 * rng.normal(size=(n, a))
    labels = latent < np.quantile(latent, prevalence, axis=0).diagonal()
    noise = 0.8 * rng.normal(size=(n, 1)) + 0.6 * rng.normal(size=(n, a))
    return labels * np.array(shifts) + noise, labels


def rank_auroc(scores, labels):
    """AUROC of each column, by rank sums."""
    ranks, m, n = rankdata(scores, axis=0), labels.sum(0), (~labels).sum(0)
    return ((ranks * labels).sum(0) - m * (m + 1) / 2) / (m * n)


def bootstrap(metric, scores, labels, groups, resamples=500):
    """A metric over resampled groups of images, drawn with replacement."""
    rng = np.random.default_rng(5)
    images = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    drawn = rng.integers(0, len(images), (resamples, len(images)))
    indices = (np.concatenate([images[group] for group in one]) for one in drawn)
    return np.array([metric(scores[index], labels[index]) for index in indices])


def test_scores_are_scikit_learns():
    scores, labels = problem(400, [1.0, 0.2, 2.0], [0.1, 0.5, 0.9])
    scores[:, 1] = scores[:, 1].round(1)
    for a in range(3):
        s, y = scores[:, a], labels[:, a]
        reference = metrics.roc_auc_score(y, s)
        assert auroc(s, y) == reference
        assert auc_influence(s, y)[0] == pytest.approx(reference, abs=1e-12)
        assert average_precision(s, y) == metrics.average_precision_score(y, s)
        assert accuracy(s, y) == metrics.accuracy_score(y, s > 0)


@pytest.mark.parametrize("digits", [None, 0], ids=["continuous", "ties"])
def test_standard_errors_match_a_bootstrap_of_images(digits):
    scores, labels = problem(400, [0.3, 1.0, 1.5, 1.0], [0.5, 0.3, 0.15, 0.8])
    if digits is not None:
        scores = scores.round(digits)
    boot = bootstrap(rank_auroc, scores, labels, np.arange(400))
    influence = influences(scores, labels)["auroc"]
    stderr = np.sqrt((influence**2).sum(0))
    np.testing.assert_allclose(stderr, boot.std(0), rtol=0.08)

    weights = np.array([0.5, 0.3, 0.15, 0.8])
    of_mean = boot.mean(1).std()
    of_weighted = (boot @ weights / weights.sum()).std()
    for shares, expected in ((np.full(4, 1 / 4), of_mean), (weights / weights.sum(), of_weighted)):
        assert np.sqrt(((influence @ shares) ** 2).sum()) == pytest.approx(expected, rel=0.08)
    independent = np.sqrt((stderr**2).sum()) / 4
    assert of_mean > 1.15 * independent  # Correlation matters in this problem.


@pytest.mark.parametrize("digits", [8, 1], ids=["continuous", "ties"])
def test_average_precision_and_its_error(digits):
    scores, labels = problem(500, [1.0], [0.3])
    s, y = scores[:, 0].round(digits), labels[:, 0]
    value, influence = ap_influence(s, y)
    assert value == pytest.approx(metrics.average_precision_score(y, s), abs=1e-12)
    assert influence.sum() == pytest.approx(0, abs=1e-12)
    expected = bootstrap(average_precision, s, y, np.arange(500)).std(ddof=1)
    assert np.sqrt((influence**2).sum()) == pytest.approx(expected, rel=0.08)


def test_influence_on_average_precision_is_its_derivative():
    """By the weight of an image, against scikit-learn's weighted average precision."""
    scores, labels = problem(60, [1.0], [0.4])
    s, y = scores[:, 0].round(1), labels[:, 0]
    _, influence = ap_influence(s, y)
    for image in range(0, 60, 7):
        up, down = np.ones(60), np.ones(60)
        up[image] += 1e-5
        down[image] -= 1e-5
        above, below = (metrics.average_precision_score(y, s, sample_weight=w) for w in (up, down))
        assert influence[image] == pytest.approx((above - below) / 2e-5, abs=1e-6)


def test_influences_give_the_errors_of_every_score():
    scores, labels = problem(300, [0.5, 1.0], [0.3, 0.6])
    found = influences(scores, labels)
    share = ((scores > 0) == labels).mean(0)
    stderr = np.sqrt(share * (1 - share) / 299)
    np.testing.assert_allclose(np.sqrt((found["accuracy"] ** 2).sum(0)), stderr)
    labels[:, 1] = True
    assert np.isnan(influences(scores, labels)["ap"][:, 1]).all()


def test_pictures_of_one_person_count_as_one():
    """Summed by person, DeLong's influences give the error that a bootstrap of persons has."""
    rng = np.random.default_rng(6)
    persons = np.repeat(np.arange(120), 4)
    y = (rng.random(120) < 0.4)[persons]
    s = y + rng.normal(size=120)[persons] + 0.3 * rng.normal(size=480)
    _, influence = auc_influence(s, y)
    by_person = np.bincount(persons, weights=influence)
    expected = bootstrap(rank_auroc, s, y, persons).std(ddof=1)
    assert np.sqrt((by_person**2).sum()) == pytest.approx(expected, rel=0.1)
    assert np.sqrt((influence**2).sum()) < 0.7 * expected  # what ignoring persons would claim


def textbook_delong(scores, labels):
    """DeLong et al. (1988), equations 4 to 8: kernels of all pairs, then two covariances."""
    components = []
    for column in scores.T:
        x, y = column[labels][:, None], column[~labels][None, :]
        kernel = (x > y) + 0.5 * (x == y)
        components.append((kernel.mean(1), kernel.mean(0)))
    v10, v01 = (np.stack(parts) for parts in zip(*components, strict=True))
    return v10.mean(1), np.cov(v10) / v10.shape[1] + np.cov(v01) / v01.shape[1]


@pytest.mark.parametrize("digits", [8, 0])
def test_covariance_with_shared_labels_is_delongs(digits):
    scores, labels = problem(150, [1.0, 0.5, 0.0], [0.3, 0.3, 0.3])
    shared, scores = labels[:, 0], scores.round(digits)
    aucs, expected = textbook_delong(scores, shared)
    summary = summarise(scores, np.repeat(shared[:, None], 3, axis=1), list("abc"))
    np.testing.assert_allclose([a.auroc for a in summary.attributes], aucs, rtol=1e-12)
    found = covariance(scores, np.repeat(shared[:, None], 3, axis=1))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-18)


def test_one_class_is_undefined_and_left_out_of_the_means():
    scores, labels = problem(200, [1.0, 1.0, 1.0], [0.3, 0.5, 0.2])
    labels[:, 1] = False
    summary = summarise(scores, labels, ["Bald", "Hat", "Young"])
    rest = summarise(scores[:, [0, 2]], labels[:, [0, 2]], ["Bald", "Young"])
    hat = summary.attributes[1]
    assert summary.excluded == ("Hat",)
    assert all(math.isnan(v) for v in (hat.auroc, hat.ap))
    assert (hat.accuracy, hat.prevalence) == (np.mean(scores[:, 1] <= 0), 0)
    for field in ("mean_auroc", "weighted_auroc", "mean_ap"):
        assert getattr(summary, field) == pytest.approx(getattr(rest, field), rel=1e-12)

    nothing = summarise(scores[:, 1:2], labels[:, 1:2], ["Hat"])
    assert all(map(math.isnan, (nothing.mean_auroc, nothing.weighted_auroc, nothing.mean_ap)))


def test_a_single_positive_has_an_auroc_but_no_standard_error():
    scores, labels = np.arange(5.0), np.arange(5) == 3
    value, influence = auc_influence(scores, labels)
    assert value == 0.75
    assert np.isnan(influence).all()


def test_summary_of_known_scores():
    labels = np.array([[1, 1], [0, 1], [1, 1], [0, 0]], dtype=bool)
    logits = np.array([[2.0, 3.0], [1.0, -1.0], [0.5, 2.0], [-1.0, 0.0]])
    summary = summarise(logits, labels, ["a", "b"])
    first, second = summary.attributes
    assert (first.auroc, first.accuracy, first.prevalence) == (0.75, 0.75, 0.5)
    assert second.auroc == pytest.approx(2 / 3)
    assert summary.mean_auroc == pytest.approx((0.75 + 2 / 3) / 2)
    assert summary.weighted_auroc == pytest.approx((0.5 * 0.75 + 0.75 * 2 / 3) / 1.25)
    assert summary.mean_accuracy == 0.75
    assert summary.mean_ap == pytest.approx((first.ap + second.ap) / 2)


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        (np.zeros((3, 2)), np.zeros((3, 1), bool), r"\[N, A\]"),
        (np.zeros((3, 2)), np.zeros((3, 2)), "boolean"),
        (np.full((3, 2), math.nan), np.zeros((3, 2), bool), "finite"),
    ],
)
def test_bad_input_is_refused(scores, labels, message):
    for function in (influences, lambda s, y: summarise(s, y, ["a", "b"])):
        with pytest.raises(ValueError, match=message):
            function(scores, labels)
