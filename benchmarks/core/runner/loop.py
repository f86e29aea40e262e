"""The main loop of a run, for the command and for Python, and the callbacks that it tells how far it is."""

from collections.abc import Generator, Sequence

from benchmarks.core.runner.evaluation import Evaluation
from benchmarks.core.runner.run_folder import RunFolder
from reports.records.record import Record


class Callback:
    """Base class of progress bars and logs; its methods do nothing."""

    def note(self, line: str) -> None:
        """A message for the user."""

    def begins(self, benchmark: str) -> None:
        """A benchmark begins."""

    def row(self, row: Record) -> None:
        """A row was measured."""

    def ends(self, benchmark: str, seconds: float | None) -> None:
        """A benchmark ended; `seconds` is how long it took, None if that is not known."""


def measure(
    evaluation: Evaluation, tasks: Sequence[str], out: RunFolder | None, callback: Callback | None
) -> Generator[Record, None, None]:
    """Yield every row of these benchmarks. Rows are written to `out`, and `callback` is told of each
    step.
    """
    callback = callback or Callback()
    evaluation.fit()
    evaluation.guard(tasks, callback.note)
    try:
        for name in tasks:
            callback.begins(name)
            rows = evaluation.rows(name)
            for row in rows if out is None else out.take(name, rows):
                callback.row(row)
                yield row
            callback.ends(name, out.seconds[name] if out else None)
    finally:  # also of an interrupted run
        if out is not None:
            out.summarise()
    if out is not None:
        out.finish()
