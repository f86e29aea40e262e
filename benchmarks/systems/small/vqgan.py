"""The small VQ-GAN: `python -m diffae.train vqgan-portraits`.

The paper's loss: absolute and perceptual distance, the codebook's two terms, and after some time a discriminator of patches with
a hinge loss, weighed by the gradients at the last layer. The ratio of numbers in a code to numbers in an image is the paper's
at 256 px. Otherwise: EfficientNet's distance for LPIPS, seen at 32 px; one optimiser for both players, with a clipped
gradient, a rate that decays and a moving average; codes that nothing chooses become vectors of the batch.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.systems.files import folder
from benchmarks.systems.networks import codebook
from benchmarks.systems.networks.vqgan import VQGANConfig, build
from benchmarks.systems.small.adversary import Eye, Patches, balanced, hinge
from benchmarks.systems.small.preset import SmallPreset, Stages
from diffae.train.images import Images
from diffae.train.types import Adam, Loss, Schedule

USAGE = 0.99  # decay of how often a code is chosen
DEAD = 0.05  # vectors a step below which a code begins anew


class Learner(nn.Module):
    """Both players, how many steps they have taken, and how often each code is chosen: the training's state."""

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
        self._begin_anew(z.detach().movedim(1, -1).flatten(0, 2), indices, noise)
        vectors = codebook.look_up(indices, table)
        loss = F.mse_loss(vectors, z.detach()) + 0.25 * F.mse_loss(z, vectors.detach())
        through = z + (vectors - z).detach()
        return self.network.decode(through, force_not_quantize=True).sample.float(), loss

    @torch.no_grad()
    def _begin_anew(self, vectors: Tensor, indices: Tensor, noise: np.random.Generator) -> None:
        """Count who was chosen; codes that hardly ever are become vectors of this batch."""
        if not torch.isfinite(vectors).all():
            return  # the step will not be taken
        count = torch.bincount(indices.flatten(), minlength=len(self.usage))
        self.usage.lerp_(count.float(), 1 - USAGE)
        dead = self.usage < DEAD
        chosen = torch.from_numpy(noise.integers(len(vectors), size=len(dead))).to(vectors.device)
        self.network.quantize.embedding.weight[dead] = vectors[chosen][dead]
        self.usage[dead] = 1.0


def loss_of(learner: Learner, data: Images, eye: Eye, weights: dict[str, float]) -> Loss:
    last = learner.network.decoder.conv_out.weight
    start = weights["discriminator_start"]

    def loss(indices: Tensor, noise: np.random.Generator) -> Tensor:
        x = data.batch(indices, noise)
        found, of_codes = learner(x, noise)
        distance = F.l1_loss(found, x) + weights["perceptual"] * eye(found, x)
        learner.steps += 1
        if int(learner.steps) <= start:
            return distance + weights["codebook"] * of_codes + 0 * _of_all(learner.critic)
        fooled = -learner.critic.without_learning(found).float().mean()
        generator = balanced(found, last, distance, fooled, weights["discriminator"])
        critic = hinge(learner.critic(x).float(), learner.critic(found.detach()).float())
        return generator + weights["codebook"] * of_codes + critic

    return loss


def _of_all(network: nn.Module) -> Tensor:
    """A scalar of all parameters, so that each has a gradient, of nothing, before its time."""
    return torch.stack([parameter.sum() for parameter in network.parameters()]).sum()


def train(stages: Stages) -> None:
    preset, device = stages.preset, stages.data.device
    learner = Learner(preset.config, int(preset.weights["discriminator_channels"])).to(device)
    learner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps = preset.schedules["autoencoder"].steps
    weights = preset.weights | {
        "discriminator_start": preset.weights["discriminator_start"] * steps
    }
    loss = loss_of(learner, stages.data, Eye(device), weights)
    stages.fit("autoencoder", learner, loss, Adam(betas=(0.5, 0.9)))
    folder.write(learner.network, "vqgan", preset.config, stages.out)


PRESET = SmallPreset(
    "vqgan-portraits",
    "the packaged VQ-GAN: a map of 8 x 8 codes, 32 px",
    VQGANConfig(
        n_embed=512,
        embed_dim=16,
        ch=24,
        ch_mult=(1, 2, 2),
        num_res_blocks=1,
        attn_resolutions=(8,),
        resolution=32,
        z_channels=16,
        norm_groups=8,
    ),
    {
        "autoencoder": Schedule(
            samples=32_000,
            batch_size=32,
            learning_rate=8e-4,
            warmup_samples=2_000,
            decay="cosine",
            ema_decay=0.998,
            ema_warmup=True,
            bfloat16=True,
        )
    },
    train,
    weights={
        "perceptual": 1.0,
        "codebook": 1.0,
        "discriminator": 0.75,
        "discriminator_start": 0.4,  # of the steps
        "discriminator_channels": 32.0,
    },
)
