"""Memorisation: are samples nearer to the training images than new images are? (paper, Appendix C)

Every sample has a nearest training image, and so has every held-out image, which the model has not
seen. A model that only generalises gives the same distance for both; a copied image is at distance
0.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.core.images import Selection
from benchmarks.core.job import Arrays, Job, SetComparison
from benchmarks.core.measurement import Measurement, Numbers, Place, Variant
from benchmarks.metrics.nearest import QUANTILES, estimate_quantiles, estimate_ratios, nearest
from benchmarks.metrics.networks.features import FeatureNetwork
from benchmarks.plugin import Benchmark, Context, Count, Estimate, NotAvailable, System, TableSpec
from benchmarks.systems.protocol import base
from benchmarks.tasks.shared.samples import THUMBNAIL, samples, shown, thumbnails
from benchmarks.tasks.shared.samples import Sizes as SampleSizes
from diffae.system.files import Json
from reports.records.metrics import seen_through

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
    real           the job of the vectors of real images, its "features"
    scale          what distances are multiplied by
    fields         of the protocol
    """

    metric: str
    ratio: str
    samples: str
    real: Callable[[Selection], Job]
    scale: float
    fields: Mapping[str, Json]


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


def real_pixels(context: Context, images: Selection) -> Job:
    """Thumbnails of real images: uint8 N x d."""

    def compute(positions: np.ndarray) -> Arrays:
        return {"features": thumbnails(images.batch(positions))}

    decides = context.codes.decides(None, images) | {"size": THUMBNAIL}
    return Job("pixels", f"thumbnails of {images.split}", decides, len(images), compute)


def run(context: Context, system: System) -> Iterator[Measurement]:
    if reason := _lacking(context):
        raise NotAvailable(reason)
    # the samples of `unconditional`, so that they are drawn once
    sizes, latents = context.sizes(SampleSizes), base.SAMPLE_LATENTS in system.capabilities
    steps, searched = sizes.steps[-1], spaces(context)
    variant = Variant.of(context, system, sizes.solver, steps, inverts=False, latents=latents)
    new = samples(variant, sizes.count, *(space.samples for space in searched))
    comparisons = [SetComparison("nearest image", sizes.count, len(_train(context)))]
    for space in searched:
        jobs = [new, _nearest(context, space, new, space.samples), _nearest_of_real(context, space)]
        numbers = partial(_numbers, variant, space, space is searched[0])
        yield Measurement(jobs, numbers, comparisons)


def _numbers(
    variant: Variant, space: Space, pictured: bool, new: Arrays, neighbours: Arrays, real: Arrays
) -> Numbers:
    """The distances of samples in a space, and their ratios to those of held-out images."""
    context, distance = variant.context, neighbours["distance"]
    ratios = estimate_ratios(distance, real["distance"], _held_out(context).groups)
    place = _place(variant, space, len(distance), note=_training(context, variant.system))
    yield from place.by_setting(space.metric, estimate_quantiles(distance))
    yield from place.by_setting(space.ratio, ratios)
    if pictured and context.pictures is not None:
        _save_nearest(place, variant, new, neighbours)


def references(context: Context) -> Iterator[Measurement]:
    """Held-out images: the distance of images that no model has seen."""
    if reason := _lacking(context):
        place, missing = Place(context, TABLE, title=REAL, split=""), Estimate(None, why=reason)
        estimates = dict.fromkeys(QUANTILES, missing)
        yield Measurement([], partial(place.by_setting, spaces(context)[0].metric, estimates))
        return
    for space in spaces(context):
        yield Measurement([_nearest_of_real(context, space)], partial(_of_real, context, space))


def _of_real(context: Context, space: Space, neighbours: Arrays) -> Numbers:
    estimates = estimate_quantiles(neighbours["distance"], _held_out(context).groups)
    real, n = Variant(context, System(), None), len(_held_out(context))
    return _place(real, space, n, title=REAL).by_setting(space.metric, estimates)


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


def _nearest(context: Context, space: Space, queries: Job, name: str = "features") -> Job:
    """The nearest training image of each row of an array: "distance" [N] and "position" [N]."""

    def compute(_: np.ndarray, queries: Arrays, training: Arrays) -> Arrays:
        distance, position = nearest(queries[name], training["features"], context.device)
        return {"distance": distance * space.scale, "position": position}

    decides: dict[str, Json] = {"queries": name, "scale": space.scale}
    title, takes = f"nearest by {space.samples}", [queries, space.real(_train(context))]
    return Job("nearest", title, decides, None, compute, takes=takes, system=queries.system)


def _nearest_of_real(context: Context, space: Space) -> Job:
    return _nearest(context, space, space.real(_held_out(context)))


def _place(variant: Variant, space: Space, n: int, title: str = "", note: str = "") -> Place:
    context = variant.context
    fields: dict[str, Json] = {"train_n": len(_train(context)), "test_n": len(_held_out(context))}
    fields |= {"distance": "Euclidean, to the nearest training image", **space.fields}
    return Place(context, TABLE, variant, title, split="", n=n, note=note, fields=fields)


def _save_nearest(place: Place, variant: Variant, new: Arrays, neighbours: Arrays) -> None:
    """Save the samples nearest to a training image above these images, the nearest first."""
    first = np.argsort(neighbours["distance"], kind="stable")[:SHOWN]
    training = _train(place.context).batch(neighbours["position"][first])
    place.draw(
        "memorisation-{}",
        "samples nearest to the training images",
        [shown(place, variant, new, first), training],
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
