"""New images of a system, from the store: one set for all benchmarks of samples."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.images import preview
from benchmarks.core.sizes import Solver
from benchmarks.metrics.pixel import resize, seen
from benchmarks.plugin import Arrays, Calls, Count, Job, Place, Steps, Variant
from benchmarks.systems.protocol.base import reading_of
from diffae.eight_bit import to_uint8

PREVIEW = 32
THUMBNAIL = 32


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


def samples(variant: Variant, count: int, *names: str) -> Job:
    """`count` new images: the arrays called `names`, or all.

    Features N x d by each network (`FeatureNetwork.array`), "pixels" N x d'' (`thumbnails`),
    a "preview", and if there are any "latents" N x d', as a probe reads them. Sample i depends on
    (seed, i) alone, so a larger set begins with a smaller one.
    """
    codes = variant.context.codes

    def compute(positions: np.ndarray) -> Arrays:
        images, latents = variant.draw(positions.tolist())
        read = {} if latents is None else {"latents": variant.system.read(latents).cpu().numpy()}
        shown = {"pixels": thumbnails(images), "preview": preview(positions, images, PREVIEW)}
        return {**read, **codes.embed(images), **shown}

    place = Place(variant.context, "", variant).also(features=codes.described(), pixels=THUMBNAIL)
    calls = variant.sampling + Calls(features=1)
    job = place.job("sample", "samples", None, compute, count=count, calls=calls)
    return replace(job, names=names or None)


def shown(place: Place, variant: Variant, new: Arrays, indices: np.ndarray) -> Tensor:
    """Some of the samples `new`, for a picture: their thumbnails where images are no larger, else drawn
    again, from their "latents" where these are kept whole.
    """
    if place.context.dataset.image_size == THUMBNAIL:
        pixels = torch.from_numpy(new["pixels"][indices]).float().div(127.5).sub(1)
        return pixels.unflatten(1, (3, THUMBNAIL, THUMBNAIL))

    def drawn() -> Tensor:
        if "latents" not in new or reading_of(variant.system):  # only what probes read is kept
            return variant.draw(indices.tolist())[0]
        latents = torch.from_numpy(new["latents"][indices])
        return variant.decode(variant.random(latents, indices.tolist()))

    return place.pictured(None, indices, drawn)


def thumbnails(images: Tensor) -> np.ndarray:
    """Images in [-1, 1] as small flat vectors, for distances between pixels: uint8 N x 3 * 32 * 32."""
    return to_uint8(resize(seen(images), THUMBNAIL)).flatten(1).cpu().numpy()
