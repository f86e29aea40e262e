"""Reconstruction: Tables 1 and 2 of the paper.

Every image is encoded and decoded with the same number of steps T; x_T is inverted from the image, or drawn
at random, which shows what z_sem alone retains. Scores are kept per image. Beside the paper's DDIM stands what another
solver makes of as many network calls: that row is ours.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from benchmarks.core.base import Benchmark
from benchmarks.core.context import Context
from benchmarks.core.images import save_sheet
from benchmarks.core.plan import Calls, Work, by, codes, network_calls
from benchmarks.core.selection import Selection
from benchmarks.core.sizes import Count, InvertingSolver, Split, Steps
from benchmarks.core.solving import Taken
from benchmarks.core.store import Arrays
from benchmarks.metrics import pixel, ssim
from benchmarks.systems.base import DECODE, ENCODE, SEMANTIC, STOCHASTIC, System
from reports.records import Record
from reports.specs import TableSpec
from reports.uncertainty import UNKNOWN

TABLE1, TABLE2, BY_CALLS = "table1_reconstruction", "table2_ablation", "table2_by_calls"
METRICS = ("latent_dim", "code_bits", "ssim", "ssim_valid", "lpips", "mse", "psnr")
INVERTED, RANDOM = "x_T inverted", "x_T random"
PREVIEW = 8


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
    for setting in _settings(system):
        for solving, steps, tables in _ways(sizes, system):
            scores = score(context, solving, selection, setting, steps)
            yield from _records(context, solving, selection, setting, steps, scores, tables)
            if TABLE1 in tables:
                _save_preview(context, solving, setting, selection, scores)


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
    context: Context, system: System, selection: Selection, setting: str, steps: int | None
) -> Arrays:
    """Scores per image, each [N], and the first few reconstructions under "preview"."""
    names = context.networks.perceptual.describe()
    key = context.codes.key("reconstruction", system, selection) | {
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
        output = system.decode(code, steps or 1).cpu()
        arrays = {
            "ssim": ssim.ssim(output, images),
            "ssim_valid": ssim.ssim_valid(output, images),
            context.networks.perceptual.metric_name: context.networks.perceptual(output, images),
            "mse": pixel.mse(output, images),
            "psnr": pixel.psnr(output, images),
        }
        preview = output[: PREVIEW if positions[0] == 0 else 0]
        return {
            name: value.cpu().numpy() for name, value in (arrays | {"preview": preview}).items()
        }

    chunks = list(context.store.chunks(key, len(selection), compute))
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
    values["latent_dim"] = (
        float(system.semantic_dim if setting == RANDOM else system.latent_dim),
        UNKNOWN,
    )
    by_calls = {"ssim", context.networks.perceptual.metric_name, "mse"}
    if system.code_bits is not None:
        values["code_bits"] = system.code_bits, UNKNOWN
    for table in tables:
        for metric, (value, uncertainty) in values.items():
            if table == BY_CALLS and metric not in by_calls:
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


def _save_preview(
    context: Context, system: System, setting: str, selection: Selection, scores: Arrays
) -> None:
    preview = torch.from_numpy(scores["preview"])
    originals = selection.batch(np.arange(len(preview)))
    name = f"reconstruction-{system.name}{'-random' if setting == RANDOM else ''}.png"
    save_sheet(context.picture(name), [originals, preview], scale=2)


def plan(context: Context, system: System) -> Iterator[Work]:
    sizes = context.sizes(Sizes)
    count = len(context.select(sizes.split, sizes.images))
    for solving, steps, _ in _ways(sizes, system):
        yield codes(solving, sizes.split, count, steps)
        for setting in _settings(system):
            calls = Calls(decoder=network_calls(solving, steps), perceptual=1)
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
        name=TABLE2,
        title="Table 2: reconstruction by number of steps",
        caption="As Table 1, at each T, with the stochastic code inverted or drawn at random.",
        source=TABLE2,
        rows=("system", "setting"),
        columns=("steps",),
        metrics=METRICS,
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
        metrics=("ssim", "lpips", "mse"),
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
    metrics=METRICS,
    tables=TABLES,
)
