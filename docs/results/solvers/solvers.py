"""Every solver on every model: round trips and samples, by network calls.

    python docs/results/solvers/solvers.py                                  the packaged models on portraits
    python docs/results/solvers/solvers.py --model portraits-noise=runs/noise
    python docs/results/solvers/solvers.py --model fashion-mnist=runs/fashion --data /usr/share/datasets/fashion-mnist

The results of a cell are a file in `--out`, so that the same command continues after an interruption; solvers.csv has the
numbers of all files there. Then `python docs/results/readme.py --write` writes the tables of the pages. Set OMP_NUM_THREADS=1
if something else runs.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tables
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor

from benchmarks.core.images import Selection, select
from benchmarks.metrics.networks.chosen import MetricNetworks
from benchmarks.runtime.choices import NetworkChoice
from diffae import DDIM, DiffusionAutoencoder
from diffae.checkpoints.checkpoint import open_checkpoint
from diffae.data import open_dataset, open_portraits
from diffae.diffusion import noise
from diffae.eight_bit import to_uint8
from diffae.networks.config import AUTOENCODER
from reports.records.metrics import EFFNET

SEED = 7  # of portraits, choices, noise and crops; our choices were made with other seeds
PORTRAITS = 3_000
IMAGES, SAMPLES, KEPT = 16, 128, 32  # of a round trip, new ones, and how many of these are kept
REFERENCE = 900
NARROWEST, CROP_SIDES = 32, (32, 48, 96, 192)
PAPER, FAST = ("ddim", 100), ("ab2-v", 10)
CONVERGED, SECOND = ("ab2-v", 50), ("ab2-eps", 50)  # the second shows that the first has converged
SOLVERS = ("ddim", "ab2-v", "ab2-v:power-2.5", "ddim:power-2", "ab2-eps", "implicit-v", "dpm++2m")
BATCH = 32
Arrays = dict[str, np.ndarray]


# ----------------------------------------------------------------------------------------------
# Images


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


def noises(purpose: str, *shape: int) -> Tensor:
    """Standard normal numbers, SAMPLES x shape, the same for every solver."""
    return noise.normal(SEED, purpose, range(SAMPLES), shape)


def features(images: Tensor) -> np.ndarray:
    """What the Frechet distance compares."""
    choice = NetworkChoice(features=(EFFNET,))
    (network,) = MetricNetworks(choice, torch.device("cpu"), dataset="portraits").features
    return network(to_uint8(images)).numpy()


# ----------------------------------------------------------------------------------------------
# Cells


class Cell(NamedTuple):
    """One solver at one number of steps: a round trip, a crossed trip, samples, or latents.

    Without a solver: the features of real images.
    """

    what: str
    solver: str = ""
    steps: int = 0


def plan(autoencoder: bool) -> Iterator[tuple[str, Cell]]:
    """The measurements of a model: "held-out" or "crops", and the cell."""
    yield "held-out", Cell("reference")
    best = SOLVERS[:3]
    held_out = [*product(SOLVERS, (5, 10, 20)), *product(best, (6, 8)), ("ab2-v:uniform", 10)]
    held_out += [("ab2-v", 12), ("ddim", 50), PAPER, CONVERGED, SECOND]
    crops = [*product(SOLVERS, (10,)), *product(best, (5,)), PAPER, ("ab2-v", 12), ("ab2-v", 20)]
    drawn = [*product(best, (10,)), PAPER, ("ab2-v", 5), ("ddim:power-2", 10)]
    if autoencoder:
        drawn += [("heun", 5), ("dpm++2m", 10), ("ab2-eps", 10), ("ddim", 20)]
        yield "held-out", Cell("samples-fast-z", *FAST)
    yield from (("held-out", Cell("trip", *how)) for how in held_out)
    yield from (("crops", Cell("trip", *how)) for how in [*crops, ("ddim", 50)])
    yield from (("held-out", Cell("cross", *how)) for how in (FAST, PAPER))
    yield from (("held-out", Cell("samples", *how)) for how in drawn)
    yield "held-out", Cell("kept", *CONVERGED)


@dataclass(frozen=True)
class Bench:
    """A model of either kind, images that it was not trained on, and the folder of its cells.

    The baseline, which has no z_sem, has None in its place.
    """

    name: str
    model: DiffusionAutoencoder | DDIM
    selection: Selection
    folder: Path

    def measured(self, data: str, cell: Cell) -> Arrays:
        """The results of a cell, from its file if there is one."""
        what, solver, steps = cell
        name = f"{what}-{solver.replace(':', '_')}-{steps}" if solver else what
        file = self.folder / data / f"{name}.npz"
        if not file.exists():
            start = time.perf_counter()
            found = getattr(self, f"_{what.split('-')[0]}")(data, cell)
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(file, **found)
            spent = time.perf_counter() - start
            print(f"{self.name}, {data}: {file.name} in {spent:.0f} s", file=sys.stderr)
        return dict(np.load(file))

    def z(self, images: Tensor) -> Tensor | None:
        return self.model.encode(images) if isinstance(self.model, DiffusionAutoencoder) else None

    def decode(self, z: Tensor | None, x_T: Tensor, solver: str, steps: int) -> Tensor:
        codes = (x_T,) if z is None else (z, x_T)
        return self.model.decode(*codes, steps=steps, solver=solver)

    @cached_property
    def positions(self) -> np.ndarray:
        """Positions of the first picture of each of the first persons."""
        return np.sort(np.unique(self.selection.groups, return_index=True)[1])[:IMAGES]

    def _reference(self, data: str, cell: Cell) -> Arrays:
        """Features of real images, for the Frechet distance."""
        images = self.selection.batch(np.arange(len(self.selection)))
        return {"features": features(images), "blocks": self.selection.units.blocks(20)}

    def _trip(self, data: str, cell: Cell) -> Arrays:
        """A round trip."""
        _, solver, steps = cell
        images = self.selection.batch(self.positions) if data == "held-out" else crops()
        z = self.z(images)
        codes = (images,) if z is None else (images, z)
        x_T = self.model.encode_stochastic(*codes, steps=steps, solver=solver)
        trip = self.decode(z, x_T, solver, steps)
        return {"images": images.numpy(), "x_T": x_T.numpy(), "trip": trip.numpy()}

    def _cross(self, data: str, cell: Cell) -> Arrays:
        """x_T of the paper's DDIM decoded by the fast solver, or the reverse."""
        _, *how = cell
        maker = PAPER if tuple(how) == FAST else FAST
        made = self.measured(data, Cell("trip", *maker))
        images, x_T = (torch.from_numpy(made[name]) for name in ("images", "x_T"))
        crossed = self.decode(self.z(images), x_T, *how)
        return {"images": made["images"], "trip": crossed.numpy()}

    def _latents(self, data: str, cell: Cell) -> Arrays:
        start = noises("z", self.model.latent_dim)
        return {"z": self.model.sample_latents(start, cell.steps, cell.solver).numpy()}

    def _samples(self, data: str, cell: Cell) -> Arrays:
        """Features of new images, and the first of these images. z is from the paper's DDIM unless "fast-z" is given."""
        count, z = KEPT if cell.what == "kept" else SAMPLES, None
        if isinstance(self.model, DiffusionAutoencoder):
            maker = FAST if cell.what == "samples-fast-z" else PAPER
            z = torch.from_numpy(self.measured(data, Cell("latents", *maker))["z"])[:count]
        size = self.model.image_size
        x_T = noises("x_T", 3, size, size)[:count]
        parts = [
            self.decode(None if z is None else z[some], x_T[some], cell.solver, cell.steps)
            for some in torch.arange(count).split(BATCH)
        ]
        samples = torch.cat(parts)
        return {"features": features(samples), "kept": samples[:KEPT].numpy()}

    _kept = _samples


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", action="append", metavar="NAME[=PATH]", default=[])
    parser.add_argument("--data", help="images of these models; portraits unless given")
    parser.add_argument("--out", type=Path, default=Path("runs/solvers"))
    args = parser.parse_args()
    data = open_dataset(args.data, 32) if args.data else open_portraits(PORTRAITS, 32, SEED)
    held_out = select(data, "test", REFERENCE, SEED)
    for given in args.model or ("portraits", "portraits-ddim"):
        name, _, path = given.partition("=")
        autoencoder = open_checkpoint(path or name).config.kind == AUTOENCODER
        kind = DiffusionAutoencoder if autoencoder else DDIM
        bench = Bench(name, kind.from_pretrained(path or name), held_out, args.out / name)
        for place, cell in plan(autoencoder):
            bench.measured(place, cell)
    tables.write(args.out)


if __name__ == "__main__":
    main()
