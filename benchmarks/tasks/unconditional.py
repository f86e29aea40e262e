"""Unconditional samples: Table 4 of the paper, the Frechet distance by T, and the kernel distance.

DDIM samples from x_T alone, DiffAE from z_sem of the latent DDIM and a random x_T (the same T for
both), and DiffAE + autoencoding from z_sem of held-out images and a random x_T, an upper bound for
the latent DDIM.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from benchmarks.core.benchmark import Benchmark
from benchmarks.core.context import Context
from benchmarks.core.plan import Calls, Work, by, network_calls, new_images, real_features
from benchmarks.core.selection import Selection
from benchmarks.core.sizes import Count, Split
from benchmarks.core.solving import Taken
from benchmarks.core.store import Arrays
from benchmarks.metrics.frechet import bias_note
from benchmarks.metrics.frechet_jackknife import BLOCKS, Side, blocks_of
from benchmarks.metrics.manifold import OVERLAPS
from benchmarks.metrics.networks.features import FeatureNetwork
from benchmarks.systems.protocol.base import (
    DECODE,
    SAMPLE,
    SAMPLE_LATENTS,
    SEMANTIC,
    STOCHASTIC,
    System,
)
from benchmarks.tasks.shared.distances import (
    TITLES,
    distance,
    metrics_of,
    overlap_rows,
)
from benchmarks.tasks.shared.samples import Sizes as SampleSizes
from benchmarks.tasks.shared.samples import decode_latents, samples
from diffae.sheet import Sheet
from reports.records.comparable import OF_N
from reports.records.record import Record
from reports.records.specs import TableSpec
from reports.records.uncertainty import UNKNOWN, of_influences, units_of

TABLE, OVERLAP = "table4_unconditional_fid", "unconditional_overlap"
REAL = "real images (test)"
BOUND = "no new codes: those of held-out images, with a random x_T; a bound for samples of the latent DDIM"


@dataclass(frozen=True)
class Sizes:
    """
    reference            real images on the other side of a distance
    reference_split      where they are taken from
    autoencoding_split   where the images of DiffAE + autoencoding are taken from, as many as are sampled
    overlap              images of either side, the first, for precision, recall, density and coverage
    frechet_error        give Frechet distances a standard error: each is computed 40 times more
    """

    reference: Count = 2_048
    reference_split: Split = "train"
    autoencoding_split: Split = "test"
    overlap: Count = 10_000
    frechet_error: bool = False


def run(context: Context, system: System) -> Iterator[Record]:
    sizes = context.sizes(SampleSizes)
    networks, images = context.networks.features, _reference_images(context)
    references = [_real(context, network, images, "blocks of reference") for network in networks]
    count, system = sizes.count, system.solving(sizes.solver)
    for steps in sizes.steps if system.iterative else (None,):
        names = (*(network.array for network in networks), "preview")
        new = samples(context, system, steps, count, names)
        units = units_of("samples", context.seed, count)
        taken = Taken(system, steps, latents=SAMPLE_LATENTS in system.capabilities)
        for network, reference in zip(networks, references, strict=True):
            of_samples = blocks_of(count), f"blocks of {units}", context.device
            ours = Side.of(new[network.array], *of_samples)
            yield from _records(context, network, system.title, taken, ours, reference)
        sheet = Sheet(
            f"{system.title}: samples" + (f", T = {steps}" if steps else ""),
            torch.from_numpy(new["preview"]).split(8),
            caption="New samples, the first that were drawn, none chosen (Table 4).",
            about={"benchmark": "unconditional", "system": system.title, "steps": steps},
        )
        at = f"-{steps}" if steps else ""
        context.save_sheet(f"samples-{system.name}{at}.png", sheet)
        if {SEMANTIC, STOCHASTIC, DECODE} <= system.capabilities:
            yield from _autoencoding(context, system, steps, references)


def _autoencoding(
    context: Context, system: System, steps: int | None, references: Sequence[Side]
) -> Iterator[Record]:
    """Held-out images decoded from their codes, against the reference of each feature network.

    The rows say how many there are, and whether the reference contains them.
    """
    sampled, held_out = context.sizes(SampleSizes).count, _held_out(context)
    decoded = autoencoded(context, system, steps, held_out)
    blocks, units = held_out.blocks(BLOCKS), held_out.units("blocks of decoded")
    notes = [BOUND]
    if len(held_out) < sampled:
        notes.append(f"{len(held_out):,} images, not the {sampled:,} that are sampled")
    shared = np.isin(held_out.order, _reference_images(context).order).sum()
    if shared:
        notes.append(f"{shared:,} of the images themselves are in the reference")
    title, taken = f"{system.title} + autoencoding", Taken(system, steps)
    split, note = context.sizes(Sizes).autoencoding_split, "; ".join(notes)
    for network, reference in zip(context.networks.features, references, strict=True):
        sides = Side.of(decoded[network.array], blocks, units, context.device), reference
        rows = _records(context, network, title, taken, *sides, note, autoencoding_split=split)
        yield from (replace(row, reference=True) for row in rows)


def beside(context: Context, measured: Sequence[Record]) -> Iterator[Record]:
    """Held-out real images, as many as each row has, against others: the best that a model can reach.

    If there are fewer, a row says so, and those that there are have rows of their own n.
    """
    counts = {r.n for r in measured if r.n and r.table == TABLE}
    most = max(counts, default=0)
    images = context.select("test", most)
    for n in sorted(counts | {len(images)} - {0}, reverse=True):
        title = REAL if n == most else f"{REAL}{OF_N}{n:,}"
        if n <= len(images):
            yield from _of_real(context, title, context.select("test", n))
            continue
        note = f"the test split has {len(images):,} of the {n:,} images that are needed"
        row = partial(context.record, "unconditional", TABLE, title, split="", n=n, note=note)
        yield from (
            row(name, None) for of in context.networks.features for name in metrics_of(of).values()
        )


def _of_real(context: Context, title: str, images: Selection) -> Iterator[Record]:
    """The rows of test images, against a reference without them."""
    whole, kept = apart(context, images)
    shared = np.isin(_reference_images(context).groups, images.groups).any()
    note = "the reference is taken without these images" if shared else ""
    if len(kept) < len(_reference_images(context)):
        note += f", of which only {len(kept):,} are left"
    units = units_of("blocks of reference", whole.units("reference"), kept)
    without = "the images of the row" if note else None
    taken = Taken(System(), None)
    for network in context.networks.features:
        ours = _real(context, network, images, "blocks of test")
        features = context.codes.real_features(whole, network)
        theirs = Side(features, kept, whole.blocks(BLOCKS)[kept], units, context.device)
        sides = ours, theirs
        yield from _records(context, network, title, taken, *sides, note, reference_without=without)


def apart(context: Context, images: Selection) -> tuple[Selection, np.ndarray]:
    """The reference without `images`: a selection, and the positions in it of the images that are kept.

    If the reference split contains some of them (or other pictures of their persons), the next
    images of the split replace them, as long as there are any.
    """
    sizes = context.sizes(Sizes)
    split = context.select(sizes.reference_split, len(context.dataset))
    kept = np.flatnonzero(~np.isin(split.groups, images.groups))[: sizes.reference]
    return context.select(split.split, int(kept[-1]) + 1 if len(kept) else 0), kept


def _reference_images(context: Context) -> Selection:
    sizes = context.sizes(Sizes)
    return context.select(sizes.reference_split, sizes.reference)


def _real(context: Context, network: FeatureNetwork, images: Selection, kind: str) -> Side:
    features = context.codes.real_features(images, network)
    return Side.of(features, images.blocks(BLOCKS), images.units(kind), context.device)


def _held_out(context: Context) -> Selection:
    count = context.sizes(SampleSizes).count
    return context.select(context.sizes(Sizes).autoencoding_split, count)


def autoencoded(
    context: Context, system: System, steps: int | None, selection: Selection
) -> Arrays:
    """Features of images decoded from their z_sem and a random x_T: N x d by each network."""
    networks = context.networks.features
    if not len(selection):
        return {network.array: np.zeros((0, network.dim), np.float32) for network in networks}
    key = context.codes.key("autoencoded", system, selection) | {
        "steps": steps,
        "seed": context.seed,
        "features": context.codes.described(),
    }

    def compute(positions: np.ndarray) -> Arrays:
        semantic = system.encode_semantic(selection.seen_by(system).batch(positions))
        images = decode_latents(context, system, semantic, positions.tolist(), steps)
        return context.codes.embed(images)

    return context.store.arrays(key, len(selection), compute)


def _records(
    context: Context,
    network: FeatureNetwork,
    title: str,
    taken: Taken,
    ours: Side,
    reference: Side,
    note: str = "",
    **given: str | None,
) -> Iterator[Record]:
    """The rows of the distances and of the overlap, with what is `given` of their protocol.

    The reference images are a source of error of their own, which two runs of one seed have in
    common.
    """
    sizes = context.sizes(Sizes)
    given = {"reference_without": None, "autoencoding_split": None, **given}

    def rows_in(table: str, ours: Side, reference: Side) -> Callable[..., Record]:
        protocol = context.protocol(
            "unconditional",
            n=len(ours),
            reference_split=sizes.reference_split,
            reference_n=len(reference),
            **given,
            **taken.protocol,
            **network.describe(),
        )
        fields = {"split": "", **taken.row, "protocol": protocol}
        return partial(context.record, "unconditional", table, title, **fields)

    row = rows_in(TABLE, ours, reference)
    fewest, errors = min(len(ours), len(reference)), sizes.frechet_error
    for metric, name in metrics_of(network).items():
        value, uncertainty = None, UNKNOWN
        reason = f"{TITLES[metric]} needs two images on each side, not {fewest}"
        if fewest > 1:
            found = distance(context, metric, ours, reference, errors)
            theirs = of_influences(found.of_reference, reference.units)
            value, uncertainty = found.value, of_influences(found.of_samples, ours.units) + theirs
            reason = bias_note(fewest, network.dim) if metric == "fid" else ""
        notes = "; ".join(filter(None, (note, reason)))
        yield row(name, value, uncertainty=uncertainty, n=len(ours), note=notes)
    ours, reference = (side.first(sizes.overlap) for side in (ours, reference))
    row = rows_in(OVERLAP, ours, reference)
    yield from overlap_rows(context, row, network, tuple(OVERLAPS), ours, reference, note)


def plan(context: Context, system: System) -> Iterator[Work]:
    sizes, dim = context.sizes(SampleSizes), context.networks.feature_dim
    reference, images = _reference_images(context), context.select("test", sizes.count)
    yield real_features(reference.split, max(len(reference), len(apart(context, images)[0])), dim)
    yield real_features("test", len(images), dim)
    held_out, system = len(_held_out(context)), system.solving(sizes.solver)
    for steps in sizes.steps if system.iterative else (None,):
        yield new_images(system, sizes.count, steps, dim)
        if {SEMANTIC, STOCHASTIC, DECODE} <= system.capabilities:
            calls = Calls(encoder=1, decoder=network_calls(system, steps), features=1)
            yield Work(f"autoencoding{by(system)}", held_out, calls, steps, 4 * dim)


BENCHMARK = Benchmark(
    name="unconditional",
    table=TABLE,
    headline=lambda context: metrics_of(context.networks.features[0])["kid"],
    needs=frozenset({SAMPLE}),
    run=run,
    plan=plan,
    sizes=Sizes,
    shared=("samples",),
    beside=beside,
    tables=(
        TableSpec(
            name=TABLE,
            title="Table 4: unconditional samples",
            caption=(
                "Distance between samples and the data set, by the number of steps T. A system + autoencoding draws no new "
                "codes: it decodes those of held-out images with a random x_T, which no sampler of codes is expected to "
                "surpass. It gives a scale, as real images do, as many as there are samples, and does not compete. Frechet "
                "distances have a ± where unconditional.frechet_error is on, as in standard and paper."
            ),
            rows=("steps", "solver", "calls"),
            columns=("metric", "system"),
            metrics=("kid", "cmmd", "fid"),
            headline=("fid",),
            order=50,
        ),
        TableSpec(
            name=OVERLAP,
            title="Unconditional samples: precision, recall, density, coverage",
            caption=(
                "How the samples of Table 4 overlap with its reference. A ball reaches from an image to its k-th nearest "
                "neighbour. Precision: the share of samples in a ball of the reference; recall: the share of the reference "
                "in a ball of the samples (k = 3). Density: the balls of the reference that hold a sample, over k = 5; "
                "coverage: the share of them that hold any. Numbers of different n are not comparable. Of more than 10,000 "
                "images of either side, the first are taken."
            ),
            rows=("system", "steps", "solver", "calls"),
            columns=("metric",),
            metrics=tuple(OVERLAPS),
            order=51,
        ),
    ),
)
