"""Unconditional samples: Table 4 of the paper, the Frechet distance by T, and the kernel distance.

DDIM samples from x_T alone, DiffAE from z_sem of the latent DDIM and a random x_T (the same T for
both), and DiffAE + autoencoding from z_sem of held-out images and a random x_T, an upper bound for
the latent DDIM.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from benchmarks.core.measurement import Cell, Measurement, Solved, Taken
from benchmarks.core.plan import Work, comparisons
from benchmarks.core.sizes import Count, Split
from benchmarks.metrics.networks.features import FeatureNetwork
from benchmarks.metrics.sets import groups
from benchmarks.metrics.sets.groups import names_through, shown_in
from benchmarks.metrics.sets.jackknife import BLOCKS, Side, blocks_of
from benchmarks.plugin import (
    Arrays,
    Benchmark,
    Context,
    Record,
    Selection,
    System,
    TableSpec,
)
from benchmarks.systems.protocol import base
from benchmarks.tasks.shared.distances import set_records, side_of
from benchmarks.tasks.shared.samples import Sizes as SampleSizes
from benchmarks.tasks.shared.samples import samples
from reports.records.estimate import units_of
from reports.records.metrics import seen_through
from reports.records.published import OF_N

TABLE, OVERLAP = groups.SAMPLES, groups.OVERLAP
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


def run(context: Context, system: System) -> Iterator[Measurement]:
    sizes, can = context.sizes(SampleSizes), system.capabilities
    networks, images = context.networks.features, _reference_images(context)
    references = [_real(context, network, images, "blocks of reference") for network in networks]
    real = context.select("test", sizes.count)
    for network in networks:  # those of `beside`, so that a dry run counts them
        for selection in (real, apart(context, real)[0]):
            context.codes.real_features(selection, network)
    for steps in sizes.steps if system.iterative else (None,):
        latents = base.SAMPLE_LATENTS in can
        at = Solved.of(context, system, sizes.solver, steps, inverts=False, latents=latents)
        yield _sampled(at, sizes.count, references)
        if {base.SEMANTIC, base.STOCHASTIC, base.DECODE} <= can:
            yield _autoencoded(replace(at, latents=False), references)


def _sampled(at: Solved, count: int, references: Sequence[Side]) -> Measurement:
    """New images against the reference of each feature network."""
    context, networks = at.context, at.context.networks.features
    cell = Cell(context, TABLE, at, split="")
    units = f"blocks of {units_of('samples', context.seed, count)}"

    def reduce(new: Arrays) -> Iterator[Record]:
        for network, reference in zip(networks, references, strict=True):
            ours = Side.of(new[network.array], blocks_of(count), units, context.device)
            yield from _records(cell, network, ours, reference)
        cell.draw(
            f"samples-{{}}-{at.steps}" if at.steps else "samples-{}",
            "samples" + (f", T = {at.steps}" if at.steps else ""),
            torch.from_numpy(new["preview"]).split(8),
            caption="New samples, the first that were drawn, none chosen (Table 4).",
        )

    names = (*(network.array for network in networks), "preview")
    return Measurement(
        [samples(at, count, *names)], reduce, _comparisons(context, count, references)
    )


def _autoencoded(at: Solved, references: Sequence[Side]) -> Measurement:
    """Held-out images, decoded from their z_sem and a random x_T, against each reference.

    The rows say how many there are, and whether the reference contains them.
    """
    context, sampled = at.context, at.context.sizes(SampleSizes).count
    split = context.sizes(Sizes).autoencoding_split
    images, notes = context.select(split, sampled), [BOUND]
    if len(images) < sampled:
        notes.append(f"{len(images):,} images, not the {sampled:,} that are sampled")
    if shared := np.isin(images.order, _reference_images(context).order).sum():
        notes.append(f"{shared:,} of the images themselves are in the reference")
    title, fields = f"{at.system.title} + autoencoding", {"autoencoding_split": split}
    cell = Cell(context, TABLE, at, title, split="", note="; ".join(notes), fields=fields)

    def compute(positions: np.ndarray) -> Arrays:
        semantic = at.system.encode_semantic(images.seen_by(at.system).batch(positions))
        return context.codes.embed(at.decode(at.random(semantic, positions.tolist())))

    def reduce(decoded: Arrays) -> Iterator[Record]:
        for network, reference in zip(context.networks.features, references, strict=True):
            features = decoded.get(network.array, np.zeros((0, network.dim), np.float32))
            ours = side_of(context, images, features, "blocks of decoded")
            for record in _records(cell, network, ours, reference):
                yield replace(record, reference=True)

    described = context.codes.described()
    decoded = cell.computation("autoencoded", "autoencoding", images, compute, features=described)
    return Measurement([decoded], reduce, _comparisons(context, len(images), references))


def _comparisons(context: Context, n: int, references: Sequence[Side]) -> list[Work]:
    """What `_records` compares of n images with each reference, for a dry run."""
    m, most = len(references[0]), context.sizes(Sizes).overlap
    return [
        *comparisons(len(references), "kernel distance", n, m),
        *comparisons(len(references), "overlap", min(n, most), min(m, most)),
    ]


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
        cell = Cell(context, TABLE, title=title, split="", n=n, note=note)
        for network in context.networks.features:
            yield from cell.missing(names_through(network.network, shown_in(TABLE)).values(), "")


def _of_real(context: Context, title: str, images: Selection) -> Iterator[Record]:
    """The rows of test images, against a reference without them."""
    whole, kept = apart(context, images)
    reference = _reference_images(context)
    shared = np.isin(reference.groups, images.groups).any()
    note = "the reference is taken without these images" if shared else ""
    if len(kept) < len(reference):
        note += f", of which only {len(kept):,} are left"
    units = units_of("blocks of reference", whole.units.named("reference"), kept)
    fields = {"reference_without": "the images of the row" if note else None}
    cell = Cell(context, TABLE, Taken(System(), None), title, split="", note=note, fields=fields)
    for network in context.networks.features:
        ours = _real(context, network, images, "blocks of test")
        features = context.codes.real_features(whole, network)
        blocks = whole.units.blocks(BLOCKS)[kept]
        others = Side(features, kept, blocks, units, context.device)
        yield from _records(cell, network, ours, others)


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
    return side_of(context, images, context.codes.real_features(images, network), kind)


def _records(cell: Cell, network: FeatureNetwork, ours: Side, reference: Side) -> Iterator[Record]:
    """The records of the distances and of the overlap.

    The reference images are a source of error of their own, which two runs of one seed have in
    common.
    """
    sizes = cell.context.sizes(Sizes)

    def cell_of(table: str, ours: Side, reference: Side) -> Cell:
        fields: dict[str, Any] = {"reference_without": None, "autoencoding_split": None}
        fields |= {"reference_split": sizes.reference_split, "reference_n": len(reference)}
        fields |= {**cell.fields, **network.describe()}
        return cell.but(table=table, n=len(ours), fields=fields)

    distances = cell_of(TABLE, ours, reference)
    yield from set_records(
        distances, network, shown_in(TABLE), ours, reference, sizes.frechet_error
    )
    first = ours.first(sizes.overlap), reference.first(sizes.overlap)
    yield from set_records(cell_of(OVERLAP, *first), network, shown_in(OVERLAP), *first)


BENCHMARK = Benchmark(
    name="unconditional",
    headline=lambda context: seen_through("kid", context.networks.features[0].network),
    needs=frozenset({base.SAMPLE}),
    random=lambda row: not row.system.startswith(REAL),
    run=run,
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
            metrics=shown_in(TABLE),
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
            metrics=shown_in(OVERLAP),
            plots=(),
            order=51,
        ),
    ),
)
