"""Interpolation: path length (paper, Appendix F) and strips of pictures (Fig. 4).

Between the codes of two images, z_sem moves on a line and x_T on a great circle. The path length is the
perceptual distance between two points that are epsilon apart, over epsilon squared, at a random place.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from benchmarks.base import Benchmark, Seen
from benchmarks.context import Context, Selection
from benchmarks.images import save_sheet
from benchmarks.metrics.path_length import lerp, path_length, slerp
from benchmarks.metrics.weights import NotAvailable
from benchmarks.plan import Calls, Work, codes, network_calls
from benchmarks.store import CHUNK, Arrays
from benchmarks.systems.base import DECODE, ENCODE, Code, System
from diffae import noise
from reports.records import Record
from reports.uncertainty import of_mean

TABLE = "appendix_f_smoothness"
EPSILON = 1e-4
STRIPS, POINTS = 4, 9


def run(context: Context, system: System) -> Iterator[Record]:
    selection = context.select("test", 2 * context.profile.interpolation_pairs)
    pairs = len(selection) // 2
    if not pairs:
        raise NotAvailable("one test image makes no pair")
    steps = context.profile.interpolation_steps if system.iterative else None
    lengths = path_lengths(context, system, selection, pairs, steps)
    mean = float(np.mean(lengths, dtype=np.float64))
    protocol = context.protocol(
        "interpolation",
        n=pairs,
        epsilon=EPSILON,
        t="uniform in [0, 1 - epsilon], one a pair",
        semantic="lerp",
        x_T="slerp",
        inversion_steps=steps,
        decoding_steps=steps,
        solver="ddim" if steps else None,
        **context.perceptual.describe(),
    )
    yield context.record(
        "interpolation",
        TABLE,
        system.title,
        "ppl" if context.perceptual.metric_name == "lpips" else "ppl_effnet",
        mean,
        steps=steps,
        uncertainty=of_mean(lengths, selection.units("pairs")),
        n=pairs,
        protocol=protocol,
    )
    _save_strips(context, system, selection, steps)


def interpolate(a: Code, b: Code, t: Tensor) -> Code:
    """Between two codes: z_sem linearly, x_T spherically (the authors' interpolation)."""
    semantic = x_T = None
    if a.semantic is not None and b.semantic is not None:
        semantic = lerp(a.semantic, b.semantic, t)
    if a.x_T is not None and b.x_T is not None:
        x_T = slerp(a.x_T, b.x_T, t)
    return Code(semantic, x_T)


def path_lengths(
    context: Context, system: System, selection: Selection, pairs: int, steps: int | None
) -> np.ndarray:
    """eps^-2 d(decode(t), decode(t + eps)) for each pair of images: positions 2p and 2p + 1 make pair p."""
    key = context.key("path", system, selection) | {
        "steps": steps,
        "epsilon": EPSILON,
        "seed": context.seed,
        "perceptual": context.perceptual.describe(),
    }

    def compute(positions: np.ndarray) -> Arrays:
        a, b = _endpoints(context, system, selection, positions, steps)
        t = [noise.uniforms(noise.generator(context.seed, "t", int(p)), ()) for p in positions]
        lengths = path_length(
            lambda code: system.decode(code, steps or 1),
            a,
            b,
            context.perceptual,
            torch.stack(t) * (1 - EPSILON),
            EPSILON,
            interpolate,
        )
        return {"length": lengths.cpu().numpy()}

    return context.store.array(key, pairs, compute, "length")


def _endpoints(
    context: Context, system: System, selection: Selection, pairs: np.ndarray, steps: int | None
) -> tuple[Code, Code]:
    """Codes of both images of each pair, put together from the chunks they lie in."""
    positions = np.arange(2 * pairs[0], 2 * pairs[-1] + 2)
    parts = [
        context.code(system, selection, part, steps or 1)
        for part in np.split(positions, np.arange(CHUNK, len(positions), CHUNK))
    ]
    semantic = _join([part.semantic for part in parts])
    x_T = _join([part.x_T for part in parts])
    ends = [
        Code(None if semantic is None else semantic[i::2], None if x_T is None else x_T[i::2])
        for i in (0, 1)
    ]
    return ends[0], ends[1]


def _join(parts: list[Tensor | None]) -> Tensor | None:
    present = [part for part in parts if part is not None]
    return torch.cat(present) if present else None


def _save_strips(context: Context, system: System, selection: Selection, steps: int | None) -> None:
    """One row a pair: the two images at the ends, decoded codes between them."""
    pairs = np.arange(min(STRIPS, len(selection) // 2))
    if not len(pairs):
        return

    def compute() -> Arrays:
        a, b = _endpoints(context, system, selection, pairs, steps)
        columns = [
            system.decode(interpolate(a, b, torch.full((len(pairs),), t)), steps or 1).cpu()
            for t in np.linspace(0, 1, POINTS).tolist()
        ]
        return {"strips": torch.stack(columns, dim=1).numpy()}

    key = context.key("strips", system, selection) | {"steps": steps, "pairs": len(pairs)}
    strips = torch.from_numpy(context.store.once(key, compute)["strips"])
    images = selection.batch(np.arange(2 * len(pairs)))
    rows = [
        torch.cat([images[2 * p][None], strip, images[2 * p + 1][None]])
        for p, strip in enumerate(strips)
    ]
    save_sheet(context.pictures / f"interpolation-{system.name}.png", rows, scale=2)


def plan(context: Context, system: System) -> Iterator[Work]:
    profile = context.profile
    count = len(context.select("test", 2 * profile.interpolation_pairs))
    steps = profile.interpolation_steps if system.iterative else None
    decode = network_calls(system, steps)
    yield codes(system, "test", count, steps)
    calls = Calls(decoder=2 * decode, perceptual=1)
    yield Work("path length of pairs", count // 2, calls, steps)
    strips = min(STRIPS, count // 2) * POINTS
    yield Work("strips", strips, Calls(decoder=decode), steps)


BENCHMARK = Benchmark(
    name="interpolation",
    title="path length between the codes of two images, and strips of pictures",
    paper="Fig. 4, Appendix F",
    table=TABLE,
    headline=lambda context: "ppl" if context.perceptual.metric_name == "lpips" else "ppl_effnet",
    needs=frozenset({ENCODE, DECODE}),
    run=run,
    plan=plan,
    seen=Seen("alexnet", "ppl", "ppl_effnet"),
)
