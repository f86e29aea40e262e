"""From the files of cells to numbers: one row a number, in solvers.csv.

`ssim`, `mse` (in [0, 1] units) and `logit` are means over images with their standard errors; `ssim gain` and `mse gain` the
differences to the paper's DDIM with T = 100 on the same images, whose errors are of the pairs; `to paper` and `to converged`
the MSE to the same edit, midpoint or sample made by DDIM with T = 100 and by a converged solver. `fd_effnet` has a
jackknife's error and its gain that of the difference on the same noise and the same real images.
"""

import csv
import math
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from subjects import SAMPLES

from benchmarks.metrics.frechet_jackknife import Jackknife, blocks_of, jackknife
from benchmarks.metrics.pixel import mse
from benchmarks.metrics.ssim import ssim
from diffae.sampling.scheme import find

PAPER, FAST = "ddim-100", "ab2-v-10"
CONVERGED, CONVERGED_Z = "ab2-v-50", "ab2-v-200"
Arrays = dict[str, np.ndarray]
Values = dict[str, tuple[float, float, int]]  # metric: value, its standard error, n


@dataclass(frozen=True)
class Number:
    model: str
    data: str
    what: str
    solver: str
    grid: str
    steps: int
    encode_calls: int
    decode_calls: int
    metric: str
    value: float
    stderr: float
    n: int


def write(folder: Path, file: Path) -> None:
    """solvers.csv of all cells in a folder."""
    found = sorted(numbers(folder), key=lambda n: astuple(n)[:9])
    with file.open("w", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(field.name for field in fields(Number))
        for number in found:
            row = list(astuple(number))
            writer.writerow([f"{v:.5g}" if isinstance(v, float) else v for v in row])


def read(file: Path) -> list[Number]:
    with file.open(newline="") as rows:
        return [
            Number(*(field.type(row[field.name]) for field in fields(Number)))  # type: ignore[operator]
            for row in csv.DictReader(rows)
        ]


def numbers(folder: Path) -> Iterator[Number]:
    for data in sorted(path for path in folder.glob("*/*") if path.is_dir()):
        cells = {path.stem: path for path in data.glob("*.npz")}
        for name, path in cells.items():
            what, _, how = name.partition("-")
            if what not in READERS:
                continue
            how = how.removeprefix("fast-z-")  # samples whose z_sem is the fast solver's
            for title, found in READERS[what](path, cells):
                yield from _rows(data.parent.name, data.name, title, how, found)
    if (folder / "ffhq128").is_dir():
        yield from _of_ffhq128(folder / "ffhq128")
    if (folder / "speed.npz").exists():
        yield from _of_speed(load(folder / "speed.npz"))


def _rows(model: str, data: str, what: str, how: str, found: Values) -> Iterator[Number]:
    solver, _, steps = how.rpartition("-")
    scheme, T = find(solver.replace("_", ":")), int(steps)
    encode = scheme.encode_calls(T) if scheme.inverts and what in ENCODES else 0
    decode = 0 if what == "x_T" else scheme.decode_calls(T)
    grid = scheme.grid.replace("-", " ")
    for metric, (value, stderr, n) in found.items():
        yield Number(
            model, data, what, scheme.method, grid, T, encode, decode, metric, value, stderr, n
        )


ENCODES = ("round trip", "edit", "midpoint", "x_T")


def load(path: Path) -> Arrays:
    with np.load(path) as file:
        return dict(file)


def mean(values: np.ndarray) -> tuple[float, float, int]:
    return (
        float(values.mean()),
        float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan,
        len(values),
    )


def compare(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """SSIM and MSE of each image."""
    one, other = torch.from_numpy(a), torch.from_numpy(b)
    return ssim(one, other).numpy(), mse(one, other).double().numpy()


# ----------------------------------------------------------------------------------------------
# Readers: a cell's file, and the files beside it by name


def _of_trip(path: Path, cells: dict[str, Path]) -> Iterator[tuple[str, Values]]:
    cell = load(path)
    yield "round trip", _gains(cell, cells, "trip")
    std = cell["x_T"].reshape(len(cell["x_T"]), -1).std(axis=1)
    yield "x_T", {"standard deviation": mean(std)}
    for what in ("edit", "midpoint"):
        if what in cell:
            found = {
                metric: mean(compare(cell[what], load(cells[f"trip-{how}"])[what])[1])
                for metric, how in (("to paper", PAPER), ("to converged", CONVERGED))
                if f"trip-{how}" in cells and path != cells[f"trip-{how}"]
            }
            if what == "edit":
                found["logit"] = mean(cell["logit"].astype(np.float64))
            yield what, found


def _of_crossing(path: Path, cells: dict[str, Path]) -> Iterator[tuple[str, Values]]:
    maker = "ddim" if "ab2-v" in path.stem else "ab2-v"
    yield f"x_T of {maker} decoded", _gains(load(path), cells, "trip")


def _gains(cell: Arrays, cells: dict[str, Path], what: str) -> Values:
    similarity, error = compare(cell[what], cell["images"])
    found = {"ssim": mean(similarity), "mse": mean(error)}
    if f"trip-{PAPER}" in cells:
        paper = load(cells[f"trip-{PAPER}"])
        of_paper, error_of_paper = compare(paper[what], paper["images"])
        found["ssim gain"] = mean(similarity - of_paper)
        found["mse gain"] = mean(error - error_of_paper)
    return found


def _of_latents(path: Path, cells: dict[str, Path]) -> Iterator[tuple[str, Values]]:
    """Distance to converged ones, by the root mean square distance of those from their own mean."""
    if f"latents-{CONVERGED_Z}" in cells:
        z, converged = load(path)["z"], load(cells[f"latents-{CONVERGED_Z}"])["z"]
        spread = math.sqrt(np.square(converged - converged.mean(0)).sum(1).mean())
        yield "latents", {"to converged": mean(np.linalg.norm(z - converged, axis=1) / spread)}


def _of_samples(path: Path, cells: dict[str, Path]) -> Iterator[tuple[str, Values]]:
    fast_z = "fast-z" in path.stem
    cell = load(path)
    found: Values = {}
    real = load(path.with_name("reference.npz"))
    own = _frechet(cell, real)
    found["fd_effnet"] = (own.value, _stderr(own), len(cell["features"]))
    base = f"samples-{FAST if fast_z else PAPER}"  # the same solver where only z is another
    if base in cells and cells[base] != path:
        other = _frechet(load(cells[base]), real)
        found["fd_effnet gain"] = (
            own.value - other.value,
            _stderr(own, other),
            len(cell["features"]),
        )
    if f"kept-{CONVERGED}" in cells and not fast_z:
        converged = load(cells[f"kept-{CONVERGED}"])["kept"]
        found["to converged"] = mean(compare(cell["kept"], converged)[1])
    yield "samples, z by ab2-v 10" if fast_z else "samples", found


def _frechet(cell: Arrays, real: Arrays) -> Jackknife:
    return jackknife(cell["features"], real["features"], blocks_of(SAMPLES), real["blocks"])


def _stderr(one: Jackknife, without: Jackknife | None = None) -> float:
    """Of a distance, or of its difference to another on the same blocks."""
    parts = one.of_samples, one.of_reference
    if without is not None:
        parts = parts[0] - without.of_samples, parts[1] - without.of_reference
    return math.sqrt(sum(np.square(part).sum() for part in parts))


READERS = {
    "trip": _of_trip,
    "cross": _of_crossing,
    "latents": _of_latents,
    "samples": _of_samples,
}


def _of_ffhq128(folder: Path) -> Iterator[Number]:
    converged = folder / "ffhq128-ab2-v-40.npz"
    for path in folder.glob("*.npz") if converged.exists() else ():
        cell, last, how = load(path), load(converged), path.stem.removeprefix("ffhq128-")
        if path != converged:
            image = compare(cell["decoded"], last["decoded"])[1]
            x_T = np.square(cell["encoded"] - last["encoded"]).mean(keepdims=True).ravel()
            found = {"image to converged": mean(image), "x_T to converged": mean(x_T)}
            yield from _rows("ffhq128 layout", "noise", "either way", how, found)


def _of_speed(seconds: Arrays) -> Iterator[Number]:
    ratios = seconds["ddim"] / seconds["fast"]
    yield from _rows("portraits", "crops", "round trip", FAST, {"times as fast": mean(ratios)})
