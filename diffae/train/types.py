"""Types that the modules of a training share: schedule, steps, outcome, stage."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from diffae.system.errors import UserError
from diffae.system.settings import Range, check

# (indices of the batch, or of a part of it, and its noise) -> the mean of the examples' losses
Loss = Callable[[Tensor, Any], Tensor]
AUTO, BFLOAT16, FLOAT16, FLOAT32 = "auto", "bfloat16", "float16", "float32"
DTYPES = {BFLOAT16: torch.bfloat16, FLOAT16: torch.float16}  # of autocast
MOST = 10**12  # examples; a limit for the number, far beyond any training


@dataclass(frozen=True)
class Schedule:
    """How one network is optimised. `samples` counts training examples, batch by batch.

    The rate rises through `warmup_samples`, then stays or falls by a cosine to zero at the end.
    Raises UserError for an invalid value.
    """

    samples: Annotated[int, Range(1, MOST)]
    batch_size: Annotated[int, Range(1, 1 << 20)]
    learning_rate: Annotated[float, Range(1e-12, 10)]
    warmup_samples: Annotated[int, Range(0, MOST)] = 0
    decay: Literal["constant", "cosine"] = "constant"
    weight_decay: Annotated[float, Range(0, 10)] = 0.0
    ema_decay: Annotated[float, Range(0, 0.9999999)] = 0.9999
    ema_warmup: bool = False
    bfloat16: bool = False

    def __post_init__(self) -> None:
        check(self)
        if not self.steps:
            raise UserError(f"samples {self.samples:,} are no batch of {self.batch_size:,}")

    @property
    def steps(self) -> int:
        return self.samples // self.batch_size

    def at_most(self, samples: int) -> "Schedule":
        """The same with at most this many examples, but at least one batch.

        The warm-up shrinks with them.
        """
        samples = max(min(self.samples, samples), self.batch_size)
        return replace(
            self, samples=samples, warmup_samples=self.warmup_samples * samples // self.samples
        )


@dataclass(frozen=True)
class Steps:
    """How a step is computed, which affects only its rounding.

    In parts of so many examples (None: at once), and with activations that are recomputed for the
    gradient. `by_example` is for losses that are means over examples: noise and dropout are drawn
    for each of them, so that a batch can be divided. `keep` is the number of states that are kept.
    """

    micro_batch: int | None = None
    recompute: bool = False
    by_example: bool = False
    keep: int = 2


@dataclass(frozen=True)
class Adam:
    """Settings of the optimiser beside the schedule: decay of its moments, largest gradient norm."""

    betas: tuple[float, float] = (0.9, 0.999)
    largest_norm: float = 1.0


@dataclass(frozen=True)
class Outcome:
    """The outcome of a stage: precision, steps not taken, examples seen, and seconds of steps."""

    precision: str
    skipped: int
    examples: int = 0
    seconds: float = 0.0


Pictures = dict[str, Tensor]  # rows of a sheet, n x 3 x S x S in [-1, 1], by their captions


@dataclass(frozen=True)
class Stage:
    """A network with its schedule and its loss, trained together, and what can be seen of it.

    `by_example` as in `Steps`. `pictures` shows the model's output for images n x 3 x S x S in
    [-1, 1]. `export` writes it to a folder as a checkpoint that can be evaluated; both use the
    weights at the time of the call. None: there is nothing of that kind to see.
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
