"""Write the tables of results in README.md, docs and docs/results, and the index of docs/results, from committed files.

    python docs/results/readme.py            lists the pages that are stale: exit status 1 if any is
    python docs/results/readme.py --write    writes them again, between their markers

README.md uses `benchmarks/baseline/records.csv`, the page of a folder here the CSV files in it,
the index the first lines of scripts and pages. The text of a page explains its numbers; nothing between the markers is
typed by hand.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
from latent.analysis import tables as correlations
from measure import table
from photographs import claims
from solvers import tables as of_solvers

from reports.records.metrics import with_stand_ins
from reports.records.reading import joined
from reports.records.run_folder import RUN, read_run
from reports.tables.numbers import error_pair

ROOT = Path(__file__).parents[2]
ENTRY = ROOT / "docs" / "entries" / "portraits-300"  # a run of every system
HERE = ROOT / "docs" / "results"
BASELINE = ROOT / "benchmarks" / "baseline"


# ----------------------------------------------------------------------------------------------
# Numbers


def read(folder: Path) -> pd.DataFrame:
    """The numbers of `folder`: of its records.csv, or of the CSV files of its tables/, which have fewer columns."""
    whole = folder / "records.csv"
    paths = [whole] if whole.exists() else sorted((folder / "tables").glob("*.csv"))
    frames = [pd.read_csv(path, dtype={"setting": str}) for path in paths]
    frame = pd.concat(frames, ignore_index=True).fillna({"setting": ""})
    frame["solver"] = frame.get("solver", "ddim")
    frame = frame[frame["value"].notna()]
    return frame.assign(text=list(map(text, frame["metric"], frame["value"], frame["stderr"])))


def text(metric: str, value: float, error: float) -> str:
    return joined(*error_pair(value, None if math.isnan(error) else error, metric), by=" ± ")


def one(numbers, system, table, metric, setting="", steps=None, solver="") -> str:
    """One number and its error; for a system that takes no steps, the one without T."""
    place = {"system": system, "table": table, "metric": metric, "setting": setting}
    ours = numbers[(numbers[list(place)] == list(place.values())).all(axis=1)]
    found = ours[(ours["steps"] == steps) & ((ours["solver"] == solver) | (not solver))]
    found = ours[ours["steps"].isna()] if found.empty else found
    if found["value"].nunique() > 1:
        raise SystemExit(f"{system}: several numbers are {place}, T = {steps}")
    return "" if found.empty else found["text"].iloc[0]


def largest(numbers: pd.DataFrame, table: str) -> tuple[int, str, int]:
    """The largest T of DiffAE in a table, its solver as typed on a command line if it is not the paper's, and its n."""
    ours = numbers.query("table == @table and system == 'DiffAE'")
    last = ours.loc[ours["steps"].idxmax()]
    return int(last["steps"]), "`fast`, " if last["solver"] == FAST else "", int(last["n"])


def steps_of(numbers: pd.DataFrame, table: str) -> list[int]:
    """Every T in a table, the smallest first."""
    return sorted(numbers.query("table == @table")["steps"].dropna().unique().astype(int))


SYSTEMS = ("DiffAE", "DDIM", "pixels + PCA", "random encoder")
INVERTED, RANDOM, REAL = "x_T inverted", "x_T random", "real images (test)"
TABLE1, TABLE2, CALLS = "table1_reconstruction", "table2_ablation", "table2_by_calls"
PROBE, SAMPLES, PATHS = "section5.3_probe", "table4_unconditional_fid", "appendix_f_smoothness"
CODES = "latent_interpolation"
VARIATION, NEAREST = "figure3_variation", "appendix_c_memorisation"
FAST = "ab2-v"
BY_FAST = [(CALLS, "ssim", INVERTED, t, FAST) for t in (5, 10)]
Ask = tuple[object, ...]  # of `one`, without the system
# Its name, the numbers of a cell, and one instead of all of these.
Row = tuple[str, list[Ask]] | tuple[str, list[Ask], Ask]


def by_systems(numbers: pd.DataFrame, rows: Sequence[Row], shown: Iterable[str]) -> str:
    """A table with a column for each system, without empty rows."""
    shown = dict.fromkeys(shown)

    def cell(system: str, asks: list[Ask], *instead: Ask) -> str:
        found = [one(numbers, system, *ask) for ask in asks]
        found = found if any(found) else [one(numbers, system, *ask) for ask in instead]
        return " / ".join(filter(None, found))

    lines = [[name, *(cell(system, *asks) for system in shown)] for name, *asks in rows]
    heads = ["held-out photographs" if name == REAL else name for name in shown]
    return table([line for line in lines if any(line[1:])], ["", *heads])


def pivoted(
    numbers: pd.DataFrame, rows: pd.Series, column: str, heads: dict[object, str], corner: str = ""
) -> str:
    """A table of numbers by the row's name and by one of their columns, whose values have headings."""
    cells = numbers.assign(row=rows).drop_duplicates(["row", column, "text"])
    cells = cells.pivot(index="row", columns=column, values="text")
    cells = cells.reindex(index=rows.unique(), columns=list(heads)).fillna("")
    return table(cells.reset_index().to_numpy().tolist(), [corner, *heads.values()])


# ----------------------------------------------------------------------------------------------
# Tables


def in_short(folder: Path, brief: bool = False) -> str:
    """The main results of a run with the default systems; `brief`: without more T and path lengths."""
    numbers = read(folder)
    probed = numbers.query("table == @PROBE and system == 'DiffAE'")
    attributes = set(probed["setting"]) - {"mean", "prevalence-weighted mean", ""}
    steps, solver, _ = largest(numbers, SAMPLES)
    at = {t: (TABLE2, "ssim", INVERTED, t) for t in (10, 20, 50, 100)}
    more: list[Row] = [
        ("SSIM ↑, whole code (x_T inverted), T = 50 / 100", [at[50], at[100]]),
        ("the same by the `fast` solver, T = 5 / 10", BY_FAST),
    ]
    rows: list[Row] = [
        ("SSIM ↑, whole code (x_T inverted), T = 10 / 20", [at[10], at[20]], (TABLE1, "ssim")),
        *([] if brief else more),
        ("SSIM ↑, z_sem alone (x_T random), T = 100", [(TABLE2, "ssim", RANDOM, 100)]),
        (f"mean AUROC, {len(attributes)} attributes ↑", [(PROBE, "auroc", "mean")]),
        *([] if brief else [paths(numbers)]),
        samples(folder, numbers, solver, steps),
    ]
    return by_systems(numbers, rows, SYSTEMS)


def samples(folder: Path, numbers: pd.DataFrame, solver: str, *steps: int) -> Row:
    """The headline of Table 4, with that of real images in its name."""
    specs = read_run(folder).specs if (folder / RUN).exists() else ()
    wanted = next((spec.headline for spec in specs if spec.name == SAMPLES), ("kid", "fid"))
    measured = set(numbers.query("table == @SAMPLES")["metric"])
    metric = next(name for name in with_stand_ins(wanted) if name in measured)
    real, _, _ = one(numbers, REAL, SAMPLES, metric).partition(" ± ")
    at = f"T = {' / '.join(map(str, steps))}"
    name = f"samples: distance to real images (`{metric}`) ↓, {solver}{at} (real images: {real})"
    return name, [(SAMPLES, metric, "", t) for t in steps]


def paths(numbers: pd.DataFrame) -> Row:
    steps, solver, pairs = largest(numbers, PATHS)
    asks = [(PATHS, "ppl_effnet", setting, steps) for setting in ("mean", "median")]
    return f"path length `ppl_effnet` ↓, {solver}T = {steps}, mean / median of {pairs} pairs", asks


def every_system() -> str:
    """An excerpt of Table 1 of `ENTRY`: the code of each system, and the quality of reconstructions."""
    ours = read(ENTRY).query("table == @TABLE1")
    steps = ours["steps"].map(", T = {:.0f}".format, na_action="ignore").fillna("")
    names = ours["system"] + ours["setting"].where(ours["setting"] == "", ", " + ours["setting"])
    metrics = {"latent_dim": "latent size", "ssim": "SSIM", "pd_effnet": "`pd_effnet`"}
    heads = metrics | {"mse": "MSE", "rfd_effnet": "`rfd_effnet`"}
    return pivoted(ours, names + steps, "metric", heads)


def of_photographs(folder: Path) -> str:
    """The results of a model of a few hundred photographs, with PCA of equally many numbers and held-out photographs."""
    numbers = read(folder)
    size = one(numbers, "DiffAE", TABLE2, "latent_dim", RANDOM, 10)
    varied = [(VARIATION, "pixel_std", f"{code} varies", 10) for code in ("x_T", "z_sem")]
    nearest = [(NEAREST, "nn_pixels", of, 10) for of in ("median", "5th percentile")]
    alone: list[Row] = [
        (f"{name} of {size} numbers alone (x_T random, `fast`, T = 10)", [(CALLS, metric, RANDOM, 10, FAST)], (TABLE1, metric))
        for metric, name in {"ssim": "SSIM", "mse": "MSE", "pd_effnet": "`pd_effnet`"}.items()
    ]  # fmt: skip
    rows: list[Row] = [
        ("SSIM of (z_sem, x_T), `fast`, 10 / 20 calls", BY_FAST),
        *alone,
        ("deviation of a pixel, x_T varies / z_sem varies", varied),
        paths(numbers),
        ("new samples, `fd_effnet`", [(SAMPLES, "fd_effnet", "", 10)]),
        ("nearest training photograph of a sample, `nn_pixels`, median / 5th percentile", nearest),
    ]
    return by_systems(numbers, rows, ["DiffAE", "pixels + PCA", REAL])


def of_recipes(folder: Path) -> str:
    """The main results of a run of several autoencoders, with the pixels."""
    numbers = read(folder)
    own, steps = numbers.query("table == @TABLE2"), steps_of(numbers, TABLE2)
    named = " / ".join(map(str, steps))
    inverted, alone = ([(TABLE2, "ssim", x_T, t) for t in steps] for x_T in (INVERTED, RANDOM))
    rows: list[Row] = [
        (f"SSIM of (z_sem, x_T), T = {named}", inverted, (TABLE1, "ssim")),
        ("SSIM by `fast`, 20 calls (T = 10)", BY_FAST[1:]),
        (f"SSIM of z_sem alone (x_T random), T = {named}", alone),
        ("`rkd_effnet` of z_sem alone", [(TABLE1, "rkd_effnet", RANDOM, steps[-1])]),
        ("`ikd_effnet` of z_sem alone, `fast`, T = 10", [(CODES, "ikd_effnet", "as encoded", 10)]),
        ("mean AUROC, 40 attributes", [(PROBE, "auroc", "mean")]),
        samples(folder, numbers, "`fast`, ", *steps_of(numbers, SAMPLES)),
    ]
    shown = [*own["system"], "pixels + PCA", "random encoder"]
    return by_systems(numbers, rows, filter(set(numbers["system"]).__contains__, shown))


def printed(path: Path) -> str:
    """A CSV file as it is."""
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    return table(frame.to_numpy().tolist(), list(frame.columns))


def of_others(of: str, heads: dict[str, str]) -> str:
    """An excerpt of a table of the entries with others' models, by data and system."""
    if not PHOTOGRAPHS:
        return NONE_YET
    numbers = pd.concat(map(read, PHOTOGRAPHS), ignore_index=True)
    numbers = numbers[(numbers["table"] == of) & numbers["setting"].isin(["", "mean"])]
    rows = numbers["dataset"] + ", " + numbers["system"]
    return pivoted(numbers, rows, "metric", heads, "data, model")


def data_of_others() -> str:
    """The data of these entries: how many images, and the fingerprint."""
    runs = [json.loads((folder / RUN).read_text(encoding="utf-8")) for folder in PHOTOGRAPHS]
    lines = [
        [
            run["settings"]["data"],
            f"{sum(run['images'].values()):,}",
            run["settings"]["data_sha256"],
        ]
        for run in runs
    ]
    return table(lines, ["data", "images", "fingerprint"]) if lines else NONE_YET


def claims_on_photographs() -> str:
    """Which of the paper's results hold on the portraits, and which on CIFAR-10."""
    if not OF_CIFAR.exists():
        return NONE_YET
    heads = ["claim", "portraits", "holds", "CIFAR-10", "holds"]
    return table(claims.table(BASELINE, OF_CIFAR), heads)


def checks() -> str:
    """What other libraries compute of these runs."""
    paths = sorted((HERE / "photographs").glob("check*.csv"))
    return "\n\n".join(map(printed, paths)) or NONE_YET


ENTRIES = ROOT / "docs" / "entries"
OF_CIFAR = ENTRIES / "cifar-10"  # DiffAE and DDIM, trained on it
PHOTOGRAPHS = sorted(ENTRIES.glob("photographs-*"))  # runs of others' models
NONE_YET = "Not measured yet."
RECONSTRUCTIONS = {
    "latent_dim": "latent size",
    "psnr": "PSNR",
    "ssim": "SSIM",
    "lpips": "LPIPS",
    "rkd_effnet": "`rkd_effnet`",
}
CODES_OF_OTHERS = {"auroc": "mean AUROC", "top1": "top-1"}


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


def pages() -> dict[Path, dict[str, Callable[[], str]]]:
    """Every page with results, and the functions that write what is between markers of a name."""
    of_folders: dict[str, Callable[[Path], str]] = {
        "fashion-mnist": in_short,
        "small": of_photographs,
        "packaged": of_recipes,
        "latent": correlations,
    }
    results: dict[Path, Callable[[], str]] = {
        ROOT / "README.md": partial(in_short, BASELINE, brief=True),
        HERE / "README.md": index,
        HERE / "all-systems" / "README.md": every_system,
    }
    results |= {
        HERE / name / "README.md": partial(f, HERE / name) for name, f in of_folders.items()
    }
    rows = of_solvers.read()
    solvers = {name: partial(make, rows) for name, make in of_solvers.TABLES.items()}
    peers = {name: partial(printed, HERE / "peers" / f"{name}.csv") for name in ("numbers", "sets")}
    photographs: dict[str, Callable[[], str]] = {
        "data": data_of_others,
        "reconstructions": partial(of_others, TABLE1, RECONSTRUCTIONS),
        "codes": partial(of_others, PROBE, CODES_OF_OTHERS),
        "checks": checks,
        "claims": claims_on_photographs,
    }
    return {page: {"results": make} for page, make in results.items()} | {
        HERE / "photographs" / "README.md": photographs,
        HERE / "solvers" / "README.md": solvers,
        HERE / "peers" / "README.md": peers,
    }


def renewed(page: Path, made: Mapping[str, Callable[[], str]]) -> str:
    """The text of `page` with each of `made` between the markers of its name."""
    text = page.read_text(encoding="utf-8")
    for name, make in made.items():
        before, begin, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- end of {name} -->")
        if not begin or not end:
            raise SystemExit(f"{page}: no <!-- {name} --> ... <!-- end of {name} -->")
        text = f"{before}{begin}\n{make()}\n\n{end}{after}"
    return text


def stale() -> dict[Path, str]:
    """The pages that are not up to date, with their new text."""
    made = {page: renewed(page, parts) for page, parts in pages().items()}
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
