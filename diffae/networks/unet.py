"""The noise-predicting UNet and the semantic encoder (paper, Section 3; ADM's UNet with AdaGN)."""

from collections import OrderedDict
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from diffae.networks.config import ModelConfig
from diffae.networks.nn import (
    AttentionBlock,
    GroupNorm,
    ResBlock,
    SiLU,
    timestep_embedding,
    zero_init,
)


class BlockSequence(nn.Sequential):
    """Blocks in sequence, of which the residual ones are given the conditions `emb` and `z`.

    Where `recomputes` is set, training keeps only the input and recomputes everything else for the
    gradient.
    """

    recomputes = False

    def forward(self, x: Tensor, emb: Tensor | None = None, z: Tensor | None = None) -> Tensor:  # type: ignore[override]
        if self.recomputes and torch.is_grad_enabled():
            return checkpoint(self._through, x, emb, z, use_reentrant=False)
        return self._through(x, emb, z)

    def _through(self, x: Tensor, emb: Tensor | None, z: Tensor | None) -> Tensor:
        for block in self:
            x = block(x, emb, z) if isinstance(block, ResBlock) else block(x)
        return x


def recompute(network: nn.Module, on: bool = True) -> None:
    """Switch gradient checkpointing on or off for all block sequences of `network`.

    It needs less memory and a third more time, and gives the same gradients.
    """
    for module in network.modules():
        if isinstance(module, BlockSequence):
            module.recomputes = on


class _Builder:
    """Makes blocks that share a configuration, and keeps track of resolution and channels."""

    def __init__(self, config: ModelConfig, conditional: bool):
        self.config = config
        self.channels = config.model_channels
        self.resolution = config.image_size
        self.conditional = conditional
        self.z_channels = config.z_channels if config.encoder_channel_mult else None

    def res_block(self, out: int, lateral: int = 0, direction: str | None = None) -> ResBlock:
        config = self.config
        conditions = (config.embed_channels, self.z_channels) if self.conditional else (None, None)
        settings = (config.norm_groups, config.dropout, *conditions, direction)
        block = ResBlock(self.channels + lateral, out, *settings)
        self.channels = out
        if direction is not None:
            self.resolution = self.resolution // 2 if direction == "down" else self.resolution * 2
        return block

    def attention(self) -> list[nn.Module]:
        if self.resolution in self.config.attention_resolutions:
            return [AttentionBlock(self.channels, self.config.norm_groups)]
        return []

    def input_stages(self, channel_mult: tuple[int, ...]) -> Iterator[BlockSequence]:
        yield BlockSequence(nn.Conv2d(3, self.channels, 3, padding=1))
        for level, mult in enumerate(channel_mult):
            for _ in range(self.config.num_res_blocks):
                block = self.res_block(mult * self.config.model_channels)
                yield BlockSequence(block, *self.attention())
            if level + 1 < len(channel_mult):
                yield BlockSequence(self.res_block(self.channels, direction="down"))

    def middle(self) -> BlockSequence:
        channels = self.channels
        first = self.res_block(channels)
        attention = AttentionBlock(channels, self.config.norm_groups)
        return BlockSequence(first, attention, self.res_block(channels))

    def output_stages(self, laterals: list[int]) -> Iterator[BlockSequence]:
        mults = self.config.channel_mult
        for level in reversed(range(len(mults))):
            out = mults[level] * self.config.model_channels
            for i in range(self.config.num_res_blocks + 1):
                blocks: list[nn.Module] = [self.res_block(out, lateral=laterals.pop())]
                blocks += self.attention()
                if level > 0 and i == self.config.num_res_blocks:
                    blocks.append(self.res_block(out, direction="up"))
                yield BlockSequence(*blocks)


class UNet(nn.Module):
    """eps_theta(x_t, t, z_sem), or eps_theta(x_t, t) for the DDIM baseline."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        mlp = nn.Sequential(
            nn.Linear(config.model_channels, config.embed_channels),
            nn.SiLU(),
            nn.Linear(config.embed_channels, config.embed_channels),
        )
        # The authors keep the autoencoder's time MLP one module deeper than the baseline's.
        deeper = nn.Sequential(OrderedDict(time_embed=mlp))
        self.time_embed = deeper if config.encoder_channel_mult else mlp
        build = _Builder(config, conditional=True)
        laterals = []
        self.input_blocks = nn.ModuleList()
        for stage in build.input_stages(config.channel_mult):
            self.input_blocks.append(stage)
            laterals.append(build.channels)
        self.middle_block = build.middle()
        self.output_blocks = nn.ModuleList(build.output_stages(laterals))
        self.out = nn.Sequential(
            GroupNorm(build.channels, config.norm_groups),
            SiLU(),
            zero_init(nn.Conv2d(build.channels, 3, 3, padding=1)),
        )

    def forward(self, x: Tensor, t: Tensor, z: Tensor | None = None) -> Tensor:
        """Predict the noise in `x` (N x 3 x S x S) at integer timesteps `t` (N), given `z` (N x d)."""
        embedding = timestep_embedding(t, self.config.model_channels)
        emb = self.time_embed(embedding.to(x.dtype))
        laterals = []
        for stage in self.input_blocks:
            x = stage(x, emb, z)
            laterals.append(x)
        x = self.middle_block(x, emb, z)
        for stage in self.output_blocks:
            x = stage(torch.cat([x, laterals.pop()], dim=1), emb, z)
        return self.out(x)


class SemanticEncoder(nn.Module):
    """Enc(x_0) = z_sem: the downward half of a UNet, averaged over pixels and mapped to z_channels."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        build = _Builder(config, conditional=False)
        self.input_blocks = nn.ModuleList(build.input_stages(config.encoder_channel_mult))
        self.middle_block = build.middle()
        self.out = nn.Sequential(
            GroupNorm(build.channels, config.norm_groups),
            SiLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(build.channels, config.z_channels, 1),
            nn.Flatten(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Images N x 3 x S x S in [-1, 1] -> z_sem N x z_channels."""
        for stage in self.input_blocks:
            x = stage(x)
        return self.out(self.middle_block(x))
