"""The trainings of the small NVAE and D2C: losses against closed forms, and files of a short one."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_trainings import small
from torch import distributions, nn

from benchmarks import systems
from benchmarks.systems.d2c import training as d2c
from benchmarks.systems.nvae import training as nvae
from benchmarks.systems.nvae.network import NVAE, Gaussian
from benchmarks.systems.shared.cells import WeightNormConv, start_norms
from benchmarks.systems.shared.logistic_mixture import LogisticMixture
from benchmarks.systems.shared.preset import settle
from diffae.diffusion.gaussian import linear_alphas
from diffae.diffusion.noise import generator
from diffae.networks.config import EPSILON
from diffae.train.images import Images
from diffae.train.stages import noised
from diffae.train.trainer import TrainingRun

ROOT = Path(__file__).parents[3]
SIZE = {"image_size": 16}
NARROW = {"channels_enc": 4, "channels_dec": 4, "groups": (2, 1)}
SMALL_NVAE = small("nvae", 80, NARROW | SIZE, **SIZE)
SHALLOW = {"channels": 8, "latent_side": 4, "unet_mult": (1, 1), "unet_blocks": 1}
SMALL_D2C = small("d2c", 32, SHALLOW, **SIZE)


@pytest.fixture
def images():
    """Two colours, one above the other, twelve times."""
    colours = np.random.default_rng(0).integers(0, 256, (12, 2, 1, 3))
    return np.repeat(np.repeat(colours, 8, axis=1), 16, axis=2).astype(np.uint8)


def test_kl_is_that_of_torch():
    torch.manual_seed(0)
    q, p = (Gaussian(torch.randn(3, 2, 4, 4), torch.rand(3, 2, 4, 4) + 0.1) for _ in range(2))
    wanted = distributions.kl_divergence(distributions.Normal(*q), distributions.Normal(*p))
    torch.testing.assert_close(nvae.kl(q, p), wanted.sum((1, 2, 3)))


def test_balancing_weighs_groups_by_their_kl_a_number():
    kls, sizes = torch.tensor([[4.0, 1.0], [2.0, 1.0]]), torch.tensor([30.0, 10.0])
    found = nvae.balance(kls, sizes)
    torch.testing.assert_close(found.mean(), torch.ones(()))
    torch.testing.assert_close(found[0] / found[1], torch.tensor((3.01 / 30) / (1.01 / 10)))


def test_the_loss_is_the_negative_elbo_once_warm(images):
    torch.manual_seed(0)
    learner = nvae.NVAELearner(NVAE(SMALL_NVAE.config)).eval()
    data, indices = Images(images, False, "cpu"), torch.arange(12)
    x = data.batch(indices)
    kls, log_likelihood = nvae.terms(learner.network, x, generator(0, "a", 0))
    elbo = log_likelihood - kls.sum(1)
    loss = nvae.loss_of(learner, data, warm_up=1)
    cold, warm = (loss(indices, generator(0, "a", 0)) for _ in range(2))
    torch.testing.assert_close(warm, -elbo.mean() / 768)
    torch.testing.assert_close(cold, -log_likelihood.mean() / 768)
    at_once = nvae.loss_of(nvae.NVAELearner(learner.network), data, warm_up=0)
    torch.testing.assert_close(at_once(indices, generator(0, "a", 0)), warm)


def test_a_new_weight_norm_is_the_convolution_it_was_made_with():
    torch.manual_seed(0)
    conv = WeightNormConv(3, 5, 3)
    plain = conv.weight.clone()
    start_norms(nn.Sequential(conv))
    torch.testing.assert_close(conv.kernel(), plain, rtol=1e-3, atol=1e-5)


def test_the_contrastive_loss_of_vectors_that_are_their_own_only():
    """Each finds its own with likeness 1 / t among n - 1 of likeness 0: log(1 + (n - 1) exp(-1 / t))."""
    found = d2c.info_nce(torch.eye(4), 3 * torch.eye(4), temperature=0.5)
    torch.testing.assert_close(found, torch.tensor(1 + 3 * np.exp(-2.0)).log().float())
    other = d2c.info_nce(torch.eye(4), torch.eye(4)[[1, 0, 2, 3]], temperature=0.5)
    assert other > found


def test_the_latent_loss_weighs_an_error_of_the_noise_by_what_it_does_to_the_code():
    """A network that says 0 misses by the noise itself: the mean of w_t eps^2, w_t = 1 / (a_t +
    floor) over its mean.
    """
    z, draw, a = torch.randn(64, 2, 4, 4), (0, "a", 0), linear_alphas()
    silent = SimpleNamespace(predict_noise=lambda x, t: torch.zeros_like(x))
    found = d2c.latent_loss(silent, z, {"floor": 0.5})(torch.arange(64), generator(*draw))
    _, t, target = noised(z, a, EPSILON, generator(*draw))
    w = 1 / (a + 0.5)
    expected = ((w / w.mean())[t] * target.double().square().mean((1, 2, 3))).mean()
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=0)
    assert w[999] / w[0] == pytest.approx((1 + 0.5) / 0.5, rel=1e-3)


def test_augmented_images_are_moved_mirrored_and_relit_each_for_itself():
    ramp = torch.linspace(-0.5, 0.5, 16).expand(64, 3, 16, 16)
    found = d2c.augmented(ramp, generator(0, "a", 0))
    assert found.shape == ramp.shape and found.abs().max() <= 1
    across = found[:, 0, 0]
    rising = (across.diff(dim=1) >= -1e-6).all(1)
    falling = (across.diff(dim=1) <= 1e-6).all(1)
    assert (rising | falling).all() and 16 < rising.sum() < 48
    assert len({round(float(one.mean()), 4) for one in found}) > 48  # 64 lights


def test_settled_batch_norms_have_the_statistics_of_the_data(images):
    torch.manual_seed(0)
    network = nn.Sequential(nn.BatchNorm2d(3))
    network[0].running_mean.fill_(7)
    network[0].num_batches_tracked.fill_(9)
    data = Images(images, False, "cpu")
    settle(network, network, data)
    x = data.batch(torch.arange(12))
    assert not network.training and network[0].momentum == 0.1
    torch.testing.assert_close(network[0].running_mean, x.mean((0, 2, 3)))
    torch.testing.assert_close(network[0].running_var, x.var((0, 2, 3)))


def train(preset, images, out):
    out.mkdir()
    return preset.train(images, out, TrainingRun(0, "test"), "cpu")


def test_a_short_training_of_nvae_writes_a_system(tmp_path, images):
    outcomes = train(SMALL_NVAE, images, tmp_path / "nvae")
    assert outcomes["autoencoder"].examples == 80
    system = systems.load("nvae", tmp_path / "nvae")
    x = Images(images, False, "cpu").batch(torch.arange(12))
    code = system.encode(x)
    assert system.latent_dim == 10 * (2 * 64 + 16)
    torch.manual_seed(0)
    before = NVAE(SMALL_NVAE.config).eval().logits(code.semantic)
    likelihood = [
        LogisticMixture(logits).log_likelihood(x, 8).mean()
        for logits in (before, system.logits(code))
    ]
    assert likelihood[1] > likelihood[0] + 0.2
    assert system.sample([0], 0, 1).shape == (1, 3, 16, 16)


def test_a_short_training_of_d2c_writes_a_system(tmp_path, images):
    outcomes = train(SMALL_D2C, images, tmp_path / "d2c")
    assert list(outcomes) == ["autoencoder", "latent"]
    system = systems.load("d2c", f"{tmp_path / 'd2c'}#skip=200")
    x = Images(images, False, "cpu").batch(torch.arange(12))
    z = system.encode(x).semantic
    mod = system.inner.model.latent_mod
    standard = mod.standardise(z)
    torch.testing.assert_close(standard.mean((0, 2, 3)), torch.zeros(8), atol=1e-2, rtol=0)
    torch.testing.assert_close(standard.std((0, 2, 3)), torch.ones(8), atol=1e-2, rtol=0)
    assert system.sample([0], 0, 1).shape == (1, 3, 16, 16)


HALVING = """
import torch
from benchmarks.systems.shared.cells import FactorizedReduce

halve = FactorizedReduce(4, 32)
x = torch.randn(32, 4, 32, 32).contiguous(memory_format=torch.channels_last).requires_grad_()
halve(x).square().sum().backward()
found = [p.grad.double() for p in halve.parameters()]
halve.double().zero_grad()
halve(x.detach().double()).square().sum().backward()
for gradient, p in zip(found, halve.parameters(), strict=True):
    torch.testing.assert_close(gradient, p.grad, rtol=1e-4, atol=1e-2)
"""


@pytest.mark.slow
def test_the_gradient_of_a_narrow_halving_is_right_on_a_processor_with_avx2():
    """There oneDNN writes that of a strided 1 x 1 convolution beyond its memory."""
    settings = {"ONEDNN_MAX_CPU_ISA": "AVX2", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", HALVING], env=os.environ | settings, check=True)
