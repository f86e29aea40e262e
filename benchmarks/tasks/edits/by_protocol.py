"""Edits measured by the protocols of other evaluation codes: `--protocol`.

Images are edited along the direction of the paper's classifier. What a code does otherwise is in the note of its
protocol (benchmarks/protocols/edits).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.core.measurement import Numbers
from benchmarks.metrics.edits import f1_of_batches
from benchmarks.metrics.protocols import cases, schema
from benchmarks.metrics.protocols.edits import Composition, Effectiveness, Fid, Lec, named
from benchmarks.metrics.protocols.pixels import from_zero_to_one
from benchmarks.plugin import Arrays, Calls, Measurement, Place, code_of
from benchmarks.systems.protocol.base import why_immovable
from benchmarks.systems.protocol.parts import flat
from benchmarks.tasks.edits.decoded import Ground
from benchmarks.tasks.edits.directions import PAPER
from benchmarks.tasks.edits.unpaired import edits_of, made, near_numbers, refusals
from benchmarks.tasks.shared.probe_fits import fit_adam, probe_of
from diffae.eight_bit import to_uint8

TABLE = "edits_by_protocol"
CAPTION = (
    "Edits along the direction of the paper's classifier, measured as the evaluation codes of others do "
    "(`diffae-bench docs edits`). FID is to real images of the class that is edited to."
)
AGE = "Young"  # the attribute of e4e's edit
NO_INCEPTION = (
    "needs Inception: its weights are missing, or --features or --stand-ins leaves it out"
)
PIXELS = schema.Pixels(scaling="x / 255")


def measured(ground: Ground, names: Sequence[str]) -> Iterator[Measurement]:
    """The measurements of each protocol of the run: of the images of a ground, and edits of attributes."""
    for protocol in map(named, ground.place.context.options.edit_protocols):
        for name, section in protocol.sections.items():
            fields = {f"{name}.{field}": value for field, value in vars(section).items()}
            place = ground.place.also(by=protocol.name, **fields)
            place = place.at(table=TABLE, setting=f"{protocol.name}, ")
            match section:
                case Fid():
                    yield _fid(place, ground, names, section)
                case Lec():
                    yield _lec(place, ground, names, section)
                case Composition():
                    yield _composition(place, ground, section)
                case Effectiveness():
                    yield _effectiveness(place, ground, names, section)


def _fid(place: Place, ground: Ground, names: Sequence[str], fid: Fid) -> Measurement:
    """FID of edited and unedited images to real ones of the other class."""
    networks = {network.network: network for network in place.context.networks.features}
    if "inception" not in networks:
        return Measurement([], lambda: refusals(place, "fid", {"edited": NO_INCEPTION}))
    network, fits = networks["inception"], {PAPER: fit_adam(place.context, ground.variant.system)}
    edits, refused = edits_of(ground, names, fits, fid.quantile)
    real = place.context.codes.real_features(ground.images, network)

    def numbers(features: Arrays, *sums: Arrays) -> Numbers:
        edited, cannot = made(edits, sums)
        near = [edit for edit, _ in edited], features["features"]
        yield from near_numbers(place, place, network, "fid", *near, halved=False)
        yield from refusals(place, "fid", refused | cannot)

    return Measurement([real, *(edit.job for edit in edits)], numbers)


def _lec(place: Place, ground: Ground, names: Sequence[str], lec: Lec) -> Measurement:
    """LEC as published, of one attribute."""
    system, images = ground.variant.system, ground.images
    attribute = AGE if AGE in names else names[0]
    if reason := why_immovable(system):
        return Measurement([], lambda: refusals(place, "lec_frobenius", {attribute: reason}))
    column = images.dataset.attribute_names.index(attribute)

    def compute(positions: np.ndarray, codes: Arrays, fit: Arrays) -> Arrays:
        code, step = code_of(codes), lec.step * probe_of(fit).normal(column)
        assert code.semantic is not None
        aim = system.move(code.semantic, step.expand(len(positions), -1))
        decoded = ground.variant.decode_at_own_size(replace(code, semantic=aim))
        missed = flat(system.encode_semantic(decoded)).cpu() - flat(aim).cpu()
        return {"missed": missed.double().norm(dim=1).numpy()}

    def numbers(arrays: Arrays) -> Numbers:
        kept = without_outliers(arrays["missed"], lec.batch, lec.cut)
        if not len(kept):
            few = f"{len(images)} images, fewer than a batch of {lec.batch}"
            return refusals(place, "lec_frobenius", {attribute: few})
        chosen = replace(images, order=images.order[kept])
        scores = {"lec_frobenius": arrays["missed"][kept]}
        return place.at(setting=place.setting + attribute).means(chosen, scores)

    calls = ground.variant.decoding + Calls(encoder=1)
    job = place.job("LEC", "decoded edits", images, compute, calls=calls, attribute=attribute)
    fit = fit_adam(place.context, system)
    return Measurement([replace(job, rows_of=[ground.codes], takes=[fit])], numbers)


def without_outliers(values: np.ndarray, batch: int, cut: float) -> np.ndarray:
    """The positions in values [n] of whole batches whose means are between the percentiles `cut` and 100 -
    `cut` of the means: the next lower and the next higher mean.
    """
    means = values[: len(values) // batch * batch].reshape(-1, batch).mean(1)
    if not len(means):
        return np.zeros(0, int)
    low = np.percentile(means, cut, method="lower")
    high = np.percentile(means, 100 - cut, method="higher")
    return np.flatnonzero(np.repeat((low <= means) & (means <= high), batch))


def _composition(place: Place, ground: Ground, composition: Composition) -> Measurement:
    """How far images are from the originals after all of the code was encoded and decoded again."""
    variant, images, networks = ground.variant, ground.images, place.context.networks
    lpips = schema.Lpips(trunk=composition.trunk, batch=composition.batch)
    case = cases.ImageCase("lpips", schema.ImageProtocol("", "", "", lpips=lpips))
    reason = cases.why_not(case, networks, (images.dataset.image_size,) * 2)
    network = {} if reason else networks.perceptual_distance(composition.trunk).describe()
    cycles = max(composition.cycles)

    def compute(positions: np.ndarray) -> Arrays:
        x, arrays = images.batch(positions), Arrays()
        decoded = images.seen_by(variant.system).batch(positions)
        for m in range(1, cycles + 1):
            decoded = variant.decode_at_own_size(variant.system.encode(decoded, variant.T))
            if m in composition.cycles:
                y, rounding = variant.context.resized(decoded), composition.rounding
                a, b = (from_zero_to_one(z, PIXELS, rounding) for z in (y, to_uint8(x)))
                arrays[f"L1 {m}"] = 255 * (a - b).abs().flatten(1).mean(1).numpy()
                scores = cases.compute([] if reason else [case], networks, y, x)
                arrays |= {f"LPIPS {m}": values for values in scores.values()}
        return arrays

    def numbers(arrays: Arrays) -> Numbers:
        metric = "lpips_vgg" if lpips.trunk == "vgg16" else "lpips"
        for m in composition.cycles:
            at = place.at(setting=f"{place.setting}encoded {m} x")
            yield from at.means(images, {"composition_l1": arrays[f"L1 {m}"]})
            if reason:
                yield from at.missing([metric], reason)
                continue
            scores = {case.scores_key: arrays[f"LPIPS {m}"]}
            estimate = cases.estimate(case, scores, images.units)
            yield from at.also(**network).numbers({metric: estimate})

    title = f"all encoded and decoded {cycles} x"
    calls = (variant.encoding + variant.decoding).times(cycles)
    calls += Calls(perceptual=0 if reason else len(composition.cycles))
    job = place.also(**network).job("cycles", title, images, compute, calls=calls)
    return Measurement([job], numbers)


def _effectiveness(
    place: Place, ground: Ground, names: Sequence[str], effectiveness: Effectiveness
) -> Measurement:
    """F1 of a classifier of images, of edits of all images to the other class of an attribute."""
    fits = {PAPER: fit_adam(place.context, ground.variant.system)}
    edits, refused = edits_of(ground, names, fits)
    batch, units = effectiveness.batch, ground.images.units

    def numbers(*sums: Arrays) -> Numbers:
        can, cannot = made(edits, sums)
        for edit, arrays in can:
            seen = edit.present ^ (arrays["hits"] > 0)
            f1 = f1_of_batches(~edit.present, seen, batch, units)
            yield from place.at(setting=place.setting + edit.attribute).numbers(f1)
        yield from refusals(place, "f1", refused | cannot)

    return Measurement([edit.job for edit in edits], numbers)
