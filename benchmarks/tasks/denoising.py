"""Denoising: how well x_0 is predicted from a noised image, with and without z_sem (paper, Fig. 6).

Held-out images are noised to t, the network is called once, and the x_0 that it predicts is
compared with the image. What z_sem contains need not be recovered from the noisy image, so the gap
to the baseline grows with t. (The paper shows the predictions along a decoding; here every t starts
from the true x_t.)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from benchmarks.core.benchmark import Benchmark
from benchmarks.core.context import Context
from benchmarks.core.plan import Calls, Work, semantic_codes
from benchmarks.core.selection import Selection
from benchmarks.core.sizes import Count, Timestep
from benchmarks.core.store import Arrays
from benchmarks.metrics import pixel, ssim
from benchmarks.systems.protocol.base import PREDICT_X0, SEMANTIC, System
from benchmarks.systems.protocol.parts import index
from benchmarks.tasks.shared.rows import SSIM, means
from diffae.diffusion import noise
from diffae.sheet import Sheet
from reports.records.record import Record
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


def run(context: Context, system: System) -> Iterator[Record]:
    sizes = context.sizes(Sizes)
    selection = context.select("test", sizes.images)
    row = partial(context.record, "denoising", TABLE, system.title)
    previews = []
    for t in sizes.timesteps:
        scores = score(context, system, selection, t)
        protocol = context.protocol(
            "denoising",
            split=selection.split,
            n=len(selection),
            t=t,
            semantic="of the image itself" if SEMANTIC in system.capabilities else None,
            x_0="clipped to [-1, 1]",
            ssim=SSIM,
        )
        found = {name: scores[name] for name in METRICS}
        yield from means(row, selection, found, setting=f"t = {t}", protocol=protocol)
        previews.append(torch.from_numpy(scores["preview"]))
    originals = selection.batch(np.arange(len(previews[0])))
    sheet = Sheet(
        f"{system.title}: the x_0 predicted at t",
        torch.stack([originals, *previews], dim=1).unbind(),
        columns=("input", *(f"t = {t}" for t in sizes.timesteps)),
        caption="Held-out images with noise up to t, and what one network call makes of them (Fig. 6).",
        about={"benchmark": "denoising", "system": system.title},
    )
    context.save_sheet(f"denoising-{system.name}.png", sheet)


def score(context: Context, system: System, selection: Selection, t: int) -> Arrays:
    """Scores per image, [N] each, and the first few predictions under "preview"."""
    semantic = None
    if SEMANTIC in system.capabilities:
        semantic = context.codes.semantic(system, selection)
    key = context.codes.key("denoising", system, selection) | {"t": t, "seed": context.seed}

    def compute(positions: np.ndarray) -> Arrays:
        images, seen = selection.batch(positions), selection.seen_by(system)
        given_to = images if seen.dataset is selection.dataset else seen.batch(positions)
        indices = selection.order[positions].tolist()
        # The same noise at every t and for every system, so that only the prediction differs.
        eps = noise.normal(context.seed, "denoising", indices, given_to.shape[1:])
        given = None if semantic is None else index(semantic, positions)
        x_t = system.add_noise(given_to, t, eps)
        output = context.resized(system.predict_x0(x_t, t, given).cpu())
        return {
            "mse": pixel.mse(output, images).numpy(),
            "ssim": ssim.ssim(output, images).numpy(),
            "preview": output[: PREVIEW if positions[0] == 0 else 0].numpy(),
        }

    return context.store.arrays(key, len(selection), compute)


def plan(context: Context, system: System) -> Iterator[Work]:
    sizes = context.sizes(Sizes)
    count = len(context.select("test", sizes.images))
    if SEMANTIC in system.capabilities:
        yield semantic_codes(system, "test", count)
    times = len(sizes.timesteps)
    yield Work(f"predict x_0 at {times} timesteps", count, Calls(decoder=times))


BENCHMARK = Benchmark(
    name="denoising",
    table=TABLE,
    headline=lambda context: "mse",
    needs=frozenset({PREDICT_X0}),
    run=run,
    plan=plan,
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
