"""Sheets of a training: the model's output for the same images and the same noise, at intervals.

DIR/sheets/STAGE/IMAGES.png shows the moving average of the weights after that many images. Sheets
of different times can be compared cell by cell. Each direction takes ten steps of the solver "fast"
(`diffae-bench docs solvers`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from diffae.diffusion.noise import normal
from diffae.model import DDIM, DiffusionAutoencoder
from diffae.networks.nn import evaluating
from diffae.sheet import Sheet, write
from diffae.system import distributed
from diffae.system.files import Json
from diffae.train.step import Training
from diffae.train.trainer import TrainingCallback
from diffae.train.types import Pictures, Stage

SHARE = 0.1  # of a stage's examples: by default ten sheets are drawn in each
STEPS, SOLVER = 10, "fast"
COUNT = 8  # images of a row
IMAGE, PIXELS, INVERTED, RANDOM = "image", "pixel decoder", "x_T inverted", "x_T random"


@dataclass
class Periodic(TrainingCallback):
    """Makes `folder`/STAGE/IMAGES at intervals and at the end of a stage, once for all processes.

    `share` is the interval as a share of the examples of a stage, so that all stages have the same
    number of results. Those that exist are not made again.
    """

    folder: Path
    share: float
    ending: ClassVar[str] = ""  # of a file's name

    def begins(self, training: Training, stage: Stage) -> None:
        self._training, self._stage = training, stage
        self.step(0.0)  # the run may have been killed before it made the result of this step

    def step(self, loss: float) -> None:
        training, schedule = self._training, self._training.schedule
        interval = max(1, round(self.share * schedule.samples))
        passed = training.seen // interval > (training.seen - schedule.batch_size) // interval
        if not training.step or not (passed or training.step == schedule.steps):
            return
        path = self.folder / self._stage.name / f"{training.seen:012}{self.ending}"
        if distributed.is_main() and not path.exists():
            self._make(path)
        distributed.barrier()  # the other processes wait here, so that no collective times out

    def _make(self, path: Path) -> None:
        """Make the result `path`, if this stage has one."""
        raise NotImplementedError


@dataclass
class Sheets(Periodic):
    """Draws `Stage.pictures` of `images`, n x 3 x S x S in [-1, 1], into `folder`.

    `source` is a sentence that says which images they are.
    """

    title: str
    images: Tensor
    source: str

    ending = ".png"

    def _make(self, path: Path) -> None:
        if self._stage.pictures is None:
            return
        device = next(self._stage.network.parameters()).device
        with self._training.averaged():
            rows = self._stage.pictures(self.images.to(device))
        stage, seen = self._stage.name, self._training.seen
        about: dict[str, Json] = {"stage": stage, "images_seen": seen}
        about |= {"steps": STEPS, "solver": SOLVER}
        title = f"{self.title}: {stage}, {seen:,} images seen"
        caption = f"The moving average of the weights. {self.source}"
        sheet = Sheet(title, list(rows.values()), tuple(rows), caption=caption, about=about)
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, sheet)


# ----------------------------------------------------------------------------------------------
# The pictures of each stage


def pixel_pictures(encoder: nn.Module, pixels: nn.Module, images: Tensor) -> Pictures:
    """The stage `encoder`: each image, and the discarded pixel decoder's output for its z_sem."""
    with torch.no_grad(), evaluating(encoder), evaluating(pixels):
        decoded = pixels(encoder(images)).float()
    return {IMAGE: images, PIXELS: decoded.clamp(-1, 1)}


def image_pictures(model: DiffusionAutoencoder | DDIM, images: Tensor) -> Pictures:
    """Each image, and its decodings from the inverted x_T and from a random x_T."""
    noise = _noise(images)
    with evaluating(model):
        if isinstance(model, DDIM):
            inverted = model.decode(model.encode_stochastic(images, STEPS, SOLVER), STEPS, SOLVER)
            samples = model.decode(noise, STEPS, SOLVER)
            return {IMAGE: images, INVERTED: inverted, "samples": samples}
        z = model.encode(images)
        x_T = model.encode_stochastic(images, z, STEPS, SOLVER)
        inverted, random = (model.decode(z, x, STEPS, SOLVER) for x in (x_T, noise))
    return {IMAGE: images, INVERTED: inverted, RANDOM: random}


def latent_pictures(model: DiffusionAutoencoder, images: Tensor) -> Pictures:
    """Samples: new z_sem, with the same noise x_T as in `image_pictures`."""
    noise = normal(0, "sheet z", range(len(images)), (model.latent_dim,)).to(images.device)
    with evaluating(model):
        z = model.sample_latents(noise, STEPS, SOLVER)
        return {"samples": model.decode(z, _noise(images), STEPS, SOLVER)}


def _noise(images: Tensor) -> Tensor:
    """x_T, n x 3 x S x S, the same in every call."""
    return normal(0, "sheet", range(len(images)), images.shape[1:]).to(images.device)
