"""Is the path of one system longer than that of another? A paired test over the pairs of a run.

    python docs/results/path_length.py RUN [SYSTEM SYSTEM]

RUN is a run folder with `interpolation` (or a baseline: records.csv and influences.npz are enough).
The lengths of its pairs are computed from the influences of the mean; with the same seed all
systems have the same pairs. Wilcoxon's signed-rank test (SciPy) asks whether the median difference
is 0; it is robust against the few pairs of DDIM that are many times as long as the rest and determine
the mean.
"""

import sys
from pathlib import Path

import numpy as np
from scipy.stats import wilcoxon

from reports.records.influences import read_influences
from reports.records.record import read_records, record_key

METRICS = ("ppl", "ppl_alex", "ppl_effnet")


def lengths(run: Path, system: str) -> np.ndarray:
    """The length of each pair: mean + influence sqrt(k (k - 1)), see
    reports.records.estimate.of_mean.
    """
    record = next(
        r
        for r in read_records(run / "records.csv")
        if r.metric in METRICS and (r.setting, r.system) == ("mean", system)
    )
    (part,) = read_influences(run / "influences.npz")[record_key(record)]
    k = len(part.values)
    return record.value + part.values * np.sqrt(k * (k - 1))


def main(run: str, first: str = "DiffAE", second: str = "DDIM") -> None:
    a, b = (lengths(Path(run), system) for system in (first, second))
    for name, x in ((first, a), (second, b)):
        longest = ", ".join(f"{value:.1f}" for value in np.sort(x)[:-4:-1])
        print(
            f"{name}: {len(x)} pairs, mean {x.mean():.2f}, median {np.median(x):.2f}, longest {longest}"
        )
    print(
        f"{second} longer in {int((b > a).sum())} of {len(a)} pairs; Wilcoxon p = {wilcoxon(a, b).pvalue:.3g}"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
