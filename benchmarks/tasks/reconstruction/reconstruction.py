"""Reconstruction: Tables 1 and 2 of the paper.

Every image is encoded and decoded with the same number of steps T; x_T is inverted from the image,
or drawn at random, which shows what z_sem alone retains. Scores are kept per image. A second
solver (`beside`) is measured at its own T; a table by network calls compares it with the paper's
DDIM. For the decodes of Table 1 there are also the distances to their originals as sets, of which
the Frechet distance is the first column in papers on tokenizers, and for quantised codes the use of
their codebooks.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.benchmark import Benchmark
from benchmarks.core.context import Context
from benchmarks.core.images import preview, save_images
from benchmarks.core.measurement import Cell, Measurement, Solved
from benchmarks.core.selection import Selection
from benchmarks.core.sizes import Count, InvertingSolver, Split, Steps
from benchmarks.core.store import CHUNK, Arrays, Computation
from benchmarks.metrics.frechet_jackknife import BLOCKS, Side
from benchmarks.metrics.plain import DESCRIBED, PLAIN
from benchmarks.metrics.ssim import too_small
from benchmarks.systems.protocol.base import DECODE, ENCODE, SEMANTIC, STOCHASTIC, Code, System
from benchmarks.systems.protocol.checked import cut, join
from benchmarks.tasks.reconstruction.by_protocol import SPEC as BY_PROTOCOL
from benchmarks.tasks.reconstruction.by_protocol import ByProtocol
from benchmarks.tasks.reconstruction.codebook_use import uses
from benchmarks.tasks.shared.distances import PAIRED, overlap_rows, paired_rows
from diffae.eight_bit import to_uint8
from reports.records.metrics import published_name, seen_through
from reports.records.record import Record
from reports.records.specs import TableSpec

TABLE1, TABLE2, BY_CALLS = "table1_reconstruction", "table2_ablation", "table2_by_calls"
CODEBOOKS = "codebooks"
SIZES = ("latent_dim", "compression", "code_bits", "bits_per_pixel")  # of a code
SCORES = ("ssim", "ssim_valid", "lpips", "mse", "psnr")  # of an image
OVERLAP = ("precision", "recall")
METRICS = (*SIZES, *PAIRED, *OVERLAP, *SCORES, "ms_ssim")
# The metrics that each table shows.
SHOWN = {
    TABLE1: METRICS,
    TABLE2: ("latent_dim", "code_bits", *SCORES),
    BY_CALLS: ("ssim", "lpips", "mse"),
}
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


@dataclass(frozen=True)
class Way:
    """One way to reconstruct the images, and the tables that show it; `setting` says how x_T is found."""

    at: Solved
    setting: str
    tables: tuple[str, ...]


def run(context: Context, system: System) -> Iterator[Measurement]:
    sizes = context.sizes(Sizes)
    images = context.select(sizes.split, sizes.images)
    if context.images is not None:
        _save_inputs(context.images / INPUTS, images)
    for network in context.networks.features:  # of the originals, so that a dry run counts them
        context.codes.real_features(images, network)
    ways, shown = list(_ways(context, sizes, system)), dict[str, Tensor]()
    first = next(way for way in ways if TABLE1 in way.tables)
    for way in ways:
        yield _reconstructed(way, images, ByProtocol(context) if way is first else None, shown)
    yield Measurement([], partial(_rest, first.at, images, shown))


def _rest(at: Solved, images: Selection, shown: Mapping[str, Tensor]) -> Iterator[Record]:
    """The sheet of all ways, and the rows of codebooks."""
    cell = Cell(at.context, CODEBOOKS, at.system)
    cell.draw(
        "reconstruction-{}",
        "reconstruction",
        [images.batch(np.arange(PREVIEW)[: len(images)]), *shown.values()],
        rows=("input", *(setting or "reconstruction" for setting in shown)),
        caption="The first held-out images, none chosen, decoded at the largest T (Fig. 3).",
    )
    of = {"split": images.split, "n": len(images), "fields": {"split": images.split}}
    yield from _codebooks(cell.but(**of), replace(at, steps=1), images)


def _ways(context: Context, sizes: Sizes, system: System) -> Iterator[Way]:
    of = partial(Solved.of, context, system)
    ours, beside = of(sizes.solver, None), of(sizes.beside, None)
    by_calls = (BY_CALLS,) if ours.system.solver is not None else ()
    for setting in _settings(system):
        inverts = setting == INVERTED
        if not system.iterative:
            yield Way(of(sizes.solver, None, inverts=inverts), setting, (TABLE1,))
            continue
        for steps in sizes.steps:
            table1 = (TABLE1,) if steps == sizes.steps[-1] else ()
            at = of(sizes.solver, steps, inverts=inverts)
            yield Way(at, setting, (TABLE2, *table1, *by_calls))
        if beside.system.solver != ours.system.solver:
            for steps in sizes.beside_steps:
                yield Way(of(sizes.beside, steps, inverts=inverts), setting, by_calls)


def _settings(system: System) -> tuple[str, ...]:
    if STOCHASTIC not in system.capabilities:
        return ("",)
    if SEMANTIC in system.capabilities:
        return (INVERTED, RANDOM)
    return (INVERTED,)  # without z_sem a random x_T reconstructs nothing


def _reconstructed(
    way: Way, images: Selection, by_protocol: ByProtocol | None, shown: dict[str, Tensor]
) -> Measurement:
    """The numbers of one way. The first few reconstructions of Table 1 are added to `shown`."""
    context, at, first_table = way.at.context, way.at, TABLE1 in way.tables
    fields = {"x_T": way.setting, "split": images.split}
    of = {"setting": way.setting, "n": len(images)}
    cell = Cell(context, "", at, split=images.split, fields=fields).but(**of)
    keeps = first_table and context.images is not None
    found = replace(_scores(cell, way, images, by_protocol, keeps), without=(KEPT,))

    def reduce(scores: Arrays) -> Iterator[Record]:
        if keeps and context.images is not None:
            name = f"{at.system.name}{'-random' if way.setting == RANDOM else ''}"
            _save_reconstructions(context.images / name, context, found, images)
        for table in way.tables:
            yield from _rows(cell.but(table=table), images, scores)
        if by_protocol:
            yield from by_protocol.records(at, images, scores)
        if first_table:
            shown[way.setting] = torch.from_numpy(scores["preview"])
            if way.setting != RANDOM:
                _save_worst(cell.but(setting=""), at, images, scores)

    return Measurement([found], reduce)


def _scores(
    cell: Cell, way: Way, images: Selection, by_protocol: ByProtocol | None, keeps: bool
) -> Computation:
    """Scores per image, [N] each, and the first few reconstructions under "preview".

    For Table 1 also MS-SSIM, of images that are large enough, features N x d of the reconstructions
    by each network, and what protocols need.
    """
    context, at, first_table = cell.context, way.at, TABLE1 in way.tables
    perceptual, side = context.networks.perceptual, context.dataset.image_size
    scores: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        **PLAIN,
        perceptual.metric_name: perceptual,
    }
    if not first_table or too_small(side, side):
        del scores["ms_ssim"]
    more: dict[str, Any] = {"scores": list(scores), "perceptual": perceptual.describe()}
    more |= {"features": context.codes.described()} if first_table else {}
    more |= {KEPT: "uint8"} if keeps else {}
    more |= by_protocol.key if by_protocol else {}

    def compute(positions: np.ndarray) -> Arrays:
        originals, code = images.batch(positions), at.codes(images, positions)
        if way.setting == RANDOM:
            code = at.random(code.semantic, images.order[positions].tolist())
        decoder = at.system.unclamped() if by_protocol and by_protocol.unclamped else at.system
        as_decoded = decoder.decode(code, at.T).cpu()
        output = context.resized(as_decoded.clamp(-1, 1))
        found = {name: score(output, originals).cpu().numpy() for name, score in scores.items()}
        found["preview"] = preview(positions, output, PREVIEW)
        if keeps:
            found[KEPT] = to_uint8(output).numpy()
        if by_protocol:
            found |= by_protocol.compute(output, context.resized(as_decoded), originals)
        return found | (context.codes.embed(output) if first_table else {})

    what = f"decode, {way.setting}" if way.setting else "decode"
    return cell.computation("reconstruction", what, images, compute, **more)


def _rows(cell: Cell, images: Selection, scores: Arrays) -> Iterator[Record]:
    """The rows of one table."""
    context, system, setting, table = cell.context, cell.system, cell.setting, cell.table
    perceptual = context.networks.perceptual
    of_images = cell.also(
        ssim=DESCRIBED["ssim"], ssim_valid=DESCRIBED["ssim_valid"], **perceptual.describe()
    )
    assert system is not None
    sizes = _sizes(context, system, setting)
    if table == TABLE1:
        yield from _of_table1(cell, images, scores)
    names = ("ssim", "ssim_valid", perceptual.metric_name, "mse", "psnr")
    shown = {name: scores[name] for name in names if published_name(name) in SHOWN[table]}
    yield from of_images.means(images, shown)
    for name, value in sizes.items():
        if name in SHOWN[table]:
            yield of_images.row(name, value)
    if table == TABLE1 and "bits_per_pixel" not in sizes:
        note = "not quantised: its code is of real numbers"
        yield of_images.row("bits_per_pixel", None, note=note)


def _of_table1(cell: Cell, images: Selection, scores: Arrays) -> Iterator[Record]:
    """The rows that Table 1 has beyond those of Table 2.

    Both sides of a distance are of the same images, so a block is left out of both at once.
    """
    context, side = cell.context, cell.context.dataset.image_size
    blocks, units = images.blocks(BLOCKS), images.units("blocks")
    for network in context.networks.features:
        of = cell.also(originals="the same images", **network.describe())
        both = scores[network.array], context.codes.real_features(images, network)
        decoded, originals = (Side.of(x, blocks, units, context.device) for x in both)
        names = {metric: seen_through(metric, network.network) for metric in PAIRED}
        yield from paired_rows(of, names, decoded, originals)
        yield from overlap_rows(of, network, OVERLAP, decoded, originals)
    of = cell.also(ms_ssim=DESCRIBED["ms_ssim"])
    if "ms_ssim" in scores:
        yield from of.means(images, {"ms_ssim": scores["ms_ssim"]})
    else:
        yield of.row("ms_ssim", None, note=too_small(side, side))


def _sizes(context: Context, system: System, setting: str) -> dict[str, float]:
    """The size of a code, as papers count it; an x_T drawn at random does not count."""
    side = system.image_size or context.dataset.image_size
    numbers = float(system.semantic_dim if setting == RANDOM else system.latent_dim)
    found = {"latent_dim": numbers, "compression": 3 * side**2 / numbers}
    if system.code_bits is not None:
        found |= {"code_bits": system.code_bits, "bits_per_pixel": system.code_bits / side**2}
    return found


def _codebooks(cell: Cell, at: Solved, images: Selection) -> Iterator[Record]:
    """The use of each codebook on the images; nothing for a system without any."""
    for use in uses(at, images):
        of = cell.but(setting=use.name)
        yield of.row("code_bits", math.log2(use.counts.shape[1]))
        yield of.row("codebook_use", use.share)
        yield of.row("perplexity", use.perplexity, use.uncertainty(images))


def _save_worst(cell: Cell, at: Solved, images: Selection, scores: Arrays) -> None:
    """Save a picture of the images of the lowest SSIM, the worst first, with their scores under them."""
    context = cell.context
    if context.pictures is None:
        return
    found = np.argsort(scores["ssim"], kind="stable")[:WORST]

    def compute() -> Arrays:
        return {"images": at.decode(join([_code(at, images, int(p)) for p in found])).numpy()}

    key = cell.key("worst", images, worst=found.tolist())
    decoded = torch.from_numpy(context.store.once(key, compute)["images"])
    notes = [", ".join(f.format(scores[name][p]) for name, f in NOTED.items()) for p in found]
    cell.draw(
        "reconstruction-worst-{}",
        "the worst reconstructions",
        [images.batch(found), decoded],
        rows=("input", "reconstruction"),
        columns=[context.dataset.name_of(int(i)).split("/")[-1] for i in images.order[found]],
        caption=f"Those of the lowest SSIM of {len(images):,} images, the worst first.",
        notes=[[""] * len(found), notes],
    )


def _code(at: Solved, images: Selection, position: int) -> Code:
    """The full code of a single image, from its chunk in the store."""
    start = position - position % CHUNK
    code = at.codes(images, np.arange(start, min(start + CHUNK, len(images))))
    return cut(code, slice(position - start, position - start + 1))


def _save_inputs(folder: Path, images: Selection) -> None:
    """Save the images at the size of the comparison."""
    for start in range(0, len(images), CHUNK):
        indices = images.order[start : start + CHUNK]
        save_images(folder, to_uint8(images.dataset.batch(indices)).numpy(), indices.tolist())


def _save_reconstructions(
    folder: Path, context: Context, found: Computation, images: Selection
) -> None:
    """Save the decoded images, one chunk at a time: they may be many."""
    chunks = context.store.chunks(dict(found.key), found.count, found.compute)
    for first, chunk in enumerate(chunks):
        indices = images.order[first * CHUNK :][: len(chunk[KEPT])].tolist()
        save_images(folder, chunk[KEPT], indices)


TABLES = (
    TableSpec(
        name=TABLE1,
        title="Table 1: reconstruction",
        caption=(
            "Autoencoding of held-out images, inverted and decoded with the same T. SSIM is the "
            "paper's (zero padding); SSIM (valid) leaves out the border. The distances (rKID, rFID, or rkd_, rfd_ with "
            "the name of another network) are of the reconstructions and their originals as two sets: perfect ones have 0, "
            "at any n. Precision: the share of reconstructions among their originals (in a ball that reaches to the third "
            "nearest); recall: the share of originals among the reconstructions."
        ),
        rows=("system", "setting", "steps", "solver", "calls"),
        columns=("metric",),
        metrics=METRICS,
        largest_steps=True,
        headline=("ssim", "lpips", "mse"),
        order=10,
    ),
    BY_PROTOCOL,
    TableSpec(
        name=CODEBOOKS,
        title="Codebooks",
        caption=(
            "How quantised codes use their codebooks on the images of Table 1: bits of one code, the share of codes that "
            "occur (it grows with the images), and the perplexity of their shares."
        ),
        rows=("system", "setting"),
        columns=("metric",),
        metrics=("code_bits", "codebook_use", "perplexity"),
        order=95,
    ),
    TableSpec(
        name=TABLE2,
        title="Table 2: reconstruction by number of steps",
        caption="As Table 1, at each T, with the stochastic code inverted or drawn at random.",
        rows=("system", "setting"),
        columns=("steps",),
        metrics=SHOWN[TABLE2],
        panels=True,
        order=20,
    ),
    TableSpec(
        name=BY_CALLS,
        title="Table 2 by network calls",
        caption=(
            "As Table 2, by network calls per image for inversion and decoding (x_T random: decoding only). ddim is the "
            "paper's solver; rows with a different solver are ours and have no counterpart in the paper."
        ),
        rows=("system", "setting", "solver"),
        columns=("calls",),
        metrics=SHOWN[BY_CALLS],
        panels=True,
        order=21,
    ),
)

BENCHMARK = Benchmark(
    name="reconstruction",
    table=TABLE1,
    headline=lambda context: "ssim",
    needs=frozenset({ENCODE, DECODE}),
    run=run,
    sizes=Sizes,
    tables=TABLES,
)
