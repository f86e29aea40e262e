"""The training loop: one network, one schedule, exact resume on a CPU.

A step is a function of the weights, the optimiser's state and (seed, step) alone: which examples it
sees, its noise and its dropout all come from generators seeded by these two. So a run that is
killed and started again continues as if it had not been interrupted. On a GPU the same holds up to
rounding, because some of its kernels sum in no fixed order. If noise and dropout are drawn
per example, the number of processes and of parts makes no difference either, except for the
rounding of sums.
"""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from diffae.diffusion.noise import ExampleNoise, Noise, generator
from diffae.memory import is_refusal
from diffae.networks import bfloat16
from diffae.networks.nn import Dropout, evaluating
from diffae.networks.unet import recompute
from diffae.system import distributed
from diffae.system.cli import say
from diffae.system.errors import Terminated, UserError
from diffae.system.progress import Progress
from diffae.train import state, types
from diffae.train.sharing import Sharing
from diffae.train.types import Adam, Loss, Outcome, Schedule, Stage, Steps

SAVE_EVERY_SECONDS = 120.0
# At most this share of the time is spent on saving: a large state is saved less often.
SAVING = 0.02
PATIENCE = 100  # steps in a row without a finite gradient after which a training fails
# Multiplies vectors of bfloat16, not matrices: a step takes 1.5 times as long as in float32.
VECTORS, MATRICES = "avx512_bf16", "amx_bf16"
MOMENTS = ("exp_avg", "exp_avg_sq")
NOISE_THREADS = 4


def learning_rate(schedule: Schedule, step: int) -> float:
    """The learning rate of a step: linear warm-up, then constant, at last half a cosine to zero."""
    seen = step * schedule.batch_size
    warmup = min(1.0, (seen + schedule.batch_size) / max(schedule.warmup_samples, 1))
    if schedule.decay == "constant":
        return schedule.learning_rate * warmup
    falling = schedule.decay_samples // schedule.batch_size or schedule.steps  # steps
    part = max(0, step - (schedule.steps - falling)) / falling
    return schedule.learning_rate * warmup * 0.5 * (1 + math.cos(math.pi * part))


def batch_indices(count: int, batch_size: int, seed: int, step: int) -> Tensor:
    """The examples of a step: every epoch is a permutation of all `count`, drawn from (seed, epoch)."""
    positions = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs = (positions // count).tolist()
    orders = {epoch: _order(count, seed, epoch) for epoch in sorted(set(epochs))}
    return torch.tensor([orders[e][p % count] for e, p in zip(epochs, positions, strict=True)])


@lru_cache(maxsize=2)  # a batch may lie in two epochs
def _order(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order of an epoch, drawn once: at 1.2 million images it takes 0.2 seconds."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def choose_precision(asked: str, device: str) -> tuple[str, str]:
    """The precision of a training and why, in words: bfloat16 where it is faster, else float32.

    Raises UserError for float16 without a GPU: the processor computes it many times slower.
    """
    if asked == types.FLOAT16 and not device.startswith("cuda"):
        raise UserError("--precision float16 needs a GPU; use bfloat16 or float32")
    if asked != types.AUTO:
        return asked, "as asked"
    has, why = bfloat16.support(device)
    found = bfloat16.capabilities()
    if has and device == "cpu" and VECTORS in found and MATRICES not in found:
        return types.FLOAT32, f"this processor's {VECTORS} is slower"
    return types.BFLOAT16 if has else types.FLOAT32, why


class Training:
    """Weights, their exponential moving average, and Adam's state, at some step.

    `skipped` counts the steps that were not taken because loss or gradient were not finite,
    `skipped_in_a_row` those since the last step that was taken. `precision` is "float32", or
    "bfloat16" or "float16" (autocast); `precision_history` is text that includes earlier runs:
    "float32 to step 500, then bfloat16". Buffers that a network learns (statistics of batch norms,
    codebooks of moving averages) are part of its state. `seconds` is the time of the steps so far,
    `norm` the norm of the latest gradient before it is clipped.
    """

    def __init__(
        self,
        network: nn.Module,
        schedule: Schedule,
        seed: int,
        precision: str = types.FLOAT32,
        adam: Adam = Adam(),
        steps: Steps = Steps(),
    ):
        self.network, self.schedule, self.seed, self.adam = network, schedule, seed, adam
        self.steps, self.sharing = steps, Sharing(network, schedule.batch_size, steps.micro_batch)
        if not steps.by_example and (self.sharing.part < schedule.batch_size):
            raise UserError("this network needs one process, without --micro-batch")
        self.precision = self.precision_history = precision
        self.names = [name for name, _ in network.named_parameters()]
        self.parameters = list(network.parameters())
        own = set(self.names)
        self.buffers = {k: v for k, v in network.state_dict().items() if k not in own}
        self.ema = [p.detach().clone() for p in self.parameters]
        rate, decay = schedule.learning_rate, schedule.weight_decay
        self.optimiser = torch.optim.AdamW(
            self.parameters, rate, betas=adam.betas, weight_decay=decay, fused=True
        )
        self.step = self.skipped = self.skipped_in_a_row = 0
        self.seconds = self.norm = 0.0
        self._dropout_seed = int(generator(seed, "dropout", 0).integers(2**32))
        self._dropouts = [m for m in network.modules() if isinstance(m, Dropout) and m.p]
        device = self.parameters[0].device.type
        self.scaler = torch.amp.GradScaler(device, enabled=precision == types.FLOAT16)
        # A GPU waits for the noise of a step.
        self._pool = ThreadPoolExecutor(NOISE_THREADS, "noise") if device == "cuda" else None

    @property
    def seen(self) -> int:
        """The number of examples seen so far."""
        return self.step * self.schedule.batch_size

    @property
    def outcome(self) -> Outcome:
        return Outcome(self.precision_history, self.skipped, self.seen, round(self.seconds, 1))

    def advance(self, loss_of: Loss, indices: Tensor) -> float:
        """Take one step (paper, Appendix A) and return its loss.

        Adam, with the gradient norm clipped to 1 unless `adam` has a different limit. A step whose
        loss or gradient is not finite would destroy the weights: it is counted, not taken.
        """
        begun = time.monotonic()
        # For dropout: torch takes 32 bits of it, in which consecutive numbers never collide.
        torch.manual_seed(self._dropout_seed + self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.schedule, self.step)
        self.optimiser.zero_grad()
        recompute(self.network, self.steps.recompute)
        loss = self.sharing.mean(self._gradients(loss_of, indices))
        self.scaler.unscale_(self.optimiser)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.adam.largest_norm)
        value, self.norm = torch.stack([loss, norm]).tolist()  # the one wait for a GPU in a step
        self.step += 1
        if math.isfinite(value) and math.isfinite(self.norm):
            self.scaler.step(self.optimiser)
            self._update_ema()
            self.skipped_in_a_row = 0
        else:
            self.skipped += 1
            self.skipped_in_a_row += 1
        self.scaler.update()
        self.seconds += time.monotonic() - begun
        return value

    def _gradients(self, loss_of: Loss, indices: Tensor) -> Tensor:
        """Set the weights' gradient to that of the batch's mean loss.

        Returns the mean loss of this process's share.
        """
        total = torch.zeros((), device=self.parameters[0].device)
        dtype = types.DTYPES.get(self.precision)
        for part in self.sharing.parts():
            noise = self._noise(part)
            weight = self.sharing.weight(part)
            with self.sharing.accumulating(part):
                with torch.autocast(total.device.type, dtype, enabled=dtype is not None):
                    loss = self.sharing.step(lambda: loss_of(indices[part], noise))  # noqa: B023
                self.scaler.scale(weight * loss).backward()
            total += weight * loss.detach().float()
        return total

    def _noise(self, part: slice) -> Noise:
        """The noise of a part of this step's batch, and the masks of its dropout."""
        if not self.steps.by_example:
            return generator(self.seed, "training", self.step)
        first = self.seen  # the number of the step's first example within the whole training
        examples = range(first + part.start, first + part.stop)
        if self._dropouts:
            layers = range(len(self._dropouts))
            source = partial(generator, self.seed, "dropout")
            drawn = [source(n).integers(2**62, size=layers.stop) for n in examples]
            for dropout, keys in zip(self._dropouts, np.array(drawn).T.tolist(), strict=True):
                dropout.keys = keys
        return ExampleNoise(self.seed, "training", examples, self._pool)

    @torch.no_grad()
    def _update_ema(self) -> None:
        decay = self.schedule.ema_decay
        if self.schedule.ema_warmup:
            decay = min(decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(self.ema, [p.detach() for p in self.parameters], 1 - decay)

    # ------------------------------------------------------------------------------------------
    # The state on disk

    def save(self, path: Path, identity: str) -> None:
        """Save the state in `path`, and keep the previous one beside it.

        Non-finite weights are not saved.
        """
        tensors: dict[str, Tensor] = {}
        for name, parameter, ema in zip(self.names, self.parameters, self.ema, strict=True):
            if not torch.isfinite(parameter).all():
                last = f"{path} still holds the last saved state"
                raise UserError(f"weight {name} is not finite at step {self.step}; {last}")
            tensors |= {f"model.{name}": parameter.detach(), f"ema.{name}": ema}
            for key, value in self.optimiser.state[parameter].items():
                tensors[f"adam.{key}.{name}"] = value
        tensors |= {f"buffer.{name}": buffer for name, buffer in self.buffers.items()}
        for name, number in self.scaler.state_dict().items():
            tensors[f"scaler.{name}"] = torch.from_numpy(np.array(number))  # float64 or int64
        progress = (self.step, self.skipped, self.precision_history, round(self.seconds, 1))
        state.save(path, state.State(tensors, *progress), identity, self.steps.keep)

    def load(self, path: Path, identity: str) -> None:
        """Resume from `path`, if it exists.

        Raises UserError if it belongs to a different training or is damaged.
        """
        found = state.load(path, identity)
        if found is None:
            return
        self.step, self.skipped, self.seconds = found.step, found.skipped, found.seconds
        self.precision_history = found.precision
        if found.precision.split()[-1] != self.precision:
            self.precision_history = f"{found.precision} to step {self.step}, then {self.precision}"
            say(f"precision: {self.precision_history}")
        tensors = found.tensors
        if self.scaler.is_enabled() and "scaler.scale" in tensors:
            now = {name: tensors[f"scaler.{name}"].item() for name in self.scaler.state_dict()}
            self.scaler.load_state_dict(now)
        with torch.no_grad():
            for name, buffer in self.buffers.items():
                buffer.copy_(tensors[f"buffer.{name}"])
            for name, parameter, ema in zip(self.names, self.parameters, self.ema, strict=True):
                parameter.copy_(tensors[f"model.{name}"])
                ema.copy_(tensors[f"ema.{name}"])
                moments = {
                    key: torch.empty_like(parameter).copy_(tensors[f"adam.{key}.{name}"])
                    for key in MOMENTS
                }
                step = tensors[f"adam.step.{name}"].to(parameter.device, copy=True)  # not mapped
                self.optimiser.state[parameter] = {"step": step, **moments}

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within the block the network has the moving average of its weights, in evaluation mode.

        Afterwards weights and mode are restored.
        """
        self.swap()
        try:
            with evaluating(self.network):
                yield
        finally:
            self.swap()

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the network's weights for their moving average, which is what is exported."""
        for parameter, ema in zip(self.parameters, self.ema, strict=True):
            weights = parameter.clone()
            parameter.copy_(ema)
            ema.copy_(weights)


class Callback:
    """Base class, called at the events of a stage, in every process of the training.

    Its methods do nothing.
    """

    def begins(self, training: Training, stage: Stage, stop: Callable[[], int]) -> None:
        """The stage begins, resumes or has ended already.

        `stop` says whether a signal asks the training to end.
        """

    def step(self, loss: float) -> None:
        """A step was computed, and taken if it was finite."""

    def saves(self) -> None:
        """The state is written next: events so far will not be repeated."""

    def ends(self) -> None:
        """All steps of the stage are taken."""

    def close(self) -> None:
        """The training has ended or failed."""


@dataclass(frozen=True)
class Run:
    """Common settings of the stages of a training.

    The seed, the identity (see `Note.identity`), the precision, how steps are computed, the number
    of processes that read images ahead, and the callbacks.
    """

    seed: int
    identity: str
    precision: str = types.FLOAT32
    steps: Steps = Steps()
    workers: int = 0
    callbacks: Sequence[Callback] = ()


def fit(
    stage: Stage,
    count: int,
    path: Path,
    run: Run,
    reading: Callable[[Iterator[Tensor]], AbstractContextManager[Any]] = nullcontext,
) -> Outcome:
    """Train a stage's network to the end of its schedule on `count` examples.

    `path` keeps the state between runs: it is saved every two minutes, at the end, and on Ctrl-C or
    SIGTERM. Afterwards the network holds the moving average of its weights. `reading` is a context
    manager that gets an iterator over the indices of the coming examples and reads them ahead.
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
        _saving_on_failure(training, path, run),
        needing_memory(f"{title}: {part} examples at a time", remedy),
    ):
        for callback in run.callbacks:
            callback.begins(training, stage, interrupted)
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
                took = _save(training, path, run)
                due = time.monotonic() + max(SAVE_EVERY_SECONDS, took / SAVING)
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
def _saving_on_failure(training: Training, path: Path, run: Run) -> Iterator[None]:
    """If an image cannot be read or another process has failed, save the state before raising."""
    begun = training.step
    try:
        yield
    except TooLittleMemory:
        raise
    except (UserError, RuntimeError):  # RuntimeError: from a collective with a lost process
        if training.step > begun and training.skipped_in_a_row == 0:
            _save(training, path, run)
        distributed.check()
        raise


class TooLittleMemory(UserError):
    """Memory ran out, perhaps while weights were updated, so that they must not be saved."""


@contextmanager
def needing_memory(what: str, remedy: str) -> Iterator[None]:
    """Raise TooLittleMemory, saying what needed memory and what to do, if the block runs out of it."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_refusal(error):
            raise
        raise TooLittleMemory(f"{what}: not enough memory; {remedy}") from None


def _save(training: Training, path: Path, run: Run) -> float:
    """Save the state, once for all processes, which have the same.

    Returns the seconds that it took.
    """
    begun = time.monotonic()
    for callback in run.callbacks:
        callback.saves()
    if distributed.is_main():
        training.save(path, run.identity)
    return time.monotonic() - begun


@contextmanager
def interrupts_deferred() -> Iterator[Callable[[], int]]:
    """Record Ctrl-C and SIGTERM instead of handling them, so that no step is interrupted.

    Yields a function that returns the first signal, or 0. Signals can be recorded in the main thread
    only.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {n: signal.signal(n, lambda number, frame: came.append(number)) for n in numbers}
    try:
        yield lambda: came[0] if came else 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
