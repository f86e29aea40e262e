"""Variation: what each part of the code decides (paper, Fig. 3).

An image is decoded from its z_sem with several x_T drawn at random, and from one x_T with the z_sem
of several images. The distance between the decodes says how much of an image that part of the code
decides.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.benchmark import Benchmark
from benchmarks.core.context import Context
from benchmarks.core.plan import Calls, Work, by, network_calls, semantic_codes
from benchmarks.core.selection import Selection
from benchmarks.core.sizes import Count, Number, Solver, Steps
from benchmarks.core.solving import Taken
from benchmarks.core.store import Arrays
from benchmarks.metrics.diversity import pixel_std, ring_distance, std_image
from benchmarks.runtime.errors import NotAvailable
from benchmarks.systems.protocol.base import DECODE, SEMANTIC, STOCHASTIC, Code, System
from benchmarks.systems.protocol.parts import index
from diffae.sheet import Sheet
from reports.records.metrics import seen_through
from reports.records.record import Record
from reports.records.specs import TableSpec
from reports.records.uncertainty import of_mean

TABLE = "figure3_variation"
VARY_X_T, VARY_Z_SEM = "x_T varies", "z_sem varies"
PREVIEW = 6
# The standard deviation that is white in the picture; half the range of a pixel is 0.5.
STD_WHITE = 0.25


@dataclass(frozen=True)
class Sizes:
    """images   that vary
    draws    decodes of each image: with that many random x_T, and with the z_sem of that many images
    steps    T of decoding
    solver   solver that takes these steps
    """

    images: Count = 12
    draws: Number = 5
    steps: Steps = 10
    solver: Solver = "fast"


def run(context: Context, system: System) -> Iterator[Record]:
    system, selection, steps = _asked(context, system)
    draws, taken = context.sizes(Sizes).draws, Taken(system, steps)
    for setting in (VARY_X_T, VARY_Z_SEM):
        scores = score(context, system, selection, setting, steps)
        n = len(scores["pixel_std"])
        protocol = context.protocol(
            "variation",
            n=n,
            varies=setting,
            draws=draws,
            pairs="consecutive draws, cyclically",
            **taken.protocol,
            **context.networks.perceptual.describe(),
        )
        for metric in (_diversity(context), "pixel_std"):
            yield context.record(
                "variation",
                TABLE,
                system.title,
                metric,
                float(np.mean(scores[metric], dtype=np.float64)),
                setting=setting,
                **taken.row,
                uncertainty=of_mean(scores[metric], selection.units(f"groups of {draws}")),
                n=n,
                protocol=protocol,
            )
        _save_preview(context, system, selection, setting, scores)


def _asked(context: Context, system: System) -> tuple[System, Selection, int | None]:
    """The system with its solver, the images and T.

    Raises NotAvailable if there are too few images.
    """
    sizes = context.sizes(Sizes)
    selection = context.select("test", sizes.images * sizes.draws)
    if len(selection) < sizes.draws:
        raise NotAvailable(f"{len(selection)} test images, {sizes.draws} are needed")
    steps = sizes.steps if system.iterative else None
    return system.solving(sizes.solver), selection, steps


def _diversity(context: Context) -> str:
    """The metric's name with the available network."""
    return seen_through("diversity_lpips", context.networks.perceptual.network)


def score(
    context: Context, system: System, selection: Selection, setting: str, steps: int | None
) -> Arrays:
    """Scores of each group of images, [G] each, and the first few groups' decodes under "preview".

    Positions K g to K g + K - 1 are group g: its first image is the one that varies, and the codes
    that it is given are those of the group, so that no two groups have anything in common.
    """
    draws = context.sizes(Sizes).draws
    semantic = context.codes.semantic(system, selection)
    metric = _diversity(context)
    key = context.codes.key("variation", system, selection) | {
        "setting": setting,
        "draws": draws,
        "steps": steps,
        "seed": context.seed,
        "perceptual": context.networks.perceptual.describe(),
    }

    def compute(groups: np.ndarray) -> Arrays:
        first = groups * draws
        columns = []
        for k in range(draws):
            z_of, x_T_of = (first, first + k) if setting == VARY_X_T else (first + k, first)
            x_T = system.random_x_T(selection.order[x_T_of].tolist(), context.seed)
            decoded = system.decode(Code(index(semantic, z_of), x_T), steps or 1)
            columns.append(context.resized(decoded.cpu()))
        images = torch.stack(columns)
        return {
            metric: ring_distance(images, context.networks.perceptual).cpu().numpy(),
            "pixel_std": pixel_std(images).numpy(),
            "preview": images.transpose(0, 1)[: PREVIEW if groups[0] == 0 else 0].numpy(),
        }

    return context.store.arrays(key, len(selection) // draws, compute)


def _save_preview(
    context: Context, system: System, selection: Selection, setting: str, scores: Arrays
) -> None:
    """One row per image: the original, its decodes, their mean and their standard deviation in grey."""
    preview = torch.from_numpy(scores["preview"])
    originals = selection.batch(np.arange(len(preview)) * context.sizes(Sizes).draws)
    rows = [_row(original, decodes) for original, decodes in zip(originals, preview, strict=True)]
    fixed, free = ("z_sem", "x_T") if setting == VARY_X_T else ("x_T", "z_sem")
    draws = (f"{free} {k}" for k in range(1, preview.shape[1] + 1))
    sheet = Sheet(
        f"{system.title}: {free} varies, {fixed} stays",
        rows,
        columns=("input", *draws, "mean", "standard deviation"),
        caption=f"Decodes of the {fixed} of the input with other {free}, and how much pixels differ (Fig. 3).",
        about={"benchmark": "variation", "system": system.title, "setting": setting},
    )
    context.save_sheet(f"variation-{system.name}-{free}.png", sheet)


def _row(original: Tensor, decodes: Tensor) -> Tensor:
    """3 x S x S and K x 3 x S x S in [-1, 1] -> K + 3 images in [-1, 1]."""
    deviation = std_image(decodes[:, None]).mean(1, keepdim=True).expand(-1, 3, -1, -1)
    mean = decodes.mean(0, keepdim=True)
    return torch.cat([original[None], decodes, mean, deviation / STD_WHITE * 2 - 1])


def plan(context: Context, system: System) -> Iterator[Work]:
    system, selection, steps = _asked(context, system)
    count, draws = len(selection), context.sizes(Sizes).draws
    yield semantic_codes(system, "test", count)
    calls = Calls(decoder=draws * network_calls(system, steps), perceptual=draws)
    for setting in (VARY_X_T, VARY_Z_SEM):
        yield Work(f"{draws} decodes an image, {setting}{by(system)}", count // draws, calls, steps)


BENCHMARK = Benchmark(
    name="variation",
    table=TABLE,
    headline=_diversity,
    needs=frozenset({SEMANTIC, STOCHASTIC, DECODE}),
    run=run,
    plan=plan,
    sizes=Sizes,
    tables=(
        TableSpec(
            name=TABLE,
            title="Figure 3: what each part of the code decides",
            caption=(
                "How much a decoded image changes when one part of its code is exchanged and the other "
                "kept: x_T drawn anew, or z_sem taken from other images."
            ),
            rows=("system", "setting", "steps", "solver", "calls"),
            columns=("metric",),
            metrics=("diversity_lpips", "pixel_std"),
            headline=("diversity_lpips",),
            order=80,
        ),
    ),
)
