"""Interpolation: path length (paper, Appendix F) and strips of pictures (Fig. 4).

Between the codes of two images, z_sem moves on a line and x_T on a great circle. The path length is
the perceptual distance between two points that are epsilon apart, over epsilon squared, at a random
position. Everything is computed in full precision: in float64 by systems that can
(`System.computes_in_float64`), and never less than float32, whatever the precision of the run.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.images import Selection
from benchmarks.core.job import Job
from benchmarks.core.measurement import Measurement, Numbers, Place, Variant
from benchmarks.core.sizes import Count, InvertingSolver, Steps
from benchmarks.core.store import CHUNK
from benchmarks.metrics.path_length import estimate_path_length, path_length
from benchmarks.plugin import Arrays, Benchmark, Calls, Context, NotAvailable, code_of
from benchmarks.runtime.precision import precision
from benchmarks.systems.protocol import checked, parts
from benchmarks.systems.protocol.base import DECODE, ENCODE, SEMANTIC, Code, System, parts_of
from diffae.diffusion import interpolation, noise
from reports.records.metrics import seen_through
from reports.records.specs import TableSpec

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
    yield _paths(Variant.of(exact, system, sizes.solver, sizes.steps), images)


def _paths(variant: Variant, images: Selection) -> Measurement:
    """The path between the codes of images 2p and 2p + 1, for each pair p, and strips of the first pairs."""
    distance, pairs = variant.context.networks.path_distance, len(images) // 2
    dtype = torch.float64 if variant.system.computes_in_float64 else torch.float32
    place = Place(variant.context, TABLE, variant, n=pairs).also(
        epsilon=EPSILON,
        t="uniform in [0, 1 - epsilon], one a pair",
        semantic="lerp",
        x_T="slerp",
        decoding_dtype=str(dtype).removeprefix("torch."),
        percentiles="1 to 99, lower and higher neighbour (trimmed mean)",
        **distance.describe(),
    )

    def over_pairs(work: str, count: int, compute: Callable[..., Arrays], calls: Calls) -> Job:
        title, rows_of = f"{work} of pairs", [_in_full_precision(variant.codes(images))]
        job = place.job(work, title, images, compute, count=count, rows_of=rows_of, calls=calls)
        return replace(_in_full_precision(job), rows_each=2)

    def numbers(paths: Arrays, strips: Arrays) -> Numbers:
        metric = seen_through("ppl", distance.network)
        estimates = estimate_path_length(paths["length"], images.units.named("pairs"))
        yield from place.by_setting(metric, estimates)
        _save_strips(place, images, torch.from_numpy(strips["strips"]))

    decoding, shown = variant.decoding, min(STRIPS, pairs)
    of_path = decoding.times(2) + Calls(perceptual=1)
    path = over_pairs("path", pairs, partial(_lengths, variant, dtype), of_path)
    strips = over_pairs("strips", shown, partial(_strips, variant), decoding.times(len(PLACES)))
    return Measurement([path, strips], numbers)


def _in_full_precision(job: Job) -> Job:
    """The job, computed in full precision whatever that of the run."""
    return replace(job, compute=precision("float32")(job.compute))


def _lengths(variant: Variant, dtype: torch.dtype, pairs: np.ndarray, codes: Arrays) -> Arrays:
    """eps^-2 d(decode(t), decode(t + eps)) for each pair of images."""
    context, distance = variant.context, variant.context.networks.path_distance
    draws = [noise.generator(context.seed, "t", int(p)).random() for p in pairs]
    t = torch.tensor(draws, dtype=torch.float64) * (1 - EPSILON)
    a, b = (end.each(lambda part: part.to(dtype)) for end in _ends(codes))
    at_once, lengths = AT_ONCE if context.device.type == "cpu" else CHUNK, list[Tensor]()

    def decode(code: Code) -> Tensor:
        return context.resized(variant.system.decode(code, variant.T))

    with in_float64(variant.system):
        for rows in torch.arange(len(pairs)).split(at_once):
            ends = checked.cut(a, rows), checked.cut(b, rows)
            lengths.append(path_length(decode, *ends, distance, t[rows], EPSILON, interpolate))
    return {"length": torch.cat(lengths).cpu().numpy()}


def _strips(variant: Variant, pairs: np.ndarray, codes: Arrays) -> Arrays:
    """What is decoded from codes on the way between the images of each pair."""
    a, b = _ends(codes)
    between = (interpolate(a, b, torch.full((len(pairs),), t)) for t in PLACES.tolist())
    return {"strips": torch.stack([variant.decode(code) for code in between], dim=1).numpy()}


def _ends(codes: Arrays) -> tuple[Code, Code]:
    """The codes of the first and of the second image of each pair."""
    code = code_of(codes)
    return checked.cut(code, slice(0, None, 2)), checked.cut(code, slice(1, None, 2))


def interpolate(a: Code, b: Code, t: Tensor) -> Code:
    """Interpolate between two codes: z_sem linearly, x_T spherically (as in the authors' code)."""
    semantic = x_T = None
    if a.semantic is not None and b.semantic is not None:
        semantic = parts.lerp(a.semantic, b.semantic, t)
    if a.x_T is not None and b.x_T is not None:
        x_T = interpolation.slerp(a.x_T, b.x_T, t)
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


def _save_strips(place: Place, images: Selection, strips: Tensor) -> None:
    """One row per pair: the two images at the ends, decoded codes between them."""
    ends = images.batch(np.arange(2 * len(strips)))
    place.draw(
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
            order=60,
        ),
    ),
)
