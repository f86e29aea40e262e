"""Standard errors of the numbers of `edits` against their spread over fresh portraits.

    OMP_NUM_THREADS=1 python docs/results/edits/spread.py SYSTEM,...

Many pairs of each edit are measured once, and divided by persons into blocks of some pairs, each a run's. Directions
and strengths are fitted to other portraits, and are those of all blocks, as an error takes them.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
import error_spread
from measure import table

from benchmarks import evaluate
from benchmarks.plugin import Arrays, Row
from benchmarks.tasks.edits import edits
from benchmarks.tasks.edits.decoded import Edited

PAIRS, SIZE = 240, 8  # of an edit, and of a block


def blocks(people: np.ndarray, size: int) -> list[np.ndarray]:
    """The places of all pairs, by whole persons, `size` or more together; too few are left out."""
    found, block = [], np.zeros(0, int)
    for person in np.unique(people):
        block = np.append(block, np.flatnonzero(people == person))
        if len(block) >= size:
            found, block = [*found, block], np.zeros(0, int)
    return found


def part(one: Edited, sums: Arrays, rows: np.ndarray) -> tuple[Edited, Arrays]:
    """An edit and its sums for some of its pairs."""
    pairs, count = one.change.pairs, len(one.change.pairs)
    names = ("before", "people", "others_changed")
    fewer = replace(pairs, **{name: getattr(pairs, name)[rows] for name in names})
    found = {name: array[rows] for name, array in sums.items() if len(array) == count}
    return one._replace(change=replace(one.change, pairs=fewer), tried={}), found


def measured(cell, means, edited: Sequence[Edited], every: Sequence[Arrays]) -> Iterator[Row]:
    """The rows of every block, numbered in their notes, in place of those of the run."""
    of = [blocks(one.change.pairs.people, SIZE) for one in edited]
    for number in range(max(map(len, of))):
        some = [
            part(one, sums, mine[number])
            for one, sums, mine in zip(edited, every, of, strict=True)
            if number < len(mine)
        ]
        for row in _real(cell, means, *zip(*some, strict=True)):
            yield replace(row, setting=f"{row.setting}|{number}")


_real = edits._measured


def main(systems: str) -> None:
    with patch.object(edits, "_measured", measured), patch.object(edits.pictures, "draw"):
        found = evaluate(systems.split(","), ["edits"], settings={"edits.pairs": PAIRS}, cache=True)
    frame = found.frame().assign(benchmark="edits")
    frame = frame[frame["setting"].str.contains("|", regex=False)].dropna(subset=["stderr"])
    frame["setting"] = frame["setting"].str.rpartition("|")[0]
    frame = frame[~frame["setting"].str.contains(edits.ORACLE) | frame["metric"].isin(["kept", "direction_r2"])]  # fmt: skip
    found = error_spread.ratios(frame)
    text = []
    for metric in dict.fromkeys(row[3] for row in found):
        mine = {row[2]: r for row, r in found.items() if row[3] == metric}
        every = [r.ratio for setting, r in mine.items() if ", " in setting and "no edit" not in setting]  # fmt: skip
        for setting, r in mine.items():
            if ", " not in setting:
                ends = np.quantile(every, [0.5, 0.1, 0.9]) if every else [np.nan] * 3
                text.append([f"`{metric}`", setting, f"{r.ratio:.2f}", f"{r.low:.2f} to {r.high:.2f}", "{:.2f} ({:.2f} to {:.2f})".format(*ends), len(every)])  # fmt: skip
    print(table(text, ["number", "row", "ratio of the mean", "95 % interval", "of each edit: median (10 to 90 %)", "edits"]))  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1])
