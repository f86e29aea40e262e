"""The table of headlines: who is better, for all benchmarks and systems at once.

A row is the headline of one benchmark among codes of one kind, a column a system. The page shows it
first, and the terminal prints it. Systems whose code holds an inverted x_T have rows of their own,
for such a code has as many numbers as the image.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from reports.records.metrics import Metrics
from reports.records.reading import Fields, few, joined, listed, part_of
from reports.records.record import NEITHER, Record
from reports.records.specs import SMOKE
from reports.tables import numbers
from reports.tables.build import Merged
from reports.tables.contests import Contest, Headline, first_metric
from reports.tables.layout import VALUE, Panel, Table, TableCell, label, value
from reports.tables.numbers import counted
from reports.tables.ranking import CODE, WITH_NOISE, has_inverted_noise, sizes_of_codes

FEW = 100  # images: numbers of fewer are named in the cautions
MOST_NAMES = 4  # metrics or systems in a caution
LABELS = 3  # columns of labels on the left
REFERENCE = "references"  # the last column, if there is one
MEANINGLESS = "The profile {} only shows that everything runs: its numbers mean nothing{}."
ALONE = "code alone"  # of rows beside which others have inverted noise
CAPTION = "Bold: the best, and what is within noise of it. References do not compete."


@dataclass(frozen=True)
class HeadlineRow:
    """The headline of a benchmark among codes of one kind.

    `kind` names the kind of code where that matters. `numbers` are the competing systems, `best`
    those of them that are set in bold, and `references` what gives the scale. `why` says for a
    system why it has no number in this row, or why its number is not compared.
    """

    kind: str
    numbers: Mapping[str, Record]
    best: frozenset[Record]
    references: tuple[Record, ...]
    why: Mapping[str, str]

    @property
    def records(self) -> list[Record]:
        return list(self.numbers.values())


def headline_rows(merged: Merged) -> list[HeadlineRow]:
    """A row for each benchmark and kind of code, in the order of the tables.

    Each benchmark is represented by its first headline metric that no earlier row shows with the
    same numbers.
    """
    rows: list[HeadlineRow] = []
    shown: set[frozenset[tuple[str, float | None]]] = set()
    for headline in merged.headlines:
        for contests in headline.contests:
            ours = list(_rows_of(headline, contests, merged))
            values = frozenset((r.metric, r.value) for row in ours for r in row.records)
            if values not in shown:
                shown.add(values)
                rows += ours
                break
        else:
            rows += _without_direction(headline, merged) if not headline.contests else []
    return rows


def _rows_of(
    headline: Headline, contests: Sequence[Contest], merged: Merged
) -> Iterator[HeadlineRow]:
    """The rows of one metric: codes without inverted noise first, which has the references."""
    for contest in contests:
        apart = {r.system: r for r in contest.of_other_n}
        numbers_of = {r.system: r for r in contest.systems} | apart
        kind = contest.group if len(contests) > 1 or contest.group == WITH_NOISE else ""
        why = {name: f"not compared: n = {r.n:,}" for name, r in apart.items()}
        why |= _reasons(headline, kind, numbers_of, merged)
        scale = contest.scale if contest is contests[0] else ()
        yield HeadlineRow(kind, numbers_of, frozenset(contest.bold), scale, why)


def _without_direction(headline: Headline, merged: Merged) -> Iterator[HeadlineRow]:
    """The row of a headline by which nobody can be best, such as a count of parameters."""
    metric = first_metric(headline.shown, headline.spec.headline, merged.metrics)
    ours = [r for r in headline.shown if r.metric == metric]
    numbers_of: dict[str, Record] = {}
    for r in ours:
        if not r.reference:
            numbers_of.setdefault(r.system, r)
    if numbers_of:
        references = tuple(r for r in ours if r.reference)
        why = _reasons(headline, "", numbers_of, merged)
        yield HeadlineRow("", numbers_of, frozenset(), references, why)


def competing(merged: Merged) -> list[str]:
    """The systems of the columns: those that compete, measured or not."""
    return [name for name in merged.systems if name not in merged.references]


def _reasons(
    headline: Headline, kind: str, numbers_of: Mapping[str, Record], merged: Merged
) -> dict[str, str]:
    """Why each system that is not among `numbers_of` has no number in a row."""
    absent = [name for name in competing(merged) if name not in numbers_of]
    return {name: _reason(name, headline, kind, merged) for name in absent}


def _reason(system: str, headline: Headline, kind: str, merged: Merged) -> str:
    """Why a system has no number in a row."""
    ours = [r for r in merged.records if r.system == system]
    here = [r for r in ours if r.benchmark == headline.benchmark]
    measured = [r for r in headline.shown if r.system == system]
    if any(r.contest for r in measured):
        return "measured by another protocol"
    if measured and kind == CODE:
        return "has no number from the code alone: its code includes the inverted noise"
    if measured and kind == WITH_NOISE:
        return "inverts no noise"
    return next((r.note for r in here if r.value is None and r.note), "not measured")


# ----------------------------------------------------------------------------------------------
# As a table


def table_of_headlines(merged: Merged, rows: Sequence[HeadlineRow]) -> Table:
    """The rows as a table for any renderer."""
    systems = competing(merged)
    headers = ("benchmark", "metric", "measured", *(_column(s, merged) for s in systems))
    headers += (REFERENCE,) if any(row.references for row in rows) else ()
    lines = []
    for row in rows:
        cells = [label(text) for text in _labels(row, merged)]
        cells += [_cell(row, system, merged.metrics) for system in systems]
        if REFERENCE in headers:
            texts = (f"{r.system} {value(r, merged.metrics).text}" for r in row.references)
            cells.append(label("; ".join(texts)))
        lines.append(tuple(cells))
    records = tuple(r for row in rows for r in row.records)
    best = frozenset(r for row in rows for r in row.best)
    size = _shared_size(merged)
    caption = f"{CAPTION} Images of {size}." if size else CAPTION
    panel = Panel("", headers, tuple(lines))
    return Table("headlines", "Headlines", caption, (panel,), records, best, merged.metrics)


def _cell(row: HeadlineRow, system: str, metrics: Metrics) -> TableCell:
    record, why = row.numbers.get(system), row.why.get(system, "")
    if record is None:
        return TableCell(VALUE, note=why)
    return replace(value(record, metrics, record in row.best), note=why)


def _labels(row: HeadlineRow, merged: Merged) -> tuple[str, str, str]:
    """Benchmark with the kind of code; metric with its direction; setting, T, n and image size."""
    records = row.records
    settings, all_steps = {r.setting for r in records}, {r.steps for r in records} - {None}
    setting = settings.pop() if len(settings) == 1 else None
    steps = all_steps.pop() if len(all_steps) == 1 else None  # of the systems that take steps
    is_kind = row.kind and str(setting).startswith("x_T ")  # which the row says already
    place = "" if is_kind or setting is None else str(setting)
    metric = joined(numbers.heading(records[0].metric, records, merged.metrics), place)
    at = "" if steps is None else f"T = {steps}"
    size = "" if _shared_size(merged) else joined(*_image_sizes(records, merged))
    kind = ALONE if row.kind == CODE else row.kind
    benchmark = joined(records[0].benchmark, kind)
    return benchmark, metric, joined(at, counted(records), size)


def _shared_size(merged: Merged) -> str:
    """`32 px` if all numbers are of images of this size; else empty."""
    sizes = _image_sizes(merged.records, merged)
    return sizes[0] if len(sizes) == 1 else ""


def _image_sizes(records: Sequence[Record], merged: Merged) -> list[str]:
    transforms = (
        part_of(merged.protocols.get(key, {}), "transform")
        for key in dict.fromkeys(r.protocol for r in records)
    )
    sizes = {transform.get("image_size") for transform in transforms} - {None}
    return [f"{size} px" for size in sorted(sizes, key=str)]


def _column(system: str, merged: Merged) -> str:
    """A system with the size of its code, with and without inverted noise."""
    return joined(system, code_text(system, merged))


def code_text(system: str, merged: Merged) -> str:
    """`code of 256, with inverted noise 3,328`; empty if no size was measured."""
    sizes = code_sizes(system, merged)
    texts = []
    if CODE in sizes:
        texts.append(f"code of {sizes[CODE]:,.0f}")
    if WITH_NOISE in sizes:
        texts.append(f"{'' if texts else 'code '}with inverted noise {sizes[WITH_NOISE]:,.0f}")
    return joined(*texts)


def code_sizes(system: str, merged: Merged) -> dict[str, float]:
    """The numbers of a system's code, by its kind."""
    sizes: dict[str, float] = {}
    for r in sizes_of_codes(merged.rows).get(system, ()):
        if r.value:
            sizes.setdefault(WITH_NOISE if has_inverted_noise(r) else CODE, r.value)
    return sizes


# ----------------------------------------------------------------------------------------------
# What forbids a comparison


def cautions(merged: Merged, rows: Sequence[HeadlineRow]) -> list[str]:
    """At most five lines: few images, stand-in networks, resized images, training on this data,
    unequal sizes of codes.
    """
    lines = [
        _of_smoke(merged) or _few_images(rows, merged.metrics),
        _stand_ins(rows, merged.metrics),
        _resized(merged),
        _trained_on_this_data(merged),
        _unequal_codes(merged),
    ]
    return [line for line in lines if line]


def _of_smoke(merged: Merged) -> str:
    """That the numbers of runs of the profile `smoke`, or of one made from it, mean nothing."""
    runs = [run for run in merged.folders if _base(run.notes) == SMOKE]
    named = f" ({listed([run.label for run in runs])})" if len(merged.folders) > 1 else ""
    return MEANINGLESS.format(SMOKE, named) if runs else ""


def _base(notes: Fields) -> object:
    """The built-in profile that a run's was made from."""
    profile = part_of(part_of(notes, "settings"), "profile")
    return profile.get("base", profile.get("name"))


def _few_images(rows: Sequence[HeadlineRow], metrics: Metrics) -> str:
    counts: dict[str, int] = {}
    for row in rows:
        for r in row.records:
            if r.n is not None and 1 < r.n < FEW and r.direction != NEITHER:
                counts[r.benchmark] = min(r.n, counts.get(r.benchmark, r.n))
    if not counts:
        return ""
    texts = [f"{name} (n = {n})" for name, n in sorted(counts.items(), key=lambda pair: pair[1])]
    return f"Few images, so that small differences cannot be seen: {_some(texts)}."


def _stand_ins(rows: Sequence[HeadlineRow], metrics: Metrics) -> str:
    pairs = {}
    for row in rows:
        metric = metrics.get(row.records[0].metric)
        if metric and metric.stands_in_for:
            pairs[row.records[0].metric] = numbers.metric_label(metric.stands_in_for, metrics)
    texts = [f"{name} instead of {original}" for name, original in pairs.items()]
    if not texts:
        return ""
    return f"Stand-in networks, not comparable with published values: {_some(texts)}."


def _resized(merged: Merged) -> str:
    texts = {
        str(part_of(run.notes, "comparison").get("text", "")).strip() for run in merged.folders
    }
    return " ".join(sorted(texts - {""}))


def _trained_on_this_data(merged: Merged) -> str:
    names = dict.fromkeys(
        str(name) for run in merged.folders for name in part_of(run.notes, "seen_in_training")
    )
    return f"Trained on these images: {_some(list(names))}." if names else ""


def _unequal_codes(merged: Merged) -> str:
    by_kind: dict[str, dict[str, float]] = {}
    for system in competing(merged):
        for kind, size in code_sizes(system, merged).items():
            by_kind.setdefault(kind, {})[system] = size
    parts = []
    for kind, sizes in by_kind.items():
        if len(set(sizes.values())) > 1:
            ordered = sorted(sizes.items(), key=lambda pair: pair[1])
            parts += [_some([f"{name} {size:,.0f}" for name, size in ordered]) + f" ({kind})"]
    return f"Codes differ in size: {'; '.join(parts)}." if parts else ""


def _some(texts: Sequence[str]) -> str:
    """The first few of `texts`, and how many more there are."""
    return listed(few(texts, MOST_NAMES))
