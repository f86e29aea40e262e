"""The board: one page of many entries, by data and protocol.

Runs of one suite, or of none, that measured everything alike share a group, so that no ranking has
unlike protocols. Within a group the systems are ranked by each metric of the tables that have a headline, with
each difference to the best and whether it is beyond noise.
"""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from operator import attrgetter
from pathlib import Path
from urllib.parse import quote

from reports.page.head import facts_of
from reports.page.html import embedded, filled, source
from reports.page.view import Numbers, View, dialogs, table_view
from reports.records.entries import FILES, Entry
from reports.records.metrics import Metrics, with_stand_ins
from reports.records.reading import joined
from reports.records.record import Record
from reports.records.run_folder import SAMPLES, Run
from reports.records.specs import TableSpec
from reports.tables.build import Merged, merge
from reports.tables.layout import Panel, Table, contests, label, value
from reports.tables.make_files import heading as tables_heading
from reports.tables.numbers import heading, number_text, steps_text, to_error
from reports.tables.ranking import (
    FEWEST,
    LEVEL,
    UNDECIDED,
    WITH_NOISE,
    Gap,
    at_largest_steps,
    choose,
    comparable_n,
    gap_between,
    has_inverted_noise,
    is_measured,
    leading,
    loss,
    size_of_code,
    sizes_of_codes,
)

HEADERS = ("system", "code size", "place", "value", "n", "behind the best", "how sure", "entry")


def render(entries: Sequence[Entry], beside: Path) -> str:
    """The page of `entries` as text; links to their files are relative to the folder `beside`."""
    groups = groups_of([entry.run for entry in entries])
    numbers: Numbers = {}
    shown = [_group(i, group, numbers) for i, group in enumerate(groups)]
    metrics = {name: m for group in groups[::-1] for name, m in group.metrics.items()}
    protocols = {key: fields for group in groups for key, fields in group.protocols.items()}
    return filled(
        "board.html.j2",
        source("page.js"),
        groups=shown,
        entries=[_entry(entry, beside) for entry in entries],
        data=embedded(dialogs(numbers, metrics, protocols)),
    )


def groups_of(runs: Sequence[Run]) -> list[Merged]:
    """Runs of one suite, or of none, on the same data in groups within which no number was measured
    otherwise than another.
    """
    groups: list[Merged] = []
    for run in runs:
        for i, group in enumerate(groups):
            both = merge([*group.sources, run]) if _same(group, run) else None
            if both and not any(record.contest for record in both.rows):
                groups[i] = both
                break
        else:
            groups.append(merge([run]))
    return groups


def _same(group: Merged, run: Run) -> bool:
    """Whether a run is of the data and the suite of a group."""
    a, b = ({record.dataset for record in rows} for rows in (group.rows, run.rows))
    return a == b and group.suite == run.suite


def _group(index: int, merged: Merged, numbers: Numbers) -> View:
    """A group as the page shows it: the rankings by table, and what its runs do not share."""
    rankings = {
        spec.title: list(rankings_of(spec, merged)) for spec in merged.specs if spec.headline
    }
    return {
        "id": f"g{index}",
        "title": tables_heading(merged)[0],
        "entries": [run.label for run in merged.sources],
        "remarks": merged.remarks,
        "rankings": {
            title: [table_view(table, numbers, f"g{index}") | {"legend": ()} for table in tables]
            for title, tables in rankings.items()
            if tables
        },
    }


def _entry(entry: Entry, beside: Path) -> View:
    """An entry's card, how it was run, and links to its files; and which of its numbers were taken
    again, and which nobody can without measuring.
    """

    def link(path: Path) -> str:
        return quote(Path(os.path.relpath(path, beside)).as_posix())

    files = [entry.run.folder / name for name in FILES]
    pictures = sorted(entry.run.folder.glob("pictures/*.png"))
    again = f"{len(entry.taken):,} of {len(entry.measured):,} numbers, from {SAMPLES}"
    facts = [("Taken again", again), ("Only by measuring again", ", ".join(entry.not_taken))]
    return {
        "name": entry.name,
        "card": entry.card,
        "facts": [*facts_of(entry.run), *facts],
        "files": [(link(path), path.name) for path in files if path.exists()],
        "pictures": [(link(path), path.stem) for path in pictures],
    }


# ----------------------------------------------------------------------------------------------
# Rankings: the numbers that compete with each other


def rankings_of(spec: TableSpec, group: Merged) -> Iterator[Table]:
    """A table for each metric of a table that something competes in, each system at its largest T, and the
    best first. Of one metric, codes with inverted noise come last, and then those rankings with fewer rivals.
    """
    chosen = at_largest_steps(choose(spec, group.rows))
    order = with_stand_ins(spec.in_order, group.metrics)
    held = contests(spec, chosen, group.metrics)
    for number, rivals in enumerate(sorted(held, key=partial(_place, order))):
        everyone = [*rivals, *_references(rivals, chosen, group)]
        yield _ranking(f"{spec.name}-{number}", everyone, group, _name(rivals, group))


def _ranking(name: str, everyone: Sequence[Record], group: Merged, title: str) -> Table:
    """A row for each number, the best first; references have no place."""
    sizes = sizes_of_codes(group.rows)
    ordered = sorted(everyone, key=loss)
    rivals = [r for r in ordered if not r.reference]
    bold = frozenset(leading(rivals, group.metrics))
    rows = []
    for r in ordered:
        size, place = size_of_code(r, sizes), "" if r.reference else f"{rivals.index(r) + 1}"
        texts = (
            joined(r.system, _setting(r, ordered)),
            "" if size is None else f"{size:,.6g}",
            place,
        )
        behind = _behind(rivals[0], r, group.metrics)
        after = ("" if r.n is None else f"{r.n:,}", *behind, r.run or group.sources[0].label)
        number = value(r, group.metrics, r in bold)
        rows.append((*map(label, texts), number, *map(label, after)))
    panel = Panel("", HEADERS, tuple(rows))
    return Table(name, title, "", (panel,), tuple(ordered), bold, group.metrics)


def _place(order: Sequence[str], rivals: Sequence[Record]) -> tuple[int, bool, int]:
    """The place of a contest among those of its table, by the `order` of the metrics."""
    metric = rivals[0].metric
    return (*order, metric).index(metric), has_inverted_noise(rivals[0]), -len(rivals)


def _name(rivals: Sequence[Record], group: Merged) -> str:
    """The metric of a contest, what all of its numbers share, and whether their codes hold noise."""
    first, parts = rivals[0], [heading(rivals[0].metric, rivals, group.metrics)]
    if len({r.dataset for r in group.rows}) > 1:
        parts.append(first.dataset)
    if len({r.setting for r in rivals}) == 1:
        parts.append(first.setting)
    if len({r.steps for r in rivals}) == 1:
        parts.append(steps_text(first))
    if has_inverted_noise(first):
        parts.append(WITH_NOISE)
    return joined(*parts)


def _references(rivals: Sequence[Record], chosen: Sequence[Record], group: Merged) -> list[Record]:
    """The references that give a contest its scale, such as real images, of as many images."""
    same, first = attrgetter("metric", "dataset", "split"), rivals[0]
    settings, steps = {r.setting for r in rivals}, {r.steps for r in rivals} | {None}
    n = comparable_n(first, group.metrics)
    return [
        r
        for r in chosen
        if r.reference and is_measured(r) and same(r) == same(first)
        if comparable_n(r, group.metrics) == n
        if (r.setting in settings or len(settings) > 1) and r.steps in steps
    ]


def _setting(record: Record, others: Sequence[Record]) -> str:
    """What distinguishes a record from `others` besides its system: setting and T, if they have several."""
    setting = record.setting if len({r.setting for r in others}) > 1 else ""
    steps = steps_text(record) if len({r.steps for r in others} - {None}) > 1 else ""
    return joined(setting, steps)


def _behind(best: Record, other: Record, metrics: Metrics) -> tuple[str, str]:
    """How far a number is behind the best, and how sure that is."""
    if other is best:
        return "", "best"
    gap = gap_between(best, other, metrics)
    side = "better by " if gap.behind < 0 else ""
    return side + _size(gap, metrics), _certainty(gap)


def _size(gap: Gap, metrics: Metrics) -> str:
    """`0.0123 ± 0.0011`: the size of a difference, with its error if that is known."""
    size, error = abs(gap.behind), gap.stderr
    if not error:
        return number_text(size, gap.record.metric, metrics)
    return f"{to_error(size, error)} ± {to_error(error, error)}"


def _certainty(gap: Gap) -> str:
    """How a difference was measured, and whether chance may explain it."""
    if gap.standing == UNDECIDED:
        why = f"fewer than {FEWEST} images" if gap.is_of_few else "no error of it is known"
        return f"{UNDECIDED}: {why}"
    if gap.noise is None or gap.stderr is None:
        return "exact" if gap.behind else "the same"
    pairing = "paired" if gap.paired else "unpaired"
    return f"{pairing}, {'within' if gap.standing == LEVEL else 'beyond'} noise"
