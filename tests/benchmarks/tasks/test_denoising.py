"""The predicted x_0 against closed forms."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.core import store
from benchmarks.core.runner.evaluation import rows
from benchmarks.systems import load
from benchmarks.systems.protocol.base import PREDICT_X0, SEMANTIC, System
from benchmarks.tasks.denoising import BENCHMARK
from diffae.diffusion import noise
from diffae.diffusion.gaussian import add_noise, linear_alphas, x_0_of_noise
from diffae.model import DDIM, DiffusionAutoencoder
from diffae.train.presets import PRESETS


class NoNoiseAtAll(System):
    """Takes x_t for sqrt(a) x_0: it is wrong by sqrt((1 - a) / a) eps."""

    name = title = fingerprint = "no-noise"
    capabilities = frozenset({PREDICT_X0})
    latent_dim = 0

    def predict_x0(self, images_noised, t, semantic):
        assert semantic is None
        return images_noised / linear_alphas()[t].sqrt().float()


def test_mse_of_a_system_that_removes_no_noise(context):
    found = {(r.setting, r.metric): r for r in rows(BENCHMARK, context, [NoNoiseAtAll()])}
    for t in (20, 50):  # so little noise that nothing is clipped
        a = float(linear_alphas()[t])
        record = found[f"t = {t}", "mse"]
        assert record.value == pytest.approx((1 - a) / a / 4, rel=0.02)
        # of a chi-square of 3 x 32 x 32 normal numbers, over 40 images
        assert record.stderr == pytest.approx(record.value * (2 / 3072 / 40) ** 0.5, rel=0.35)
        assert record.n == 40
    assert found["t = 20", "ssim"].value > found["t = 50", "ssim"].value


class Told(NoNoiseAtAll):
    """Its semantic code is the image, which it predicts whatever it is shown."""

    name = title = fingerprint = "told"
    capabilities = frozenset({PREDICT_X0, SEMANTIC})
    latent_dim = semantic_dim = 3 * 32 * 32

    def encode_semantic(self, images):
        return images.flatten(1)

    def predict_x0(self, images_noised, t, semantic):
        return semantic.reshape(images_noised.shape)


def test_a_system_is_given_the_z_sem_of_each_image_and_the_protocol_says_so(context, monkeypatch):
    monkeypatch.setattr(store, "CHUNK", 16)
    for record in rows(BENCHMARK, context, [Told()]):
        assert record.value == pytest.approx({"mse": 0, "ssim": 1}[record.metric], abs=1e-6)
        assert record.measured_by["semantic"] == "of the image itself"
    for record in rows(BENCHMARK, context, [NoNoiseAtAll()]):
        assert record.measured_by["semantic"] is None


def noises_of(context):
    """eps of each t, in the order of the images, as a system saw it."""
    shown = {}

    class Spy(NoNoiseAtAll):
        def predict_x0(self, images_noised, t, semantic):
            shown.setdefault(t, []).append(images_noised)
            return super().predict_x0(images_noised, t, semantic)

    list(rows(BENCHMARK, context, [Spy()]))
    images = context.select("test", 40).batch(np.arange(40))
    alphas = linear_alphas()
    return {
        t: (torch.cat(x_t) - alphas[t].sqrt() * images) / (1 - alphas[t]).sqrt()
        for t, x_t in shown.items()
    }


def test_another_seed_is_other_noise_on_every_image(context):
    one, other = noises_of(context)[20], noises_of(replace(context, seed=1))[20]
    size = one[0].numel()
    both = one.flatten(1) @ other.flatten(1).T / size  # the images are in another order too
    assert both.abs().max() < 6 / size**0.5


def test_the_noise_of_an_image_is_its_own_and_the_same_at_every_t(context, monkeypatch):
    """eps = (x_t - sqrt(a) x_0) / sqrt(1 - a): standard normal, no two images alike, one for all t
    and systems.
    """
    monkeypatch.setattr(store, "CHUNK", 16)
    noises = noises_of(context)
    assert sorted(noises) == [20, 50]
    torch.testing.assert_close(noises[20], noises[50], rtol=0, atol=1e-4)
    eps = noises[50].flatten(1)
    assert abs(eps.mean()) < 0.01 and abs(eps.std() - 1) < 0.01
    correlation = torch.corrcoef(eps).fill_diagonal_(0)
    assert correlation.abs().max() < 6 / eps.shape[1] ** 0.5


def test_noise_belongs_to_an_image_and_not_to_its_place_in_the_order(context):
    """The noise is that of (seed, purpose, number of the image), whatever it is measured beside."""
    order = context.select("test", 40).order
    eps = noise.normal(context.seed, "denoising", order.tolist(), (3, 32, 32))
    assert (order != np.arange(40)).any()
    torch.testing.assert_close(noises_of(context)[50], eps, rtol=0, atol=1e-4)


def test_x_0_of_noise_undoes_add_noise():
    x_0, eps = torch.randn(2, 4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    a = linear_alphas()[[10, 200, 500, 900]]
    torch.testing.assert_close(
        x_0_of_noise(add_noise(x_0, eps, a), eps, a), x_0, rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("name", ["diffae", "ddim"])
def test_networks_that_predict_velocity(name, tmp_path):
    """x_0 = sqrt(a) x_t - sqrt(1 - a) v (Salimans and Ho, 2022, Appendix D)."""
    torch.manual_seed(0)
    kind, preset = {"diffae": (DiffusionAutoencoder, "portraits"), "ddim": (DDIM, "portraits-ddim")}[
        name
    ]  # fmt: skip
    model = kind(PRESETS[preset].model)
    with torch.no_grad():  # wake up the layers that start at zero
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.02)
    model.save_pretrained(tmp_path / name)
    system = load(name, tmp_path / name)
    x_t, t = (torch.randn(2, 3, 32, 32) / 2).clamp(-1, 1), 500
    z = system.encode_semantic(x_t) if name == "diffae" else None
    v = system.inner.model.unet(x_t, torch.full((2,), t), z)
    a = linear_alphas()[t]
    expected = (a.sqrt() * x_t - (1 - a).sqrt() * v).clamp(-1, 1).float()
    torch.testing.assert_close(system.predict_x0(x_t, t, z), expected, rtol=0, atol=1e-4)
