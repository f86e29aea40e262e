"""The latent DDIM's network: an MLP with skip connections from the input (paper, Appendix A)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffae.networks.config import LatentConfig
from diffae.networks.nn import timestep_embedding


class _Layer(nn.Module):
    """Linear, scaled by (1 + Linear(SiLU(t))), LayerNorm, SiLU. The last layer is linear only."""

    def __init__(self, channels: int, out: int, embed_channels: int, last: bool):
        super().__init__()
        self.linear = nn.Linear(channels, out)
        self.last = last
        if not last:
            self.linear_emb = nn.Linear(embed_channels, out)
            self.norm = nn.LayerNorm(out)
            for linear in (self.linear, self.linear_emb):
                nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        x = self.linear(x)
        if self.last:
            return x
        return F.silu(self.norm(x * (1 + self.linear_emb(F.silu(emb)))))


class LatentNet(nn.Module):
    """eps_omega(z_t, t) on normalised z_sem: N x d -> N x d."""

    def __init__(self, config: LatentConfig, z_channels: int):
        super().__init__()
        self.config = config
        self.time_embed = nn.Sequential(
            nn.Linear(config.time_channels, z_channels),
            nn.SiLU(),
            nn.Linear(z_channels, z_channels),
        )
        hidden, last = config.hidden_channels, config.num_layers - 1
        widths = [z_channels, *[hidden + z_channels] * last]
        outs = [*[hidden] * last, z_channels]
        self.layers = nn.ModuleList(
            _Layer(width, out, z_channels, last=i == last)
            for i, (width, out) in enumerate(zip(widths, outs, strict=True))
        )

    def forward(self, z: Tensor, t: Tensor) -> Tensor:
        emb = self.time_embed(timestep_embedding(t, self.config.time_channels))
        h = self.layers[0](z, emb)
        for layer in self.layers[1:]:
            h = layer(torch.cat([h, z], dim=1), emb)
        return h
