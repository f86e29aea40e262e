"""Memorisation: are samples nearer to the training images than new images are? (paper, Appendix C)

Every sample has a nearest training image, and so has every held-out image, which the model has not
seen. A model that only generalises gives the same distance for both; a copied image is at distance
0.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.core.benchmark import Benchmark
from benchmarks.core.context import Context
from benchmarks.core.images import THUMBNAIL, thumbnails
from benchmarks.core.plan import Work, new_images, real_features
from benchmarks.core.selection import Selection
from benchmarks.core.sizes import Count
from benchmarks.core.solving import Taken
from benchmarks.core.store import Arrays
from benchmarks.metrics.nearest import nearest, quantile_and_stderr, ratio_and_stderr
from benchmarks.metrics.networks.features import FeatureNetwork
from benchmarks.runtime.digest import digest
from benchmarks.runtime.errors import NotAvailable
from benchmarks.systems.protocol.base import SAMPLE, SAMPLE_LATENTS, System
from benchmarks.tasks.shared.samples import Sizes as SampleSizes
from benchmarks.tasks.shared.samples import draw, samples
from diffae.sheet import Sheet
from reports.records.metrics import seen_through
from reports.records.record import Record
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
    """A space of distances.

    It has its metrics, vectors of real images, the samples' vectors by name, and the unit of
    distance.
    """

    metric: str
    ratio: str
    samples: str
    real: Callable[[Selection], np.ndarray]
    scale: float
    protocol: dict[str, Any]


def spaces(context: Context) -> list[Space]:
    """The features of each network, and pixels: root mean square over thumbnails in [0, 1]."""
    pixels = {"space": f"pixels at {THUMBNAIL} px, bilinear, antialiased, in [0, 1]"}
    scale = 1 / 255 / np.sqrt(3 * THUMBNAIL**2)
    real = partial(real_pixels, context)
    by_pixels = Space("nn_pixels", "nn_ratio_pixels", "pixels", real, scale, pixels)
    return [*(_of_features(context, network) for network in context.networks.features), by_pixels]


def _of_features(context: Context, network: FeatureNetwork) -> Space:
    return Space(
        seen_through("nn_inception", network.network),
        seen_through("nn_ratio_inception", network.network),
        network.array,
        partial(context.codes.real_features, network=network),
        1.0,
        network.describe(),
    )


def real_pixels(context: Context, selection: Selection) -> np.ndarray:
    """Thumbnails of real images, from the store: uint8 N x d."""
    return context.store.array(
        context.codes.key("pixels", None, selection) | {"size": THUMBNAIL},
        len(selection),
        lambda positions: {"pixels": thumbnails(selection.batch(positions))},
        "pixels",
    )


def run(context: Context, system: System) -> Iterator[Record]:
    if reason := _lacking(context):
        raise NotAvailable(reason)
    # the samples of `unconditional`, so that they are drawn once
    sizes = context.sizes(SampleSizes)
    system = system.solving(sizes.solver)
    steps = sizes.steps[-1] if system.iterative else None
    taken = Taken(system, steps, latents=SAMPLE_LATENTS in system.capabilities)
    searched, training = spaces(context), _training(context, system)
    new = samples(context, system, steps, sizes.count, [space.samples for space in searched])
    for space in searched:
        corpus = space.real(_train(context))
        ours = neighbours(context, space, new[space.samples], corpus)
        theirs = neighbours(context, space, space.real(_held_out(context)), corpus)
        row = partial(_record, context, space, system.title, taken)
        yield from _quantiles(row, space.metric, ours["distance"], training)
        for setting, q in QUANTILES.items():
            below = quantile_and_stderr(theirs["distance"], q, _held_out(context).groups)
            found = ratio_and_stderr(quantile_and_stderr(ours["distance"], q), below)
            none = "held-out images are at distance 0: no ratio"
            note = none if found[0] is None else training
            yield row(space.ratio, setting, len(ours["distance"]), found, note)
        if space is searched[0]:
            _save_nearest(context, system, steps, ours)


def references(context: Context) -> Iterator[Record]:
    """Held-out images: the distance of images that no model has seen."""
    if reason := _lacking(context):
        given = "memorisation", TABLE, REAL, spaces(context)[0].metric, None
        for setting in QUANTILES:
            yield context.record(*given, setting=setting, split="", note=reason)
        return
    for space in spaces(context):
        held_out, corpus = space.real(_held_out(context)), space.real(_train(context))
        found = neighbours(context, space, held_out, corpus)
        row = partial(_record, context, space, REAL, Taken(System(), None))
        persons = _held_out(context).groups
        yield from _quantiles(row, space.metric, found["distance"], groups=persons)


def _training(context: Context, system: System) -> str:
    """A note on a system's training images, if they are not those that are searched."""
    known, data = system.trained_on, context.dataset
    if system.reference:
        return ""
    if known is None:
        return (
            f"not known to be trained on these images: what {system.title} copied may lie elsewhere"
        )
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


def neighbours(context: Context, space: Space, queries: np.ndarray, corpus: np.ndarray) -> Arrays:
    """The nearest vector of the corpus for each query, from the store: "distance" [N], "position" [N]."""

    def compute() -> Arrays:
        distance, position = nearest(queries, corpus, context.device)
        return {"distance": distance * space.scale, "position": position}

    key = {
        "work": "nearest",
        "queries": digest(queries),
        "corpus": digest(corpus),
        "scale": space.scale,
    }
    return context.store.once(key, compute)


def _quantiles(
    row: Callable[..., Record],
    metric: str,
    distance: np.ndarray,
    note: str = "",
    groups: np.ndarray | None = None,
) -> Iterator[Record]:
    for setting, q in QUANTILES.items():
        yield row(metric, setting, len(distance), quantile_and_stderr(distance, q, groups), note)


def _record(
    context: Context,
    space: Space,
    title: str,
    taken: Taken,
    metric: str,
    setting: str,
    n: int,
    found: tuple[float | None, float | None],
    note: str,
) -> Record:
    protocol = context.protocol(
        "memorisation",
        n=n,
        train_n=len(_train(context)),
        test_n=len(_held_out(context)),
        distance="Euclidean, to the nearest training image",
        **taken.protocol,
        **space.protocol,
    )
    few = found[0] is not None and found[1] is None
    unknown = f"no error: too few images for that of a {setting}" if few else ""
    return context.record(
        "memorisation",
        TABLE,
        title,
        metric,
        found[0],
        setting=setting,
        **taken.row,
        stderr=found[1],
        split="",
        n=n,
        protocol=protocol,
        note="; ".join(filter(None, (note, unknown))),
    )


def _save_nearest(context: Context, system: System, steps: int | None, found: Arrays) -> None:
    """Save the samples nearest to a training image above these images, the nearest first."""
    first = np.argsort(found["distance"], kind="stable")[:SHOWN]

    def compute() -> Arrays:
        return {"images": draw(context, system, first.tolist(), steps)[0].numpy()}

    key = context.codes.key("sampled", system, None) | {
        "steps": steps,
        "seed": context.seed,
        "indices": first.tolist(),
    }
    images = torch.from_numpy(context.store.once(key, compute)["images"])
    training = _train(context).batch(found["position"][first])
    sheet = Sheet(
        f"{system.title}: samples nearest to the training images",
        [images, training],
        rows=("sample", "nearest training image"),
        caption="The samples that are nearest to a training image, the nearest first (Appendix C).",
        about={"benchmark": "memorisation", "system": system.title, "steps": steps},
    )
    context.save_sheet(f"memorisation-{system.name}.png", sheet)


def plan(context: Context, system: System) -> Iterator[Work]:
    sizes, dim = context.sizes(SampleSizes), context.networks.feature_dim
    system = system.solving(sizes.solver)
    steps = sizes.steps[-1] if system.iterative else None
    yield new_images(system, sizes.count, steps, dim)
    for selection in (_held_out(context), _train(context)):
        yield real_features(selection.split, len(selection), dim)


BENCHMARK = Benchmark(
    name="memorisation",
    table=TABLE,
    headline=lambda context: spaces(context)[0].ratio,
    needs=frozenset({SAMPLE}),
    run=run,
    plan=plan,
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
            order=100,
        ),
    ),
)
