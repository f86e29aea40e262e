"""Write the tables of results in README.md, docs/systems.md and docs/results, and the index of docs/results, from committed files.

    python docs/results/readme.py            lists the pages that are stale: exit status 1 if any is
    python docs/results/readme.py --write    writes them again, between their markers

README.md uses `benchmarks/baseline/records.csv`, the page of a folder here the CSV files in it, the table of small systems
the packaged files, the index the first lines of scripts and pages. The text of a page explains its numbers; nothing between
the markers is typed by hand.
"""

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from measure import table
from safetensors import safe_open

from benchmarks import systems
from benchmarks.systems.shared import folder as packages
from reports.records.record import Record
from reports.tables.numbers import error_text, value_text

ROOT = Path(__file__).parents[2]
HERE = ROOT / "docs" / "results"
BASELINE = ROOT / "benchmarks" / "baseline"


# ----------------------------------------------------------------------------------------------
# Numbers


class Numbers:
    """The numbers of a run: one of a system by table, metric, setting, T and solver."""

    def __init__(self, rows: Iterable[dict[str, str]]):
        kinds = {"steps": int, "value": float, "stderr": float, "n": int}
        texts = ("benchmark", "table", "system", "dataset", "split", "setting", "metric")
        self.records = []
        for row in rows:
            values = {k: kind(row[k]) if row[k] else None for k, kind in kinds.items()}
            solver = row.get("solver") or ("ddim" if row["steps"] else "")
            record = Record(**{k: row[k] for k in texts}, **values, solver=solver)  # type: ignore[arg-type]
            self.records += [record] if record.value is not None else []

    def one(
        self,
        system: str,
        table: str,
        metric: str,
        setting: str = "",
        steps: int | None = None,
        solver: str = "",
    ) -> Record | None:
        """One number; for a system that takes no steps, the one without T."""
        place = (table, metric, setting, system)
        ours = [r for r in self.records if (r.table, r.metric, r.setting, r.system) == place]
        ours = [r for r in ours if not r.steps or solver in ("", r.solver)]
        found = [r for r in ours if r.steps == steps] or [r for r in ours if r.steps is None]
        if len({r.value for r in found}) > 1:
            raise SystemExit(f"{system}: several numbers are {place}, T = {steps}")
        return found[0] if found else None

    def of(self, table: str, system: str = "") -> list[Record]:
        return [r for r in self.records if r.table == table and system in ("", r.system)]

    def largest(self, table: str) -> tuple[int, str, int | None]:
        """The largest T of DiffAE in a table, its solver as typed on a command line if it is not the paper's, and its n."""
        last = max((r for r in self.of(table, "DiffAE") if r.steps), key=lambda r: r.steps or 0)
        return last.steps or 0, "`fast`, " if last.solver == FAST else "", last.n


def read(folder: Path) -> Numbers:
    """The numbers of `folder`: of its records.csv, or of the CSV files of its tables/, which have fewer columns."""
    whole = folder / "records.csv"
    paths = [whole] if whole.exists() else sorted((folder / "tables").glob("*.csv"))
    texts = (path.read_text(encoding="utf-8").splitlines() for path in paths)
    return Numbers(row for text in texts for row in csv.DictReader(text))


SYSTEMS = ("DiffAE", "DDIM", "pixels + PCA", "random encoder")
INVERTED, RANDOM, REAL = "x_T inverted", "x_T random", "real images (test)"
TABLE1, TABLE2, CALLS = "table1_reconstruction", "table2_ablation", "table2_by_calls"
PROBE, SAMPLES, PATHS = "section5.3_probe", "table4_unconditional_fid", "appendix_f_smoothness"
VARIATION, NEAREST = "figure3_variation", "appendix_c_memorisation"
FAST = "ab2-v"
Ask = tuple[object, ...]  # of `Numbers.one`, without the system
Row = (
    tuple[str, list[Ask]] | tuple[str, list[Ask], Ask]
)  # its name, the numbers of a cell, and a text instead of all of these


def text(record: Record | None) -> str:
    return "" if record is None else value_text(record) + error_text(record)


def by_systems(numbers: Numbers, rows: Sequence[Row], shown: dict[str, str]) -> str:
    """A table with a column for each system, without empty rows."""

    def cell(system: str, asks: list[Ask], *instead: Ask) -> str:
        found = [text(numbers.one(system, *ask)) for ask in asks]
        found = found if any(found) else [text(numbers.one(system, *ask)) for ask in instead]
        return " / ".join(filter(None, found))

    lines = [[name, *(cell(system, *asks) for system in shown)] for name, *asks in rows]
    return table([line for line in lines if any(line[1:])], ["", *shown.values()])


def same(names: Iterable[str]) -> dict[str, str]:
    return {name: name for name in names}


# ----------------------------------------------------------------------------------------------
# Tables


def in_short(folder: Path) -> str:
    """The main results of a run with the default systems."""
    numbers = read(folder)
    settings = {r.setting for r in numbers.of(PROBE, "DiffAE")}
    attributes = len(settings - {"mean", "prevalence-weighted mean", ""})
    steps, solver, _ = numbers.largest(SAMPLES)
    real = numbers.one(REAL, SAMPLES, "fd_effnet")
    beside = f" (real images: {value_text(real)})" if real else ""
    at = {t: (TABLE2, "ssim", INVERTED, t) for t in (10, 20, 50, 100)}
    fast = [(CALLS, "ssim", INVERTED, t, FAST) for t in (5, 10)]
    rows: list[Row] = [
        ("SSIM, T = 10 / 20", [at[10], at[20]], (TABLE1, "ssim")),
        ("SSIM, T = 50 / 100", [at[50], at[100]]),
        ("SSIM by the `fast` solver, 10 / 20 calls (T = 5 / 10)", fast),
        ("SSIM, z_sem alone (x_T random), T = 100", [(TABLE2, "ssim", RANDOM, 100)]),
        (f"mean AUROC, {attributes} attributes", [(PROBE, "auroc", "mean")]),
        paths(numbers),
        (
            f"samples (`fd_effnet`), {solver}T = {steps}{beside}",
            [(SAMPLES, "fd_effnet", "", steps)],
        ),
    ]
    return by_systems(numbers, rows, same(SYSTEMS))


def paths(numbers: Numbers) -> Row:
    steps, solver, pairs = numbers.largest(PATHS)
    asks = [(PATHS, "ppl_effnet", setting, steps) for setting in ("mean", "median")]
    return f"path length (`ppl_effnet`), {solver}T = {steps}, mean / median of {pairs} pairs", asks


def every_system(folder: Path) -> str:
    """An excerpt of Table 1: the code of each system, and the quality of reconstructions."""
    numbers, lines = read(folder), []
    metrics = {
        "latent_dim": "latent size",
        "ssim": "SSIM",
        "pd_effnet": "`pd_effnet`",
        "mse": "MSE",
    }
    metrics["rfd_effnet"] = "`rfd_effnet`"
    for place in dict.fromkeys((r.system, r.setting, r.steps) for r in numbers.of(TABLE1)):
        system, setting, steps = place
        name = ", ".join(filter(None, (system, setting, f"T = {steps}" if steps else "")))
        found = [numbers.one(system, TABLE1, metric, setting, steps) for metric in metrics]
        lines.append([name, *map(text, found)])
    return table(lines, ["", *metrics.values()])


def of_photographs(folder: Path) -> str:
    """The results of a model of a few hundred photographs, with PCA of equally many numbers and held-out photographs."""
    numbers = read(folder)
    sizes = [
        r.value for r in numbers.records if r.metric == "latent_dim" and r.setting in (RANDOM, "")
    ]
    fast = [(CALLS, "ssim", INVERTED, t, FAST) for t in (5, 10)]
    varied = [(VARIATION, "pixel_std", f"{code} varies", 10) for code in ("x_T", "z_sem")]
    nearest = [(NEAREST, "nn_pixels", of, 10) for of in ("median", "5th percentile")]
    alone: list[Row] = [
        (f"{name} of {sizes[0]:.0f} numbers alone (x_T random, `fast`, T = 10)", [(CALLS, metric, RANDOM, 10, FAST)], (TABLE1, metric))
        for metric, name in {"ssim": "SSIM", "mse": "MSE", "pd_effnet": "`pd_effnet`"}.items()
    ]  # fmt: skip
    rows: list[Row] = [
        ("SSIM of (z_sem, x_T), `fast`, 10 / 20 calls", fast),
        *alone,
        ("deviation of a pixel, x_T varies / z_sem varies", varied),
        paths(numbers),
        ("new samples, `fd_effnet`", [(SAMPLES, "fd_effnet", "", 10)]),
        ("nearest training photograph of a sample, `nn_pixels`, median / 5th percentile", nearest),
    ]
    shown = same(("DiffAE", "pixels + PCA")) | {REAL: "held-out photographs"}
    return by_systems(numbers, rows, shown)


def of_recipes(folder: Path) -> str:
    """The main results of a run of several autoencoders, with the pixels."""
    numbers = read(folder)
    steps = sorted({r.steps for r in numbers.of(TABLE2) if r.steps})
    named = " / ".join(map(str, steps))
    inverted, alone = ([(TABLE2, "ssim", x_T, t) for t in steps] for x_T in (INVERTED, RANDOM))
    samples = [(SAMPLES, "fd_effnet", "", t) for t in steps]
    rows: list[Row] = [
        (f"SSIM of (z_sem, x_T), T = {named}", inverted, (TABLE1, "ssim")),
        (f"SSIM of z_sem alone (x_T random), T = {named}", alone),
        ("mean AUROC, 40 attributes", [(PROBE, "auroc", "mean")]),
        (f"samples (`fd_effnet`), `fast`, T = {named}", samples),
    ]
    own = [r.system for r in numbers.of(TABLE2)]
    return by_systems(numbers, rows, same([*own, "pixels + PCA", "random encoder"]))


def by_steps(folder: Path, *metrics: str) -> str:
    """Metrics by T of each system of Table 2, with the image's own x_T and with a random one."""
    numbers, made = read(folder), []
    ours = numbers.of(TABLE2)
    steps = sorted({r.steps for r in ours if r.steps})
    places = sorted(dict.fromkeys((r.system, r.setting) for r in ours), key=lambda place: place[1])
    for metric in metrics:
        lines = []
        for system, setting in places:
            cells = [text(numbers.one(system, TABLE2, metric, setting, t)) for t in steps]
            lines.append([f"{system}, {setting}", *cells])
        made.append(table(lines, [metric.upper(), *(f"T = {t}" for t in steps)]))
    return "\n\n".join(made)


def small_systems() -> str:
    """The cost of the small versions of other systems, from the packaged files."""
    rows = []
    for name in ("vqgan", "vqvae2", "nvae", "stylegan2", "d2c"):
        found = packages.packaged(name)
        stages = json.loads((found / "training.json").read_text())["stages"].values()
        with safe_open(found / packages.WEIGHTS, "pt") as file:
            parameters = sum(file.get_tensor(key).numel() for key in file.keys())
        both = ("stylegan2-w", "stylegan2-wplus") if name == "stylegan2" else (name,)
        loaded = [systems.load(one) for one in both]
        cells = [f"{parameters:,}", ", ".join(f"{one.latent_dim:,}" for one in loaded)]
        cells += [" + ".join(f"{stage['examples']:,}" for stage in stages)]
        cells += [f"{sum(stage['seconds'] for stage in stages) / 60:.0f}"]
        cells += [f"{(found / packages.WEIGHTS).stat().st_size / 2**20:.1f}"]
        rows.append([", ".join(one.title for one in loaded), *cells])
    headers = ["system", "parameters", "numbers a code", "images seen", "minutes", "MiB"]
    return table(rows, headers)


def index() -> str:
    """Every script, folder and page here with its first line."""
    lines = []
    for path in sorted(HERE.iterdir()):
        page = path / "README.md" if path.is_dir() else path
        if page.suffix in (".py", ".md") and page.exists() and path.stem not in HELPERS:
            first = page.read_text(encoding="utf-8").splitlines()[0]
            lines.append([f"[{path.name}]({page.relative_to(HERE)})", first.strip('#" ')])
    return table(lines, ["", "what it asks"])


HELPERS = ("README", "readme", "measure")


# ----------------------------------------------------------------------------------------------
# Pages


def pages() -> dict[Path, Callable[[], str]]:
    """Every page with results between markers, and the functions that write them."""
    of_folders: dict[str, Callable[[Path], str]] = {
        "fashion-mnist": in_short,
        "small": of_photographs,
        "equal-training": lambda folder: by_steps(folder, "ssim"),
        "paper-recipe": of_recipes,
        "sizes-of-z": lambda folder: by_steps(folder, "ssim", "mse"),
        "all-systems": every_system,
    }
    return {
        ROOT / "README.md": lambda: in_short(BASELINE),
        ROOT / "docs" / "systems.md": small_systems,
        HERE / "README.md": index,
    } | {HERE / name / "README.md": partial(make, HERE / name) for name, make in of_folders.items()}


def renewed(page: Path, made: str) -> str:
    """The text of `page` with `made` between its markers."""
    before, begin, rest = page.read_text(encoding="utf-8").partition("<!-- results -->\n")
    _, end, after = rest.partition("<!-- end of results -->")
    if not begin or not end:
        raise SystemExit(f"{page}: no {begin} ... <!-- end of results -->")
    return f"{before}{begin}\n{made}\n\n{end}{after}"


def stale() -> dict[Path, str]:
    """The pages that are not up to date, with their new text."""
    made = {page: renewed(page, make()) for page, make in pages().items()}
    return {page: text for page, text in made.items() if text != page.read_text(encoding="utf-8")}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="make them anew")
    write = parser.parse_args().write
    found = stale()
    for page, text in found.items():
        print(f"{page.relative_to(ROOT)}: {'made anew' if write else 'stale'}")
        if write:
            page.write_text(text, encoding="utf-8")
    return 1 if found and not write else 0


if __name__ == "__main__":
    sys.exit(main())
