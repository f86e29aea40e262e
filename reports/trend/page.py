"""The page of a history, or of a training: a plot of each headline, and the numbers behind it.

The horizontal axis of a history is commits, that of a training the images that it saw.
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from diffae.system.errors import UserError
from reports.page.html import filled
from reports.page.plots import drawing
from reports.records.reading import joined, short
from reports.tables.numbers import labelled, steps_text
from reports.tables.ranking import comparable_n
from reports.trend.entries import Entry, Number, entry_of

HEIGHT, LEFT = 2.8, 0.7  # inches
COMMIT_TICKS, IMAGE_TICKS = 7, 5
SHOWN = 200  # runs, the newest
ROWS = 30  # of a table
# of a training, and of what lies in its folder
EVALUATIONS = ("evaluations/*/*", "*/evaluations/*/*")
SEEN = re.compile(r"\d{1,15}")

View = dict[str, Any]  # a figure as the template shows it
Facts = list[tuple[str, str]]
Runs = Sequence[tuple[int, Entry]]  # in order, each with its place on the axis
Numbers = dict[int, Number]  # of one series, by the place of their run


def render(entries: Sequence[Entry]) -> str:
    """The page of a history, in its order; of many runs, only the last."""
    entries = entries[-SHOWN:]
    first, last = entries[0], entries[-1]
    facts = [
        ("Runs", f"{len(entries)}"),
        ("From", " to ".join(dict.fromkeys(f"{one.when:%Y-%m-%d}" for one in (first, last)))),
        *_shared(entries),
        ("Newest", f"{commit_of(last)}, version {last.version or 'not said'}"),
    ]
    return _filled("Headlines by commit", facts, {"": list(enumerate(entries))}, by_images=False)


def render_training(name: str, stages: dict[str, Runs]) -> str:
    """The page of the training `name`, with the evaluations of each stage."""
    spans = [f"{stage}: {len(runs)}, to {runs[-1][0]:,} images" for stage, runs in stages.items()]
    entries = [entry for runs in stages.values() for _, entry in runs]
    facts = [("Evaluations", "; ".join(spans)), *_shared(entries)]
    title = f"{short(name)}: evaluations while it was trained"
    return _filled(title, facts, stages, by_images=True)


def _filled(title: str, facts: Facts, stages: dict[str, Runs], by_images: bool) -> str:
    sections: dict[str, list[View]] = {}
    for stage, runs in stages.items():
        for figure in figures(runs, by_images, stage):
            heading = joined(stage, figure["benchmark"], by=": ")
            sections.setdefault(heading, []).append(figure)
    shown = {"facts": facts, "sections": sections.items(), "by_images": by_images}
    count = sum(map(len, stages.values()))
    return filled("trend.html.j2", "", title=title, runs=count, **shown)


def _shared(entries: Sequence[Entry]) -> Facts:
    told = {"Data": [e.dataset for e in entries], "Profile": [e.profile for e in entries]}
    return [(name, joined(*dict.fromkeys(texts)) or "not said") for name, texts in told.items()]


def commit_of(entry: Entry) -> str:
    return (entry.commit[:9] or "no commit") + ("+" if entry.dirty else "")


# ----------------------------------------------------------------------------------------------
# Figures


def figures(runs: Runs, by_images: bool, of: str = "") -> Iterator[View]:
    """The figures of each benchmark: one for each metric and setting, with a line for each system and T.

    The horizontal axis is the images seen, or commits. `of` is a prefix of their ids.
    """
    found: dict[tuple[str, str, str], dict[tuple[object, ...], Numbers]] = {}
    for x, entry in runs:
        for n in entry.numbers:
            if drawing.is_drawable(n):
                group = found.setdefault((n.benchmark, n.metric, n.setting), {})
                group.setdefault((n.system, n.steps, n.solver), {})[x] = n
    for i, group in enumerate(found.values()):
        yield _figure(f"f{of}{i}", list(group.values()), runs, by_images)


def _figure(name: str, group: Sequence[Numbers], runs: Runs, by_images: bool) -> View:
    """One metric of a benchmark: its plot, and the newest runs, each with its identifying cells and
    the value of each series (empty if not measured).
    """
    from matplotlib.ticker import EngFormatter, MaxNLocator

    newest = group[0][max(group[0])]
    lines = [line for i, numbers in enumerate(group) for line in lines_of(i, numbers)]

    def paint(axes: Any) -> None:
        for line in lines:
            drawing.paint_series(axes, line)
        if by_images:
            axes.set_xlim(left=0)
            axes.xaxis.set_major_locator(MaxNLocator(IMAGE_TICKS))
            axes.xaxis.set_major_formatter(EngFormatter())
        else:
            shown = runs[:: -max(1, math.ceil(len(runs) / COMMIT_TICKS))][::-1]
            axes.set_xticks([x for x, _ in shown], [commit_of(entry)[:7] for _, entry in shown])
            axes.set_xlim(-0.5, len(runs) - 0.5)
        drawing.plain_axes(axes, "images seen" if by_images else "commit", "")

    title = joined(labelled(newest.label, newest.unit, newest.direction), newest.setting)
    text = "; ".join(map(_in_words, group)) + "."
    keyed = tuple({line.name: line for line in lines}.values())
    svg = drawing.draw(HEIGHT, title, text, paint, LEFT)
    plot = drawing.Plot(svg, title, text, "", "", keyed, lines=True)
    measured = sorted({x for numbers in group for x in numbers}, reverse=True)[:ROWS]
    entries, rows = dict(runs), []
    for x in measured:
        values = [numbers[x].printed if x in numbers else "" for numbers in group]
        when = f"{entries[x].when:%Y-%m-%d %H:%M}"
        cells = (f"{x:,}", when) if by_images else (when, commit_of(entries[x]))
        rows.append((cells, values))
    return {"id": name, "benchmark": newest.benchmark, "plot": plot, "rows": rows}


def lines_of(own: int, numbers: Numbers) -> list[drawing.Series]:
    """One system's numbers as lines.

    A line breaks where the protocol changed, or the n if the metric depends on it.
    """
    newest = numbers[max(numbers)]
    name = joined(newest.system, steps_text(newest))
    parts: list[list[drawing.Point]] = []
    before = None
    for x, number in sorted(numbers.items()):
        alike = (number.protocol, comparable_n(number))
        if alike != before:
            parts.append([])
        parts[-1].append(drawing.point(x, number))
        before = alike
    turn = own // drawing.COLOURS
    look = own % drawing.COLOURS, (own + turn) % drawing.MARKERS, turn % len(drawing.DASHES)
    return [drawing.Series(name, tuple(points), *look) for points in parts]


def _in_words(numbers: Numbers) -> str:
    first, last = numbers[min(numbers)], numbers[max(numbers)]
    if len(numbers) == 1:
        return f"{last.system}: {last.printed}"
    return f"{last.system}: {first.printed} at first, {last.printed} at last"


# ----------------------------------------------------------------------------------------------
# The evaluations of a training


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


def runs_in(folder: Path) -> Iterable[Path]:
    """The run folders in the folder of a training."""
    found = (path for pattern in EVALUATIONS for path in sorted(folder.glob(pattern)))
    return (path for path in found if path.is_dir() and SEEN.fullmatch(path.name))
