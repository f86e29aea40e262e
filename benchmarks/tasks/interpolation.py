"""Interpolation: path length (paper, Appendix F) and strips of pictures (Fig. 4).

Between the codes of two images, z_sem moves on a line and x_T on a great circle. The path length is
the perceptual distance between two points that are epsilon apart, over epsilon squared, at a random
position. Everything is computed in full precision: in float64 by systems that can
(`System.computes_in_float64`), and never less than float32, whatever the precision of the run.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.sizes import Count, InvertingSolver, Steps
from benchmarks.core.store import CHUNK, Arrays, Computation
from benchmarks.metrics.path_length import estimate_path_length, path_length
from benchmarks.plugin import Benchmark, Cell, Context, Measurement, Record, Selection, Solved
from benchmarks.runtime.errors import NotAvailable
from benchmarks.runtime.precision import full_precision
from benchmarks.systems.protocol import parts
from benchmarks.systems.protocol.base import DECODE, ENCODE, SEMANTIC, Code, System, parts_of
from benchmarks.systems.protocol.checked import cut, join
from diffae.diffusion import noise
from diffae.diffusion.interpolation import slerp
from reports.records.metrics import seen_through
from reports.records.specs import SMOOTHNESS, TableSpec

TABLE = "appendix_f_smoothness"
EPSILON = 1e-4
STRIPS, PLACES = 4, np.linspace(0, 1, 9)
AT_ONCE = 4  # pairs on a CPU: convolutions in float64 are slower in large batches there


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


def run(context: Context, system: System) -> Iterator[Measurement]:
    if SEMANTIC in system.capabilities and parts.has_tokens(parts_of(system)):
        raise NotAvailable(parts.NOTHING_BETWEEN)
    sizes = context.sizes(Sizes)
    images = context.select("test", 2 * sizes.pairs)
    if len(images) < 2:
        raise NotAvailable("one test image makes no pair")
    exact = replace(context, precision="float32")  # whatever the run's precision
    at = Solved.of(exact, system, sizes.solver, sizes.steps)
    yield _lengths(at, images)


def _lengths(at: Solved, images: Selection) -> Measurement:
    """eps^-2 d(decode(t), decode(t + eps)) for each pair of images.

    Positions 2p and 2p + 1 make pair p.
    """
    context, system, pairs = at.context, at.system, len(images) // 2
    dtype = torch.float64 if system.computes_in_float64 else torch.float32
    distance = context.networks.path_distance
    fields = {
        "epsilon": EPSILON,
        "t": "uniform in [0, 1 - epsilon], one a pair",
        "semantic": "lerp",
        "x_T": "slerp",
        "decoding_dtype": str(dtype).removeprefix("torch."),
        "percentiles": "1 to 99, lower and higher neighbour (trimmed mean)",
        **distance.describe(),
    }
    cell = Cell(context, TABLE, at, n=pairs, fields=fields)

    def decode(code: Code) -> Tensor:
        return context.resized(system.decode(code, at.T))

    def between(ends: Iterable[Code], t: Tensor) -> Tensor:
        a, b = (code.each(lambda part: part.to(dtype)) for code in ends)
        with in_float64(system):
            return path_length(decode, a, b, distance, t, EPSILON, interpolate)

    def compute(positions: np.ndarray) -> Arrays:
        draws = [noise.generator(context.seed, "t", int(p)).random() for p in positions]
        t = torch.tensor(draws, dtype=torch.float64) * (1 - EPSILON)
        at_once = AT_ONCE if context.device.type == "cpu" else CHUNK
        with full_precision():
            a, b = _endpoints(at, images, positions)
            places = torch.arange(len(positions)).split(at_once)
            lengths = [between((cut(a, place), cut(b, place)), t[place]) for place in places]
        return {"length": torch.cat(lengths).cpu().numpy()}

    def reduce(paths: Arrays, strips: Arrays) -> Iterator[Record]:
        metric = seen_through("ppl", distance.network)
        estimates = estimate_path_length(paths["length"], images.units.named("pairs"))
        for setting, estimate in estimates.items():
            yield cell.record(metric, estimate, setting=setting)
        _save_strips(cell, images, torch.from_numpy(strips["strips"]))

    path = cell.computation("path", "path length of pairs", images, compute, pairs)
    return Measurement([path, _strips(cell, at, images)], reduce)


def interpolate(a: Code, b: Code, t: Tensor) -> Code:
    """Interpolate between two codes: z_sem linearly, x_T spherically (as in the authors' code)."""
    semantic = x_T = None
    if a.semantic is not None and b.semantic is not None:
        semantic = parts.lerp(a.semantic, b.semantic, t)
    if a.x_T is not None and b.x_T is not None:
        x_T = slerp(a.x_T, b.x_T, t)
    return Code(semantic, x_T)


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


def _endpoints(at: Solved, images: Selection, pairs: np.ndarray) -> tuple[Code, Code]:
    """Codes of both images of each pair, assembled from the stored chunks."""
    positions = np.arange(2 * pairs[0], 2 * pairs[-1] + 2)
    chunks = np.split(positions, np.arange(CHUNK, len(positions), CHUNK))
    code = join([at.codes(images, part) for part in chunks])
    return cut(code, slice(0, None, 2)), cut(code, slice(1, None, 2))


def _strips(cell: Cell, at: Solved, images: Selection) -> Computation:
    """What is decoded from codes on the way between the images of the first pairs."""

    def compute(pairs: np.ndarray) -> Arrays:
        with full_precision():
            a, b = _endpoints(at, images, pairs)
            between = (interpolate(a, b, torch.full((len(pairs),), t)) for t in PLACES.tolist())
            return {"strips": torch.stack([at.decode(code) for code in between], dim=1).numpy()}

    pairs = min(STRIPS, len(images) // 2)
    return cell.computation("strips", "strips of pairs", images, compute, pairs)


def _save_strips(cell: Cell, images: Selection, strips: Tensor) -> None:
    """One row per pair: the two images at the ends, decoded codes between them."""
    ends = images.batch(np.arange(2 * len(strips)))
    cell.draw(
        "interpolation-{}",
        "between two images",
        torch.cat([ends[::2, None], strips, ends[1::2, None]], dim=1).unbind(),
        columns=("input A", *(f"{t:.3g}" for t in PLACES), "input B"),
        caption="Decoded codes on the way from A to B (Fig. 4): the first and the last are the reconstructions.",
    )


BENCHMARK = Benchmark(
    name="interpolation",
    headline=lambda context: seen_through("ppl", context.networks.path_distance.network),
    needs=frozenset({ENCODE, DECODE}),
    run=run,
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
            aspects=((SMOOTHNESS, "ppl", "median"),),
            order=60,
        ),
    ),
)
