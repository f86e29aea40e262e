"""The trainings of the small VQ-VAE-2 and VQ-GAN: each term of their losses against its definition."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_trainings import small
from torch.nn import functional as F

from benchmarks import systems
from benchmarks.systems.vqgan import training as vqgan
from benchmarks.systems.vqvae2 import training as vqvae2
from benchmarks.systems.vqvae2.network import VQVAE2, Codebook
from diffae.diffusion.noise import generator
from diffae.train.images import Images
from diffae.train.step import Training
from diffae.train.trainer import TrainingRun
from diffae.train.types import Adam

NOISE = np.random.default_rng(0)


def portraits(n: int = 64) -> np.ndarray:
    """Smooth pictures of one colour each, which a few codes can tell."""
    rows = np.linspace(0, 1, 32)[None, :, None, None]
    colours = np.random.default_rng(0).integers(0, 256, (n, 1, 1, 3))
    return (rows * colours * np.ones((n, 32, 32, 1))).astype(np.uint8)


# ------------------------------------------------------------------------------------------------
# Codebooks


def test_codes_follow_the_moving_averages_of_those_that_chose_them():
    """N <- 0.99 N + 0.01 n, m <- 0.99 m + 0.01 sum, code = m / N smoothed: by hand, for two codes."""
    book = Codebook(2, 2)
    book.cluster_size.copy_(torch.tensor([2.0, 1.0]))
    book.embed_avg.copy_(torch.tensor([[2.0, 0.0], [0.0, 3.0]]))
    vectors = torch.tensor([[1.0, 1.0], [3.0, 1.0], [0.0, 5.0]])
    vqvae2.learn(book, vectors, torch.tensor([0, 0, 1]), NOISE)
    sizes = torch.tensor([0.99 * 2 + 0.02, 0.99 * 1 + 0.01])
    sums = torch.tensor([[0.99 * 2 + 0.04, 0.0], [0.02, 0.99 * 3 + 0.05]])
    assert torch.allclose(book.cluster_size, sizes) and torch.allclose(book.embed_avg, sums)
    smoothed = (sizes + 1e-5) / (3 + 2e-5) * 3
    assert torch.allclose(book.embed, sums / smoothed)


def test_a_code_that_nothing_chooses_becomes_a_vector_of_the_batch():
    book = Codebook(2, 3)
    book.cluster_size.copy_(torch.tensor([1.0, 0.0, 1.0]))
    kept = book.embed[:, [0, 2]].clone()
    book.embed_avg.copy_(book.embed)
    vectors = torch.tensor([[7.0, 8.0], [7.0, 8.0]])
    vqvae2.learn(book, vectors, torch.tensor([0, 2]), NOISE)
    assert torch.allclose(book.embed[:, 1], vectors[0], atol=1e-3)
    assert (book.embed[:, [0, 2]] - kept).norm(dim=0).max() < 0.2  # the others go on


def test_the_gradient_of_the_rounded_is_that_of_the_map_and_the_encoder_is_held_to_its_codes():
    book = Codebook(4, 8)
    book.cluster_size.fill_(1.0)
    maps = torch.randn(2, 4, 3, 3, requires_grad=True)
    nearest = book.vectors(book.indices(maps.detach()))
    vectors, error = vqvae2.quantise(book, maps, NOISE)
    assert torch.allclose(vectors, nearest, atol=1e-6)
    assert torch.allclose(error, (nearest - maps).square().mean())
    weights = torch.randn_like(maps)
    (grad,) = torch.autograd.grad((vectors * weights).sum(), maps, retain_graph=True)
    assert torch.equal(grad, weights)
    (grad,) = torch.autograd.grad(error, maps)
    assert torch.allclose(grad, 2 * (maps - nearest) / maps.numel())


def test_what_is_not_finite_teaches_no_code():
    book = Codebook(2, 3)
    before = {name: value.clone() for name, value in book.state_dict().items()}
    vqvae2.learn(book, torch.full((2, 2), torch.nan), torch.tensor([0, 1]), NOISE)
    assert all(torch.equal(before[name], value) for name, value in book.state_dict().items())


# ------------------------------------------------------------------------------------------------
# The adversary


def test_hinge_loss():
    """1/2 (mean of relu(1 - real), 0 and 2, + mean of relu(1 + fake), 0 and 1.5)."""
    found = vqgan.hinge(torch.tensor([1.5, -1.0]), torch.tensor([-2.0, 0.5]))
    assert found.item() == pytest.approx(0.5 * (1.0 + 0.75))


def test_the_adversary_is_weighed_by_the_gradients_at_the_last_layer():
    """Against the losses' own gradients, taken one by one (eq. 7)."""
    last = torch.randn(3, 4, 1, 1, requires_grad=True)
    image = F.conv2d(torch.randn(2, 4, 5, 5), last)
    first, second = image.square().mean(), (image - 1).abs().mean()
    grads = [torch.autograd.grad(one, last, retain_graph=True)[0] for one in (first, second)]
    w = 0.75 * grads[0].norm() / (grads[1].norm() + 1e-4)
    found = vqgan.balanced(image, last, first, second, 0.75)
    assert found.item() == pytest.approx((first + w * second).item(), rel=1e-5)
    (grad,) = torch.autograd.grad(found, last)
    assert torch.allclose(grad, grads[0] + w * grads[1], rtol=1e-4, atol=1e-6)


def test_fooling_the_discriminator_does_not_teach_it():
    critic = vqgan.Patches(8)
    images = torch.randn(2, 3, 32, 32, requires_grad=True)
    numbers = critic.without_learning(images)
    assert torch.equal(numbers, critic(images)) and numbers.shape == (2, 1, 6, 6)
    numbers.sum().backward()
    assert images.grad is not None and images.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in critic.parameters())


# ------------------------------------------------------------------------------------------------
# Whole trainings

TINY = {
    "vqvae2": {"channel": 8, "res_blocks": 1, "res_channel": 4, "embed_dim": 4, "n_embed": 16},
    "vqgan": {"ch": 8, "ch_mult": (1, 1, 1), "embed_dim": 4, "n_embed": 16, "norm_groups": 4}
    | {"attn_resolutions": (), "z_channels": 4},
}


def tiny(name: str, steps: int):
    return small(name, 8 * steps, TINY[name])


@pytest.fixture
def data() -> Images:
    return Images(portraits(), False, "cpu")


@pytest.fixture
def learner():
    pytest.importorskip("diffusers")
    torch.manual_seed(0)
    return vqgan.VQGANLearner(tiny("vqgan", 3).config, 8)


@pytest.mark.parametrize("name", TINY)
def test_a_training_gives_a_folder_that_is_a_system(name, data, tmp_path):
    """Twice the same, as all of its randomness is of its seed."""
    if name == "vqgan":
        pytest.importorskip("diffusers")
    found = []
    for out in ("a", "b"):
        (tmp_path / out).mkdir()
        tiny(name, 2).train(portraits(), tmp_path / out, TrainingRun(0, "a test"), "cpu")
        system = systems.load(name, tmp_path / out)
        x = data.batch(torch.arange(4))
        found.append(system.decode(system.encode(x)))
    assert found[0].shape == (4, 3, 32, 32) and torch.equal(*found)


def test_vqvae2_learns_and_uses_its_codes(data):
    torch.manual_seed(0)
    preset = tiny("vqvae2", 40)
    network = VQVAE2(preset.config)
    schedule = replace(preset.schedules["autoencoder"], learning_rate=5e-3)
    training = Training(network, schedule, 0)
    loss = vqvae2.loss_of(network, data, 0.25)
    losses = [training.advance(loss, torch.arange(16)) for _ in range(40)]
    assert losses[-1] < 0.5 * losses[0]
    assert len(network.encode(data.batch(torch.arange(16)))[1].unique()) >= 4


def test_vqgan_s_two_players_each_learn_by_their_own_loss(data, learner):
    """Of one scalar: the critic's gradient is that of the hinge, and the network's is not changed
    by it.
    """
    learner.usage.fill_(1.0)  # no code is replaced
    weights = vqgan.PRESET.weights | {"discriminator_start": 0}
    perceptual = vqgan.PerceptualLoss("cpu")
    vqgan.loss_of(learner, data, perceptual, weights)(
        torch.arange(4), generator(0, "x", 0)
    ).backward()
    grads = [parameter.grad.clone() for parameter in learner.critic.parameters()]
    x = data.batch(torch.arange(4))
    fake = learner(x, generator(0, "x", 0))[0].detach()
    expected = torch.autograd.grad(
        vqgan.hinge(learner.critic(x), learner.critic(fake)), list(learner.critic.parameters())
    )
    for grad, one in zip(grads, expected, strict=True):
        assert torch.allclose(grad, one, rtol=1e-3, atol=1e-6)
    assert learner.network.quantize.embedding.weight.grad.abs().max() > 0


def test_the_discriminator_waits_for_its_time(data, learner):
    weights = vqgan.PRESET.weights | {"discriminator_start": 2}
    loss = vqgan.loss_of(learner, data, vqgan.PerceptualLoss("cpu"), weights)
    training = Training(learner, tiny("vqgan", 3).schedules["autoencoder"], 0, adam=Adam())
    before = [parameter.clone() for parameter in learner.critic.parameters()]
    moved = []
    for _ in range(3):
        training.advance(loss, torch.arange(4))
        pairs = zip(before, learner.critic.parameters(), strict=True)
        moved.append(any(not torch.equal(a, b) for a, b in pairs))
    assert moved == [False, False, True]
