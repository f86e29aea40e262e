"""Every solver on every model: round trips, edits, midpoints and samples, by network calls.

    python docs/results/solvers/solvers.py                                  the packaged models on portraits
    python docs/results/solvers/solvers.py --model portraits-noise=runs/noise
    python docs/results/solvers/solvers.py --model fashion-mnist=runs/fashion --data /usr/share/datasets/fashion-mnist
    python docs/results/solvers/solvers.py --tables                         solvers.csv and README.md, measuring nothing

The results of a cell are a file in `--out`, so that the same command continues after an interruption; solvers.csv has the
numbers of all files there, and the tables of README.md those of solvers.csv. Set OMP_NUM_THREADS=1 if something else runs.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np
import tables
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor

from benchmarks.core.selection import Selection, select
from benchmarks.metrics.networks import MetricNetworks
from diffae import DDIM, DiffusionAutoencoder
from diffae.checkpoints.checkpoint import open_checkpoint
from diffae.data import open_dataset, open_portraits
from diffae.diffusion import noise
from diffae.diffusion.interpolation import slerp
from diffae.eight_bit import to_uint8
from diffae.networks.config import AUTOENCODER
from probes import LinearProbe, fit_lbfgs

SEED = 7  # of portraits, choices, noise and crops; our choices were made with other seeds
PORTRAITS = 3_000
IMAGES, SAMPLES, KEPT = 16, 128, 32  # of a round trip, new ones, and how many of these are kept
TRAIN, REFERENCE = 1_500, 900
ATTRIBUTE, STRENGTH = "Male", 0.3  # of edits; the first attribute if this one does not exist
NARROWEST, CROP_SIDES = 32, (32, 48, 96, 192)
PAPER, FAST = ("ddim", 100), ("ab2-v", 10)
CONVERGED, SECOND = ("ab2-v", 50), ("ab2-eps", 50)  # the second shows that the first has converged
BOTH = ("ddim", "ab2-v")
SOLVERS = (*BOTH, "ab2-v:power-2.5", "ddim:power-2", "ab2-eps", "implicit-v", "dpm++2m")
BATCH = 32
Arrays = dict[str, np.ndarray]


# ----------------------------------------------------------------------------------------------
# Models and images


@dataclass(frozen=True)
class Subject:
    """A model with the methods of both kinds; z is None for one without."""

    name: str
    model: DiffusionAutoencoder | DDIM

    @staticmethod
    def load(name: str, path: str) -> "Subject":
        autoencoder = open_checkpoint(path).config.kind == AUTOENCODER
        model = (DiffusionAutoencoder if autoencoder else DDIM).from_pretrained(path)
        return Subject(name, model)

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
    """Images that a model was not trained on, one per person, and what their edits need."""

    selection: Selection

    @staticmethod
    def open(path: str | None) -> "HeldOut":
        data = open_dataset(path, 32) if path else open_portraits(PORTRAITS, 32, SEED)
        return HeldOut(select(data, "test", REFERENCE, SEED))

    @cached_property
    def positions(self) -> np.ndarray:
        """Positions of the first picture of each of the first persons."""
        return np.sort(np.unique(self.selection.groups, return_index=True)[1])[:IMAGES]

    @cached_property
    def images(self) -> Tensor:
        return self.selection.batch(self.positions)

    @property
    def attribute(self) -> int:
        names = self.selection.dataset.attribute_names
        return names.index(ATTRIBUTE) if ATTRIBUTE in names else 0

    def probe(self, subject: Subject) -> LinearProbe:
        """A converged linear classifier of z_sem, fitted to training images."""
        train = select(self.selection.dataset, "train", TRAIN, SEED)
        assert isinstance(subject.model, DiffusionAutoencoder)
        z = subject.model.encode(train.batch(np.arange(len(train))))
        return fit_lbfgs(z, torch.from_numpy(train.labels), C=0.1)

    def towards(self) -> Tensor:
        """The direction away from the attribute's present value: 1 or -1 per image."""
        present = self.selection.labels[self.positions, self.attribute]
        return torch.from_numpy(1.0 - 2.0 * present).float()

    def edited(self, probe: LinearProbe, z: Tensor) -> Tensor:
        """z_sem moved as `benchmarks.tasks.identity` moves it."""
        return z + probe.move(self.attribute, STRENGTH * self.towards())


def crops() -> Tensor:
    """Squares at random places of two photographs (CC BY, in scikit-learn), all but the smallest scaled down to 32 px."""
    photos = [Image.fromarray(photo) for photo in load_sample_images().images]
    rng, made = np.random.default_rng(SEED), []
    for i in range(IMAGES):
        photo, side = photos[i % len(photos)], CROP_SIDES[i // 2 % len(CROP_SIDES)]
        left, top = (int(rng.integers(room - side + 1)) for room in photo.size)
        box = (left, top, left + side, top + side)
        made.append(photo.resize((NARROWEST, NARROWEST), Image.Resampling.BOX, box=box))
    pixels = torch.from_numpy(np.stack(list(map(np.asarray, made)))).permute(0, 3, 1, 2)
    return pixels.contiguous().float() / 127.5 - 1


def midpoints(z: Tensor | None, x_T: Tensor) -> tuple[Tensor | None, Tensor]:
    """Codes halfway between images 2 p and 2 p + 1, as in `benchmarks.tasks.interpolation`."""
    half = torch.full((len(x_T) // 2,), 0.5)
    between = slerp(x_T[::2], x_T[1::2], half)
    return None if z is None else (z[::2] + z[1::2]) / 2, between


def noises(purpose: str, shape: tuple[int, ...]) -> Tensor:
    """Standard normal numbers, N x ..., the same for every solver."""
    return noise.normal(SEED, purpose, range(shape[0]), shape[1:])


# ----------------------------------------------------------------------------------------------
# Cells


@dataclass(frozen=True)
class Cell:
    """One solver at one number of steps: a round trip, a crossed trip, samples, or latents."""

    what: str
    solver: str
    steps: int

    @property
    def file(self) -> str:
        return f"{self.what}-{self.solver.replace(':', '_')}-{self.steps}.npz"


def plan(subject: Subject) -> Iterator[tuple[str, Cell]]:
    """The measurements of a model: "held-out" or "crops", and the cell."""
    best = SOLVERS[:3]
    held_out = [*product(SOLVERS, (5, 10, 20)), *product(best, (6, 8)), ("ab2-v:uniform", 10)]
    held_out += [("ab2-v", 12), ("ddim", 50), PAPER, CONVERGED, SECOND]
    crops = [*product(SOLVERS, (10,)), *product(best, (5,)), PAPER, ("ab2-v", 12), ("ab2-v", 20)]
    drawn = [*product(best, (10,)), PAPER, ("ab2-v", 5), ("ddim:power-2", 10)]
    if subject.latent:
        drawn += [("heun", 5), ("dpm++2m", 10), ("ab2-eps", 10), ("ddim", 20)]
        latents = [*product(BOTH, (5, 10, 20, 50, 100)), ("ab2-v", 200), ("ab2-eps", 200)]
        yield from (("held-out", Cell("latents", *how)) for how in latents)
        yield "held-out", Cell("samples-fast-z", *FAST)
    yield from (("held-out", Cell("trip", *how)) for how in held_out)
    yield from (("crops", Cell("trip", *how)) for how in [*crops, ("ddim", 50)])
    yield from (("held-out", Cell("cross", *how)) for how in (FAST, PAPER))
    yield from (("held-out", Cell("samples", *how)) for how in drawn)
    yield "held-out", Cell("kept", *CONVERGED)


def save(file: Path, **arrays: np.ndarray | list[float]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, **arrays)


@dataclass(frozen=True)
class Bench:
    """One model, its images, and the folder of their cells."""

    subject: Subject
    held_out: HeldOut
    folder: Path

    @cached_property
    def probe(self) -> LinearProbe:
        return self.held_out.probe(self.subject)

    def measure(self, data: str, cell: Cell) -> None:
        file = self.folder / data / cell.file
        if file.exists():
            return
        start = time.perf_counter()
        found = getattr(self, f"_{cell.what.split('-')[0]}")(data, cell)
        save(file, **found)
        spent = time.perf_counter() - start
        print(f"{self.subject.name}, {data}: {cell.file} in {spent:.0f} s", file=sys.stderr)

    def read(self, data: str, cell: Cell) -> Arrays:
        self.measure(data, cell)
        with np.load(self.folder / data / cell.file) as file:
            return dict(file)

    def _trip(self, data: str, cell: Cell) -> Arrays:
        """A round trip, and for held-out images the edit and the midpoints."""
        subject, how = self.subject, (cell.solver, cell.steps)
        images = self.held_out.images if data == "held-out" else crops()
        z = subject.z(images)
        x_T = subject.encode(images, z, *how)
        found = {"images": images, "x_T": x_T, "trip": subject.decode(z, x_T, *how)}
        if data == "held-out":
            found["midpoint"] = subject.decode(*midpoints(z, x_T), *how)
            if z is not None:
                found |= self._edit(z, x_T, how)
        return {name: value.numpy() for name, value in found.items()}

    def _edit(self, z: Tensor, x_T: Tensor, how: tuple[str, int]) -> dict[str, Tensor]:
        """The edited images, and how far the probe's logit moved in the intended direction."""
        probe, column = self.probe, self.held_out.attribute
        edited = self.subject.decode(self.held_out.edited(probe, z), x_T, *how)
        after = self.subject.z(edited)
        assert after is not None
        move = (probe.logits(after) - probe.logits(z))[:, column] * self.held_out.towards()
        return {"edit": edited, "logit": move}

    def _cross(self, data: str, cell: Cell) -> Arrays:
        """x_T of the paper's DDIM decoded by the fast solver, or the reverse."""
        maker = PAPER if (cell.solver, cell.steps) == FAST else FAST
        made = {k: torch.from_numpy(v) for k, v in self.read(data, Cell("trip", *maker)).items()}
        z = self.subject.z(made["images"])
        crossed = self.subject.decode(z, made["x_T"], cell.solver, cell.steps)
        return {"images": made["images"].numpy(), "trip": crossed.numpy()}

    def _latents(self, data: str, cell: Cell) -> Arrays:
        model = self.subject.model
        assert isinstance(model, DiffusionAutoencoder)
        noise = noises("z", (SAMPLES, model.latent_dim))
        return {"z": model.sample_latents(noise, cell.steps, cell.solver).numpy()}

    def _samples(self, data: str, cell: Cell, count: int = SAMPLES) -> Arrays:
        """Features of new images, and the first of these images. z is from the paper's DDIM unless "fast-z" is given."""
        z = None
        if self.subject.latent:
            maker = FAST if cell.what == "samples-fast-z" else PAPER
            z = torch.from_numpy(self.read(data, Cell("latents", *maker))["z"])[:count]
        size = self.subject.model.image_size
        x_T = noises("x_T", (SAMPLES, 3, size, size))[:count]
        parts = []
        for some in torch.arange(count).split(BATCH):
            own = None if z is None else z[some]
            parts.append(self.subject.decode(own, x_T[some], cell.solver, cell.steps))
        samples = torch.cat(parts)
        features = MetricNetworks(None, False, torch.device("cpu"), "portraits").features(
            to_uint8(samples)
        )
        return {"features": features.numpy(), "kept": samples[:KEPT].numpy()}

    def _kept(self, data: str, cell: Cell) -> Arrays:
        return self._samples(data, cell, KEPT)

    def reference(self) -> None:
        """Features of real images, for the Frechet distance."""
        file = self.folder / "held-out" / "reference.npz"
        if not file.exists():
            selection = self.held_out.selection
            network = MetricNetworks(None, False, torch.device("cpu"), "portraits").features
            features = network(to_uint8(selection.batch(np.arange(len(selection)))))
            save(file, features=features.numpy(), blocks=selection.blocks(20))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", action="append", metavar="NAME[=PATH]", default=[])
    parser.add_argument("--data", help="images of these models; portraits unless given")
    parser.add_argument("--out", type=Path, default=Path("runs/solvers"))
    parser.add_argument("--tables", action="store_true")
    args = parser.parse_args()
    if not args.tables:
        held_out = HeldOut.open(args.data)
        for given in args.model or ("portraits", "portraits-ddim"):
            name, _, path = given.partition("=")
            bench = Bench(Subject.load(name, path or name), held_out, args.out / name)
            bench.reference()
            for data, cell in plan(bench.subject):
                bench.measure(data, cell)
    tables.write(args.out)


if __name__ == "__main__":
    main()
