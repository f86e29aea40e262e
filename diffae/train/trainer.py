"""The training loop: one network, one schedule, exact resume.

A step is a function of the weights, the optimiser's state and (seed, step) alone: which examples it sees,
its noise and its dropout all come from generators seeded by these two. So a run that is killed and started
again goes on as if nothing had happened.
"""

import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from diffae.errors import Terminated, UserError
from diffae.noise import generator
from diffae.train.presets import Schedule

Loss = Callable[
    [Tensor, np.random.Generator], Tensor
]  # (indices of the batch, noise) -> scalar loss

SAVE_EVERY_SECONDS = 120.0


def learning_rate(schedule: Schedule, step: int) -> float:
    """The learning rate of a step: linear warm-up, then constant or a half cosine to zero."""
    seen = step * schedule.batch_size
    warmup = min(1.0, (seen + schedule.batch_size) / max(schedule.warmup_samples, 1))
    if schedule.decay == "constant":
        return schedule.learning_rate * warmup
    return schedule.learning_rate * warmup * 0.5 * (1 + math.cos(math.pi * step / schedule.steps))


def batch_indices(count: int, batch_size: int, seed: int, step: int) -> Tensor:
    """The examples of a step: every epoch is a permutation of all `count`, drawn from (seed, epoch)."""
    positions = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs = positions // count
    orders = {int(e): np.random.default_rng([seed, int(e)]).permutation(count) for e in set(epochs)}
    return torch.tensor([orders[int(e)][p % count] for e, p in zip(epochs, positions, strict=True)])


class Training:
    """Weights, their exponential moving average, and Adam's state, at some step."""

    def __init__(self, network: nn.Module, schedule: Schedule, seed: int):
        self.network, self.schedule, self.seed = network, schedule, seed
        self.names = [name for name, _ in network.named_parameters()]
        self.parameters = list(network.parameters())
        self.ema = [p.detach().clone() for p in self.parameters]
        self.optimiser = torch.optim.AdamW(
            self.parameters,
            lr=schedule.learning_rate,
            weight_decay=schedule.weight_decay,
            fused=True,
        )
        self.step = 0
        self._dropout_seed = int(generator(seed, "dropout", 0).integers(2**32))

    def advance(self, loss_of: Loss, indices: Tensor) -> float:
        """Take one step (paper, Appendix A: Adam, gradient norm clipped to 1) and return its loss."""
        noise = generator(self.seed, "training", self.step)
        # For dropout: torch takes 32 bits of it, so that consecutive numbers are the ones that never meet.
        torch.manual_seed(self._dropout_seed + self.step)
        device = self.parameters[0].device
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.schedule, self.step)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.schedule.bfloat16):
            loss = loss_of(indices, noise)
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        self.step += 1
        self._update_ema()
        return float(loss.detach())

    @torch.no_grad()
    def _update_ema(self) -> None:
        decay = self.schedule.ema_decay
        if self.schedule.ema_warmup:
            decay = min(decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(self.ema, [p.detach() for p in self.parameters], 1 - decay)

    # ------------------------------------------------------------------------------------------
    # Checkpoints: one safetensors file, written whole or not at all

    def save(self, path: Path, identity: str) -> None:
        tensors: dict[str, Tensor] = {}
        for name, parameter, ema in zip(self.names, self.parameters, self.ema, strict=True):
            tensors |= {f"model.{name}": parameter.detach(), f"ema.{name}": ema}
            for key, value in self.optimiser.state[parameter].items():
                tensors[f"adam.{key}.{name}"] = value
        tensors = {key: tensor.contiguous() for key, tensor in tensors.items()}
        partial = path.with_name(path.name + ".partial")
        try:
            save_file(tensors, partial, metadata={"step": str(self.step), "identity": identity})
            os.replace(partial, path)
        except (OSError, SafetensorError) as error:
            partial.unlink(missing_ok=True)
            raise UserError(
                f"{path.parent}: cannot save ({error}); make room, then run the same command again to go on"
            ) from None

    def load(self, path: Path, identity: str) -> None:
        """Go on from `path`. Raises UserError if the file belongs to another training or is damaged."""
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                tensors = {key: file.get_tensor(key) for key in file.keys()}
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"{path}: damaged checkpoint ({error}); remove it to start anew"
            ) from None
        if metadata.get("identity") != identity:
            raise UserError(f"{path}: belongs to another training; choose another --out")
        self.step = int(metadata["step"])
        with torch.no_grad():
            for name, parameter, ema in zip(self.names, self.parameters, self.ema, strict=True):
                parameter.copy_(tensors[f"model.{name}"])
                ema.copy_(tensors[f"ema.{name}"])
                moments = {
                    key: torch.empty_like(parameter).copy_(tensors[f"adam.{key}.{name}"])
                    for key in ("exp_avg", "exp_avg_sq")
                }
                step = tensors[f"adam.step.{name}"].to(parameter.device)
                self.optimiser.state[parameter] = {"step": step, **moments}

    @torch.no_grad()
    def use_ema(self) -> None:
        """Replace the network's weights by their moving average: what is exported and evaluated."""
        for parameter, ema in zip(self.parameters, self.ema, strict=True):
            parameter.copy_(ema)


def fit(
    network: nn.Module,
    loss_of: Loss,
    count: int,
    schedule: Schedule,
    path: Path,
    title: str,
    seed: int,
    identity: str,
) -> None:
    """Train `network` to the end of `schedule` on `count` examples; `path` keeps the state between runs.

    The state is saved every two minutes, at the end, and on Ctrl-C or SIGTERM. Afterwards the network holds the
    moving average of its weights.
    """
    training = Training(network, schedule, seed)
    if path.exists():
        training.load(path, identity)
    saved, average = time.monotonic(), math.nan
    with (
        _progress(schedule, training.step, title) as progress,
        interrupts_deferred() as interrupted,
    ):
        while training.step < schedule.steps:
            indices = batch_indices(count, schedule.batch_size, seed, training.step)
            loss = training.advance(loss_of, indices)
            if not math.isfinite(loss):
                raise UserError(
                    f"{title}: the loss is {loss} at step {training.step}; lower the rate"
                )
            average = loss if math.isnan(average) else 0.98 * average + 0.02 * loss
            progress.set_postfix(loss=f"{average:.4f}", refresh=False)
            progress.update(schedule.batch_size)
            if interrupted() or time.monotonic() - saved > SAVE_EVERY_SECONDS:
                training.save(path, identity)
                saved = time.monotonic()
            if number := interrupted():
                raise Terminated if number == signal.SIGTERM else KeyboardInterrupt
    training.save(path, identity)
    training.use_ema()


def _progress(schedule: Schedule, step: int, title: str) -> tqdm:
    return tqdm(
        total=schedule.steps * schedule.batch_size,
        initial=step * schedule.batch_size,
        desc=title,
        unit="image",
        unit_scale=True,
        file=sys.stderr,
        mininterval=1.0,
    )


@contextmanager
def interrupts_deferred() -> Iterator[Callable[[], int]]:
    """Note Ctrl-C and SIGTERM instead of obeying them, so that no step is cut in two.

    Gives a function that says which came first, or 0. Outside of the main thread nothing can be noted.
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


def identity_of(**settings: object) -> str:
    """What makes two trainings the same, as text kept in their checkpoints."""
    return json.dumps(settings, sort_keys=True, default=str)
