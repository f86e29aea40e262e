"""Edits measured by the protocols of other evaluation codes: `--protocol`.

Images are edited along the direction of the paper's classifier. What a code does otherwise is in the note of its
protocol (benchmarks/protocols/edits).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.metrics.edits import f1_of_batches
from benchmarks.metrics.protocols import cases, schema
from benchmarks.metrics.protocols.edits import (
    Composition,
    Effectiveness,
    Fid,
    Lec,
    Section,
    named,
)
from benchmarks.metrics.protocols.pixels import from_zero_to_one
from benchmarks.plugin import Arrays, Cell, Measurement, Record
from benchmarks.systems.protocol.base import why_immovable
from benchmarks.systems.protocol.parts import flat
from benchmarks.tasks.edits.decoded import Ground, stored_code
from benchmarks.tasks.edits.directions import PAPER
from benchmarks.tasks.edits.unpaired import edits_of, near_rows, refusals
from benchmarks.tasks.shared.probe_fits import fit_adam
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
    for protocol in map(named, ground.at.context.options.edit_protocols):
        for name, section in protocol.sections.items():
            fields = {f"{name}.{field}": value for field, value in vars(section).items()}
            cell = ground.cell.also(by=protocol.name, **fields)
            yield _section(
                cell.but(table=TABLE, setting=f"{protocol.name}, "), ground, names, section
            )


def _section(cell: Cell, ground: Ground, names: Sequence[str], section: Section) -> Measurement:
    """The measurement of a section of a protocol."""
    match section:
        case Fid():
            return _fid(cell, ground, names, section)
        case Lec():
            return _lec(cell, ground, names, section)
        case Composition():
            return _composition(cell, ground, section)
        case Effectiveness():
            return _effectiveness(cell, ground, names, section)


def _fid(cell: Cell, ground: Ground, names: Sequence[str], fid: Fid) -> Measurement:
    """FID of edited and unedited images to real ones of the other class."""
    networks = {network.network: network for network in cell.context.networks.features}
    if "inception" not in networks:
        return Measurement([], lambda: refusals(cell, "fid", {"edited": NO_INCEPTION}))
    probes = {PAPER: fit_adam(cell.context, ground.at.system)}
    edits, refused = edits_of(ground, names, probes, fid.quantile)

    def reduce(*_: Arrays) -> Iterator[Record]:
        yield from near_rows(cell, cell, networks["inception"], "fid", edits, halved=False)
        yield from refusals(cell, "fid", refused)

    return Measurement([edit.computation for edit in edits], reduce)


def _lec(cell: Cell, ground: Ground, names: Sequence[str], lec: Lec) -> Measurement:
    """LEC as published, of one attribute."""
    system, T, images = ground.at.system, ground.at.T, ground.images
    attribute = AGE if AGE in names else names[0]
    if reason := why_immovable(system):
        return Measurement([], lambda: refusals(cell, "lec_frobenius", {attribute: reason}))
    column = images.dataset.attribute_names.index(attribute)
    step = lec.step * fit_adam(cell.context, system).normal(column)

    def compute(positions: np.ndarray) -> Arrays:
        code = stored_code(ground.of_chunk(positions))
        assert code.semantic is not None
        aim = system.move(code.semantic, step.expand(len(positions), -1))
        made = system.decode(replace(code, semantic=aim), T).cpu()
        missed = flat(system.encode_semantic(made)).cpu() - flat(aim).cpu()
        return {"missed": missed.double().norm(dim=1).numpy()}

    def reduce(arrays: Arrays) -> Iterator[Record]:
        kept = without_outliers(arrays["missed"], lec.batch, lec.cut)
        if not len(kept):
            few = f"{len(images)} images, fewer than a batch of {lec.batch}"
            yield from refusals(cell, "lec_frobenius", {attribute: few})
            return
        chosen = replace(images, order=images.order[kept])
        scores = {"lec_frobenius": arrays["missed"][kept]}
        yield from cell.but(setting=cell.setting + attribute).means(chosen, scores)

    computed = cell.computation("LEC", "decoded edits", images, compute, attribute=attribute)
    return Measurement([computed], reduce)


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


def _composition(cell: Cell, ground: Ground, composition: Composition) -> Measurement:
    """How far images are from the originals after all of the code was encoded and decoded again."""
    at, images, networks = ground.at, ground.images, cell.context.networks
    lpips = schema.Lpips(trunk=composition.trunk, batch=composition.batch)
    case = cases.ImageCase("lpips", schema.ImageProtocol("", "", "", lpips=lpips))
    reason = cases.why_not(case, networks, (images.dataset.image_size,) * 2)
    network = {} if reason else cases.network_of(case, networks).describe()

    def compute(positions: np.ndarray) -> Arrays:
        x, arrays = images.batch(positions), Arrays()
        made = images.seen_by(at.system).batch(positions)
        for m in range(1, max(composition.cycles) + 1):
            made = at.system.decode(at.system.encode(made, at.T), at.T).cpu()
            if m in composition.cycles:
                y, rounding = at.context.resized(made), composition.rounding
                a, b = (from_zero_to_one(z, PIXELS, rounding) for z in (y, to_uint8(x)))
                arrays[f"L1 {m}"] = 255 * (a - b).abs().flatten(1).mean(1).numpy()
                scores = cases.compute([] if reason else [case], networks, y, x)
                arrays |= {f"LPIPS {m}": values for values in scores.values()}
        return arrays

    def reduce(arrays: Arrays) -> Iterator[Record]:
        metric = "lpips_vgg" if lpips.trunk == "vgg16" else "lpips"
        for m in composition.cycles:
            at = cell.but(setting=f"{cell.setting}encoded {m} x")
            yield from at.means(images, {"composition_l1": arrays[f"L1 {m}"]})
            if reason:
                yield from at.missing([metric], reason)
                continue
            scores = {case.scores_key: arrays[f"LPIPS {m}"]}
            yield at.also(**network).record(metric, cases.estimate(case, scores, images.units))

    title = f"all encoded and decoded {max(composition.cycles)} x"
    return Measurement([cell.computation("cycles", title, images, compute, **network)], reduce)


def _effectiveness(
    cell: Cell, ground: Ground, names: Sequence[str], effectiveness: Effectiveness
) -> Measurement:
    """F1 of a classifier of images, of edits of all images to the other class of an attribute."""
    probes = {PAPER: fit_adam(cell.context, ground.at.system)}
    edits, refused = edits_of(ground, names, probes)
    batch, units = effectiveness.batch, ground.images.units

    def reduce(*sums: Arrays) -> Iterator[Record]:
        for edit, arrays in zip(edits, sums, strict=True):
            seen = edit.present ^ (arrays["hits"] > 0)
            setting = cell.setting + edit.attribute
            f1 = f1_of_batches(~edit.present, seen, batch, units)
            yield from cell.records(f1, setting=setting)
        yield from refusals(cell, "f1", refused)

    return Measurement([edit.computation for edit in edits], reduce)
