"""Numbers of codes on independent factors of portraits, by every protocol, beside two controls.

    python -m diffae.data portraits --out factors --count 1024 --factors turn=4,yaw=4,light=4,skin=4,scale=4
    python -m benchmarks.run representation --systems diffae,vqvae2,nvae,pixels-pca --data factors --save-codes codes
    OMP_NUM_THREADS=1 python docs/results/factors/factors.py codes

measures the codes into `numbers.csv` beside this script, continuing after an interruption, and prints
the tables of README.md. Labels are the five ordered factors. Maps of VQ-VAE-2 and NVAE are replaced by
their first 256 principal components on the training rows. Numbers that are bound to axes are of the 32
numbers of a code that vary most: boosting by all of them would take hours.
"""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from tabulate import tabulate

from benchmarks.measuring.codes import read
from benchmarks.metrics.codes.data import TRAIN, Codes
from benchmarks.metrics.codes.schema import BOUND_TO_AXES, PLAIN, named, names
from benchmarks.metrics.codes.table import measure
from benchmarks.tasks import representation
from diffae.system.errors import UserError

SYSTEMS = {"diffae": "DiffAE", "vqvae2": "VQ-VAE2", "nvae": "NVAE", "pixels-pca": "pixels + PCA"}
CONTROLS = ("the code", "rotated at random", "noise")
WIDE, AXES = 256, 32
SLOW = "infodiffusion"  # its DCI fits five folds: no controls
OF_ALL = ("ridge_r2", "cca", "explicitness", "infoe", "knn", "rankme", "participation")
HEADER = ("system", "control", "number", "protocol", "value", "stderr", "note")
FILE = Path(__file__).with_name("numbers.csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("codes", type=Path)
    for row in measured(parser.parse_args().codes):
        with FILE.open("a", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(row)
    print(tables(pd.read_csv(FILE)))


def measured(folder: Path) -> Iterator[tuple[object, ...]]:
    """What is not in the file yet, cheap numbers first."""
    if not FILE.exists():
        FILE.write_text(",".join(HEADER) + "\n")
    known = {row[:4] for row in pd.read_csv(FILE).itertuples(index=False, name=None)}
    cases = [(name, PLAIN) for name in OF_ALL]
    cases += [(n, p) for n in BOUND_TO_AXES for p in names() if named(p).defines(n)]
    cases.sort(key=lambda case: (case[0].startswith("dci"), case[1] == "infodiffusion"))
    every = {system: dict(codes_of(folder / f"{system}.npz")) for system in SYSTEMS}
    for name, protocol in cases:
        for system, of in every.items():
            many = name in BOUND_TO_AXES and protocol != SLOW
            for control in CONTROLS if many else CONTROLS[:1]:
                if (system, control, name, protocol) in known:
                    continue
                codes = of[control if name in BOUND_TO_AXES else "whole"]
                try:
                    found = measure(name, codes, named(protocol), 0)
                    yield system, control, name, protocol, found.value, found.stderr, ""
                except UserError as error:
                    yield system, control, name, protocol, "", "", error


def codes_of(path: Path) -> Iterator[tuple[str, Codes]]:
    """The whole code, the numbers of it that stand for axes, and these in each control."""
    codes, _ = read(path)
    assert codes.labels is not None and codes.split is not None
    values, rows = codes.values, codes.split == TRAIN
    if values.shape[1] > WIDE:
        centred = values - values[rows].mean(0)
        values = centred @ np.linalg.svd(centred[rows], full_matrices=False)[2][:WIDE].T
    whole = Codes(values, codes.labels.of(codes.labels.of_kind("ordered")), codes.split)
    yield "whole", whole
    most = np.argsort(-values[rows].std(0), kind="stable")[:AXES]
    axes = Codes(values[:, np.sort(most)], whole.labels, codes.split)
    yield from ((kind, representation.control(kind, 0, axes)) for kind in representation.KINDS)


def tables(frame: pd.DataFrame) -> str:
    """The tables of README.md: numbers of whole codes, and of axes as "code (rotated; noise)"."""
    of_all = frame[frame.number.isin(OF_ALL)].set_index(["system", "number"])
    rows = [
        [title, *(f"{of_all.value[s, n]:.3g} ± {of_all.stderr[s, n]:.1g}" for n in OF_ALL)]
        for s, title in SYSTEMS.items()
    ]
    parts = [tabulate(rows, ["", *(f"`{name}`" for name in OF_ALL)], "pipe", disable_numparse=True)]
    axes = frame[frame.number.isin(list(BOUND_TO_AXES)) & frame.value.notna()]
    values, rows = axes.set_index(["number", "protocol", "system", "control"]).value, []
    for (name, protocol), _ in axes.groupby(["number", "protocol"], sort=False):
        shown = []
        for s in SYSTEMS:
            cell = [values.get((name, protocol, s, control)) for control in CONTROLS]
            texts = ["-" if value is None else f"{value:.2f}" for value in cell]
            only = protocol == SLOW
            shown.append(texts[0] if only else "{} ({}; {})".format(*texts))
        rows.append([f"`{name}`", f"`{protocol}`", *shown])
    headers = ["", "protocol", *SYSTEMS.values()]
    return "\n\n".join([*parts, tabulate(rows, headers, "pipe", disable_numparse=True)])


if __name__ == "__main__":
    main()
