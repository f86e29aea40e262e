"""A training step: the weights, their moving average, Adam's state, and these on disk.

A step is a function of the weights, the optimiser's state and (seed, step) alone: which examples it
sees, its noise and its dropout all come from generators seeded by these two. So a run that is
killed and started again continues as if it had not been interrupted. On a GPU the same holds up to
rounding, because some of its kernels sum in no fixed order. If noise and dropout are drawn
per example, the number of processes and of parts makes no difference either, except for the
rounding of sums.
"""

import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from diffae.diffusion.noise import ExampleNoise, Noise, generator
from diffae.networks.nn import Dropout, evaluating
from diffae.networks.unet import recompute
from diffae.system.cli import say
from diffae.system.errors import UserError
from diffae.train import state, types
from diffae.train.sharing import Sharing
from diffae.train.types import Adam, Loss, Outcome, Schedule, Steps

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
    """The examples of a step. Each epoch is a permutation of all `count`, drawn from (seed, epoch)."""
    positions = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs = (positions // count).tolist()
    orders = {epoch: _order(count, seed, epoch) for epoch in sorted(set(epochs))}
    return torch.tensor([orders[e][p % count] for e, p in zip(epochs, positions, strict=True)])


@lru_cache(maxsize=2)  # a batch may lie in two epochs
def _order(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order of an epoch, drawn once: at 1.2 million images it takes 0.2 seconds."""
    return np.random.default_rng([seed, epoch]).permutation(count)


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
        state.save(path, state.State(tensors, *progress), identity)

    def load(self, path: Path, identity: str) -> None:
        """Resume from `path`, if it exists.

        Raises UserError if it belongs to a different training or is damaged.
        """
        saved = state.load(path, identity)
        if saved is None:
            return
        self.step, self.skipped, self.seconds = saved.step, saved.skipped, saved.seconds
        self.precision_history = saved.precision
        if saved.precision.split()[-1] != self.precision:
            self.precision_history = f"{saved.precision} to step {self.step}, then {self.precision}"
            say(f"precision: {self.precision_history}")
        tensors = saved.tensors
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
