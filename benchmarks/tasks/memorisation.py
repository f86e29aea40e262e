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
from benchmarks.metrics.nearest import nearest, quantile_and_stderr, ratio_and_stderr
from benchmarks.metrics.networks.features import FeatureNetwork
from benchmarks.plugin import Arrays, Benchmark, Context, Count, NotAvailable, Record, System
from benchmarks.runtime.digest import digest
from benchmarks.systems.protocol import base
from benchmarks.tasks.shared.samples import Sizes as SampleSizes
from benchmarks.tasks.shared.samples import samples, shown
from reports.records.metrics import seen_through
from reports.records.specs import TableSpec

TABLE = "appendix_c_memorisation"
QUANTILES = {"median": 0.5, "5th percentile": 0.05}
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
    """A space of distances: vectors of real images, the samples' by name, the unit, its fields."""

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
            ours, theirs = _neighbours(context, space, new[space.samples]), _real(context, space)
            cell = _cell(context, space, at, ours, note=training)
            yield from _quantiles(cell, space.metric, ours["distance"])
            for setting, q in QUANTILES.items():
                below = quantile_and_stderr(theirs["distance"], q, _held_out(context).groups)
                found = ratio_and_stderr(quantile_and_stderr(ours["distance"], q), below)
                none = "held-out images are at distance 0: no ratio"
                of = cell if found[0] is not None else cell.but(note=none)
                yield _row(of, space.ratio, setting, found)
            if space is searched[0]:
                _save_nearest(cell, at, new, ours)

    names = (space.samples for space in searched)
    searches = comparisons(len(searched), "nearest image", sizes.count, len(_train(context)))
    yield Measurement([samples(at, sizes.count, *names)], reduce, searches)


def references(context: Context) -> Iterator[Record]:
    """Held-out images: the distance of images that no model has seen."""
    if reason := _lacking(context):
        none = Cell(context, TABLE, title=REAL, split="", note=reason)
        yield from (none.row(spaces(context)[0].metric, None, setting=name) for name in QUANTILES)
        return
    for space in spaces(context):
        found = _real(context, space)
        cell = _cell(context, space, Taken(System(), None), found, title=REAL)
        yield from _quantiles(cell, space.metric, found["distance"], _held_out(context).groups)


def _training(context: Context, system: System) -> str:
    """A note on a system's training images, if they are not those that are searched."""
    known, data = system.trained_on, context.dataset
    if system.reference:
        return ""
    if known is None:
        return f"not known to be trained on these: what {system.title} copied may lie elsewhere"
    if not known.saw(data, "train"):
        return f"trained on {known.data}, not on these images: what it copied lies elsewhere"
    return "trained on the held-out images too: no scale" if known.saw(data, "test") else ""


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


def _cell(context: Context, space: Space, taken: Taken, found: Arrays, **given: str) -> Cell:
    fields: dict[str, Any] = {"train_n": len(_train(context)), "test_n": len(_held_out(context))}
    fields |= {"distance": "Euclidean, to the nearest training image", **space.fields}
    n = len(found["distance"])
    return Cell(context, TABLE, taken, n=n, split="", fields=fields, **given)


def _quantiles(
    cell: Cell, metric: str, distance: np.ndarray, groups: np.ndarray | None = None
) -> Iterator[Record]:
    for setting, q in QUANTILES.items():
        yield _row(cell, metric, setting, quantile_and_stderr(distance, q, groups))


def _row(cell: Cell, metric: str, setting: str, found: tuple[float | None, float | None]) -> Record:
    value, stderr = found
    few = value is not None and stderr is None
    note = f"no error: too few images or persons for that of a {setting}" if few else ""
    return cell.row(metric, value, setting=setting, stderr=stderr, note=note)


def _save_nearest(cell: Cell, at: Solved, new: Arrays, found: Arrays) -> None:
    """Save the samples nearest to a training image above these images, the nearest first."""
    if cell.context.pictures is None:
        return
    first = np.argsort(found["distance"], kind="stable")[:SHOWN]
    images = shown(cell, at, new, first)
    training = _train(cell.context).batch(found["position"][first])
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
