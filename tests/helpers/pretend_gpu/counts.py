"""What a program did that makes the host wait for the GPU or copies between the two, by line."""

import json
import re
import sys
from collections import Counter
from pathlib import Path

TO_GPU, TO_CPU = "copy to the GPU", "copy to the CPU"
TO_GPU_LATER = "copy to the GPU, not waited for"
NUMBER, SIZE, SYNCHRONIZE = "numbers read", "size read", "synchronize"
NO_MEMORY = "memory error"
COPIES = (TO_GPU, TO_CPU, TO_GPU_LATER)
WAITS = (TO_GPU, TO_CPU, NUMBER, SIZE, SYNCHRONIZE)

COUNTS: Counter[tuple[str, str]] = Counter()  # by kind and by file:line of the project
OURS = re.compile(r".*/((?:diffae|probes|benchmarks|reports)/.*)")


def count(kind: str) -> None:
    COUNTS[kind, _place()] += 1


def totals() -> tuple[int, int]:
    """Waits and copies so far."""
    waits, copies = (
        sum(times for (kind, _), times in COUNTS.items() if kind in kinds)
        for kinds in (WAITS, COPIES)
    )
    return waits, copies


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
