"""VQ-VAE-2 as a system: rosinality's `vqvae_560.pt`, or a folder of this project."""

import math
import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from benchmarks.runtime.precision import full_precision
from benchmarks.systems.protocol.base import Code, Description, several
from benchmarks.systems.protocol.parts import Semantic
from benchmarks.systems.shared import containers
from benchmarks.systems.shared.folder import Opened
from benchmarks.systems.shared.quantised import Quantised, map_of
from benchmarks.systems.vqvae2.network import STRIDE, VQVAE2, VQVAE2Config
from diffae.checkpoints.torch_file import in_memory

# The skip of the residual blocks: as when the public weights were trained, or as in their code since January 2021.
OPTIONS = {"block": ("relu-skip", "input-skip")}


class VQVAE2System(Opened[VQVAE2Config, VQVAE2], Quantised):
    """VQ-VAE-2: two maps of codes from two codebooks (rosinality's checkpoints)"""

    name, title, stride = "vqvae2", "VQ-VAE2", STRIDE

    choices, example, config_class = OPTIONS, "vqvae_560.pt", VQVAE2Config

    def _read(self, path: Path) -> tuple[VQVAE2Config, dict[str, Tensor]]:
        """The configuration and the tensors of a bare state dict."""
        content = containers.read(path)
        named = containers.entries(content)
        state = {name.removeprefix("module."): value for name, value in named.items()}
        if "quantize_t.embed" not in state:
            containers.refuse_other_kind(content, path, "vqvae2", "quantize_t.embed")
        tensors = in_memory(state, path)
        return _config(tensors, path), tensors

    def _build(self, config: VQVAE2Config) -> VQVAE2:
        return VQVAE2(config, self.options["block"] == "relu-skip")

    def _set_sizes(self, config: VQVAE2Config) -> None:
        """Count as the paper does: the numbers of the vectors of both maps, at the size of training."""
        side = config.image_size // STRIDE
        places = side**2 + (2 * side) ** 2
        self.image_size = config.image_size
        self.latent_dim = places * config.embed_dim
        self.code_bits = places * math.log2(config.n_embed)
        self.semantic_parts = (map_of(config.embed_dim), map_of(config.embed_dim))

    def describe(self) -> Description:
        return {**super().describe(), **self.options}

    def indices(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Indices of the codes, top and bottom: N x S/8 x S/8 and N x S/4 x S/4, int64."""
        with full_precision():  # lower precision chooses different codes
            return self.model.encode(images.to(self.device))

    def decode_indices(self, indices: tuple[Tensor, Tensor]) -> Tensor:
        """Images from indices of codes (top, bottom)."""
        top, bottom = (level.to(self.device) for level in indices)
        return self.decode(Code(self.model.vectors(top, bottom)))

    @property
    def codebooks(self) -> Mapping[str, int]:
        n = self.model.config.n_embed
        return {"top": n, "bottom": n}

    def tokens(self, code: Code) -> tuple[Tensor, ...]:
        books = (self.model.quantize_t, self.model.quantize_b)
        maps = several(code.semantic, "two maps")
        pairs = zip(books, maps, strict=True)
        return tuple(book.indices(vectors.to(self.device)) for book, vectors in pairs)

    def encode_semantic(self, images: Tensor) -> Semantic:
        return self.model.vectors(*self.indices(images))

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        top, bottom = (level.to(self.device) for level in several(code.semantic, "two maps"))
        return self.cut(self.model.decode(top, bottom))

    def networks(self) -> dict[str, nn.Module]:
        return {"VQ-VAE-2": self.model}


def _config(tensors: Mapping[str, Tensor], path: Path) -> VQVAE2Config:
    """The widths of the network from its tensors.

    Tensors that do not fit them are refused when they are loaded.
    """
    pattern = r"enc_b\.blocks\.(\d{1,2})\.conv\.1\.weight"
    matches = (re.fullmatch(pattern, name) for name in tensors)
    blocks = {int(match[1]) for match in matches if match}
    inner_name = f"enc_b.blocks.{min(blocks, default=5)}.conv.1.weight"
    names = {"quantize_t.embed": 2, "enc_b.blocks.4.weight": 4, inner_name: 4}
    embed, channel, inner = (
        containers.shape_of(tensors, name, axes, path, "a VQ-VAE-2 of rosinality's")
        for name, axes in names.items()
    )
    return VQVAE2Config(
        channel=channel[0],
        res_blocks=len(blocks),
        res_channel=inner[0],
        embed_dim=embed[0],
        n_embed=embed[1],
    )
