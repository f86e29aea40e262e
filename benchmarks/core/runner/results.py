"""What was measured, in memory: as pandas frames, as the tables of a run, and against another run."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from benchmarks.core import suites
from benchmarks.core.registry import specs as table_specs
from benchmarks.core.runner.evaluation import Evaluation
from benchmarks.core.runner.setup import comparison
from diffae.data import Dataset
from diffae.system.cli import did_you_mean
from diffae.system.errors import UserError
from diffae.system.whole import write_whole
from reports.gate import page
from reports.gate import verdicts as gate
from reports.records.metrics import Metrics
from reports.records.record import COLUMNS, Distinct, Record, safe_cell
from reports.records.run_folder import Run, read_margins, read_run
from reports.records.specs import TableSpec, with_headlines
from reports.tables import markdown, numbers
from reports.tables.build import merge, printed
from reports.tables.contests import own_headlines
from reports.tables.layout import Table

if TYPE_CHECKING:
    import pandas as pd


class Results:
    """The rows of an evaluation, in the order in which they were measured.

    `times` belong to this machine. `profile` is its name, and how it was changed. `about` has the
    settings of the run. `comparison` says at which size images are compared where systems have several.
    """

    def __init__(self, evaluation: Evaluation, about: dict[str, Any], rows: Iterable[Record] = ()):
        context = evaluation.context
        self.dataset, self.seed, self.about = context.dataset, context.seed, about
        self.profile, self._base = context.profile.title, context.profile.base
        self.comparison = comparison(context, evaluation.systems)
        specs = table_specs(about["benchmarks"])
        self.given_specs = suites.tables(specs, about["suite"]) if "suite" in about else specs
        self._systems = evaluation.systems  # without those that fail later
        self.rows: list[Record] = []
        self.times: list[Record] = []
        self._distinct = Distinct(Path("results"))
        for row in rows:
            self.add(row)

    def add(self, row: Record) -> None:
        """Add a row. Raises UserError if its number is there already."""
        kept = self.times if row.of_machine else self.rows
        kept.append(row)
        self._distinct.add(row, f"row {len(kept)}")

    def __repr__(self) -> str:
        systems = ", ".join(dict.fromkeys(row.system for row in self.rows))
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return f"<{len(self.rows)} numbers of {systems} on {self.dataset.name}, profile {self.profile}{failed}>"

    def _repr_markdown_(self) -> str:
        """What a notebook shows: the overview."""
        return self.markdown("overview")

    @property
    def failures(self) -> list[Record]:
        """The rows of systems, or of plug-ins' benchmarks, that broke; each says why in its note.

        If nothing was measured, they are all rows without a value.
        """
        nothing = not self.measured
        return [row for row in self.rows if row.failed or (nothing and row.value is None)]

    @property
    def measured(self) -> bool:
        """Whether a system has a number; references such as chance and real images are none."""
        titles = {system.title for system in self._systems}
        values = (row for row in (*self.rows, *self.times) if row.value is not None)
        return any(row.system in titles or not row.reference for row in values)

    @property
    def protocols(self) -> dict[str, Mapping[str, Any]]:
        """The fields of every protocol by its id, as in the column `protocol`."""
        return {r.protocol: r.measured_by for r in (*self.rows, *self.times) if r.protocol}

    # ------------------------------------------------------------------------------------------
    # Frames

    def frame(self, protocol: bool = False) -> "pd.DataFrame":
        """One row per number, with the columns of records.csv; with `protocol`, a column
        `protocol.NAME` for each field as well.
        """
        import pandas as pd

        rows = [
            {name: getattr(row, name) for name in COLUMNS}
            | ({f"protocol.{k}": v for k, v in row.measured_by.items()} if protocol else {})
            for row in self.rows
        ]
        return pd.DataFrame(rows).astype({"steps": "Int64", "n": "Int64"})

    def samples(self) -> "pd.DataFrame":
        """One row per image, system and setting, with a column for every score that is a mean over images.

        `image` is the index in the data set, `file` where it lies.
        """
        return frame_of(self.rows, self.dataset)

    # ------------------------------------------------------------------------------------------
    # Tables

    @property
    def specs(self) -> tuple[TableSpec, ...]:
        """The specs of the benchmarks' tables, with the headlines that suit these rows."""
        rows = [*self.rows, *self.times]
        return with_headlines(self.given_specs, rows, self.protocols, self._base)

    @cached_property
    def tables(self) -> dict[str, Table]:
        """The tables that these rows make, by name; "overview" has the headlines of all."""
        return {table.name: table for table in merge([self.as_run()]).tables}

    @property
    def heading(self) -> tuple[str, dict[str, str]]:
        """The heading of the tables, and the facts for the line below them."""
        facts = {"data": self.dataset.name, "profile": self.profile, "seed": str(self.seed)}
        return f"{self.dataset.name}, profile {self.profile}", facts

    def summary(self) -> str:
        """One line per model, to be printed: the headline of each benchmark at the largest T, ±
        its standard error.

        Each model is taken at its best setting, as on the page. "-" means not measured; `frame`
        gives the reason.
        """
        metrics = self.tables["overview"].metrics
        headlines = self.tables["overview"].records
        systems = dict.fromkeys(record.system for record in headlines)
        columns: dict[str, dict[str, Record]] = {}
        for record in own_headlines(headlines, self.specs, metrics):
            rivals = columns.setdefault(f"{record.benchmark}: {record.metric}", {})
            rivals.setdefault(record.system, record)
        headers = [_column(list(rivals.values()), metrics) for rivals in columns.values()]
        order = list(columns.values())
        rows = [[system, *(_cell(of.get(system), metrics) for of in order)] for system in systems]
        return tabulate(rows, ["", *headers], disable_numparse=True)

    def table(self, name: str) -> "pd.DataFrame":
        """A table as it is printed, a cell with its error as text. Raises UserError if these rows
        do not make it.
        """
        return printed(self._table(name))

    def markdown(self, name: str) -> str:
        """The same as the command writes it to tables/NAME.md."""
        return markdown.render(self._table(name), *self.heading)

    def _table(self, name: str) -> Table:
        if name not in self.tables:
            raise UserError(f"no table {name!r}{did_you_mean(name, self.tables)}")
        return self.tables[name]

    # ------------------------------------------------------------------------------------------
    # Against another run

    def compare(self, base: "Results | str | Path", alpha: float = 0.05) -> "pd.DataFrame":
        """Each number of these results (column "new") against that of `base` (other results, or a
        run folder; column "base"), worst first: is it worse here by more than a margin and by more
        than chance? What the verdicts mean: `diffae-bench docs numbers`. The frame's `attrs` name
        the two.

        Raises UserError if a number was measured differently there.
        """
        import pandas as pd

        if not 0 < alpha < 1:
            raise UserError(f"alpha must be between 0 and 1, not {alpha}")
        theirs = base.as_run("the base") if isinstance(base, Results) else read_run(Path(base))
        margins = read_margins(brought=theirs.metrics)
        found = gate.compare(theirs, self.as_run(), margins, alpha)
        rows = [
            {name: getattr(c.record, name) for name in ("benchmark", "system", "setting", "steps")}
            | {"metric": c.record.metric, "base": c.base, "new": c.new, "loss": c.loss}
            | {"margin": c.margin, "stderr": c.error.stderr if c.error else None, "p": c.p}
            | {"paired": c.paired, "verdict": c.verdict, "note": c.note}
            for c in page.ordered(found)
        ]
        frame = pd.DataFrame(rows).astype({"steps": "Int64"})
        frame.attrs = {"base": repr(base) if isinstance(base, Results) else str(base)}
        frame.attrs |= {"new": repr(self)}
        return frame

    def as_run(self, called: str = "these results") -> Run:
        """What the gate compares; `called` is what its messages say."""
        protocols = {name: dict(fields) for name, fields in self.protocols.items()}
        rows, about = tuple(self.rows), dict(self.about)
        notes = {"comparison": self.comparison}
        return Run(Path(called), rows, protocols, about, specs=self.specs, notes=notes)


def _column(rivals: Sequence[Record], metrics: Metrics) -> str:
    """The heading of a column of `summary`: the benchmark over the metric, with the T that all have."""
    steps = {record.steps for record in rivals if record.steps is not None}
    at = f", T = {steps.pop()}" if len(steps) == 1 else ""
    return f"{rivals[0].benchmark}\n{numbers.heading(rivals[0].metric, rivals, metrics)}{at}"


def _cell(record: Record | None, metrics: Metrics) -> str:
    if record is None:
        return "-"
    return numbers.value_text(record, metrics) + numbers.error_text(record, metrics)


# ----------------------------------------------------------------------------------------------
# The scores of single images

# What tells the samples of one table apart; then come the image, its file and a column for each score.
PLACE = ("benchmark", "system", "dataset", "split", "setting", "steps", "solver", "calls")


def frame_of(rows: Iterable[Record], dataset: Dataset) -> "pd.DataFrame":
    """One row per image, system and setting, with a column for every score that is a mean over images.

    `image` is the index in the data set, `file` where it lies. A score that belongs to a different
    benchmark is empty.
    """
    import pandas as pd

    scores: dict[tuple[object, ...], dict[str, pd.Series]] = {}
    for row in rows:
        if (of_images := row.estimate.scores) is not None:
            column = pd.Series(of_images.values, index=of_images.images)
            column = column + 0.0  # hits and misses are numbers
            scores.setdefault(tuple(getattr(row, name) for name in PLACE), {})[row.metric] = column
    parts = []
    for key, columns in scores.items():
        part = pd.DataFrame(columns)
        place = dict(zip(PLACE, key, strict=True)) | {"image": part.index}
        names = [dataset.source.where(int(image)) for image in part.index]
        parts.append(pd.DataFrame({**place, "file": names}, index=part.index).join(part))
    none = pd.DataFrame(columns=[*PLACE, "image", "file"])
    frame = pd.concat(parts, ignore_index=True) if parts else none
    return frame.astype({"steps": "Int64", "calls": "Int64", "image": "int64"})


def write_samples(path: Path, rows: Iterable[Record], dataset: Dataset) -> None:
    """Write `frame_of` to a CSV file, whole or not at all; names as they are within the data set."""
    frame = frame_of(rows, dataset)
    frame["file"] = frame["image"].map(lambda image: safe_cell(dataset.name_of(int(image))))
    for name in ("system", "dataset", "setting"):
        frame[name] = frame[name].map(safe_cell)
    write_whole(path, frame.to_csv(index=False, lineterminator="\n").encode())
