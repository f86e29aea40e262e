"""Images, features and systems with known Frechet distances.

The images have one colour, the feature is the mean colour, and so is the code of a system. What a
benchmark draws, keeps and compares can then be counted by hand.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import reference_metrics
import torch
from lone_context import small_context
from PIL import Image

from benchmarks.metrics.networks.chosen import DISTANCES, EFFNET, FEATURES
from benchmarks.metrics.networks.features import FeatureNetwork, from_zero_to_one
from benchmarks.systems.protocol.base import (
    DECODE,
    SAMPLE,
    SAMPLE_LATENTS,
    SEMANTIC,
    STOCHASTIC,
    Code,
    System,
)
from diffae.data import open_dataset

SIZE = 8


class MeanColour(torch.nn.Module):
    def forward(self, images):
        return images.mean((2, 3))


def features() -> FeatureNetwork:
    """uint8 images -> mean colours in [0, 1], under the name of the replaced network."""
    cpu = torch.device("cpu")
    names = "colour", "fd_effnet", "efficientnet-lite0"
    return FeatureNetwork(*names, 3, SIZE, "none", "0" * 64, cpu, MeanColour(), from_zero_to_one)


def colours(count: int, red: bool, rng) -> np.ndarray:
    """uint8 N x 3: red images are near (180, 120, 120), the others near (70, 140, 110)."""
    centre = (180, 120, 120) if red else (70, 140, 110)
    return np.clip(rng.normal(centre, (9, 14, 5), (count, 3)).round(), 0, 255).astype(np.uint8)


def dataset(folder, red: np.ndarray):
    """One image for each of bool [N], with the attribute Male if it is red.

    60 % of them are for training.
    """
    rng = np.random.default_rng(0)
    for index, is_red in enumerate(red):
        colour = tuple(map(int, colours(1, is_red, rng)[0]))
        Image.new("RGB", (SIZE, SIZE), colour).save(folder / f"{index:04d}.png")
    found = open_dataset(folder, SIZE)
    return replace(found, attribute_names=("Male",), attributes=np.array(red)[:, None])


def colours_of(dataset, indices) -> np.ndarray:
    """uint8 N x 3: the colours of these images."""
    return dataset.images(indices)[:, 0, 0]


class Painter(System):
    """A system whose code is the colour.

    Its samples are red or not in turn, so that a class can be selected.
    """

    name = title = fingerprint = "painter"
    capabilities = frozenset({DECODE, SEMANTIC, STOCHASTIC, SAMPLE, SAMPLE_LATENTS})
    image_size, latent_dim, semantic_dim = SIZE, 3, 3

    def encode_semantic(self, images):
        return images.mean((2, 3))

    def decode(self, code: Code, steps=100):
        return code.semantic[:, :, None, None].expand(-1, 3, SIZE, SIZE).clone()

    def sample_latents(self, indices, seed, steps):
        rows = [self.colour(index, seed) for index in indices]
        return torch.tensor(np.array(rows), dtype=torch.float32) / 127.5 - 1

    def sample(self, indices, seed, steps):
        return self.decode(Code(self.sample_latents(indices, seed, steps)))

    @staticmethod
    def colour(index: int, seed: int) -> np.ndarray:
        """uint8 3: the colour of the sample of this index, slightly too red if the index is even."""
        found = colours(1, index % 2 == 0, np.random.default_rng((seed, index, 77)))[0]
        return np.clip(found + np.array([12, -9, 0]), 0, 255).astype(np.uint8)


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """The Frechet distance of colours uint8 [n, 3] and [m, 3]."""
    return reference_metrics.frechet(a / 255, b / 255)


def kernel(a: np.ndarray, b: np.ndarray) -> float:
    """The kernel distance of the same."""
    return reference_metrics.kernel(a / 255, b / 255)


@dataclass(frozen=True)
class SquaredError:
    """|a - b|^2 of images, under the name of the perceptual distance."""

    metric_name: str = "pd_effnet"
    network: str = "efficientnet-lite0"
    batches: object = field(default=None, compare=False)
    name: str = "squared error"
    sha256: str = "0" * 64
    smallest: int = 1

    def __call__(self, a: torch.Tensor, b: torch.Tensor, *, clamped: bool = True) -> torch.Tensor:
        return (a.double() - b.double()).square().flatten(1).sum(1)

    def in_float64(self) -> "SquaredError":
        return self

    def too_small(self, height: int, width: int) -> str:
        return ""

    def describe(self) -> dict[str, str]:
        return {"perceptual_network": "squared error"}


@contextmanager
def no_effnet() -> Iterator[None]:
    """Within the block, `features` and `SquaredError` in place of EfficientNet-lite0."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FEATURES, EFFNET, lambda *_: features())
        patch.setitem(DISTANCES, EFFNET, lambda *_: SquaredError())
        yield


def without_effnet(context):
    """The context with networks that cost nothing: `features` and `SquaredError`."""
    context.networks.features, context.networks.perceptual = (features(),), SquaredError()
    return context


def context_of(images, folder, changes):
    """A small context whose features are `features`."""
    found = small_context(images, folder, changes)
    found.networks.features = (features(),)
    return found
