"""Few-shot conditional samples: Table 3 of the paper.

A linear classifier is trained on the z_sem of a few labelled images (binary: k of each class; PU:
positives against unlabelled ones). Latents of the latent DDIM are then accepted by its probability,
decoded, and compared with all real images of the class. All scenarios draw from one pool of
latents, decoded once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from benchmarks.core.measurement import Cell, Measurement, Solved
from benchmarks.core.plan import comparisons
from benchmarks.metrics.sets.groups import FEW_SHOT, names_through, shown_in
from benchmarks.metrics.sets.jackknife import Side
from benchmarks.metrics.sets.means import acceptance_rate, mean_over_seeds, spread_over_seeds
from benchmarks.plugin import (
    Arrays,
    Benchmark,
    Calls,
    Context,
    Estimate,
    NotAvailable,
    Record,
    Work,
)
from benchmarks.systems.protocol.base import DECODE, SAMPLE_LATENTS, SEMANTIC, System, reading_of
from benchmarks.tasks.fewshot.classes import RULES, SCENARIOS, Setup, Sizes, labelled, targets
from benchmarks.tasks.fewshot.sampling import Pool, Real, accepted_by, compare_accepted
from benchmarks.tasks.shared.distances import set_estimates
from benchmarks.tasks.shared.probe_fits import Sizes as ProbeSizes
from benchmarks.tasks.shared.samples import samples
from reports.records.estimate import units_of
from reports.records.metrics import seen_through
from reports.records.published import NAIVE, NAIVE_OF_ALL, OF_CLASS, OF_N, scale_name
from reports.records.specs import TableSpec

TABLE = FEW_SHOT


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
        title = f"{scenario}/{target.name} of {labels[scenario]} labels, {rules}"
        yield Work(title, sizes.samples, Calls())
    count = len(sizes.acceptance) * sizes.seeds * len(SCENARIOS) * len(classes)
    count *= len(context.networks.features)
    reference = len(context.select("all", sizes.reference))
    yield from comparisons(count, "kernel distance", sizes.samples, reference)
    naive = {"as many of all images": sizes.samples}
    naive |= {"all images": len(context.dataset)} if _of_all(context) else {}
    for target, (images, count) in product(classes, naive.items()):
        title = f"naive: {images} against {target.name}"
        yield Work(title, count, Calls(), shared=title, real=True)


def _one_class(
    reals: Sequence[Real], pool: Pool, title: str, setup: Setup, picture: bool
) -> Iterator[Record]:
    """The rows of one class; rows with the reason if it has too few images or samples."""
    context, sizes = pool.context, pool.context.sizes(Sizes)
    cell = Cell(context, TABLE, title=title, split="all", setting=setup.setting)
    try:
        accepted = [accepted_by(pool, setup, seed) for seed in range(sizes.seeds)]
        reals[0].refuse_few(setup.target)
    except NotAvailable as reason:
        names = names_through(reals[0].network.network, shown_in(TABLE)).values()
        yield from cell.missing(names, str(reason))
        return
    # A distance depends on the number of images: all seeds use as many as the seed with the fewest.
    count = min(sizes.samples, *map(len, accepted))
    for real in reals:
        by_seed = [compare_accepted(real, pool, setup.target, seed, count) for seed in accepted]
        if real is reals[0]:  # the rate depends on no feature network
            units = pool.blocks, pool.units, real.reference_units
            rates = [acceptance_rate(latents, *units) for latents in accepted]
            by_seed = [
                {**distances, **rate} for distances, rate in zip(by_seed, rates, strict=True)
            ]
        yield from _records(cell.but(of=pool.at), setup, real, by_seed, count)
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
                sides = real.everything, real.reference(real.members(target))
                setting = f"{scenario}/{target.name}"
                yield from _scale(context, real, NAIVE_OF_ALL, setting, sides, ("fid",))


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
            of_all = real.part(first), real.reference(members[members >= n])
            of_class = real.part(members[:n]), real.reference(members[n:])
            metrics = shown_in(TABLE)
            yield from _scale(context, real, f"{NAIVE}{of_n}", setting, of_all, metrics)
            yield from _scale(context, real, f"{OF_CLASS}{of_n}", setting, of_class, metrics)


def _scale(
    context: Context,
    real: Real,
    title: str,
    setting: str,
    sides: tuple[Side, Side],
    metrics: Sequence[str],
) -> Iterator[Record]:
    """The distances of real images to real images; records with the reason if there are too few.

    The same persons' images are on both sides, whose units are equal.
    """
    images, reference = sides
    sizes = context.sizes(Sizes)
    fields = {"reference_row": scale_name(title), "images": len(real.images)}
    fields |= {"samples": sizes.samples, **real.network.describe()}
    cell = Cell(context, TABLE, title=title, split="all", setting=setting, fields=fields)
    if min(len(images), len(reference)) < 2:
        few = f"{len(images)} and {len(reference)} images are too few"
        for name in names_through(real.network.network, metrics).values():
            yield cell.record(name, Estimate(None, n=len(images), why=few))
        return
    cell = cell.but(note=f"against {len(reference):,} images")
    estimates = set_estimates(context, real.network, metrics, *sides, sizes.frechet_error)
    for name, estimate in estimates.items():
        yield cell.record(name, replace(estimate, notes=()))  # the table's caption tells the bias


def _records(
    cell: Cell, setup: Setup, real: Real, by_seed: Sequence[Mapping[str, Estimate]], n: int
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
    seeds = units_of("seeds", context.seed, len(by_seed))
    for name in by_seed[0]:
        mean = mean_over_seeds([estimates[name] for estimates in by_seed], n, seeds)
        yield cell.record(name, mean, note=short)
    distances = [estimates[network.metric_name] for estimates in by_seed]
    for metric, spread in spread_over_seeds(distances).items():
        yield cell.record(seen_through(metric, network.network), spread)


BENCHMARK = Benchmark(
    name="fewshot",
    headline=lambda context: seen_through("kid", context.networks.features[0].network),
    needs=frozenset({SEMANTIC, DECODE, SAMPLE_LATENTS}),
    random=lambda row: row.system != NAIVE_OF_ALL,
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
            metrics=(*shown_in(TABLE), "fid_seed_std", "acceptance_rate"),
            headline=("fid",),
            headline_settings=("binary/", "pu/"),
            order=40,
        ),
    ),
)
