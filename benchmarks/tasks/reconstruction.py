"""Reconstruction: Tables 1 and 2 of the paper.

Every image is encoded and decoded with the same number of steps T; x_T is inverted from the image, or drawn
at random, which shows what z_sem alone retains. Scores are kept per image. Beside the paper's DDIM stands what another
solver makes of as many network calls: that row is ours. Of the decodes of Table 1 the Frechet distance to their
originals is taken too, the first column of papers on tokenizers; of quantised codes, how their codebooks are used.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.benchmark import Benchmark
from benchmarks.core.context import Context
from benchmarks.core.images import save_images, save_sheet
from benchmarks.core.plan import Calls, Work, by, codes, network_calls, real_features
from benchmarks.core.selection import Selection
from benchmarks.core.sizes import Count, InvertingSolver, Split, Steps
from benchmarks.core.solving import Taken
from benchmarks.core.store import CHUNK, Arrays
from benchmarks.metrics import pixel, ssim
from benchmarks.metrics.frechet import bias_note
from benchmarks.metrics.frechet_jackknife import BLOCKS
from benchmarks.systems.base import DECODE, ENCODE, SEMANTIC, STOCHASTIC, System
from benchmarks.tasks.shared.codebook_use import uses
from benchmarks.tasks.shared.distances import paired_distance
from benchmarks.tasks.shared.worst import save_worst
from diffae.eight_bit import to_uint8
from diffae.sheet import Sheet
from reports.metrics import published_name, seen_through
from reports.records import Record
from reports.specs import TableSpec
from reports.uncertainty import UNKNOWN, of_influences

TABLE1, TABLE2, BY_CALLS = "table1_reconstruction", "table2_ablation", "table2_by_calls"
CODEBOOKS = "codebooks"
SIZES = ("latent_dim", "compression", "code_bits", "bits_per_pixel")  # of a code
SCORES = ("ssim", "ssim_valid", "lpips", "mse", "psnr")  # of an image
METRICS = (*SIZES, "rfid", *SCORES)
# What each table shows of every way.
SHOWN = {
    TABLE1: METRICS,
    TABLE2: ("latent_dim", "code_bits", *SCORES),
    BY_CALLS: ("ssim", "lpips", "mse"),
}
INVERTED, RANDOM = "x_T inverted", "x_T random"
PREVIEW, KEPT = 8, "decoded"
INPUTS = "inputs"  # the folder of --save-images that the others are held against


@dataclass(frozen=True)
class Sizes:
    """
    images   how many are encoded and decoded
    split    where they are taken from
    steps    T of Tables 1 and 2, inversion and decoding alike
    solver   what takes these steps; the paper's is ddim
    beside         another solver, for the table by network calls, where the system knows it
    beside_steps   T of that one
    """

    images: Count = 32
    split: Split = "test"
    steps: tuple[Steps, ...] = (10, 20, 50, 100)
    solver: InvertingSolver = "ddim"
    beside: InvertingSolver = "fast"
    beside_steps: tuple[Steps, ...] = (5, 10)


def run(context: Context, system: System) -> Iterator[Record]:
    sizes = context.sizes(Sizes)
    selection = context.select(sizes.split, sizes.images)
    if context.images is not None:
        _save_inputs(context.images / INPUTS, selection)
    shown: dict[str, Tensor] = {}
    for setting in _settings(system):
        for solving, steps, tables in _ways(sizes, system):
            scores = score(context, solving, selection, setting, steps, TABLE1 in tables)
            yield from _records(context, solving, selection, setting, steps, scores, tables)
            if TABLE1 in tables:
                shown[setting] = torch.from_numpy(scores["preview"])
                if setting != RANDOM:
                    save_worst(context, solving, selection, steps, scores)
    _save_preview(context, system, selection, shown)
    yield from _codebooks(context, system, selection)


def _ways(sizes: Sizes, system: System) -> Iterator[tuple[System, int | None, tuple[str, ...]]]:
    """Each way to take the steps: the system that takes them so, T, and the tables that show it."""
    if not system.iterative:
        yield system, None, (TABLE1,)
        return
    solving, last = system.solving(sizes.solver), sizes.steps[-1]
    by_calls = (BY_CALLS,) if solving.solver is not None else ()
    for steps in sizes.steps:
        yield solving, steps, (TABLE2, *((TABLE1,) if steps == last else ()), *by_calls)
    beside = system.solving(sizes.beside)
    if beside.solver != solving.solver:
        for steps in sizes.beside_steps:
            yield beside, steps, by_calls


def _settings(system: System) -> tuple[str, ...]:
    if STOCHASTIC not in system.capabilities:
        return ("",)
    if SEMANTIC in system.capabilities:
        return (INVERTED, RANDOM)
    return (INVERTED,)  # without z_sem a random x_T reconstructs nothing


def score(
    context: Context,
    system: System,
    selection: Selection,
    setting: str,
    steps: int | None,
    features: bool = False,
) -> Arrays:
    """Scores per image, each [N], the first few reconstructions under "preview", and, if asked for, their "features"
    for a Frechet distance, N x d."""
    names: dict[str, Any] = dict(context.networks.perceptual.describe())
    if features:
        names |= context.networks.features.describe()
    keeps = features and context.images is not None
    key = context.codes.key("reconstruction", system, selection) | {
        **({KEPT: "uint8"} if keeps else {}),
        "setting": setting,
        "steps": steps,
        "seed": context.seed,
        "perceptual": names,
    }

    def compute(positions: np.ndarray) -> Arrays:
        images = selection.batch(positions)
        code = context.codes.full(system, selection, positions, steps or 1)
        if setting == RANDOM:
            indices = selection.order[positions]
            code = replace(code, x_T=system.random_x_T(indices.tolist(), context.seed))
        output = context.shown(system.decode(code, steps or 1).cpu())
        arrays = {
            "ssim": ssim.ssim(output, images),
            "ssim_valid": ssim.ssim_valid(output, images),
            context.networks.perceptual.metric_name: context.networks.perceptual(output, images),
            "mse": pixel.mse(output, images),
            "psnr": pixel.psnr(output, images),
        }
        arrays["preview"] = output[: PREVIEW if positions[0] == 0 else 0]
        found = {name: value.cpu().numpy() for name, value in arrays.items()}
        if keeps:
            found[KEPT] = to_uint8(output).numpy()
        return found | ({"features": context.codes.embed(output)} if features else {})

    chunks = []
    for first, chunk in enumerate(context.store.chunks(key, len(selection), compute)):
        if KEPT in chunk and context.images is not None:  # one chunk at a time: they may be many
            numbers = selection.order[first * CHUNK :][: len(chunk[KEPT])].tolist()
            kept = context.images / f"{system.name}{'-random' if setting == RANDOM else ''}"
            save_images(kept, chunk.pop(KEPT), numbers)
        chunks.append(chunk)
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def _records(
    context: Context,
    system: System,
    selection: Selection,
    setting: str,
    steps: int | None,
    scores: Arrays,
    tables: tuple[str, ...],
) -> Iterator[Record]:
    taken = Taken(system, steps, inverts=setting == INVERTED)
    protocol = context.protocol(
        "reconstruction",
        split=selection.split,
        n=len(selection),
        x_T=setting,
        **taken.protocol,
        ssim="11 x 11 Gaussian, sigma 1.5, zero padding, range [0, 1]",
        ssim_valid="11 x 11 Gaussian, sigma 1.5, valid windows, range [0, 1] (piq, no downsampling)",
        **context.networks.perceptual.describe(),
    )
    names = ("ssim", "ssim_valid", context.networks.perceptual.metric_name, "mse", "psnr")
    values = {name: selection.mean(scores[name]) for name in names}
    values |= {name: (value, UNKNOWN) for name, value in _sizes(context, system, setting).items()}
    yield from _rfid(context, system, selection, setting, taken, scores, tables)
    for table in tables:
        for metric, (value, uncertainty) in values.items():
            if published_name(metric) not in SHOWN[table]:
                continue
            yield context.record(
                "reconstruction",
                table,
                system.title,
                metric,
                value,
                setting=setting,
                **taken.row,
                uncertainty=uncertainty,
                split=selection.split,
                n=len(selection),
                protocol=protocol,
                per_image=(selection, scores[metric]) if metric in scores else None,
            )


def _sizes(context: Context, system: System, setting: str) -> dict[str, float]:
    """How large a code is, as papers count; what is not in it (x_T drawn at random) does not count."""
    side = system.image_size or context.dataset.image_size
    numbers = float(system.semantic_dim if setting == RANDOM else system.latent_dim)
    found = {"latent_dim": numbers, "compression": 3 * side**2 / numbers}
    if system.code_bits is not None:
        found |= {"code_bits": system.code_bits, "bits_per_pixel": system.code_bits / side**2}
    return found


def _rfid(
    context: Context,
    system: System,
    selection: Selection,
    setting: str,
    taken: Taken,
    scores: Arrays,
    tables: tuple[str, ...],
) -> Iterator[Record]:
    """The Frechet distance between the reconstructions of Table 1 and their originals, two images at least."""
    if TABLE1 not in tables or len(selection) < 2:
        return
    blocks, network = selection.blocks(BLOCKS), context.networks.features
    originals = context.codes.real_features(selection)
    found = paired_distance(context, scores["features"], originals, blocks)
    yield context.record(
        "reconstruction",
        TABLE1,
        system.title,
        seen_through("rfid", network.network),
        found.value,
        setting=setting,
        **taken.row,
        uncertainty=of_influences(found.influences, selection.units("blocks")),
        split=selection.split,
        n=len(selection),
        protocol=context.protocol(
            "reconstruction",
            split=selection.split,
            n=len(selection),
            x_T=setting,
            originals="the same images",
            **taken.protocol,
            **network.describe(),
        ),
        note=bias_note(len(selection), network.dim),
    )


def _codebooks(context: Context, system: System, selection: Selection) -> Iterator[Record]:
    """How each codebook is used on the images; nothing of a system without any."""
    protocol = context.protocol("reconstruction", split=selection.split, n=len(selection))
    for use in uses(context, system, selection, None):
        values = {
            "code_bits": (math.log2(use.counts.shape[1]), UNKNOWN),
            "codebook_use": (use.share, UNKNOWN),
            "perplexity": (use.perplexity, use.uncertainty(selection)),
        }
        for metric, (value, uncertainty) in values.items():
            yield context.record(
                "reconstruction",
                CODEBOOKS,
                system.title,
                metric,
                value,
                setting=use.name,
                uncertainty=uncertainty,
                split=selection.split,
                n=len(selection),
                protocol=protocol,
            )


def _save_inputs(folder: Path, selection: Selection) -> None:
    """The images as systems of the comparison's size see them."""
    for start in range(0, len(selection), CHUNK):
        numbers = selection.order[start : start + CHUNK]
        save_images(folder, to_uint8(selection.dataset.batch(numbers)).numpy(), numbers.tolist())


def _save_preview(
    context: Context, system: System, selection: Selection, shown: dict[str, Tensor]
) -> None:
    """The first images, and their reconstructions in each setting."""
    originals = selection.batch(np.arange(PREVIEW)[: len(selection)])
    sheet = Sheet(
        f"{system.title}: reconstruction",
        [originals, *shown.values()],
        rows=("input", *(setting or "reconstruction" for setting in shown)),
        caption="The first held-out images, none chosen, decoded at the largest T (Fig. 3).",
        about={"benchmark": "reconstruction", "system": system.title},
    )
    save_sheet(context.picture(f"reconstruction-{system.name}.png"), sheet)


def plan(context: Context, system: System) -> Iterator[Work]:
    sizes = context.sizes(Sizes)
    count = len(context.select(sizes.split, sizes.images))
    yield real_features(sizes.split, count, context.networks.features.dim)
    for solving, steps, tables in _ways(sizes, system):
        yield codes(solving, sizes.split, count, steps)
        for setting in _settings(system):
            embedded = int(TABLE1 in tables)
            calls = Calls(decoder=network_calls(solving, steps), perceptual=1, features=embedded)
            what = f"decode, {setting}" if setting else "decode"
            yield Work(what + by(solving), count, calls, steps)


TABLES = (
    TableSpec(
        name=TABLE1,
        title="Table 1: reconstruction",
        caption=(
            "Autoencoding of held-out images, inverted and decoded with the same T. SSIM is the "
            "paper's (zero padding); SSIM (valid) leaves out the border."
        ),
        source=TABLE1,
        rows=("system", "setting", "steps", "solver", "calls"),
        columns=("metric",),
        metrics=METRICS,
        largest_steps=True,
        headline=("ssim", "lpips", "mse"),
        order=10,
    ),
    TableSpec(
        name=CODEBOOKS,
        title="Codebooks",
        caption=(
            "How quantised codes use their codebooks on the images of Table 1: bits of one code, the share of codes that "
            "occur (it grows with the images), and the perplexity of their shares."
        ),
        source=CODEBOOKS,
        rows=("system", "setting"),
        columns=("metric",),
        metrics=("code_bits", "codebook_use", "perplexity"),
        order=95,
    ),
    TableSpec(
        name=TABLE2,
        title="Table 2: reconstruction by number of steps",
        caption="As Table 1, at each T, with the stochastic code inverted or drawn at random.",
        source=TABLE2,
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
            "The same by the network calls that an image takes there and back (x_T random: back). ddim is the "
            "paper's; rows of another solver are ours, not the paper's, and stand in no table of it."
        ),
        source=BY_CALLS,
        rows=("system", "setting", "solver"),
        columns=("calls",),
        metrics=SHOWN[BY_CALLS],
        panels=True,
        order=21,
    ),
)

BENCHMARK = Benchmark(
    name="reconstruction",
    title="SSIM, perceptual distance and MSE by system and T",
    paper="Tables 1 and 2",
    table=TABLE1,
    headline=lambda context: "ssim",
    needs=frozenset({ENCODE, DECODE}),
    run=run,
    plan=plan,
    sizes=Sizes,
    metrics=(*METRICS, "codebook_use", "perplexity"),
    tables=TABLES,
)
