"""The small VQ-VAE-2: `python -m diffae.train vqvae2-portraits`.

The loss of the public code: mean squared error, 0.25 of the distance of the encoder's maps from their codes, and codes that
are moving averages. The ratio of numbers in a code to numbers in an image is the paper's. Otherwise: narrower, a
rate that decays, dead codes that begin anew.
"""

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from benchmarks.systems.files import folder
from benchmarks.systems.networks.vqvae2 import VQVAE2, VQVAE2Config
from benchmarks.systems.small.codebooks import quantise
from benchmarks.systems.small.preset import SmallPreset, Stages
from diffae.train.images import Images
from diffae.train.types import Loss, Schedule


def loss_of(network: VQVAE2, data: Images, commitment: float) -> Loss:
    def loss(indices: Tensor, noise: np.random.Generator) -> Tensor:
        x = data.batch(indices, noise)
        fine = network.enc_b(x)
        before = network.quantize_conv_t(network.enc_t(fine))
        top = quantise(network.quantize_t, before, noise)
        before = network.before_bottom(fine, top.vectors)
        bottom = quantise(network.quantize_b, before, noise)
        found = network.decode(top.vectors, bottom.vectors).float()
        return F.mse_loss(found, x) + commitment * (top.error + bottom.error)

    return loss


def build(stages: Stages) -> None:
    preset = stages.preset
    network = VQVAE2(preset.config).to(stages.data.device)
    stages.fit("autoencoder", network, loss_of(network, stages.data, preset.weights["commitment"]))
    folder.write(network, "vqvae2", preset.config, stages.out)


PRESET = SmallPreset(
    "vqvae2-portraits",
    "the packaged VQ-VAE-2: maps of 4 x 4 and 8 x 8 codes, 32 px",
    VQVAE2Config(channel=64, res_blocks=2, res_channel=32, image_size=32),
    {
        "autoencoder": Schedule(
            samples=300_000,
            batch_size=64,
            learning_rate=1e-3,
            warmup_samples=8_000,
            decay="cosine",
            ema_decay=0.995,
            ema_warmup=True,
            bfloat16=True,
        )
    },
    build,
    weights={"commitment": 0.25},
)
