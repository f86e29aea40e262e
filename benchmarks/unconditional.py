"""Unconditional samples: Table 4 of the paper, the Frechet distance by T.

DDIM samples from x_T alone, DiffAE from z_sem of the latent DDIM and a random x_T (the same T for both), and
DiffAE + autoencoding from z_sem of held-out images and a random x_T, an upper bound for the latent DDIM.
"""

from collections.abc import Iterator

import numpy as np
import torch

from benchmarks.base import Benchmark, Seen
from benchmarks.context import Context, Selection
from benchmarks.distances import distance
from benchmarks.images import save_sheet
from benchmarks.metrics.frechet import bias_note
from benchmarks.metrics.frechet_jackknife import BLOCKS, blocks_of
from benchmarks.plan import Calls, Work, network_calls, new_images, real_features
from benchmarks.samples import decode_latents, samples
from benchmarks.store import Arrays
from benchmarks.systems.base import DECODE, SAMPLE, SEMANTIC, STOCHASTIC, System
from reports.records import Record
from reports.uncertainty import UNKNOWN, of_influences, units_of

TABLE = "table4_unconditional_fid"


def run(context: Context, system: System) -> Iterator[Record]:
    count = context.profile.fid_samples
    for steps in context.profile.fid_steps if system.iterative else (None,):
        new = samples(context, system, steps, count)
        units = units_of("samples", context.seed, count)
        yield _record(context, system.title, steps, new["features"], units, blocks_of(count))
        preview = torch.from_numpy(new["preview"])
        save_sheet(
            context.pictures / f"samples-{system.name}-{steps}.png", preview.chunk(4), scale=2
        )
        if {SEMANTIC, STOCHASTIC, DECODE} <= system.capabilities:
            held_out = _held_out(context)
            features = autoencoded(context, system, steps, held_out)
            title = f"{system.title} + autoencoding"
            units, blocks = held_out.units("decoded"), held_out.blocks(BLOCKS)
            yield _record(context, title, steps, features, units, blocks, autoencoding=True)


def references(context: Context) -> Iterator[Record]:
    """Held-out real images against the reference: what no model can do better than at this size."""
    images = context.select("test", context.profile.fid_samples)
    features, blocks = context.real_features(images), images.blocks(BLOCKS)
    yield _record(context, "real images (test)", None, features, images.units("test"), blocks)


def _reference(context: Context) -> Selection:
    return context.select(context.profile.fid_reference_split, context.profile.fid_reference)


def _held_out(context: Context) -> Selection:
    return context.select(context.profile.autoencoding_split, context.profile.fid_samples)


def autoencoded(
    context: Context, system: System, steps: int | None, selection: Selection
) -> np.ndarray:
    """Features of images decoded from their z_sem and a random x_T: N x d."""
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


def _record(
    context: Context,
    title: str,
    steps: int | None,
    features: np.ndarray,
    units: str,
    blocks: np.ndarray,
    autoencoding: bool = False,
) -> Record:
    reference = _reference(context)
    real, real_blocks = context.real_features(reference), reference.blocks(BLOCKS)
    value, uncertainty, fewest = None, UNKNOWN, min(len(features), len(real))
    note = f"a Frechet distance needs two images on each side, not {fewest}"
    if fewest > 1:
        found = distance(context, features, blocks, real, real_blocks)
        # The reference images are a source of error of their own, which two runs of one seed have in common.
        ours = of_influences(found.of_samples, f"blocks of {units}")
        theirs = of_influences(found.of_reference, reference.units("blocks of reference"))
        value, uncertainty = found.value, ours + theirs
        note = bias_note(fewest, context.features.dim)
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
        uncertainty=uncertainty,
        split="",
        steps=steps,
        n=len(features),
        protocol=protocol,
        note=note,
    )


def plan(context: Context, system: System) -> Iterator[Work]:
    profile, dim = context.profile, context.features.dim
    reference = _reference(context)
    yield real_features(reference.split, len(reference), dim)
    yield real_features("test", len(context.select("test", profile.fid_samples)), dim)
    held_out = len(_held_out(context))
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
