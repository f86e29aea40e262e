"""Systems of known answers, and a count of what a system is given.

What each of them encodes and decodes is a formula, so that a test can compute every number of a
benchmark by itself. `small_systems.Everything` is the one that can do all that a system can.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from benchmarks.plugin import Code, System

CODES = frozenset({"encode", "decode", "semantic"})


class Named(System):
    """A system whose name, title and fingerprint are one text."""

    capabilities = CODES

    def __init__(self, name: str, side: int, numbers: int):
        self.name = self.title = self.fingerprint = name
        self.image_size, self.latent_dim = side, numbers


class Pixels(Named):
    """The code is the image, which is decoded with `contrast` times its contrast."""

    def __init__(self, side: int = 32, contrast: float = 1.0, name: str = "pixels"):
        super().__init__(name, side, 3 * side**2)
        self.contrast, self.fingerprint = contrast, f"{name} {side} {contrast}"

    def encode_semantic(self, images: Tensor) -> Tensor:
        assert images.shape[2:] == (self.image_size, self.image_size)
        return images.flatten(1)

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        side = self.image_size
        return self.contrast * code.semantic.reshape(-1, 3, side, side)


class Cells(Named):
    """The code is the mean colour of each of `cells` x `cells` cells, and so is what is decoded."""

    def __init__(self, side: int = 32, cells: int = 2, name: str = "cells"):
        super().__init__(name, side, 3 * cells**2)
        self.cells, self.fingerprint = cells, f"{name} {side} {cells}"

    def encode_semantic(self, images: Tensor) -> Tensor:
        assert images.shape[2:] == (self.image_size, self.image_size)
        return avg_pool2d(images, self.image_size // self.cells).flatten(1)

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        means = code.semantic.reshape(-1, 3, self.cells, self.cells)
        return interpolate(means, scale_factor=self.image_size // self.cells)


class Coloured(Named):
    """For images of one colour. `to` and `back` are the maps between colours, N x 3, and codes."""

    def __init__(
        self, name: str, to: Callable[[Tensor], Tensor], back: Callable[[Tensor], Tensor], side=8
    ):
        super().__init__(name, side, to(torch.zeros(1, 3)).shape[1])
        self.to, self.back = to, back

    def encode_semantic(self, images: Tensor) -> Tensor:
        return self.to(images[:, :, 0, 0])

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        side, colours = self.image_size, self.back(code.semantic)
        return colours[:, :, None, None].expand(-1, 3, side, side).clone()


class Mixture(Named):
    """decode(z, x_T) = a z + b x_T + c / T, where z is the image; x_T is inverted accordingly."""

    capabilities = CODES | {"stochastic"}

    def __init__(self, a: float = 1.0, b: float = 0.1, c: float = 0.0, side: int = 32):
        super().__init__(f"mixture-{a}-{b}-{c}", side, 2 * 3 * side**2)
        self.semantic_dim, self.iterative = 3 * side**2, c != 0
        self.a, self.b, self.c = a, b, c

    def encode_semantic(self, images: Tensor) -> Tensor:
        return images.flatten(1)

    def encode_stochastic(self, images: Tensor, semantic: Tensor, steps: int) -> Tensor:
        return (images - self.a * semantic.reshape(images.shape) - self.c / steps) / self.b

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        images = code.semantic.reshape(code.x_T.shape)
        return self.a * images + self.b * code.x_T + self.c / steps


VERBS = ("encode_semantic", "encode_stochastic", "decode", "sample_latents", "sample", "predict_x0")


def noted(system: System) -> dict[str, list[int]]:
    """The numbers of images of each call of each verb of `system`, from now on."""
    calls: dict[str, list[int]] = {verb: [] for verb in VERBS}
    for verb in VERBS:
        setattr(system, verb, _noting(getattr(system, verb), calls[verb]))
    return calls


def _noting(method: Callable, counts: list[int]) -> Callable:
    def call(first, *rest, **named):
        counts.append(len(first.semantic if isinstance(first, Code) else first))
        return method(first, *rest, **named)

    return call
