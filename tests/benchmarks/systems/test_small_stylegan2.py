"""The training of the small StyleGAN2: each term of its losses against its definition."""

import numpy as np
import pytest
import torch
from small_trainings import small
from torch import nn
from torch.nn import functional as F

from benchmarks import systems
from benchmarks.systems.stylegan2 import training as stylegan2
from benchmarks.systems.stylegan2.network import StyleGAN2Config
from benchmarks.systems.stylegan2.training import Convolution, StyleGAN2Learner, with_deviation
from diffae.train.trainer import TrainingRun

TINY = StyleGAN2Config(channels=(8, 8), z_dim=8, w_dim=8, mapping_layers=2, mapping_width=8)


def noise(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture
def learner():
    torch.manual_seed(0)
    found = StyleGAN2Learner(TINY)
    for layer in found.network.synthesis.layers():
        layer.noise_strength.data.fill_(0.1)
    return found


def test_both_players_have_the_gradients_of_their_own_losses(learner):
    real = torch.rand(8, 3, 8, 8) * 2 - 1
    fake = learner.images(learner.styles(8, noise()), noise(1))
    total = stylegan2.adversarial(learner.critic, real, fake)
    ours, critics = list(learner.network.parameters()), list(learner.critic.parameters())
    found = torch.autograd.grad(total, [*ours, *critics], retain_graph=True)
    to_generator = F.softplus(-learner.critic(fake)).mean()
    to_critic = F.softplus(learner.critic(fake.detach())).mean()
    to_critic = to_critic + F.softplus(-learner.critic(real)).mean()
    expected = [*torch.autograd.grad(to_generator, ours), *torch.autograd.grad(to_critic, critics)]
    assert torch.allclose(total, to_critic)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_r1_of_a_plane_is_its_slope_squared():
    plane = nn.Sequential(nn.Flatten(), nn.Linear(48, 1))
    slope = plane[1].weight.square().sum()
    found = stylegan2.steepness(plane, torch.rand(5, 3, 4, 4))
    torch.testing.assert_close(found, slope)
    torch.testing.assert_close(
        torch.autograd.grad(found, plane[1].weight)[0], 2 * plane[1].weight.detach()
    )


def test_the_length_of_a_path_is_that_of_the_jacobian_transposed_times_noise(learner):
    """At its first step the average is 1 % of the lengths' mean."""
    ws = learner.styles(3, noise()).detach().requires_grad_()
    with torch.no_grad():
        source = noise(1)
        images = learner.images(ws, source)
        y = torch.from_numpy(source.standard_normal(images.shape, dtype=np.float32)) / 8

    def of_one(i: int) -> torch.Tensor:
        jacobian = torch.autograd.functional.jacobian(
            lambda w: learner.images(torch.cat([ws[:i], w[None], ws[i + 1 :]]), noise(1))[i],
            ws[i].detach(),
        )
        return torch.einsum("chw,chwld->ld", y[i], jacobian).square().sum(1).mean().sqrt()

    lengths = torch.stack([of_one(i) for i in range(3)])
    average = 0.01 * lengths.mean()
    found = stylegan2.unevenness(learner, ws, noise(1))
    torch.testing.assert_close(found, (lengths - average).square().mean())
    torch.testing.assert_close(learner.path, average)


def test_most_batches_mix_the_styles_of_two_z(learner):
    mixed = 0
    for seed in range(200):
        ws = learner.styles(2, noise(seed))
        cuts = (ws[:, 1:] != ws[:, :-1]).any(2).sum(1)
        assert cuts.max() <= 1 and len(set(cuts.tolist())) == 1
        mixed += int(cuts[0])
    assert 0.8 < mixed / 200 < 0.98  # 0.9; three standard errors are 0.06


def test_the_regularisers_come_every_so_many_steps(learner, monkeypatch):
    came = {"steepness": [], "unevenness": []}
    for name, steps in came.items():
        monkeypatch.setattr(
            stylegan2, name, lambda *_, s=steps: s.append(int(learner.steps) - 1) or torch.zeros(())
        )
    data = type("Data", (), {"batch": lambda self, i, n: torch.zeros(4, 3, 8, 8)})()
    loss = stylegan2.loss_of(learner, data, stylegan2.PRESET.weights)
    for step in range(33):
        loss(torch.arange(4), noise(step))
    assert came == {"steepness": [0, 16, 32], "unevenness": list(range(0, 33, 4))}


def test_the_deviation_of_a_batch_is_one_channel_of_groups_of_four():
    x = torch.randn(8, 5, 2, 2)
    found = with_deviation(x)
    assert torch.equal(found[:, :5], x) and found.shape == (8, 6, 2, 2)
    for first in (0, 1):
        group = x[first::2].numpy()
        expected = np.sqrt(group.var(0) + 1e-8).mean()
        np.testing.assert_allclose(found[first::2, 5], np.full((4, 2, 2), expected), rtol=1e-5)
    assert with_deviation(x[:1].repeat(4, 1, 1, 1))[:, 5].max() < 1e-3
    assert with_deviation(x[:3]).shape == (3, 6, 2, 2)


def test_halvings_keep_what_is_constant_and_begin_at_the_first_pixel():
    """Away from the edges, and centred: a ramp stays a ramp of twice the slope."""
    halve = Convolution(1, 1, 1, stride=2, linear=True)
    halve.weight.data.fill_(1.0)
    ramp = torch.arange(16.0).expand(1, 1, 16, 16)
    found = halve(ramp)[0, 0]
    assert found.shape == (8, 8)
    torch.testing.assert_close(found[3, 1:-1], torch.arange(0.5, 16, 2)[1:-1])
    assert Convolution(1, 1, 3, stride=2)(ramp).shape == (1, 1, 8, 8)


def test_the_preset_trains_and_both_systems_read_what_it_writes(tmp_path):
    narrow = {"channels": (8, 8, 8, 8), "z_dim": 8, "w_dim": 8, "mapping_width": 8}
    preset = small("stylegan2", 16, narrow)
    images = noise().integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)
    outcome = preset.train(images, tmp_path, TrainingRun(0, "test"), "cpu")["adversarial"]
    assert outcome.examples == 16 and outcome.skipped == 0
    for name, shape in (("stylegan2-w", (2, 8)), ("stylegan2-wplus", (2, 8, 8))):
        system = systems.load(name, f"{tmp_path}#steps=2,distance=mse")
        code = system.encode(torch.zeros(2, 3, 32, 32))
        assert code.semantic.shape == shape
        assert system.decode(code).shape == (2, 3, 32, 32)
    average = system.inner.model.mapping.w_avg
    assert average.abs().max() > 0
