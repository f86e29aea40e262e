"""Reconstruction: Tables 1 and 2 of the paper.

Every image is encoded and decoded with the same number of steps T; x_T is inverted from the image,
or drawn at random, which shows what z_sem alone retains. Scores are kept per image. A second
solver (`beside`) is measured at its own T; a table by network calls compares it with the paper's
DDIM. For the decodes of Table 1 there are also the distances to their originals as sets, and for
quantised codes the use of their codebooks. With --keep, codes are decoded from their beginning alone, too; with --native, `native` measures.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.core.images import Selection, code_of, preview
from benchmarks.core.job import Arrays, Calls, Job, SetComparison
from benchmarks.core.measurement import RANDOM, Numbers, Place, Variant
from benchmarks.core.sizes import Count, InvertingSolver, Split, Steps
from benchmarks.core.store import preview_of
from benchmarks.metrics import codebooks, pairs
from benchmarks.metrics.pairs import DESCRIBED, PIXEL_METRICS, PairNetwork
from benchmarks.metrics.sets.jackknife import BLOCKS
from benchmarks.metrics.ssim import too_small
from benchmarks.plugin import Benchmark, Context, Measurement
from benchmarks.systems.protocol.base import (
    DECODE,
    ENCODE,
    SEMANTIC,
    STOCHASTIC,
    System,
    parts_of,
)
from benchmarks.systems.protocol.parts import length
from benchmarks.tasks.reconstruction import native
from benchmarks.tasks.reconstruction.by_protocol import ByProtocol
from benchmarks.tasks.reconstruction.pictures import DECODED, save_decoded, save_inputs, save_worst
from benchmarks.tasks.reconstruction.tables import (
    BY_CALLS,
    BY_LENGTH,
    CODEBOOKS,
    OF_PAIRS,
    OF_SETS,
    TABLE1,
    TABLE2,
    TABLES,
)
from benchmarks.tasks.shared.distances import set_estimates, side_of
from diffae.eight_bit import to_uint8
from diffae.system.files import Json
from reports.records.estimate import Estimate

PREVIEW = 8


@dataclass(frozen=True)
class Sizes:
    """
    images   how many are encoded and decoded
    split    where they are taken from
    steps    T of Tables 1 and 2, inversion and decoding alike
    solver   solver that takes these steps; the paper's is ddim
    beside         second solver, for the table by network calls; skipped by systems without it
    beside_steps   T of the second solver
    """

    images: Count = 16
    split: Split = "test"
    steps: tuple[Steps, ...] = (10, 20, 50, 100)
    solver: InvertingSolver = "ddim"
    beside: InvertingSolver = "fast"
    beside_steps: tuple[Steps, ...] = (5, 10)


def run(context: Context, system: System) -> Iterator[Measurement]:
    sizes = context.sizes(Sizes)
    images = context.select(sizes.split, sizes.images)
    if context.options.native:
        yield from native.measurements(context, images, system, sizes.solver, max(sizes.steps))
        return
    features = [context.codes.real_features(images, n) for n in context.networks.features]
    shown: dict[str, Job] = {}
    for reconstruction in _reconstructions(context, sizes, system, images):
        jobs, comparisons = [reconstruction.job], list[SetComparison]()
        if reconstruction.in_table1:
            shown[reconstruction.setting] = preview_of(reconstruction.job)
            jobs += features
            for title in ("kernel distance", "overlap"):
                comparisons.append(SetComparison(title, len(images), len(images), len(features)))
        yield Measurement(jobs, partial(_numbers, reconstruction), comparisons)
    yield _pictures_and_codebooks(context, sizes, system, images, shown)
    if context.options.keep:
        yield _of_lengths(context, sizes, system, images)


@dataclass(frozen=True)
class Reconstruction:
    """How the images are reconstructed, and the tables that show it."""

    variant: Variant
    images: Selection
    tables: tuple[str, ...]
    by_protocol: ByProtocol | None = None

    @property
    def setting(self) -> str:
        """How x_T is found, in words."""
        return f"x_T {self.variant.x_T}" if self.variant.x_T else ""

    @property
    def in_table1(self) -> bool:
        return TABLE1 in self.tables

    @property
    def keeps(self) -> bool:
        """Whether the decoded images are kept, for --save-images."""
        return self.in_table1 and self.variant.context.images is not None

    @cached_property
    def place(self) -> Place:
        keep, split = self.variant.keep, self.images.split
        fields: dict[str, Json] = {"x_T": self.setting, "split": split}
        fields |= {} if keep is None else {"keep": keep}
        setting = self.setting if keep is None else str(keep)
        n, context = len(self.images), self.variant.context
        return Place(
            context, self.tables[0], self.variant, setting=setting, split=split, n=n, fields=fields
        )

    @cached_property
    def sizes(self) -> dict[str, Estimate]:
        """The size of what is decoded; an x_T drawn at random does not count."""
        system, keep = self.variant.system, self.variant.keep
        side = system.image_size or self.images.dataset.image_size
        numbers = system.semantic_dim if self.variant.x_T == RANDOM else system.latent_dim
        share = 1.0 if keep is None else keep / (length(parts_of(system)) or 1)
        bits = None if system.code_bits is None else share * system.code_bits
        return codebooks.sizes(share * numbers, bits, side)

    @cached_property
    def networks(self) -> dict[str, PairNetwork | None]:
        """The network of each score; MS-SSIM is one for Table 1, of images that are large enough."""
        context = self.variant.context
        perceptual, side = context.networks.perceptual, context.dataset.image_size
        networks: dict[str, PairNetwork | None] = dict.fromkeys(PIXEL_METRICS)
        networks[perceptual.metric_name] = perceptual
        if not self.in_table1 or too_small(side, side):
            del networks["ms_ssim"]
        return networks

    @cached_property
    def job(self) -> Job:
        """Scores per image, [N] each, and the first few reconstructions under "preview".

        For Table 1 also features N x d of the reconstructions by each network, and what protocols need.
        """
        variant, context, by_protocol = self.variant, self.variant.context, self.by_protocol
        perceptual = context.networks.perceptual
        decides: dict[str, Json] = {"scores": list(self.networks)}
        decides |= {"perceptual": perceptual.describe()}
        decides |= {"features": context.codes.described()} if self.in_table1 else {}
        decides |= {DECODED: "uint8"} if self.keeps else {}
        decides |= by_protocol.key if by_protocol else {}
        calls = variant.decoding + Calls(perceptual=1, features=int(self.in_table1))
        calls += by_protocol.calls if by_protocol else Calls()
        title = f"decode, {self.setting}" if self.setting else "decode"
        job = self.place.also(**decides).job(
            "reconstruction",
            title if variant.keep is None else f"{title}, of the first of the code",
            self.images,
            self._compute,
            rows_of=[variant.codes(self.images)],
            calls=calls,
        )
        return replace(job, without=(DECODED,))

    def _compute(self, positions: np.ndarray, codes: Arrays) -> Arrays:
        context, by_protocol = self.variant.context, self.by_protocol
        originals, as_decoded = self.images.batch(positions), self._decoded(positions, codes)
        output = context.resized(as_decoded.clamp(-1, 1))
        arrays: Arrays = pairs.scores_of(self.networks, output, originals)
        arrays["preview"] = preview(positions, output, PREVIEW)
        if self.keeps:
            arrays[DECODED] = to_uint8(output).numpy()
        if by_protocol:
            arrays |= by_protocol.compute(output, context.resized(as_decoded), originals)
        return arrays | (context.codes.embed(output) if self.in_table1 else {})

    def _decoded(self, positions: np.ndarray, codes: Arrays) -> Tensor:
        """The decoded images, at the size of the system."""
        variant, code = self.variant, code_of(codes)
        if variant.x_T == RANDOM:
            code = variant.random(code.semantic, self.images.order[positions].tolist())
        if self.by_protocol and self.by_protocol.unclamped:
            variant = replace(variant, system=variant.system.unclamped())
        return variant.decode_at_own_size(code)


def _reconstructions(
    context: Context, sizes: Sizes, system: System, images: Selection
) -> Iterator[Reconstruction]:
    variant = partial(Variant.of, context, system)
    ours, beside = variant(sizes.solver, None), variant(sizes.beside, None)
    by_calls = (BY_CALLS,) if ours.system.solver is not None else ()
    # x_T is inverted from the images, or drawn too; without z_sem a random x_T reconstructs nothing
    draws = {SEMANTIC, STOCHASTIC} <= system.capabilities
    wants_protocols = bool(context.options.protocols)
    for number, inverts in enumerate((True, False) if draws else (True,)):
        by_protocol = ByProtocol(context) if wants_protocols and not number else None
        if not system.iterative:
            taken = variant(sizes.solver, None, inverts)
            yield Reconstruction(taken, images, (TABLE1,), by_protocol)
            continue
        for steps in sizes.steps:
            taken, largest = variant(sizes.solver, steps, inverts), steps == max(sizes.steps)
            tables = (TABLE2, TABLE1, *by_calls) if largest else (TABLE2, *by_calls)
            yield Reconstruction(taken, images, tables, by_protocol if largest else None)
        if beside.system.solver != ours.system.solver:
            for steps in sizes.beside_steps:
                yield Reconstruction(variant(sizes.beside, steps, inverts), images, by_calls)


def _numbers(reconstruction: Reconstruction, scores: Arrays, *features: Arrays) -> Numbers:
    """The numbers of a reconstruction in each table; `features` are those of the originals."""
    for table in reconstruction.tables:
        place = reconstruction.place.at(table=table)
        if table == TABLE1:
            yield from _of_table1(place, reconstruction.images, scores, features)
        yield from _of_table(place, reconstruction, scores)
    if reconstruction.by_protocol:
        yield from reconstruction.by_protocol.numbers_of(
            reconstruction.variant, reconstruction.images, scores
        )
    if reconstruction.keeps:
        save_decoded(reconstruction.variant, reconstruction.images, reconstruction.job)
    if reconstruction.in_table1 and reconstruction.variant.x_T != RANDOM:
        save_worst(reconstruction.place.at(setting=""), reconstruction.images, scores)


def _pictures_and_codebooks(
    context: Context,
    sizes: Sizes,
    system: System,
    images: Selection,
    shown: Mapping[str, Job],
) -> Measurement:
    """The sheet of the previews `shown`, by setting, and the use of each codebook on the images."""
    variant, split = Variant.of(context, system, sizes.solver, None), images.split
    place = Place(context, CODEBOOKS, variant.system)

    def numbers(*arrays: Arrays) -> Numbers:
        if context.images is not None:
            save_inputs(context.images, images)
        previews = [torch.from_numpy(preview["preview"]) for preview in arrays[: len(shown)]]
        place.draw(
            "reconstruction-{}",
            "reconstruction",
            [images.batch(np.arange(PREVIEW)[: len(images)]), *previews],
            rows=("input", *(setting or "reconstruction" for setting in shown)),
            caption="The first held-out images, none chosen, decoded at the largest T (Fig. 3).",
        )
        of_images = place.at(split=split, n=len(images)).also(split=split)
        for tokens in arrays[len(shown) :]:
            for name, counts in counts_of_codes(system, images, tokens).items():
                yield from of_images.at(setting=name).numbers(codebooks.use(counts, images.units))

    tokens = [tokens_job(variant, images)] if system.codebooks and len(images) else []
    return Measurement([*shown.values(), *tokens], numbers)


def tokens_job(variant: Variant, images: Selection) -> Job:
    """The tokens of the images' codes, by codebook."""
    system, context, books = variant.system, variant.context, variant.system.codebooks

    def compute(_: np.ndarray, codes: Arrays) -> Arrays:
        return {
            f"tokens.{name}": tokens.cpu().numpy().astype(np.min_scalar_type(size - 1))
            for (name, size), tokens in zip(
                books.items(), system.tokens(code_of(codes)), strict=True
            )
        }

    decides = context.codes.decides(system, images) | {"tokens of": dict(books)}
    codes = variant.codes(images)
    return Job("codebooks", "codebooks", decides, len(images), compute, [codes], system=system)


def counts_of_codes(
    system: System, images: Selection, arrays: Arrays
) -> dict[str, NDArray[np.int64]]:
    """How often the images of each jackknife block have each code, [BLOCKS, K] by codebook, from the
    arrays of `tokens_job`.
    """
    blocks = images.units.blocks(BLOCKS)
    return {
        name: codebooks.count_codes(arrays[f"tokens.{name}"], blocks, size)
        for name, size in system.codebooks.items()
    }


def _of_lengths(context: Context, sizes: Sizes, system: System, images: Selection) -> Measurement:
    """The first of each code, as much as --keep says. x_T is drawn, as it may hold what is left out."""
    lengths, names = system.lengths or (), context.options.keep
    variant = Variant.of(context, system, sizes.solver, max(sizes.steps), inverts=False)
    whole = Reconstruction(variant, images, (BY_LENGTH,))
    kept = [
        replace(whole, variant=replace(variant, keep=keep)) for keep in names if keep in lengths
    ]

    def numbers(*arrays: Arrays) -> Numbers:
        for shorter, scores in zip(kept, arrays, strict=True):
            yield from _of_table(shorter.place, shorter, scores)
        for (shorter, scores), (longer, more) in pairwise(zip(kept, arrays, strict=True)):
            shares = pairs.worse_with_more(scores["mse"], more["mse"], images.units)
            yield from shorter.place.also(longer=longer.variant.keep).numbers(shares)
        for keep in names if lengths else (None,):
            if keep not in lengths:
                missing = {"worse_with_more": pairs.no_other_length(lengths)}
                yield from whole.place.at(setting=str(keep or "")).numbers(missing)
        if kept:
            shown = [torch.from_numpy(scores["preview"]) for scores in arrays]
            whole.place.draw(
                "reconstruction-by-length-{}",
                "reconstruction by length of the code",
                [images.batch(np.arange(PREVIEW)[: len(images)]), *shown],
                rows=("input", *(f"first {shorter.variant.keep}" for shorter in kept)),
                caption="The first held-out images, none chosen, from the first of their codes alone.",
            )

    return Measurement([shorter.job for shorter in kept], numbers)


def _of_table(place: Place, reconstruction: Reconstruction, scores: Arrays) -> Numbers:
    """The scores and sizes that a table shows."""
    images, perceptual = reconstruction.images, place.context.networks.perceptual
    described = {name: DESCRIBED[name] for name in ("ssim", "ssim_valid")}
    of_images = place.also(**described, **perceptual.describe())
    (shown,) = (spec.metrics for spec in TABLES if spec.name == place.table)
    seen_as = {"lpips": perceptual.metric_name}
    names = [seen_as.get(name, name) for name in OF_PAIRS if name in shown and name != "ms_ssim"]
    means = pairs.estimates({name: scores[name] for name in names}, images.units)
    if place.table == TABLE1:
        means = {name: noting_enlarged(mean, images) for name, mean in means.items()}
    sizes = {metric: size for metric, size in reconstruction.sizes.items() if metric in shown}
    yield from of_images.numbers(means | sizes)


def noting_enlarged(mean: Estimate, images: Selection) -> Estimate:
    """A mean over images whose notes say what it is without the enlarged ones, where there are some."""
    enlarged = images.dataset.enlarged
    if enlarged is None or mean.scores is None:
        return mean
    small = enlarged[mean.scores.images]
    if not small.any() or small.all():
        return mean
    without = np.mean(mean.scores.values[~small], dtype=np.float64)
    count, side = f"{small.sum():,} of {len(small):,} images", images.dataset.image_size
    note = f"{count} are smaller than {side} px and were enlarged; without them {without:.4g}"
    return replace(mean, notes=(*mean.notes, note))


def _of_table1(
    place: Place, images: Selection, scores: Arrays, features: Sequence[Arrays]
) -> Numbers:
    """The numbers that Table 1 has beyond those of Table 2.

    Both sides of a distance are of the same images, so a block is left out of both at once.
    """
    context, side = place.context, place.context.dataset.image_size
    for network, of_originals in zip(context.networks.features, features, strict=True):
        of_sets = place.also(originals="the same images", **network.describe())
        decoded = side_of(context, images, scores[network.array])
        originals = side_of(context, images, of_originals["features"])
        estimates = set_estimates(context, network, OF_SETS, decoded, originals)
        yield from of_sets.numbers(estimates)
    ms_ssim = {"ms_ssim": pairs.no_ms_ssim(side, side)}
    if "ms_ssim" in scores:
        ms_ssim = pairs.estimates({"ms_ssim": scores["ms_ssim"]}, images.units)
    yield from place.also(ms_ssim=DESCRIBED["ms_ssim"]).numbers(ms_ssim)


BENCHMARK = Benchmark(
    name="reconstruction",
    headline=lambda context: "ssim",
    needs=frozenset({ENCODE, DECODE}),
    random=lambda row: row.setting == f"x_T {RANDOM}",
    run=run,
    sizes=Sizes,
    tables=TABLES,
)
