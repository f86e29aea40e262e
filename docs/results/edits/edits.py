"""Tables of README.md, of runs of the benchmark `edits`.

python docs/results/edits/edits.py runs/edits-*      takes the numbers of the runs into numbers.csv first
python docs/results/edits/edits.py                   prints the tables of numbers.csv
"""

import sys
from pathlib import Path

import pandas as pd
from tabulate import tabulate

from benchmarks.tasks.edits.directions import MEANS, ORACLE, PAPER, REGRESSED, RIDGE

FILE = Path(__file__).with_name("numbers.csv")
COLUMNS = ["table", "system", "setting", "metric", "value", "stderr", "n"]
OF_EACH = ("kept", "direction_r2")
TABLE, EACH = "edits", "edits_by_attribute"
DIRECTIONS = (PAPER, MEANS, REGRESSED, RIDGE)
OF_DIRECTIONS = ("dose", "off_target", "gain", "leak_mean", "leak_max", "lec")


def taken(runs: list[Path]) -> pd.DataFrame:
    """The rows of the means of all runs, and by attribute what the code holds."""
    found = pd.concat(pd.read_csv(run / "records.csv") for run in runs)
    held = (found["table"] == EACH) & found["metric"].isin(OF_EACH)
    return found.loc[(found["table"] == TABLE) | held, COLUMNS]


def shown(row: dict | None) -> str:
    """A number and its error."""
    if row is None or pd.isna(row["value"]):
        return "–"
    digits = 2 if abs(row["value"]) < 10 else 1
    error = "" if pd.isna(row["stderr"]) else f" ± {row['stderr']:.{digits}f}"
    return f"{row['value']:.{digits}f}{error}"


def tables(frame: pd.DataFrame) -> str:
    """The numbers of systems, of directions, and of attributes, as Markdown."""
    rows = {(r.table, r.system, r.setting, r.metric): r._asdict() for r in frame.itertuples()}

    def cell(table: str, system: str, setting: str, metric: str) -> str:
        return shown(rows.get((table, system, setting, metric)))

    systems = frame["system"].unique()
    face = next(iter(sorted(set(frame["metric"]) & {"arcface", "id_dlib", "id_portraits"})), "")
    of_truth = ("kept", "direction_r2", "effectiveness", face)
    once = "no edit, encoded 1 x"
    parts = [
        table(
            ["system", "`composition`", *(f"`{m}`" for m in of_truth)],
            [
                [s, _composition(rows, s), *(cell(TABLE, s, ORACLE, m) for m in of_truth)]
                for s in systems
            ],
        )
    ]
    columns = ("direction", *(f"`{m}`" for m in OF_DIRECTIONS), f"`{face}` (no edit)")
    of_directions = [
        [s, d, *(cell(TABLE, s, d, m) for m in OF_DIRECTIONS), f"{cell(TABLE, s, d, face)} ({cell(TABLE, s, once, face)})"]
        for s in systems
        for d in DIRECTIONS
        if (TABLE, s, d, "off_target") in rows
    ]  # fmt: skip
    parts.append(table(["system", *columns], of_directions))
    edits = frame.loc[(frame["table"] == EACH) & (frame["metric"] == "kept"), "setting"].unique()
    names = [setting.partition(", ")[0] for setting in edits]
    of_each = [
        [e, *(f"{cell(EACH, s, f'{e}, {ORACLE}', 'kept')} / {cell(EACH, s, f'{e}, {ORACLE}', 'direction_r2')}" for s in systems)]
        for e in names
    ]  # fmt: skip
    parts.append(table(["edit", *systems], of_each))
    return "\n\n".join(parts)


def _composition(rows: dict[tuple[str, ...], dict[str, object]], system: str) -> str:
    """The squared error after encoding and decoding once, in thousandths."""
    row = rows.get((TABLE, system, "no edit, encoded 1 x", "composition"))
    return "–" if row is None else f"{1000 * float(str(row['value'])):.2f}"


def table(headers: list[str], rows: list[list[str]]) -> str:
    return tabulate(rows, headers, "pipe", disable_numparse=True)


def main(*runs: str) -> None:
    if runs:
        taken([Path(run) for run in runs]).to_csv(FILE, index=False, lineterminator="\n")
    print(tables(pd.read_csv(FILE)))


if __name__ == "__main__":
    main(*sys.argv[1:])
