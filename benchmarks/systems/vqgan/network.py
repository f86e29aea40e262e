"""VQ-GAN (Esser et al., CVPR 2021) as the `VQModel` of diffusers.

It also has the names of the tensors in taming-transformers. Images in [-1, 1] of any side that is a
multiple of `stride`; the code is one map at that fraction of the side.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from torch import Tensor, nn

from benchmarks.systems.shared.library import diffusers
from diffae.system.settings import Range

LARGEST_SIDE = 1024  # px of an image: four times the largest that it was published for
Number = Annotated[int, Range(1, 1 << 20)]


@dataclass(frozen=True)
class VQGANConfig:
    """The fields of taming-transformers' yaml that decide the network.

    The defaults are f16 with 1,024 codes. `resolution` is the size of training; it decides on which
    level of the pyramid `attn_resolutions` are.
    """

    n_embed: Number = 1024
    embed_dim: Number = 256
    ch: Number = 128
    ch_mult: tuple[Number, ...] = (1, 1, 2, 2, 4)
    num_res_blocks: Annotated[int, Range(1, 16)] = 2
    attn_resolutions: tuple[Number, ...] = (16,)
    resolution: Annotated[int, Range(1, LARGEST_SIDE)] = 256
    z_channels: Number = 256
    norm_groups: Number = 32  # always, in taming-transformers

    @property
    def stride(self) -> int:
        """Pixels per side of one code."""
        return 2 ** (len(self.ch_mult) - 1)


def build(config: VQGANConfig, user: str) -> nn.Module:
    """A VQModel with initial weights. Raises UserError, on behalf of `user`, if diffusers is missing."""
    sides = [config.resolution // 2**level for level in range(len(config.ch_mult))]
    attends = [side in config.attn_resolutions for side in sides]  # of each level, the finest first
    down = ["AttnDownEncoderBlock2D" if has else "DownEncoderBlock2D" for has in attends]
    up = ["AttnUpDecoderBlock2D" if has else "UpDecoderBlock2D" for has in attends[::-1]]
    return diffusers(user).VQModel(
        down_block_types=tuple(down),
        up_block_types=tuple(up),
        block_out_channels=tuple(config.ch * factor for factor in config.ch_mult),
        layers_per_block=config.num_res_blocks,
        act_fn="silu",
        latent_channels=config.z_channels,
        vq_embed_dim=config.embed_dim,
        num_vq_embeddings=config.n_embed,
        norm_num_groups=config.norm_groups,
        sample_size=config.resolution,
    )


# Replacements that turn a name of diffusers into that of taming-transformers, in this order.
RENAMED = (
    (r"\bdown_blocks\.", "down."),
    (r"\bmid_block\.resnets\.0\.", "mid.block_1."),
    (r"\bmid_block\.resnets\.1\.", "mid.block_2."),
    (r"\bmid_block\.attentions\.0\.", "mid.attn_1."),
    (r"\bresnets\.", "block."),
    (r"\battentions\.", "attn."),
    (r"\bdownsamplers\.0\.", "downsample."),
    (r"\bupsamplers\.0\.", "upsample."),
    (r"\bgroup_norm\.", "norm."),
    (r"\bto_([qkv])\.", r"\1."),
    (r"\bto_out\.0\.", "proj_out."),
    (r"\bconv_shortcut\.", "nin_shortcut."),
    (r"\bconv_norm_out\.", "norm_out."),
)
PROJECTION = re.compile(r"\.(to_[qkv]|to_out\.0)\.weight$")  # a 1 x 1 convolution there


def their_name(name: str, levels: int) -> str:
    """The name in taming-transformers of the tensor `name` of a VQModel with so many levels."""
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    # taming-transformers counts the decoder's levels from the finest, diffusers from the coarsest.
    return re.sub(r"\bup_blocks\.(\d+)\.", lambda match: f"up.{levels - 1 - int(match[1])}.", name)


def their_tensors(network: nn.Module, levels: int) -> dict[str, Tensor]:
    """The tensors of a VQModel in the names and shapes of taming-transformers."""
    return {
        their_name(name, levels): value[..., None, None] if PROJECTION.search(name) else value
        for name, value in network.state_dict().items()
    }


def our_tensors(state: dict[str, Tensor], names: Sequence[str], levels: int) -> dict[str, Tensor]:
    """The tensors `names` of a VQModel, from those of taming-transformers."""
    tensors = {name: state[their_name(name, levels)] for name in names}
    return {
        name: value[..., 0, 0] if PROJECTION.search(name) else value
        for name, value in tensors.items()
    }
