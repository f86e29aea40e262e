"""New images of a system, from the store: one set for all benchmarks of samples."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from benchmarks.core.context import Context
from benchmarks.core.images import THUMBNAIL, thumbnails
from benchmarks.core.sizes import Count, Solver, Steps
from benchmarks.core.store import Arrays
from benchmarks.systems.protocol.base import DECODE, SAMPLE_LATENTS, STOCHASTIC, Code, System
from benchmarks.systems.protocol.parts import Semantic

PREVIEW = 32


@dataclass(frozen=True)
class Sizes:
    """
    count   new images of a system
    steps   T at which they are drawn; `memorisation` uses the samples of the last T
    solver  solver that takes these steps
    """

    count: Count = 384
    steps: tuple[Steps, ...] = (10,)
    solver: Solver = "fast"


def samples(
    context: Context,
    system: System,
    steps: int | None,
    count: int,
    names: Iterable[str] | None = None,
) -> Arrays:
    """`count` new images: the parts called `names`, or all.

    Features N x d by each network (`FeatureNetwork.array`), "pixels" N x d'' (`images.thumbnails`),
    a "preview", and if there are any "latents" N x d', as a probe reads them. Sample i depends on (seed, i) alone, so a larger set
    begins with a smaller one.
    """
    key = context.codes.key("sample", system, None) | {
        "steps": steps,
        "seed": context.seed,
        "features": context.codes.described(),
        "pixels": THUMBNAIL,
    }

    def compute(positions: np.ndarray) -> Arrays:
        indices = positions.tolist()
        images, latents = draw(context, system, indices, steps)
        arrays = {} if latents is None else {"latents": system.read(latents).cpu().numpy()}
        return {
            **arrays,
            **context.codes.embed(images),
            "pixels": thumbnails(images),
            "preview": images[: PREVIEW if indices[0] == 0 else 0].numpy(),
        }

    return context.store.arrays(key, count, compute, names)


def draw(
    context: Context, system: System, indices: Sequence[int], steps: int | None
) -> tuple[Tensor, Semantic | None]:
    """The new images of these indices, and the semantic codes behind them if there are any."""
    if {SAMPLE_LATENTS, DECODE} <= system.capabilities:
        latents = system.sample_latents(indices, context.seed, steps or 1)
        return decode_latents(context, system, latents, indices, steps), latents
    return context.resized(system.sample(indices, context.seed, steps or 1).cpu()), None


def decode_latents(
    context: Context,
    system: System,
    latents: Semantic,
    indices: Sequence[int],
    steps: int | None,
) -> Tensor:
    """Images of semantic codes, each with the x_T of its index if the system has one."""
    x_T = None
    if STOCHASTIC in system.capabilities:
        x_T = system.random_x_T(indices, context.seed)
    return context.resized(system.decode(Code(latents, x_T), steps or 1).cpu())
