"""Memorisation: are samples nearer to the training images than new images are? (paper, Appendix C)

Every sample has a nearest training image, and so has every held-out image, which the model has not
seen. A model that only generalises gives the same distance for both; a copied image is at distance
0.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks.core.images import THUMBNAIL, Selection, thumbnails
from benchmarks.core.measurement import Cell, Measurement, Solved, Taken
from benchmarks.core.plan import comparisons
from benchmarks.metrics.nearest import QUANTILES, estimate_quantiles, estimate_ratios, nearest
from benchmarks.metrics.networks.features import FeatureNetwork
from benchmarks.plugin import Arrays, Benchmark, Context, Count, NotAvailable, Record, System
from benchmarks.runtime.digest import digest
from benchmarks.systems.protocol import base
from benchmarks.tasks.shared.samples import Sizes as SampleSizes
from benchmarks.tasks.shared.samples import samples, shown
from reports.records.metrics import seen_through
from reports.records.specs import TableSpec

TABLE = "appendix_c_memorisation"
SHOWN = 8
REAL = "real images (test)"


@dataclass(frozen=True)
class Sizes:
    """
    train   training images from which the nearest one is taken
    """

    train: Count = 3_000


@dataclass(frozen=True)
class Space:
    """A space in which distances are measured.

    metric, ratio  the names of the metrics
    samples        the name of the array of the samples' vectors
    real           the vectors of real images
    scale          what distances are multiplied by
    fields         of the protocol
    """

    metric: str
    ratio: str
    samples: str
    real: Callable[[Selection], np.ndarray]
    scale: float
    fields: Mapping[str, Any]


def spaces(context: Context) -> list[Space]:
    """The features of each network, and pixels: root mean square over thumbnails in [0, 1]."""

    def of_features(network: FeatureNetwork) -> Space:
        published = "nn_inception", "nn_ratio_inception"
        metric, ratio = (seen_through(name, network.network) for name in published)
        real = partial(context.codes.real_features, network=network)
        return Space(metric, ratio, network.array, real, 1.0, network.describe())

    pixels = {"space": f"pixels at {THUMBNAIL} px, bilinear, antialiased, in [0, 1]"}
    scale, real = 1 / 255 / np.sqrt(3 * THUMBNAIL**2), partial(real_pixels, context)
    by_pixels = Space("nn_pixels", "nn_ratio_pixels", "pixels", real, scale, pixels)
    return [*map(of_features, context.networks.features), by_pixels]


def real_pixels(context: Context, images: Selection) -> np.ndarray:
    """Thumbnails of real images, from the store: uint8 N x d."""
    key = context.codes.key("pixels", None, images) | {"size": THUMBNAIL}

    def compute(positions: np.ndarray) -> Arrays:
        return {"pixels": thumbnails(images.batch(positions))}

    return context.store.array(key, len(images), compute, "pixels")


def run(context: Context, system: System) -> Iterator[Measurement]:
    if reason := _lacking(context):
        raise NotAvailable(reason)
    # the samples of `unconditional`, so that they are drawn once
    sizes, latents = context.sizes(SampleSizes), base.SAMPLE_LATENTS in system.capabilities
    at = Solved.of(context, system, sizes.solver, sizes.steps[-1], inverts=False, latents=latents)
    searched, training = spaces(context), _training(context, system)
    for space in searched:  # of real images, so that a dry run counts them
        _ = space.real(_train(context)), space.real(_held_out(context))

    def reduce(new: Arrays) -> Iterator[Record]:
        for space in searched:
            neighbours = _neighbours(context, space, new[space.samples])
            held_out, groups = _real(context, space)["distance"], _held_out(context).groups
            distance = neighbours["distance"]
            cell = _cell(context, space, at, neighbours, note=training)
            for setting, estimate in estimate_quantiles(distance).items():
                yield cell.record(space.metric, estimate, setting=setting)
            for setting, estimate in estimate_ratios(distance, held_out, groups).items():
                yield cell.record(space.ratio, estimate, setting=setting)
            if space is searched[0]:
                _save_nearest(cell, at, new, neighbours)

    names = (space.samples for space in searched)
    searches = comparisons(len(searched), "nearest image", sizes.count, len(_train(context)))
    yield Measurement([samples(at, sizes.count, *names)], reduce, searches)


def references(context: Context) -> Iterator[Record]:
    """Held-out images: the distance of images that no model has seen."""
    if reason := _lacking(context):
        cell = Cell(context, TABLE, title=REAL, split="")
        for setting in QUANTILES:
            yield from cell.missing([spaces(context)[0].metric], reason, setting=setting)
        return
    for space in spaces(context):
        neighbours, groups = _real(context, space), _held_out(context).groups
        cell = _cell(context, space, Taken(System(), None), neighbours, title=REAL)
        for setting, estimate in estimate_quantiles(neighbours["distance"], groups).items():
            yield cell.record(space.metric, estimate, setting=setting)


def _training(context: Context, system: System) -> str:
    """A note on a system's training images, if they are not those that are searched."""
    training, data = system.trained_on, context.dataset
    if system.reference:
        return ""
    if training is None:
        return f"not known to be trained on these: what {system.title} copied may lie elsewhere"
    if not training.saw(data, "train"):
        return f"trained on {training.data}, not on these images: what it copied lies elsewhere"
    return "trained on the held-out images too: no scale" if training.saw(data, "test") else ""


def _lacking(context: Context) -> str:
    """Why nothing can be measured: a small data set may have no images in a split."""
    name = context.dataset.name
    if not len(_train(context)):
        return f"{name} has no training images to look among"
    return "" if len(_held_out(context)) else f"{name} has no test images to compare with"


def _held_out(context: Context) -> Selection:
    return context.select("test", context.sizes(SampleSizes).count)


def _train(context: Context) -> Selection:
    return context.select("train", context.sizes(Sizes).train)


def _neighbours(context: Context, space: Space, queries: np.ndarray) -> Arrays:
    """The nearest training image of each query, from the store: "distance" [N], "position" [N]."""
    corpus = space.real(_train(context))

    def compute() -> Arrays:
        distance, position = nearest(queries, corpus, context.device)
        return {"distance": distance * space.scale, "position": position}

    key = {"work": "nearest", "queries": digest(queries), "corpus": digest(corpus)}
    return context.store.once(key | {"scale": space.scale}, compute)


def _real(context: Context, space: Space) -> Arrays:
    return _neighbours(context, space, space.real(_held_out(context)))


def _cell(context: Context, space: Space, taken: Taken, neighbours: Arrays, **texts: str) -> Cell:
    fields: dict[str, Any] = {"train_n": len(_train(context)), "test_n": len(_held_out(context))}
    fields |= {"distance": "Euclidean, to the nearest training image", **space.fields}
    n = len(neighbours["distance"])
    return Cell(context, TABLE, taken, n=n, split="", fields=fields, **texts)


def _save_nearest(cell: Cell, at: Solved, new: Arrays, neighbours: Arrays) -> None:
    """Save the samples nearest to a training image above these images, the nearest first."""
    if cell.context.pictures is None:
        return
    first = np.argsort(neighbours["distance"], kind="stable")[:SHOWN]
    images = shown(cell, at, new, first)
    training = _train(cell.context).batch(neighbours["position"][first])
    cell.draw(
        "memorisation-{}",
        "samples nearest to the training images",
        [images, training],
        rows=("sample", "nearest training image"),
        caption="The samples that are nearest to a training image, the nearest first (Appendix C).",
    )


BENCHMARK = Benchmark(
    name="memorisation",
    headline=lambda context: spaces(context)[0].ratio,
    needs=frozenset({base.SAMPLE}),
    random=lambda row: row.system != REAL,
    run=run,
    sizes=Sizes,
    shared=("samples",),
    references=references,
    tables=(
        TableSpec(
            name=TABLE,
            title="Appendix C: nearest training images",
            caption=(
                "Distance of samples, and of held-out images, to the nearest training image. A ratio "
                "below 1 means that samples lie nearer to the training images than new images do."
            ),
            rows=("system", "steps", "solver", "calls"),
            columns=("metric", "setting"),
            metrics=("nn_inception", "nn_pixels", "nn_ratio_inception", "nn_ratio_pixels"),
            headline=("nn_ratio_inception", "nn_ratio_pixels"),
            headline_settings=("median",),
            plots=(("nn_ratio_inception", "setting"), ("nn_ratio_pixels", "setting")),
            order=100,
        ),
    ),
)
