"""What a program did that makes the host wait for the GPU, or copies between the two."""

import json
import re
import sys
from collections import Counter
from pathlib import Path

# Kinds. All but the second wait.
TO_GPU, TO_GPU_LATER, TO_CPU = "copy to the GPU", "copy to the GPU, not waited for", "copy to the CPU"
NUMBER, SIZE, SYNCHRONIZE = "number read", "size read", "synchronize"
COPIES = (TO_GPU, TO_GPU_LATER, TO_CPU)

COUNTS: Counter[tuple[str, str]] = Counter()  # by kind and by file:line of the project
OURS = re.compile(r".*/((?:diffae|probes|benchmarks|reports)/.*)")


def count(kind: str) -> None:
    COUNTS[kind, _place()] += 1


def totals() -> tuple[int, int]:
    """Waits and copies so far."""
    waits = sum(times for (kind, _), times in COUNTS.items() if kind != TO_GPU_LATER)
    return waits, sum(times for (kind, _), times in COUNTS.items() if kind in COPIES)


def write(path: Path) -> None:
    """A JSON list of kinds and places, with the times of each."""
    found = COUNTS.most_common()
    rows = [{"kind": kind, "where": where, "times": times} for (kind, where), times in found]
    path.write_text(json.dumps(rows, indent=1))


def _place() -> str:
    """The innermost file:line of the project, "elsewhere" if there is none."""
    frame = sys._getframe(2)
    while frame is not None:
        if ours := OURS.fullmatch(frame.f_code.co_filename):
            return f"{ours[1]}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "elsewhere"
