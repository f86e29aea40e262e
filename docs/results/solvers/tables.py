"""The tables of README.md and of docs/solvers.md, made of solvers.csv."""

from collections.abc import Callable, Sequence
from pathlib import Path

import summary
from summary import Number
from tabulate import tabulate

HERE = Path(__file__).parent
CSV = HERE / "solvers.csv"
PAGES = (HERE / "README.md", HERE.parents[1] / "solvers.md")
STEPS = (5, 6, 8, 10, 12, 20, 50, 100)
PAPER = ("ddim", "uniform", 100)
FAST, FASTER = ("ab2-v", "power 2", 10), ("ab2-v", "power 2.5", 10)
How = tuple[str, str, int]
BOTH = ("ssim", "mse")


class Numbers:
    """The rows of solvers.csv, by all that names them."""

    def __init__(self, rows: Sequence[Number]):
        self.rows = rows
        self.found = {
            (r.model, r.data, r.what, (r.solver, r.grid, r.steps), r.metric): r for r in rows
        }
        self.sets = sorted(
            {(r.model, r.data) for r in rows if r.what == "round trip" and r.metric == "ssim"},
            key=lambda pair: (ORDER.index(pair[0]) if pair[0] in ORDER else 9, pair[1] == "crops"),
        )
        self.models = list(dict.fromkeys(model for model, data in self.sets if data == "held-out"))

    def __call__(self, model: str, data: str, what: str, how: How, metric: str) -> Number | None:
        return self.found.get((model, data, what, how, metric))

    def ways(self, what: str, model: str | None = None) -> list[How]:
        """Solver, grid and steps of every row of a kind."""
        kept = (r for r in self.rows if r.what == what and model in (None, r.model))
        return sorted({(r.solver, r.grid, r.steps) for r in kept}, key=_place)


ORDER = ("portraits", "portraits-ddim", "portraits-noise", "fashion-mnist")
SOLVERS = ("ddim", "ab2-v", "ab2-eps", "implicit-v", "dpm++2m", "heun")


def _place(how: How) -> tuple[int, str, int]:
    return SOLVERS.index(how[0]), "" if how[1] == "uniform" else how[1], how[2]


def write(out: Path) -> None:
    """solvers.csv of the cells in `out`, if there are any, and the page's tables of solvers.csv."""
    if out.is_dir():
        summary.write(out, CSV)
    numbers = Numbers(summary.read(CSV))
    for page in PAGES:
        page.write_text(filled(page.read_text(), numbers))


def filled(page: str, numbers: Numbers) -> str:
    """A page with the tables between its marks made anew."""
    for name, make in TABLES.items():
        begin, end = f"<!-- {name} -->\n", "<!-- end -->"
        before, found, rest = page.partition(begin)
        if found:
            page = before + begin + "\n" + make(numbers) + "\n\n" + end + rest.partition(end)[2]
    return page


# ----------------------------------------------------------------------------------------------
# Cells of tables


def score(number: Number | None, error: bool = True) -> str:
    if number is None:
        return ""
    return f"{number.value:.4f}" + (f" ± {number.stderr:.4f}" if error else "")


def small(number: Number | None, error: bool = False) -> str:
    """A squared error, to two digits."""
    if number is None:
        return ""
    if number.value < 5e-8:
        return "< 5e-8"
    return f"{number.value:.1e}" + (f" ± {number.stderr:.0e}" if error else "")


def pipe(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> str:
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


def title(model: str, data: str) -> str:
    return f"{model}, {'test images' if data == 'held-out' else 'photo crops'}"


# ----------------------------------------------------------------------------------------------
# Tables


def twenty(numbers: Numbers) -> str:
    """20 calls of the fast solver against 200 of the paper's, and who wins."""
    rows = []
    for pair in numbers.sets:
        found = [trip(numbers, pair, how) for how in (PAPER, FAST)]
        if all(found):
            rows.append([title(*pair), *found, *verdict(numbers, pair, FAST)])
    headers = ("", "DDIM, 200 calls", "fast, 20 calls", "SSIM: difference", "MSE: difference")
    return pipe(rows, (*headers, "fast is"))


def steeper(numbers: Numbers) -> str:
    """The same for the grid of power 2.5, and what DDIM does with 20 calls."""
    rows = []
    for pair in numbers.sets:
        found = [trip(numbers, pair, how) for how in (("ddim", "uniform", 10), FASTER)]
        if all(found):
            rows.append([title(*pair), *found, *verdict(numbers, pair, FASTER)])
    headers = ("", "DDIM, 20 calls", "power 2.5, 20 calls", "SSIM: difference", "MSE: difference")
    return pipe(rows, (*headers, "power 2.5 is"))


def trip(numbers: Numbers, pair: tuple[str, str], how: How) -> str:
    ssim, mse = (numbers(*pair, "round trip", how, metric) for metric in BOTH)
    return f"{score(ssim, False)} / {small(mse)}" if ssim else ""


def verdict(numbers: Numbers, pair: tuple[str, str], how: How) -> list[str]:
    """The differences to DDIM, T = 100, in SSIM and MSE on the same images, ± their errors, and a word."""
    s, e = (numbers(*pair, "round trip", how, f"{metric} gain") for metric in BOTH)
    if s is None or e is None:
        return ["", "", ""]
    words = {word(s.value, s.stderr), word(-e.value, e.stderr)}
    return [
        f"{s.value:+.4f} ± {s.stderr:.4f}",
        f"{e.value:+.1e} ± {e.stderr:.0e}",
        words.pop()
        if len(words) == 1
        else f"{word(s.value, s.stderr)} / {word(-e.value, e.stderr)}",
    ]


def word(gain: float, stderr: float) -> str:
    """Two standard errors decide."""
    return "better" if gain > 2 * stderr else "worse" if gain < -2 * stderr else "undecided"


def trips(numbers: Numbers) -> str:
    parts = []
    for pair in numbers.sets:
        rows = []
        for solver, grid in dict.fromkeys(how[:2] for how in numbers.ways("round trip")):
            cells = []
            for steps in STEPS:
                cells.append(trip(numbers, pair, (solver, grid, steps)))
            if any(cells):
                rows.append([f"{solver}, {grid}", *cells])
        n = {r.n for r in numbers.rows if (r.model, r.data) == pair and r.metric == "ssim"}
        parts.append(
            f"{title(*pair)} ({max(n)} images)\n\n" + pipe(rows, ("steps", *map(str, STEPS)))
        )
    return "\n\n".join(parts)


def calls(numbers: Numbers) -> str:
    """The fewest calls, of the steps tried, at which both SSIM and MSE are no worse."""
    rows = []
    solvers = list(dict.fromkeys(how[:2] for how in numbers.ways("round trip")))
    for pair in numbers.sets:
        for steps in (50, 100):
            target = [numbers(*pair, "round trip", ("ddim", "uniform", steps), m) for m in BOTH]
            if target[0] is None or target[1] is None:
                continue
            cells = [fewest(numbers, pair, solver, target[0], target[1]) for solver in solvers]
            rows.append([title(*pair), f"T = {steps} ({2 * steps})", *cells])
    return pipe(rows, ("", "quality of DDIM", *(f"{a}, {b}" for a, b in solvers)))


def fewest(
    numbers: Numbers, pair: tuple[str, str], solver: tuple[str, ...], ssim: Number, mse: Number
) -> str:
    tried = [how for how in numbers.ways("round trip") if how[:2] == solver]
    most = 0
    for how in tried:
        s, e = (numbers(*pair, "round trip", how, metric) for metric in BOTH)
        if s is None or e is None:
            continue
        most = s.encode_calls + s.decode_calls
        if s.value >= ssim.value and e.value <= mse.value:
            return str(most)
    return f"> {most}" if most else ""


def edits(numbers: Numbers) -> str:
    rows = []
    for what, model in ((w, m) for w in ("edit", "midpoint") for m in numbers.models):
        for how in numbers.ways(what, model):
            found = [numbers(model, "held-out", what, how, m) for m in ("to paper", "to converged")]
            logit = numbers(model, "held-out", what, how, "logit")
            any_number = next((n for n in (*found, logit) if n), None)
            if any_number and how[2] in (5, 10, 12, 20, 50, 100):
                cost = str(any_number.encode_calls + any_number.decode_calls)
                move = f"{logit.value:.2f} ± {logit.stderr:.2f}" if logit else ""
                name = f"{how[0]}, {how[1]}"
                errors = [small(n, True) for n in found]
                rows.append([what, model, name, cost, *errors, move])
    return pipe(rows, ("", "model", "solver", "calls", "to DDIM T = 100", "to converged", "logit"))


def samples(numbers: Numbers) -> str:
    rows = []
    for model in numbers.models:
        for what in ("samples", "samples, z by ab2-v 10"):
            for how in numbers.ways(what, model):
                fd, gain, distance = (
                    numbers(model, "held-out", what, how, metric)
                    for metric in ("fd_effnet", "fd_effnet gain", "to converged")
                )
                if fd is not None:
                    name = f"{how[0]}, {how[1]}" + what.removeprefix("samples")
                    value = f"{fd.value:.1f} ± {fd.stderr:.1f}"
                    change = f"{gain.value:+.1f} ± {gain.stderr:.1f}" if gain else ""
                    rows.append(
                        [model, name, str(fd.decode_calls), value, change, small(distance, True)]
                    )
    headers = ("model", "solver", "calls", "fd_effnet", "- DDIM T = 100", "MSE to converged")
    return pipe(rows, headers)


def latents(numbers: Numbers) -> str:
    rows = []
    for model in numbers.models:
        for solver, grid in dict.fromkeys(how[:2] for how in numbers.ways("latents", model)):
            cells = []
            for steps in (5, 10, 20, 50, 100, 200):
                found = numbers(model, "held-out", "latents", (solver, grid, steps), "to converged")
                reference = (solver, steps) == ("ab2-v", 200)
                cells.append("" if found is None or reference else f"{found.value:.4f}")
            rows.append([model, f"{solver}, {grid}", *cells])
    return pipe(rows, ("model", "solver", "5", "10", "20", "50", "100", "200"))


def x_T(numbers: Numbers) -> str:
    rows = []
    for pair in numbers.sets:
        std = [numbers(*pair, "x_T", how, "standard deviation") for how in (PAPER, FAST, FASTER)]
        crossed = (
            numbers(*pair, "x_T of ddim decoded", FAST, "ssim"),
            numbers(*pair, "x_T of ab2-v decoded", PAPER, "ssim"),
        )
        own = (numbers(*pair, "round trip", how, "ssim") for how in (PAPER, FAST))
        deviations = [f"{n.value:.3f}" if n else "" for n in std]
        rows.append([title(*pair), *deviations, *(score(n, False) for n in (*own, *crossed))])
    headers = ("", "std, DDIM T = 100", "fast 10", "power 2.5, 10", "DDIM both ways")
    return pipe(rows, (*headers, "fast both ways", "DDIM's by fast", "fast's by DDIM"))


def ffhq128(numbers: Numbers) -> str:
    rows = []
    for how in numbers.ways("either way"):
        found = [
            numbers("ffhq128 layout", "noise", "either way", how, f"{part} to converged")
            for part in ("image", "x_T")
        ]
        rows.append([f"{how[0]}, {how[1]}", str(how[2]), *map(small, found)])
    return pipe(rows, ("solver", "calls", "decoding: MSE of the image", "encoding: MSE of x_T"))


def speed(numbers: Numbers) -> str:
    found = numbers("portraits", "crops", "round trip", FAST, "times as fast")
    return f"{found.value:.2f} ± {found.stderr:.2f} times as fast" if found else "not measured"


TABLES: dict[str, Callable[[Numbers], str]] = {
    "twenty": twenty,
    "steeper": steeper,
    "trips": trips,
    "calls": calls,
    "edits": edits,
    "samples": samples,
    "latents": latents,
    "x_T": x_T,
    "ffhq128": ffhq128,
    "speed": speed,
}
