"""A run for Python: as pandas frames, as tables, and against another run."""

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.core.context import Context
from benchmarks.core.runner.setup import heading
from diffae.system.cli import did_you_mean
from diffae.system.errors import UserError
from reports.gate import page
from reports.gate import verdicts as gate
from reports.page.summary import summary
from reports.records.record import COLUMNS, Record
from reports.records.run_folder import Run, read_margins, read_run, samples_of
from reports.tables import markdown
from reports.tables.build import merge, printed
from reports.tables.layout import Table

if TYPE_CHECKING:
    import pandas as pd


class Results:
    """The numbers of a run in the order in which they were measured, as `rows`; `times` are those of this
    machine. `protocols` has the fields of every protocol by its id, as in the column `protocol`.
    `profile` is its name, and how it was changed.
    """

    def __init__(self, run: Run, context: Context):
        self.run, self.dataset, self.seed = run, context.dataset, context.seed
        self.profile, self.heading = context.profile.title, heading(context)
        self.rows, self.times, self.protocols = run.rows, run.times, run.protocols

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
        return self.run.failures

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
        return samples_of(self.rows, self.dataset.source.where)

    # ------------------------------------------------------------------------------------------
    # Tables

    @cached_property
    def tables(self) -> dict[str, Table]:
        """The tables that these rows make, by name; "overview" has the headlines of all."""
        return {table.name: table for table in merge([self.as_run()]).tables}

    def summary(self) -> str:
        """The table of headlines and what forbids a comparison, to be printed, as at the end of a run.

        "-" means that a number is missing; `frame` gives the reason.
        """
        return "\n".join(summary(merge([self.as_run()])))

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
        base_run = base.as_run("the base") if isinstance(base, Results) else read_run(Path(base))
        margins = read_margins(brought=base_run.metrics)
        findings = gate.compare(base_run, self.as_run(), margins, alpha)
        rows = [
            {name: getattr(c.record, name) for name in ("benchmark", "system", "setting", "steps")}
            | {"metric": c.record.metric, "base": c.base, "new": c.new, "loss": c.loss}
            | {"margin": c.margin, "stderr": c.error.stderr if c.error else None, "p": c.p}
            | {"paired": c.paired, "verdict": c.verdict, "note": c.note}
            for c in page.ordered(findings)
        ]
        frame = pd.DataFrame(rows).astype({"steps": "Int64"})
        frame.attrs = {"base": repr(base) if isinstance(base, Results) else str(base)}
        frame.attrs |= {"new": repr(self)}
        return frame

    def as_run(self, title: str = "these results") -> Run:
        """The run as the gate compares it, without times; messages call it `title`."""
        return replace(self.run, folder=Path(title), times=[])
