"""Sheets of a training: the model's output for the same images and the same noise, at intervals.

DIR/sheets/STAGE/IMAGES.png shows the moving average of the weights after that many images. Sheets
of different times can be compared cell by cell. Ten steps of the solver "fast" in either direction
(`diffae-bench docs solvers`).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diffae.diffusion.noise import normal
from diffae.model import DiffusionAutoencoder
from diffae.networks.nn import evaluating
from diffae.sheet import Sheet, write
from diffae.system import distributed
from diffae.system.cli import say
from diffae.train.callbacks.curves import Curves
from diffae.train.trainer import Callback, Training
from diffae.train.types import Pictures, Stage

PER_STAGE, APART = 10, 4_000  # by default: sheets of a stage, and images between two at least
STEPS, SOLVER = 10, "fast"
COUNT = 8  # images of a row
IMAGE, PIXELS, INVERTED, RANDOM = "image", "pixel decoder", "x_T inverted", "x_T random"


class Periodic(Callback):
    """Makes `folder`/STAGE/IMAGES at intervals and at the end of a stage, once for all processes.

    `every` is the interval in images, by stage. Existing results are not made again.
    """

    ending = ""  # of a result's name

    def __init__(self, folder: Path, every: Mapping[str, int] | None):
        self._folder, self._every = folder, every

    def begins(self, training: Training, stage: Stage, stop: Callable[[], int]) -> None:
        self._training, self._stage, self._stop = training, stage, stop
        self.step(0.0)  # perhaps it was killed before it made the one of this step

    def step(self, loss: float) -> None:
        training = self._training
        spacing = max(APART, training.schedule.samples // PER_STAGE)
        if self._every is not None:
            spacing = self._every[self._stage.name]
        if not is_due(training, spacing):
            return
        path = self._folder / self._stage.name / f"{training.seen:012}{self.ending}"
        if distributed.is_main() and not path.exists():
            self._make(path)
        distributed.barrier()  # the others wait here, so that none of their collectives times out

    def _make(self, path: Path) -> None:
        """Make it, if there is anything to make for this stage."""
        raise NotImplementedError


def is_due(training: Training, images: int) -> bool:
    """Whether the last step completed another `images` seen, or ended the stage."""
    seen, batch = training.seen, training.schedule.batch_size
    if not training.step:
        return False
    return training.step == training.schedule.steps or seen // images > (seen - batch) // images


class Sheets(Periodic):
    """Draws what `Stage.pictures` shows of `images` into `folder`.

    Without `every` it draws PER_STAGE times, at least APART images apart, and at the end. `images` are read when they are needed: n x 3 x S x S in [-1, 1], and `whose` says which they
    are. `curves` get each sheet too.
    """

    ending = ".png"

    def __init__(
        self,
        folder: Path,
        title: str,
        images: Callable[[], Tensor],
        whose: str,
        every: Mapping[str, int] | None,
        curves: Sequence[Curves] = (),
    ):
        super().__init__(folder, every)
        self._title, self._whose, self._curves = title, whose, curves
        self._images = cache(images)

    def _make(self, path: Path) -> None:
        if self._stage.pictures is None:
            return
        with self._training.averaged():
            rows = self._stage.pictures(self._images())
        stage, seen = self._stage.name, self._training.seen
        about = {"stage": stage, "images_seen": seen, "steps": STEPS, "solver": SOLVER}
        title = f"{self._title}: {stage}, {seen:,} images seen"
        caption = "The moving average of the weights."
        if IMAGE in rows:
            caption += f" {self._whose}."
        sheet = Sheet(title, list(rows.values()), tuple(rows), caption=caption, about=about)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, sheet)
        except OSError as error:
            say(f"{path}: no sheet ({error.strerror or error}); the training continues")
            return
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
    """Two rows of samples: new z_sem, with the same noise x_T as in `of_images`."""
    noise = normal(0, "sheet z", range(2 * len(images)), (model.latent_dim,))
    x_T = _noise(_on_device_of(model, images))
    with evaluating(model):
        z = model.sample_latents(_on_device_of(model, noise), STEPS, SOLVER)
        rows = [model.decode(part, x_T, STEPS, SOLVER) for part in z.split(len(images))]
    return {"samples": rows[0], "samples, other z_sem": rows[1]}


def _on_device_of(network: nn.Module, values: Tensor) -> Tensor:
    return values.to(next(network.parameters()).device)


def _noise(images: Tensor) -> Tensor:
    """x_T, n x 3 x S x S, the same in every call."""
    return normal(0, "sheet", range(len(images)), images.shape[1:]).to(images.device)
