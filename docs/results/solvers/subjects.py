"""What the solvers are tried on: models with their verbs, held-out images, and crops of photographs."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor, nn

from benchmarks.core.selection import Selection, select
from benchmarks.tasks.identity import edit
from diffae import DDIM, DiffusionAutoencoder, noise
from diffae.between import slerp
from diffae.checkpoint import open_checkpoint
from diffae.config import AUTOENCODER
from diffae.data import open_dataset, open_portraits
from probes import LinearProbe, fit_lbfgs

SEED = 7  # of portraits, choices, noise and crops: the figures, and so our choices, came from others
PORTRAITS = 3_000
IMAGES, SAMPLES, KEPT = (
    16,
    128,
    32,
)  # images of a round trip, samples, and how many of these are kept
TRAIN, REFERENCE = 1_500, 900
ATTRIBUTE, STRENGTH = "Male", 0.3  # of edits; the first attribute where there is no such one
NARROWEST, CROP_SIDES = 32, (32, 48, 96, 192)


@dataclass(frozen=True)
class Subject:
    """A model with the verbs of both kinds; z is None for one that has none."""

    name: str
    model: DiffusionAutoencoder | DDIM

    @staticmethod
    def load(name: str, path: str | Path) -> "Subject":
        found = open_checkpoint(path).config.kind
        return Subject(
            name, (DiffusionAutoencoder if found == AUTOENCODER else DDIM).from_pretrained(path)
        )

    @property
    def latent(self) -> bool:
        """Whether it is an autoencoder."""
        return isinstance(self.model, DiffusionAutoencoder)

    def z(self, images: Tensor) -> Tensor | None:
        return self.model.encode(images) if isinstance(self.model, DiffusionAutoencoder) else None

    def encode(self, images: Tensor, z: Tensor | None, solver: str, steps: int) -> Tensor:
        codes = () if z is None else (z,)
        return self.model.encode_stochastic(images, *codes, steps=steps, solver=solver)

    def decode(self, z: Tensor | None, x_T: Tensor, solver: str, steps: int) -> Tensor:
        codes = (x_T,) if z is None else (z, x_T)
        return self.model.decode(*codes, steps=steps, solver=solver)


@dataclass(frozen=True)
class HeldOut:
    """Images that a model was not trained on, no person twice, and what edits of them need."""

    selection: Selection

    @staticmethod
    def open(path: str | None) -> "HeldOut":
        data = open_dataset(path, 32) if path else open_portraits(PORTRAITS, 32, SEED)
        return HeldOut(select(data, "test", REFERENCE, SEED))

    @property
    def name(self) -> str:
        return self.selection.dataset.name

    @cached_property
    def positions(self) -> np.ndarray:
        """Of the first picture of each of the first persons."""
        return np.sort(np.unique(self.selection.groups, return_index=True)[1])[:IMAGES]

    @cached_property
    def images(self) -> Tensor:
        return self.selection.batch(self.positions)

    @property
    def attribute(self) -> int:
        names = self.selection.dataset.attribute_names
        return names.index(ATTRIBUTE) if ATTRIBUTE in names else 0

    def probe(self, subject: Subject) -> LinearProbe:
        """A converged linear classifier of z_sem, on training images."""
        train = select(self.selection.dataset, "train", TRAIN, SEED)
        assert isinstance(subject.model, DiffusionAutoencoder)
        z = subject.model.encode(train.batch(np.arange(len(train))))
        return fit_lbfgs(z, torch.from_numpy(train.labels), C=0.1)

    def towards(self) -> Tensor:
        """Away from the attribute's present value: 1 or -1 an image."""
        return torch.from_numpy(
            1.0 - 2.0 * self.selection.labels[self.positions, self.attribute]
        ).float()

    def edited(self, probe: LinearProbe, z: Tensor) -> Tensor:
        """z_sem moved as `benchmarks.tasks.identity` moves it."""
        return z + edit(probe, self.attribute, STRENGTH * self.towards())


@dataclass(frozen=True)
class Crops:
    """Squares at random places of two photographs (CC BY, in scikit-learn), all but the smallest scaled down to 32 px."""

    name: str = "photo crops"

    @cached_property
    def images(self) -> Tensor:
        photos = [Image.fromarray(photo) for photo in load_sample_images().images]
        rng = np.random.default_rng(SEED)
        crops = [
            _crop(photos[i % len(photos)], CROP_SIDES[i // 2 % len(CROP_SIDES)], rng)
            for i in range(IMAGES)
        ]
        pixels = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)
        return pixels.contiguous().float() / 127.5 - 1


def _crop(photo: Image.Image, side: int, rng: np.random.Generator) -> np.ndarray:
    left, top = (int(rng.integers(room - side + 1)) for room in photo.size)
    box = (left, top, left + side, top + side)
    return np.asarray(photo.resize((NARROWEST, NARROWEST), Image.Resampling.BOX, box=box))


def midpoints(z: Tensor | None, x_T: Tensor) -> tuple[Tensor | None, Tensor]:
    """Codes half way between images 2 p and 2 p + 1, as `benchmarks.tasks.interpolation` has them."""
    half = torch.full((len(x_T) // 2,), 0.5)
    between = slerp(x_T[::2], x_T[1::2], half)
    return None if z is None else (z[::2] + z[1::2]) / 2, between


def noises(purpose: str, shape: tuple[int, ...]) -> Tensor:
    """Standard normal numbers, N x ..., the same for every solver."""
    return noise.normal(SEED, purpose, range(shape[0]), shape[1:])


def fill(model: nn.Module) -> None:
    """Give every weight a value that depends on its name and shape alone (normal, scaled by its inputs), networks that
    begin at zero too."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            value = noise.normals(noise.generator(SEED, name, 0), weight.shape)
            if weight.ndim >= 2:
                weight.copy_(value / math.sqrt(weight[0].numel()))
            else:
                weight.copy_(0.1 * value + (1 if name.endswith("weight") else 0))
