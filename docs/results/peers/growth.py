"""How do the seconds and the memory of what compares two sets grow with the number of images?

    python docs/results/peers/growth.py [--counts 1000 5000 20000] [--dimensions 2048]

Random features; each cell is a process of its own with one thread, whose memory is what the metric
takes beyond both sets. `growth.csv` is written, with the exponent of the seconds between the two
largest counts, and the seconds at 50,000 that follow from it. Run it on an idle machine.
"""

import argparse
import math
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))
from measure import program

TABLE = Path(__file__).with_name("growth.csv")
METRICS = {
    "fid": "Frechet distance",
    "fid with its error": "Frechet distance with its error",
    "kid": "KID, all pairs, with its error",
    "overlaps": "precision, recall, density, coverage with errors",
}
FAR = 50_000


def worker(metric: str, n: int, d: int) -> None:
    """Print the seconds and the MB of one metric of two sets [n, d]."""
    import torch

    from benchmarks.metrics import frechet_jackknife, kernel
    from benchmarks.metrics.frechet import Moments, frechet_distance
    from benchmarks.metrics.frechet_jackknife import Side, blocks_of
    from benchmarks.metrics.manifold import OVERLAPS, Manifold

    draw = np.random.default_rng(0)
    x, y = (draw.normal(size=(n, d)).astype(np.float32) for _ in range(2))
    frechet_distance(*(Moments.from_features(side[:64]) for side in (x, y)))  # loads the libraries
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = kilobytes("VmRSS")
    start = time.process_time()
    if metric == "fid":
        frechet_distance(*map(Moments.from_features, (x, y)))
    elif metric == "overlaps":
        sides = [Manifold.of(torch.from_numpy(side)) for side in (x, y)]
        for overlap in OVERLAPS.values():
            overlap.between(*sides)
    else:
        between = kernel.between if metric == "kid" else frechet_jackknife.between
        between(*(Side.of(side, blocks_of(n)) for side in (x, y))).whole()
    seconds = time.process_time() - start
    print(seconds, (kilobytes("VmHWM") - before) / 1024)


def kilobytes(name: str) -> int:
    """A number of this process's memory on Linux, such as VmHWM, the peak."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 5_000, 20_000])
    parser.add_argument("--dimensions", type=int, default=2_048)
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args.worker[0], int(args.worker[1]), args.dimensions)
        return
    lines = []
    for metric, title in METRICS.items():
        cells, seconds = {}, []
        for n in args.counts:
            given = ("--worker", metric, n, "--dimensions", args.dimensions)
            took, memory = map(float, program(__file__, *given).split())
            seconds.append(took)
            cells[f"{n:,}"] = f"{took:.2g} s, {memory:,.0f} MB"
        exponent = math.log(seconds[-1] / seconds[-2]) / math.log(args.counts[-1] / args.counts[-2])
        far = seconds[-1] * (FAR / args.counts[-1]) ** exponent
        ends = {"exponent": f"{exponent:.1f}", f"{FAR:,} (extrapolated)": f"{far / 60:.1f} min"}
        lines.append({"two sets of so many images": title, **cells, **ends})
        print(lines[-1], flush=True)
    pd.DataFrame(lines).to_csv(TABLE, index=False)


if __name__ == "__main__":
    main()
