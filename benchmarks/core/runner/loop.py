"""The main loop of a run, for the command and for Python."""

from collections.abc import Generator, Sequence

from benchmarks.core.rows import Row
from benchmarks.core.runner.callbacks import Callback
from benchmarks.core.runner.evaluation import Evaluation
from benchmarks.core.runner.run_folder import RunFolder


def measure(
    evaluation: Evaluation,
    tasks: Sequence[str],
    folder: RunFolder | None = None,
    callback: Callback | None = None,
) -> Generator[Row, None, None]:
    """Yield every row of these benchmarks. Rows are written to `folder`, and `callback` is told of
    each step.
    """
    callback = callback or Callback()
    evaluation.fit()
    evaluation.guard(tasks, callback.note)
    for name in tasks:
        callback.begins(name)
        rows = evaluation.rows(name)
        for row in rows if folder is None else folder.take(name, rows):
            callback.row(row)
            yield row
        callback.ends(name, folder.seconds[name] if folder else None)
    if folder is not None:
        folder.finish()
