"""Few-shot conditional samples: Table 3 of the paper.

A linear classifier is trained on the z_sem of a few labelled images (binary: k of each class; PU:
positives against unlabelled ones). Latents of the latent DDIM are then accepted by its probability,
decoded, and compared with all real images of the class. All scenarios draw from one pool of
latents, decoded once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np

from benchmarks.core.job import Arrays, Job, SetComparison
from benchmarks.core.measurement import Measurement, Numbers, Place, Variant
from benchmarks.metrics.networks.features import FeatureNetwork
from benchmarks.metrics.sets.groups import FEW_SHOT, names_through, shown_in
from benchmarks.metrics.sets.jackknife import Side
from benchmarks.metrics.sets.means import acceptance_rate, mean_over_seeds, spread_over_seeds
from benchmarks.plugin import Benchmark, Context, Estimate, TableSpec
from benchmarks.systems.protocol.base import DECODE, SAMPLE_LATENTS, SEMANTIC, System, reading_of
from benchmarks.tasks.fewshot.classes import RULES, SCENARIOS, Setup, Sizes, labelled, targets
from benchmarks.tasks.fewshot.sampling import Pool, Real, logits, reference_images, refusal
from benchmarks.tasks.shared.distances import set_estimates
from benchmarks.tasks.shared.probe_fits import Sizes as ProbeSizes
from benchmarks.tasks.shared.samples import samples
from reports.records.estimate import units_of
from reports.records.metrics import seen_through
from reports.records.published import NAIVE, NAIVE_OF_ALL, OF_CLASS, OF_N
from reports.records.record import Record

TABLE = FEW_SHOT


def run(context: Context, system: System) -> Iterator[Measurement]:
    sizes, networks = context.sizes(Sizes), context.networks.features
    variant = Variant.of(context, system, sizes.solver, sizes.steps, inverts=False, latents=True)
    pool = samples(variant, sizes.pool, "latents", "pixels", *(n.array for n in networks))
    features = [_features(context, network) for network in networks]
    sides = sizes.samples, len(reference_images(context))
    distances = SetComparison("kernel distance, at most", *sides, sizes.seeds * len(networks))
    for rule, scenario, target in product(sizes.acceptance, SCENARIOS, targets(context)):
        setup, is_first = Setup(scenario, RULES[rule], target), rule == sizes.acceptance[0]
        title = system.title if is_first else f"{system.title}, {rule} rule"
        row = Row(variant, setup, title, pictured=is_first)
        if reason := refusal(context, setup):
            yield Measurement([], partial(row.missing, reason))
            continue
        jobs = [pool, logits(variant, setup, pool), *features]
        yield Measurement(jobs, row.numbers, [distances])


def _features(context: Context, network: FeatureNetwork) -> Job:
    return context.codes.real_features(reference_images(context), network)


@dataclass(frozen=True)
class Row:
    """The samples of a class by a scenario and a rule; `title` is that of their row."""

    variant: Variant
    setup: Setup
    title: str
    pictured: bool

    @property
    def place(self) -> Place:
        setting = self.setup.setting
        return Place(self.variant.context, TABLE, None, self.title, setting, split="all")

    def missing(self, why: str) -> Numbers:
        network = self.variant.context.networks.features[0].network
        return self.place.missing(names_through(network, shown_in(TABLE)).values(), why)

    def numbers(self, new: Arrays, fits: Arrays, *features: Arrays) -> Numbers:
        """The numbers from the samples, the classifiers and the features of real images; the reason if a
        classifier accepts too few samples.
        """
        context, name = self.variant.context, self.setup.target.name
        sizes, pool = context.sizes(Sizes), Pool(self.variant, new)
        accepted = [pool.accepted(self.setup, *of_seed) for of_seed in enumerate(fits["logits"])]
        if few := [len(latents) for latents in accepted if len(latents) < 2]:
            yield from self.missing(f"class {name}: {few[0]} of {sizes.pool} latents accepted")
            return
        # A distance depends on the number of images: all seeds use as many as the seed with the fewest.
        count, metrics = min(sizes.samples, *map(len, accepted)), shown_in(TABLE)
        for number, network in enumerate(context.networks.features):
            reference = Real(context, network, features[number]).of_class(self.setup.target)
            by_seed = list[Mapping[str, Estimate]]()
            for latents in accepted:
                sides = pool.side(network, latents[:count]), reference
                distances = set_estimates(context, network, metrics, *sides, sizes.frechet_error)
                rate = acceptance_rate(latents, pool.blocks, pool.units, reference.units)
                # the rate depends on no feature network
                by_seed.append({**distances, **({} if number else rate)})
            yield from self._over_seeds(network, by_seed, count)
        if self.pictured:
            pool.save_picture(f"{self.setup.scenario}-{name}", accepted[0])

    def _over_seeds(
        self, network: FeatureNetwork, by_seed: Sequence[Mapping[str, Estimate]], n: int
    ) -> Numbers:
        """The numbers of one feature network as means over seeds, and the standard deviation over seeds of
        the Frechet distance.

        The latter is the paper's ±: between seeds only the labelled images differ.
        """
        context, setup = self.variant.context, self.setup
        sizes = context.sizes(Sizes)
        place = self.place.at(measured=self.variant).also(
            scenario=setup.scenario,
            acceptance=setup.rule.description,
            samples=sizes.samples,
            pool=sizes.pool,
            seeds=sizes.seeds,
            reference="all images of the class",
            reference_n=len(reference_images(context)),
            probe_train=context.sizes(ProbeSizes).train,
            **labelled(sizes, setup.scenario),
            **reading_of(self.variant.system),
            **network.describe(),
        )
        short = f"only {n} of {sizes.samples} samples accepted" if n < sizes.samples else ""
        seeds = units_of("seeds", context.seed, len(by_seed))
        for name in by_seed[0]:
            mean = mean_over_seeds([estimates[name] for estimates in by_seed], n, seeds)
            yield from place.at(note=short).numbers({name: mean})
        distances = [estimates[network.metric_name] for estimates in by_seed]
        for metric, spread in spread_over_seeds(distances).items():
            yield from place.numbers({seen_through(metric, network.network): spread})


def references(context: Context) -> Iterator[Measurement]:
    """The paper's naive distance: all images of the data set against those of the class.

    Its value at its own n is comparable with the paper only, and only if these are all images. The
    class's images are on both sides: a kernel distance would be biased by their pairs.
    """
    if len(reference_images(context)) == len(context.dataset):
        for network in context.networks.features:
            yield Measurement([_features(context, network)], partial(_of_all, context, network))


def _of_all(context: Context, network: FeatureNetwork, features: Arrays) -> Numbers:
    real = Real(context, network, features)
    for target, scenario in product(targets(context), SCENARIOS):
        sides = real.everything, real.reference(real.members(target))
        setting = f"{scenario}/{target.name}"
        yield from _scale(real, NAIVE_OF_ALL, setting, sides, ("fid",))


def beside(context: Context, measured: Sequence[Record]) -> Iterator[Measurement]:
    """Two scales for every cell, with as many images as its samples.

    One is of all images, the other of the class itself: no sampler can do better. Both are compared
    with the class's other images, so that no image is on both sides, as for samples.
    """
    for network in context.networks.features:
        metric = network.metric_name
        if cells := [r for r in measured if r.metric == metric and r.value is not None]:
            scales = partial(_scales, context, network, cells)
            yield Measurement([_features(context, network)], scales)


def _scales(
    context: Context, network: FeatureNetwork, cells: Sequence[Record], features: Arrays
) -> Numbers:
    """The scales for the cells of one feature network."""
    real = Real(context, network, features)
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
            yield from _scale(real, f"{NAIVE}{of_n}", setting, of_all, metrics)
            yield from _scale(real, f"{OF_CLASS}{of_n}", setting, of_class, metrics)


def _scale(
    real: Real, title: str, setting: str, sides: tuple[Side, Side], metrics: Sequence[str]
) -> Numbers:
    """The distances of real images to real images; the reason if there are too few.

    The same persons' images are on both sides, whose units are equal.
    """
    images, reference = map(len, sides)
    context, network, sizes = real.context, real.network, real.context.sizes(Sizes)
    place = Place(context, TABLE, title=title, split="all", setting=setting)
    place = place.also(reference_row=title.partition(OF_N)[0], images=len(real.images))
    place = place.also(samples=sizes.samples, **network.describe())
    if min(images, reference) < 2:
        few = Estimate(None, n=images, why=f"{images} and {reference} images are too few")
        names = names_through(network.network, metrics).values()
        yield from place.numbers(dict.fromkeys(names, few))
        return
    estimates = set_estimates(context, network, metrics, *sides, sizes.frechet_error)
    for name, estimate in estimates.items():  # the table's caption tells the bias
        against = place.at(note=f"against {reference:,} images")
        yield from against.numbers({name: replace(estimate, notes=())})


BENCHMARK = Benchmark(
    name="fewshot",
    headline=lambda context: seen_through("kid", context.networks.features[0].network),
    needs=frozenset({SEMANTIC, DECODE, SAMPLE_LATENTS}),
    random=lambda row: row.system != NAIVE_OF_ALL,
    run=run,
    sizes=Sizes,
    labelled=True,
    learns=True,
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
