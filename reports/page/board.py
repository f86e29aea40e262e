"""The board: one page of many entries, by data and protocol.

Runs of one suite, or of none, that measured everything alike share a group, so that no column has
unlike protocols; the paper's own numbers are the last group. Within a group each metric is ranked,
with each pair's difference and whether it is beyond noise. The page's script (board.js) only chooses what is shown, and draws it.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from urllib.parse import quote

from reports.page.head import facts_of
from reports.page.html import embedded, filled, source
from reports.page.plots.drawing import COLOURS, colour_of, is_drawable, point
from reports.page.verdicts import gap_text, how, how_sure, size_of_code, sizes_of_codes
from reports.page.view import Numbers, View, details, protocols_of, table_view
from reports.records.entries import FILES, Entry
from reports.records.metrics import METRICS, with_stand_ins
from reports.records.published import published_records
from reports.records.reading import joined
from reports.records.record import Record, record_key
from reports.records.run_folder import SAMPLES, Run
from reports.tables.build import Merged, merge
from reports.tables.layout import contests, field_text
from reports.tables.make_files import heading as tables_heading
from reports.tables.numbers import error_text, heading, metric_label, steps_text, value_text
from reports.tables.ranking import INVERTED, choose, comparable_n, gap_between, loss

TRADED = ("latent_dim", "bits_per_pixel")  # of its code: what an entry trades for its quality
CALLS = "network calls per image"
FAMILIAR = ("ssim", "lpips", "fid", "psnr", "auroc", "mse")  # by the first of these a board opens
Sizes = dict[str, Mapping[tuple[str, str], float]]  # by metric, then by system and setting


def render(entries: Sequence[Entry], beside: Path) -> str:
    """The page of `entries` as text; links to their files are relative to the folder `beside`."""
    groups = groups_of([entry.run for entry in entries])
    groups.append(_published(groups))
    numbers: Numbers = {}
    shown = [_group(i, found, numbers) for i, found in enumerate(groups)]
    held = [list(_contests(found, numbers)) for found in groups]
    ranked = [{"contests": contests, "opens": _opens(contests)} for contests in held]
    known = {name: m for found in groups[::-1] for name, m in found.known.items()}
    again = _taken_again(groups, entries)
    told = [details(number, known) | again.get(number, {}) for number in numbers]
    data = {"numbers": told, "groups": ranked, "traded": [*map(metric_label, TRADED), CALLS]}
    protocols = {key: fields for found in groups for key, fields in found.protocols.items()}
    return filled(
        "board.html.j2",
        source("page.js") + source("board.js"),
        groups=shown,
        entries=[_entry(entry, beside) for entry in entries],
        protocols=protocols_of(numbers, protocols),
        data=embedded(data),
    )


def _taken_again(groups: Sequence[Merged], entries: Sequence[Entry]) -> dict[Record, View]:
    """What of each number was taken again from the scores of its images, for its details."""
    taken = {entry.name: entry.taken for entry in entries}
    found = {}
    for group in groups:
        for r in group.rows:
            run = r.run or group.sources[0].label
            if run in taken and r.value is not None:
                found[r] = {"taken again": taken[run].get(r.origin or record_key(r), "no")}
    return found


def groups_of(runs: Sequence[Run]) -> list[Merged]:
    """Runs of one suite, or of none, on the same data in groups within which no number was measured
    otherwise than another.
    """
    groups: list[Merged] = []
    for run in runs:
        on_same = (i for i, g in enumerate(groups) if _same(g, run))
        for i in on_same:
            both = merge([*groups[i].sources, run])
            if not any(record.contest for record in both.rows):
                groups[i] = both
                break
        else:
            groups.append(merge([run]))
    return groups


def _same(group: Merged, run: Run) -> bool:
    """Whether a run is of the data and the suite of a group."""
    a, b = ({record.dataset for record in rows} for rows in (group.rows, run.rows))
    return a == b and group.suite == run.suite


def _published(groups: Sequence[Merged]) -> Merged:
    """The paper's numbers, in the tables of the entries, with no more digits than it prints."""
    specs = {spec.name: spec for found in groups for spec in found.specs}
    run = Run(Path("published"), tuple(published_records()), {}, {}, specs=tuple(specs.values()))
    as_printed = {name: replace(metric, digits=None) for name, metric in METRICS.items()}
    return replace(merge([run]), known=as_printed)


def _group(index: int, found: Merged, numbers: Numbers) -> View:
    """A group as the page shows it: its tables, and what its runs do not share."""
    names = [run.label for run in found.sources if run.label]
    title = tables_heading(found)[0] if names else "As published: Preechakul et al. 2022"
    tables = [table_view(table, numbers, f"g{index}") for table in found.tables[1:]]
    about = {"id": f"g{index}", "title": title, "entries": names, "remarks": found.remarks}
    return about | {"tables": tables}


def _entry(entry: Entry, beside: Path) -> View:
    """An entry's card, how it was run, and links to its files; and which of its numbers were taken
    again, and which nobody can without measuring.
    """

    def link(path: Path) -> str:
        return quote(Path(os.path.relpath(path, beside)).as_posix())

    files = [entry.run.folder / name for name in FILES]
    pictures = sorted(entry.run.folder.glob("pictures/*.png"))
    numbers = {key: r for key, r in entry.run.records.items() if r.value is not None}
    others = dict.fromkeys(r.metric for key, r in numbers.items() if key not in entry.taken)
    again = f"{len(entry.taken):,} of {len(numbers):,} numbers, from {SAMPLES}"
    facts = [("Taken again", again), ("Only by measuring again", ", ".join(others))]
    return {
        "name": entry.name,
        "card": entry.card,
        "facts": [*facts_of(entry.run), *facts],
        "files": [(link(path), path.name) for path in files if path.exists()],
        "pictures": [(link(path), path.stem) for path in pictures],
    }


# ----------------------------------------------------------------------------------------------
# Contests: the numbers that compete with each other


def _contests(found: Merged, numbers: Numbers) -> Iterator[View]:
    """Each metric of each table that something competes in: who competes, the best first, and the
    differences of all pairs in words.
    """
    traded = _traded(found)
    for spec in sorted(found.specs, key=lambda spec: spec.order):
        chosen = choose(spec, found.rows)
        order = with_stand_ins(spec.in_order, found.known)
        ours = contests(spec, chosen, found.known)
        ours.sort(key=lambda rivals: (*order, rivals[0].metric).index(rivals[0].metric))
        for rivals, name in zip(ours, _names(ours, found), strict=True):
            everyone = [*rivals, *_references(rivals, chosen, found)]
            ordered = sorted(filter(is_drawable, everyone), key=loss)
            shown = [_rival(r, ordered, traded, found, numbers) for r in ordered]
            pairs = [_pair(a, b, found) for i, b in enumerate(ordered) for a in ordered[:i]]
            if ordered:
                about = {"name": name, "table": spec.title, "metric": rivals[0].metric}
                yield about | {"rivals": shown, "pairs": pairs}


def _opens(contests: Sequence[View]) -> int:
    """The contest that is shown first: by the metric that most readers know. Of those with an inverted
    x_T and those without, of one table, that of more systems, or the latter.
    """
    ranks = [(*FAMILIAR, c["metric"]).index(c["metric"]) for c in contests]
    if not ranks:
        return 0
    first = contests[ranks.index(min(ranks))]
    alike = [i for i, c in enumerate(contests) if _same_column(c, first)]
    return min(alike, key=lambda i: (-_systems_in(contests[i]), INVERTED in contests[i]["name"]))


def _same_column(contest: View, other: View) -> bool:
    return (contest["table"], contest["metric"]) == (other["table"], other["metric"])


def _systems_in(contest: View) -> int:
    return len({rival["system"] for rival in contest["rivals"] if not rival["reference"]})


def _names(ours: Sequence[Sequence[Record]], found: Merged) -> list[str]:
    """The metric of each contest, and what tells it from the table's others of that metric."""
    names = [heading(rivals[0].metric, rivals, found.known) for rivals in ours]
    metrics = [rivals[0].metric for rivals in ours]
    for field in ("dataset", "setting", "steps"):
        values = [{field_text(r, field) for r in rivals} for rivals in ours]
        for i, own in enumerate(values):
            alike = [v for v, metric in zip(values, metrics, strict=True) if metric == metrics[i]]
            if len(own) == 1 and any(other != own for other in alike):
                own_text = steps_text(ours[i][0]) if field == "steps" else min(own)
                names[i] = joined(names[i], own_text)  # of a system without T nothing
    return names


def _references(rivals: Sequence[Record], chosen: Sequence[Record], found: Merged) -> list[Record]:
    """The references that give a contest its scale, such as real images, of as many images."""
    same = attrgetter("metric", "dataset", "split")
    first = rivals[0]
    settings, steps = {r.setting for r in rivals}, {r.steps for r in rivals}
    return [
        r
        for r in chosen
        if r.reference
        and same(r) == same(first)
        and comparable_n(r, found.known) == comparable_n(first, found.known)
        and (r.setting in settings or len(settings) > 1)
        and (r.steps is None or r.steps in steps)
    ]


def _rival(
    record: Record, everyone: list[Record], traded: Sizes, found: Merged, numbers: Numbers
) -> View:
    own, system = point(0, record), colour_of(found, record.system)
    return {
        "label": joined(record.system, how(record, everyone)),
        "system": record.system,
        "reference": record.reference,
        "entry": record.run or found.sources[0].label,
        "colour": system % COLOURS,
        "shape": system // COLOURS,
        "n": record.n,
        "text": value_text(record, found.known),
        "error": error_text(record, found.known),
        "at": [own.low, own.y, own.high],
        "traded": [*(size_of_code(record, sizes) for sizes in traded.values()), record.calls],
        "number": numbers.setdefault(record, len(numbers)),
    }


def _traded(found: Merged) -> Sizes:
    return {name: sizes_of_codes(found.rows, name) for name in TRADED}


def _pair(better: Record, other: Record, found: Merged) -> list[float | str]:
    """A difference: its size, the size with its error, and how sure it is."""
    gap = gap_between(better, other, found.uncertainty, found.known)
    return [float(f"{gap.behind:.6g}"), gap_text(gap, found.known), how_sure(gap)]
