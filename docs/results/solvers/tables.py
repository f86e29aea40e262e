"""Compute solvers.csv from the files of cells, and from it the tables of the pages on solvers.

solvers.csv has one row per number. `python docs/results/readme.py --write` writes the pages.

`ssim` and `mse` (in [0, 1] units) are means over images with their standard errors; `ssim gain` and
`mse gain` are the differences to the paper's DDIM with T = 100 on the same images, with paired
errors; `to converged` is the MSE to the same sample made by a converged solver. `fd_effnet` has a jackknife error, and its gain is
the difference on the same noise and the same real images.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import sem
from tabulate import tabulate

from benchmarks.metrics.pixel import mse
from benchmarks.metrics.sets.frechet_jackknife import between
from benchmarks.metrics.sets.jackknife import Side, blocks_of
from benchmarks.metrics.ssim import ssim
from diffae.diffusion.scheme import find
from reports.records.estimate import Estimate

CSV = Path(__file__).with_name("solvers.csv")
PLACE = "model data what solver grid steps encode_calls decode_calls".split()
COLUMNS = [*PLACE, "metric", "value", "stderr", "n"]
PAPER = "trip-ddim-100"  # the cell that others are compared with
Arrays = dict[str, np.ndarray]
Values = dict[str, tuple[float, float, int]]  # metric: value, its standard error, n


def write(out: Path) -> None:
    """Write solvers.csv from the cells in `out`."""
    frame = pd.DataFrame(numbers(out), columns=COLUMNS).sort_values(COLUMNS[:9])
    frame.to_csv(CSV, index=False, float_format="%.5g", na_rep="nan", lineterminator="\n")


# ----------------------------------------------------------------------------------------------
# From cells to numbers


def numbers(folder: Path) -> Iterator[tuple[object, ...]]:
    for data in sorted(path for path in folder.glob("*/*") if path.is_dir()):
        cells = {path.stem: dict(np.load(path)) for path in data.glob("*.npz")}
        for name in cells:
            what, _, how = name.partition("-")
            if what not in READERS:
                continue
            solver, _, steps = how.removeprefix("fast-z-").rpartition("-")
            scheme, T = find(solver.replace("_", ":")), int(steps)
            for title, values in READERS[what](name, cells):
                encodes = scheme.inverts and title in ("round trip", "x_T")
                encode = scheme.encode_calls(T) if encodes else 0
                decode = 0 if title == "x_T" else scheme.decode_calls(T)
                place = data.parent.name, data.name, title, scheme.method
                grid = scheme.grid.replace("-", " ")
                for metric, number in values.items():
                    yield *place, grid, T, encode, decode, metric, *number


def mean(values: np.ndarray) -> tuple[float, float, int]:
    return float(values.mean()), float(sem(values)), len(values)


def compare(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """SSIM and MSE of each image."""
    one, other = torch.from_numpy(a), torch.from_numpy(b)
    return ssim(one, other).numpy(), mse(one, other).double().numpy()


def _of_trip(name: str, cells: dict[str, Arrays]) -> Iterator[tuple[str, Values]]:
    cell = cells[name]
    yield "round trip", _gains(cell, cells)
    std = cell["x_T"].reshape(len(cell["x_T"]), -1).std(axis=1)
    yield "x_T", {"standard deviation": mean(std)}


def _of_crossing(name: str, cells: dict[str, Arrays]) -> Iterator[tuple[str, Values]]:
    maker = "ddim" if "ab2-v" in name else "ab2-v"
    yield f"x_T of {maker} decoded", _gains(cells[name], cells)


def _gains(cell: Arrays, cells: dict[str, Arrays]) -> Values:
    similarity, error = compare(cell["trip"], cell["images"])
    found = {"ssim": mean(similarity), "mse": mean(error)}
    if PAPER in cells:
        of_paper, error_of_paper = compare(cells[PAPER]["trip"], cells[PAPER]["images"])
        found["ssim gain"] = mean(similarity - of_paper)
        found["mse gain"] = mean(error - error_of_paper)
    return found


def _of_samples(name: str, cells: dict[str, Arrays]) -> Iterator[tuple[str, Values]]:
    fast_z = "fast-z" in name
    cell, real = cells[name], cells["reference"]
    own, n = _frechet(cell, real), len(cell["features"])
    found: Values = {"fd_effnet": (own.value, own.stderr, n)}
    base = "samples-ab2-v-10" if fast_z else "samples-ddim-100"  # the same solver if only z differs
    if base in cells and base != name:
        other = _frechet(cells[base], real)
        gain = own.minus(other)
        found["fd_effnet gain"] = (gain.value, gain.stderr, n)
    if "kept-ab2-v-50" in cells and not fast_z:
        found["to converged"] = mean(compare(cell["kept"], cells["kept-ab2-v-50"]["kept"])[1])
    yield "samples, z by ab2-v 10" if fast_z else "samples", found


def _frechet(cell: Arrays, real: Arrays) -> Estimate:
    features = cell["features"]
    ours = Side.of(features, blocks_of(len(features)), "samples")
    return between(ours, Side.of(real["features"], real["blocks"], "reference")).whole()


READERS = {"trip": _of_trip, "cross": _of_crossing, "samples": _of_samples}


# ----------------------------------------------------------------------------------------------
# Numbers, a row for each measurement


STEPS = (5, 6, 8, 10, 12, 20, 50, 100)
DDIM, ROUGH = ("ddim", "uniform", 100), ("ddim", "uniform", 10)
FAST, FASTER = ("ab2-v", "power 2", 10), ("ab2-v", "power 2.5", 10)
MODELS = ["portraits", "portraits-ddim", "portraits-noise", "fashion-mnist"]
ORDERS = {
    "data": ["held-out", "crops", "noise"],
    "solver": ["ddim", "ab2-v", "ab2-eps", "implicit-v", "dpm++2m", "heun"],
    "grid": ["uniform", "power 2", "power 2.5"],
}
How = tuple[str, str, int]
Pair = tuple[str, str]  # model and data
# The columns of PLACE, and of each metric "METRIC", "METRIC stderr", "METRIC n".
Row = dict[str, Any]


def read() -> list[Row]:
    """The measurements of solvers.csv, sorted. A metric that was not measured is NaN."""
    frame = pd.read_csv(CSV)
    models = [*MODELS, *sorted(set(frame["model"]) - set(MODELS))]
    for name, order in {"model": models, **ORDERS}.items():
        frame[name] = pd.Categorical(frame[name], order)
    wide = frame.pivot(index=PLACE, columns="metric", values=["value", "stderr", "n"])
    wide.columns = [f"{metric} {kind}".removesuffix(" value") for kind, metric in wide.columns]
    return wide.reset_index().to_dict("records")


def by_how(found: list[Row], what: str, pair: Pair) -> dict[How, Row]:
    """The measurements of one kind on one model and its images, by solver, grid and steps."""
    place = (*pair, what)
    rows = [row for row in found if (row["model"], row["data"], row["what"]) == place]
    return {(row["solver"], row["grid"], row["steps"]): row for row in rows}


def round_trips(found: list[Row]) -> dict[Pair, dict[How, Row]]:
    rows = [row for row in found if row["what"] == "round trip"]
    pairs = dict.fromkeys((row["model"], row["data"]) for row in rows)
    return {pair: by_how(rows, "round trip", pair) for pair in pairs}


# ----------------------------------------------------------------------------------------------
# Tables


def pipe(rows: Sequence[Sequence[object]], headers: Sequence[object]) -> str:
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


def title(pair: Pair) -> str:
    return f"{pair[0]}, {'test images' if pair[1] == 'held-out' else 'photo crops'}"


def named(row: Row) -> str:
    return f"{row['solver']}, {row['grid']}"


def shown(row: Row | None, metric: str, form: str = ".4f", error: str = "") -> str:
    """A number in this format, ± its standard error if that has one; empty if it was not measured."""
    if row is None or math.isnan(row[metric]):
        return ""
    if form == ".1e" and 0 <= row[metric] < 5e-8:
        return "< 5e-8"
    stderr = f" ± {row[f'{metric} stderr']:{error}}" if error else ""
    return f"{row[metric]:{form}}{stderr}"


def both(row: Row | None) -> str:
    """SSIM and MSE of a round trip."""
    return f"{shown(row, 'ssim')} / {shown(row, 'mse', '.1e')}" if row else ""


def against_paper(found: list[Row], first: How, how: How, first_name: str, name: str) -> str:
    """Round trips of two solvers, and whether the second is better than DDIM with 200 calls."""
    rows = [
        [title(pair), both(trips[first]), both(trips[how]), *verdict(trips[how])]
        for pair, trips in round_trips(found).items()
        if first in trips and how in trips
    ]
    headers = ("", first_name, f"{name}, 20 calls", "SSIM: difference", "MSE: difference")
    return pipe(rows, (*headers, f"{name} is"))


def verdict(row: Row) -> list[str]:
    """The differences to DDIM, T = 100, in SSIM and MSE on the same images, ± their errors, and a
    verdict in a word.
    """
    if math.isnan(row["ssim gain"]):
        return ["", "", ""]
    words = (
        word(row["ssim gain"], row["ssim gain stderr"]),
        word(-row["mse gain"], row["mse gain stderr"]),
    )
    differences = shown(row, "ssim gain", "+.4f", ".4f"), shown(row, "mse gain", "+.1e", ".0e")
    return [*differences, " / ".join(dict.fromkeys(words))]


def word(gain: float, stderr: float) -> str:
    """A verdict on a gain: undecided within two standard errors."""
    return "better" if gain > 2 * stderr else "worse" if gain < -2 * stderr else "undecided"


def trips(found: list[Row]) -> str:
    parts = []
    for pair, of_pair in round_trips(found).items():
        rows = [
            [f"{solver}, {grid}", *(both(of_pair.get((solver, grid, steps))) for steps in STEPS)]
            for solver, grid in dict.fromkeys(how[:2] for how in of_pair)
        ]
        n = max(row["ssim n"] for row in of_pair.values())
        parts.append(f"{title(pair)} ({n:.0f} images)\n\n{pipe(rows, ('steps', *STEPS))}")
    return "\n\n".join(parts)


def calls(found: list[Row]) -> str:
    """The fewest calls, of the steps tried, with which both SSIM and MSE are no worse."""
    by_pair, rows = round_trips(found), []
    tried = {how[:2] for of_pair in by_pair.values() for how in of_pair}
    solvers = [how for how in product(ORDERS["solver"], ORDERS["grid"]) if how in tried]
    for pair, of_pair in by_pair.items():
        for steps in (50, 100):
            if target := of_pair.get(("ddim", "uniform", steps)):
                cells = [fewest(of_pair, solver, target) for solver in solvers]
                rows.append([title(pair), f"T = {steps} ({2 * steps})", *cells])
    return pipe(rows, ("", "quality of DDIM", *(f"{a}, {b}" for a, b in solvers)))


def fewest(of_pair: dict[How, Row], solver: tuple[str, str], target: Row) -> str:
    most = 0
    for how, row in of_pair.items():
        if how[:2] == solver:
            most = row["encode_calls"] + row["decode_calls"]
            if row["ssim"] >= target["ssim"] and row["mse"] <= target["mse"]:
                return str(most)
    return f"> {most}" if most else ""


def samples(found: list[Row]) -> str:
    rows = [
        [
            *(row["model"], named(row) + row["what"].removeprefix("samples"), row["decode_calls"]),
            shown(row, "fd_effnet", ".1f", ".1f"),
            shown(row, "fd_effnet gain", "+.1f", ".1f"),
            shown(row, "to converged", ".1e", ".0e"),
        ]
        for row in found
        if row["what"].startswith("samples")
    ]
    headers = ("model", "solver", "calls", "fd_effnet", "- DDIM T = 100", "MSE to converged")
    return pipe(rows, headers)


def x_T(found: list[Row]) -> str:
    rows = []
    for pair, of_pair in round_trips(found).items():
        std = by_how(found, "x_T", pair)
        by_fast = by_how(found, "x_T of ddim decoded", pair).get(FAST)
        by_ddim = by_how(found, "x_T of ab2-v decoded", pair).get(DDIM)
        cells = [shown(std.get(how), "standard deviation", ".3f") for how in (DDIM, FAST, FASTER)]
        cells += [shown(row, "ssim") for row in (of_pair.get(DDIM), of_pair.get(FAST))]
        rows.append([title(pair), *cells, shown(by_fast, "ssim"), shown(by_ddim, "ssim")])
    headers = ("", "std, DDIM T = 100", "fast 10", "power 2.5, 10", "DDIM both ways")
    return pipe(rows, (*headers, "fast both ways", "DDIM's by fast", "fast's by DDIM"))


TABLES: dict[str, Callable[[list[Row]], str]] = {
    "twenty": lambda found: against_paper(found, DDIM, FAST, "DDIM, 200 calls", "fast"),
    "steeper": lambda found: against_paper(found, ROUGH, FASTER, "DDIM, 20 calls", "power 2.5"),
    "trips": trips,
    "calls": calls,
    "samples": samples,
    "x_T": x_T,
}
