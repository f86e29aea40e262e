"""The page of a training: its evaluations over images seen."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from diffae.system.errors import UserError
from reports.records.reading import short
from reports.trend.entries import Entry, entry_of
from reports.trend.page import Axis, Runs, each, render_page, sections

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TICKS = 5
# of a training, and of what lies in its folder
EVALUATIONS = ("evaluations/*/*", "*/evaluations/*/*")
SEEN = re.compile(r"\d{1,15}")


def evaluations(folder: Path) -> dict[str, Runs]:
    """The evaluations of a training by stage, each with the images seen, ascending.

    A run is EVALUATIONS/STAGE/IMAGES in `folder`, or in a subfolder (the DDIM baseline of an
    autoencoder). Raises UserError if there is none, or naming the file of an invalid one.
    """
    found: dict[str, list[tuple[int, Entry]]] = {}
    for path in runs_in(folder):
        found.setdefault(path.parent.name, []).append((int(path.name), entry_of(path)))
    if not found:
        raise UserError(f"{folder}: no evaluations of a training are in it (--evaluate-every N)")
    return {stage: sorted(runs, key=lambda run: run[0]) for stage, runs in found.items()}


def runs_in(folder: Path) -> Iterator[Path]:
    """The run folders in the folder of a training."""
    for pattern in EVALUATIONS:
        yield from (
            path
            for path in sorted(folder.glob(pattern))
            if path.is_dir() and SEEN.fullmatch(path.name)
        )


def render(name: str, found: dict[str, Runs]) -> str:
    """The page of the training `name`, as text."""
    title = f"{short(name)}: evaluations while it was trained"
    made = [one for stage, runs in found.items() for one in sections(runs, IMAGES, stage)]
    return render_page(title, facts(found), made, IMAGES)


def facts(found: dict[str, Runs]) -> list[tuple[str, str]]:
    entries = [entry for runs in found.values() for _, entry in runs]
    spans = [f"{stage}: {len(runs)}, to {runs[-1][0]:,} images" for stage, runs in found.items()]
    return [
        ("Evaluations", "; ".join(spans)),
        ("Data", each(e.dataset for e in entries)),
        ("Profile", each(e.profile for e in entries)),
    ]


def _cells(x: int, entry: Entry) -> tuple[str, str]:
    return f"{x:,}", f"{entry.when:%Y-%m-%d %H:%M}"


def _tick(axes: "Axes", runs: Sequence[tuple[int, Entry]]) -> None:
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(TICKS))
    axes.xaxis.set_major_formatter(EngFormatter())


IMAGES = Axis(
    "training",
    "Of the moving average of the weights, on the same images always; bars are the 95 % interval of each number alone, so that a "
    "change that is smaller than they are can be real. Images are counted by stage. A line is broken where numbers were "
    "measured by a different protocol.",
    "images seen",
    ("images seen", "measured"),
    _cells,
    _tick,
)
