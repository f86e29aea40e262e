"""Systems with known answers: they test the harness without any weights."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.systems.base import (
    DECODE,
    ENCODE,
    PREDICT_X0,
    SAMPLE,
    SAMPLE_LATENTS,
    SEMANTIC,
    Code,
    System,
    needed,
)
from diffae import noise

SIZE, CODE_DIM = 32, 16


class _Dummy(System):
    reference = True
    image_size = SIZE

    def __init__(self, path: str | Path | None, device: torch.device):
        self.fingerprint = self.name


class Perfect(_Dummy):
    """The image is its own code: SSIM 1, MSE 0"""

    name, title = "dummy-perfect", "dummy: perfect"
    capabilities = frozenset({ENCODE, DECODE, SEMANTIC})
    latent_dim = 3 * SIZE**2

    def encode_semantic(self, images: Tensor) -> Tensor:
        return images.flatten(1)

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        return needed(code.semantic, "semantic part").reshape(-1, 3, SIZE, SIZE)


class Constant(_Dummy):
    """Every image decodes to mid-grey, every code is zero: path length 0, AUROC 0.5"""

    name, title = "dummy-constant", "dummy: constant"
    capabilities = frozenset({ENCODE, DECODE, SEMANTIC, SAMPLE, SAMPLE_LATENTS, PREDICT_X0})
    latent_dim = CODE_DIM

    def encode_semantic(self, images: Tensor) -> Tensor:
        return torch.zeros(len(images), CODE_DIM)

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        return torch.zeros(len(needed(code.semantic, "semantic part")), 3, SIZE, SIZE)

    def sample_latents(self, indices: Sequence[int], seed: int, steps: int) -> Tensor:
        return torch.zeros(len(indices), CODE_DIM)

    def sample(self, indices: Sequence[int], seed: int, steps: int) -> Tensor:
        return torch.zeros(len(indices), 3, SIZE, SIZE)

    def predict_x0(self, images_noised: Tensor, t: int, semantic: Tensor | None) -> Tensor:
        return torch.zeros_like(images_noised)


class RandomCode(_Dummy):
    """A code that knows nothing of the image: AUROC 0.5 within its error"""

    name, title = "dummy-random", "dummy: random code"
    capabilities = frozenset({SEMANTIC})
    latent_dim = CODE_DIM

    def encode_semantic(self, images: Tensor) -> Tensor:
        """Noise seeded by the image's own pixels, so that it is the same every time."""
        seeds = [int(image.double().mul(127.5).round().abs().sum()) for image in images]
        return noise.normal(0, "dummy", seeds, (CODE_DIM,))
