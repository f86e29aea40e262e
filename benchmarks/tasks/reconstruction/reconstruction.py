"""Reconstruction: Tables 1 and 2 of the paper.

Every image is encoded and decoded with the same number of steps T; x_T is inverted from the image,
or drawn at random, which shows what z_sem alone retains. Scores are kept per image. A second
solver (`beside`) is measured at its own T; a table by network calls compares it with the paper's
DDIM. For the decodes of Table 1 there are also the distances to their originals as sets, of which
the Frechet distance is the first column in papers on tokenizers, and for quantised codes the use of
their codebooks. With --keep, codes are decoded from their beginning alone, too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.core.images import Selection, preview, save_images
from benchmarks.core.plan import comparisons
from benchmarks.core.sizes import Count, InvertingSolver, Split, Steps
from benchmarks.core.store import CHUNK, Arrays, Computation
from benchmarks.metrics import codebooks, pairs
from benchmarks.metrics.pairs import DESCRIBED, PIXEL_METRICS, PairNetwork
from benchmarks.metrics.sets.jackknife import BLOCKS
from benchmarks.metrics.ssim import too_small
from benchmarks.plugin import Benchmark, Cell, Context, Measurement, Record, Solved
from benchmarks.systems.protocol.base import (
    DECODE,
    ENCODE,
    SEMANTIC,
    STOCHASTIC,
    Code,
    System,
    parts_of,
)
from benchmarks.systems.protocol.checked import cut, join
from benchmarks.systems.protocol.parts import length
from benchmarks.tasks.reconstruction.by_protocol import ByProtocol
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
from benchmarks.tasks.shared.distances import set_records, side_of
from diffae.eight_bit import to_uint8
from reports.records.estimate import Estimate

INVERTED, RANDOM = "x_T inverted", "x_T random"
PREVIEW, KEPT = 8, "decoded"
# Images that are reconstructed worst, decoded again for a picture: a mean does not show them.
WORST = 4
NOTED = {"ssim": "SSIM {:.3f}", "mse": "MSE {:.2g}"}
INPUTS = "inputs"  # the folder of --save-images with which the others are compared


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
    if context.images is not None:
        _save_inputs(context, images)
    networks, n = context.networks.features, len(images)
    for network in networks:  # of the originals, so that a dry run counts them
        context.codes.real_features(images, network)
    shown: dict[str, Tensor] = {}
    for reconstruction in _reconstructions(context, sizes, system, images):
        fits = []
        if reconstruction.in_table1:
            for title in ("kernel distance", "overlap"):
                fits += comparisons(len(networks), title, n, n)
        reduce = partial(_reduced, reconstruction, shown)
        yield Measurement([reconstruction.computation], reduce, fits)
    at = Solved.of(context, system, sizes.solver, None)
    yield Measurement([], partial(_rest, at, images, shown))
    if context.options.keep:
        yield _of_lengths(context, sizes, system, images)


@dataclass(frozen=True)
class Reconstruction:
    """How the images are reconstructed, and the tables that show it; `setting` says how x_T is found,
    and `keep` how much of a code is decoded (None: all).
    """

    at: Solved
    images: Selection
    setting: str
    tables: tuple[str, ...]
    by_protocol: ByProtocol | None = None
    keep: int | None = None

    @property
    def in_table1(self) -> bool:
        return TABLE1 in self.tables

    @property
    def keeps(self) -> bool:
        """Whether the decoded images are kept, for --save-images."""
        return self.in_table1 and self.at.context.images is not None

    @cached_property
    def cell(self) -> Cell:
        fields: dict[str, Any] = {"x_T": self.setting, "split": self.images.split}
        fields |= {} if self.keep is None else {"keep": self.keep}
        setting = self.setting if self.keep is None else str(self.keep)
        cell = Cell(self.at.context, self.tables[0], self.at, setting=setting, fields=fields)
        return cell.but(split=self.images.split, n=len(self.images))

    @cached_property
    def sizes(self) -> dict[str, Estimate]:
        """The size of what is decoded; an x_T drawn at random does not count."""
        system = self.at.system
        side = system.image_size or self.images.dataset.image_size
        numbers = system.semantic_dim if self.setting == RANDOM else system.latent_dim
        share = 1.0 if self.keep is None else self.keep / (length(parts_of(system)) or 1)
        bits = None if system.code_bits is None else share * system.code_bits
        return codebooks.sizes(share * numbers, bits, side)

    @cached_property
    def computation(self) -> Computation:
        """Scores per image, [N] each, and the first few reconstructions under "preview".

        For Table 1 also MS-SSIM, of images that are large enough, features N x d of the
        reconstructions by each network, and what protocols need.
        """
        context, by_protocol = self.at.context, self.by_protocol
        perceptual, side = context.networks.perceptual, context.dataset.image_size
        networks: dict[str, PairNetwork | None] = dict.fromkeys(PIXEL_METRICS)
        networks[perceptual.metric_name] = perceptual
        if not self.in_table1 or too_small(side, side):
            del networks["ms_ssim"]
        more: dict[str, Any] = {"scores": list(networks), "perceptual": perceptual.describe()}
        more |= {"features": context.codes.described()} if self.in_table1 else {}
        more |= {KEPT: "uint8"} if self.keeps else {}
        more |= by_protocol.key if by_protocol else {}

        def compute(positions: np.ndarray) -> Arrays:
            originals, as_decoded = self.images.batch(positions), self._decoded(positions)
            output = context.resized(as_decoded.clamp(-1, 1))
            arrays: Arrays = pairs.scores_of(networks, output, originals)
            arrays["preview"] = preview(positions, output, PREVIEW)
            if self.keeps:
                arrays[KEPT] = to_uint8(output).numpy()
            if by_protocol:
                arrays |= by_protocol.compute(output, context.resized(as_decoded), originals)
            return arrays | (context.codes.embed(output) if self.in_table1 else {})

        title = f"decode, {self.setting}" if self.setting else "decode"
        title += "" if self.keep is None else ", of the first of the code"
        computation = self.cell.computation("reconstruction", title, self.images, compute, **more)
        return replace(computation, without=(KEPT,))

    def _decoded(self, positions: np.ndarray) -> Tensor:
        at, images, code = self.at, self.images, self.at.codes(self.images, positions)
        if self.setting == RANDOM:
            code = at.random(code.semantic, images.order[positions].tolist())
        unclamped = self.by_protocol and self.by_protocol.unclamped
        system = at.system.unclamped() if unclamped else at.system
        return system.decode(code, at.T, **({"keep": self.keep} if self.keep else {})).cpu()


def _reconstructions(
    context: Context, sizes: Sizes, system: System, images: Selection
) -> Iterator[Reconstruction]:
    solved = partial(Solved.of, context, system)
    ours, beside = solved(sizes.solver, None), solved(sizes.beside, None)
    by_calls = (BY_CALLS,) if ours.system.solver is not None else ()
    settings = _settings(system)
    for setting in settings:
        inverts = setting == INVERTED
        by_protocol = ByProtocol(context) if setting == settings[0] else None
        if not system.iterative:
            at = solved(sizes.solver, None, inverts=inverts)
            yield Reconstruction(at, images, setting, (TABLE1,), by_protocol)
            continue
        for steps in sizes.steps:
            at, largest = solved(sizes.solver, steps, inverts=inverts), steps == max(sizes.steps)
            tables = (TABLE2, TABLE1, *by_calls) if largest else (TABLE2, *by_calls)
            yield Reconstruction(at, images, setting, tables, by_protocol if largest else None)
        if beside.system.solver != ours.system.solver:
            for steps in sizes.beside_steps:
                at = solved(sizes.beside, steps, inverts=inverts)
                yield Reconstruction(at, images, setting, by_calls)


def _settings(system: System) -> tuple[str, ...]:
    if STOCHASTIC not in system.capabilities:
        return ("",)
    if SEMANTIC in system.capabilities:
        return (INVERTED, RANDOM)
    return (INVERTED,)  # without z_sem a random x_T reconstructs nothing


def _reduced(
    reconstruction: Reconstruction, shown: dict[str, Tensor], scores: Arrays
) -> Iterator[Record]:
    """The numbers of a reconstruction. The first few images of Table 1 are added to `shown`."""
    at, images = reconstruction.at, reconstruction.images
    if reconstruction.keeps:
        _save_reconstructions(reconstruction)
    for table in reconstruction.tables:
        yield from _rows(reconstruction.cell.but(table=table), reconstruction, scores)
    if reconstruction.by_protocol:
        yield from reconstruction.by_protocol.records(at, images, scores)
    if reconstruction.in_table1:
        shown[reconstruction.setting] = torch.from_numpy(scores["preview"])
        if reconstruction.setting != RANDOM:
            _save_worst(reconstruction.cell.but(setting=""), at, images, scores)


def _rest(at: Solved, images: Selection, shown: Mapping[str, Tensor]) -> Iterator[Record]:
    """The sheet of all reconstructions, and the use of each codebook on the images if there are any."""
    cell = Cell(at.context, CODEBOOKS, at.system)
    cell.draw(
        "reconstruction-{}",
        "reconstruction",
        [images.batch(np.arange(PREVIEW)[: len(images)]), *shown.values()],
        rows=("input", *(setting or "reconstruction" for setting in shown)),
        caption="The first held-out images, none chosen, decoded at the largest T (Fig. 3).",
    )
    cell = cell.but(split=images.split, n=len(images)).also(split=images.split)
    for name, counts in counts_of_codes(at, images).items():
        yield from cell.records(codebooks.use(counts, images.units), setting=name)


def counts_of_codes(at: Solved, images: Selection) -> dict[str, NDArray[np.int64]]:
    """How often the images of each jackknife block have each code, [BLOCKS, K] by codebook."""
    books = at.system.codebooks
    if not books or not len(images):
        return {}

    def compute(positions: np.ndarray) -> Arrays:
        tokens = at.system.tokens(at.codes(images, positions))
        return {
            f"tokens.{name}": codes.cpu().numpy().astype(np.min_scalar_type(size - 1))
            for (name, size), codes in zip(books.items(), tokens, strict=True)
        }

    key = at.context.codes.key("codebooks", at.system, images) | {"tokens of": dict(books)}
    computation = Computation("codebooks", key, len(images), compute)
    counts = {name: np.zeros((BLOCKS, size), np.int64) for name, size in books.items()}
    first, blocks = 0, images.units.blocks(BLOCKS)
    for chunk in at.context.store.chunks(computation):
        for name, size in books.items():
            tokens = chunk[f"tokens.{name}"]
            counts[name] += codebooks.count_codes(tokens, blocks[first : first + len(tokens)], size)
        first += len(tokens)
    return counts


def _of_lengths(context: Context, sizes: Sizes, system: System, images: Selection) -> Measurement:
    """The first of each code, as much as --keep says. x_T is drawn, as it may hold what is left out."""
    lengths = system.lengths or ()
    at = Solved.of(context, system, sizes.solver, max(sizes.steps), inverts=False)
    whole = Reconstruction(at, images, _settings(system)[-1], (BY_LENGTH,))
    kept = [replace(whole, keep=keep) for keep in context.options.keep if keep in lengths]

    def reduce(*arrays: Arrays) -> Iterator[Record]:
        for shorter, scores in zip(kept, arrays, strict=True):
            yield from _rows(shorter.cell, shorter, scores)
        for (shorter, scores), (longer, more) in pairwise(zip(kept, arrays, strict=True)):
            shares = pairs.worse_with_more(scores["mse"], more["mse"], images.units)
            yield from shorter.cell.also(longer=longer.keep).records(shares)
        for keep in context.options.keep if lengths else (None,):
            if keep not in lengths:
                missing = pairs.no_other_length(lengths)
                yield whole.cell.record("worse_with_more", missing, setting=str(keep or ""))
        if kept:
            shown = [torch.from_numpy(scores["preview"]) for scores in arrays]
            whole.cell.draw(
                "reconstruction-by-length-{}",
                "reconstruction by length of the code",
                [images.batch(np.arange(PREVIEW)[: len(images)]), *shown],
                rows=("input", *(f"first {shorter.keep}" for shorter in kept)),
                caption="The first held-out images, none chosen, from the first of their codes alone.",
            )

    return Measurement([shorter.computation for shorter in kept], reduce)


def _rows(cell: Cell, reconstruction: Reconstruction, scores: Arrays) -> Iterator[Record]:
    """The rows of one table."""
    images, perceptual = reconstruction.images, cell.context.networks.perceptual
    if cell.table == TABLE1:
        yield from _of_table1(cell, images, scores)
    described = {name: DESCRIBED[name] for name in ("ssim", "ssim_valid")}
    of_images = cell.also(**described, **perceptual.describe())
    (shown,) = (spec.metrics for spec in TABLES if spec.name == cell.table)
    seen_as = {"lpips": perceptual.metric_name}
    names = [seen_as.get(name, name) for name in OF_PAIRS if name in shown and name != "ms_ssim"]
    means = pairs.estimates({name: scores[name] for name in names}, images.units)
    sizes = {metric: size for metric, size in reconstruction.sizes.items() if metric in shown}
    yield from of_images.records(means | sizes)


def _of_table1(cell: Cell, images: Selection, scores: Arrays) -> Iterator[Record]:
    """The rows that Table 1 has beyond those of Table 2.

    Both sides of a distance are of the same images, so a block is left out of both at once.
    """
    context, side = cell.context, cell.context.dataset.image_size
    for network in context.networks.features:
        of_sets = cell.also(originals="the same images", **network.describe())
        both = scores[network.array], context.codes.real_features(images, network)
        decoded, originals = (side_of(context, images, features) for features in both)
        yield from set_records(of_sets, network, OF_SETS, decoded, originals)
    ms_ssim = {"ms_ssim": pairs.no_ms_ssim(side, side)}
    if "ms_ssim" in scores:
        ms_ssim = pairs.estimates({"ms_ssim": scores["ms_ssim"]}, images.units)
    yield from cell.also(ms_ssim=DESCRIBED["ms_ssim"]).records(ms_ssim)


# ----------------------------------------------------------------------------------------------
# Pictures and single images


def _save_worst(cell: Cell, at: Solved, images: Selection, scores: Arrays) -> None:
    """Save a picture of the images of the lowest SSIM, the worst first, with their scores under them."""
    context = cell.context
    if context.pictures is None:
        return
    worst = np.argsort(scores["ssim"], kind="stable")[:WORST]

    def decode() -> Tensor:
        return at.decode(join([_code(at, images, int(p)) for p in worst]))

    decoded = cell.pictured(images, worst, decode)
    notes = [", ".join(f.format(scores[name][p]) for name, f in NOTED.items()) for p in worst]
    cell.draw(
        "reconstruction-worst-{}",
        "the worst reconstructions",
        [images.batch(worst), decoded],
        rows=("input", "reconstruction"),
        columns=[context.dataset.name_of(int(i)).split("/")[-1] for i in images.order[worst]],
        caption=f"Those of the lowest SSIM of {len(images):,} images, the worst first.",
        notes=[[""] * len(worst), notes],
    )


def _code(at: Solved, images: Selection, position: int) -> Code:
    """The full code of a single image, from its chunk in the store."""
    start = position - position % CHUNK
    code = at.codes(images, np.arange(start, min(start + CHUNK, len(images))))
    return cut(code, slice(position - start, position - start + 1))


def _save_inputs(context: Context, images: Selection) -> None:
    """Save the images at the size of the comparison."""
    for start in range(0, len(images), CHUNK):
        indices = images.order[start : start + CHUNK]
        pixels = to_uint8(images.dataset.batch(indices)).numpy()
        save_images(context.images / INPUTS, pixels, indices.tolist())  # type: ignore[operator]


def _save_reconstructions(reconstruction: Reconstruction) -> None:
    """Save the decoded images, one chunk at a time: they may be many."""
    at, images = reconstruction.at, reconstruction.images
    context, name = at.context, at.system.name
    if reconstruction.setting == RANDOM:
        name += "-random"
    for first, chunk in enumerate(context.store.chunks(reconstruction.computation)):
        indices = images.order[first * CHUNK :][: len(chunk[KEPT])].tolist()
        save_images(context.images / name, chunk[KEPT], indices)  # type: ignore[operator]


BENCHMARK = Benchmark(
    name="reconstruction",
    headline=lambda context: "ssim",
    needs=frozenset({ENCODE, DECODE}),
    random=lambda row: row.setting == RANDOM,
    run=run,
    sizes=Sizes,
    tables=TABLES,
)
