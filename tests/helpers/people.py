"""Data sets of people with several like pictures each, and two cheap systems whose errors depend on the picture.

People differ in brightness, colour and texture, and their pictures only a little: a standard error
that takes pictures for independent is too small by half. Nobody has as many pictures as the next,
so that blocks of people differ in size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import avg_pool2d, interpolate

from benchmarks.plugin import Code, Part, System

SIDE, CELL = 16, 4
CELLS = SIDE // CELL
SPLITS = ("train", "valid", "test")
ATTRIBUTES = ("Male", "Smiling")
PICTURES = (1, 2, 3, 4, 7)  # of a person, each as likely


@dataclass(frozen=True)
class People:
    """The pictures of a data set, uint8 N x S x S x 3, and of each its person, split and attributes."""

    images: np.ndarray
    person: np.ndarray
    split: np.ndarray
    attributes: np.ndarray

    @classmethod
    def drawn(
        cls, counts: Mapping[str, int], seeds: Mapping[str, object], side: int = SIDE
    ) -> "People":
        """So many people of each split, drawn from the split's own seed."""
        parts = [
            _drawn(counts[split], (SPLITS.index(split), seeds[split]), side) for split in SPLITS
        ]
        images, of, labels = (np.concatenate([part[i] for part in parts]) for i in range(3))
        split = np.repeat(np.arange(3), [len(part[0]) for part in parts])
        # A person's number says nothing of the split, as in CelebA.
        known, member = np.unique(np.stack([split, of]), axis=1, return_inverse=True)
        numbers = np.random.default_rng(5).permutation(100_000)[: known.shape[1]] + 1
        return cls(images, numbers[member.ravel()], split, labels)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def names(self) -> list[str]:
        """Of the attributes: the paper's where there are two."""
        count = self.attributes.shape[1]
        return list(ATTRIBUTES) if count == 2 else [f"class{i}" for i in range(count)]

    def kept(self, which: np.ndarray) -> "People":
        """Some of the pictures: bool [N] or positions."""
        return People(*(part[which] for part in vars(self).values()))

    def write(self, folder: Path, identities: bool = True) -> Path:
        """The data set in CelebA's layout; the picture's place in this one is in its file's name."""
        images = folder / "img_align_celeba"
        images.mkdir(parents=True)
        names = [f"{i:06}.png" for i in range(len(self))]
        for name, pixels in zip(names, self.images, strict=True):
            Image.fromarray(pixels).save(images / name, compress_level=1)
        signs = np.where(self.attributes, "1", "-1")
        rows = [f"{name} {' '.join(row)}" for name, row in zip(names, signs, strict=True)]
        files = {
            "list_attr_celeba.txt": [str(len(self)), " ".join(self.names), *rows],
            "list_eval_partition.txt": [f"{n} {s}" for n, s in zip(names, self.split, strict=True)],
        }
        if identities:
            whose = zip(names, self.person, strict=True)
            files["identity_CelebA.txt"] = [f"{name} {person}" for name, person in whose]
        for name, lines in files.items():
            (folder / name).write_text("\n".join(lines) + "\n")
        return folder


def _drawn(people: int, seed: object, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), rng.choice(PICTURES, people))
    n = len(person)

    def of_both(shape: tuple[int, ...], own: float) -> np.ndarray:
        """Normal: of the person, and `own` of the picture."""
        return rng.normal(size=(people, *shape))[person] + own * rng.normal(size=(n, *shape))

    cells = of_both((CELLS, CELLS, 3), 0.15)
    texture = np.exp(0.4 * of_both((), 0.2)) * 14
    smooth = 122 + 26 * cells.repeat(side // CELLS, 1).repeat(side // CELLS, 2)
    grain = rng.normal(size=(n, side, side, 3)) * texture[:, None, None, None]
    images = np.clip(smooth + grain, 0, 255).round().astype(np.uint8)
    male = cells[:, :2].mean((1, 2, 3)) + 0.25 * of_both((), 0.3) > 0
    smiling = cells[:, 2:, :, 0].mean((1, 2)) + 0.25 * of_both((), 1.0) > 0.2
    return images, person, np.stack([male, smiling], 1)


class Cells(System):
    """A map of mean colours, and x_T: the rest, of which a fifth is lost in decoding."""

    name, title, fingerprint = "cells", "cells", "cells-1"
    capabilities = frozenset(
        "encode decode semantic stochastic sample sample_latents predict_x0".split()
    )
    image_size = SIDE
    semantic_parts = (Part((3, CELLS, CELLS)),)
    semantic_dim = 3 * CELLS**2
    latent_dim = semantic_dim + 3 * SIDE**2
    computes_in_float64 = True

    def encode_semantic(self, images):
        return avg_pool2d(images, self.image_size // CELLS)

    def encode_stochastic(self, images, semantic, steps):
        return 8 * (images - self._large(semantic))

    def decode(self, code: Code, steps=100):
        return (self._large(code.semantic) + code.x_T / 10).clamp(-1, 1)

    def sample_latents(self, indices: Sequence[int], seed, steps):
        rows = [np.random.default_rng((seed, i, 3)).normal(size=(3, CELLS, CELLS)) for i in indices]
        return torch.tensor(np.array(rows), dtype=torch.float32) * 0.25

    def predict_x0(self, images_noised, t, semantic):
        return 0.7 * self._large(semantic) + 0.3 * images_noised.clamp(-1, 1)

    def _large(self, semantic):
        return interpolate(semantic, scale_factor=self.image_size // CELLS)


class Tokens(System):
    """Tokens: the brightness of each cell as the nearest of twelve grey levels."""

    name, title, fingerprint = "levels", "levels", "levels-1"
    capabilities = frozenset({"encode", "decode", "semantic"})
    image_size = SIDE
    semantic_parts = (Part.of_tokens((CELLS, CELLS), 12),)
    latent_dim = CELLS**2

    def encode_ranked(self, images, ranks):
        grey = avg_pool2d(images, CELL).mean(1)
        order = (grey[..., None] - self._levels()).abs().argsort(-1)
        return order.gather(-1, ranks[..., None])[..., 0]

    def encode_semantic(self, images):
        return self.encode_ranked(images, torch.zeros(len(images), CELLS, CELLS, dtype=torch.long))

    def decode(self, code: Code, steps=100):
        grey = self._levels()[code.semantic]
        return interpolate(grey[:, None], scale_factor=CELL).expand(-1, 3, -1, -1).clone()

    def _levels(self):
        return torch.linspace(-0.8, 0.8, 12)
