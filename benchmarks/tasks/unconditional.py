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

from benchmarks.core.images import Selection, semantic_of
from benchmarks.core.job import Arrays, Calls, Job, SetComparison
from benchmarks.core.measurement import Measurement, Numbers, Place, Variant
from benchmarks.core.sizes import Count, Split
from benchmarks.core.store import preview_of
from benchmarks.metrics.sets.groups import OVERLAP, SAMPLES, names_through, shown_in
from benchmarks.metrics.sets.jackknife import BLOCKS, Side, blocks_of
from benchmarks.plugin import Benchmark, Context, System, TableSpec
from benchmarks.systems.protocol import base
from benchmarks.tasks.shared.distances import set_estimates, side_of
from benchmarks.tasks.shared.samples import Sizes as SampleSizes
from benchmarks.tasks.shared.samples import samples
from reports.records.estimate import units_of
from reports.records.metrics import seen_through
from reports.records.published import OF_N
from reports.records.record import Record

TABLE = SAMPLES
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
    sizes, capabilities = context.sizes(SampleSizes), system.capabilities
    reference = RealImages.of_run(context)
    of_real = _of_real(context, REAL, context.select("test", sizes.count))
    yield Measurement(of_real.jobs, lambda *_: ())  # `beside` takes them: a dry run lists them here
    for steps in sizes.steps if system.iterative else (None,):
        latents = base.SAMPLE_LATENTS in capabilities
        variant = Variant.of(context, system, sizes.solver, steps, inverts=False, latents=latents)
        yield from _sampled(variant, sizes.count, reference)
        if {base.SEMANTIC, base.STOCHASTIC, base.DECODE} <= capabilities:
            yield _autoencoded(replace(variant, latents=False), sizes.count, reference)


@dataclass(frozen=True)
class RealImages:
    """The real images on the other side of distances: those at the positions `rows` of `images`.

    They are a source of error of their own, which two runs of one seed have in common: `units`
    identifies it.
    """

    images: Selection
    rows: np.ndarray
    units: str

    @classmethod
    def of_run(cls, context: Context) -> "RealImages":
        sizes = context.sizes(Sizes)
        images = context.select(sizes.reference_split, sizes.reference)
        units = images.units.named("blocks of reference")
        return cls(images, np.arange(len(images)), units)

    @classmethod
    def without(cls, context: Context, images: Selection) -> "RealImages":
        """The reference without `images`.

        If the reference split contains some of them (or other pictures of their persons), the next
        images of the split replace them, as long as there are any.
        """
        sizes = context.sizes(Sizes)
        split = context.select(sizes.reference_split, len(context.dataset))
        kept = np.flatnonzero(~np.isin(split.groups, images.groups))[: sizes.reference]
        whole = context.select(split.split, int(kept[-1]) + 1 if len(kept) else 0)
        units = units_of("blocks of reference", whole.units.named("reference"), kept)
        return cls(whole, kept, units)

    def against(
        self, place: Place, jobs: Sequence[Job], sides: Callable[..., list[Side]]
    ) -> Measurement:
        """Distances to the images that `sides` makes of the arrays of jobs, by each network."""
        features, most = _features(place.context, self.images), place.context.sizes(Sizes).overlap
        n, m = jobs[0].count or 0, len(self.rows)
        counts = {"kernel distance": (n, m), "overlap": (min(n, most), min(m, most))}
        comparisons = [SetComparison(name, *counts[name], len(features)) for name in counts]
        return Measurement([*jobs, *features], partial(self._numbers, place, sides), comparisons)

    def _numbers(self, place: Place, sides: Callable[..., list[Side]], *arrays: Arrays) -> Numbers:
        networks, sizes = place.context.networks.features, place.context.sizes(Sizes)
        made, features = arrays[: -len(networks)], arrays[-len(networks) :]
        blocks, device = self.images.units.blocks(BLOCKS)[self.rows], place.context.device
        for network, ours, real in zip(networks, sides(*made), features, strict=True):
            reference = Side(real["features"], self.rows, blocks, self.units, device)
            first = ours.first(sizes.overlap), reference.first(sizes.overlap)
            for table, a, b in ((TABLE, ours, reference), (OVERLAP, *first)):
                fields = {"reference_without": None, "autoencoding_split": None, **place.fields}
                fields |= {"reference_split": sizes.reference_split, "reference_n": len(b)}
                shown = place.at(table=table, n=len(a), fields=fields | network.describe())
                sets = shown_in(table), a, b, sizes.frechet_error
                yield from shown.numbers(set_estimates(place.context, network, *sets))


def _sampled(variant: Variant, count: int, reference: RealImages) -> Iterator[Measurement]:
    """New images, and a picture of the first."""
    context, networks = variant.context, variant.context.networks.features
    new = samples(variant, count, *(network.array for network in networks))
    units = f"blocks of {units_of('samples', context.seed, count)}"

    def sides(new: Arrays) -> list[Side]:
        blocks = blocks_of(count)
        return [Side.of(new[network.array], blocks, units, context.device) for network in networks]

    place = Place(context, TABLE, variant, split="")
    yield reference.against(place, [new], sides)
    yield Measurement([preview_of(new)], partial(_draw, place, variant.steps))


def _draw(place: Place, steps: int | None, new: Arrays) -> Numbers:
    """A picture, and no number."""
    place.draw(
        f"samples-{{}}-{steps}" if steps else "samples-{}",
        "samples" + (f", T = {steps}" if steps else ""),
        torch.from_numpy(new["preview"]).split(8),
        caption="New samples, the first that were drawn, none chosen (Table 4).",
    )
    return iter(())


def _autoencoded(variant: Variant, sampled: int, reference: RealImages) -> Measurement:
    """Held-out images, decoded from their z_sem and a random x_T.

    The numbers say how many images there are, and whether the reference contains them.
    """
    context, networks = variant.context, variant.context.networks.features
    split = context.sizes(Sizes).autoencoding_split
    images, notes = context.select(split, sampled), [BOUND]
    if len(images) < sampled:
        notes.append(f"{len(images):,} images, not the {sampled:,} that are sampled")
    if shared := np.isin(images.order, reference.images.order).sum():
        notes.append(f"{shared:,} of the images themselves are in the reference")
    title, fields = f"{variant.system.title} + autoencoding", {"autoencoding_split": split}
    place = Place(context, TABLE, variant, title, split="", note="; ".join(notes), fields=fields)

    def embed(positions: np.ndarray, codes: Arrays) -> Arrays:
        code = variant.random(semantic_of(codes), positions.tolist())
        return context.codes.embed(variant.decode(code))

    def sides(decoded: Arrays) -> list[Side]:
        features = [decoded[network.array] for network in networks]
        return [side_of(context, images, each, "blocks of decoded") for each in features]

    codes, described = context.codes.semantic(variant.system, images), context.codes.described()
    calls = variant.decoding + Calls(features=1)
    decoded = place.job(
        "autoencoded", "autoencode", images, embed, rows_of=[codes], calls=calls, features=described
    )
    empty = {network.array: np.zeros((0, network.dim), np.float32) for network in networks}
    return reference.against(place.at(reference=True), [replace(decoded, empty=empty)], sides)


def beside(context: Context, measured: Sequence[Record]) -> Iterator[Measurement]:
    """Held-out real images, as many as each row has, against others: the best that a model can reach.

    If there are fewer, a row says so, and those that there are have rows of their own n.
    """
    counts = {r.n for r in measured if r.n and r.table == TABLE}
    most = max(counts, default=0)
    images = context.select("test", most)
    for n in sorted(counts | {len(images)} - {0}, reverse=True):
        title = REAL if n == most else f"{REAL}{OF_N}{n:,}"
        if n <= len(images):
            yield _of_real(context, title, context.select("test", n))
            continue
        note = f"the test split has {len(images):,} of the {n:,} images that are needed"
        place = Place(context, TABLE, title=title, split="", n=n, note=note)
        for network in context.networks.features:
            names = names_through(network.network, shown_in(TABLE)).values()
            yield Measurement([], partial(place.missing, names, ""))


def _of_real(context: Context, title: str, images: Selection) -> Measurement:
    """Test images against a reference without them."""
    reference, whole = RealImages.without(context, images), RealImages.of_run(context)
    shared = np.isin(whole.images.groups, images.groups).any()
    note = "the reference is taken without these images" if shared else ""
    if len(reference.rows) < len(whole.rows):
        note += f", of which only {len(reference.rows):,} are left"
    real, fields = Variant(context, System(), None), {"reference_without": "the images of the row"}
    place = Place(context, TABLE, real, title, split="", note=note, fields=fields if note else {})

    def sides(*features: Arrays) -> list[Side]:
        tested = [arrays["features"] for arrays in features]
        return [side_of(context, images, each, "blocks of test") for each in tested]

    return reference.against(place, _features(context, images), sides)


def _features(context: Context, images: Selection) -> list[Job]:
    """The features of real images by each network."""
    return [context.codes.real_features(images, n) for n in context.networks.features]


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
