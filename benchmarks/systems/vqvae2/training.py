"""The small VQ-VAE-2: `python -m diffae.train vqvae2-portraits`.

The loss of the public code: mean squared error, 0.25 of the distance of the encoder's maps from
their codes, and codes that are moving averages. The ratio of numbers in a code to numbers in an
image is the paper's. Differences: a narrower network, learning-rate decay, and unused codes that
are replaced.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.systems.shared.codebook import replace_dead_codes
from benchmarks.systems.shared.preset import Stages, small_preset
from benchmarks.systems.vqvae2.network import VQVAE2, Codebook, VQVAE2Config
from diffae.train.images import Images
from diffae.train.types import Loss

# ----------------------------------------------------------------------------------------------
# How codebooks learn: codes are moving averages of the vectors that chose them (van den Oord et al., "Neural discrete
# representation learning", 2017, Appendix A.1), and unused codes are replaced

DECAY, SMOOTHING = 0.99, 1e-5


def quantise(codebook: Codebook, maps: Tensor, noise: np.random.Generator) -> tuple[Tensor, Tensor]:
    """The nearest codes of `maps`, N x C x h x w, and the error of quantisation.

    The codebook learns from the maps. The error is the mean of (sg(code) - map)^2, the commitment
    loss of the encoder; the gradient is that without rounding (straight-through).
    """
    maps = maps.float()
    indices = codebook.indices(maps.detach())
    vectors = codebook.vectors(indices)
    learn(codebook, maps.detach().movedim(1, -1).flatten(0, 2), indices.flatten(), noise)
    error = (vectors - maps).square().mean()
    return maps + (vectors - maps).detach(), error


@torch.no_grad()
def learn(codebook: Codebook, vectors: Tensor, indices: Tensor, noise: np.random.Generator) -> None:
    """Move the codes towards the `vectors` M x C that chose them, `indices` M:

        N <- 0.99 N + 0.01 count,   m <- 0.99 m + 0.01 sum,   code = m / N

    with N smoothed as in the authors' code. Then codes that hardly anything chooses become vectors
    of this batch, drawn by `noise`, which the paper's two million images make unnecessary. All of
    it is in the buffers' own memory, as the state of a training wants it.
    """
    if not torch.isfinite(vectors).all():
        return  # the step will not be taken
    count = torch.bincount(indices, minlength=codebook.embed.shape[1]).float()
    total = torch.zeros_like(codebook.embed.T).index_add_(0, indices, vectors).T
    codebook.cluster_size.lerp_(count, 1 - DECAY)
    codebook.embed_avg.lerp_(total, 1 - DECAY)
    replace_dead_codes(codebook.embed_avg.T, codebook.cluster_size, vectors, noise)
    whole = codebook.cluster_size.sum()
    smoothed = (codebook.cluster_size + SMOOTHING) / (whole + len(count) * SMOOTHING) * whole
    codebook.embed.copy_(codebook.embed_avg / smoothed)


def loss_of(network: VQVAE2, data: Images, commitment: float) -> Loss:
    def loss(indices: Tensor, noise: np.random.Generator) -> Tensor:
        x = data.batch(indices, noise)
        fine = network.enc_b(x)
        before = network.quantize_conv_t(network.enc_t(fine))
        top, top_error = quantise(network.quantize_t, before, noise)
        before = network.before_bottom(fine, top)
        bottom, bottom_error = quantise(network.quantize_b, before, noise)
        reconstruction = network.decode(top, bottom).float()
        return F.mse_loss(reconstruction, x) + commitment * (top_error + bottom_error)

    return loss


def build(stages: Stages[VQVAE2Config]) -> nn.Module:
    preset = stages.preset
    network = VQVAE2(preset.config).to(stages.data.device)
    stages.fit("autoencoder", network, loss_of(network, stages.data, preset.weights["commitment"]))
    return network


PRESET = small_preset("vqvae2-portraits", VQVAE2Config, build)
