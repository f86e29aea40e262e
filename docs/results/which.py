"""Is a protocol found again by the numbers that it prints? The table of docs/protocols.md.

    python docs/results/which.py [--weights-dir DIR]            prints it
    python docs/results/which.py [--weights-dir DIR] --write    writes it into the page

The pair is examples/protocols: 16 drawn portraits of 256 px, and the same as JPEG of quality 10.
Each protocol prints PSNR, SSIM and LPIPS of it, and its numbers are compared with those of all, as
`benchmarks.measure --which` does. The weights of both LPIPS are needed.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from measure import table
from readme import ROOT, renewed

from benchmarks.measuring.by_protocol import every_protocol, on_pairs
from benchmarks.measuring.request import Request
from benchmarks.measuring.which import compared
from benchmarks.metrics.protocols.explain import Explained

PAGE = ROOT / "docs" / "protocols.md"
PAIR = ROOT / "examples" / "protocols"
ZEROS = {"psnr": "0.00", "ssim": "0.000", "lpips": "0.000"}  # the digits that are printed
MARKS = {"": "●", "lpips": "○"}  # by the numbers that do not fit
Numbers = Mapping[str, Mapping[str, Explained[Any]]]  # by protocol and metric


def measured(request: Request, metrics: tuple[str, ...] = tuple(ZEROS)) -> Numbers:
    """What every protocol that has some of the metrics measures on a pair of folders."""
    pairs, arrays = on_pairs(every_protocol(request), request, metrics=metrics)
    found: dict[str, dict[str, Explained[Any]]] = {}
    for one in pairs.numbers(arrays):
        found.setdefault(one.case.protocol.name, {})[one.case.metric] = one
    return found


def rows(found: Numbers) -> list[list[str]]:
    """A row for each protocol that prints: its name, its numbers, and a mark for each that fits."""
    lines = []
    for place, (name, own) in enumerate(found.items(), start=1):
        printed = {metric: compared(one, ZEROS[metric]).text for metric, one in own.items()}

        def mark(other: Mapping[str, Any], printed: Mapping[str, str] = printed) -> str:
            both = printed.keys() & other.keys()
            fits = {metric for metric in both if compared(other[metric], printed[metric]).miss <= 1}
            return MARKS.get(", ".join(metric for metric in printed if metric not in fits), "")

        cells = [printed.get(metric, "–") for metric in ZEROS]
        lines.append([f"{place} `{name}`", *cells, *map(mark, found.values())])
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--weights-dir", type=Path)
    parser.add_argument("--write", action="store_true", help="write it into the page")
    args = parser.parse_args()
    folders = [PAIR / name for name in ("originals", "jpeg")]
    found = measured(Request(*folders, weights_dir=args.weights_dir))
    if missing := {one.reason for of in found.values() for one in of.values() if one.reason}:
        raise SystemExit("\n".join(missing))
    heads = ["printed by", "PSNR", "SSIM", "LPIPS", *map(str, range(1, len(found) + 1))]
    made = table(rows(found), heads)
    print(made)
    if args.write:
        PAGE.write_text(renewed(PAGE, {"which": lambda: made}), encoding="utf-8")


if __name__ == "__main__":
    main()
