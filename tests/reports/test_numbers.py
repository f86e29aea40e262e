import math
from dataclasses import replace

import pytest
from scipy.stats import norm

from diffae.diffusion.scheme import find
from reports.records.estimate import Error, Estimate
from reports.records.metrics import METRICS
from reports.records.record import FAST_SOLVER, HIGHER, LOWER, NEITHER, Record
from reports.tables import layout
from reports.tables.numbers import (
    detectable_change,
    difference_text,
    error_pair,
    heading,
    metric_label,
    number_text,
    published_text,
    reference_text,
    steps_text,
    to_error,
)


def record(metric, value, stderr=None, published=None):
    estimate = Estimate(value, error=None if stderr is None else Error(stderr, 9))
    return Record("b", "t", "s", "d", "test", "", None, metric, estimate, published=published)


@pytest.mark.parametrize(
    ("solver", "text"),
    [("ddim", "T = 4"), ("ab2-v", "T = 4 by fast"), ("ab2-v:power-3", "T = 4 by ab2-v:power-3")],
)
def test_a_solver_has_the_name_that_is_typed(solver, text):
    assert str(find("fast")) == FAST_SOLVER
    assert steps_text(replace(record("ssim", 0.5), steps=4, solver=solver)) == text


@pytest.mark.parametrize(
    ("number", "metric", "text"),
    [
        (0.99124, "ssim", "0.9912"),
        (0.0012345, "mse", "0.0012"),
        (0.00061, "mse", "6.10e-04"),
        (0.0, "mse", "0.0000"),
        (3.1e-6, "kid", "0.0000031"),
        (-3.1e-6, "kid", "-0.0000031"),
        (1.25e-13, "kid", "1.2e-13"),
        (10.594, "fid", "10.59"),
        (0.92512, "auroc", "0.9251"),
        (-0.25, "id_portraits", "-0.2500"),
        (6005760.0, "latent_dim", "6,005,760"),
        (7.0, "unheard_of", "7"),
        (0.000123456, "unheard_of", "0.0001235"),
        (float("nan"), "ssim", "nan"),
        (float("inf"), "psnr", "inf"),
    ],
)
def test_digits_by_metric(number, metric, text):
    assert number_text(number, metric) == text


@pytest.mark.parametrize(
    ("metric", "value", "stderr", "texts"),
    [
        ("ssim", 0.99, 0.00123, ("0.9900", "0.0012")),
        ("ssim", 0.99, 0.000012, ("0.990000", "0.000012")),
        ("ssim", 0.99, 0.0, ("0.9900", "0.0000")),
        ("ssim", 0.99, None, ("0.9900", "")),
        ("mse", 0.00148, 3.7e-5, ("0.001480", "0.000037")),
        ("mse", 0.00098, 2.9e-4, ("9.8e-04", "2.9e-04")),
        ("mse", 6e-5, 1.21e-6, ("6.00e-05", "1.2e-06")),
        ("mse", 6e-5, 1e-4, ("6.0e-05", "1.00e-04")),
        ("mse", 6e-5, 0.0, ("6.00e-05", "0.0000")),
        ("kd_effnet", 0.000891, 0.0000452, ("0.000891", "0.000045")),
        ("kid", 0.01, 1.23e-6, ("0.0100000", "0.0000012")),
        ("kid", -3e-6, 0.002, ("0.00000", "0.00200")),
        ("fid", 1234.5, 123.4, ("1,234.50", "123.40")),
        ("unheard_of", 0.123456, 0.0123, ("0.123", "0.012")),
        ("unheard_of", 2e15, 1e14, ("2.00e+15", "1.0e+14")),
        ("unheard_of", 7.0, 0.0, ("7", "0")),
    ],
)
def test_a_value_and_its_error_have_the_same_last_digit(metric, value, stderr, texts):
    assert error_pair(value, stderr, metric) == texts
    shown = layout.value(record(metric, value, stderr))
    assert shown.text + shown.errors == (" ± ".join(texts) if texts[1] else texts[0])


def test_what_was_not_measured_has_no_error():
    shown = layout.value(record("ssim", None, 0.1))
    assert (shown.text, shown.errors) == ("n/a", "")


@pytest.mark.parametrize(
    ("metric", "published", "text"),
    [
        ("ssim", 0.6, "0.600"),
        ("mse", 6.07e-5, "6.07e-05"),
        ("mse", 0.00361, "0.00361"),
        ("mse", 0.0, "0.000"),
        ("fid", 16.1, "16.10"),
        ("ppl", 2634.14, "2,634.14"),
        ("latent_dim", 327680.0, "327,680"),
    ],
)
def test_published_values_look_as_in_the_paper(metric, published, text):
    assert published_text(record(metric, 1.0, published=published)) == text


def of(metric="ssim", value=0.996, published=0.991, direction=HIGHER, **more):
    return Record(
        "b", "t", "s", "d", "test", "", None, metric, Estimate(value), published=published,
        direction=direction, **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("record", "difference", "reference"),
    [
        (of(), "+0.005", "0.991, +0.005"),
        (of(value=0.9), "-0.091", "0.991, -0.091"),
        (of(value=0.991), "+0.000", "0.991, +0.000"),
        (of(value=0.99112), "+0.00012", "0.991, +0.00012"),
        (of("mse", 0.00104, 0.001, LOWER), "+0.000040", "0.001, +0.000040"),
        (of(value=0.0), "-0.991", "0.991, -0.991"),
        (of(published=0.0, value=0.5), "+0.500", "0.000, +0.500"),
        (of(published=0.12345, value=0.5), "+0.38", "0.12345, +0.38"),
        (of("fid", 1245.5, 10.25, LOWER), "+1,235.25", "10.25, +1,235.25"),
        (of(published=None), "", ""),
        (of(value=None), "", "0.991"),
        (of(value=math.nan), "", "0.991"),
        (of(value=math.inf), "", "0.991"),
        (of(direction=NEITHER), "", "0.991"),
        (of(published_metric="ssim"), "+0.005", "0.991, +0.005"),
        (of(published_metric="lpips"), "", "0.991"),
        (of(not_comparable="n"), "", "(0.991)"),
        (of(not_comparable="n", published=None), "", ""),
    ],
)
def test_ours_minus_what_was_published(record, difference, reference):
    """Where the two are of one metric that has a better direction, and may be compared."""
    assert (difference_text(record), reference_text(record)) == (difference, reference)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.98765, 0.0123, "0.988"), (0.98765, 0.0999, "0.988"), (0.98765, 0.1, "0.99"),
        (12345.678, 1.0, "12,345.7"), (12345.678, 123.0, "12,346"), (0.0, 0.0123, "0.000"),
        (0.0012, 10.0, "0.0012"), (-0.98765, 0.0123, "-0.988"), (0.5, 0.0, "0.5"),
        (0.123456789, 0.0, "0.123457"), (0.5, math.inf, "0.5"), (0.5, math.nan, "0.5"),
        (math.inf, 0.1, "inf"), (math.nan, 0.1, "nan"), (1.5e-9, 1.0e-10, "1.50e-09"),
        (2.0e15, 1.0e14, "2.00e+15"), (0.0, 1e-9, "0e+00"),
    ],
)  # fmt: skip
def test_a_value_is_rounded_to_the_second_digit_of_its_error(value, error, text):
    assert to_error(value, error) == text


@pytest.mark.parametrize(
    ("metrics", "text"),
    [
        ([("ssim", HIGHER, "", 0.5)], "SSIM ↑"),
        ([("psnr", HIGHER, "dB", 0.5)], "PSNR (dB) ↑"),
        ([("psnr", HIGHER, "dB", 0.0), ("psnr", HIGHER, "dB", 1.0)], "PSNR (dB) ↑"),
        ([("psnr", HIGHER, "dB", 0.5), ("psnr", HIGHER, "", 0.5)], "PSNR"),
        ([("psnr", HIGHER, "dB", 0.5), ("psnr", LOWER, "dB", None)], "PSNR (dB) ↑"),
        ([("psnr", HIGHER, "dB", None)], "PSNR"),
        ([("latent_dim", NEITHER, "", 2.0)], "latent size"),
        ([("unheard_of", LOWER, "", 2.0)], "unheard_of ↓"),
        ([], "any metric"),
    ],
)
def test_a_heading_has_the_unit_and_the_arrow_that_all_share(metrics, text):
    records = [of(m, value, direction=d, unit=unit) for m, d, unit, value in metrics]
    assert heading(metrics[0][0] if metrics else "", records) == text
    assert metric_label("") == "any metric" and metric_label("unheard_of") == "unheard_of"


def test_a_detectable_change_is_found_by_two_runs_four_times_in_five():
    """Of two independent normal numbers: the power of a two-sided test at the 5 % level."""
    assert detectable_change(None) is None and detectable_change(0.0) == 0
    change = detectable_change(0.25) / (0.25 * math.sqrt(2))
    power = norm.sf(norm.ppf(0.975) - change) + norm.cdf(norm.ppf(0.025) - change)
    assert power == pytest.approx(0.8, abs=1e-4)


def test_a_metric_without_decimals_has_a_difference_without():
    known = {"m": replace(METRICS["psnr"], digits=0, paper_digits=None)}
    record = of("m", 1234.0, 10.0)
    assert (difference_text(record, known), published_text(record, known)) == ("+1,224", "10")
