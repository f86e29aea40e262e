"""Standard errors of numbers of codes against their spread over codes drawn anew.

    OMP_NUM_THREADS=1 python docs/results/codes_spread.py --seconds 8 --out runs/codes-spread --write

Codes and labels are those of `tests/helpers/codes_of_factors.py`. Each redraw has other images, noise,
a split and seeds of its own. A number is drawn again as often as `--seconds` of processor time allow,
between FEWEST and MOST times. Each redraw is appended to `redraws.csv` in `--out`, so that the same
command continues after an interruption; `--numbers` are measured alone. `--write` makes the page,
`codes_spread.md`.
"""

import argparse
import csv
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from measure import table

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "helpers"))
from codes_of_factors import KINDS, made

from benchmarks.metrics.codes.data import Codes, LabelColumns
from benchmarks.metrics.codes.errors import undefined
from benchmarks.metrics.codes.invariant.curves import code_length, few_labels
from benchmarks.metrics.codes.schema import BOUND_TO_AXES, NUMBERS, SPACE, named
from benchmarks.metrics.codes.table import measure
from diffae.system.errors import UserError
from reports.records.estimate import Estimate

CURVES = {
    "few_labels": lambda *of: few_labels(*of, (64,))["64 labels"],
    "code_length": lambda *of: code_length(*of)["code_length"],
}
EVERY = (*NUMBERS, *CURVES)
MOST, FEWEST = {500: 100, 5000: 40}, 8
WIDE, AXES = 128, 16  # dimensions of mixed codes: at 5,000, and for numbers that are bound to axes
MAPS = (
    8,
    4,
    4,
)  # as which mixed codes have numbers of maps; of the space of vectors they have as many at 500
BINARY, CLASSES = range(6), range(6, 9)  # labels
FEW = {"explicitness": CLASSES, "infoe": CLASSES, "factor_vae": CLASSES, "beta_vae": CLASSES}
FEW |= dict.fromkeys((*CURVES, "dci_d", "dci_c", "dci_i"), BINARY)
LOW, HIGH = 0.8, 1.25
ROW, START = ["number", "codes", "n"], "<!-- tables -->"
PAGE = Path(__file__).with_suffix(".md")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--numbers", nargs="+", choices=EVERY, default=EVERY)
    parser.add_argument("--out", type=Path, default=Path("runs/codes-spread"))
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    frame = drawn(args.out / "redraws.csv", args.numbers, args.seconds)
    text = page(frame)
    print(text)
    if args.write:
        PAGE.write_text(f"{PAGE.read_text().partition(START)[0]}{START}\n\n{text}\n")


def drawn(path: Path, numbers: list[str], seconds: float) -> pd.DataFrame:
    """All redraws: those of the file, and the others, which are appended to it."""
    if not path.exists():
        path.write_text(",".join([*ROW, "draw", "value", "stderr", "seconds"]) + "\n")
    known = pd.read_csv(path)
    have = set(map(tuple, known[[*ROW, "draw"]].to_numpy()))
    spent = Counter(known.groupby(ROW)["seconds"].sum().to_dict())
    for draw in range(max(MOST.values())):
        for n, kind in ((n, kind) for n in MOST for kind in KINDS if draw < MOST[n]):
            codes = made(kind, n, [n, draw])
            for name in numbers:
                cell = (name, kind, n)
                if (*cell, draw) in have or (draw >= FEWEST and spent[cell] > seconds):
                    continue
                if name.startswith("dci") and (n > 500 or kind == "mixed"):
                    continue  # a minute for each redraw
                start = time.process_time()
                try:
                    one = number(name, codes, draw)
                except UserError as error:  # not all combinations of the labels
                    one = undefined(str(error))
                spent[cell] += (took := time.process_time() - start)
                with path.open("a", newline="") as file:
                    csv.writer(file).writerow([*cell, draw, one.value, one.stderr, round(took, 3)])
    return pd.read_csv(path)


def number(name: str, codes: Codes, seed: int) -> Estimate:
    """A number of codes; of mixed ones, and where it is slow, of fewer dimensions or labels."""
    width = AXES if name in BOUND_TO_AXES else 512 if len(codes.values) == 500 else WIDE
    if name in SPACE and codes.values.shape[1] > WIDE:
        width = WIDE if NUMBERS[name].channels or len(codes.values) > 500 else AXES
        codes = replace(codes, shape=MAPS if NUMBERS[name].channels else None)
    some, labels = list(FEW.get(name, range(15))), codes.labels
    names, kinds = ([one[k] for k in some] for one in (labels.names, labels.kinds))
    labels = LabelColumns(labels.values[:, some], tuple(names), tuple(kinds))
    codes = replace(codes, values=codes.values[:, :width], labels=labels)
    if name in CURVES:
        return CURVES[name](codes, seed)
    # an error of random directions takes them as given
    return measure(name, codes, named("plain"), 0 if name == "epps_pulley" else seed)


def ratio(one: pd.DataFrame) -> tuple[float, float, int]:
    """Error over spread, what it is uncertain by, and the redraws that have an error."""
    one = one.dropna(subset=["value"])
    known = one.dropna(subset=["stderr"])
    spread, count = known["value"].std(), len(known)
    if count <= len(one) / 2 or not spread > 1e-9:
        return np.nan, np.nan, count
    found = np.sqrt(np.square(known["stderr"]).mean()) / spread
    return found, found / np.sqrt(2 * (count - 1)), count


def fails(found: float, by: float) -> bool:
    """Whether a ratio is outside of the limits by more than twice what it is uncertain by."""
    return found + 2 * by < LOW or found - 2 * by > HIGH


def cell(of: pd.DataFrame) -> str:
    """The ratio, what it is uncertain by, and the redraws; in bold if it fails."""
    found, by, count = ratio(of)
    if np.isnan(found):
        return "not measured" if of.empty else "no error" if count <= len(of) / 2 else "no spread"
    text = f"{found:.2f} ± {by:.2f} ({count})"
    return f"**{text}**" if fails(found, by) else text


def page(frame: pd.DataFrame) -> str:
    """A table of ratios for each n."""
    tables = []
    for n in MOST:
        of = {key: one for key, one in frame[frame["n"] == n].groupby(["number", "codes"])}
        rows = [
            [name, *(cell(of.get((name, kind), frame[:0])) for kind in KINDS)] for name in EVERY
        ]
        tables.append(f"## {n:,} images\n\n{table(rows, ['', *KINDS])}")
    return "\n\n".join(tables)


if __name__ == "__main__":
    main()
