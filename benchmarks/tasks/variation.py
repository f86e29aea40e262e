"""Variation: what each part of the code decides (paper, Fig. 3).

An image is decoded from its z_sem with several x_T drawn at random, and from one x_T with the z_sem
of several images. The distance between the decodes says how much of an image that part of the code
decides. How those of several x_T are spread about the image says whether they are as uncertain as the
code leaves it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.images import Selection, preview
from benchmarks.core.measurement import Cell, Measurement, Solved
from benchmarks.core.sizes import Count, Number, Solver, Steps
from benchmarks.metrics.diversity import (
    OF_POSTERIOR,
    estimate_diversity,
    estimate_posterior,
    of_posterior,
    pixel_std,
    ring_distance,
    std_image,
)
from benchmarks.plugin import Arrays, Benchmark, Context, NotAvailable, Record, TableSpec
from benchmarks.systems.protocol.base import DECODE, SEMANTIC, STOCHASTIC, System
from benchmarks.systems.protocol.parts import index
from reports.records.metrics import seen_through

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


def run(context: Context, system: System) -> Iterator[Measurement]:
    sizes = context.sizes(Sizes)
    if sizes.draws < 2:
        raise NotAvailable("one draw has no spread: --set variation.draws=2, or more")
    images = context.select("test", sizes.images * sizes.draws)
    if len(images) < sizes.draws:
        raise NotAvailable(f"{len(images)} test images, {sizes.draws} are needed")
    at = Solved.of(context, system, sizes.solver, sizes.steps, inverts=False)
    for varies in (VARY_X_T, VARY_Z_SEM):
        yield _varied(at, images, sizes.draws, varies)


def _diversity(context: Context) -> str:
    """The metric's name with the available network."""
    return seen_through("diversity_lpips", context.networks.perceptual.network)


def _varied(at: Solved, images: Selection, draws: int, varies: str) -> Measurement:
    """The mean distances of decodes of groups of images.

    Positions K g to K g + K - 1 are group g: its first image is the one that varies, and the codes
    that it is given are those of the group, so that no two groups have anything in common.
    """
    context, metric = at.context, _diversity(at.context)
    distance = context.networks.perceptual
    fields = {"varies": varies, "draws": draws}
    groups = len(images) // draws
    of_images = Cell(context, TABLE, at, setting=varies, n=groups, fields=fields)
    cell = of_images.also(pairs="consecutive draws, cyclically", **distance.describe())
    with_posterior = varies == VARY_X_T
    more = {"scores": OF_POSTERIOR} if with_posterior else {}
    semantic = context.codes.semantic(at.system, images)

    def compute(groups: np.ndarray) -> Arrays:
        first, codes = groups * draws, []
        for k in range(draws):
            z_of, x_T_of = (first, first + k) if varies == VARY_X_T else (first + k, first)
            codes.append(at.random(index(semantic, z_of), images.order[x_T_of].tolist()))
        decodes = torch.stack([at.decode(code) for code in codes])
        arrays = {metric: ring_distance(decodes, distance).cpu().numpy()}
        arrays |= {"pixel_std": pixel_std(decodes).numpy()}
        if with_posterior:
            spread = of_posterior(decodes, images.batch(first))
            arrays |= {name: scores.numpy() for name, scores in spread.items()}
        return arrays | {"preview": preview(groups, decodes.transpose(0, 1), PREVIEW)}

    def reduce(arrays: Arrays) -> Iterator[Record]:
        scores = {name: arrays[name] for name in (metric, "pixel_std")}
        yield from cell.records(estimate_diversity(scores, f"groups of {draws}", images.units))
        if with_posterior:
            varied = replace(images, order=images.order[::draws][:groups])
            posterior = estimate_posterior(arrays, varied.units)
            yield from of_images.records(posterior, split=varied.split)
        _save_preview(cell, images, arrays["preview"])

    title = f"{draws} decodes an image, {varies}"
    computation = cell.computation("variation", title, images, compute, groups, **more)
    return Measurement([computation], reduce)


def _save_preview(cell: Cell, images: Selection, shown: np.ndarray) -> None:
    """One row per image: the original, its decodes, their mean and their standard deviation in grey."""
    decodes, draws = torch.from_numpy(shown), shown.shape[1]
    originals = images.batch(np.arange(len(decodes)) * draws)
    fixed, free = ("z_sem", "x_T") if cell.setting == VARY_X_T else ("x_T", "z_sem")
    drawn = (f"{free} {k}" for k in range(1, draws + 1))
    cell.draw(
        f"variation-{{}}-{free}",
        f"{free} varies, {fixed} stays",
        [_row(original, row) for original, row in zip(originals, decodes, strict=True)],
        columns=("input", *drawn, "mean", "standard deviation"),
        caption=f"Decodes of the {fixed} of the input with other {free}, and how much pixels differ (Fig. 3).",
    )


def _row(original: Tensor, decodes: Tensor) -> Tensor:
    """3 x S x S and K x 3 x S x S in [-1, 1] -> K + 3 images in [-1, 1]."""
    deviation = std_image(decodes[:, None]).mean(1, keepdim=True).expand(-1, 3, -1, -1)
    mean = decodes.mean(0, keepdim=True)
    return torch.cat([original[None], decodes, mean, deviation / STD_WHITE * 2 - 1])


BENCHMARK = Benchmark(
    name="variation",
    headline=_diversity,
    needs=frozenset({SEMANTIC, STOCHASTIC, DECODE}),
    run=run,
    sizes=Sizes,
    tables=(
        TableSpec(
            name=TABLE,
            title="Figure 3: what each part of the code decides",
            caption=(
                "How much a decoded image changes when one part of its code is exchanged and the other "
                "kept: x_T drawn anew, or z_sem taken from other images. Calibration: the variance over x_T by the squared "
                "error of their mean; 0: no spread, 1: as uncertain as the code leaves it, above 1: too diverse."
            ),
            rows=("system", "setting", "steps", "solver", "calls"),
            columns=("metric",),
            metrics=(
                *("diversity_lpips", "pixel_std", "seed_variance", "seed_bias"),
                *("calibration", "psnr", "psnr_of_mean"),
            ),
            headline=("diversity_lpips",),
            order=80,
        ),
    ),
)
