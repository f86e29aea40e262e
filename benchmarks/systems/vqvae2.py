"""VQ-VAE-2 as a system: `vqvae_560.pt` of rosinality's, or a folder of ours."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.runtime.precision import full_precision
from benchmarks.systems.base import Code, several
from benchmarks.systems.files import containers, folder
from benchmarks.systems.files.address import read_address
from benchmarks.systems.networks.vqvae2 import STRIDE, VQVAE2, VQVAE2Config
from benchmarks.systems.parts import Semantic
from benchmarks.systems.quantised import Quantised, map_of
from diffae import trained_on
from diffae.errors import UserError

# How the residual blocks skip: as when the public weights were trained, or as their code is since January 2021.
OPTIONS = {"block": ("relu-skip", "input-skip")}


class VQVAE2System(Quantised):
    """VQ-VAE-2: two maps of codes from two codebooks (rosinality's checkpoints)"""

    name, title, stride = "vqvae2", "VQ-VAE2", STRIDE

    def __init__(self, path: str | Path | None, device: torch.device):
        address = read_address(path, OPTIONS)
        self.block, self.device = address.options["block"], device
        self.source = address.path or folder.shipped("vqvae2", "VQ-VAE-2", "vqvae_560.pt")
        read = _folder if folder.is_folder(self.source) else _file
        model, fingerprint = read(self.source, self.block == "relu-skip")
        self.model, self.fingerprint = model.to(device), f"{fingerprint}-{self.block}"
        self.trained_on = trained_on.read(self.source)
        self._count(self.model.config)

    def _count(self, config: VQVAE2Config) -> None:
        """As the paper counts: the numbers of the vectors of both maps, at the size that it was trained at."""
        side = config.image_size // STRIDE
        places = side**2 + (2 * side) ** 2
        self.image_size = config.image_size
        self.latent_dim = places * config.embed_dim
        self.code_bits = places * math.log2(config.n_embed)
        self.semantic_parts = (map_of(config.embed_dim), map_of(config.embed_dim))

    def describe(self) -> Mapping[str, Any]:
        return {**super().describe(), "block": self.block}

    def indices(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The numbers of the codes, top and bottom: N x S/8 x S/8 and N x S/4 x S/4, int64."""
        with full_precision():  # anything less chooses other codes
            return self.model.encode(self._fits(images).to(self.device))

    def decode_indices(self, indices: tuple[Tensor, Tensor]) -> Tensor:
        """Images of codes' numbers (top, bottom)."""
        top, bottom = (level.to(self.device) for level in indices)
        return self.decode(Code(self.model.vectors(top, bottom)))

    @property
    def codebooks(self) -> Mapping[str, int]:
        n = self.model.config.n_embed
        return {"top": n, "bottom": n}

    def tokens(self, code: Code) -> tuple[Tensor, ...]:
        books = (self.model.quantize_t, self.model.quantize_b)
        maps = several(code.semantic, "two maps")
        return tuple(
            book.indices(one.to(self.device)) for book, one in zip(books, maps, strict=True)
        )

    def encode_semantic(self, images: Tensor) -> Semantic:
        return self.model.vectors(*self.indices(images))

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        top, bottom = (level.to(self.device) for level in several(code.semantic, "two maps"))
        return self.model.decode(top, bottom).clamp(-1, 1)

    def networks(self) -> dict[str, nn.Module]:
        return {"VQ-VAE-2": self.model}


def _empty(config: VQVAE2Config, relu_skip: bool) -> VQVAE2:
    """The network without memory for its weights: those of a file come in their place."""
    with torch.device("meta"):
        return VQVAE2(config, relu_skip)


def _folder(path: Path, relu_skip: bool) -> tuple[VQVAE2, str]:
    model = _empty(folder.read_config(path, "vqvae2", VQVAE2Config), relu_skip)
    folder.read_weights(model, path)
    return model, folder.fingerprint(path)


def _file(path: Path, relu_skip: bool) -> tuple[VQVAE2, str]:
    """The model of a file of rosinality's, a bare state dict, and the file's digest."""
    with containers.opened(path) as file:
        content = {
            name.removeprefix("module."): value
            for name, value in containers.entries(file.content).items()
        }
        if "quantize_t.embed" not in content:
            wanted, lacks = "a VQ-VAE-2 of rosinality's", "quantize_t.embed"
            containers.refuse_other_kind(file.content, path, "vqvae2", wanted, lacks)
        tensors = containers.take(file, containers.tensors_of(content, path))
    model = _empty(_config(tensors, path), relu_skip)
    containers.give(model, tensors, path)
    return model, containers.sha256(path)


def _config(tensors: Mapping[str, Tensor], path: Path) -> VQVAE2Config:
    """The widths of the network, as its tensors have them. What does not fit them is named when they are given."""
    blocks = {
        int(found[1])
        for name in tensors
        if (found := re.fullmatch(r"enc_b\.blocks\.(\d{1,2})\.conv\.1\.weight", name))
    }
    embed, channel, inner = (
        _shape(tensors, name, path)
        for name in (
            "quantize_t.embed",
            "enc_b.blocks.4.weight",
            f"enc_b.blocks.{min(blocks, default=5)}.conv.1.weight",
        )
    )
    return VQVAE2Config(
        channel=channel[0],
        res_blocks=len(blocks),
        res_channel=inner[0],
        embed_dim=embed[0],
        n_embed=embed[1],
    )


def _shape(tensors: Mapping[str, Tensor], name: str, path: Path) -> tuple[int, ...]:
    """The shape of a tensor of at least two axes. Raises UserError if it is not there or is no such."""
    shape = tuple(tensors[name].shape) if name in tensors else ()
    if len(shape) < 2 or not all(0 < side <= 1 << 16 for side in shape):
        what = f"is of shape {shape}" if name in tensors else "is missing"
        raise UserError(f"{path}: {name} {what}: not a VQ-VAE-2 of rosinality's")
    return shape
