"""Compute solvers.csv from the files of cells, and from it the tables of the pages on solvers.

solvers.csv has one row per number.

`ssim`, `mse` (in [0, 1] units) and `logit` are means over images with their standard errors; `ssim
gain` and `mse gain` are the differences to the paper's DDIM with T = 100 on the same images, with
paired errors; `to paper` and `to converged` are the MSE to the same edit, midpoint or sample made
by DDIM with T = 100 and by a converged solver. `fd_effnet` has a jackknife error, and its gain is
the difference on the same noise and the same real images.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tabulate import tabulate

from benchmarks.metrics.frechet_jackknife import Jackknife, Side, between, blocks_of
from benchmarks.metrics.pixel import mse
from benchmarks.metrics.ssim import ssim
from diffae.diffusion.scheme import find

HERE = Path(__file__).parent
CSV = HERE / "solvers.csv"
PAGES = (HERE / "README.md", HERE.parents[1] / "solvers.md")
COLUMNS = (
    "model data what solver grid steps encode_calls decode_calls metric value stderr n".split()
)
Arrays = dict[str, np.ndarray]
Values = dict[str, tuple[float, float, int]]  # metric: value, its standard error, n


def write(out: Path) -> None:
    """Write solvers.csv from the cells in `out`, if there are any, and the pages' tables from
    solvers.csv.
    """
    if out.is_dir():
        frame = pd.DataFrame(numbers(out), columns=COLUMNS).sort_values(COLUMNS[:9])
        frame.to_csv(CSV, index=False, float_format="%.5g", na_rep="nan", lineterminator="\n")
    found = Numbers(CSV)
    for page in PAGES:
        page.write_text(filled(page.read_text(), found))


# ----------------------------------------------------------------------------------------------
# From cells to numbers


def numbers(folder: Path) -> Iterator[tuple[object, ...]]:
    for data in sorted(path for path in folder.glob("*/*") if path.is_dir()):
        cells = {path.stem: path for path in data.glob("*.npz")}
        for name, path in cells.items():
            what, _, how = name.partition("-")
            if what not in READERS:
                continue
            how = how.removeprefix("fast-z-")  # samples whose z_sem is the fast solver's
            for title, found in READERS[what](path, cells):
                yield from _rows(data.parent.name, data.name, title, how, found)


def _rows(
    model: str, data: str, what: str, how: str, found: Values
) -> Iterator[tuple[object, ...]]:
    solver, _, steps = how.rpartition("-")
    scheme, T = find(solver.replace("_", ":")), int(steps)
    encodes = scheme.inverts and what in ("round trip", "edit", "midpoint", "x_T")
    encode = scheme.encode_calls(T) if encodes else 0
    decode = 0 if what == "x_T" else scheme.decode_calls(T)
    grid = scheme.grid.replace("-", " ")
    for metric, values in found.items():
        yield model, data, what, scheme.method, grid, T, encode, decode, metric, *values


def load(path: Path) -> Arrays:
    with np.load(path) as file:
        return dict(file)


def mean(values: np.ndarray) -> tuple[float, float, int]:
    n = len(values)
    stderr = float(values.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan
    return float(values.mean()), stderr, n


def compare(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """SSIM and MSE of each image."""
    one, other = torch.from_numpy(a), torch.from_numpy(b)
    return ssim(one, other).numpy(), mse(one, other).double().numpy()


def _of_trip(path: Path, cells: dict[str, Path]) -> Iterator[tuple[str, Values]]:
    cell = load(path)
    yield "round trip", _gains(cell, cells)
    std = cell["x_T"].reshape(len(cell["x_T"]), -1).std(axis=1)
    yield "x_T", {"standard deviation": mean(std)}
    for what in ("edit", "midpoint"):
        if what in cell:
            found = {
                metric: mean(compare(cell[what], load(cells[made])[what])[1])
                for metric, made in (
                    ("to paper", "trip-ddim-100"),
                    ("to converged", "trip-ab2-v-50"),
                )
                if made in cells and path != cells[made]
            }
            if what == "edit":
                found["logit"] = mean(cell["logit"].astype(np.float64))
            yield what, found


def _of_crossing(path: Path, cells: dict[str, Path]) -> Iterator[tuple[str, Values]]:
    maker = "ddim" if "ab2-v" in path.stem else "ab2-v"
    yield f"x_T of {maker} decoded", _gains(load(path), cells)


def _gains(cell: Arrays, cells: dict[str, Path]) -> Values:
    similarity, error = compare(cell["trip"], cell["images"])
    found = {"ssim": mean(similarity), "mse": mean(error)}
    if "trip-ddim-100" in cells:
        paper = load(cells["trip-ddim-100"])
        of_paper, error_of_paper = compare(paper["trip"], paper["images"])
        found["ssim gain"] = mean(similarity - of_paper)
        found["mse gain"] = mean(error - error_of_paper)
    return found


def _of_latents(path: Path, cells: dict[str, Path]) -> Iterator[tuple[str, Values]]:
    """Distance to converged latents, divided by the root mean square distance of those from their mean."""
    if "latents-ab2-v-200" in cells:
        z, converged = load(path)["z"], load(cells["latents-ab2-v-200"])["z"]
        spread = math.sqrt(np.square(converged - converged.mean(0)).sum(1).mean())
        yield "latents", {"to converged": mean(np.linalg.norm(z - converged, axis=1) / spread)}


def _of_samples(path: Path, cells: dict[str, Path]) -> Iterator[tuple[str, Values]]:
    fast_z = "fast-z" in path.stem
    cell, real = load(path), load(path.with_name("reference.npz"))
    own, n = _frechet(cell, real), len(cell["features"])
    found: Values = {"fd_effnet": (own.value, _stderr(own), n)}
    base = "samples-ab2-v-10" if fast_z else "samples-ddim-100"  # the same solver if only z differs
    if base in cells and cells[base] != path:
        other = _frechet(load(cells[base]), real)
        found["fd_effnet gain"] = (own.value - other.value, _stderr(own, other), n)
    if "kept-ab2-v-50" in cells and not fast_z:
        converged = load(cells["kept-ab2-v-50"])["kept"]
        found["to converged"] = mean(compare(cell["kept"], converged)[1])
    yield "samples, z by ab2-v 10" if fast_z else "samples", found


def _frechet(cell: Arrays, real: Arrays) -> Jackknife:
    features = cell["features"]
    ours = Side.of(features, blocks_of(len(features)))
    return between(ours, Side.of(real["features"], real["blocks"]))


def _stderr(one: Jackknife, without: Jackknife | None = None) -> float:
    """The standard error of a distance, or of its difference to another on the same blocks."""
    parts = one.of_samples, one.of_reference
    if without is not None:
        parts = parts[0] - without.of_samples, parts[1] - without.of_reference
    return math.sqrt(sum(np.square(part).sum() for part in parts))


READERS = {"trip": _of_trip, "cross": _of_crossing, "latents": _of_latents, "samples": _of_samples}


# ----------------------------------------------------------------------------------------------
# Numbers, by their full names


STEPS = (5, 6, 8, 10, 12, 20, 50, 100)
PAPER, ROUGH = ("ddim", "uniform", 100), ("ddim", "uniform", 10)
FAST, FASTER = ("ab2-v", "power 2", 10), ("ab2-v", "power 2.5", 10)
BOTH = ("ssim", "mse")
ORDER = ("portraits", "portraits-ddim", "portraits-noise", "fashion-mnist")
SOLVERS = ("ddim", "ab2-v", "ab2-eps", "implicit-v", "dpm++2m", "heun")
How = tuple[str, str, int]
Pair = tuple[str, str]  # model and data


class Numbers:
    """The rows of solvers.csv: model, data, what, solver, grid, steps, calls, metric, value, stderr, n."""

    def __init__(self, file: Path):
        self.rows = list(pd.read_csv(file).itertuples(index=False))
        self.found = {
            (r.model, r.data, r.what, (r.solver, r.grid, r.steps), r.metric): r for r in self.rows
        }
        pairs = {
            (r.model, r.data) for r in self.rows if (r.what, r.metric) == ("round trip", "ssim")
        }
        place = lambda pair: (ORDER.index(pair[0]) if pair[0] in ORDER else 9, pair[1] == "crops")  # noqa: E731
        self.pairs: list[Pair] = sorted(pairs, key=place)
        self.models = list(dict.fromkeys(model for model, data in self.pairs if data == "held-out"))

    def __call__(self, model: str, data: str, what: str, how: How, metric: str):
        return self.found.get((model, data, what, how, metric))

    def trip(self, pair: Pair, how: How, *metrics: str) -> list:
        """Numbers of a round trip; SSIM and MSE unless others are asked for."""
        return [self(*pair, "round trip", how, metric) for metric in metrics or BOTH]

    def ways(self, what: str, model: str | None = None) -> list[How]:
        """Solver, grid and steps of every row of one kind."""
        kept = (r for r in self.rows if r.what == what and model in (None, r.model))
        place = lambda how: (SOLVERS.index(how[0]), "" if how[1] == "uniform" else how[1], how[2])  # noqa: E731
        return sorted({(r.solver, r.grid, r.steps) for r in kept}, key=place)

    def solvers(self, what: str, model: str | None = None) -> list[tuple[str, str]]:
        return list(dict.fromkeys(how[:2] for how in self.ways(what, model)))


def filled(page: str, found: Numbers) -> str:
    """A page with new tables between its marks."""
    for name, make in TABLES.items():
        before, begin, rest = page.partition(f"<!-- {name} -->\n")
        if begin:
            _, end, after = rest.partition("<!-- end -->")
            page = f"{before}{begin}\n{make(found)}\n\n{end}{after}"
    return page


# ----------------------------------------------------------------------------------------------
# Tables


def pipe(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> str:
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


def title(model: str, data: str) -> str:
    return f"{model}, {'test images' if data == 'held-out' else 'photo crops'}"


def small(number, error: bool = False) -> str:
    """A squared error with two digits."""
    if number is None:
        return ""
    if number.value < 5e-8:
        return "< 5e-8"
    return f"{number.value:.1e}" + (f" ± {number.stderr:.0e}" if error else "")


def score(number) -> str:
    return "" if number is None else f"{number.value:.4f}"


def both(found: Numbers, pair: Pair, how: How) -> str:
    ssim, mse = found.trip(pair, how)
    return f"{score(ssim)} / {small(mse)}" if ssim else ""


def against_paper(found: Numbers, first: How, how: How, first_name: str, name: str) -> str:
    """Round trips of two solvers, and whether the second is better than DDIM with 200 calls."""
    rows = []
    for pair in found.pairs:
        cells = [both(found, pair, one) for one in (first, how)]
        if all(cells):
            rows.append([title(*pair), *cells, *verdict(found, pair, how)])
    headers = ("", first_name, f"{name}, 20 calls", "SSIM: difference", "MSE: difference")
    return pipe(rows, (*headers, f"{name} is"))


def verdict(found: Numbers, pair: Pair, how: How) -> list[str]:
    """The differences to DDIM, T = 100, in SSIM and MSE on the same images, ± their errors, and a
    verdict in a word.
    """
    s, e = found.trip(pair, how, "ssim gain", "mse gain")
    if s is None or e is None:
        return ["", "", ""]
    words = dict.fromkeys((word(s.value, s.stderr), word(-e.value, e.stderr)))
    differences = [f"{s.value:+.4f} ± {s.stderr:.4f}", f"{e.value:+.1e} ± {e.stderr:.0e}"]
    return [*differences, " / ".join(words)]


def word(gain: float, stderr: float) -> str:
    """A verdict on a gain: undecided within two standard errors."""
    return "better" if gain > 2 * stderr else "worse" if gain < -2 * stderr else "undecided"


def trips(found: Numbers) -> str:
    parts = []
    for pair in found.pairs:
        rows = []
        for solver, grid in found.solvers("round trip"):
            cells = [both(found, pair, (solver, grid, steps)) for steps in STEPS]
            if any(cells):
                rows.append([f"{solver}, {grid}", *cells])
        n = max(r.n for r in found.rows if (r.model, r.data, r.metric) == (*pair, "ssim"))
        parts.append(f"{title(*pair)} ({n} images)\n\n" + pipe(rows, ("steps", *map(str, STEPS))))
    return "\n\n".join(parts)


def calls(found: Numbers) -> str:
    """The fewest calls, of the steps tried, with which both SSIM and MSE are no worse."""
    rows, solvers = [], found.solvers("round trip")
    for pair in found.pairs:
        for steps in (50, 100):
            target = found.trip(pair, ("ddim", "uniform", steps))
            if all(target):
                cells = [fewest(found, pair, solver, *target) for solver in solvers]
                rows.append([title(*pair), f"T = {steps} ({2 * steps})", *cells])
    return pipe(rows, ("", "quality of DDIM", *(f"{a}, {b}" for a, b in solvers)))


def fewest(found: Numbers, pair: Pair, solver: tuple[str, str], ssim, mse) -> str:
    most = 0
    for how in found.ways("round trip"):
        s, e = found.trip(pair, how)
        if how[:2] == solver and s and e:
            most = s.encode_calls + s.decode_calls
            if s.value >= ssim.value and e.value <= mse.value:
                return str(most)
    return f"> {most}" if most else ""


def edits(found: Numbers) -> str:
    rows = []
    for what, model in ((w, m) for w in ("edit", "midpoint") for m in found.models):
        for how in found.ways(what, model):
            metrics = ("to paper", "to converged", "logit")
            *errors, logit = (found(model, "held-out", what, how, metric) for metric in metrics)
            some = next((n for n in (*errors, logit) if n), None)
            if some and how[2] in (5, 10, 12, 20, 50, 100):
                move = f"{logit.value:.2f} ± {logit.stderr:.2f}" if logit else ""
                cells = [f"{how[0]}, {how[1]}", str(some.encode_calls + some.decode_calls)]
                rows.append([what, model, *cells, *(small(n, True) for n in errors), move])
    return pipe(rows, ("", "model", "solver", "calls", "to DDIM T = 100", "to converged", "logit"))


def samples(found: Numbers) -> str:
    rows = []
    for model in found.models:
        for what in ("samples", "samples, z by ab2-v 10"):
            for how in found.ways(what, model):
                metrics = ("fd_effnet", "fd_effnet gain", "to converged")
                fd, gain, distance = (found(model, "held-out", what, how, m) for m in metrics)
                if fd is not None:
                    name = f"{how[0]}, {how[1]}" + what.removeprefix("samples")
                    value = f"{fd.value:.1f} ± {fd.stderr:.1f}"
                    change = f"{gain.value:+.1f} ± {gain.stderr:.1f}" if gain else ""
                    cells = [name, str(fd.decode_calls), value, change, small(distance, True)]
                    rows.append([model, *cells])
    headers = ("model", "solver", "calls", "fd_effnet", "- DDIM T = 100", "MSE to converged")
    return pipe(rows, headers)


def latents(found: Numbers) -> str:
    rows, tried = [], (5, 10, 20, 50, 100, 200)
    for model in found.models:
        for solver, grid in found.solvers("latents", model):
            cells = []
            for steps in tried:
                number = found(model, "held-out", "latents", (solver, grid, steps), "to converged")
                reference = (solver, steps) == ("ab2-v", 200)
                cells.append("" if reference else score(number))
            rows.append([model, f"{solver}, {grid}", *cells])
    return pipe(rows, ("model", "solver", *map(str, tried)))


def x_T(found: Numbers) -> str:
    rows = []
    for pair in found.pairs:
        std = [found(*pair, "x_T", how, "standard deviation") for how in (PAPER, FAST, FASTER)]
        own = [found(*pair, "round trip", how, "ssim") for how in (PAPER, FAST)]
        crossed = [found(*pair, "x_T of ddim decoded", FAST, "ssim")]
        crossed += [found(*pair, "x_T of ab2-v decoded", PAPER, "ssim")]
        deviations = [f"{n.value:.3f}" if n else "" for n in std]
        rows.append([title(*pair), *deviations, *map(score, own + crossed)])
    headers = ("", "std, DDIM T = 100", "fast 10", "power 2.5, 10", "DDIM both ways")
    return pipe(rows, (*headers, "fast both ways", "DDIM's by fast", "fast's by DDIM"))


TABLES: dict[str, Callable[[Numbers], str]] = {
    "twenty": lambda found: against_paper(found, PAPER, FAST, "DDIM, 200 calls", "fast"),
    "steeper": lambda found: against_paper(found, ROUGH, FASTER, "DDIM, 20 calls", "power 2.5"),
    "trips": trips,
    "calls": calls,
    "edits": edits,
    "samples": samples,
    "latents": latents,
    "x_T": x_T,
}
