"""The parts that x_T and z_sem decide, with decoders for which these are known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from systems import Mixture
from torch.nn.functional import avg_pool2d, interpolate

from benchmarks.core.runner.evaluation import rows
from benchmarks.metrics.diversity import (
    estimate_posterior,
    of_posterior,
    pixel_std,
    ring_distance,
)
from benchmarks.metrics.units import Units
from benchmarks.systems.protocol.base import DECODE, ENCODE, SEMANTIC, STOCHASTIC, Code, System
from benchmarks.tasks.variation import BENCHMARK, VARY_X_T, VARY_Z_SEM
from diffae.data import open_dataset
from reports.records.estimate import Estimate, influences_of_groups

pytestmark = pytest.mark.usefixtures("no_effnet")
C4 = 0.951532862  # expected standard deviation of 6 draws from N(0, 1), K - 1 in the denominator


def values(context, system):
    return {(r.setting, r.metric): r for r in rows(BENCHMARK, context, [system])}


def test_a_decoder_of_noise_alone(context):
    found = values(context, Mixture(0.0, 0.1))
    assert found[VARY_Z_SEM, "pixel_std"].value == 0
    assert found[VARY_Z_SEM, "diversity_effnet"].value == pytest.approx(0, abs=1e-6)
    record = found[VARY_X_T, "pixel_std"]
    assert record.value == pytest.approx(0.05 * C4, rel=0.01)  # [-1, 1] to [0, 1] halves it
    assert record.n == 7
    assert found[VARY_X_T, "diversity_effnet"].value > 0.01


def test_a_decoder_of_z_sem_alone(context):
    found = values(context, Mixture(1.0, 0.0))
    assert found[VARY_X_T, "pixel_std"].value == 0
    assert found[VARY_X_T, "diversity_effnet"].value == pytest.approx(0, abs=1e-6)
    groups = context.select("test", 42).batch(np.arange(42)).reshape(7, 6, 3, 32, 32)
    expected = (groups / 2).numpy().std(1, ddof=1).mean((1, 2, 3))
    record = found[VARY_Z_SEM, "pixel_std"]
    assert record.value == pytest.approx(expected.mean(), rel=1e-5)
    assert record.stderr == pytest.approx(expected.std(ddof=1) / np.sqrt(7), rel=1e-4)


def test_too_few_images_are_a_row_with_the_reason(context):
    context.profile = context.profile.changed_by({"variation.draws": 46})
    (record,) = rows(BENCHMARK, context, [Mixture(1.0, 0.0)])
    assert record.value is None and "46 are needed" in record.note


def test_one_draw_is_a_row_with_the_reason(context):
    context.profile = context.profile.changed_by({"variation.draws": 1})
    (record,) = rows(BENCHMARK, context, [Mixture(1.0, 0.1)])
    assert record.value is None
    assert record.note == "one draw has no spread: --set variation.draws=2, or more"


# ----------------------------------------------------------------------------------------------
# Draws about their original


SIGMA, SIDE, BLOCK = 0.2, 16, 8  # of the noise in [-1, 1]


class Posterior(System):
    """Images are flat blocks with normal noise. The code is the mean of each block, and what is decoded a
    sample of the posterior, with noise of `scale` times the right deviation.
    """

    capabilities = frozenset({ENCODE, DECODE, SEMANTIC, STOCHASTIC})
    image_size, semantic_dim, latent_dim = SIDE, 12, 12 + 3 * SIDE**2

    def __init__(self, scale):
        self.scale = scale
        self.name = self.title = self.fingerprint = f"posterior-{scale}"

    def encode_semantic(self, images):
        return avg_pool2d(images, BLOCK).flatten(1)

    def decode(self, code: Code, steps=100):
        means = code.semantic.reshape(-1, 3, SIDE // BLOCK, SIDE // BLOCK)
        rest = code.x_T - interpolate(avg_pool2d(code.x_T, BLOCK), SIDE)
        return interpolate(means, SIDE) + self.scale * SIGMA * rest


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """200 images of flat blocks with noise of deviation SIGMA."""
    folder, rng = tmp_path_factory.mktemp("noisy"), np.random.default_rng(0)
    for index in range(200):
        blocks = rng.uniform(-0.2, 0.2, (2, 2, 3)).repeat(BLOCK, 0).repeat(BLOCK, 1)
        unit = (blocks + SIGMA * rng.normal(size=blocks.shape) + 1) / 2
        pixels = (255 * unit).round().clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:03}.png", compress_level=1)
    return open_dataset(folder, SIDE)


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 1.5])
def test_samples_of_the_posterior_are_calibrated(context, noisy, scale):
    """Their variance is the error of their mean, so that two draws of one image have twice its error."""
    context.dataset = noisy
    found = values(context, Posterior(scale))
    calibrated, variance, bias, psnr, of_mean = (
        found[VARY_X_T, name]
        for name in ("calibration", "seed_variance", "seed_bias", "psnr", "psnr_of_mean")
    )
    of_pixel = SIGMA**2 / 4 * (1 - 1 / BLOCK**2)  # in [0, 1]
    assert variance.value == pytest.approx(scale**2 * of_pixel, rel=0.05)
    assert bias.value == pytest.approx(of_pixel, rel=0.05)
    assert calibrated.value == pytest.approx(scale**2, abs=3 * calibrated.stderr + 1e-12)
    assert calibrated.stderr < 0.15 and (scale > 0) == (calibrated.stderr > 0)
    assert (variance.value + bias.value) / bias.value == pytest.approx(1 + scale**2, rel=0.06)
    mse, of_six = ((1 + scale**2 / count) * of_pixel for count in (1, 6))
    assert psnr.value == pytest.approx(-10 * np.log10(mse), abs=0.2)
    assert of_mean.value == pytest.approx(-10 * np.log10(of_six), abs=0.2)
    assert not {name for varies, name in found if varies == VARY_Z_SEM} & {"calibration", "psnr"}


def test_each_image_that_varies_has_its_own_draws_and_its_person(context):
    """The first of each group, with the x_T of all of the group."""
    context.dataset = replace(context.dataset, identities=np.arange(150) // 40)
    found = values(context, Mixture(0.3, 0.1))
    selection = context.select("test", 42)
    x = selection.batch(np.arange(42)).reshape(7, 6, 3, 32, 32)[:, 0].double()
    noise = Mixture(0, 0).random_x_T(selection.order.tolist(), 0).reshape(7, 6, 3, 32, 32)
    draws = (0.3 * x[:, None] + 0.1 * noise + 1) / 2
    v = draws.var(1).mean((1, 2, 3))
    b = (draws.mean(1) - (x + 1) / 2).square().mean((1, 2, 3)) - v / 6
    each = -10 * ((draws - (x[:, None] + 1) / 2).square().mean((2, 3, 4))).log10()
    of_mean = -10 * (b + v / 6).log10()
    expected = {"seed_variance": v, "seed_bias": b, "psnr": each.mean(1), "psnr_of_mean": of_mean}
    persons = context.dataset.identities[selection.order[::6]]
    for name, scores in expected.items():
        row = found[VARY_X_T, name]
        assert row.value == pytest.approx(float(scores.mean()), rel=1e-4), name
        np.testing.assert_allclose(row.estimate.scores.values, scores, rtol=1e-3)
        assert row.estimate.scores.images.tolist() == selection.order[::6].tolist()
        assert row.estimate.influences[0].units.startswith("persons")
        influences = influences_of_groups(of_influence(scores.numpy()), persons, "")
        assert row.stderr == pytest.approx(Estimate(None, influences).stderr, rel=1e-2)
        assert "perceptual_network" not in row.measured_by
    row = found[VARY_X_T, "calibration"]
    ratio = v.mean() / b.mean()
    assert row.value == pytest.approx(float(ratio), rel=1e-4) and row.n == 7
    influence = of_influence(((v - ratio * b) / b.mean()).numpy())
    by_person = Estimate(None, influences_of_groups(influence, persons, ""))
    assert row.stderr == pytest.approx(by_person.stderr, rel=1e-2)


def of_influence(values):
    return (values - values.mean()) / np.sqrt(len(values) * (len(values) - 1))


def test_a_decoder_without_error_has_no_calibration(context):
    """0/0."""
    found = values(context, Mixture(1.0, 0.0))
    row = found[VARY_X_T, "calibration"]
    assert (row.value, row.note) == (None, "the mean over x_T has no error beyond chance")
    assert found[VARY_X_T, "seed_variance"].value == found[VARY_X_T, "seed_bias"].value == 0
    assert found[VARY_X_T, "psnr"].note == "the value is infinite"
    for bias in ([-1.0, 0.5], [-0.5, 0.5]):  # of noise about 0, and 0
        scores = dict.fromkeys(("seed_variance", "psnr", "psnr_of_mean"), np.ones(2))
        scores["seed_bias"] = np.array(bias)
        estimate = estimate_posterior(scores, Units("images", np.arange(2)))["calibration"]
        assert (estimate.value, estimate.influences) == (None, ())


def test_the_error_of_a_calibration_is_that_of_new_people():
    """Pictures of a person are as blurred as each other; 4 draws of each, and people drawn 200 times."""
    torch.manual_seed(0)
    found, errors, units = [], [], Units("images", np.arange(60), np.arange(60) // 2)
    for _ in range(200):
        blur = (0.1 + 0.1 * torch.rand(30)).repeat_interleave(2)[:, None, None, None]
        truth, draws = (torch.randn(*count, 60, 3, 4, 4) * blur for count in ((), (4,)))
        scores = {name: score.numpy() for name, score in of_posterior(draws, truth).items()}
        estimate = estimate_posterior(scores, units)["calibration"]
        found.append(estimate.value)
        errors.append(estimate.stderr)
    assert np.mean(found) == pytest.approx(1, abs=3 * np.std(found) / 200**0.5 + 0.01)
    assert 0.8 < np.sqrt(np.square(errors).mean()) / np.std(found, ddof=1) < 1.25


def test_ring_distance_and_standard_deviation_of_three_draws():
    draws = torch.tensor([-1.0, 0.0, 1.0]).reshape(3, 1, 1, 1, 1).expand(3, 2, 3, 8, 8)

    def difference(a, b):
        return (a - b).abs().flatten(1).mean(1)

    torch.testing.assert_close(ring_distance(draws, difference), torch.full((2,), 4 / 3))
    torch.testing.assert_close(pixel_std(draws), torch.full((2,), 0.5))
