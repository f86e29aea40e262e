"""The small StyleGAN2: `python -m diffae.train stylegan2-portraits`.

The paper's losses: the non-saturating loss, R1 on real images every 16 steps, path length
regularisation every 4 steps, style mixing, and the moving average of the generator's weights.
Differences, so that two cores can train it: one Adam for generator and discriminator, whose losses
and regularisers are summed and so take the same step; narrow channels, a mapping of two layers, and
learning-rate decay.
"""

import math
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.systems.shared.preset import Stages, small_preset
from benchmarks.systems.stylegan2 import inversion, network
from benchmarks.systems.stylegan2.network import EqualisedLinear, Generator, StyleGAN2Config
from diffae.diffusion.noise import normals
from diffae.train.images import Images
from diffae.train.types import Adam, Loss

# ----------------------------------------------------------------------------------------------
# The discriminator: residual blocks, and the deviation between the images of a batch (Karras et al., 2020, Section 4 and
# figure 7; the deviation is that of Karras et al., 2018, Section 3)

ALIKE = 4  # images whose deviation is taken together


class Discriminator(nn.Module):
    """A score for each image, high if it looks real; `channels` are those at 4, 8, ... px."""

    def __init__(self, channels: tuple[int, ...]):
        super().__init__()
        down = channels[::-1]
        self.from_rgb = Convolution(3, down[0], 1)
        self.blocks = nn.Sequential(*(_Halving(a, b) for a, b in pairwise(down)))
        self.last = Convolution(down[-1] + 1, down[-1], 3)
        self.dense = EqualisedLinear(down[-1] * network.START**2, down[-1], 0.0)
        self.out = EqualisedLinear(down[-1], 1, 0.0)

    def forward(self, images: Tensor) -> Tensor:
        """Images N x 3 x S x S in [-1, 1] -> [N]."""
        x = self.last(with_deviation(self.blocks(self.from_rgb(images))))
        x = F.leaky_relu(self.dense(x.flatten(1)), network.SLOPE) * network.GAIN
        return self.out(x)[:, 0]


class Convolution(nn.Module):
    """A convolution whose weights are stored at N(0, 1).

    It has a bias and leaky ReLU unless it is `linear`; the filter precedes a stride.
    """

    fir: Tensor | None

    def __init__(self, inputs: int, outputs: int, side: int, stride: int = 1, linear: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, side, side))
        self.bias = None if linear else nn.Parameter(torch.zeros(outputs))
        self.scale, self.stride = 1 / math.sqrt(inputs * side**2), stride
        self.register_buffer("fir", network.fir_filter() if stride > 1 else None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        side = self.weight.shape[2]
        if self.fir is not None:  # its output has one more row for 3 x 3
            x = network.filtered(x, self.fir, padding=2 if side == 3 else 1)
        padding = side // 2 if self.stride == 1 else 0
        x = F.conv2d(x, self.weight * self.scale, self.bias, self.stride, padding)
        return x if self.bias is None else F.leaky_relu(x, network.SLOPE) * network.GAIN


class _Halving(nn.Module):
    """Two convolutions, of which the second halves the side, plus one of 1 x 1 as a shortcut."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first = Convolution(inputs, inputs, 3)
        self.second = Convolution(inputs, outputs, 3, stride=2)
        self.beside = Convolution(inputs, outputs, 1, stride=2, linear=True)

    def forward(self, x: Tensor) -> Tensor:
        return (self.second(self.first(x)) + self.beside(x)) / math.sqrt(2)


def with_deviation(x: Tensor) -> Tensor:
    """x [N, C, H, W] with one more channel: the mean standard deviation in groups of images.

    Groups have ALIKE images of the batch, every (N / ALIKE)-th; a batch that is no multiple of
    ALIKE is one group.
    """
    count = ALIKE if len(x) % ALIKE == 0 else len(x)
    groups = x.reshape(count, -1, *x.shape[1:])
    deviation = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
    channel = deviation.repeat(count)[:, None, None, None].expand(-1, 1, *x.shape[2:])
    return torch.cat([x, channel], 1)


MIXED = 0.9  # share of batches with the w of two z, one for the first layers and one for the rest
PATH_DECAY = 0.01  # of the average length of paths
NO_CLIPPING = 1e9  # of the gradient's norm


class StyleGAN2Learner(nn.Module):
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


def loss_of(learner: StyleGAN2Learner, data: Images, weights: dict[str, float]) -> Loss:
    r1_interval, path_interval = int(weights["r1_every"]), int(weights["path_every"])

    def loss(indices: Tensor, noise: np.random.Generator) -> Tensor:
        real = data.batch(indices, noise)
        step = int(learner.steps)
        learner.steps += 1
        fake = learner.images(learner.styles(len(real), noise), noise)
        total = adversarial(learner.critic, real, fake)
        if step % r1_interval == 0:
            total = total + weights["r1"] / 2 * r1_interval * steepness(learner.critic, real)
        if step % path_interval == 0:
            ws = learner.styles(max(1, len(real) // 2), noise)
            total = total + weights["path"] * path_interval * unevenness(learner, ws, noise)
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


def unevenness(learner: StyleGAN2Learner, ws: Tensor, noise: np.random.Generator) -> Tensor:
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


def train(stages: Stages[StyleGAN2Config]) -> nn.Module:
    preset, device = stages.preset, stages.data.device
    learner = StyleGAN2Learner(preset.config).to(device)
    learner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    loss = loss_of(learner, stages.data, preset.weights)
    stages.fit("adversarial", learner, loss, Adam(betas=(0.0, 0.99), largest_norm=NO_CLIPPING))
    generator = learner.network
    generator.mapping.w_avg.copy_(inversion.statistics(generator.mapping).average)
    return generator


PRESET = small_preset("stylegan2-portraits", StyleGAN2Config, train)
