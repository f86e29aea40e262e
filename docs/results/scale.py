"""Time and memory of what a run does beside its networks, on synthetic features at the paper's sizes.

    python docs/results/scale.py [--sizes 1000,5000,10000,50000] [--against FOLDER] [MEASURE ...]

Every measurement is a process of its own with one thread. Its time is the CPU time of the work alone, which other
work on the machine changes little; its memory the most that the process took during it, beyond what it had before
(imports, and the inputs where they are given as arrays). `--against` is another checkout, which is measured by the same
script, the two in turn. `growth` is the exponent of time between the two largest sizes: 1 is linear.
"""

import argparse
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image
from tabulate import tabulate

from benchmarks.core.context import Context
from benchmarks.core.profiles import PROFILES
from benchmarks.core.runner.rows import rows
from benchmarks.core.store import Store
from benchmarks.metrics.frechet import Moments
from benchmarks.metrics.frechet_jackknife import blocks_of, jackknife
from benchmarks.metrics.nearest import nearest
from benchmarks.systems.base import DECODE, SAMPLE, SAMPLE_LATENTS, SEMANTIC, Code, System
from benchmarks.tasks import probes as probes_task
from benchmarks.tasks.fewshot import fewshot
from benchmarks.tasks.shared.samples import samples
from diffae.data.dataset import Dataset
from diffae.data.survey import Survey
from diffae.data.transforms import Transform
from probes import fit_adam_paper, fit_best
from probes.scores import influences, summarise
from reports.uncertainty import Influence, read_uncertainties, write_uncertainties

FEATURES, CODE, ATTRIBUTES = 2048, 512, 40  # of Inception, of z_sem, of CelebA
SIZES = (1_000, 5_000, 10_000, 50_000)
SIZE = 8  # pixels of an image, of which nobody looks at more than the noise in it
SAMPLES = 500  # of a few-shot class: their distances are quick, so that it is the reading that is measured
Work = Callable[[], object]


# ----------------------------------------------------------------------------------------------
# What is measured


def features(n: int, seed: int, d: int = FEATURES) -> np.ndarray:
    """float32 [n, d] whose variances fall as 1/i, as those of natural images' features do, roughly."""
    spectrum = np.arange(1, d + 1, dtype=np.float32) ** -0.5
    found = np.random.default_rng(seed).standard_normal((n, d), np.float32)
    found *= spectrum
    return found


def codes_and_labels(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes [n, 512], and 40 attributes, rare and frequent, that a linear classifier half knows."""
    codes = torch.from_numpy(features(n, seed, CODE))
    of_code = np.random.default_rng(0).standard_normal((CODE, ATTRIBUTES))
    noise = np.random.default_rng(seed + 1).standard_normal((n, ATTRIBUTES))
    signal = codes.numpy() @ of_code / math.sqrt(math.log(CODE)) + 0.5 * noise
    return codes, torch.from_numpy(signal > np.linspace(-1, 2, ATTRIBUTES))


def reading(n: int, folder: Path) -> Work:
    """Features of real images, filed, into one array"""
    context, _ = world(n, folder)
    work = lambda: context.codes.real_features(context.select("all", n))  # noqa: E731
    work()
    return work


def moments(n: int, folder: Path) -> Work:
    """Moments of features"""
    x = features(n, 1)
    return lambda: Moments.from_features(x)


def distance(n: int, folder: Path) -> Work:
    """Frechet distance of as many to as many, with its jackknife"""
    x, y = features(n, 1), features(n, 2)
    return lambda: jackknife(x, y, blocks_of(n), blocks_of(n))


def neighbours(n: int, folder: Path) -> Work:
    """Nearest of 3/5 as many for each"""
    x, y = features(n, 1), features(n * 3 // 5, 2)
    return lambda: nearest(x, y)


def probe(n: int, folder: Path) -> Work:
    """40 classifiers of 3/5 as many codes, L-BFGS, 4 penalties"""
    train, valid = codes_and_labels(n * 3 // 5, 1), codes_and_labels(n // 10, 2)
    return lambda: fit_best(*train, *valid, grid=(1e-2, 1e-1, 1.0, 10.0))


def adam(n: int, folder: Path) -> Work:
    """40 classifiers of 3/5 as many codes, the authors' Adam"""
    train = codes_and_labels(n * 3 // 5, 1)
    return lambda: fit_adam_paper(*train, seed=0)


def scores(n: int, folder: Path) -> Work:
    """AUROC, AP, accuracy of 40 classifiers on 3/5 as many, and each image's influence"""
    codes, labels = codes_and_labels(n * 3 // 5, 1)
    logits, truth = codes.numpy()[:, :ATTRIBUTES], labels.numpy()
    names = [str(column) for column in range(ATTRIBUTES)]

    def work() -> None:
        summarise(logits, truth, names)
        influences(logits, truth)

    return work


def probe_rows(n: int, folder: Path) -> Work:
    """All of `probes` for one system, codes and fits filed: 123 rows"""
    context, system = world(n, folder)
    work = lambda: list(rows(probes_task.BENCHMARK, context, [system]))  # noqa: E731
    work()
    return work


def influence_file(n: int, folder: Path) -> Work:
    """influences.npz of 123 rows, written and read"""
    rng = np.random.default_rng(0)
    found = {str(row): (Influence("images", rng.standard_normal(n)),) for row in range(123)}

    def work() -> None:
        write_uncertainties(folder / "influences.npz", found)
        read_uncertainties(folder / "influences.npz")

    return work


def few_shot(n: int, folder: Path) -> Work:
    """All of `fewshot` for one system, 500 samples a class, 16 cells of 3 seeds; 1.2 times as many latents"""
    context, system = world(n, folder)
    fewshot.Pool(context, system)
    context.codes.real_features(context.select("all", n))
    context.codes.features(system, context.select("train", n))
    return lambda: list(rows(fewshot.BENCHMARK, context, [system]))


def few_shot_again(n: int, folder: Path) -> Work:
    """`fewshot` once more: all of its distances are filed"""
    first = few_shot(n, folder)
    first()
    return first


def reading_samples(n: int, folder: Path) -> Work:
    """Latents, features and thumbnails of samples, filed, into arrays"""
    context, system = world(n, folder)
    work = lambda: samples(context, system, None, n)  # noqa: E731
    work()
    return work


MEASURES: dict[str, Callable[[int, Path], Work]] = {
    "reading": reading,
    "samples": reading_samples,
    "moments": moments,
    "distance": distance,
    "nearest": neighbours,
    "probe": probe,
    "adam": adam,
    "scores": scores,
    "probes-again": probe_rows,
    "influences": influence_file,
    "fewshot": few_shot,
    "fewshot-again": few_shot_again,
}


# ----------------------------------------------------------------------------------------------
# A world of n images whose features, codes and attributes are made of noise


@dataclass(frozen=True)
class Source:
    """n images of noise."""

    n: int

    def __len__(self) -> int:
        return self.n

    def read(self, index: int) -> Image.Image:
        pixels = np.random.default_rng(index).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
        return Image.fromarray(pixels)

    def where(self, index: int) -> str:
        return f"image {index}"

    def files(self) -> tuple[()]:
        return ()

    def look(self) -> Survey:
        return Survey(f"{self.n} images of noise", self.n)


class Network:
    """uint8 images -> float32 [N, 2048]: random Fourier features, the first of them the largest."""

    name, metric_name, network = "noise", "fd_effnet", "efficientnet-lite0"
    dim = FEATURES

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.randn(3 * SIZE**2, FEATURES, generator=generator) / 16
        self.scale = torch.arange(1, FEATURES + 1) ** -0.5

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cos(images.flatten(1) / 128 @ self.weight) * self.scale

    def describe(self) -> dict[str, str]:
        return {"feature_network": self.name}


class Noise(System):
    """Codes of 512 numbers that are a linear map of the image; latents are the codes of other noise."""

    name = title = fingerprint = "noise"
    capabilities = frozenset({SEMANTIC, DECODE, SAMPLE, SAMPLE_LATENTS})
    image_size, latent_dim, semantic_dim = SIZE, CODE, CODE

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(1)
        self.weight = torch.randn(3 * SIZE**2, CODE, generator=generator) / 14

    def encode_semantic(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1) @ self.weight

    def decode(self, code: Code, steps: int = 100) -> torch.Tensor:
        pixels = code.semantic[:, : 3 * SIZE**2]  # type: ignore[index]
        return (pixels / 2).clamp(-1, 1).reshape(-1, 3, SIZE, SIZE)

    def sample_latents(self, indices: Sequence[int], seed: int, steps: int) -> torch.Tensor:
        drawn = [
            torch.randn(CODE, generator=torch.Generator().manual_seed(index)) for index in indices
        ]
        return torch.stack(drawn)

    def sample(self, indices: Sequence[int], seed: int, steps: int) -> torch.Tensor:
        return self.decode(Code(self.sample_latents(indices, seed, steps)))


def world(n: int, folder: Path) -> tuple[Context, System]:
    """A run over n images, 3/5 of them to train on, with the paper's settings but for `SAMPLES`."""
    rng = np.random.default_rng(0)
    names = ("Male", "Blond_Hair", *(f"attribute {i}" for i in range(2, ATTRIBUTES)))
    labels = rng.random((n, ATTRIBUTES)) < np.linspace(0.4, 0.1, ATTRIBUTES)
    partition = rng.permutation(np.arange(n) * 10 // n)
    dataset = Dataset(
        name="noise",
        root=folder,
        source=Source(n),
        transform=Transform(SIZE),
        partition=np.where(partition < 6, 0, np.where(partition < 7, 1, 2)).astype(np.int8),
        partition_source="random",
        attribute_names=names,
        attributes=labels,
    )
    settings = {
        "fewshot.pool": n * 6 // 5,
        "fewshot.samples": min(SAMPLES, n // 10),
        "fewshot.acceptance": ("probability", "threshold"),
    }
    profile = PROFILES["paper"].changed_by(settings)
    networks = SimpleNamespace(features=Network())
    cpu, store = torch.device("cpu"), Store(folder / "store")
    context = Context(dataset, profile, 0, cpu, store, None, networks=networks)  # type: ignore[arg-type]
    store.make()
    return context, Noise()


# ----------------------------------------------------------------------------------------------
# One process a measurement


def worker(name: str, n: int) -> None:
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        work = MEASURES[name](n, Path(folder))
        before = memory("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        start = time.process_time()
        work()
        seconds = time.process_time() - start
        print(json.dumps({"seconds": seconds, "MiB": memory("VmHWM") - before}))


def memory(name: str) -> float:
    """MiB of a line of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))


def measured(name: str, n: int, tree: Path) -> dict[str, float]:
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": str(tree),
    }
    command = [sys.executable, __file__, "--worker", name, "--sizes", str(n)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def row(name: str, n: int, found: list[list[dict[str, float]]]) -> list[str]:
    """Of each tree its repeats: the least time, and the ratio where there are two."""
    seconds = [min(one["seconds"] for one in repeats) for repeats in found]
    mib = [min(one["MiB"] for one in repeats) for repeats in found]
    ratio = [f"{seconds[0] / seconds[1]:.2f}"] if len(found) > 1 else []
    cells = [f"{n:,}", *(f"{s:.2f}" for s in seconds), *ratio, *(f"{m:,.0f}" for m in mib)]
    return [name, *cells]


def growth(seconds: dict[int, float]) -> str:
    """The exponent of time between the two largest sizes."""
    if len(seconds) < 2:
        return ""
    (a, b), (s, t) = zip(*sorted(seconds.items())[-2:], strict=True)
    return f"{math.log(t / s) / math.log(b / a):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--against", type=Path, help="another checkout, the one before")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--worker", choices=MEASURES, help=argparse.SUPPRESS)
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=", ".join(MEASURES))
    args = parser.parse_args()
    sizes = [int(size) for size in args.sizes.split(",")]
    if args.worker:
        worker(args.worker, sizes[0])
        return
    if unknown := set(args.measures) - set(MEASURES):
        parser.error(f"no measure {', '.join(unknown)}; there are {', '.join(MEASURES)}")
    here = Path(__file__).resolve().parents[2]
    trees = [here] if args.against is None else [args.against.resolve(), here]
    table, times = [], {}
    for name, n in itertools.product(args.measures or MEASURES, sizes):
        found: list[list[dict[str, float]]] = [[] for _ in trees]
        for _, (tree, kept) in itertools.product(
            range(args.repeats), zip(trees, found, strict=True)
        ):
            kept.append(measured(name, n, tree))
            print(f"{tree.name} {name} {n:,}: {kept[-1]}", file=sys.stderr, flush=True)
        times.setdefault(name, {})[n] = min(one["seconds"] for one in found[-1])
        table.append([*row(name, n, found), growth(times[name]) if n == sizes[-1] else ""])
    both = len(trees) > 1
    headers = ["", "images", *(["s before", "s", "times as fast"] if both else ["s"])]
    headers += [*(["MiB before", "MiB"] if both else ["MiB"]), "growth"]
    print(tabulate(table, headers, "pipe", disable_numparse=True))


if __name__ == "__main__":
    main()
