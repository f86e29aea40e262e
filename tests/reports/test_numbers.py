from dataclasses import replace

import pytest

from diffae.diffusion.scheme import find
from reports.records.record import FAST_SOLVER, Record
from reports.tables.numbers import error_text, number_text, published_text, steps_text


def record(metric, value, stderr=None, published=None):
    return Record("b", "t", "s", "d", "test", "", None, metric, value, stderr, published=published)


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
    ("metric", "value", "stderr", "text"),
    [
        ("ssim", 0.99, 0.00123, " ± 0.0012"),
        ("ssim", 0.99, 0.000012, " ± 1e-05"),
        ("mse", 6e-5, 1.21e-6, " ± 1.2e-06"),
        ("ssim", 0.99, 0.0, " ± 0.0000"),
        ("ssim", 0.99, None, ""),
        ("ssim", None, None, ""),
    ],
)
def test_errors_keep_a_digit(metric, value, stderr, text):
    assert error_text(record(metric, value, stderr)) == text


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
