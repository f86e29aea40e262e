"""Metrics of sets by name: each is in one group, says why it has no value, and has means over seeds."""

import numpy as np
import pytest

from benchmarks.metrics import METRICS
from benchmarks.metrics.networks.features import EFFNET
from benchmarks.metrics.sets import groups, means
from benchmarks.metrics.sets.groups import GROUPS, groups_of, names_through, shown_in
from benchmarks.metrics.sets.jackknife import Side, blocks_of
from reports.records.estimate import Estimate, Influence


def sides(n, m):
    rng = np.random.default_rng(n)
    samples, reference = rng.normal(size=(n, 4)), rng.normal(size=(m, 4))
    return Side.of(samples, blocks_of(n), "x"), Side.of(reference, blocks_of(m), "y")


def test_each_metric_of_sets_is_in_one_group():
    names = [metric for group in GROUPS for metric in group.metrics]
    of_folders = {"kid", "cmmd", "fid", "precision", "recall", "density", "coverage"}
    of_decoded = {f"{prefix}{metric}" for prefix in "rip" for metric in ("kid", "fid")}
    assert sorted(names) == sorted(of_folders | of_decoded)
    assert set(names) <= METRICS.keys()


def test_a_group_gives_all_of_its_metrics_and_no_other():
    pairs = sides(30, 30)
    for group in GROUPS:
        estimates = group.estimate(*pairs)
        assert tuple(estimates) == group.metrics
        in_parts = group.in_parts(*pairs)
        parts = np.stack([in_parts.part(i) for i in reversed(range(in_parts.count))])[::-1]
        for metric, estimate in in_parts.joined(parts).items():
            assert estimate.value == estimates[metric].value and estimate.n == 30


def test_metrics_are_found_with_those_that_share_their_work():
    chosen = {group.metrics: metrics for group, metrics in groups_of(["recall", "kid"]).items()}
    overlaps = ("precision", "recall", "density", "coverage")
    assert chosen == {("kid",): ["kid"], overlaps: ["recall"]}
    assert {*shown_in(groups.SAMPLES)} > {"kid", "cmmd"} and "rkid" not in shown_in(groups.SAMPLES)
    assert shown_in(groups.OVERLAP) == overlaps
    assert names_through(EFFNET, ("kid", "cmmd")) == {"kid": "kd_effnet"}
    assert names_through("clip_vitl14_336", ("kid", "cmmd")) == {
        "kid": "kd_clip_vitl14_336",
        "cmmd": "cmmd",
    }


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_images_are_a_reason(n):
    for group in GROUPS:
        for metric, estimate in group.estimate(*sides(n, 1)).items():
            assert estimate.value is None and estimate.error is None and estimate.n == n
            assert "needs" in estimate.why, metric
    (kid,) = groups_of(["kid"])
    why = kid.estimate(*sides(9, 1))["kid"].why
    assert why == "a kernel distance needs two images on each side, not 1"


def test_a_mean_over_seeds_has_the_sources_of_each_and_the_seeds():
    rng = np.random.default_rng(0)
    values, influences = rng.normal(size=5), rng.normal(size=(5, 2, 20))
    estimates = [
        Estimate(value, tuple(map(Influence, ("pool", "reference"), of_seed)))
        for value, of_seed in zip(values, influences, strict=True)
    ]
    mean = means.mean_over_seeds(estimates, 12, "seeds")
    assert (mean.value, mean.n) == (values.mean(), 12)
    assert [source.units for source in mean.influences] == ["seeds", "pool", "reference"]
    of_seeds = values.var(ddof=1) / 5
    of_units = np.square(influences.mean(0)).sum()
    assert mean.stderr**2 == pytest.approx(of_seeds + of_units)
    unknown = means.mean_over_seeds([*estimates, Estimate(1.0)], 12, "seeds")
    assert unknown.value is not None and unknown.error is None


def test_a_mean_over_edits_leaves_out_distances_without_an_error():
    known = [Estimate(float(i), (Influence("x", np.full(3, i)),), n=4) for i in (1, 3)]
    mean = means.mean_over_edits([*known, Estimate(9.0, n=4)])
    assert (mean.value, mean.n, mean.notes) == (2.0, 8, ("of 2 of 3 edits",))
    np.testing.assert_array_equal(mean.influences[0].values, [2, 2, 2])
    assert means.mean_over_edits([Estimate(9.0)]).why == "no distance has an error"
