"""The small D2C: `python -m diffae.train d2c-portraits`.

As published: an autoencoder by the likelihood of its images and a contrastive loss, no noise in its
code; then a DDIM of the standardised codes by noise prediction. Differences: the contrastive loss is
InfoNCE between the images of a batch (Chen et al., 2020, SimCLR) in place of MoCo's queue and
momentum encoder, with crops of a few pixels, mirrors and light as augmentations; 8-bit images,
three logistics per pixel; codes are standardised by the training images without their mirrors.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.systems.d2c.network import D2C, Autoencoder, D2CConfig
from benchmarks.systems.shared.cells import start_norms, to_bits
from benchmarks.systems.shared.logistic_mixture import LogisticMixture
from benchmarks.systems.shared.preset import Stages, settle, small_preset
from diffae.diffusion.gaussian import linear_alphas
from diffae.diffusion.noise import uniforms
from diffae.networks.config import EPSILON
from diffae.system.errors import UserError
from diffae.train.images import Images
from diffae.train.stages import noised
from diffae.train.types import Loss

SHIFT = 3  # pixels by which an image is shifted at most
LIGHT = 0.3  # largest change of its contrast and brightness
HIDDEN, COMPARED = 128, 64  # widths of the contrastive head
BATCH = 256


class D2CLearner(nn.Module):
    """The autoencoder and the contrastive head, which is not kept."""

    def __init__(self, autoencoder: Autoencoder, numbers: int):
        super().__init__()
        self.autoencoder = autoencoder
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(numbers, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, COMPARED)
        )


def augmented(images: Tensor, noise: np.random.Generator) -> Tensor:
    """Augment images in [-1, 1], each by random numbers of its own.

    They are shifted, mirrored or not, and changed in light.
    """
    u = uniforms(noise, (len(images), 5)).to(images)
    side = images.shape[-1]
    places = torch.arange(side, device=images.device)
    shift = (u[:, :2] * (2 * SHIFT + 1)).long() - SHIFT
    rows, columns = ((places + by[:, None]).clamp(0, side - 1) for by in shift.T)
    columns = torch.where(u[:, 2:3] < 0.5, columns.flip(1), columns)
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    moved = images.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(
        0, 3, 1, 2
    )
    contrast, light = (LIGHT * (2 * u[:, 3:] - 1))[:, :, None, None].split(1, dim=1)
    return (moved * (1 + contrast) + light).clamp(-1, 1)


def info_nce(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """InfoNCE between the rows of `a` and of `b` by the cosine, in both directions: nats, a scalar."""
    likeness = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T / temperature
    own = torch.arange(len(a), device=a.device)
    return (F.cross_entropy(likeness, own) + F.cross_entropy(likeness.T, own)) / 2


def autoencoder_loss(
    learner: D2CLearner, config: D2CConfig, data: Images, weights: dict[str, float]
) -> Loss:
    """Negative log likelihood in nats per value, plus the weighted contrastive loss."""

    def loss(indices: Tensor, noise: np.random.Generator) -> Tensor:
        images = data.batch(indices, noise)
        x = to_bits(images, config.bits)
        z = learner.autoencoder.encode(x)
        mixture = LogisticMixture(learner.autoencoder.logits(z).float())
        fit = mixture.log_likelihood(2 * x - 1, config.bits).sum((1, 2)).mean() / x[0].numel()
        other = learner.autoencoder.encode(to_bits(augmented(images, noise), config.bits))
        apart = info_nce(
            learner.head(z).float(), learner.head(other).float(), weights["temperature"]
        )
        return weights["contrastive"] * apart - fit

    return loss


def latent_loss(model: D2C, z: Tensor, weights: dict[str, float]) -> Loss:
    """w_t || eps_theta(z_t, t) - eps ||^2 of standardised z, the mean over numbers.

    w_t is 1 / (alpha_t + floor) over its mean. A sampler divides an error of the noise by
    sqrt(alpha_t), which is 0.006 at the last t: with no weights, sampled codes are an order of
    magnitude too wide until the network is exact to a thousandth there. With floor = 0 it would be
    the v loss of Salimans & Ho (2022).
    """
    alphas = linear_alphas()
    by_time = 1 / (alphas + weights["floor"])
    by_time = (by_time / by_time.mean()).to(z)

    def loss(indices: Tensor, noise: np.random.Generator) -> Tensor:
        z_t, t, target = noised(z[indices.to(z.device)], alphas, EPSILON, noise)
        error = model.predict_noise(z_t, t).float() - target
        return (by_time[t] * error.square().mean((1, 2, 3))).mean()

    return loss


@torch.no_grad()
def encode_all(model: D2C, data: Images) -> Tensor:
    """The codes of all training images, without mirrors: N x C x h x w."""
    batches, bits = torch.arange(len(data)).split(BATCH), model.configuration.bits
    return torch.cat([model.autoencoder.encode(to_bits(data.batch(b), bits)) for b in batches])


def standardise(model: D2C, z: Tensor) -> Tensor:
    """Standardise z by the mean and standard deviation of each channel, which the model keeps.

    Raises UserError if a channel is the same for all images.
    """
    std = z.std((0, 2, 3), keepdim=True)
    if not bool((std > 0).all()):
        raise UserError("a channel of the codes is the same for all training images: take more")
    model.latent_mod.mean.copy_(z.mean((0, 2, 3), keepdim=True))
    model.latent_mod.std.copy_(std)
    return model.latent_mod.standardise(z)


def build(stages: Stages[D2CConfig]) -> nn.Module:
    preset, data, config = stages.preset, stages.data, stages.preset.config
    model = D2C(config).to(data.device)
    start_norms(model)
    numbers = config.latent_channels * (data.batch(torch.arange(1)).shape[-1] // config.stride) ** 2
    learner = D2CLearner(model.autoencoder, numbers).to(data.device)
    learner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    loss = autoencoder_loss(learner, config, data, preset.weights)
    stages.fit("autoencoder", learner, loss)
    autoencoder = model.autoencoder
    settle(
        autoencoder,
        lambda images: autoencoder.logits(autoencoder.encode(to_bits(images, config.bits))),
        data,
    )
    z = standardise(model, encode_all(model, data))
    stages.fit("latent", model.diffusion, latent_loss(model, z, preset.weights))
    return model


PRESET = small_preset("d2c-portraits", D2CConfig, build)
