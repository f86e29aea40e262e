"""The small VQ-GAN: `python -m diffae.train vqgan-portraits`.

The loss is the paper's: absolute and perceptual distance, the two codebook terms, and, after 40 % of
the steps, a patch discriminator with hinge loss, whose weight balances the gradients at the last
layer (eq. 7). The ratio of numbers in a code to numbers in an image is the paper's at 256 px.
Differences: EfficientNet features at 32 px instead of LPIPS; one optimiser for generator and
discriminator, with gradient clipping, cosine decay and a moving average of the weights; codes that
are hardly used are replaced by encoder outputs of the current batch.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from benchmarks import weights
from benchmarks.metrics.networks.perceptual import effnet_distance, mean_distance
from benchmarks.systems.shared import codebook
from benchmarks.systems.shared.preset import Stages, small_preset
from benchmarks.systems.vqgan.network import VQGANConfig, build
from diffae.train.images import Images
from diffae.train.types import Adam, Loss
from reports.records.metrics import EFFNET

USAGE = 0.99  # decay of the moving average of how often a code is chosen


# ----------------------------------------------------------------------------------------------
# The critics (paper, Section 3.1): a perceptual distance that is cheap enough to train by, and pix2pix's discriminator of
# patches (Isola et al., 2017)

PERCEPTUAL_SIZE = 32  # px; the metric uses 128 px, which takes sixteen times as long


class PerceptualLoss:
    """EfficientNet-lite0's distance between images, with gradients: the mean over images.

    Images are N x 3 x S x S in [-1, 1].
    """

    def __init__(self, device: torch.device | str):
        path = weights.load_path(EFFNET, None, allow_unknown=False)
        self.distance: Any = effnet_distance(path, torch.device(device)).module

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        # Its depthwise convolutions are faster in float32.
        with torch.autocast(a.device.type, enabled=False):
            with torch.no_grad():
                target = self.distance.stages(b.float(), PERCEPTUAL_SIZE)
            return mean_distance(self.distance.stages(a.float(), PERCEPTUAL_SIZE), target).mean()


class Patches(nn.Sequential):
    """A score for each patch of an image, high if it looks real.

    Two halvings of the side, and group norms in place of batch norms.
    """

    def __init__(self, channels: int):
        super().__init__(
            nn.Conv2d(3, channels, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(channels, 2 * channels, 4, 2, 1, bias=False),
            nn.GroupNorm(8, 2 * channels),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * channels, 4 * channels, 4, 1, 1, bias=False),
            nn.GroupNorm(8, 4 * channels),
            nn.LeakyReLU(0.2),
            nn.Conv2d(4 * channels, 1, 4, 1, 1),
        )

    def without_learning(self, images: Tensor) -> Tensor:
        """The same scores, with gradients to the images only."""
        state = {name: value.detach() for name, value in self.named_parameters()}
        return functional_call(self, state, (images,))


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's loss: 1/2 (relu(1 - real) + relu(1 + fake))."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())


def balanced(
    image: Tensor, last: Tensor, reconstruction: Tensor, adversarial: Tensor, weight: float
) -> Tensor:
    """A scalar with the value and the gradient of `reconstruction` + w `adversarial`, both of
    `image`, where

        w = weight |d reconstruction / d last| / (|d adversarial / d last| + 1e-4)

    (eq. 7) with `last` the weights of the last layer. The gradients of the two losses are taken
    once, with respect to the image.
    """
    by_loss = [
        torch.autograd.grad(loss, image, retain_graph=True)[0]
        for loss in (reconstruction, adversarial)
    ]
    sizes = [
        torch.autograd.grad(image, last, grad, retain_graph=True)[0].float().norm()
        for grad in by_loss
    ]
    w = weight * (sizes[0] / (sizes[1] + 1e-4)).clamp(max=1e4)
    grad = (by_loss[0] + w.to(by_loss[0]) * by_loss[1]).detach()
    value = (reconstruction + w * adversarial).detach()
    towards = (image * grad).sum()
    return value + towards - towards.detach()


class VQGANLearner(nn.Module):
    """Both networks, their number of steps, and the usage of each code: the training's state."""

    steps: Tensor
    usage: Tensor

    def __init__(self, config: VQGANConfig, channels: int):
        super().__init__()
        self.network: Any = build(config, "the preset vqgan-portraits")
        self.critic = Patches(channels)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.register_buffer("usage", torch.zeros(config.n_embed))

    def forward(self, x: Tensor, noise: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Reconstructions, and the codebook's loss (|sg(z) - e|^2 + 0.25 |z - sg(e)|^2, means)."""
        z = self.network.encode(x).latents.float()
        table = self.network.quantize.embedding.weight
        indices = codebook.nearest(z.detach(), table.detach())
        self._replace_dead_codes(z.detach().movedim(1, -1).flatten(0, 2), indices, noise)
        vectors = codebook.look_up(indices, table)
        loss = F.mse_loss(vectors, z.detach()) + 0.25 * F.mse_loss(z, vectors.detach())
        through = z + (vectors - z).detach()
        return self.network.decode(through, force_not_quantize=True).sample.float(), loss

    @torch.no_grad()
    def _replace_dead_codes(
        self, vectors: Tensor, indices: Tensor, noise: np.random.Generator
    ) -> None:
        """Update the usage of codes, and replace codes that are hardly used by vectors of this batch."""
        if not torch.isfinite(vectors).all():
            return  # the step will not be taken
        count = torch.bincount(indices.flatten(), minlength=len(self.usage))
        self.usage.lerp_(count.float(), 1 - USAGE)
        codebook.replace_dead_codes(
            self.network.quantize.embedding.weight, self.usage, vectors, noise
        )


def loss_of(
    learner: VQGANLearner, data: Images, perceptual: PerceptualLoss, weights: dict[str, float]
) -> Loss:
    last = learner.network.decoder.conv_out.weight
    start = weights["discriminator_start"]

    def loss(indices: Tensor, noise: np.random.Generator) -> Tensor:
        x = data.batch(indices, noise)
        made, codebook_loss = learner(x, noise)
        distance = F.l1_loss(made, x) + weights["perceptual"] * perceptual(made, x)
        learner.steps += 1
        if int(learner.steps) <= start:
            unused = 0 * _sum_of_parameters(learner.critic)
            return distance + weights["codebook"] * codebook_loss + unused
        fooled = -learner.critic.without_learning(made).float().mean()
        generator = balanced(made, last, distance, fooled, weights["discriminator"])
        critic = hinge(learner.critic(x).float(), learner.critic(made.detach()).float())
        return generator + weights["codebook"] * codebook_loss + critic

    return loss


def _sum_of_parameters(network: nn.Module) -> Tensor:
    """The sum of all parameters: times 0 in a loss, it gives each a gradient from the first step."""
    return torch.stack([parameter.sum() for parameter in network.parameters()]).sum()


def train(stages: Stages[VQGANConfig]) -> nn.Module:
    preset, device = stages.preset, stages.data.device
    learner = VQGANLearner(preset.config, int(preset.weights["discriminator_channels"])).to(device)
    learner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps = preset.schedules["autoencoder"].steps
    weights = preset.weights | {
        "discriminator_start": preset.weights["discriminator_start"] * steps
    }
    loss = loss_of(learner, stages.data, PerceptualLoss(device), weights)
    stages.fit("autoencoder", learner, loss, Adam(betas=(0.5, 0.9)))
    return learner.network


PRESET = small_preset("vqgan-portraits", VQGANConfig, train)
