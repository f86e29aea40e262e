"""Sheets of a training: the model's output for the same images and the same noise, at intervals.

DIR/sheets/STAGE/IMAGES.png shows the moving average of the weights after that many images. Sheets
of different times can be compared cell by cell. Ten steps of the solver "fast" in either direction
(`diffae-bench docs solvers`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diffae.diffusion.noise import normal
from diffae.model import DiffusionAutoencoder
from diffae.networks.nn import evaluating
from diffae.sheet import Sheet, write
from diffae.system import distributed
from diffae.train.callbacks.curves import Curves
from diffae.train.step import Training
from diffae.train.trainer import TrainingCallback
from diffae.train.types import Pictures, Stage

SHARE = 0.1  # of a stage's examples: by default ten sheets are drawn in each
STEPS, SOLVER = 10, "fast"
COUNT = 8  # images of a row
IMAGE, PIXELS, INVERTED, RANDOM = "image", "pixel decoder", "x_T inverted", "x_T random"


class Periodic(TrainingCallback):
    """Makes `folder`/STAGE/IMAGES at intervals and at the end of a stage, once for all processes.

    `share` is the interval as a share of the examples of a stage, so that each stage has as many
    results. Existing ones are not made again.
    """

    ending = ""  # of a result's name

    def __init__(self, folder: Path, share: float):
        self._folder, self._share = folder, share

    def begins(self, training: Training, stage: Stage) -> None:
        self._training, self._stage = training, stage
        self.step(0.0)  # perhaps it was killed before it made the one of this step

    def step(self, loss: float) -> None:
        training, schedule = self._training, self._training.schedule
        interval = max(1, round(self._share * schedule.samples))
        passed = training.seen // interval > (training.seen - schedule.batch_size) // interval
        if not training.step or not (passed or training.step == schedule.steps):
            return
        path = self._folder / self._stage.name / f"{training.seen:012}{self.ending}"
        if distributed.is_main() and not path.exists():
            self._make(path)
        distributed.barrier()  # the others wait here, so that none of their collectives times out

    def _make(self, path: Path) -> None:
        """Make it, if there is anything to make for this stage."""
        raise NotImplementedError


class Sheets(Periodic):
    """Draws what `Stage.pictures` shows of `images`, n x 3 x S x S in [-1, 1], into `folder`.

    `source` is a sentence that says which images they are. `curves` get each sheet too.
    """

    ending = ".png"

    def __init__(
        self,
        folder: Path,
        title: str,
        images: Tensor,
        source: str,
        share: float = SHARE,
        curves: Sequence[Curves] = (),
    ):
        super().__init__(folder, share)
        self._title, self._images, self._source, self._curves = title, images, source, curves

    def _make(self, path: Path) -> None:
        if self._stage.pictures is None:
            return
        with self._training.averaged():
            rows = self._stage.pictures(self._images)
        stage, seen = self._stage.name, self._training.seen
        about = {"stage": stage, "images_seen": seen, "steps": STEPS, "solver": SOLVER}
        title = f"{self._title}: {stage}, {seen:,} images seen"
        caption = f"The moving average of the weights. {self._source}"
        sheet = Sheet(title, list(rows.values()), tuple(rows), caption=caption, about=about)
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, sheet)
        for curves in self._curves:
            curves.picture(path)


# ----------------------------------------------------------------------------------------------
# What a stage shows


def of_pixels(encoder: nn.Module, pixels: nn.Module, images: Tensor) -> Pictures:
    """The stage `encoder`: each image, and the discarded pixel decoder's output for its z_sem."""
    with torch.no_grad(), evaluating(encoder), evaluating(pixels):
        found = pixels(encoder(_on_device_of(pixels, images))).float()
    return {IMAGE: images, PIXELS: found.clamp(-1, 1)}


def of_images(model: Any, images: Tensor) -> Pictures:
    """Each image, its decoding from the inverted x_T, and from a random x_T; with z_sem if there is one."""
    x_0 = _on_device_of(model, images)
    with evaluating(model):
        z: list[Any] = [model.encode(x_0)] if isinstance(model, DiffusionAutoencoder) else []
        x_T = model.encode_stochastic(x_0, *z, STEPS, SOLVER)
        inverted, random = (model.decode(*z, x, STEPS, SOLVER) for x in (x_T, _noise(x_0)))
    return {IMAGE: images, INVERTED: inverted, RANDOM if z else "samples": random}


def of_latent(model: DiffusionAutoencoder, images: Tensor) -> Pictures:
    """Samples: new z_sem, with the same noise x_T as in `of_images`."""
    noise = normal(0, "sheet z", range(len(images)), (model.latent_dim,))
    x_T = _noise(_on_device_of(model, images))
    with evaluating(model):
        z = model.sample_latents(_on_device_of(model, noise), STEPS, SOLVER)
        return {"samples": model.decode(z, x_T, STEPS, SOLVER)}


def _on_device_of(network: nn.Module, values: Tensor) -> Tensor:
    return values.to(next(network.parameters()).device)


def _noise(images: Tensor) -> Tensor:
    """x_T, n x 3 x S x S, the same in every call."""
    return normal(0, "sheet", range(len(images)), images.shape[1:]).to(images.device)
