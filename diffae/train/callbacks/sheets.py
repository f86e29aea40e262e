"""Sheets of a training: the model's output for the same images and the same noise, at intervals.

DIR/sheets/STAGE/IMAGES.png shows the moving average of the weights after that many images. Sheets
of different times can be compared cell by cell. Each direction takes ten steps of the solver "fast"
(`diffae-bench docs solvers`).
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from diffae.diffusion.noise import normal
from diffae.model import DDIM, DiffusionAutoencoder
from diffae.networks.nn import evaluating
from diffae.sheet import Sheet, write
from diffae.system import distributed
from diffae.system.files import Json
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

    `share` is the interval as a share of the examples of a stage, so that all stages have the same
    number of results. Those that exist are not made again.
    """

    ending = ""  # of a file's name

    def __init__(self, folder: Path, share: float):
        self._folder, self._share = folder, share

    def begins(self, training: Training, stage: Stage) -> None:
        self._training, self._stage = training, stage
        self.step(0.0)  # the run may have been killed before it made the result of this step

    def step(self, loss: float) -> None:
        training, schedule = self._training, self._training.schedule
        interval = max(1, round(self._share * schedule.samples))
        passed = training.seen // interval > (training.seen - schedule.batch_size) // interval
        if not training.step or not (passed or training.step == schedule.steps):
            return
        path = self._folder / self._stage.name / f"{training.seen:012}{self.ending}"
        if distributed.is_main() and not path.exists():
            self._make(path)
        distributed.barrier()  # the other processes wait here, so that no collective times out

    def _make(self, path: Path) -> None:
        """Make the result `path`, if this stage has one."""
        raise NotImplementedError


class Sheets(Periodic):
    """Draws `Stage.pictures` of `images`, n x 3 x S x S in [-1, 1], into `folder`.

    `source` is a sentence that says which images they are. Each sheet is also given to `curves`.
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
        about: dict[str, Json] = {"stage": stage, "images_seen": seen}
        about |= {"steps": STEPS, "solver": SOLVER}
        title = f"{self._title}: {stage}, {seen:,} images seen"
        caption = f"The moving average of the weights. {self._source}"
        sheet = Sheet(title, list(rows.values()), tuple(rows), caption=caption, about=about)
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, sheet)
        for curves in self._curves:
            curves.picture(path)


# ----------------------------------------------------------------------------------------------
# The pictures of each stage


def pixel_pictures(encoder: nn.Module, pixels: nn.Module, images: Tensor) -> Pictures:
    """The stage `encoder`: each image, and the discarded pixel decoder's output for its z_sem."""
    with torch.no_grad(), evaluating(encoder), evaluating(pixels):
        decoded = pixels(encoder(_on_device_of(pixels, images))).float()
    return {IMAGE: images, PIXELS: decoded.clamp(-1, 1)}


def image_pictures(model: DiffusionAutoencoder | DDIM, images: Tensor) -> Pictures:
    """Each image, and its decodings from the inverted x_T and from a random x_T."""
    x_0 = _on_device_of(model, images)
    noise = _noise(x_0)
    with evaluating(model):
        if isinstance(model, DDIM):
            inverted = model.decode(model.encode_stochastic(x_0, STEPS, SOLVER), STEPS, SOLVER)
            samples = model.decode(noise, STEPS, SOLVER)
            return {IMAGE: images, INVERTED: inverted, "samples": samples}
        z = model.encode(x_0)
        x_T = model.encode_stochastic(x_0, z, STEPS, SOLVER)
        inverted, random = (model.decode(z, x, STEPS, SOLVER) for x in (x_T, noise))
    return {IMAGE: images, INVERTED: inverted, RANDOM: random}


def latent_pictures(model: DiffusionAutoencoder, images: Tensor) -> Pictures:
    """Samples: new z_sem, with the same noise x_T as in `image_pictures`."""
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
