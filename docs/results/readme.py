"""The tables of results in README.md and in docs/results, and the index of docs/results, made of what is committed.

    python docs/results/readme.py            says which pages are stale: exit status 1 if any is
    python docs/results/readme.py --write    makes them anew, between their markers `<!-- results -->` and `<!-- end of results -->`

README.md is made of `benchmarks/baseline/records.csv`, the page of a folder here of the CSV files in it, the index of the scripts' own
first lines. A page says what its numbers are; nothing is typed by hand between the markers.
"""

import argparse
import ast
import csv
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from reports.numbers import error_text, value_text
from reports.records import Record

ROOT = Path(__file__).parents[2]
HERE = ROOT / "docs" / "results"
BASELINE = ROOT / "benchmarks" / "baseline"
BEGIN, END = "<!-- results -->\n", "<!-- end of results -->"


# ----------------------------------------------------------------------------------------------
# Numbers


def read(folder: Path) -> list[Record]:
    """The numbers of `folder`: of its records.csv, or of the CSV files of its tables/, whatever version wrote them."""
    whole = folder / "records.csv"
    paths = [whole] if whole.exists() else sorted((folder / "tables").glob("*.csv"))
    if not paths:
        raise SystemExit(f"{folder}: neither records.csv nor tables/*.csv")
    rows: list[dict[str, str]] = []
    for path in paths:
        with path.open(newline="", encoding="utf-8") as file:
            rows += csv.DictReader(file)
    return [_record(row) for row in rows]


def _record(row: dict[str, str]) -> Record:
    def number(name: str) -> float | None:
        return float(row[name]) if row[name] else None

    return Record(
        benchmark=row["benchmark"], table=row["table"], system=row["system"], dataset=row["dataset"], split=row["split"],
        setting=row["setting"], steps=int(row["steps"]) if row["steps"] else None, metric=row["metric"],
        value=number("value"), stderr=number("stderr"), n=int(row["n"]) if row["n"] else None,
        solver=row.get("solver") or ("ddim" if row["steps"] else ""),
    )  # fmt: skip


@dataclass(frozen=True)
class Ask:
    """One number of a system; of one that takes no steps the number without T."""

    table: str
    metric: str
    setting: str = ""
    steps: int | None = None
    solver: str = ""

    def of(self, numbers: Iterable[Record], system: str) -> Record | None:
        place = (self.table, self.metric, self.setting, system)
        ours = [
            r
            for r in numbers
            if (r.table, r.metric, r.setting, r.system) == place and r.value is not None
        ]
        ours = [r for r in ours if not r.steps or not self.solver or r.solver == self.solver]
        found = [r for r in ours if r.steps == self.steps] or [r for r in ours if r.steps is None]
        if len({r.value for r in found}) > 1:
            raise SystemExit(f"{system}: several numbers are {self}")
        return found[0] if found else None


@dataclass(frozen=True)
class Row:
    """A row: its name, and the numbers of each cell; `instead` is that of a system that has none of them."""

    name: str
    asks: tuple[Ask, ...]
    instead: Ask | None = None

    def cell(self, numbers: Iterable[Record], system: str) -> str:
        found = [ask.of(numbers, system) for ask in self.asks]
        if not any(found) and self.instead:
            found = [self.instead.of(numbers, system)]
        return " / ".join(value_text(r) + error_text(r) for r in found if r)


SYSTEMS = ("DiffAE", "DDIM", "pixels + PCA", "random encoder")
INVERTED, RANDOM, REAL = "x_T inverted", "x_T random", "real images (test)"
TABLE1, TABLE2, CALLS = "table1_reconstruction", "table2_ablation", "table2_by_calls"
PROBE, SAMPLES, PATHS = "section5.3_probe", "table4_unconditional_fid", "appendix_f_smoothness"
VARIATION, NEAREST = "figure3_variation", "appendix_c_memorisation"
FAST = "ab2-v"


def in_short(numbers: list[Record]) -> str:
    """The heart of a run with the default systems."""
    at = {t: Ask(TABLE2, "ssim", INVERTED, t) for t in (10, 20, 50, 100)}
    fast = tuple(Ask(CALLS, "ssim", INVERTED, t, FAST) for t in (5, 10))
    rows = [
        Row("SSIM, T = 10 / 20", (at[10], at[20]), instead=Ask(TABLE1, "ssim")),
        Row("SSIM, T = 50 / 100", (at[50], at[100])),
        Row("SSIM by the `fast` solver, 10 / 20 calls (T = 5 / 10)", fast),
        Row("SSIM, z_sem alone (x_T random), T = 100", (Ask(TABLE2, "ssim", RANDOM, 100),)),
        Row(f"mean AUROC, {_attributes(numbers)}", (Ask(PROBE, "auroc", "mean"),)),
        _paths(numbers),
        _samples(numbers),
    ]
    lines = [[row.name, *(row.cell(numbers, system) for system in SYSTEMS)] for row in rows]
    return tabulate(
        [line for line in lines if any(line[1:])],
        ["", *SYSTEMS],
        tablefmt="pipe",
        disable_numparse=True,
    )


def _attributes(numbers: list[Record]) -> str:
    settings = {r.setting for r in numbers if r.table == PROBE and r.system == "DiffAE"}
    return f"{len(settings - {'mean', 'prevalence-weighted mean', ''})} attributes"


def _paths(numbers: list[Record]) -> Row:
    steps, solver, pairs = _largest(numbers, PATHS)
    asks = tuple(Ask(PATHS, "ppl_effnet", setting, steps) for setting in ("mean", "median"))
    return Row(
        f"path length (`ppl_effnet`), {solver}T = {steps}, mean / median of {pairs} pairs", asks
    )


def _samples(numbers: list[Record]) -> Row:
    steps, solver, _ = _largest(numbers, SAMPLES)
    real = Ask(SAMPLES, "fd_effnet").of(numbers, REAL)
    beside = f" (real images: {value_text(real)})" if real else ""
    return Row(
        f"samples (`fd_effnet`), {solver}T = {steps}{beside}",
        (Ask(SAMPLES, "fd_effnet", steps=steps),),
    )


def _largest(numbers: list[Record], table: str) -> tuple[int, str, int | None]:
    """The largest T of DiffAE in a table, its solver as people type it where it is not the paper's, and its n."""
    ours = [r for r in numbers if (r.table, r.system) == (table, "DiffAE") and r.steps]
    last = max(ours, key=lambda r: r.steps or 0, default=None)
    if last is None:
        return 0, "", None
    return last.steps or 0, "`fast`, " if last.solver == FAST else "", last.n


def every_system(numbers: list[Record]) -> str:
    """Table 1 in short: what each system's code is, and what comes back of an image."""
    metrics = {
        "latent_dim": "latent size",
        "ssim": "SSIM",
        "pd_effnet": "`pd_effnet`",
        "mse": "MSE",
        "rfd_effnet": "`rfd_effnet`",
    }
    ours = [r for r in numbers if r.table == TABLE1 and r.value is not None]
    places = dict.fromkeys((r.system, r.setting, r.steps) for r in ours)
    lines = []
    for system, setting, steps in places:
        found = [Ask(TABLE1, metric, setting, steps).of(ours, system) for metric in metrics]
        name = ", ".join(
            part for part in (system, setting, f"T = {steps}" if steps else "") if part
        )
        lines.append([name, *("" if r is None else value_text(r) + error_text(r) for r in found)])
    return tabulate(lines, ["", *metrics.values()], tablefmt="pipe", disable_numparse=True)


def of_photographs(numbers: list[Record]) -> str:
    """What a model of a few hundred photographs can do, beside PCA of as many numbers and held-out photographs."""
    rows = [
        Row("SSIM of (z_sem, x_T), `fast`, 10 / 20 calls", (_by_calls("ssim", INVERTED, 5), _by_calls("ssim", INVERTED, 10))),
        *_code_alone(numbers),
        Row("deviation of a pixel, x_T varies / z_sem varies", tuple(Ask(VARIATION, "pixel_std", f"{code} varies", 10) for code in ("x_T", "z_sem"))),
        _paths(numbers),
        Row("new samples, `fd_effnet`", (Ask(SAMPLES, "fd_effnet", steps=10),)),
        Row("nearest training photograph of a sample, `nn_pixels`, median / 5th percentile", tuple(Ask(NEAREST, "nn_pixels", of, 10) for of in ("median", "5th percentile"))),
    ]  # fmt: skip
    systems = {"DiffAE": "DiffAE", "pixels + PCA": "pixels + PCA", REAL: "held-out photographs"}
    lines = [[row.name, *(row.cell(numbers, system) for system in systems)] for row in rows]
    measured = [line for line in lines if any(line[1:])]
    return tabulate(measured, ["", *systems.values()], tablefmt="pipe", disable_numparse=True)


def _code_alone(numbers: list[Record]) -> list[Row]:
    """What comes back of z_sem with a random x_T, and of as many principal components."""
    (size,) = {r.value for r in numbers if r.metric == "latent_dim" and r.setting in (RANDOM, "")}
    metrics = {"ssim": "SSIM", "mse": "MSE", "pd_effnet": "`pd_effnet`"}
    return [
        Row(f"{name} of {size:.0f} numbers alone (x_T random, `fast`, T = 10)", (_by_calls(metric, RANDOM, 10),), Ask(TABLE1, metric))
        for metric, name in metrics.items()
    ]  # fmt: skip


def _by_calls(metric: str, setting: str, steps: int) -> Ask:
    return Ask(CALLS, metric, setting, steps, FAST)


def of_recipes(numbers: list[Record]) -> str:
    """The heart of a run of several autoencoders, beside the pixels."""
    steps = sorted({r.steps for r in numbers if r.table == TABLE2 and r.steps})
    own = [r.system for r in numbers if r.table == TABLE2]
    named = " / ".join(map(str, steps))
    rows = [
        Row(f"SSIM of (z_sem, x_T), T = {named}", tuple(Ask(TABLE2, "ssim", INVERTED, t) for t in steps), Ask(TABLE1, "ssim")),
        Row(f"SSIM of z_sem alone (x_T random), T = {named}", tuple(Ask(TABLE2, "ssim", RANDOM, t) for t in steps)),
        Row("mean AUROC, 40 attributes", (Ask(PROBE, "auroc", "mean"),)),
        Row(f"samples (`fd_effnet`), `fast`, T = {named}", tuple(Ask(SAMPLES, "fd_effnet", steps=t) for t in steps)),
    ]  # fmt: skip
    systems = [*dict.fromkeys(own), "pixels + PCA", "random encoder"]
    lines = [[row.name, *(row.cell(numbers, system) for system in systems)] for row in rows]
    return tabulate(lines, ["", *systems], tablefmt="pipe", disable_numparse=True)


def by_steps(numbers: list[Record], metric: str = "ssim") -> str:
    """A metric by T of each system of Table 2, with the image's own x_T and with a random one."""
    ours = [r for r in numbers if r.table == TABLE2 and r.value is not None]
    steps = sorted({r.steps for r in ours if r.steps})
    lines = []
    for system, setting in dict.fromkeys((r.system, r.setting) for r in ours):
        cells = [Ask(TABLE2, metric, setting, t).of(ours, system) for t in steps]
        texts = ["" if r is None else value_text(r) + error_text(r) for r in cells]
        lines.append([f"{system}, {setting}", *texts])
    lines.sort(key=lambda line: line[0].rpartition(", ")[2])
    head = [metric.upper(), *(f"T = {t}" for t in steps)]
    return tabulate(lines, head, tablefmt="pipe", disable_numparse=True)


# ----------------------------------------------------------------------------------------------
# The index


def index() -> str:
    """Every script, folder and page here: what it asks, and the commands that made it."""
    lines = []
    for path in sorted(HERE.iterdir()):
        page = path / "README.md" if path.is_dir() else path
        if (
            page.suffix not in (".py", ".md")
            or not page.exists()
            or path.stem in ("README", "readme")
        ):
            continue
        title, commands = (_script if page.suffix == ".py" else _page)(page)
        if not commands:
            raise SystemExit(f"{page}: names no command that made it")
        cell = "<br>".join(f"`{command}`" for command in commands).replace("|", "\\|")
        lines.append([f"[{path.name}]({page.relative_to(HERE)})", title, cell])
    return tabulate(lines, ["", "what it asks", "made by"], tablefmt="pipe")


def _script(path: Path) -> tuple[str, list[str]]:
    """The first line of a script's docstring, and the commands in it."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.splitlines()[0], _commands(text)


def _page(path: Path) -> tuple[str, list[str]]:
    """The title of a page and the commands of its first block; without one, those of the script of its name."""
    text = path.read_text(encoding="utf-8")
    script = path.with_suffix(".py")
    commands = _script(script)[1] if script.exists() else _commands(text)
    return text.splitlines()[0].removeprefix("# "), commands or re.findall(
        r"`(python [^`]+)`", text
    )[:1]


def _commands(text: str) -> list[str]:
    """Those of the first block that has any, without what is said of them."""
    block = re.search(r"(?:^ *(?:\w+=\S+ )?(?:python|apt-get) .*\n?)+", text, re.M)
    return (
        [re.split(r" {2,}(?!-)", line.strip())[0] for line in block[0].splitlines()]
        if block
        else []
    )


# ----------------------------------------------------------------------------------------------
# Pages


def pages() -> dict[Path, Callable[[], str]]:
    """Every page with results between markers, and what makes them."""
    found: dict[Path, Callable[[], str]] = {
        ROOT / "README.md": lambda: in_short(read(BASELINE)),
        HERE / "fashion-mnist" / "README.md": lambda: in_short(read(HERE / "fashion-mnist")),
        HERE / "README.md": index,
    }
    small = HERE / "small"
    if (small / "records.csv").exists():
        found[small / "README.md"] = lambda: of_photographs(read(small))
    equal, recipe = HERE / "equal-training", HERE / "paper-recipe"
    found[equal / "README.md"] = lambda: by_steps(read(equal))
    found[recipe / "README.md"] = lambda: of_recipes(read(recipe))
    sizes = HERE / "sizes-of-z"
    found[sizes / "README.md"] = lambda: "\n\n".join(
        by_steps(read(sizes), m) for m in ("ssim", "mse")
    )
    systems = HERE / "all-systems"
    if (systems / "README.md").exists():  # Table 1 with every system of this package
        found[systems / "README.md"] = lambda: every_system(read(systems))
    return found


def renewed(page: Path, made: str) -> str:
    """The text of `page` with what was `made` between its markers."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{page}: no {BEGIN.strip()} ... {END}")
    return f"{before}{BEGIN}\n{made}\n\n{END}{after}"


def stale() -> dict[Path, str]:
    """The pages that are not what they would be made, and that."""
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
