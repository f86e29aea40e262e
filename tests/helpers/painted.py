"""Images that tell their number, and systems whose decodes tell the code that they were decoded from.

A decoded image holds the numbers of its code, 24 bits of each in the three channels of a pixel, so
that a test can read in a PNG what was decoded there: of which image, after which move, with which
x_T and T. The semantic code has two parts of unlike sizes and scales, and x_T is a third.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from people import People
from PIL import Image
from torch.nn.functional import avg_pool2d

from benchmarks.plugin import Code, Part, System

SIDE, COUNT, PERSONS = 16, 240, 60
TRAIN, VALID = 36, 42  # the persons before these numbers are for training and for validation
REACH = 64  # numbers from -64 to 64 can be told
VECTOR, MAP = 5, (2, 2, 3)
NUMBERS = VECTOR + 2 * 2 * 3  # of the semantic code
PLACES = ((0, 0, 0), (0, 3, 5), (1, 8, 2), (1, 15, 15), (2, 4, 11), (2, 9, 6))  # of x_T
TOKENS, CODEBOOK = 6, 50


# ----------------------------------------------------------------------------------------------
# Images


def image_of(number: int) -> NDArray[np.uint8]:
    """Image `number`, S x S x 3: unlike in all channels, along both axes and at both ends of the range.

    Red ones are Male, blue ones Smiling. The first pixel has the number.
    """
    male, smiling = attributes_of(number)
    draw = np.random.default_rng(number)
    y, x = np.indices((SIDE, SIDE)) / SIDE
    slopes, level = draw.uniform(10, 60, 3), draw.uniform(60, 110, 3)
    level += np.array([70 * male, 0, 70 * smiling])
    planes = [level[0] + slopes[0] * x, level[1] + slopes[1] * y, level[2] + slopes[2] * (x - y)]
    found = np.stack(planes, -1) + draw.normal(0, 6, (SIDE, SIDE, 3))
    found[2:4, 12:14], found[12:14, 2:5] = (255, 0, 20), (0, 255, 235)
    found[0, 0] = number, 7, 200
    return found.round().clip(0, 255).astype(np.uint8)


def attributes_of(number: int) -> tuple[bool, bool]:
    return number % 2 == 0, number // 2 % 2 == 0


def person_of(number: int) -> int:
    return number % PERSONS


def in_range(pixels: NDArray[np.uint8]) -> torch.Tensor:
    """uint8 N x S x S x 3 -> N x 3 x S x S in [-1, 1]."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


def write_images(folder: Path, count: int = COUNT) -> Path:
    """The images in CelebA's layout, as many of each person."""
    numbers = range(count)
    whose = np.array([person_of(number) for number in numbers])
    people = People(
        np.stack([image_of(number) for number in numbers]),
        whose + 1,
        (whose >= TRAIN).astype(int) + (whose >= VALID),
        np.array([attributes_of(number) for number in numbers]),
    )
    return people.write(folder)


# ----------------------------------------------------------------------------------------------
# What is painted


class Told(NamedTuple):
    """What a decode tells: the numbers of its code, x_T at PLACES, and another number, such as T."""

    semantic: NDArray[np.float64]
    x_T: NDArray[np.float64]
    other: float


def paint(semantic: torch.Tensor, x_T: torch.Tensor, other: float) -> torch.Tensor:
    """Images of numbers N x d and maps N x 3 x S x S: the numbers in the first pixels, and beside them
    a picture of the map.
    """
    places = torch.stack([x_T[(slice(None), *place)] for place in PLACES], 1)
    told = torch.cat([semantic, places, torch.full((len(x_T), 1), other)], 1).double()
    steps = ((told + REACH) / (2 * REACH) * 2**24).round().long().clamp(0, 2**24 - 1)
    levels = torch.stack([steps >> 16, steps >> 8 & 255, steps & 255], 1)
    images = (x_T.flip(-1) / 3).clamp(-1, 1)
    flat = images.double().flatten(2)
    flat[:, :, : levels.shape[2]] = levels / 127.5 - 1
    return flat.reshape(images.shape).float()


def told(pixels: NDArray[np.uint8], numbers: int = NUMBERS) -> Told:
    """What a painted image S x S x 3 tells."""
    flat = pixels.reshape(-1, 3)[: numbers + len(PLACES) + 1].astype(np.int64)
    values = (flat @ [65536, 256, 1]) / 2**24 * 2 * REACH - REACH
    return Told(values[:numbers], values[numbers:-1], float(values[-1]))


def stochastic(images: torch.Tensor, steps: int) -> torch.Tensor:
    """The x_T that an image is inverted to in so many steps."""
    return 3 * images.flip(-1) + steps / 100


def drawn(numbers: "list[int] | range", seed: int) -> torch.Tensor:
    """The x_T of a number: N x 3 x S x S, in which that number can be read."""
    of = torch.tensor([n / 8 + 1 for n in numbers])[:, None, None, None]
    return of * torch.tensor([1.0, -0.5, 0.25])[:, None, None].expand(3, SIDE, SIDE) - seed


def parts_of(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A vector with the image's number and large numbers, and a map of small ones."""
    red, green, blue = images.unbind(1)
    vector = [
        (images[:, 0, 0, 0] + 1) * 12.75,  # the number, over ten
        4 * red[:, :8].mean((1, 2)),
        red[:, 8:].mean((1, 2)) - 2,
        2 * green[:, :, :8].mean((1, 2)),
        3 * blue.mean((1, 2)),
    ]
    return torch.stack(vector, 1), avg_pool2d(images[:, :2, :, :15], (8, 5)) / 5


def numbers_of(semantic: "tuple[torch.Tensor, ...]") -> torch.Tensor:
    return torch.cat([part.flatten(1) for part in semantic], 1)


def code_of(number: int) -> NDArray[np.float64]:
    """The numbers of the semantic code of image `number`."""
    return numbers_of(parts_of(in_range(image_of(number)[None])))[0].double().numpy()


class Painted(System):
    """All capabilities; a semantic code of a vector and a map, and x_T."""

    name = title = fingerprint = "painted"
    capabilities = frozenset(
        {"encode", "decode", "semantic", "stochastic", "sample", "sample_latents", "predict_x0"}
    )
    image_size, latent_dim, iterative = SIDE, NUMBERS + 3 * SIDE**2, True
    semantic_parts = (Part((VECTOR,)), Part(MAP, reading="pooled"))

    def encode_semantic(self, images):
        return parts_of(images)

    def encode_stochastic(self, images, semantic, steps):
        return stochastic(images, steps)

    def decode(self, code: Code, steps=100):
        return paint(numbers_of(code.semantic), code.x_T, steps / 8)

    def random_x_T(self, indices, seed):
        return drawn(indices, seed)

    def sample_latents(self, indices, seed, steps):
        """Codes of images as there are, by their numbers."""
        images = in_range(np.stack([image_of(index) for index in indices]))
        vector, rest = parts_of(images)
        return vector + torch.tensor([steps / 64, 0, 0, 0, 0]) + seed / 16, rest

    def add_noise(self, images, t, eps):
        return images + t / 1000 * eps

    def predict_x0(self, images_noised, t, semantic):
        return paint(numbers_of(semantic), images_noised, t / 100)


class Plain(System):
    """A vector alone, decoded in one step; its samples have no codes of their own."""

    name = title = fingerprint = "plain"
    capabilities = frozenset({"encode", "decode", "semantic", "sample", "sample_latents"})
    image_size, latent_dim = SIDE, VECTOR

    def encode_semantic(self, images):
        return parts_of(images)[0]

    def decode(self, code: Code, steps=100):
        x_T = code.semantic[:, :3, None, None].expand(-1, 3, SIDE, SIDE) / 4
        return paint(code.semantic, x_T, 0)

    def sample_latents(self, indices, seed, steps):
        images = in_range(np.stack([image_of(index) for index in indices]))
        return parts_of(images)[0] + seed / 16


class Tokens(System):
    """Six tokens of a codebook; the first is the number of the image, as far as the codes go."""

    name = title = fingerprint = "tokens"
    capabilities = frozenset({"encode", "decode", "semantic"})
    image_size, latent_dim = SIDE, TOKENS
    semantic_parts = (Part.of_tokens((TOKENS,), CODEBOOK),)

    def encode_semantic(self, images):
        levels = ((images.flatten(2)[:, :, :2] + 1) * 127.5).round().long().flatten(1)
        return levels % CODEBOOK

    def encode_ranked(self, images, ranks):
        return (self.encode_semantic(images) + ranks) % CODEBOOK

    def decode(self, code: Code, steps=100):
        numbers = code.semantic.float()
        x_T = numbers[:, :3, None, None].expand(-1, 3, SIDE, SIDE) / 25 - 1
        return paint(numbers, x_T, 0)


# ----------------------------------------------------------------------------------------------
# Sheets


class Cells(NamedTuple):
    """A sheet as its PNG says: its texts, and images[row][column], uint8 H x W x 3 each."""

    title: str
    rows: list[str]
    columns: list[str]
    notes: list[list[str]]
    about: dict
    images: list[list[NDArray[np.uint8]]]


def cells_of(path: Path) -> Cells:
    """Read a sheet by the layout that its text chunk gives."""
    with Image.open(path) as file:
        layout, pixels = json.loads(file.text["sheet"]), np.asarray(file.convert("RGB"))
    at, scale = layout["cells"], layout["cells"]["scale"]

    def cell(row: int, column: int) -> NDArray[np.uint8]:
        top, left = at["top"] + row * at["step_y"], at["left"] + column * at["step_x"]
        found = pixels[top : top + at["height"] * scale, left : left + at["width"] * scale]
        small = found[::scale, ::scale]
        assert np.array_equal(small.repeat(scale, 0).repeat(scale, 1), found), "pixels are exact"
        return small

    images = [[cell(r, c) for c in range(n)] for r, n in enumerate(layout["lengths"])]
    texts = (layout[name] for name in ("title", "rows", "columns", "notes", "about"))
    return Cells(*texts, images)
