"""The main loop of a run, for the command and for Python, and the callbacks that learn of its progress."""

from collections.abc import Generator, Sequence

from benchmarks.core.runner.evaluation import Evaluation
from benchmarks.core.runner.run_folder import Recorder
from reports.records.record import Record


class Callback:
    """Base class of progress bars and logs; its methods do nothing."""

    def note(self, line: str) -> None:
        """A message for the user."""

    def begins(self, benchmark: str) -> None:
        """A benchmark begins."""

    def row(self, row: Record) -> None:
        """A row was measured."""

    def ends(self, benchmark: str, seconds: float) -> None:
        """A benchmark ended, which took `seconds`."""


def measure(
    evaluation: Evaluation, tasks: Sequence[str], recorder: Recorder, callback: Callback
) -> Generator[Record, None, None]:
    """Measure these benchmarks, and yield each record when `recorder` has added it to the run.
    `callback` is called at each step.
    """
    evaluation.fit()
    evaluation.guard(tasks, callback.note)
    try:
        for name in tasks:
            callback.begins(name)
            with recorder.benchmark(name):
                for record in evaluation.records(name):
                    recorder.add(record)
                    callback.row(record)
                    yield record
            callback.ends(name, recorder.seconds[name])
    finally:  # also of an interrupted run
        recorder.summarise()
    recorder.finish()
