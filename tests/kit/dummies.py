"""Systems with known answers, one for each kind of code: a plug-in that this folder installs."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from benchmarks.systems.protocol.base import IN_WORDS, Code, System, needed, several
from benchmarks.systems.protocol.parts import POOLED, Part, Semantic
from diffae.diffusion import noise

SIZE, CODE_DIM = 32, 16


class _Dummy(System):
    capabilities = frozenset({"encode", "decode", "semantic"})
    reference = True
    image_size = SIZE

    def __init__(self, path: str | Path | None, device: torch.device):
        self.fingerprint = self.name


class Perfect(_Dummy):
    """The image is its own code: SSIM 1, MSE 0"""

    name, title = "dummy-perfect", "dummy: perfect"
    latent_dim = 3 * SIZE**2

    def encode_semantic(self, images: Tensor) -> Tensor:
        return images.flatten(1)

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        return needed(code.semantic, "semantic part").reshape(-1, 3, SIZE, SIZE)


class Constant(_Dummy):
    """Every image decodes to mid-grey, every code is zero: path length 0, AUROC 0.5"""

    name, title = "dummy-constant", "dummy: constant"
    capabilities = frozenset(
        {"encode", "decode", "semantic", "sample", "sample_latents", "predict_x0"}
    )
    latent_dim = CODE_DIM

    def encode_semantic(self, images: Tensor) -> Tensor:
        return torch.zeros(len(images), CODE_DIM)

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        return torch.zeros(len(needed(code.semantic, "semantic part")), 3, SIZE, SIZE)

    def sample_latents(self, indices: Sequence[int], seed: int, steps: int) -> Tensor:
        return torch.zeros(len(indices), CODE_DIM)

    def predict_x0(self, images_noised: Tensor, t: int, semantic: Semantic | None) -> Tensor:
        return torch.zeros_like(images_noised)


class ColourMap(_Dummy):
    """A map: the image averaged over 4 x 4 pixels; the error is what varies within them"""

    name, title = "dummy-map", "dummy: map"
    capabilities = frozenset({"encode", "decode", "semantic", "sample", "sample_latents"})
    semantic_parts = (Part((3, 8, 8), reading=POOLED),)
    latent_dim = 3 * 8 * 8
    computes_in_float64 = True

    def encode_semantic(self, images: Tensor) -> Tensor:
        return avg_pool2d(images, 4)

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        return enlarged(needed(code.semantic, "map"), 4).clamp(-1, 1)

    def sample_latents(self, indices: Sequence[int], seed: int, steps: int) -> Tensor:
        """Samples around mid-grey, with half the range as standard deviation."""
        return 0.5 * noise.normal(seed, "dummy map", indices, (3, 8, 8))


class Pyramid(_Dummy):
    """Several maps: the levels of a Laplacian pyramid (Burt and Adelson, 1983): SSIM 1, MSE 0"""

    name, title = "dummy-levels", "dummy: levels"
    semantic_parts = (Part((3, 8, 8)), Part((3, 16, 16)), Part((3, 32, 32)))
    latent_dim = 3 * (8**2 + 16**2 + 32**2)
    computes_in_float64 = True

    def encode_semantic(self, images: Tensor) -> tuple[Tensor, ...]:
        half, quarter = avg_pool2d(images, 2), avg_pool2d(images, 4)
        return quarter, half - enlarged(quarter, 2), images - enlarged(half, 2)

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        coarse, middle, fine = several(code.semantic, "pyramid")
        return (enlarged(enlarged(coarse, 2) + middle, 2) + fine).clamp(-1, 1)


class Layers(_Dummy):
    """Layers: one vector for each of four, all the same; read and decoded by their mean"""

    name, title = "dummy-layers", "dummy: layers"
    semantic_parts = (Part((4, 48), reading=POOLED, axis=1),)
    latent_dim = 4 * 48
    computes_in_float64 = True

    def encode_semantic(self, images: Tensor) -> Tensor:
        return avg_pool2d(images, 8).flatten(1)[:, None].repeat(1, 4, 1)

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        mean = needed(code.semantic, "layers").mean(1)
        return enlarged(mean.reshape(-1, 3, 4, 4), 8).clamp(-1, 1)


class GreyLevels(_Dummy):
    """Tokens: each value of a pixel as the nearest of 16; no value is off by more than 1/15"""

    name, title = "dummy-tokens", "dummy: tokens"
    capabilities = frozenset({"encode", "decode", "semantic", "sample", "sample_latents"})
    semantic_parts = (Part.of_tokens((3, SIZE, SIZE), 16),)
    latent_dim = 3 * SIZE**2

    def encode_semantic(self, images: Tensor) -> Tensor:
        return ((images + 1) * 7.5).round().long().clamp(0, 15)

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        return needed(code.semantic, "tokens") / 7.5 - 1

    def sample_latents(self, indices: Sequence[int], seed: int, steps: int) -> Tensor:
        """Samples around mid-grey."""
        return self.encode_semantic(0.5 * noise.normal(seed, "dummy", indices, (3, SIZE, SIZE)))


class MeanAndRest(_Dummy):
    """A vector and x_T: the mean colour, and ten times the rest; perfect with the image's own x_T"""

    name, title = "dummy-stochastic", "dummy: stochastic"
    capabilities = frozenset(IN_WORDS)
    semantic_dim, latent_dim = 3, 3 + 3 * SIZE**2
    computes_in_float64 = True

    def encode_semantic(self, images: Tensor) -> Tensor:
        return images.mean((2, 3))

    def encode_stochastic(self, images: Tensor, semantic: Semantic | None, steps: int) -> Tensor:
        return 10 * (images - needed(semantic, "mean")[:, :, None, None])

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        mean, rest = needed(code.semantic, "mean"), needed(code.x_T, "x_T")
        return (mean[:, :, None, None] + rest / 10).clamp(-1, 1)

    def sample_latents(self, indices: Sequence[int], seed: int, steps: int) -> Tensor:
        return 0.5 * noise.normal(seed, "dummy mean", indices, (3,))

    def predict_x0(self, images_noised: Tensor, t: int, semantic: Semantic | None) -> Tensor:
        mean = needed(semantic, "mean")[:, :, None, None]
        return mean.expand(images_noised.shape).clamp(-1, 1)


def enlarged(images: Tensor, times: int) -> Tensor:
    return images.repeat_interleave(times, -1).repeat_interleave(times, -2)


class RandomCode(_Dummy):
    """A code that knows nothing of the image: AUROC 0.5 within its error"""

    name, title = "dummy-random", "dummy: random code"
    capabilities = frozenset({"semantic"})
    latent_dim = CODE_DIM

    def encode_semantic(self, images: Tensor) -> Tensor:
        """Noise seeded by the image's own pixels, so that it is the same at every call."""
        seeds = [int(image.double().mul(127.5).round().abs().sum()) for image in images]
        return noise.normal(0, "dummy", seeds, (CODE_DIM,))
