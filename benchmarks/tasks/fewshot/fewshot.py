"""Few-shot conditional samples: Table 3 of the paper.

A linear classifier is trained on the z_sem of a few labelled images (binary: k of each class; PU:
positives against unlabelled ones). Latents of the latent DDIM are then accepted by its probability,
decoded, and compared with all real images of the class. All scenarios draw from one pool of
latents, decoded once.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from benchmarks.core.measurement import Cell, Measurement, Solved
from benchmarks.core.plan import comparisons
from benchmarks.metrics.frechet_jackknife import Jackknife, Side
from benchmarks.plugin import Arrays, Benchmark, Calls, Context, NotAvailable, Record, Work
from benchmarks.systems.protocol.base import DECODE, SAMPLE_LATENTS, SEMANTIC, System, reading_of
from benchmarks.tasks.fewshot.classes import RULES, SCENARIOS, Setup, Sizes, labelled, targets
from benchmarks.tasks.fewshot.sampling import Pool, Real, acceptance, accepted_by, held_against
from benchmarks.tasks.shared.distances import distance, metrics_of
from benchmarks.tasks.shared.probe_fits import Sizes as ProbeSizes
from benchmarks.tasks.shared.samples import samples
from reports.records.estimate import Influences, influences_of, influences_on_mean, units_of
from reports.records.metrics import seen_through
from reports.records.published import NAIVE, NAIVE_OF_ALL, OF_CLASS, OF_N, scale_name
from reports.records.specs import TableSpec

Sides = tuple[Side, Side]
TABLE = "table3_fewshot_fid"


def run(context: Context, system: System) -> Iterator[Measurement]:
    sizes = context.sizes(Sizes)
    at = Solved.of(context, system, sizes.solver, sizes.steps, inverts=False, latents=True)
    reals = [Real(context, network) for network in context.networks.features]
    training = context.select("train", context.sizes(ProbeSizes).train)
    codes = context.codes.features(system, training)

    def reduce(new: Arrays) -> Iterator[Record]:
        pool, first = Pool(at, new, training, codes), sizes.acceptance[0]
        for rule, scenario, target in product(sizes.acceptance, SCENARIOS, targets(context)):
            title = system.title if rule == first else f"{system.title}, {rule} rule"
            setup = Setup(scenario, RULES[rule], target)
            yield from _one_class(reals, pool, title, setup, picture=rule == first)

    names = ("latents", "pixels", *(network.array for network in context.networks.features))
    yield Measurement([samples(at, sizes.pool, *names)], reduce, list(_fits(context)))


def _fits(context: Context) -> Iterator[Work]:
    """The classifiers, and the naive distances, for a dry run."""
    sizes, classes = context.sizes(Sizes), targets(context)
    rules = f"accepted by {', '.join(sizes.acceptance)}; {sizes.seeds} seeds"
    k, unlabelled = sizes.binary_k, sizes.pu_unlabeled
    labels = {"binary": f"{k} + {k}", "pu": f"{sizes.pu_positives} + {unlabelled:,}"}
    for scenario, target in product(SCENARIOS, classes):
        what = f"{scenario}/{target.name} of {labels[scenario]} labels, {rules}"
        yield Work(what, sizes.samples, Calls())
    count = len(sizes.acceptance) * sizes.seeds * len(SCENARIOS) * len(classes)
    count *= len(context.networks.features)
    reference = len(context.select("all", sizes.reference))
    yield from comparisons(count, "kernel distance", sizes.samples, reference)
    naive = {"as many of all images": sizes.samples}
    naive |= {"all images": len(context.dataset)} if _of_all(context) else {}
    for target, (images, count) in product(classes, naive.items()):
        what = f"naive: {images} against {target.name}"
        yield Work(what, count, Calls(), shared=what, real=True)


def _one_class(
    reals: Sequence[Real], pool: Pool, title: str, setup: Setup, picture: bool
) -> Iterator[Record]:
    """The rows of one class; rows with the reason if it has too few images or samples."""
    context, sizes = pool.context, pool.context.sizes(Sizes)
    cell = Cell(context, TABLE, title=title, split="all", setting=setup.setting)
    try:
        accepted = [accepted_by(pool, setup, seed) for seed in range(sizes.seeds)]
        # A distance depends on the number of images: all seeds use as many as the seed with the fewest.
        count = min(sizes.samples, *map(len, accepted))
        results = [
            [held_against(real, pool, setup.target, one, count) for one in accepted]
            for real in reals
        ]
    except NotAvailable as reason:
        for name in metrics_of(reals[0].network).values():
            yield cell.row(name, None, note=str(reason))
        return
    for real, distances in zip(reals, results, strict=True):
        found = {name: [one[name] for one in distances] for name in distances[0]}
        if real is reals[0]:  # it depends on no feature network
            found["acceptance_rate"] = [acceptance(one, len(pool.latents)) for one in accepted]
        yield from _rows(cell.but(of=pool.at), setup, real, found, count)
    if picture:
        pool.save_picture(f"{setup.scenario}-{setup.target.name}", accepted[0])


def references(context: Context) -> Iterator[Record]:
    """The paper's naive distance: all images of the data set against those of the class.

    Its value at its own n is comparable with the paper only, and only if these are all images. The
    class's images are on both sides: a kernel distance would be biased by their pairs.
    """
    if _of_all(context):
        for network in context.networks.features:
            real = Real(context, network)
            for target, scenario in product(targets(context), SCENARIOS):
                sides, setting = (real.everything, real.side(target)), f"{scenario}/{target.name}"
                yield from _scale(context, real, NAIVE_OF_ALL, setting, sides, kernel=False)


def _of_all(context: Context) -> bool:
    """Whether classes are taken from all images of the data set, as in the paper."""
    return len(context.select("all", context.sizes(Sizes).reference)) == len(context.dataset)


def beside(context: Context, measured: Sequence[Record]) -> Iterator[Record]:
    """Two scales for every cell, with as many images as its samples.

    One is of all images, the other of the class itself: no sampler can do better. Both are compared
    with the class's other images, so that no image is on both sides, as for samples.
    """
    for network in context.networks.features:
        metric = network.metric_name
        if cells := [r for r in measured if r.metric == metric and r.value is not None]:
            yield from _beside(context, Real(context, network), cells)


def _beside(context: Context, real: Real, cells: Sequence[Record]) -> Iterator[Record]:
    """The scales for the cells of one feature network."""
    for scenario, target in product(SCENARIOS, targets(context)):
        setting = f"{scenario}/{target.name}"
        counts = sorted({r.n for r in cells if r.setting == setting and r.n}, reverse=True)
        members = real.members(target)
        for n in counts:
            of_n = "" if n == counts[0] else f"{OF_N}{n:,}"
            # The run's order of images is random: its first n are a draw of n from all.
            first = np.arange(len(real.images))[:n]
            of_all = (real.part(first), real.part(members[members >= n]))
            of_class = (real.part(members[:n]), real.part(members[n:]))
            yield from _scale(context, real, f"{NAIVE}{of_n}", setting, of_all)
            yield from _scale(context, real, f"{OF_CLASS}{of_n}", setting, of_class)


def _scale(
    context: Context, real: Real, title: str, setting: str, sides: Sides, kernel: bool = True
) -> Iterator[Record]:
    """The distances of real images to real images; rows with the reason if there are too few."""
    one, other = sides
    sizes, note = context.sizes(Sizes), f"against {len(other):,} images"
    fields = {"reference_row": scale_name(title), "images": len(real.images)}
    fields |= {"samples": sizes.samples, **real.network.describe()}
    cell = Cell(context, TABLE, title=title, split="all", setting=setting, fields=fields)
    for metric, name in metrics_of(real.network).items():
        if metric != "fid" and not kernel:
            continue
        if min(map(len, sides)) < 2:
            few = f"{len(one)} and {len(other)} images are too few"
            yield cell.row(name, None, n=len(one), note=few)
            continue
        found = distance(context, metric, one, other, sizes.frechet_error)
        found = replace(found, reference_shares=real.everything.shares)
        # The same persons' images are on both sides: a block is left out of both at once.
        both = found.of_samples + found.of_reference
        error = influences_of(both, real.images.units.named("blocks"))
        yield cell.row(name, found.value, error, n=len(one), note=note)


def _rows(
    cell: Cell, setup: Setup, real: Real, found: Mapping[str, list[Jackknife]], n: int
) -> Iterator[Record]:
    """The numbers of one feature network as means over seeds, and the standard deviation over seeds of
    the Frechet distance.

    The latter is the paper's ±: between seeds only the labelled images differ.
    """
    context, network = cell.context, real.network
    sizes = context.sizes(Sizes)
    cell = cell.also(
        scenario=setup.scenario,
        acceptance=setup.rule.description,
        samples=sizes.samples,
        pool=sizes.pool,
        seeds=sizes.seeds,
        reference="all images of the class",
        reference_n=len(real.images),
        probe_train=context.sizes(ProbeSizes).train,
        **labelled(sizes, setup.scenario),
        **(reading_of(cell.system) if cell.system else {}),
        **network.describe(),
    )
    short = f"only {n} of {sizes.samples} samples accepted" if n < sizes.samples else ""
    for metric, of_seeds in found.items():
        mean = float(np.mean([one.value for one in of_seeds]))
        yield cell.row(metric, mean, _uncertainty(context, real, of_seeds), n=n, note=short)
    values = [one.value for one in found[network.metric_name]]
    spread = stderr = None
    if len(values) > 1:
        spread = float(np.std(values, ddof=1))
        stderr = spread / math.sqrt(2 * (len(values) - 1))  # for normal values
    note = "one seed has no spread" if spread is None else ""
    metric = seen_through("fid_seed_std", network.network)
    yield cell.row(metric, spread, stderr=stderr, n=len(values), note=note)


def _uncertainty(context: Context, real: Real, found: Sequence[Jackknife]) -> Influences:
    """The uncertainty of a mean over seeds; unknown if that of a seed's distance is.

    Its sources are the labelled images, the drawn latents and the real images.
    """
    seeds = influences_on_mean(
        [one.value for one in found], units_of("seeds", context.seed, len(found))
    )
    pool = units_of("blocks of a pool, dealt in turn", context.seed, context.sizes(Sizes).pool)
    drawn = influences_of(np.mean([one.of_samples for one in found], axis=0), pool)
    influence = np.mean([one.of_reference for one in found], axis=0)
    theirs = influences_of(influence, real.images.units.named("blocks of reference"))
    return seeds + drawn + theirs if drawn and theirs else ()


BENCHMARK = Benchmark(
    name="fewshot",
    headline=lambda context: metrics_of(context.networks.features[0])["kid"],
    needs=frozenset({SEMANTIC, DECODE, SAMPLE_LATENTS}),
    run=run,
    sizes=Sizes,
    labelled=True,
    references=references,
    beside=beside,
    tables=(
        TableSpec(
            name=TABLE,
            title="Table 3: few-shot conditional samples",
            caption=(
                "Samples accepted by a classifier trained on a few labels (binary) or on positive and "
                "unlabelled images (pu), against the images of the class: the mean over seeds, which draw the "
                "labelled images. ± covers the labels, the samples and the real images; the standard deviation "
                "over seeds alone, the paper's ±, stands beside it. Frechet distances have a ± where "
                "fewshot.frechet_error is on, as in standard and paper. "
                "naive: as many of all images as there are samples, against those of the class, no model; real images of "
                "the class: as many of these, against the rest of them. With few images a Frechet distance is too high for "
                "every model: hold it against that of as many real images, and never against naive of all images (the "
                "paper's)."
            ),
            rows=("setting",),
            setting_header="class",
            columns=("metric", "system"),
            metrics=("kid", "cmmd", "fid", "fid_seed_std", "acceptance_rate"),
            headline=("fid",),
            headline_settings=("binary/", "pu/"),
            order=40,
        ),
    ),
)
