"""How often does the gate call a checkpoint worse than itself? All pairs of seeds are compared.

    OMP_NUM_THREADS=1 python docs/results/gate_seeds.py --seeds 50 --processes 2 --out runs/gate-seeds

The runs differ in the seed only: in the choice of images, noise and labelled examples. So every
verdict `regression` is a false alarm. Prints a table; the same command continues after an
interruption.
"""

import argparse
import itertools
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from measure import run_quick, table

from reports.gate.verdicts import REGRESSION, compare
from reports.records.run_folder import read_margins, read_run

# Fewer steps and samples than profile `quick`, and few images of each split, so that seeds share few of them.
SETTINGS = """
    data.portraits=10000
    samples.count=128 samples.steps=5
    reconstruction.images=40 reconstruction.steps=5
    probes.train=2000 probes.valid=500 probes.test=600
    identity.images=24 identity.strengths=0.3 identity.steps=5
    interpolation.pairs=16 interpolation.steps=5
    fewshot.reference=1024 fewshot.samples=64 fewshot.pool=256 fewshot.steps=5
    unconditional.reference=1024
    variation.images=8 variation.steps=5
    denoising.images=256
    memorisation.train=1024
"""


def of_seed(out: Path, seed: int) -> Path:
    """The run folder of one seed."""
    folder = out / f"seed-{seed}"
    run_quick(SETTINGS, seed, folder)
    return folder


def false_alarms(folders: list[Path]) -> str:
    """A table of all ordered pairs, with the default margins and without any."""
    runs, rows = [read_run(folder) for folder in folders], []
    for title, margins in (("as shipped", read_margins()), ("no margin", {})):
        alarms, by_metric, numbers = 0, Counter[str](), 0
        pairs = list(itertools.permutations(runs, 2))
        for base, new in pairs:
            found = [c for c in compare(base, new, margins) if c.verdict == REGRESSION]
            numbers += len(new.records)
            alarms += bool(found)
            by_metric.update(f"{c.record.benchmark} {c.record.metric}" for c in found)
        worst = ", ".join(f"{name} {count}" for name, count in by_metric.most_common(3))
        share, wrong = f"{alarms / len(pairs):.1%}", sum(by_metric.values())
        rows.append([title, len(pairs), numbers, alarms, share, wrong, worst])
    headers = ["margins", "comparisons", "numbers", "false alarms", "share", "wrong", "most"]
    return table(rows, headers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/gate-seeds"))
    args = parser.parse_args()
    with ProcessPoolExecutor(args.processes, mp_context=get_context("spawn")) as pool:
        folders = list(pool.map(partial(of_seed, args.out), range(args.seeds)))
    print(false_alarms(folders))


if __name__ == "__main__":
    main()
