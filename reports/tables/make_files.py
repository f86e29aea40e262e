"""The tables of `reports.make` in every format, from run folders."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from diffae.system.errors import UserError
from diffae.system.whole import write_whole
from reports.records.estimate import Estimate
from reports.records.published import without_published
from reports.records.reading import joined, part_of, short
from reports.records.record import Record, error_between, record_key
from reports.records.run_folder import Run
from reports.tables import latex, numbers
from reports.tables.build import Merged, write_tables
from reports.tables.contests import headlines
from reports.tables.layout import Panel, Table, TableCell, contests, label
from reports.tables.numbers import number_text, steps_text, to_error
from reports.tables.ranking import UNDECIDED, choose, gap_between, own_best

# The table of differences between systems and between runs, with their errors: paired over the images that both share.
DIFFERENCES = "differences"
HEADERS = ("benchmark", "number", "A", "B", "B − A", "95 % interval", "how")
CAPTION = (
    "The headline of each benchmark, B minus A, ± the standard error of the difference. Within a run each system is "
    "taken at its best setting. Paired: both are of the same "
    "images and noise, whose part cancels; partly: some of it is shared (the real images of a Frechet distance, say); "
    "else they are independent. An interval without 0 is a difference at the 5 % level, taken alone: of twenty that are "
    "none, one looks like one."
)
MOST_DECIMALS = 6


def table_of_differences(merged: Merged) -> Table | None:
    """The table, or None if there is nothing to compare. Means of several runs are left out."""
    made = [_compared(a, b, merged) for a, b in _compared_pairs(merged)]
    if not made:
        return None
    rows, records = zip(*made, strict=True)
    panel = Panel("", HEADERS, rows)
    return Table(
        DIFFERENCES, "Differences", CAPTION, (panel,), records, frozenset(), merged.metrics
    )


def _compared_pairs(merged: Merged) -> Iterator[tuple[Record, Record]]:
    """Each number of a headline with the same one of an earlier run. Of those that no earlier run
    has, each system at its best setting with the first system at its own.
    """
    name, metrics = merged.run_groups[0].name, merged.metrics
    alone = (r for r in merged.rows if not r.pooled)
    records = [r if r.origin else replace(r, run=name, origin=record_key(r)) for r in alone]
    for spec in merged.specs:
        for rivals in contests(spec, headlines(spec, choose(spec, records), metrics), metrics):
            first: dict[str, Record] = {}
            taken = own_best(rivals)
            for rival in rivals:
                twin = first.setdefault(rival.origin, rival)
                if twin is not rival:
                    yield twin, rival
                elif rival in taken[1:]:
                    yield taken[0], rival


def _compared(a: Record, b: Record, merged: Merged) -> tuple[tuple[TableCell, ...], Record]:
    """B minus A, paired over what both share: as cells, and as a row of the CSV file, which is that of
    B with A in its note.
    """
    assert a.value is not None and b.value is not None
    value, metrics = b.value - a.value, merged.metrics
    error = error_between(a, b)
    units = [{source.units for source in r.estimate.influences} for r in (a, b)]
    is_paired = a.estimate.is_paired_with(b.estimate)
    pairing = "paired" if is_paired else "partly" if units[0] & units[1] else "independent"
    if gap_between(a, b, metrics).standing == UNDECIDED:
        pairing = f"{pairing}, {UNDECIDED}"
    n = min((r.n for r in (a, b) if r.n is not None), default=None)
    difference = Estimate(value, error=error, n=n)
    ends = difference.interval()
    if error and error.stderr and ends:
        text, end, to = (_rounded(x, error.stderr) for x in (value, *ends))
        text, interval = f"{text} ± {_rounded(error.stderr, error.stderr)}", f"{end} to {to}"
    else:
        text, interval = number_text(value, a.metric, metrics), ""
    first, second = (joined(r.system, r.setting, steps_text(r)) for r in (a, b))
    if first == second:
        first, second = f"{first} ({a.run})", f"{second} ({b.run})"
    number, sign = numbers.heading(a.metric, [a], metrics), "+" if value > 0 else ""
    cells = (a.benchmark, number, first, second, sign + text, interval, pairing)
    note = f"minus {first}; {pairing}"
    record = replace(without_published(b), estimate=difference, note=note)
    return tuple(map(label, cells)), record


def _rounded(number: float, error: float) -> str:
    """`number` rounded to the second digit of `error`, like all numbers of a row."""
    last = 1 - math.floor(math.log10(error))
    if last > MOST_DECIMALS:
        return to_error(number, error)
    return numbers.with_decimals(number, max(0, last))


# ----------------------------------------------------------------------------------------------
# The files

TABLES, LATEX = "tables", "latex"


def write_files(folder: Path, merged: Merged) -> int:
    """Write the tables into `folder`, as CSV, Markdown and LaTeX, and return their number.

    Raises UserError if no table can be made.
    """
    tables = list(merged.tables)
    if DIFFERENCES in (table.name for table in tables):
        taken = (
            f"a benchmark has a table {DIFFERENCES!r}, which is the name of one of this command's"
        )
        raise UserError(f"{merged.where}: {taken}")
    if differences := table_of_differences(merged):
        tables.append(differences)
    title, context = heading(merged)
    write_tables(tables, folder / TABLES, title, context)
    write_latex(folder / LATEX, tables, title, context)
    return len(tables)


def heading(merged: Merged) -> tuple[str, dict[str, str]]:
    """The text above the tables, and the facts below them."""
    datasets = ", ".join(dict.fromkeys(r.dataset for r in merged.records if r.dataset))
    profiles = each(merged, profile_of)
    facts = {
        "run": each(merged, lambda source: str(source.folder)),
        "profile": profiles,
        "seed": each(merged, lambda source: str(source.settings.get("seed", ""))),
        "not alike": "; ".join(merged.remarks),
    }
    settings = f"suite {merged.suite}" if merged.suite else profiles and f"profile {profiles}"
    title = joined(datasets, settings)
    return title, {name: text for name, text in facts.items() if text}


def profile_of(run: Run) -> str:
    """The profile's name and its changes; empty if run.json does not say."""
    profile = part_of(run.settings, "profile")
    limit, changed = profile.get("limit"), profile.get("changed")
    limited = "" if limit is None else f"counts limited to {limit}"
    names = ", ".join(map(str, changed)) if isinstance(changed, list) else ""
    return short(joined(str(profile.get("name", "")), limited, names and f"changed: {names}"), 200)


def each(merged: Merged, describe: Callable[[Run], str]) -> str:
    """A value that all runs share, or the value of each: `A: 0, 1; B: 0`."""
    texts = [
        list(dict.fromkeys(map(describe, run_group.sources))) for run_group in merged.run_groups
    ]
    if all(text == texts[0] for text in texts):
        return ", ".join(texts[0])
    pairs = zip(merged.run_groups, texts, strict=True)
    return "; ".join(f"{group.name}: {', '.join(text)}" for group, text in pairs if any(text))


def write_latex(folder: Path, tables: list[Table], title: str, context: Mapping[str, str]) -> None:
    """Write one file per table. The overview is left out: it repeats other tables."""
    folder.mkdir()
    for table in tables:
        if table.name != "overview":
            text = latex.render(table, title, context)
            write_whole(folder / f"{table.name}.tex", text.encode())
