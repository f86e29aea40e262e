"""Variation: what each part of the code decides (paper, Fig. 3).

An image is decoded from its z_sem with several x_T drawn at random, and from one x_T with the z_sem
of several images. The distance between the decodes says how much of an image that part of the code
decides. How those of several x_T are spread about the image says whether they are as uncertain as the
code leaves it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.images import Selection, preview, semantic_of
from benchmarks.core.measurement import Measurement, Numbers, Place, Variant
from benchmarks.core.sizes import Count, Number, Solver, Steps
from benchmarks.metrics.diversity import (
    estimate_diversity,
    estimate_posterior,
    of_posterior,
    pixel_std,
    ring_distance,
    std_image,
)
from benchmarks.plugin import Arrays, Benchmark, Calls, Context, NotAvailable, TableSpec
from benchmarks.systems.protocol.base import DECODE, SEMANTIC, STOCHASTIC, System
from benchmarks.systems.protocol.checked import cut
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
    variant = Variant.of(context, system, sizes.solver, sizes.steps, inverts=False)
    for varies in (VARY_X_T, VARY_Z_SEM):
        yield _varied(variant, images, sizes.draws, varies)


def _diversity(context: Context) -> str:
    """The metric's name with the available network."""
    return seen_through("diversity_lpips", context.networks.perceptual.network)


def _varied(variant: Variant, images: Selection, draws: int, varies: str) -> Measurement:
    """The mean distances of decodes of groups of images.

    Positions K g to K g + K - 1 are group g: its first image is the one that varies, and the codes
    that it is given are those of the group, so that no two groups have anything in common.
    """
    context, metric, count = variant.context, _diversity(variant.context), len(images) // draws
    distance, with_posterior = context.networks.perceptual, varies == VARY_X_T
    of_images = Place(context, TABLE, variant, setting=varies, n=count)
    of_images = of_images.also(varies=varies, draws=draws)
    place = of_images.also(pairs="consecutive draws, cyclically", **distance.describe())

    def compute(groups: np.ndarray, codes: Arrays) -> Arrays:
        first, decodes = groups * draws, list[Tensor]()
        for other in (first + k for k in range(draws)):
            z_of, x_T_of = (first, other) if varies == VARY_X_T else (other, first)
            z_sem = cut(semantic_of(codes), z_of)
            decodes.append(variant.decode(variant.random(z_sem, images.order[x_T_of].tolist())))
        drawn = torch.stack(decodes)
        scores = {metric: ring_distance(drawn, distance).cpu(), "pixel_std": pixel_std(drawn)}
        scores |= of_posterior(drawn, images.batch(first)) if with_posterior else {}
        arrays = {name: values.numpy() for name, values in scores.items()}
        return arrays | {"preview": preview(groups, drawn.transpose(0, 1), PREVIEW)}

    def numbers(arrays: Arrays) -> Numbers:
        scores = {name: arrays[name] for name in (metric, "pixel_std")}
        yield from place.numbers(estimate_diversity(scores, f"groups of {draws}", images.units))
        if with_posterior:
            varied = images.units.at(np.arange(count) * draws)
            yield from of_images.numbers(estimate_posterior(arrays, varied))
        _save_preview(place, images, torch.from_numpy(arrays["preview"]))

    decoded = place.job(
        "variation",
        f"{draws} decodes an image, {varies}",
        images,
        compute,
        count=count,
        takes=[context.codes.semantic(variant.system, images)],
        calls=(variant.decoding + Calls(perceptual=1)).times(draws),
    )
    return Measurement([decoded], numbers)


def _save_preview(place: Place, images: Selection, decodes: Tensor) -> None:
    """One row per image: the original, its decodes, their mean and their standard deviation in grey."""
    originals = images.batch(np.arange(len(decodes)) * decodes.shape[1])
    fixed, free = ("z_sem", "x_T") if place.setting == VARY_X_T else ("x_T", "z_sem")
    drawn = (f"{free} {k + 1}" for k in range(decodes.shape[1]))
    place.draw(
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
