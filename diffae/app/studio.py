"""What the page shows: a picture, its code and the edited picture.

They are files that record how they were made.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from diffae.checkpoints.packaged import is_packaged
from diffae.data.dataset import TEST
from diffae.data.portraits import portrait, render
from diffae.data.transforms import Transform
from diffae.images import commands, marks, reading, verbs
from diffae.images.classifier import Classifier, beside
from diffae.images.run import checkpoint_name
from diffae.model import DiffusionAutoencoder
from diffae.system import cli
from diffae.system.whole import write_whole

EXAMPLE = 256  # pixels a side
KEPT = 4  # encoded pictures, so that a slider decodes only


@dataclass(frozen=True)
class Shown:
    """Files to show (the picture as the model takes it, the result, two pictures of its code), and
    a text.
    """

    taken: Path
    result: Path
    z: Path
    x_T: Path
    words: str


@dataclass
class Studio:
    """A model, its classifier if it has one, and the folder that files are written to."""

    model: DiffusionAutoencoder
    classifier: Classifier | None
    settings: Mapping[str, Any]
    folder: Path

    @staticmethod
    def of(ckpt: str, classifier: Path | None, device: str | None, folder: Path) -> "Studio":
        """Load a checkpoint, with a classifier from a file, from beside the checkpoint, or none.

        Raises UserError.
        """
        model = DiffusionAutoencoder.from_pretrained(ckpt, device or cli.default_device())
        settings = {"checkpoint": checkpoint_name(ckpt), "checkpoint_sha256": model.fingerprint}
        place = classifier or beside(model)
        if place is None:
            return Studio(model, None, settings, folder)
        known = Classifier.load(place)
        known.check(model, place)
        return Studio(model, known, {**settings, "classifier": known.made}, folder)

    @property
    def attributes(self) -> tuple[str, ...]:
        return () if self.classifier is None else self.classifier.names

    def example(self) -> Path | None:
        """A file of a drawn portrait that the packaged model has not seen; None for other models."""
        if not is_packaged(self.model.source):
            return None
        unseen = next(p for i in count() if (p := portrait(0, i)).partition == TEST)
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "drawn-portrait.png"
        Image.fromarray(render(unseen, EXAMPLE)).save(file)
        return file

    def edit(self, values: Sequence[float]) -> dict[str, float]:
        """The attributes to change, of a strength for each in the order of `attributes`."""
        strengths = zip(self.attributes, values, strict=True)
        return {name: strength for name, strength in strengths if strength}

    def show(
        self,
        path: Path,
        changes: Mapping[str, float],
        steps: int,
        solver: str,
        seed: int | None = None,
    ) -> Shown:
        """Encode and edit the picture at `path`. Raises UserError if it is not a picture.

        If `seed` is None, x_T is inverted from the picture; else it is drawn.
        """
        transform = Transform(self.model.image_size)
        read = reading.read_one(path, transform)
        code = _encoded(self.model, read.pixels.tobytes(), steps, solver)
        if seed is not None:
            code = verbs.Code(code.z, verbs.random_x_T(self.model, [0], seed))
        if changes and self.classifier is not None:
            code = verbs.moved(code, changes, self.classifier)
        made = verbs.to_pil(verbs.decode(self.model, code, steps, solver))[0]
        x_T = "inverted" if seed is None else f"drawn, seed {seed}"
        given = {"source": path.name, "cut": read.cut, "edit": changes}
        way = {"steps": steps, "solver": solver, "x_T": x_T}
        about = {**self.settings, "verb": "edit", **given, **way}
        known = self.model.latent_net is not None
        moments = (self.model.z_mean[0], self.model.z_std[0]) if known else None
        name = "-".join(map(commands.file_part, (path.stem, commands.label(changes) or "unedited")))
        return Shown(
            self._write("taken", read.image, about),
            self._write(name, made, about),
            self._write("z_sem", as_map(code.z[0], moments), about),
            self._write("x_T", verbs.to_pil(code.x_T / 3)[0], about),
            self._words(read, code),
        )

    def _words(self, read: reading.Picture, code: verbs.Code) -> str:
        (width, height), size = read.size, self.model.image_size
        cut = f"Cut to the middle square of {width} x {height}. " if read.was_cut else ""
        words = f"{cut}z_sem: {code.z.shape[1]} numbers; x_T: 3 x {size} x {size}."
        if self.classifier is None:
            return words
        logits = self.classifier.logits(code.z)[0].numpy()
        most = np.argsort(-logits, kind="stable")[:5]
        told = ", ".join(f"{self.attributes[i]} {1 / (1 + np.exp(-logits[i])):.2f}" for i in most)
        return f"{words} The code reads as {told}."

    def _write(self, name: str, image: Image.Image, about: Mapping[str, Any]) -> Path:
        folder = self.folder / secrets.token_hex(8)
        folder.mkdir(parents=True)
        write_whole(folder / f"{name}.png", marks.png(image, about, marks.EDITED))
        return folder / f"{name}.png"


@lru_cache(KEPT)
def _encoded(model: DiffusionAutoencoder, pixels: bytes, steps: int, solver: str) -> verbs.Code:
    size = model.image_size
    image = np.frombuffer(pixels, np.uint8).reshape(size, size, 3)
    return verbs.encode(model, reading.to_tensor([image]).to(model.device), steps, solver)


def as_map(z: Tensor, moments: tuple[Tensor, Tensor] | None) -> Image.Image:
    """z_sem [d] as a square of colours.

    White is the mean over the training images, blue below, red above (3 standard deviations at
    most).
    """
    mean, std = moments if moments else (z.mean(), z.std())
    values = ((z - mean) / std / 3).clamp(-1, 1).cpu().numpy()
    side = int(np.ceil(np.sqrt(len(values))))
    padded = np.zeros(side * side)
    padded[: len(values)] = values
    grid = padded.reshape(side, side, 1)
    white, red, blue = (np.array(c) for c in ((247, 247, 247), (178, 24, 43), (33, 102, 172)))
    colours = np.where(grid > 0, white + grid * (red - white), white - grid * (blue - white))
    return Image.fromarray(colours.round().astype(np.uint8))
