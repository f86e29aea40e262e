"""The table of metrics: values that other code relies on."""

import math

import pytest

from benchmarks.metrics.groups import metrics_of
from reports.records.metric import NAME, Margin, Metric
from reports.records.metrics import (
    FEATURE_NETWORKS,
    METRICS,
    alternatives,
    published_name,
    seen_through,
    with_stand_ins,
)
from reports.records.metrics import OF_CODES as CODES
from reports.records.run_folder import read_margins

# By size and whether it is a share of the baseline's value. Those of codes are half a unit of the digit
# before the last that is printed.
MARGINS = {
    (0.5, False): "attrs",
    (0.01, False): "psnr psnr_of_mean",
    (0.005, False): "fid rfid ifid pfid tad",
    (0.0005, False): (
        "ssim ssim_valid ms_ssim worse_with_more lpips lpips_vgg auroc ap accuracy top1 top5 cmmd "
        "spectrum_kl arcface id_dlib "
        "knn ridge_r2 pearson_r label_mse code_length dci_d dci_c dci_i mig sap modularity "
        "explicitness infom infoc infoe beta_vae factor_vae mcc cca equivariance "
        "off_target gain kept direction_r2 effectiveness on_target composition reversibility "
        "leak_out lec leak_mean leak_max direction_consistency lec_frobenius composition_l1 f1"
    ),
    (0.0001, False): "id_portraits",
    (0.000005, False): "kid rkid ikid pkid",
    (0.01, True): "ppl ppl_alex ppl_effnet",
    (0.005, True): "pd_effnet",
    (0.002, True): "mse seed_bias",
}


def all_margins() -> dict[str, tuple[float, bool]]:
    margins = {name: margin for margin, names in MARGINS.items() for name in names.split()}
    for metric in ("precision", "recall", "density", "coverage"):
        for suffix in ("", "_effnet", *(f"_{network}" for network in FEATURE_NETWORKS)):
            margins[metric + suffix] = (0.0005, False)
    for distance in ("fd", "kd", "rfd", "rkd", "ifd", "ikd", "pfd", "pkd"):
        for network in ("effnet", *FEATURE_NETWORKS):
            margins[f"{distance}_{network}"] = (0.0005, True)
    return margins


def test_margins_are_what_they_were():
    read = {name: (margin.size, margin.is_share) for name, margin in read_margins().items()}
    known = all_margins()
    assert {name: margin for name, margin in read.items() if name in known} == known
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
    assert seen_through("fid", "efficientnet-lite0") == "fd_effnet"


def test_what_compares_two_folders():
    higher = {
        name for name in metrics_of("features of two sets") if METRICS[name].direction == "higher"
    }
    assert {published_name(name) for name in higher} == {
        "precision",
        "recall",
        "density",
        "coverage",
    }
    assert {METRICS[name].direction for name in {*metrics_of("features of two sets")} - higher} == {
        "lower"
    }
    assert set(metrics_of("pairs of images")) >= {
        "ssim",
        "ssim_valid",
        "mse",
        "psnr",
        "lpips",
        "arcface",
    }
    assert not set(metrics_of("pairs of images")) & set(metrics_of("features of two sets"))


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
