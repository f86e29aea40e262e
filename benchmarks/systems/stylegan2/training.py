"""The small StyleGAN2: `python -m diffae.train stylegan2-portraits`.

The paper's losses: the non-saturating loss, R1 on real images every 16 steps, path length
regularisation every 4 steps, style mixing, and the moving average of the generator's weights.
Differences, so that two cores can train it: one Adam for generator and discriminator, whose losses
and regularisers are summed and so take the same step; narrow channels, a mapping of two layers, and
learning-rate decay.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.systems.shared.preset import Stages, small_preset
from benchmarks.systems.stylegan2 import inversion
from benchmarks.systems.stylegan2.critic import Discriminator
from benchmarks.systems.stylegan2.network import Generator, StyleGAN2Config
from diffae.diffusion.noise import normals
from diffae.train.images import Images
from diffae.train.types import Adam, Loss

MIXED = 0.9  # share of batches with the w of two z, one for the first layers and one for the rest
PATH_DECAY = 0.01  # of the average length of paths
NO_CLIPPING = 1e9  # of the gradient's norm


class Learner(nn.Module):
    """Both networks, their number of steps, and the average length of paths: the training's state."""

    steps: Tensor
    path: Tensor

    def __init__(self, config: StyleGAN2Config):
        super().__init__()
        self.network = Generator(config)
        self.critic = Discriminator(config.channels)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.register_buffer("path", torch.zeros(()))

    def styles(self, count: int, noise: np.random.Generator) -> Tensor:
        """w of new z, N x num_ws x w_dim, usually mixed from two z each."""
        config = self.network.config
        first = self.network.mapping(self._normals(noise, (count, config.z_dim)))
        ws = first[:, None].repeat(1, config.num_ws, 1)
        if noise.random() >= MIXED:
            return ws
        second = self.network.mapping(self._normals(noise, (count, config.z_dim)))
        cut = int(noise.integers(1, config.num_ws))
        return torch.cat([ws[:, :cut], second[:, None].expand(-1, config.num_ws - cut, -1)], 1)

    def images(self, ws: Tensor, noise: np.random.Generator) -> Tensor:
        """Images of w with new noise in every layer."""
        maps = [
            self._normals(noise, (len(ws), 1, *own.shape))
            for own in self.network.synthesis.noise_maps()
        ]
        return self.network.synthesis(ws, maps)

    def _normals(self, noise: np.random.Generator, shape: tuple[int, ...]) -> Tensor:
        return normals(noise, shape).to(self.path.device)


def loss_of(learner: Learner, data: Images, weights: dict[str, float]) -> Loss:
    def loss(indices: Tensor, noise: np.random.Generator) -> Tensor:
        real = data.batch(indices, noise)
        step = int(learner.steps)
        learner.steps += 1
        fake = learner.images(learner.styles(len(real), noise), noise)
        total = adversarial(learner.critic, real, fake)
        if step % (every := int(weights["r1_every"])) == 0:
            total = total + weights["r1"] / 2 * every * steepness(learner.critic, real)
        if step % (every := int(weights["path_every"])) == 0:
            ws = learner.styles(max(1, len(real) // 2), noise)
            total = total + weights["path"] * every * unevenness(learner, ws, noise)
        return total

    return loss


def adversarial(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """The non-saturating losses of both networks, as means; the value is the critic's.

    softplus(-D(fake)) for the generator, softplus(D(fake)) + softplus(-D(real)) for the critic. The
    critic sees the fake images once: the generator's gradient is passed on through a product with
    the gradient at these images.
    """
    seen = fake.detach().requires_grad_()
    score = critic(seen)
    (towards,) = torch.autograd.grad(F.softplus(-score).mean(), seen, retain_graph=True)
    generator = (fake * towards).sum()
    return (
        F.softplus(score).mean() + F.softplus(-critic(real)).mean() + generator - generator.detach()
    )


def steepness(critic: nn.Module, real: Tensor) -> Tensor:
    """R1 (Mescheder et al., 2018): the mean squared norm of the critic's gradient at real images."""
    seen = real.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(seen).sum(), seen, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


def unevenness(learner: Learner, ws: Tensor, noise: np.random.Generator) -> Tensor:
    """Path length regularisation (paper, eq. 4): the deviation of |J^T y| from its average.

    It is taken over w and over images y of noise.
    """
    images = learner.images(ws, noise)
    y = normals(noise, images.shape).to(images) / math.sqrt(images[0, 0].numel())
    (gradient,) = torch.autograd.grad((images * y).sum(), ws, create_graph=True)
    lengths = gradient.float().square().sum(2).mean(1).sqrt()
    with torch.no_grad():
        average = learner.path.lerp(lengths.mean(), PATH_DECAY)
        if torch.isfinite(average):
            learner.path.copy_(average)
    return (lengths - average).square().mean()


def train(stages: Stages) -> nn.Module:
    preset, device = stages.preset, stages.data.device
    learner = Learner(preset.config).to(device)
    learner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    loss = loss_of(learner, stages.data, preset.weights)
    stages.fit("adversarial", learner, loss, Adam(betas=(0.0, 0.99), largest_norm=NO_CLIPPING))
    generator = learner.network
    generator.mapping.w_avg.copy_(inversion.statistics(generator.mapping).average)
    return generator


PRESET = small_preset("stylegan2-portraits", StyleGAN2Config, train)
