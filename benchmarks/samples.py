"""New images of a system, from the store: one set for every benchmark that looks at samples."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from benchmarks.context import Context
from benchmarks.store import Arrays
from benchmarks.systems.base import DECODE, SAMPLE_LATENTS, STOCHASTIC, Code, System

PREVIEW = 32


def samples(context: Context, system: System, steps: int | None, count: int) -> Arrays:
    """`count` new images: "features" N x d, "latents" N x d' where there are any, and a "preview".

    Sample i depends on (seed, i) alone, so a larger set begins with a smaller one.
    """
    key = context.key("sample", system, None) | {
        "steps": steps,
        "seed": context.seed,
        "features": context.features.describe(),
    }

    def compute(positions: np.ndarray) -> Arrays:
        indices = positions.tolist()
        arrays = {}
        if {SAMPLE_LATENTS, DECODE} <= system.capabilities:
            latents = system.sample_latents(indices, context.seed, steps or 1).cpu()
            arrays["latents"] = latents.numpy()
            images = decode_latents(context, system, latents, indices, steps)
        else:
            images = system.sample(indices, context.seed, steps or 1).cpu()
        preview = images[: PREVIEW if indices[0] == 0 else 0]
        return arrays | {"features": context.embed(images), "preview": preview.numpy()}

    chunks = list(context.store.chunks(key, count, compute))
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def decode_latents(
    context: Context, system: System, latents: Tensor, indices: Sequence[int], steps: int | None
) -> Tensor:
    """Images of semantic codes, each with the x_T of its index where the system has one."""
    x_T = None
    if STOCHASTIC in system.capabilities:
        x_T = system.random_x_T(indices, context.seed)
    return system.decode(Code(latents, x_T), steps or 1).cpu()
