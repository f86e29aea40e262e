"""Types that the modules of a training share: schedule, steps, outcome, stage."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from diffae.system.errors import UserError
from diffae.system.settings import Range, check

# (indices of examples, noise) -> the mean of their losses. The noise is `Noise`, a Generator unless `by_example`
Loss = Callable[[Tensor, Any], Tensor]
AUTO, BFLOAT16, FLOAT16, FLOAT32 = "auto", "bfloat16", "float16", "float32"
DTYPES = {BFLOAT16: torch.bfloat16, FLOAT16: torch.float16}  # of autocast
MOST = 10**12  # examples: an upper bound to catch mistakes, far beyond any training


@dataclass(frozen=True)
class Schedule:
    """How one network is optimised.

    `samples` is the number of training examples, those of repeated epochs included. The learning
    rate rises during the first `warmup_samples`, then stays or falls by half a cosine to zero:
    during the last `decay_samples`, or from the start if that is 0.
    Raises UserError for an invalid value.
    """

    samples: Annotated[int, Range(1, MOST)]
    batch_size: Annotated[int, Range(1, 1 << 20)]
    learning_rate: Annotated[float, Range(1e-12, 10)]
    warmup_samples: Annotated[int, Range(0, MOST)] = 0
    decay: Literal["constant", "cosine"] = "constant"
    decay_samples: Annotated[int, Range(0, MOST)] = 0
    weight_decay: Annotated[float, Range(0, 10)] = 0.0
    ema_decay: Annotated[float, Range(0, 0.9999999)] = 0.9999
    ema_warmup: bool = False
    bfloat16: bool = False

    def __post_init__(self) -> None:
        check(self)
        if not self.steps:
            raise UserError(f"samples is {self.samples:,}, below one batch of {self.batch_size:,}")
        if self.decay_samples > self.samples:
            raise UserError(
                f"decay_samples is {self.decay_samples:,} of {self.samples:,} samples; lower it"
            )

    @property
    def steps(self) -> int:
        return self.samples // self.batch_size

    def at_most(self, samples: int) -> "Schedule":
        """The same with at most this many examples, but at least one batch.

        Warm-up and decay shrink with them.
        """
        samples = max(min(self.samples, samples), self.batch_size)
        warmup = self.warmup_samples * samples // self.samples
        decay = self.decay_samples * samples // self.samples
        return replace(self, samples=samples, warmup_samples=warmup, decay_samples=decay)


@dataclass(frozen=True)
class Steps:
    """How a training step is computed.

    micro_batch  examples per forward pass (None: all of a process's share at once)
    recompute    recompute activations in the backward pass to save memory
    by_example   the loss is a mean over examples, so that a batch can be divided among processes and
                 parts: noise and dropout are drawn for each example

    `micro_batch` and `recompute` change a result only by rounding.
    """

    micro_batch: int | None = None
    recompute: bool = False
    by_example: bool = False


@dataclass(frozen=True)
class Adam:
    """Settings of the optimiser beyond `Schedule`: decay of its moments, largest gradient norm."""

    betas: tuple[float, float] = (0.9, 0.999)
    largest_norm: float = 1.0


@dataclass(frozen=True)
class Outcome:
    """The outcome of a stage: precision, skipped steps, examples seen, and seconds of its steps."""

    precision: str
    skipped: int
    examples: int = 0
    seconds: float = 0.0


Pictures = dict[str, Tensor]  # rows of a sheet, n x 3 x S x S in [-1, 1], by their captions


@dataclass(frozen=True)
class Stage:
    """A network with its schedule and its loss, trained together.

    `by_example` as in `Steps`. `pictures` returns the model's output for images n x 3 x S x S in
    [-1, 1]. `export` writes the model to a folder as a checkpoint that can be evaluated. Both use
    the weights at the time of the call, and are None if the stage has no such output.
    """

    name: str
    title: str
    network: nn.Module
    schedule: Schedule
    loss: Loss
    adam: Adam = Adam()
    by_example: bool = True
    pictures: Callable[[Tensor], Pictures] | None = None
    export: Callable[[Path], None] | None = None
