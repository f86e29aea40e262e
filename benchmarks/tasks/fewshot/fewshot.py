"""Few-shot conditional samples: Table 3 of the paper.

A linear classifier is trained on the z_sem of a few labelled images (binary: k of each class; PU: positives
against unlabelled ones). Latents of the latent DDIM are then accepted by its probability, decoded, and held
against all real images of the class. All scenarios draw from one pool of latents, decoded once.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from benchmarks.core.base import Benchmark
from benchmarks.core.context import Context
from benchmarks.core.plan import Calls, Work, new_images, read_codes, real_features
from benchmarks.core.rows import Protocol
from benchmarks.core.solving import Taken
from benchmarks.metrics.frechet_jackknife import Jackknife
from benchmarks.metrics.weights import NotAvailable
from benchmarks.systems.base import DECODE, SAMPLE_LATENTS, SEMANTIC, System, reading_of
from benchmarks.tasks.fewshot.classes import (
    SCENARIOS,
    Setup,
    Sizes,
    Target,
    labelled,
    rule,
    targets,
)
from benchmarks.tasks.fewshot.sampling import Learners, Pool, Real, Result, one_seed
from benchmarks.tasks.shared.distances import distance
from benchmarks.tasks.shared.probe_fits import Sizes as ProbeSizes
from reports.metrics import seen_through
from reports.records import Record
from reports.specs import TableSpec
from reports.uncertainty import UNKNOWN, Uncertainty, of_influences, of_mean, units_of

TABLE = "table3_fewshot_fid"


def run(context: Context, system: System) -> Iterator[Record]:
    system = system.solving(context.sizes(Sizes).solver)
    real, learners = Real(context), Learners(Pool(context, system))
    rules = context.sizes(Sizes).acceptance
    for rule_name in rules:
        chosen, first = rule(rule_name), rule_name == rules[0]
        title = system.title if first else f"{system.title}, {rule_name} rule"
        for scenario in SCENARIOS:
            for target in targets(context):
                setup = Setup(scenario, chosen, target)
                yield from _one_class(real, learners, title, setup, first)


def _one_class(
    real: Real, learners: Learners, title: str, setup: Setup, picture: bool
) -> Iterator[Record]:
    """The rows of one class; one with the reason if it has too few images or samples."""
    pool, context = learners.pool, learners.pool.context
    try:
        results = [
            one_seed(real, learners, setup, seed) for seed in range(context.sizes(Sizes).seeds)
        ]
    except NotAvailable as reason:
        metric = context.networks.features.metric_name
        yield context.record(
            "fewshot",
            TABLE,
            title,
            metric,
            None,
            split="all",
            setting=setup.setting,
            note=str(reason),
        )
        return
    yield from _records(context, pool.system, title, setup, results)
    if picture:
        pool.save_picture(f"{setup.scenario}-{setup.target.name}", results[0].accepted)


def references(context: Context) -> Iterator[Record]:
    """Two scales: all real images against those of the class, and as many real images of the class as are
    sampled against the rest of them, which no sampler can do better than at this size."""
    real = Real(context)
    for target in targets(context):
        members = real.members(target)
        wanted = context.sizes(Sizes).samples
        for title, one, other in (
            ("naive", real.everything, real.side(target)),
            ("real images of the class", real.part(members[:wanted]), real.part(members[wanted:])),
        ):
            value, uncertainty = None, UNKNOWN
            note = f"against {len(other):,} images"
            if min(len(one), len(other)) < 2:
                note = f"{len(members)} images of class {target.name} are too few"
            else:
                found = distance(context, one, other)
                found = replace(found, reference_shares=real.everything.shares)
                # The same persons' images are on both sides: a block is left out of both at once.
                both = found.of_samples + found.of_reference
                value, uncertainty = found.value, of_influences(both, real.images.units("blocks"))
            yield from _reference_records(
                context, title, target, value, uncertainty, len(one), note
            )


def _reference_records(
    context: Context,
    title: str,
    target: Target,
    value: float | None,
    uncertainty: Uncertainty,
    n: int,
    note: str,
) -> Iterator[Record]:
    protocol = context.protocol(
        "fewshot",
        reference_row=title,
        images=len(context.select("all", context.sizes(Sizes).reference)),
        samples=context.sizes(Sizes).samples,
        **context.networks.features.describe(),
    )
    for scenario in SCENARIOS:
        yield context.record(
            "fewshot",
            TABLE,
            title,
            context.networks.features.metric_name,
            value,
            split="all",
            setting=f"{scenario}/{target.name}",
            uncertainty=uncertainty,
            n=n,
            protocol=protocol,
            note=note,
        )


def _records(
    context: Context, system: System, title: str, setup: Setup, results: list[Result]
) -> Iterator[Record]:
    sizes = context.sizes(Sizes)
    taken = Taken(system, sizes.steps if system.iterative else None, latents=True)
    protocol = context.protocol(
        "fewshot",
        scenario=setup.scenario,
        acceptance=setup.rule.description,
        samples=sizes.samples,
        pool=sizes.pool,
        seeds=sizes.seeds,
        reference="all images of the class",
        reference_n=len(context.select("all", sizes.reference)),
        **taken.protocol,
        probe_train=context.sizes(ProbeSizes).train,
        **labelled(sizes, setup.scenario),
        **reading_of(system),
        **context.networks.features.describe(),
    )
    fewest = min(min(len(result.accepted), sizes.samples) for result in results)
    short = f"only {fewest} of {sizes.samples} samples accepted"
    for metric, name in (
        (context.networks.features.metric_name, "distance"),
        ("acceptance_rate", "acceptance"),
    ):
        found = [getattr(result, name) for result in results]
        yield context.record(
            "fewshot",
            TABLE,
            title,
            metric,
            float(np.mean([one.value for one in found])),
            split="all",
            setting=setup.setting,
            **taken.row,
            uncertainty=_uncertainty(context, found),
            n=fewest,
            protocol=protocol,
            note=short if fewest < sizes.samples else "",
        )
    values = [result.distance.value for result in results]
    yield _over_seeds(context, title, setup, taken, values, protocol)


def _over_seeds(
    context: Context,
    title: str,
    setup: Setup,
    taken: Taken,
    values: list[float],
    protocol: Protocol,
) -> Record:
    """The standard deviation over seeds, which is the paper's ±: only the labelled images differ."""
    several = len(values) > 1
    spread = float(np.std(values, ddof=1)) if several else None
    return context.record(
        "fewshot",
        TABLE,
        title,
        seen_through("fid_seed_std", context.networks.features.network),
        spread,
        split="all",
        setting=setup.setting,
        **taken.row,
        # of the standard deviation of normal values
        stderr=None if spread is None else spread / math.sqrt(2 * (len(values) - 1)),
        n=len(values),
        protocol=protocol,
        note="" if several else "one seed has no spread",
    )


def _uncertainty(context: Context, found: list[Jackknife]) -> Uncertainty:
    """Of a mean over seeds: which images were labelled, which latents were drawn, which images are real."""
    sizes = context.sizes(Sizes)
    everything = context.select("all", sizes.reference)
    seeds = of_mean([one.value for one in found], units_of("seeds", context.seed, len(found)))
    pool = units_of("blocks of a pool, dealt in turn", context.seed, sizes.pool)
    drawn = of_influences(np.mean([one.of_samples for one in found], axis=0), pool)
    real = np.mean([one.of_reference for one in found], axis=0)
    return seeds + drawn + of_influences(real, everything.units("blocks of reference"))


def plan(context: Context, system: System) -> Iterator[Work]:
    sizes, dim = context.sizes(Sizes), context.networks.features.dim
    system = system.solving(sizes.solver)
    steps = sizes.steps if system.iterative else None
    train = context.select("train", context.sizes(ProbeSizes).train)
    yield read_codes(system, "train", len(train))
    yield new_images(system, sizes.pool, steps, dim)
    everything = context.select("all", sizes.reference)
    yield real_features("all", len(everything), dim)
    rules = f"accepted by {', '.join(sizes.acceptance)}; {sizes.seeds} seeds"
    labels = {
        "binary": f"{sizes.binary_k} + {sizes.binary_k}",
        "pu": f"{sizes.pu_positives} + {sizes.pu_unlabeled:,}",
    }
    for scenario in SCENARIOS:
        for target in targets(context):
            what = f"{scenario}/{target.name} of {labels[scenario]} labels, {rules}"
            yield Work(what, sizes.samples, Calls())
    for target in targets(context):
        what = f"naive: all images against {target.name}"
        yield Work(what, len(everything), Calls(), shared=what, real=True)


TABLES = (
    TableSpec(
        name=TABLE,
        title="Table 3: few-shot conditional samples",
        caption=(
            "Samples accepted by a classifier trained on a few labels (binary) or on positive and "
            "unlabelled images (pu), against the images of the class: the mean over seeds, which draw the "
            "labelled images. ± holds the labels, the samples and the real images; the standard deviation "
            "over seeds alone, the paper's ±, stands beside it. "
            "naive: all images against those of the class, no model; real images of the class: as many as "
            "are sampled, against the rest of them."
        ),
        source=TABLE,
        rows=("setting",),
        setting_header="class",
        columns=("metric", "system"),
        metrics=("fid", "fid_seed_std", "acceptance_rate"),
        headline=("fid",),
        order=40,
    ),
)

BENCHMARK = Benchmark(
    name="fewshot",
    title="Frechet distance of few-shot class-conditional samples by rejection",
    paper="Table 3",
    table=TABLE,
    headline=lambda context: context.networks.features.metric_name,
    needs=frozenset({SEMANTIC, DECODE, SAMPLE_LATENTS}),
    run=run,
    plan=plan,
    sizes=Sizes,
    labelled=True,
    references=references,
    metrics=("acceptance_rate", "fid", "fid_seed_std"),
    tables=TABLES,
)
