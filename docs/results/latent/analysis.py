"""Rank correlations of numbers of a code with the kernel distance of a generator's samples.

    python docs/results/latent/analysis.py runs/latent-study    takes the numbers of the runs first
    python docs/results/latent/analysis.py                      correlations.csv, from records.csv

`python docs/results/readme.py --write` then writes the tables of the page.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from tabulate import tabulate

HERE = Path(__file__).parent
PUBLISHED = HERE.parents[2] / "reports" / "published" / "tokenizers.csv"
TARGET = ("table4_unconditional_fid", "kd_effnet", "")
COPIES = ("appendix_c_memorisation", "nn_ratio_effnet", "median")
TABLE1, BETWEEN, ROBUST = "table1_reconstruction", "latent_interpolation", "latent_robustness"
SPACE, FOLLOWS = "latent_space", "latent_equivariance"
OF_SPACE = "viv code_fd epps_pulley twonn density_cv sec_25 sec_50 lds cds rmsc".split()
FOLLOWED = ("encoder, flip", "encoder, one cell", "decoder, flip", "decoder, one cell")
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
    **{name: (SPACE, name, "") for name in OF_SPACE},
    **{f"equivariance of {moved}": (FOLLOWS, "equivariance", moved) for moved in FOLLOWED},
}
# Of these higher is better; of all others lower is, or neither: lower has the sign of better.
HIGHER = ("PSNR", "AUROC")
LESS, AT_RKD, AT_PSNR = "size less that of rKD", "at equal rKD", "at equal PSNR"
DRAWS = 2_000
RUNS = {"codes": "", "samples-1": "one Gaussian", "samples-10": "ten Gaussians"}
GENERATORS = ("ten Gaussians", "one Gaussian")
# Candidates in the page's table of systems.
SHOWN = [
    "numbers in the code",
    "rKD",
    "PSNR",
    "iKD, slerp",
    "AUROC",
    "viv",
    "code_fd",
    "epps_pulley",
    "twonn",
    "sec_50",
    "lds",
    "equivariance of encoder, flip",
]
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


def family(system: str) -> str:
    """Systems of one kind share what made them; `scrambled` is one of the convolutional autoencoders."""
    if system.startswith(("c = ", "scrambled")):
        return "convolutional"
    return "principal components" if system.startswith(("linear", "pixels")) else system


def statistics(columns: np.ndarray) -> dict[str, float]:
    """Of rows (candidate, target, rKD, PSNR): Spearman's correlation of candidate and target, its size
    less that of rKD and target, and the partial ones at an equal rKD and PSNR.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.corrcoef(stats.rankdata(columns, axis=0).T)
        equal = [(r[0, 1] - r[0, k] * r[1, k]) / np.sqrt((1 - r[0, k] ** 2) * (1 - r[1, k] ** 2)) for k in (2, 3)]  # fmt: skip
    return {"rho": r[0, 1], LESS: abs(r[0, 1]) - abs(r[2, 1]), AT_RKD: equal[0], AT_PSNR: equal[1]}


def resampled(columns: np.ndarray, groups: np.ndarray, draws: int = DRAWS) -> pd.DataFrame:
    """`statistics` of rows drawn again with replacement, whole groups together; NaN where all are equal."""
    of = [np.flatnonzero(groups == one) for one in np.unique(groups)]
    picked = np.random.default_rng(0).integers(len(of), size=(draws, len(of)))
    rows = (np.concatenate([of[i] for i in one]) for one in picked)
    return pd.DataFrame(statistics(columns[one]) for one in rows)


def compared(columns: np.ndarray, families: np.ndarray) -> pd.DataFrame:
    """`statistics` with their intervals: of systems drawn again, and of whole families; for rho the
    former is that of Bonett and Wright. `needed` is the number of independent systems that would show
    a difference from 0 (95 %, in four of five studies).
    """
    rho, *interval, p = correlation(*columns[:, :2].T)
    of_systems = resampled(columns, np.arange(len(columns)))
    found = pd.DataFrame({"value": statistics(columns), "error": of_systems.std()})
    found["low"], found["high"] = of_systems.quantile(0.025), of_systems.quantile(0.975)
    found.loc["rho", ["value", "low", "high", "p"]] = [rho, *interval, p]
    of_families = resampled(columns, families)
    found["families_low"], found["families_high"] = of_families.quantile(0.025), of_families.quantile(0.975)  # fmt: skip
    power = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    found["needed"] = len(columns) * (power * found["error"] / found["value"]) ** 2
    found.loc["rho", "needed"] = 3 + (1 + rho**2 / 2) * (power / np.arctanh(rho)) ** 2
    return found.drop(columns="error").rename_axis("statistic").reset_index()


def correlations(numbers: pd.DataFrame) -> pd.DataFrame:
    """Each candidate with the samples, so that 1 means: the better the candidate, the better they are."""
    first, second = GENERATORS
    signed = numbers.mul([-1 if name in HIGHER else 1 for name in numbers])
    asked = {
        "all": (signed, first),
        "all but scrambled": (signed.drop("scrambled"), first),
        "KL": (signed[signed.index.str.contains(", KL ")], first),
        "all, one Gaussian": (signed, second),
    }
    rows = []
    for name in [*CANDIDATES, *GENERATORS]:
        for group, (frame, target) in asked.items():
            used = frame[[name, target, "rKD", "PSNR"]].dropna()
            if name != target and len(used) > 4:
                families = np.array([family(system) for system in used.index])
                found = compared(used.to_numpy(), families)
                rows.append(found.assign(candidate=name, systems=group, n=len(used)))
    return pd.concat(rows)[["candidate", "systems", "n", *found.columns]]


def published() -> pd.DataFrame:
    """iFID and the gFID of SiT-XL of the systems that have both."""
    found = pd.read_csv(PUBLISHED).pivot_table("value", "checkpoint", "metric")[["ifid", "gfid"]]
    return found.dropna().sort_values("gfid")


def tables(folder: Path) -> str:
    """The tables of the page, from correlations.csv, records.csv and the published values."""
    found = pd.read_csv(folder / "correlations.csv")
    parts = {}
    for (group, statistic), rows in found.groupby(["systems", "statistic"], sort=False):
        rows = rows.set_index("candidate")
        if group == "all" or (statistic == "rho" and group != "KL"):
            name = statistic if statistic != "rho" else group
            parts[name] = _intervals(rows["value"], rows["low"], rows["high"])
        if group == "all" and statistic == "rho":
            parts["families drawn again"] = _intervals(rows["families_low"], rows["families_high"])
            parts["needed"] = rows["needed"].map(lambda n: f"{np.ceil(n):,.0f}" if n < 1e4 else "")
            parts["n"] = rows["n"].astype(str)
    wide = pd.DataFrame(parts).reindex(found["candidate"].unique()).fillna("")
    both = published()
    pairs = both.rename(columns={"ifid": "iFID", "gfid": "gFID of SiT-XL"}).map("{:.2f}".format)
    rho, low, high, p = correlation(*both.to_numpy().T)
    r = stats.pearsonr(*both.to_numpy().T)
    interval = r.confidence_interval()
    line = (
        f"Pearson's r = {r.statistic:.2f} ({interval.low:.2f} to {interval.high:.2f}), Spearman's "
        f"{rho:.2f} ({low:.2f} to {high:.2f}), p = {p:.4f}, n = {len(both)}."
    )
    numbers = read()[["ten Gaussians", "one Gaussian", "copies", *SHOWN]].map(_shown)
    made = [tabulate(one, "keys", "pipe", disable_numparse=True) for one in (wide, numbers, pairs)]
    return "\n\n".join([*made, line])


def _intervals(*columns: pd.Series) -> pd.Series:
    """Value, low, high as text, or low and high alone."""
    form = "{} to {}" if len(columns) == 2 else "{} ({} to {})"
    rows = pd.concat(columns, axis=1).map(lambda x: "" if np.isnan(x) else f"{x:.2f}")
    return rows.apply(lambda row: form.format(*row) if row.iloc[0] else "", axis=1)


def _shown(value: float) -> str:
    return "" if np.isnan(value) else f"{value:,.0f}" if value > 99 else f"{value:.3g}"


def main(*runs: str) -> None:
    if runs:
        taken(Path(runs[0])).to_csv(HERE / "records.csv", index=False, lineterminator="\n")
    found = correlations(read())
    found.to_csv(HERE / "correlations.csv", index=False, float_format="%.4f", lineterminator="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
