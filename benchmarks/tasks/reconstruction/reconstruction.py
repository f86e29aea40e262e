"""Reconstruction: Tables 1 and 2 of the paper.

Every image is encoded and decoded with the same number of steps T; x_T is inverted from the image,
or drawn at random, which shows what z_sem alone retains. Scores are kept per image. A second
solver (`beside`) is measured at its own T; a table by network calls compares it with the paper's
DDIM. For the decodes of Table 1 there are also the distances to their originals as sets, of which
the Frechet distance is the first column in papers on tokenizers, and for quantised codes the use of
their codebooks.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.benchmark import Benchmark
from benchmarks.core.context import Context
from benchmarks.core.images import save_images
from benchmarks.core.plan import Calls, Work, by, codes, network_calls, real_features
from benchmarks.core.rows import Protocol
from benchmarks.core.selection import Selection
from benchmarks.core.sizes import Count, InvertingSolver, Split, Steps
from benchmarks.core.solving import Taken
from benchmarks.core.store import CHUNK, Arrays
from benchmarks.metrics import pixel, ssim
from benchmarks.metrics.frechet_jackknife import BLOCKS, Side
from benchmarks.metrics.networks.features import FeatureNetwork
from benchmarks.systems.protocol.base import DECODE, ENCODE, SEMANTIC, STOCHASTIC, Code, System
from benchmarks.systems.protocol.checked import cut, join
from benchmarks.tasks.reconstruction.by_protocol import SPEC as BY_PROTOCOL
from benchmarks.tasks.reconstruction.by_protocol import ByProtocol
from benchmarks.tasks.shared.codebook_use import uses
from benchmarks.tasks.shared.distances import PAIRED, overlap_rows, paired_rows
from benchmarks.tasks.shared.rows import SSIM, means
from diffae.eight_bit import to_uint8
from diffae.sheet import Sheet
from reports.records.metrics import published_name, seen_through
from reports.records.record import Record
from reports.records.specs import TableSpec
from reports.records.uncertainty import UNKNOWN

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
    """One way to reconstruct the images, and the tables that show it.

    The system has its solver, `setting` says how x_T is found, and `steps` is T.
    """

    system: System
    setting: str
    steps: int | None
    tables: tuple[str, ...]


def run(context: Context, system: System) -> Iterator[Record]:
    sizes = context.sizes(Sizes)
    selection = context.select(sizes.split, sizes.images)
    if context.images is not None:
        _save_inputs(context.images / INPUTS, selection)
    shown: dict[str, Tensor] = {}
    by_protocol = ByProtocol(context)
    for way in _ways(sizes, system):
        first = not shown and TABLE1 in way.tables
        scores = score(context, way, selection, by_protocol if first else None)
        yield from _records(context, way, selection, scores)
        if first:
            taken = Taken(way.system, way.steps, inverts=way.setting == INVERTED)
            yield from by_protocol.records(way.system, taken, selection, scores)
        if TABLE1 in way.tables:
            shown[way.setting] = torch.from_numpy(scores["preview"])
            if way.setting != RANDOM:
                _save_worst(context, way.system, selection, way.steps, scores)
    sheet = Sheet(
        f"{system.title}: reconstruction",
        [selection.batch(np.arange(PREVIEW)[: len(selection)]), *shown.values()],
        rows=("input", *(setting or "reconstruction" for setting in shown)),
        caption="The first held-out images, none chosen, decoded at the largest T (Fig. 3).",
        about={"benchmark": "reconstruction", "system": system.title},
    )
    context.save_sheet(f"reconstruction-{system.name}.png", sheet)
    yield from _codebooks(context, system, selection)


def _ways(sizes: Sizes, system: System) -> Iterator[Way]:
    ours, beside = system.solving(sizes.solver), system.solving(sizes.beside)
    by_calls = (BY_CALLS,) if ours.solver is not None else ()
    for setting in _settings(system):
        if not system.iterative:
            yield Way(system, setting, None, (TABLE1,))
            continue
        for steps in sizes.steps:
            table1 = (TABLE1,) if steps == sizes.steps[-1] else ()
            yield Way(ours, setting, steps, (TABLE2, *table1, *by_calls))
        if beside.solver != ours.solver:
            for steps in sizes.beside_steps:
                yield Way(beside, setting, steps, by_calls)


def _settings(system: System) -> tuple[str, ...]:
    if STOCHASTIC not in system.capabilities:
        return ("",)
    if SEMANTIC in system.capabilities:
        return (INVERTED, RANDOM)
    return (INVERTED,)  # without z_sem a random x_T reconstructs nothing


def score(
    context: Context, way: Way, selection: Selection, by_protocol: ByProtocol | None = None
) -> Arrays:
    """Scores per image, [N] each, and the first few reconstructions under "preview".

    For Table 1 also MS-SSIM, of images that are large enough, features N x d of the reconstructions
    by each network, and what protocols need.
    """
    system, steps, setting, first_table = way.system, way.steps, way.setting, TABLE1 in way.tables
    side = context.dataset.image_size
    names: dict[str, Any] = dict(context.networks.perceptual.describe())
    if first_table:
        names["features"] = context.codes.described()
    of_scales = {"ms_ssim": ssim.ms_ssim} if first_table and not ssim.too_small(side, side) else {}
    keeps = first_table and context.images is not None
    key = context.codes.key("reconstruction", system, selection) | {
        **({KEPT: "uint8"} if keeps else {}),
        **({"scales": list(of_scales)} if of_scales else {}),
        "setting": setting,
        "steps": steps,
        "seed": context.seed,
        "perceptual": names,
        **(by_protocol.key if by_protocol else {}),
    }

    def compute(positions: np.ndarray) -> Arrays:
        images = selection.batch(positions)
        code = context.codes.full(system, selection, positions, steps or 1)
        if setting == RANDOM:
            indices = selection.order[positions]
            code = replace(code, x_T=system.random_x_T(indices.tolist(), context.seed))
        decoder = system.unclamped() if by_protocol and by_protocol.unclamped else system
        as_decoded = decoder.decode(code, steps or 1).cpu()
        output = context.resized(as_decoded.clamp(-1, 1))
        arrays = {
            "ssim": ssim.ssim(output, images),
            "ssim_valid": ssim.ssim_valid(output, images),
            context.networks.perceptual.metric_name: context.networks.perceptual(output, images),
            "mse": pixel.mse(output, images),
            "psnr": pixel.psnr(output, images),
            **{name: score(output, images) for name, score in of_scales.items()},
        }
        arrays["preview"] = output[: PREVIEW if positions[0] == 0 else 0]
        found = {name: value.cpu().numpy() for name, value in arrays.items()}
        if keeps:
            found[KEPT] = to_uint8(output).numpy()
        if by_protocol:
            found |= by_protocol.compute(output, context.resized(as_decoded), images)
        return found | (context.codes.embed(output) if first_table else {})

    if keeps and context.images is not None:  # one chunk at a time: they may be many
        kept = context.images / f"{system.name}{'-random' if setting == RANDOM else ''}"
        for first, chunk in enumerate(context.store.chunks(key, len(selection), compute)):
            indices = selection.order[first * CHUNK :][: len(chunk[KEPT])].tolist()
            save_images(kept, chunk[KEPT], indices)
    return context.store.arrays(key, len(selection), compute, without=(KEPT,))


def _records(context: Context, way: Way, selection: Selection, scores: Arrays) -> Iterator[Record]:
    system, setting, perceptual = way.system, way.setting, context.networks.perceptual
    taken = Taken(system, way.steps, inverts=setting == INVERTED)
    of: dict[str, Any] = {"split": selection.split, "n": len(selection)}
    protocol = partial(context.protocol, "reconstruction", **of, x_T=setting, **taken.protocol)
    of_images = protocol(
        ssim=SSIM,
        ssim_valid="11 x 11 Gaussian, sigma 1.5, valid windows, range [0, 1] (piq, no downsampling)",
        **perceptual.describe(),
    )
    fields = {**of, "setting": setting, **taken.row}
    names = ("ssim", "ssim_valid", perceptual.metric_name, "mse", "psnr")
    sizes = _sizes(context, system, setting)
    for table in way.tables:
        row = partial(context.record, "reconstruction", table, system.title, **fields)
        if table == TABLE1:
            yield from _of_table1(context, row, selection, scores, protocol)
        shown = {name: scores[name] for name in names if published_name(name) in SHOWN[table]}
        yield from means(row, selection, shown, protocol=of_images)
        for name, value in sizes.items():
            if name in SHOWN[table]:
                yield row(name, value, protocol=of_images)
        if table == TABLE1 and "bits_per_pixel" not in sizes:
            note = "not quantised: its code is of real numbers"
            yield row("bits_per_pixel", None, protocol=of_images, note=note)


def _of_table1(
    context: Context,
    row: Callable[..., Record],
    selection: Selection,
    scores: Arrays,
    protocol: Callable[..., Protocol],
) -> Iterator[Record]:
    """The rows that Table 1 has beyond those of Table 2."""
    for network in context.networks.features:
        of = protocol(originals="the same images", **network.describe())
        yield from _of_features(context, partial(row, protocol=of), selection, network, scores)
    of_scales = protocol(ms_ssim="5 scales, 11 x 11 Gaussian, sigma 1.5, valid windows")
    if "ms_ssim" in scores:
        shown = {"ms_ssim": scores["ms_ssim"]}
        yield from means(row, selection, shown, protocol=of_scales)
    else:
        side = context.dataset.image_size
        yield row("ms_ssim", None, protocol=of_scales, note=ssim.too_small(side, side))


def _of_features(
    context: Context,
    row: Callable[..., Record],
    selection: Selection,
    network: FeatureNetwork,
    scores: Arrays,
) -> Iterator[Record]:
    """Distances and overlap of the reconstructions and their originals, by one network's features.

    Both sides are of the same images, so a block is left out of both at once.
    """
    blocks, units = selection.blocks(BLOCKS), selection.units("blocks")
    of_originals = context.codes.real_features(selection, network)
    both = scores[network.array], of_originals
    decoded, originals = (Side.of(x, blocks, units, context.device) for x in both)
    names = {metric: seen_through(metric, network.network) for metric in PAIRED}
    yield from paired_rows(context, row, names, decoded, originals)
    yield from overlap_rows(context, row, network, OVERLAP, decoded, originals)


def _sizes(context: Context, system: System, setting: str) -> dict[str, float]:
    """The size of a code, as papers count it; an x_T drawn at random does not count."""
    side = system.image_size or context.dataset.image_size
    numbers = float(system.semantic_dim if setting == RANDOM else system.latent_dim)
    found = {"latent_dim": numbers, "compression": 3 * side**2 / numbers}
    if system.code_bits is not None:
        found |= {"code_bits": system.code_bits, "bits_per_pixel": system.code_bits / side**2}
    return found


def _codebooks(context: Context, system: System, selection: Selection) -> Iterator[Record]:
    """The use of each codebook on the images; nothing for a system without any."""
    of: dict[str, Any] = {"split": selection.split, "n": len(selection)}
    protocol = context.protocol("reconstruction", **of)
    row = partial(context.record, "reconstruction", CODEBOOKS, system.title, protocol=protocol)
    for use in uses(context, system, selection):
        values = {
            "code_bits": (math.log2(use.counts.shape[1]), UNKNOWN),
            "codebook_use": (use.share, UNKNOWN),
            "perplexity": (use.perplexity, use.uncertainty(selection)),
        }
        for metric, (value, uncertainty) in values.items():
            yield row(metric, value, setting=use.name, uncertainty=uncertainty, **of)


def _save_worst(
    context: Context, system: System, selection: Selection, steps: int | None, scores: Arrays
) -> None:
    """Save a picture of the images of the lowest SSIM, the worst first, with their scores under them."""
    if context.pictures is None:
        return
    found = np.argsort(scores["ssim"], kind="stable")[:WORST]

    def compute() -> Arrays:
        code = join([_code(context, system, selection, int(p), steps or 1) for p in found])
        return {"images": context.resized(system.decode(code, steps or 1).cpu()).numpy()}

    key = context.codes.key("worst", system, selection) | {"steps": steps, "images": found.tolist()}
    decoded = torch.from_numpy(context.store.once(key, compute)["images"])
    notes = [", ".join(f.format(scores[name][p]) for name, f in NOTED.items()) for p in found]
    sheet = Sheet(
        f"{system.title}: the worst reconstructions",
        [selection.batch(found), decoded],
        rows=("input", "reconstruction"),
        columns=[context.dataset.name_of(int(i)).split("/")[-1] for i in selection.order[found]],
        caption=f"Those of the lowest SSIM of {len(selection):,} images, the worst first.",
        notes=[[""] * len(found), notes],
        about={"benchmark": "reconstruction", "system": system.title, "steps": steps},
    )
    context.save_sheet(f"reconstruction-worst-{system.name}.png", sheet)


def _code(
    context: Context, system: System, selection: Selection, position: int, steps: int
) -> Code:
    """The full code of a single image, from its chunk in the store."""
    start = position - position % CHUNK
    chunk = np.arange(start, min(start + CHUNK, len(selection)))
    code = context.codes.full(system, selection, chunk, steps)
    return cut(code, slice(position - start, position - start + 1))


def _save_inputs(folder: Path, selection: Selection) -> None:
    """Save the images at the size of the comparison."""
    for start in range(0, len(selection), CHUNK):
        indices = selection.order[start : start + CHUNK]
        save_images(folder, to_uint8(selection.dataset.batch(indices)).numpy(), indices.tolist())


def plan(context: Context, system: System) -> Iterator[Work]:
    sizes = context.sizes(Sizes)
    count = len(context.select(sizes.split, sizes.images))
    yield real_features(sizes.split, count, context.networks.feature_dim)
    for way in _ways(sizes, system):
        yield codes(way.system, sizes.split, count, way.steps)
        embedded, decode = int(TABLE1 in way.tables), network_calls(way.system, way.steps)
        calls = Calls(decoder=decode, perceptual=1, features=embedded)
        what = f"decode, {way.setting}" if way.setting else "decode"
        yield Work(what + by(way.system), count, calls, way.steps)
    yield from ByProtocol(context).plan(count)


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
    plan=plan,
    sizes=Sizes,
    tables=TABLES,
)
