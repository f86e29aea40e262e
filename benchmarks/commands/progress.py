"""Progress of a run: a bar over all benchmarks with the time left.

The bar is shown on a terminal and in a notebook. The command also prints one line per benchmark and,
where there is no bar, one line every half minute.
The time left is estimated from the plan that --dry-run prints: network calls weighted by their
cost. What is in the store takes none.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from threading import Event, Thread
from time import monotonic

from tqdm import tqdm

from benchmarks.commands.planned import Planned, collect
from benchmarks.core.job import Calls, Job
from benchmarks.core.runner.evaluation import Evaluation
from benchmarks.core.runner.loop import Callback
from diffae.system import cli, distributed
from reports.records.record import Record
from reports.tables.numbers import duration

# Cost of a call, in calls of a decoder. What does not depend on the size of the images is in calls of a decoder of
# the packaged size.
WEIGHTS = {"encoder": 0.5, "latent": 0.05, "perceptual": 1.5}
OF_ANY_SIZE = {"features": 0.8, "face": 0.2}
PACKAGED_SIDE = 32  # px
PAIR = 4e-5  # of comparing two images
BESIDES = 500.0  # of a benchmark of a system
LINE_SECONDS = 30.0  # between two lines, without a bar
LEAST_SHARE = 0.05  # of the work, before which its time is not estimated
FORMAT = "{desc} {percentage:3.0f}% |{bar}| {elapsed}, about {remaining} left"


class ProgressBar(Callback):
    """The progress bar of one run, to be closed at its end."""

    def __init__(self, evaluation: Evaluation, benchmarks: Sequence[str]):
        self.left: dict[tuple[str, str], float] = {}  # by benchmark and system, in their order
        planned, _ = collect(evaluation.context, tuple(benchmarks), evaluation.systems)
        scale = (PACKAGED_SIDE / evaluation.context.dataset.image_size) ** 2
        self.weights = WEIGHTS | {name: scale * cost for name, cost in OF_ANY_SIZE.items()}
        self.planned: dict[str, Planned] = {}  # by the folder of the job
        self.units = Counter[str]()  # that are in the store
        self.latest = ""  # folder of the job that was computed last
        self.benchmark = ""
        for work in planned:
            key = (work.benchmark, work.system)
            pairs = scale * PAIR * work.job.pairs
            self.left.setdefault(key, scale * BESIDES)
            self.left[key] += pairs + self._cost(work.calls)
            if isinstance(work.job, Job):
                self.planned[work.job.folder] = work
                self.units[work.job.folder] = work.stored
        self.started, self.total = monotonic(), sum(self.left.values())
        self.bar = tqdm(
            total=self.total,
            disable=not (distributed.is_main() and cli.bar_is_seen()),
            bar_format=FORMAT,
            smoothing=0,
            leave=False,
        )
        evaluation.context.store.computed = self.computed

    def close(self) -> None:
        self.bar.close()

    def begins(self, benchmark: str) -> None:
        self.benchmark, self.latest = benchmark, ""
        self.bar.set_description_str(benchmark)

    def computed(self, job: Job, units: int) -> None:
        """The store has computed `units` of a job; other processes compute as many."""
        work = self.planned.get(job.folder)
        if work is None:
            return
        before = self.units[job.folder]
        now = min(before + units * distributed.world(), work.units)
        self.units[job.folder], self.latest = now, job.folder
        key = (work.benchmark, work.system)
        if key in self.left:
            done = min(self._cost(job.calls.times(now - before)), self.left[key])
            self.left[key] -= done
            self.bar.update(done)

    def row(self, row: Record) -> None:
        keys, key = list(self.left), (row.benchmark, row.system)
        if key in keys:
            self._have_ended(keys[: keys.index(key)])
            self.bar.set_description_str(f"{row.benchmark}: {row.system}")

    def ends(self, benchmark: str, seconds: float) -> None:
        keys = list(self.left)
        own = [place for place, (name, _) in enumerate(keys, 1) if name == benchmark]
        self._have_ended(keys[: max(own, default=0)])

    def _have_ended(self, keys: Sequence[tuple[str, str]]) -> None:
        self.bar.update(sum(self.left.pop(key) for key in keys))

    def _cost(self, calls: Calls) -> float:
        """The cost of calls, in calls of a decoder."""
        return sum(self.weights.get(name, 1.0) * count for name, count in asdict(calls).items())


class CommandProgress(ProgressBar):
    """The bar, and one printed line for each message and for each finished benchmark.

    Where there is no bar, a line every half minute says what was computed last and what is left.
    """

    def __init__(self, evaluation: Evaluation, benchmarks: Sequence[str]):
        super().__init__(evaluation, benchmarks)
        self.closed = Event()
        # a thread: some work has no units, and the units of other work take longer
        self.thread = Thread(target=self._keep_telling, daemon=True)
        if self.bar.disable and distributed.is_main():
            self.thread.start()

    def close(self) -> None:
        self.closed.set()
        if self.thread.is_alive():
            self.thread.join()
        super().close()

    def _keep_telling(self) -> None:
        while not self.closed.wait(LINE_SECONDS):
            self.note(self.line())

    def line(self) -> str:
        """What is being measured: `reconstruction: VAE, decode 64 of 1,000; 40 % done, about 3 min left`."""
        work = self.planned.get(self.latest)
        if work is None:
            return f"{self.benchmark or 'systems'}: running{self._left()}"
        count = f"{self.units[self.latest]:,} of {work.units:,}"
        return f"{self.benchmark}: {work.system}, {work.title} {count}{self._left()}"

    def note(self, line: str) -> None:
        with tqdm.external_write_mode(file=sys.stderr):
            cli.say(line)

    def ends(self, benchmark: str, seconds: float) -> None:
        super().ends(benchmark, seconds)
        self.note(f"{benchmark}: {seconds:.0f} s{self._left()}")

    def _left(self) -> str:
        """`; 40 % done, about 3 min left`; empty for work that is not planned or takes a moment.
        The time is not estimated from the very first part of the work.
        """
        passed, left = monotonic() - self.started, sum(self.left.values())
        share = 1 - left / max(self.total, 1)
        if not 0 < share < 1 or passed < 1:
            return ""
        if share < LEAST_SHARE:
            return f"; {100 * share:.0f} % done"
        return f"; {100 * share:.0f} % done, about {duration(passed * (1 - share) / share)} left"
