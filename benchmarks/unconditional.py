"""Unconditional samples: Table 4 of the paper, the Frechet distance by T.

DDIM samples from x_T alone, DiffAE from z_sem of the latent DDIM and a random x_T (the same T for both), and
DiffAE + autoencoding from z_sem of held-out images and a random x_T, an upper bound for the latent DDIM.
"""

from collections.abc import Iterator

import numpy as np
import torch

from benchmarks.base import Benchmark, Seen
from benchmarks.context import Context, Selection
from benchmarks.images import save_sheet
from benchmarks.metrics.frechet import Moments, frechet_distance, jackknife_stderr, merge_all
from benchmarks.plan import Calls, Work, network_calls, new_images, real_features
from benchmarks.samples import decode_latents, samples
from benchmarks.store import Arrays, digest
from benchmarks.systems.base import DECODE, SAMPLE, SEMANTIC, STOCHASTIC, System
from reports.records import Record

TABLE = "table4_unconditional_fid"
BLOCKS = 20


def run(context: Context, system: System) -> Iterator[Record]:
    reference = context.real_features(_reference(context))
    for steps in context.profile.fid_steps if system.iterative else (None,):
        new = samples(context, system, steps, context.profile.fid_samples)
        yield _record(context, system.title, steps, new["features"], reference)
        preview = torch.from_numpy(new["preview"])
        save_sheet(
            context.pictures / f"samples-{system.name}-{steps}.png", preview.chunk(4), scale=2
        )
        if {SEMANTIC, STOCHASTIC, DECODE} <= system.capabilities:
            features = autoencoded(context, system, steps)
            title = f"{system.title} + autoencoding"
            yield _record(context, title, steps, features, reference, autoencoding=True)


def references(context: Context) -> Iterator[Record]:
    """Held-out real images against the reference: what no model can do better than at this size."""
    reference = context.real_features(_reference(context))
    features = context.real_features(context.select("test", context.profile.fid_samples))
    yield _record(context, "real images (test)", None, features, reference)


def _reference(context: Context) -> Selection:
    return context.select(context.profile.fid_reference_split, context.profile.fid_reference)


def autoencoded(context: Context, system: System, steps: int | None) -> np.ndarray:
    """Features of held-out images decoded from their z_sem and a random x_T: N x d."""
    profile = context.profile
    selection = context.select(profile.autoencoding_split, profile.fid_samples)
    key = context.key("autoencoded", system, selection) | {
        "steps": steps,
        "seed": context.seed,
        "features": context.features.describe(),
    }

    def compute(positions: np.ndarray) -> Arrays:
        semantic = system.encode_semantic(selection.batch(positions))
        images = decode_latents(context, system, semantic, positions.tolist(), steps)
        return {"features": context.embed(images)}

    return context.store.array(key, len(selection), compute, "features")


def distance(context: Context, features: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """Frechet distance between two sets of features, kept in the store, and its standard error.

    The error is a delete-a-block jackknife over the blocks of `features`; never a bootstrap.
    """

    def compute() -> Arrays:
        target = Moments.from_features(reference)
        blocks = [Moments.from_features(block) for block in np.array_split(features, BLOCKS)]
        value = frechet_distance(merge_all(blocks), target)
        return {"distance": np.array([value, jackknife_stderr(blocks, target)])}

    key = {"work": "distance", "a": digest(features), "b": digest(reference), "blocks": BLOCKS}
    value, stderr = context.store.once(key, compute)["distance"]
    return float(value), float(stderr)


def _record(
    context: Context,
    title: str,
    steps: int | None,
    features: np.ndarray,
    reference: np.ndarray,
    autoencoding: bool = False,
) -> Record:
    value, stderr = distance(context, features, reference)
    protocol = context.protocol(
        "unconditional",
        n=len(features),
        reference_split=context.profile.fid_reference_split,
        autoencoding_split=context.profile.autoencoding_split if autoencoding else None,
        reference_n=len(reference),
        decoding_steps=steps,
        latent_steps=steps,
        solver="ddim" if steps else None,
        **context.features.describe(),
    )
    return context.record(
        "unconditional",
        TABLE,
        title,
        context.features.metric_name,
        value,
        stderr=stderr,
        split="",
        steps=steps,
        n=len(features),
        protocol=protocol,
    )


def plan(context: Context, system: System) -> Iterator[Work]:
    profile, dim = context.profile, context.features.dim
    reference = _reference(context)
    yield real_features(reference.split, len(reference), dim)
    yield real_features("test", len(context.select("test", profile.fid_samples)), dim)
    held_out = len(context.select(profile.autoencoding_split, profile.fid_samples))
    for steps in profile.fid_steps if system.iterative else (None,):
        yield new_images(system, profile.fid_samples, steps, dim)
        if {SEMANTIC, STOCHASTIC, DECODE} <= system.capabilities:
            calls = Calls(encoder=1, decoder=network_calls(system, steps), features=1)
            yield Work("autoencoding", held_out, calls, steps, 4 * dim)


BENCHMARK = Benchmark(
    name="unconditional",
    title="Frechet distance of new samples by T",
    paper="Table 4",
    table=TABLE,
    headline=lambda context: context.features.metric_name,
    needs=frozenset({SAMPLE}),
    run=run,
    plan=plan,
    references=references,
    seen=Seen("inception", "fid", "fd_effnet"),
)
