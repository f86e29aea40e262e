"""Every solver on every model: round trips, edits, midpoints and samples, by network calls.

    python docs/results/solvers/solvers.py                                  the packaged models on portraits
    python docs/results/solvers/solvers.py --model portraits-noise=runs/noise
    python docs/results/solvers/solvers.py --model fashion-mnist=runs/fashion --data /usr/share/datasets/fashion-mnist
    python docs/results/solvers/solvers.py --ffhq128                        the authors' layout, with given weights
    python docs/results/solvers/solvers.py --speed                          seconds, both sides alternating
    python docs/results/solvers/solvers.py --tables                         solvers.csv and README.md, measuring nothing

What a cell made is a file in `--out`, so that the same command goes on where it stopped; solvers.csv has the numbers of
all files there, README.md's tables those of solvers.csv. `--hours H` begins no further cell after so long. Set
OMP_NUM_THREADS=1 where something else runs.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from subjects import KEPT, SAMPLES, Crops, HeldOut, Subject, fill, midpoints, noises

from benchmarks.metrics.features import feature_network
from diffae import DiffusionAutoencoder
from diffae.config import ARCHITECTURES
from diffae.eight_bit import to_uint8
from probes import LinearProbe

PAPER, FAST = ("ddim", 100), ("ab2-v", 10)
CONVERGED, SECOND = ("ab2-v", 50), ("ab2-eps", 50)  # the second shows that the first has converged
BOTH = ("ddim", "ab2-v")
SOLVERS = (*BOTH, "ab2-v:power-2.5", "ddim:power-2", "ab2-eps", "implicit-v", "dpm++2m")
BATCH = 32
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Cell:
    """One solver at one number of steps: a trip there and back, a crossing, samples, or latents."""

    what: str
    solver: str
    steps: int

    @property
    def file(self) -> str:
        return f"{self.what}-{self.solver.replace(':', '_')}-{self.steps}.npz"


def plan(subject: Subject) -> Iterator[tuple[str, Cell]]:
    """(data, cell), what matters most first: "held-out" or "crops"."""
    first = (PAPER, FAST, ("ab2-v:power-2.5", 10), ("ddim", 10))
    for data in ("held-out", "crops"):
        yield from ((data, Cell("trip", *pair)) for pair in first)
    yield "held-out", Cell("trip", *CONVERGED)
    yield from (("held-out", Cell("cross", *pair)) for pair in (FAST, PAPER))
    yield from (("held-out", Cell("trip", solver, 10)) for solver in SOLVERS)
    yield from ((data, Cell("trip", "ab2-v", 12)) for data in ("held-out", "crops"))
    yield "held-out", Cell("trip", "ab2-v:uniform", 10)
    yield from (("held-out", Cell("trip", solver, n)) for n in (20, 5) for solver in SOLVERS[:3])
    if subject.latent:
        yield from latents()
    yield from (("held-out", Cell("samples", *pair)) for pair in (FAST, PAPER))
    yield "held-out", Cell("kept", *CONVERGED)
    yield from (("crops", Cell("trip", solver, 10)) for solver in SOLVERS)
    yield from (("crops", Cell("trip", solver, 5)) for solver in SOLVERS[:3])
    yield from (("held-out", Cell("trip", solver, n)) for n in (5, 20) for solver in SOLVERS)
    yield "held-out", Cell("trip", "ddim", 50)
    yield from (("held-out", Cell("trip", solver, n)) for n in (8, 6) for solver in SOLVERS[:3])
    few = (("ddim", 10), ("ab2-v", 5), ("ab2-v:power-2.5", 10), ("ddim:power-2", 10))
    yield from (("held-out", Cell("samples", *pair)) for pair in few)
    yield from (("crops", Cell("trip", *pair)) for pair in (("ab2-v", 20), ("ddim", 50)))
    yield "held-out", Cell("trip", *SECOND)
    if subject.latent:
        yield "held-out", Cell("samples-fast-z", *FAST)
        more = (("heun", 5), ("dpm++2m", 10), ("ab2-eps", 10), ("ddim", 20))
        yield from (("held-out", Cell("samples", *pair)) for pair in more)


def latents() -> Iterator[tuple[str, Cell]]:
    """New z_sem by both solvers, and samples made of them."""
    for steps in (5, 10, 20, 50, 100):
        yield from (("held-out", Cell("latents", solver, steps)) for solver in BOTH)
    yield from (("held-out", Cell("latents", solver, 200)) for solver in ("ab2-v", "ab2-eps"))


# ----------------------------------------------------------------------------------------------
# Cells


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
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, **found)
        spent = time.perf_counter() - start
        print(f"{self.subject.name}, {data}: {cell.file} in {spent:.0f} s", file=sys.stderr)

    def read(self, data: str, cell: Cell) -> Arrays:
        self.measure(data, cell)
        with np.load(self.folder / data / cell.file) as file:
            return dict(file)

    def _trip(self, data: str, cell: Cell) -> Arrays:
        """There and back, and for held-out images the edit and the midpoints."""
        subject, how = self.subject, (cell.solver, cell.steps)
        images = self.held_out.images if data == "held-out" else Crops().images
        z = subject.z(images)
        x_T = subject.encode(images, z, *how)
        found = {"images": images, "x_T": x_T, "trip": subject.decode(z, x_T, *how)}
        if data == "held-out":
            found["midpoint"] = subject.decode(*midpoints(z, x_T), *how)
            if z is not None:
                found |= self._edit(z, x_T, how)
        return {name: value.numpy() for name, value in found.items()}

    def _edit(
        self, z: torch.Tensor, x_T: torch.Tensor, how: tuple[str, int]
    ) -> dict[str, torch.Tensor]:
        """The edited images, and how far the probe's logit moved the intended way."""
        probe, column = self.probe, self.held_out.attribute
        edited = self.subject.decode(self.held_out.edited(probe, z), x_T, *how)
        after = self.subject.z(edited)
        assert after is not None
        move = (probe.logits(after) - probe.logits(z))[:, column] * self.held_out.towards()
        return {"edit": edited, "logit": move}

    def _cross(self, data: str, cell: Cell) -> Arrays:
        """x_T of the paper's DDIM decoded by the fast solver, or the other way."""
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
        """Features of new images, and the first of these themselves. z is the paper's DDIM's unless "fast-z" is asked for."""
        z = None
        if self.subject.latent:
            maker = FAST if cell.what == "samples-fast-z" else PAPER
            z = torch.from_numpy(self.read(data, Cell("latents", *maker))["z"])[:count]
        size = self.subject.model.image_size
        x_T = noises("x_T", (SAMPLES, 3, size, size))[:count]
        parts = [
            self.subject.decode(
                None if z is None else z[i : i + BATCH], x_T[i : i + BATCH], cell.solver, cell.steps
            )
            for i in range(0, count, BATCH)
        ]
        samples = torch.cat(parts)
        features = feature_network(None, False, torch.device("cpu"))(to_uint8(samples))
        return {"features": features.numpy(), "kept": samples[:KEPT].numpy()}

    def _kept(self, data: str, cell: Cell) -> Arrays:
        return self._samples(data, cell, KEPT)

    def reference(self) -> None:
        """Features of real images, for the Frechet distance."""
        file = self.folder / "held-out" / "reference.npz"
        if not file.exists():
            selection = self.held_out.selection
            network = feature_network(None, False, torch.device("cpu"))
            features = network(to_uint8(selection.batch(np.arange(len(selection)))))
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(file, features=features.numpy(), blocks=selection.blocks(20))


# ----------------------------------------------------------------------------------------------
# The authors' layout, and time


def ffhq128(folder: Path) -> None:
    """x_T and image of one input at 128 px by each solver, with weights of no meaning: the numerics alone."""
    model = DiffusionAutoencoder(ARCHITECTURES["ffhq128_autoenc_130M"]).eval()
    fill(model)
    subject = Subject("ffhq128", model)
    image = noises("image", (1, 3, 128, 128)).clamp(-1, 1)
    x_T = noises("x_T", (1, 3, 128, 128))
    z = subject.z(image)
    for solver, steps in (("ab2-v", 40), *((s, n) for n in (5, 10, 20) for s in BOTH)):
        file = folder / "ffhq128" / Cell("ffhq128", solver, steps).file
        if not file.exists():
            decoded = subject.decode(z, x_T, solver, steps)
            encoded = subject.encode(image, z, solver, steps)
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(file, decoded=decoded.numpy(), encoded=encoded.numpy())
            print(file.name, file=sys.stderr)


def speed(folder: Path, repeats: int = 3) -> None:
    """Seconds of a round trip of the packaged model, both solvers in turn."""
    subject = Subject.load("portraits", "portraits")
    images = Crops().images[:4]
    z = subject.z(images)
    seconds: dict[str, list[float]] = {"ddim": [], "ab2-v": []}
    for _ in range(repeats):
        for solver, steps in (PAPER, FAST):
            start = time.process_time()
            subject.decode(z, subject.encode(images, z, solver, steps), solver, steps)
            seconds[solver].append(time.process_time() - start)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "speed.npz", ddim=seconds["ddim"], fast=seconds["ab2-v"])


# ----------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", action="append", metavar="NAME[=PATH]", default=[])
    parser.add_argument("--data", help="images of these models; portraits unless given")
    parser.add_argument("--out", type=Path, default=Path("runs/solvers"))
    parser.add_argument("--hours", type=float, default=float("inf"))
    parser.add_argument("--ffhq128", action="store_true")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--tables", action="store_true")
    args = parser.parse_args()
    if args.ffhq128:
        ffhq128(args.out)
    if args.speed:
        speed(args.out)
    if not (args.ffhq128 or args.speed or args.tables):
        measure(args)
    from tables import write

    write(args.out)


def measure(args: argparse.Namespace) -> None:
    until = time.monotonic() + 3600 * args.hours
    held_out = HeldOut.open(args.data)
    benches = []
    for given in args.model or ("portraits", "portraits-ddim"):
        name, _, path = given.partition("=")
        benches.append(Bench(Subject.load(name, path or name), held_out, args.out / name))
    todo: list[tuple[int, Callable[[], None]]] = []
    for bench in benches:
        bench.reference()
        for rank, (data, cell) in enumerate(plan(bench.subject)):
            todo.append((rank, lambda b=bench, d=data, c=cell: b.measure(d, c)))  # type: ignore[misc]
    for _, work in sorted(todo, key=lambda pair: pair[0]):
        if time.monotonic() > until:
            return
        work()


if __name__ == "__main__":
    main()
