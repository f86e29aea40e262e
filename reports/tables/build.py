"""Tables of one run or of several, made from records and the specifications of tables.

    merged = read([a, b])
    write_tables(merged.tables, out, title, context)

Each benchmark brings the specs of its tables. Records of a table without one get a plain table;
`overview` has the headlines of all. How several runs are put side by side: run_groups.py.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from diffae.system.errors import UserError
from diffae.system.whole import write_whole
from reports.records.metrics import METRICS, Metrics
from reports.records.published import stands_beside, without_published
from reports.records.reading import Fields, joined, part_of, short
from reports.records.record import COLUMNS, Record, safe_cell
from reports.records.run_folder import Run, read_run
from reports.records.specs import TableSpec
from reports.tables import layout, markdown, numbers
from reports.tables.contests import Headline, headlined, headlines, told_together
from reports.tables.layout import Table
from reports.tables.ranking import choose, groups_of, is_measured, leading
from reports.tables.run_groups import (
    RunGroup,
    merged_metrics,
    pooled,
    remarks,
    run_groups_of,
    side_by_side,
)

if TYPE_CHECKING:
    import pandas as pd


OF_SUITE = (
    "Each system at its largest T and, of each benchmark, at the setting that is best by the first metric, without inverted "
    "noise where the system has such a number. A number that is not here could not be measured: the overview says why. "
    "Metrics of stand-ins have names of their own."
)


def write_tables(
    tables: Iterable[Table], out: Path, title: str, context: Mapping[str, str]
) -> None:
    """Write tables to the folder `out`, as NAME.md and NAME.csv.

    Every Markdown file has `title` at its head and `context` (run, profile, ...) at its foot. The
    CSV files hold the same records with plain numbers.
    """
    out.mkdir(parents=True, exist_ok=True)
    for table in tables:
        page = markdown.render(table, title, context)
        cells = to_frame(table).to_csv(index=False, lineterminator="\n")
        write_whole(out / f"{table.name}.md", page.encode())
        write_whole(out / f"{table.name}.csv", cells.encode())


def build_tables(
    records: Sequence[Record],
    specs: Iterable[TableSpec] = (),
    metrics: Metrics = METRICS,
    suite: str = "",
) -> list[Table]:
    """The overview, then each table of `records`, ready for any renderer: by `specs`, plain without
    one; that of the `suite` comes first, if all are of one data set.

    `metrics` defines the metrics. Raises ValueError if two records claim one cell, or two tables one name.
    """
    specs = sorted(specs, key=attrgetter("order"))
    by_spec = [(s, choose(s, records)) for s in (*specs, *other_specs(records, specs))]
    leading_records = [r for spec, chosen in by_spec for r in headlines(spec, chosen, metrics)]
    overview = _overview(leading_records, metrics)
    is_one = suite and len({r.dataset for r in overview.records}) == 1
    columns = told_together(overview.records, specs, metrics) if is_one else []
    tables = [
        overview,
        *([_of_suite(suite, columns, metrics)] if columns else []),
        *(layout.build(spec, chosen, metrics) for spec, chosen in by_spec if chosen),
    ]
    names = [table.name for table in tables]
    if len(set(names)) < len(names):
        raise ValueError(f"two tables would be written to one file: {', '.join(sorted(names))}")
    return tables


def to_frame(table: Table) -> "pd.DataFrame":
    """The records of `table` in reading order: plain numbers, and text safe in a spreadsheet."""
    import pandas as pd  # takes half a second, which --help does not need

    names = list(COLUMNS)
    names += ["run"] if any(r.origin for r in table.records) else []
    names += ["runs", "spread"] if any(r.pooled for r in table.records) else []
    rows = [
        [safe_cell(getattr(r, name)) for name in names]
        + [r in table.best, _detectable(r), _difference(r)]
        for r in table.records
    ]
    frame = pd.DataFrame(rows, columns=[*names, "best", "detectable_change", "difference"])
    return frame.astype({name: "Int64" for name in ("steps", "n", "calls")})


def printed(table: Table) -> "pd.DataFrame":
    """The cells of `table` as they are printed, without notes; of several panels, one below the other."""
    import pandas as pd

    frames = []
    for panel in table.panels:
        headers = list(panel.headers)
        for column in range(1, len(headers)):
            if headers[column].startswith("published"):  # the measured value is on its left
                headers[column] = f"{headers[column]}, {panel.headers[column - 1]}"
        rows = [[cell.text + cell.errors for cell in row] for row in panel.rows]
        frames.append(pd.DataFrame(rows, columns=headers))
        if panel.heading:
            frames[-1].insert(0, "metric", panel.heading)
    return pd.concat(frames, ignore_index=True)


def other_specs(records: Sequence[Record], specs: Sequence[TableSpec]) -> list[TableSpec]:
    """Plain tables of the records that none of `specs` shows."""
    sources = {spec.source for spec in specs}
    others = dict.fromkeys(r.table for r in records if r.table not in sources)
    return [
        TableSpec(
            name=re.sub(r"[^A-Za-z0-9._-]+", "_", source).strip("._-")[:100] or "other",
            title=source or "Other numbers",
            caption="",
            source=source,
            rows=("system", "setting", "steps", "solver"),
            columns=("metric",),
            headline=tuple(dict.fromkeys(r.metric for r in records if r.table == source)),
        )
        for source in others
    ]


def _overview(records: Sequence[Record], metrics: Metrics) -> Table:
    """The table of the headlines of all benchmarks."""
    columns = ("benchmark", "dataset", "system", "setting", "steps", "solver", "calls")
    fields = layout.shown_fields(records, columns)
    headers = [layout.FIELD_LABELS.get(field, field) for field in fields]
    headers += ["metric", "value", "smallest detectable change", "n"]
    has_published = any(r.published is not None for r in records)
    headers += ["published", "protocol"] if has_published else ["protocol"]
    rows = []
    for r in records:
        change = _detectable(r)
        left = [layout.field_text(r, field) for field in fields]
        left.append(numbers.heading(r.metric, [r], metrics))
        right = ["" if change is None else numbers.number_text(change, r.metric, metrics)]
        right.append("" if r.n is None else f"{r.n:,}")
        texts = (*map(layout.label, left), layout.value(r, metrics), *map(layout.label, right))
        references = [layout.reference(r, metrics)] if has_published else []
        rows.append((*texts, *references, layout.label(r.protocol)))
    caption = (
        "The headline of each benchmark, at the largest T. The smallest detectable change is 2.8 √2 times "
        "the standard error: of systems that differ by so much, two independent runs show it at the 5 % level "
        "4 times in 5."
    )
    panel = layout.Panel("", tuple(headers), tuple(rows))
    return Table("overview", "Overview", caption, (panel,), tuple(records), frozenset(), metrics)


def _of_suite(suite: str, columns: Sequence[Sequence[Record]], metrics: Metrics) -> Table:
    """The table of a suite: a row for each system, a column for each of `columns`, the numbers of a metric."""
    groups = (rivals for column in columns for rivals in groups_of(column, (), metrics))
    best = frozenset(r for rivals in groups for r in leading(rivals, metrics))
    headers, rows = ["system"], []
    for column in columns:
        settings = {r.setting for r in column if not r.reference}
        shared = settings.pop() if len(settings) == 1 else ""
        metric = numbers.heading(column[0].metric, column, metrics)
        headers.append(joined(column[0].benchmark, shared, metric))
    for system in dict.fromkeys(r.system for column in columns for r in column):
        cells = (next((r for r in column if r.system == system), None) for column in columns)
        rows.append((layout.label(system), *(layout.value(r, metrics, r in best) for r in cells)))
    records = tuple(cell.record for row in rows for cell in row if cell.record)
    panel = layout.Panel("", tuple(headers), tuple(rows))
    return Table(suite, f"Suite {suite}", OF_SUITE, (panel,), records, best, metrics)


def _detectable(record: Record) -> float | None:
    """The detectable change of one run; that of several would depend on what they share."""
    return None if record.pooled else numbers.detectable_change(record.stderr)


def _difference(record: Record) -> float | None:
    """Ours minus the published value, if the two may be compared."""
    if record.not_comparable or record.value is None or record.published is None:
        return None
    return record.value - record.published


# ----------------------------------------------------------------------------------------------
# The view of one or several runs that tables and the page are made of


@dataclass(frozen=True)
class Merged:
    """The numbers of one or several runs for one set of tables and one page.

    `rows` are those of the runs' records.csv, and `times` the numbers of the machine. `metrics`
    defines their metrics. `specs` are in the order of the tables, and `remarks` are notes on the runs
    for the reader.
    """

    run_groups: tuple[RunGroup, ...]
    rows: tuple[Record, ...]
    times: tuple[Record, ...]
    specs: tuple[TableSpec, ...]
    metrics: Metrics
    remarks: tuple[str, ...]

    @cached_property
    def records(self) -> tuple[Record, ...]:
        return (*self.rows, *self.times)

    @cached_property
    def systems(self) -> tuple[str, ...]:
        """The systems of all records, those that are only references last."""
        competing = (r.system for r in self.records if not r.reference)
        return tuple(dict.fromkeys((*competing, *(r.system for r in self.records))))

    @cached_property
    def references(self) -> set[str]:
        """The systems that have no number but references."""
        competing = {r.system for r in self.records if is_measured(r) and not r.reference}
        return {r.system for r in self.records if r.reference} - competing

    @cached_property
    def absent(self) -> list[str]:
        """The systems without any number, which need not be named in each benchmark."""
        measured = {r.system for r in self.records if is_measured(r)}
        return [name for name in self.systems if name not in measured]

    @property
    def sources(self) -> list[Run]:
        return [source for run_group in self.run_groups for source in run_group.sources]

    @property
    def suite(self) -> str:
        """The suite of all runs, as of `Run.suite`; empty without one."""
        suites = {run.suite for run in self.sources}
        return suites.pop() if len(suites) == 1 else ""

    @property
    def across(self) -> tuple[str, str]:
        """The names of the tables of all benchmarks: the overview, and that of the suite."""
        return "overview", self.suite.partition(" ")[0]

    @property
    def where(self) -> str:
        """The folders, for messages."""
        return ", ".join(str(source.folder) for source in self.sources)

    @cached_property
    def folders(self) -> tuple[Run, ...]:
        """The runs, labelled by their names on the page."""
        runs = []
        for group in self.run_groups:
            for run in group.sources:
                folder = run.folder.resolve().name
                name = group.name or folder
                is_alone = len(group.sources) == 1
                runs.append(replace(run, label=name if is_alone else f"{name}/{folder}"))
        return tuple(runs)

    @cached_property
    def protocols(self) -> dict[str, Fields]:
        return {key: fields for g in self.run_groups for key, fields in g.protocols.items()}

    @cached_property
    def tables(self) -> list[Table]:
        """The overview, the tables of the rows, and those of the times.

        Raises UserError if none can be made.
        """
        try:
            return [*self.tables_of(self.rows), *self.tables_of(self.times)[1:]]
        except ValueError as error:
            raise UserError(f"{self.where}: {short(error, 200)}") from None

    @cached_property
    def headlines(self) -> list[Headline]:
        """The headline of each benchmark: who is best."""
        return list(headlined(self.specs, self.records, self.metrics))

    def tables_of(self, records: Sequence[Record]) -> list[Table]:
        """The overview and the tables of some of the records. Raises ValueError if none can be made."""
        tables = build_tables(records, self.specs, self.metrics, self.across[1])
        return [self._with_sizes(table) for table in tables]

    def _with_sizes(self, table: Table) -> Table:
        """The table with a sentence in its caption on the systems that were resized, if it has one."""
        systems = {r.system for r in table.records if r.split}
        caption = [table.caption]
        for group in self.run_groups:
            comparison = part_of(group.sources[0].notes, "comparison")
            titles = part_of(comparison, "resized")
            names = {name for title in titles for name in (title, f"{title} ({group.name})")}
            if systems & names:
                caption.append(joined(group.name, short(comparison.get("text"), 1000), by=": "))
        return replace(table, caption=joined(*dict.fromkeys(caption), by=" "))


def read(folders: Iterable[Path], published: bool = False) -> Merged:
    """Read finished run folders. Raises UserError naming the file that is invalid."""
    return merge([read_run(folder) for folder in folders], published)


def merge(sources: Sequence[Run], published: bool = False) -> Merged:
    """Put runs side by side. Published numbers of other networks or data are left out, unless all
    `published` ones are wanted.

    Raises UserError if one was given twice, or if runs of one name were not measured alike.
    """
    groups, metrics, first = run_groups_of(sources), METRICS | merged_metrics(sources), sources[0]
    rows, times, specs = tuple(first.rows), tuple(first.times), first.specs
    if len(sources) > 1:
        named = {spec.name: spec for source in reversed(sources) for spec in source.specs}
        specs = tuple(named.values())
        pooled_rows = [pooled(g, [run.rows for run in g.sources]) for g in groups]
        pooled_times = [pooled(g, [run.times for run in g.sources]) for g in groups]
        rows = side_by_side(groups, pooled_rows, metrics)
        times = side_by_side(groups, pooled_times, metrics)
    if not published:
        rows = tuple(r if stands_beside(r) else without_published(r) for r in rows)
    in_order = tuple(sorted(specs, key=attrgetter("order")))
    return Merged(groups, rows, times, in_order, metrics, tuple(remarks(groups)))
