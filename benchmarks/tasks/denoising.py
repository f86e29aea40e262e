"""Denoising: how well x_0 is predicted from a noised image, with and without z_sem (paper, Fig. 6).

Held-out images are noised to t, the network is called once, and the x_0 that it predicts is
compared with the image. What z_sem contains need not be recovered from the noisy image, so the gap
to the baseline grows with t. (The paper shows the predictions along a decoding; here every t starts
from the true x_t.)
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.core.images import Selection, preview, semantic_of
from benchmarks.core.job import Arrays, Calls, Job
from benchmarks.core.measurement import Numbers
from benchmarks.core.sizes import Count, Timestep
from benchmarks.metrics.pairs import DESCRIBED, scores_of
from benchmarks.plugin import Benchmark, Context, Measurement, Place
from benchmarks.systems.protocol.base import PREDICT_X0, SEMANTIC, System
from diffae.diffusion import noise
from reports.records.specs import TableSpec

TABLE = "figure6_denoising"
METRICS = ("mse", "ssim")
PREVIEW = 4


@dataclass(frozen=True)
class Sizes:
    """
    images      how many are noised
    timesteps   t that they are noised to
    """

    images: Count = 256
    timesteps: tuple[Timestep, ...] = (100, 300, 500, 700, 900)


def run(context: Context, system: System) -> Iterator[Measurement]:
    sizes = context.sizes(Sizes)
    images = context.select("test", sizes.images)
    places = [_place(context, system, images, t) for t in sizes.timesteps]

    def numbers(*arrays: Arrays) -> Numbers:
        for place, scores in zip(places, arrays, strict=True):
            yield from place.means(images, {name: scores[name] for name in METRICS})
        previews = [torch.from_numpy(scores["preview"]) for scores in arrays]
        originals = images.batch(np.arange(len(previews[0])))
        Place(context, TABLE, system).draw(
            "denoising-{}",
            "the x_0 predicted at t",
            torch.stack([originals, *previews], dim=1).unbind(),
            columns=("input", *(place.setting for place in places)),
            caption="Held-out images with noise up to t, and what one network call makes of them (Fig. 6).",
        )

    each = zip(places, sizes.timesteps, strict=True)
    yield Measurement([_predicted(place, system, images, t) for place, t in each], numbers)


def _place(context: Context, system: System, images: Selection, t: int) -> Place:
    return Place(context, TABLE, system, setting=f"t = {t}", n=len(images)).also(
        split=images.split,
        t=t,
        semantic="of the image itself" if SEMANTIC in system.capabilities else None,
        x_0="clipped to [-1, 1]",
        ssim=DESCRIBED["ssim"],
    )


def _predicted(place: Place, system: System, images: Selection, t: int) -> Job:
    """Scores per image, [N] each, and the first few predictions under "preview"."""
    context = place.context
    codes = [context.codes.semantic(system, images)] if SEMANTIC in system.capabilities else []

    def compute(positions: np.ndarray, *codes: Arrays) -> Arrays:
        originals, seen = images.batch(positions), images.seen_by(system)
        x_0 = originals if seen.dataset is images.dataset else seen.batch(positions)
        indices = images.order[positions].tolist()
        # The same noise at every t and for every system, so that only the prediction differs.
        eps = noise.normal(context.seed, "denoising", indices, x_0.shape[1:])
        z_sem = semantic_of(codes[0]) if codes else None
        x_t = system.add_noise(x_0, t, eps)
        output = context.resized(system.predict_x0(x_t, t, z_sem).cpu())
        scores: Arrays = scores_of(dict.fromkeys(METRICS), output, originals)
        return scores | {"preview": preview(positions, output, PREVIEW)}

    title, call = f"predict x_0 at t = {t}", Calls(decoder=1)
    return place.job("denoising", title, images, compute, rows_of=codes, calls=call)


BENCHMARK = Benchmark(
    name="denoising",
    headline=lambda context: "mse",
    needs=frozenset({PREDICT_X0}),
    run=run,
    sizes=Sizes,
    tables=(
        TableSpec(
            name=TABLE,
            title="Figure 6: predicted x_0 by t",
            caption="Held-out images noised to t, against what one network call makes of them.",
            rows=("setting",),
            setting_header="noised to",
            columns=("metric", "system"),
            metrics=METRICS,
            headline=("mse",),
            headline_settings=("t = 500",),
            order=90,
        ),
    ),
)
