"""The table of metrics: values that other code relies on."""

import math

import pytest

from reports.gate.verdicts import read_margins
from reports.records.metrics import (
    FEATURE_NETWORKS,
    METRICS,
    NAME,
    PAIRS,
    SETS,
    Margin,
    Metric,
    alternatives,
    comparing,
    published_name,
    seen_through,
    with_stand_ins,
)
from reports.records.metrics import OF_CODES as CODES

# The lines of reports/margins.csv of 0.2, and those of later metrics: metric, size, whether it is a share of the baseline's value.
MARGINS = [
    ("ssim", 0.0005, False),
    ("ssim_valid", 0.0005, False),
    ("ms_ssim", 0.0005, False),
    ("mse", 0.002, True),
    ("psnr", 0.01, False),
    ("psnr_of_mean", 0.01, False),
    ("seed_bias", 0.002, True),
    ("worse_with_more", 0.0005, False),
    ("lpips", 0.0005, False),
    ("lpips_vgg", 0.0005, False),
    ("pd_effnet", 0.005, True),
    ("auroc", 0.0005, False),
    ("ap", 0.0005, False),
    ("accuracy", 0.0005, False),
    ("top1", 0.0005, False),
    ("top5", 0.0005, False),
    ("fid", 0.005, False),
    ("fd_effnet", 0.0005, True),
    ("kid", 0.000005, False),
    ("kd_effnet", 0.0005, True),
    ("rkid", 0.000005, False),
    ("rkd_effnet", 0.0005, True),
    ("cmmd", 0.0005, False),
    *(
        (metric + suffix, 0.0005, False)
        for metric in ("precision", "recall", "density", "coverage")
        for suffix in ("", "_effnet", *(f"_{network}" for network in FEATURE_NETWORKS))
    ),
    ("rfid", 0.005, False),
    ("rfd_effnet", 0.0005, True),
    *((f"{moved}fid", 0.005, False) for moved in "ip"),
    *((f"{moved}kid", 0.000005, False) for moved in "ip"),
    *((f"{moved}{kind}_effnet", 0.0005, True) for moved in "ip" for kind in ("fd", "kd")),
    ("spectrum_kl", 0.0005, False),
    ("ppl", 0.01, True),
    ("ppl_alex", 0.01, True),
    ("ppl_effnet", 0.01, True),
    ("arcface", 0.0005, False),
    ("id_portraits", 0.0001, False),
    ("id_dlib", 0.0005, False),
    *(
        (f"{kind}_{network}", 0.0005, True)
        for kind in ("fd", "kd", "rfd", "rkd", "ifd", "ikd", "pfd", "pkd")
        for network in FEATURE_NETWORKS
    ),
]


# Half a unit of the digit before the last that is printed.
OF_CODES = [
    ("attrs", 0.5, False),
    ("tad", 0.005, False),
    *(
        (name, 0.0005, False)
        for name in (
            "knn ridge_r2 pearson_r label_mse code_length dci_d dci_c dci_i mig sap modularity "
            "explicitness infom infoc infoe beta_vae factor_vae mcc cca equivariance"
        ).split()
    ),
]

OF_EDITS = [
    (name, 0.0005, False)
    for name in (
        "off_target gain kept direction_r2 effectiveness on_target composition reversibility "
        "leak_out lec leak_mean leak_max direction_consistency lec_frobenius composition_l1 f1"
    ).split()
]


def test_margins_are_what_they_were():
    found = [(name, margin.size, margin.is_share) for name, margin in read_margins().items()]
    assert sorted(found) == sorted(MARGINS + OF_CODES + OF_EDITS)
    assert all(margin.why for margin in read_margins().values())


def test_metrics_that_change_with_the_count_of_images():
    """Frechet distances, biased kernel distances, coverage of manifolds, and counts of a codebook."""
    found = {name for name, row in METRICS.items() if row.depends_on_n and name not in CODES}
    sets = {f"{moved}fid" for moved in ("", "r", "i", "p")} | {"cmmd", "codebook_use", "perplexity"}
    sets |= {"precision", "recall", "density", "coverage"}
    assert {published_name(name) for name in found} == sets
    assert found == {name for name in METRICS if published_name(name) in sets}


def test_a_margin_is_a_size_or_a_share():
    assert Margin(0.01).at(-200.0) == 0.01
    assert Margin(0.01, is_share=True).at(-200.0) == 2.0


def test_a_stand_in_measures_the_same_thing_in_the_same_unit_through_another_network():
    stand_ins = {name: row for name, row in METRICS.items() if row.stands_in_for}
    assert len(stand_ins) == 21 + 15 * len(FEATURE_NETWORKS)
    for name, row in stand_ins.items():
        published = METRICS[row.stands_in_for]
        assert published_name(name) == row.stands_in_for and not published.stands_in_for
        reverse = name == "id_dlib"  # a distance in place of a similarity
        assert row.unit == published.unit
        assert (row.direction == published.direction) != reverse
        assert row.network and published.network and row.network != published.network


def test_names_follow_the_network():
    effnet = METRICS[seen_through("fid", "efficientnet-lite0")]
    assert effnet.margin == Margin(0.0005, "0.005 of a FID of 10", is_share=True)
    assert seen_through("fid", "inception") == "fid"
    assert seen_through("ppl", "alexnet") == "ppl_alex" and seen_through("ppl", "vgg16") == "ppl"
    with pytest.raises(KeyError, match="no variant of fid uses vgg16"):
        seen_through("fid", "vgg16")


def test_stand_ins_stand_behind_what_they_stand_for():
    assert alternatives("ppl") == ("ppl", "ppl_alex", "ppl_effnet")
    assert with_stand_ins(["mse", "fid", "fid"]) == ("mse", *alternatives("fid"))
    known = METRICS | {"fd_mine": Metric("lower", "", "t", "r", network="x", stands_in_for="fid")}
    assert with_stand_ins(["fid"], known)[-1] == "fd_mine"
    assert seen_through("fid", "x", known) == "fd_mine"


def test_what_compares_two_folders():
    higher = {name for name in comparing(SETS) if METRICS[name].direction == "higher"}
    assert {published_name(name) for name in higher} == {
        "precision",
        "recall",
        "density",
        "coverage",
    }
    assert {METRICS[name].direction for name in {*comparing(SETS)} - higher} == {"lower"}
    assert set(comparing(PAIRS)) >= {"ssim", "ssim_valid", "mse", "psnr", "lpips", "arcface"}
    assert not set(comparing(PAIRS)) & set(comparing(SETS))


def test_every_row_is_whole():
    for name, row in METRICS.items():
        assert NAME.fullmatch(name) and row.title and row.reference
        assert row.digits is not None  # ours are all written with the same decimals everywhere
        assert row.network or not row.only_on


@pytest.mark.parametrize(
    "fields",
    [{"digits": -1}, {"digits": 13}, {"paper_digits": 99}],
)
def test_digits_that_are_none(fields):
    with pytest.raises(ValueError, match="digits are a number from 0 to 12"):
        Metric("lower", "", "t", "r", **fields)


@pytest.mark.parametrize("size", [-1.0, math.nan, math.inf])
def test_a_margin_that_is_none(size):
    with pytest.raises(ValueError, match="a margin is a finite number from 0 up"):
        Margin(size)
