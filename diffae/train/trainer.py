"""The training loop: one network, one schedule, exact resume on a CPU."""

import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from diffae.memory import is_refusal
from diffae.networks import bfloat16
from diffae.system import distributed
from diffae.system.cli import say
from diffae.system.errors import Terminated, UserError
from diffae.system.progress import Progress
from diffae.train import types
from diffae.train.step import Training, batch_indices
from diffae.train.types import Outcome, Stage, Steps

SAVE_EVERY_SECONDS = 300.0
PATIENCE = 100  # steps in a row without a finite gradient after which a training fails
# Instructions of a processor. Without those for matrices a step in bfloat16 takes 1.5 times as long as in float32.
VECTORS, MATRICES = "avx512_bf16", "amx_bf16"


def choose_precision(choice: str, device: str) -> tuple[str, str]:
    """The precision of a training, and the reason in words. "auto": bfloat16 if it is faster, else float32.

    Raises UserError for float16 without a GPU: the processor computes it many times slower.
    """
    if choice == types.FLOAT16 and not device.startswith("cuda"):
        raise UserError("--precision float16 needs a GPU; use bfloat16 or float32")
    if choice != types.AUTO:
        return choice, "as asked"
    supported, reason = bfloat16.support(device)
    instructions = bfloat16.capabilities()
    if supported and device == "cpu" and VECTORS in instructions and MATRICES not in instructions:
        return types.FLOAT32, f"this processor's {VECTORS} is slower"
    return types.BFLOAT16 if supported else types.FLOAT32, reason


class TrainingCallback:
    """Base class of objects whose methods are called at the events of a stage, in every process.

    These methods do nothing.
    """

    def begins(self, training: Training, stage: Stage) -> None:
        """The stage begins, resumes or has ended already."""

    def step(self, loss: float) -> None:
        """A step was computed, and taken if it was finite."""

    def ends(self) -> None:
        """All steps of the stage are taken."""


@dataclass(frozen=True)
class TrainingRun:
    """The settings that all stages of a training share.

    `identity` is `Note.identity`; `workers` is the number of processes that read images ahead.
    """

    seed: int
    identity: str
    precision: str = types.FLOAT32
    steps: Steps = Steps()
    workers: int = 0
    callbacks: Sequence[TrainingCallback] = ()


ReadingAhead = Callable[[Iterator[Tensor]], AbstractContextManager[Iterator[Tensor] | None]]


def fit(
    stage: Stage,
    count: int,
    path: Path,
    run: TrainingRun,
    reading: ReadingAhead = nullcontext,
) -> Outcome:
    """Train a stage's network to the end of its schedule on `count` examples.

    `path` keeps the state between runs: it is saved every five minutes, at the end, and on Ctrl-C or
    SIGTERM. Afterwards the network holds the moving average of its weights. `reading` is a context
    manager that is given an iterator over the indices of the coming examples and reads them ahead.
    """
    schedule, title = stage.schedule, stage.title
    precision = run.precision if schedule.bfloat16 else types.FLOAT32
    steps = replace(run.steps, by_example=stage.by_example)
    training = Training(stage.network, schedule, run.seed, precision, stage.adam, steps)
    training.load(path, run.identity)
    begun, average, part = training.step, math.nan, training.sharing.part
    remedy = f"try --micro-batch {part // 2 or 1}, --recompute or a smaller batch or model (--set)"
    due = time.monotonic() + SAVE_EVERY_SECONDS
    with (
        Progress(title, "images", schedule.steps * schedule.batch_size, training.seen) as progress,
        interrupts_deferred() as interrupted,
        reading(_coming_examples(training, count, run.seed)),
        needing_memory(f"{title}: {part} examples at a time", remedy),
    ):
        for callback in run.callbacks:
            callback.begins(training, stage)
        while training.step < schedule.steps:
            indices = batch_indices(count, schedule.batch_size, run.seed, training.step)
            loss = training.advance(stage.loss, indices)
            if training.skipped_in_a_row == 0:
                average = loss if math.isnan(average) else 0.98 * average + 0.02 * loss
            if training.skipped_in_a_row >= min(PATIENCE, schedule.steps):
                steps_lost = f"{training.skipped_in_a_row} steps up to step {training.step}"
                remedy = "lower the learning rate, or try --precision float32"
                raise UserError(f"{title}: no finite gradient in {steps_lost}; {remedy}")
            progress.add(schedule.batch_size, loss=f"{average:.4f}", skipped=training.skipped)
            for callback in run.callbacks:
                callback.step(loss)
            stop = training.sharing.any(bool(interrupted()))
            if (stop or time.monotonic() >= due) and training.skipped_in_a_row == 0:
                _save(training, path, run)
                due = time.monotonic() + SAVE_EVERY_SECONDS
            if stop:
                raise KeyboardInterrupt if interrupted() == signal.SIGINT else Terminated
    if training.step > begun:
        _save(training, path, run)
    for callback in run.callbacks:
        callback.ends()
    training.swap()
    if training.skipped:
        skipped = f"{training.skipped} of {schedule.steps} steps not taken"
        say(f"{title}: {skipped} (gradient not finite)")
    return training.outcome


def _coming_examples(training: Training, count: int, seed: int) -> Iterator[Tensor]:
    """The indices of the examples that this process will ask for from now on, part by part."""
    schedule = training.schedule
    for step in range(training.step, schedule.steps):
        indices = batch_indices(count, schedule.batch_size, seed, step)
        yield from (indices[part] for part in training.sharing.parts())


@contextmanager
def needing_memory(work: str, remedy: str) -> Iterator[None]:
    """Raise UserError, naming the work and the remedy, if there is too little memory for the block."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if is_refusal(error):
            raise UserError(f"{work}: not enough memory; {remedy}") from None
        distributed.check()  # the error may be of a collective whose other process has failed
        raise


def _save(training: Training, path: Path, run: TrainingRun) -> None:
    """Save the state, which is the same in all processes, in the main one."""
    if distributed.is_main():
        training.save(path, run.identity)


@contextmanager
def interrupts_deferred() -> Iterator[Callable[[], int]]:
    """Record Ctrl-C and SIGTERM instead of handling them, so that no step is interrupted.

    Yields a function that returns the first signal, or 0. It works in the main thread only, as Python's
    handlers of signals do.
    """
    received: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {n: signal.signal(n, lambda number, frame: received.append(number)) for n in numbers}
    try:
        yield lambda: received[0] if received else 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
