"""VQ-GAN as a system: taming-transformers' `last.ckpt` with its yaml, or a folder of this project."""

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.runtime.errors import NotAvailable
from benchmarks.systems.protocol.base import Code, needed
from benchmarks.systems.shared import folder, library
from benchmarks.systems.shared.opened import Opened
from benchmarks.systems.shared.quantised import OneCodebook, Quantised, map_of
from benchmarks.systems.vqgan import taming
from benchmarks.systems.vqgan.network import VQGANConfig, build, our_tensors, their_tensors
from diffae.checkpoints.checkpoint import check_state


class VQGANSystem(Opened, OneCodebook, Quantised):
    """VQ-GAN: a map of codes from one codebook (taming-transformers' checkpoints)"""

    name, title = "vqgan", "VQ-GAN"

    choices, example, config_class = {}, "last.ckpt", VQGANConfig

    def __init__(self, path: str | Path | None, device: torch.device):
        if path is None and not library.is_installed():
            raise NotAvailable(library.MISSING)
        super().__init__(path, device)

    def _read(self, path: Path) -> tuple[VQGANConfig, dict[str, Tensor]]:
        """The configuration and the tensors; errors name tensors as the file does."""
        state, config = taming.read_first_stage(path), taming.read_config(path)
        with torch.device("meta"):
            network = self._build(config)
        levels = len(config.ch_mult)
        check_state(state, their_tensors(network, levels), str(path))
        return config, our_tensors(state, list(network.state_dict()), levels)

    def _build(self, config: VQGANConfig) -> nn.Module:
        return build(config, str(self.source))

    def _count(self, config: VQGANConfig) -> None:
        """Count as the paper does: the numbers of the map of vectors, at the size of training."""
        if not folder.is_folder(self.source):
            # The tensors show the whole configuration except the level of attention and the image size.
            self.fingerprint += f"-{config.resolution}"
        self.image_size, self.stride = config.resolution, config.stride
        places = (self.image_size // self.stride) ** 2
        self.latent_dim = places * config.embed_dim
        self.code_bits = places * math.log2(config.n_embed)
        self.semantic_parts = (map_of(config.embed_dim),)

    def _before(self, images: Tensor) -> Tensor:
        return self.model.encode(images.to(self.device)).latents

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        vectors = needed(code.semantic, "map of code vectors").to(self.device)
        return self.model.decode(vectors, force_not_quantize=True).sample.clamp(-1, 1)

    def networks(self) -> dict[str, nn.Module]:
        return {"VQ-GAN": self.model}
