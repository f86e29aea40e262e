"""The small NVAE: `python -m diffae.train nvae-portraits`.

As published: the ELBO, with the weight of its KL rising from 0 to 1 over the first part of the
training, during which the KL is balanced between groups. Differences: AdamW with gradient clipping
and a moving average instead of Adamax, no spectral regularisation, no flows, 8-bit images, three
logistics per pixel.
"""

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.systems.nvae.network import NVAE, Gaussian, NVAEConfig
from benchmarks.systems.shared.cells import start_norms, to_bits
from benchmarks.systems.shared.logistic_mixture import LogisticMixture
from benchmarks.systems.shared.preset import Stages, settle, small_preset
from diffae.diffusion.noise import generator, normals
from diffae.train.images import Images
from diffae.train.types import Loss

SMALLEST_KL = 0.01  # nats that balancing adds to the KL of each group


class NVAELearner(nn.Module):
    """The network and its number of steps, which the weight of the KL depends on: the training's state."""

    steps: Tensor

    def __init__(self, network: NVAE):
        super().__init__()
        self.network = network
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))


def kl(q: Gaussian, p: Gaussian) -> Tensor:
    """KL(q || p) of an image's z, in nats: N."""
    ratio = q.sigma / p.sigma
    apart = (q.mean - p.mean) / p.sigma
    return (0.5 * (ratio**2 + apart**2 - 1) - ratio.log()).flatten(1).sum(1)


def balance(kls: Tensor, sizes: Tensor) -> Tensor:
    """The groups' weights [L], of mean one, by their KL [N, L] per number of z (`sizes` [L]).

    A group that is hardly used gets a small weight (NVAE, Appendix A).
    """
    each = (kls.detach().mean(0) + SMALLEST_KL) / sizes
    return each / each.mean()


def terms(network: NVAE, images: Tensor, noise: np.random.Generator) -> tuple[Tensor, Tensor]:
    """The terms of a batch's ELBO in nats: the KL of each group, N x L, and the log likelihood, N."""
    kls: list[Tensor] = []
    bits = network.configuration.bits

    def infer(i: int, posterior: Gaussian, prior: Gaussian) -> Tensor:
        posterior, prior = (Gaussian(g.mean.float(), g.sigma.float()) for g in (posterior, prior))
        kls.append(kl(posterior, prior))
        eps = normals(noise, posterior.mean.shape).to(posterior.mean)
        return posterior.mean + posterior.sigma * eps

    inputs = to_bits(images, bits)
    mixture = LogisticMixture(network.reconstruct(inputs, infer).float())
    return torch.stack(kls, dim=1), mixture.log_likelihood(2 * inputs - 1, bits).sum((1, 2))


def loss_of(learner: NVAELearner, data: Images, warm_up: int) -> Loss:
    """The negative ELBO in nats per value of the image, its KL weighted by min(steps / `warm_up`, 1).

    Without warm-up it has its full weight at once.
    """
    shapes = learner.network.configuration.latent_shapes()
    sizes = torch.tensor([float(np.prod(shape)) for shape in shapes])

    def loss(indices: Tensor, noise: np.random.Generator) -> Tensor:
        x = data.batch(indices, noise)
        kls, log_likelihood = terms(learner.network, x, noise)
        weight = min(1.0, int(learner.steps) / warm_up) if warm_up else 1.0
        learner.steps += 1
        kls = kls * balance(kls, sizes.to(x)) if weight < 1 else kls
        return (weight * kls.sum(1) - log_likelihood).mean() / x[0].numel()

    return loss


def build(stages: Stages[NVAEConfig]) -> nn.Module:
    preset, data = stages.preset, stages.data
    network = NVAE(preset.config).to(data.device)
    start_norms(network)
    learner = NVAELearner(network)
    learner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    warm_up = int(preset.weights["warm_up"] * preset.schedules["autoencoder"].steps)
    stages.fit("autoencoder", learner, loss_of(learner, data, warm_up))
    noise = generator(stages.run.seed, "statistics", 0)
    settle(network, lambda images: terms(network, images, noise), data)
    return network


PRESET = small_preset("nvae-portraits", NVAEConfig, build)
