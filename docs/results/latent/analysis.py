"""Rank correlations of numbers of a code with the kernel distance of a generator's samples.

    python docs/results/latent/analysis.py runs/latent-study    takes the numbers of the runs first
    python docs/results/latent/analysis.py                      correlations.csv and the picture, from records.csv

`python docs/results/readme.py --write` then writes the tables of the page.
"""

import sys
from pathlib import Path
from textwrap import fill

import numpy as np
import pandas as pd
from scipy import stats
from tabulate import tabulate

HERE = Path(__file__).parent
TARGET = ("table4_unconditional_fid", "kd_effnet", "")
COPIES = ("appendix_c_memorisation", "nn_ratio_effnet", "median")
TABLE1, BETWEEN, ROBUST = "table1_reconstruction", "latent_interpolation", "latent_robustness"
# The table, metric and setting of each candidate; of DiffAE what is decoded with a random x_T.
CANDIDATES = {
    "numbers in the code": (TABLE1, "latent_dim", "x_T random"),
    "rFD": (TABLE1, "rfd_effnet", "x_T random"),
    "rKD": (TABLE1, "rkd_effnet", "x_T random"),
    "perceptual distance": (TABLE1, "pd_effnet", "x_T random"),
    "PSNR": (TABLE1, "psnr", "x_T random"),
    "iFD, slerp": (BETWEEN, "ifd_effnet", "slerp"),
    "iKD, slerp": (BETWEEN, "ikd_effnet", "slerp"),
    "iKD, linear": (BETWEEN, "ikd_effnet", "linear"),
    "spectrum": ("latent_spectrum", "spectrum_kl", ""),
    "noise 0.1": (ROBUST, "pd_effnet", "noise 0.1"),
    "noise 0.3": (ROBUST, "pd_effnet", "noise 0.3"),
    "noise 1": (ROBUST, "pd_effnet", "noise 1"),
    "4 bits": (ROBUST, "pd_effnet", "4 bits"),
    "path length, median": ("appendix_f_smoothness", "ppl_effnet", "median"),
    "AUROC": ("section5.3_probe", "auroc", "mean"),
}
HIGHER = ("PSNR", "AUROC")  # is better; of all others lower is
RUNS = {"codes": "", "samples-1": "one Gaussian", "samples-10": "ten Gaussians"}
GENERATORS = ("ten Gaussians", "one Gaussian")
COLUMNS = "table system setting metric value stderr n direction".split()


def taken(runs: Path) -> pd.DataFrame:
    """The numbers of all runs that the study uses, with the generator that drew the samples."""
    places, found = {*CANDIDATES.values(), TARGET, COPIES}, []
    for folder, generator in RUNS.items():
        for path in sorted(runs.glob(f"{folder}/*/records.csv")):
            rows = pd.read_csv(path).fillna({"setting": ""})
            keys = zip(rows["table"], rows["metric"], rows["setting"], strict=True)
            used = [(t, m, s) in places or (t, m, s or "x_T random") in places for t, m, s in keys]
            found.append(rows.loc[used, COLUMNS].assign(generator=generator))
    return pd.concat(found).drop_duplicates()


def read() -> pd.DataFrame:
    """One row a system: its candidates, and the distance of its samples by generator."""
    records = pd.read_csv(HERE / "records.csv").fillna({"setting": "", "generator": ""})
    asked = {name: ("", *place) for name, place in CANDIDATES.items()}
    asked |= {name: (name, *TARGET) for name in GENERATORS}
    asked["copies"] = (GENERATORS[0], *COPIES)
    columns = {}
    for name, (generator, table, metric, setting) in asked.items():
        place = [generator, table, metric]
        ours = records[(records[["generator", "table", "metric"]] == place).all(axis=1)]
        ours = ours[ours["setting"].isin([setting, ""])]
        columns[name] = ours.set_index("system")["value"]
    found = pd.DataFrame(columns).drop("real images (test)", errors="ignore")
    return found.sort_values(GENERATORS[0])


def correlation(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float, float]:
    """Spearman's rank correlation, its 95 % interval, and the p-value of 9,999 permutations.

    Bonett and Wright, "Sample size requirements for estimating Pearson, Kendall and Spearman
    correlations", 2000: the error of arctanh(r) is sqrt((1 + r^2 / 2) / (n - 3)).
    """
    ranks = [stats.zscore(stats.rankdata(values)) for values in (x, y)]
    rho = float(np.mean(ranks[0] * ranks[1]).clip(-1 + 1e-9, 1 - 1e-9))
    error = np.sqrt((1 + rho**2 / 2) / (len(x) - 3))
    low, high = np.tanh(np.arctanh(rho) + np.array([-1, 1]) * stats.norm.ppf(0.975) * error)
    shuffled = np.random.default_rng(0).permuted(np.tile(ranks[0], (9_999, 1)), axis=1)
    as_far = np.abs((shuffled * ranks[1]).mean(1)) >= abs(rho) - 1e-9
    return rho, low, high, (1 + as_far.sum()) / (1 + len(as_far))


def correlations(numbers: pd.DataFrame) -> pd.DataFrame:
    """Each candidate with the samples, so that 1 means: the better the candidate, the better they are."""
    first, second = GENERATORS
    asked = {
        "all": (numbers, first),
        "all but scrambled": (numbers.drop("scrambled"), first),
        "KL": (numbers[numbers.index.str.contains(", KL ")], first),
        "all, one Gaussian": (numbers, second),
    }
    rows = []
    for name in [*CANDIDATES, *GENERATORS]:
        for group, (frame, target) in asked.items():
            x, y = frame[[name, target]].dropna().to_numpy().T if name != target else ((), ())
            if len(x) > 4:
                sign = -1 if name in HIGHER else 1
                rows.append((name, group, len(x), *correlation(sign * x, y)))
    return pd.DataFrame(rows, columns=["candidate", "systems", "n", "rho", "low", "high", "p"])


def tables(folder: Path) -> str:
    """The tables of the page, from correlations.csv and records.csv."""
    found = pd.read_csv(folder / "correlations.csv")
    found["text"] = [
        f"{r.rho:.2f} ({r.low:.2f} to {r.high:.2f}), p = {r.p:.4f}, n = {r.n}"
        for r in found.itertuples()
    ]
    wide = found.pivot(index="candidate", columns="systems", values="text").fillna("")
    wide = wide.loc[found["candidate"].unique(), found["systems"].unique()]
    parts = [wide, read().map(_shown)]
    return "\n\n".join(tabulate(part, "keys", "pipe", disable_numparse=True) for part in parts)


def _shown(value: float) -> str:
    return "" if np.isnan(value) else f"{value:,.0f}" if value > 99 else f"{value:.3g}"


def draw(numbers: pd.DataFrame, path: Path) -> None:
    """Each candidate against the samples of ten Gaussians; systems are numbered by these."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 15), layout="constrained")
    for name, axes in zip(CANDIDATES, figure.subplots(5, 3).flat, strict=True):
        axes.scatter(numbers[name], numbers[GENERATORS[0]], s=16, color="#1f5fa8")
        for number, (x, y) in enumerate(numbers[[name, GENERATORS[0]]].to_numpy(), 1):
            if not np.isnan(x):
                axes.annotate(f" {number}", (x, y), fontsize=9, va="bottom")
        axes.set(title=name, ylabel="kd_effnet of samples")
    key = ";  ".join(f"{number} {name}" for number, name in enumerate(numbers.index, 1))
    figure.supxlabel(fill(key, 150), fontsize=11)
    figure.savefig(path, dpi=80, metadata={"Software": None})


def main(*runs: str) -> None:
    if runs:
        taken(Path(runs[0])).to_csv(HERE / "records.csv", index=False, lineterminator="\n")
    numbers = read()
    found = correlations(numbers)
    found.to_csv(HERE / "correlations.csv", index=False, float_format="%.4f", lineterminator="\n")
    draw(numbers, HERE / "scatter.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
