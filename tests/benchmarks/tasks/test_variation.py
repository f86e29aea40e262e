"""The parts that x_T and z_sem decide, with decoders for which these are known."""

import numpy as np
import pytest
import torch

from benchmarks.core.runner.evaluation import rows
from benchmarks.metrics.diversity import pixel_std, ring_distance
from benchmarks.systems.protocol.base import DECODE, ENCODE, SEMANTIC, STOCHASTIC, Code, System
from benchmarks.tasks.variation import BENCHMARK, VARY_X_T, VARY_Z_SEM
from reports.page.pictures import read_sheet

pytestmark = pytest.mark.usefixtures("no_effnet")
C4 = 0.951532862  # expected standard deviation of 6 draws from N(0, 1), K - 1 in the denominator


class Mixture(System):
    """decode(z, x_T) = a z + b x_T, and z is the image."""

    capabilities = frozenset({ENCODE, DECODE, SEMANTIC, STOCHASTIC})
    image_size, latent_dim = 32, 2 * 3 * 32**2

    def __init__(self, a, b):
        self.a, self.b = a, b
        self.name = self.title = self.fingerprint = f"mixture-{a}-{b}"

    def encode_semantic(self, images):
        return images.flatten(1)

    def decode(self, code: Code, steps=100):
        return self.a * code.semantic.reshape(code.x_T.shape) + self.b * code.x_T


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


def test_the_picture_has_the_original_the_draws_their_mean_and_deviation(context):
    list(rows(BENCHMARK, context, [Mixture(1.0, 0.0)]))
    sheet = read_sheet(context.pictures / "variation-mixture-1.0-0.0-x_T.png")
    assert (sheet.columns[0], sheet.columns[-1]) == ("input", "standard deviation")
    assert len(sheet.lengths) > 1
    for row, length in enumerate(sheet.lengths):
        columns = [np.asarray(sheet.cell(row, k)).astype(int) for k in range(length)]
        assert len(columns) == 9
        for k in range(1, 8):
            assert np.abs(columns[k] - columns[0]).max() <= 1
        assert not columns[8].any()


def test_too_few_images_are_a_row_with_the_reason(context):
    context.profile = context.profile.changed_by({"variation.draws": 46})
    (record,) = rows(BENCHMARK, context, [Mixture(1.0, 0.0)])
    assert record.value is None and "46 are needed" in record.note


def test_ring_distance_and_standard_deviation_of_three_draws():
    draws = torch.tensor([-1.0, 0.0, 1.0]).reshape(3, 1, 1, 1, 1).expand(3, 2, 3, 8, 8)

    def difference(a, b):
        return (a - b).abs().flatten(1).mean(1)

    torch.testing.assert_close(ring_distance(draws, difference), torch.full((2,), 4 / 3))
    torch.testing.assert_close(pixel_std(draws), torch.full((2,), 0.5))
