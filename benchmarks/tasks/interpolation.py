"""Interpolation: path length (paper, Appendix F) and strips of pictures (Fig. 4).

Between the codes of two images, z_sem moves on a line and x_T on a great circle. The path length is
the perceptual distance between two points that are epsilon apart, over epsilon squared, at a random
position. Everything is computed in full precision: in float64 by systems that can
(`System.computes_in_float64`), and never less than float32, whatever the precision of the run.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.benchmark import Benchmark
from benchmarks.core.context import Context
from benchmarks.core.plan import Calls, Work, by, codes, network_calls
from benchmarks.core.selection import Selection
from benchmarks.core.sizes import Count, InvertingSolver, Steps
from benchmarks.core.solving import Taken
from benchmarks.core.store import CHUNK, Arrays
from benchmarks.metrics.networks.perceptual import PerceptualDistance
from benchmarks.metrics.path_length import TRIMMED, path_length, statistics
from benchmarks.runtime.errors import NotAvailable
from benchmarks.runtime.precision import full_precision
from benchmarks.systems.protocol import parts
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
from diffae.diffusion import noise
from diffae.diffusion.interpolation import slerp
from diffae.sheet import Sheet
from reports.records.metrics import seen_through
from reports.records.record import Record
from reports.records.specs import TableSpec

TABLE = "appendix_f_smoothness"
EPSILON = 1e-4
STRIPS, POINTS = 4, 9
AT_ONCE = 4  # pairs on a CPU: convolutions in float64 are slower in large batches there
ALL_KEPT = (
    "with so few pairs nothing is trimmed: a single pair can decide this mean; read the median"
)


@dataclass(frozen=True)
class Sizes:
    """
    pairs   of images between whose codes a path is measured
    steps   T of inversion and decoding
    solver  solver that takes these steps
    """

    pairs: Count = 24
    steps: Steps = 10
    solver: InvertingSolver = "fast"


def run(context: Context, system: System) -> Iterator[Record]:
    exact = replace(context, precision="float32")  # whatever the run's precision
    with full_precision():
        records = list(_run(exact, system, context.networks.path_distance))
    yield from records


def _run(context: Context, system: System, distance: PerceptualDistance) -> Iterator[Record]:
    system, selection, steps = _asked(context, system)
    pairs = len(selection) // 2
    taken = Taken(system, steps, inverts=STOCHASTIC in system.capabilities)
    lengths = path_lengths(context, system, selection, pairs, steps, distance)
    protocol = context.protocol(
        "interpolation",
        n=pairs,
        epsilon=EPSILON,
        t="uniform in [0, 1 - epsilon], one a pair",
        semantic="lerp",
        x_T="slerp",
        decoding_dtype=dtype_name(system),
        **taken.protocol,
        percentiles="1 to 99, lower and higher neighbour (trimmed mean)",
        **distance.describe(),
    )
    for setting, found in statistics(lengths, selection.units("pairs")).items():
        value, uncertainty, kept = found
        yield context.record(
            "interpolation",
            TABLE,
            system.title,
            seen_through("ppl", distance.network),
            value,
            setting=setting,
            **taken.row,
            uncertainty=uncertainty,
            n=kept,
            protocol=protocol,
            note=ALL_KEPT if setting == TRIMMED and kept == pairs else "",
        )
    _save_strips(context, system, selection, steps)


def _asked(context: Context, system: System) -> tuple[System, Selection, int | None]:
    """The system with its solver, the images and T.

    Raises NotAvailable if the semantic code is tokens, or there is no pair of images.
    """
    if SEMANTIC in system.capabilities and parts.has_tokens(parts_of(system)):
        raise NotAvailable(parts.NOTHING_BETWEEN)
    sizes = context.sizes(Sizes)
    selection = context.select("test", 2 * sizes.pairs)
    if len(selection) < 2:
        raise NotAvailable("one test image makes no pair")
    steps = sizes.steps if system.iterative else None
    return system.solving(sizes.solver), selection, steps


def interpolate(a: Code, b: Code, t: Tensor) -> Code:
    """Interpolate between two codes: z_sem linearly, x_T spherically (as in the authors' code)."""
    semantic = x_T = None
    if a.semantic is not None and b.semantic is not None:
        semantic = parts.lerp(a.semantic, b.semantic, t)
    if a.x_T is not None and b.x_T is not None:
        x_T = slerp(a.x_T, b.x_T, t)
    return Code(semantic, x_T)


def path_lengths(
    context: Context,
    system: System,
    selection: Selection,
    pairs: int,
    steps: int | None,
    distance: PerceptualDistance,
) -> np.ndarray:
    """eps^-2 d(decode(t), decode(t + eps)) for each pair of images.

    Positions 2p and 2p + 1 make pair p.
    """
    key = context.codes.key("path", system, selection) | {
        "steps": steps,
        "epsilon": EPSILON,
        "seed": context.seed,
        "decoding_dtype": dtype_name(system),
        "perceptual": distance.describe(),
    }

    def compute(positions: np.ndarray) -> Arrays:
        a, b = _endpoints(context, system, selection, positions, steps)
        draws = [noise.generator(context.seed, "t", int(p)).random() for p in positions]
        t = torch.tensor(draws, dtype=torch.float64) * (1 - EPSILON)
        at_once = AT_ONCE if context.device.type == "cpu" else CHUNK
        with in_float64(system):
            lengths = [
                path_length(
                    lambda code: context.resized(system.decode(code, steps or 1)),
                    _as_computed(system, a, place),
                    _as_computed(system, b, place),
                    distance,
                    t[place],
                    EPSILON,
                    interpolate,
                )
                for place in torch.arange(len(positions)).split(at_once)
            ]
        return {"length": torch.cat(lengths).cpu().numpy()}

    return context.store.array(key, pairs, compute, "length")


def dtype_name(system: System) -> str:
    return "float64" if system.computes_in_float64 else "float32"


@contextmanager
def in_float64(system: System) -> Iterator[None]:
    """Within the block, the networks of a system that can do so compute in float64."""
    networks = system.networks().values() if system.computes_in_float64 else ()
    try:
        for network in networks:
            network.double()
        yield
    finally:
        for network in networks:
            network.float()  # exact for what was float32 before


def _as_computed(system: System, code: Code, place: Tensor) -> Code:
    """Some of the codes, in the dtype in which the system computes."""
    dtype = torch.float64 if system.computes_in_float64 else torch.float32
    semantic, x_T = cut(code.semantic, place), cut(code.x_T, place)
    if semantic is not None:
        semantic = parts.each(lambda part: part.to(dtype), semantic)
    return Code(semantic, None if x_T is None else x_T.to(dtype))


def _endpoints(
    context: Context, system: System, selection: Selection, pairs: np.ndarray, steps: int | None
) -> tuple[Code, Code]:
    """Codes of both images of each pair, assembled from the stored chunks."""
    positions = np.arange(2 * pairs[0], 2 * pairs[-1] + 2)
    chunks = [
        context.codes.full(system, selection, part, steps or 1)
        for part in np.split(positions, np.arange(CHUNK, len(positions), CHUNK))
    ]
    code = join(chunks)
    return cut(code, slice(0, None, 2)), cut(code, slice(1, None, 2))


def _save_strips(context: Context, system: System, selection: Selection, steps: int | None) -> None:
    """Save strips, one row per pair: the two images at the ends, decoded codes between them."""
    pairs, places = np.arange(min(STRIPS, len(selection) // 2)), np.linspace(0, 1, POINTS)

    def compute() -> Arrays:
        a, b = _endpoints(context, system, selection, pairs, steps)
        between = (interpolate(a, b, torch.full((len(pairs),), t)) for t in places.tolist())
        columns = [context.resized(system.decode(code, steps or 1).cpu()) for code in between]
        return {"strips": torch.stack(columns, dim=1).numpy()}

    key = context.codes.key("strips", system, selection) | {"steps": steps, "pairs": len(pairs)}
    strips = torch.from_numpy(context.store.once(key, compute)["strips"])
    images = selection.batch(np.arange(2 * len(pairs)))
    sheet = Sheet(
        f"{system.title}: between two images",
        torch.cat([images[::2, None], strips, images[1::2, None]], dim=1).unbind(),
        columns=("input A", *(f"{t:.3g}" for t in places), "input B"),
        caption="Decoded codes on the way from A to B (Fig. 4): the first and the last are the reconstructions.",
        about={"benchmark": "interpolation", "system": system.title, "steps": steps},
    )
    context.save_sheet(f"interpolation-{system.name}.png", sheet)


def plan(context: Context, system: System) -> Iterator[Work]:
    system, selection, steps = _asked(context, system)
    count, decode = len(selection), network_calls(system, steps)
    yield codes(system, "test", count, steps)
    calls = Calls(decoder=2 * decode, perceptual=1)
    yield Work(f"path length of pairs{by(system)}", count // 2, calls, steps)
    strips = min(STRIPS, count // 2) * POINTS
    yield Work(f"strips{by(system)}", strips, Calls(decoder=decode), steps)


BENCHMARK = Benchmark(
    name="interpolation",
    table=TABLE,
    headline=lambda context: seen_through("ppl", context.networks.path_distance.network),
    needs=frozenset({ENCODE, DECODE}),
    run=run,
    plan=plan,
    sizes=Sizes,
    tables=(
        TableSpec(
            name=TABLE,
            title="Appendix F: smoothness of interpolation",
            caption=(
                "Perceptual path length between pairs of codes; smaller is smoother. A few pairs can decide the "
                "mean. PPL as it is published is VGG16's, trimmed: of the pairs between the 1st and the 99th "
                "percentile."
            ),
            rows=("system", "steps", "solver", "calls"),
            columns=("metric", "setting"),
            metrics=("ppl",),
            headline=("ppl",),
            headline_settings=("trimmed mean", "median"),
            order=60,
        ),
    ),
)
