"""One step of training against its equations, and overfitting on eight images."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_preset import TINY, pictures

from diffae.diffusion.noise import ExampleNoise, normals
from diffae.model import DiffusionAutoencoder
from diffae.networks.config import VELOCITY
from diffae.train.images import Images
from diffae.train.stages import image_loss
from diffae.train.step import Training, batch_indices
from diffae.train.trainer import TrainingRun, fit
from diffae.train.types import Stage, Steps

SCHEDULE = replace(TINY.image, samples=400, batch_size=8, weight_decay=0.01)
TENTH = (
    SCHEDULE.learning_rate / 10
)  # of a step of Adam, whose size is the rate: it divides small gradients by themselves


@pytest.fixture
def model():
    """Tiny, without dropout, and with no weight at zero: every one of them has a gradient from the
    first step.
    """
    torch.manual_seed(0)
    model = DiffusionAutoencoder(replace(TINY.model, dropout=0.0, latent=None))
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.5)
    return model


def networks(model):
    return torch.nn.ModuleDict({"unet": model.unet, "encoder": model.encoder})


def reference_step(weights, gradients, moments, step, rate, decay=0.01, ema=0.5):
    """Adam with decoupled decay (Loshchilov and Hutter 2019, Algorithm 2) on a gradient of norm at
    most 1, and the average.
    """
    norm = sum(float(g.double().square().sum()) for g in gradients) ** 0.5
    for w, g, m in zip(weights, gradients, moments, strict=True):
        g = g * min(1.0, 1.0 / norm)
        m["mean"] = 0.9 * m["mean"] + 0.1 * g
        m["square"] = 0.999 * m["square"] + 0.001 * g**2
        unbiased = m["mean"] / (1 - 0.9**step), m["square"] / (1 - 0.999**step)
        w -= rate * decay * w + rate * unbiased[0] / (unbiased[1].sqrt() + 1e-8)
        m["average"] = ema * m["average"] + (1 - ema) * w
    return norm


def test_steps_are_those_of_the_equations(model):
    """Loss (Eq. 6), gradient clipped to 1, Adam, moving average: three steps, each on the batch
    that its number says.
    """
    data = pictures(16)
    ours = copy.deepcopy(model)
    training = Training(networks(ours), SCHEDULE, 3, steps=Steps(by_example=True, micro_batch=3))
    loss_of = image_loss(ours, Images(data, False, "cpu"))
    plain = networks(model)
    weights = list(plain.parameters())
    moments = [{"mean": 0.0, "square": 0.0, "average": w.detach().clone()} for w in weights]
    clipped = []
    for step in range(3):
        indices = batch_indices(16, 8, 3, step)
        value = training.advance(loss_of, indices)
        noise = ExampleNoise(3, "training", range(8 * step, 8 * step + 8))
        x_0 = torch.from_numpy(data[indices.numpy()]).permute(0, 3, 1, 2) / 127.5 - 1
        t = torch.from_numpy(noise.integers(1000, size=8))
        eps = normals(noise, x_0.shape)
        a = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)[t]
        a = a[:, None, None, None].float()
        x_t = a.sqrt() * x_0 + (1 - a).sqrt() * eps
        loss = (model.unet(x_t, t, model.encoder(x_0)) - eps).square().mean()
        assert value == pytest.approx(float(loss.detach()), rel=1e-5)
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            norm = reference_step(weights, gradients, moments, step + 1, SCHEDULE.learning_rate)
        clipped.append(norm > 1)
    assert any(clipped)
    for own, average, expected, moment in zip(
        training.parameters, training.ema, weights, moments, strict=True
    ):
        torch.testing.assert_close(own, expected, rtol=1e-4, atol=TENTH)
        torch.testing.assert_close(average, moment["average"], rtol=1e-4, atol=TENTH)


@pytest.mark.slow
def test_eight_images_are_learned_by_heart(tmp_path):
    """z_sem alone then tells them apart: from noise of its own, each is decoded nearer to itself
    than to the others.
    """
    data = pictures(2)[[0, 1] * 4].copy()
    colours = np.random.default_rng(1).integers(0, 256, (8, 1, 1, 3))
    data = (0.2 * data + 0.8 * colours).astype(np.uint8)
    torch.manual_seed(0)
    config = replace(TINY.model, model_channels=16, z_channels=8, embed_channels=32)
    model = DiffusionAutoencoder(
        replace(config, dropout=0.0, latent=None, prediction=VELOCITY, norm_groups=4)
    )
    schedule = replace(
        TINY.image, samples=8 * 400, batch_size=8, learning_rate=4e-3, decay="cosine", ema_decay=0.9
    )
    images = Images(data, False, "cpu")
    loss_of = image_loss(model, images)
    stage = Stage("image", "eight", networks(model), schedule, loss_of)
    fit(stage, 8, tmp_path / "s", TrainingRun(0, "x"))
    x = images.batch(torch.arange(8))
    decoded = model.decode(model.encode(x), torch.randn(8, 3, 8, 8), steps=10)
    apart = (decoded[:, None] - x[None]).square().mean((2, 3, 4)) / 4
    assert apart.argmin(1).tolist() == list(range(8))
    assert float(apart.diagonal().mean()) < 0.25 * float((x - x.mean(0)).square().mean()) / 4
