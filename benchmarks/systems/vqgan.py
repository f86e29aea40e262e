"""VQ-GAN as a system: `last.ckpt` of taming-transformers with its yaml, or a folder of ours."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.runtime.errors import NotAvailable
from benchmarks.runtime.precision import full_precision
from benchmarks.systems.base import Code, needed
from benchmarks.systems.files import containers, folder, library, taming
from benchmarks.systems.files.address import read_address
from benchmarks.systems.networks import codebook
from benchmarks.systems.networks.vqgan import VQGANConfig, build, our_tensors, their_tensors
from benchmarks.systems.quantised import Quantised, map_of
from diffae import trained_on
from diffae.checkpoint import check_state


class VQGANSystem(Quantised):
    """VQ-GAN: a map of codes from one codebook (taming-transformers' checkpoints)"""

    name, title = "vqgan", "VQ-GAN"

    def __init__(self, path: str | Path | None, device: torch.device):
        address = read_address(path, {})
        self.source, self.device = address.path or _packaged(), device
        read = _folder if folder.is_folder(self.source) else _file
        model, config, self.fingerprint = read(self.source)
        self.model: Any = model.to(device)
        self.trained_on = trained_on.read(self.source)
        self._count(config)

    def _count(self, config: VQGANConfig) -> None:
        """As the paper counts: the numbers of the map of vectors, at the size that it was trained at."""
        self.image_size, self.stride = config.resolution, config.stride
        places = (self.image_size // self.stride) ** 2
        self.latent_dim = places * config.embed_dim
        self.code_bits = places * math.log2(config.n_embed)
        self.semantic_parts = (map_of(config.embed_dim),)

    @property
    def codebook(self) -> Tensor:
        """n_embed x embed_dim"""
        return self.model.quantize.embedding.weight

    def indices(self, images: Tensor) -> Tensor:
        """The numbers of the codes: N x h x w, int64."""
        with full_precision():  # anything less chooses other codes
            before = self.model.encode(self._fits(images).to(self.device)).latents
            return codebook.nearest(before, self.codebook)

    def decode_indices(self, indices: Tensor) -> Tensor:
        """Images of codes' numbers."""
        return self.decode(Code(codebook.look_up(indices.to(self.device), self.codebook)))

    @property
    def codebooks(self) -> Mapping[str, int]:
        return {"codebook": len(self.codebook)}

    def tokens(self, code: Code) -> tuple[Tensor, ...]:
        vectors = needed(code.semantic, "map of code vectors").to(self.device)
        return (codebook.nearest(vectors, self.codebook),)

    def encode_semantic(self, images: Tensor) -> Tensor:
        return codebook.look_up(self.indices(images), self.codebook)

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        vectors = needed(code.semantic, "map of code vectors").to(self.device)
        return self.model.decode(vectors, force_not_quantize=True).sample.clamp(-1, 1)

    def networks(self) -> dict[str, nn.Module]:
        return {"VQ-GAN": self.model}


def _packaged() -> Path:
    found = folder.shipped("vqgan", "VQ-GAN", "last.ckpt")
    if not library.is_installed():
        raise NotAvailable(library.MISSING)
    return found


def _empty(config: VQGANConfig, path: Path) -> nn.Module:
    """The network without memory for its weights: those of a file come in their place."""
    with torch.device("meta"):
        return build(config, str(path))


def _folder(path: Path) -> tuple[nn.Module, VQGANConfig, str]:
    config = folder.read_config(path, "vqgan", VQGANConfig)
    model = _empty(config, path)
    folder.read_weights(model, path)
    return model, config, folder.fingerprint(path)


def _file(path: Path) -> tuple[nn.Module, VQGANConfig, str]:
    """The model of a file of taming-transformers', its configuration, and the file's digest.

    What does not fit is named as it is there. Of the configuration nothing is left that the tensors do not show,
    but the level of attention and the size that it is for.
    """
    state = taming.read_first_stage(path)
    config = taming.read_config(path)
    model, levels = _empty(config, path), len(config.ch_mult)
    check_state(state, their_tensors(model, levels), str(path))
    containers.give(model, our_tensors(state, list(model.state_dict()), levels), path)
    return model, config, f"{containers.sha256(path)}-{config.resolution}"
