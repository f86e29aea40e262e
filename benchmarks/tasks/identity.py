"""Identity: is the person the same after an attribute was edited? (paper, Appendix G)

An edit moves the normalised z_sem along the weight vector of the paper's classifier, away from the
attribute's present value:

    z' = z + s sqrt(d) w / |w|

and decodes it with the image's own inverted x_T. Face embeddings before and after are compared, by
their cosine or by the distance of the network (`FaceEmbedding.compare`), beside the effect of the
edit: the change of the probe's logit when the edited image is encoded again.

Neither has a scale of its own. `references` measures one with the same embedding on real images:
two pictures of one person, the most that an edit can be expected to keep, and two different people.

Without labels nothing is edited: the reconstruction alone is compared with the image; by the size of
the face too where the embedding looks for it (after Wu et al. 2025, TokBench, arXiv 2505.18142).

An embedding that looks for a face may find none. Such images are left out of the mean and counted in
the note of the row.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from math import inf
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.images import Selection, file_name, preview
from benchmarks.core.measurement import Cell, Measurement, Solved
from benchmarks.core.sizes import Count, InvertingSolver, Steps, in_words
from benchmarks.metrics import pairs
from benchmarks.metrics.networks.faces import (
    mean_of_different_people,
    without_face,
)
from benchmarks.plugin import (
    Arrays,
    Benchmark,
    Computation,
    Context,
    NotAvailable,
    Record,
    TableSpec,
)
from benchmarks.systems.protocol import base
from benchmarks.systems.protocol.base import System, reading_of, why_immovable
from benchmarks.tasks.shared.probe_fits import ADAM, fit_adam, fits, selections
from benchmarks.tasks.shared.probe_fits import Sizes as ProbeSizes
from probes import LinearProbe
from reports.records.estimate import Estimate

TABLE = "appendix_g_identity"
ATTRIBUTES = ("Male", "Smiling", "Wavy_Hair", "Young")  # the paper's
PREVIEW = 8
REAL = "real images (test)"
SAME, DIFFERENT = "the same person, another picture", "different people"
OTHER_IMAGES = "different images"  # for data without identities
RECONSTRUCTED = "reconstruction"  # the row of data without labels
# Shares of an image's side: TokBench's at 256 px (wjf5203/TokBench@a77070c, compute_all_metrics.py).
FACE_SIDES = (0.0, 0.1, 0.2, inf)
Decode = Callable[[np.ndarray], tuple[Tensor, Arrays]]
RANGE = 16  # images of the range per edited image: they only pass through the embedding


@dataclass(frozen=True)
class Sizes:
    """
    images      how many are edited
    strengths   s of the edits
    steps       T of inversion and decoding
    solver      solver that takes these steps
    """

    images: Count = 20
    strengths: tuple[float, ...] = (0.15, 0.3, 0.8)
    steps: Steps = 10
    solver: InvertingSolver = "fast"


def run(context: Context, system: System) -> Iterator[Measurement]:
    sizes = context.sizes(Sizes)
    images = context.select("test", sizes.images)
    at = Solved.of(context, system, sizes.solver, sizes.steps)
    yield from (_edits if context.dataset.labelled else _reconstructions)(at, images)


def _cell(at: Solved, images: Selection, setting: str, **fields: Any) -> Cell:
    context = at.context
    fields |= {"before": "the real image", **context.networks.face.describe()}
    return Cell(context, TABLE, at, setting=setting, n=len(images), fields=fields)


def _faces(cell: Cell, images: Selection, title: str, decode: Decode, **more: Any) -> Computation:
    """How each face compares with that of the image that is decoded for it, "identity" [N].

    NaN where no face is found. `decode` may add arrays of its own.
    """
    context, face = cell.context, cell.context.networks.face
    originals = torch.from_numpy(_embeddings(context, len(images)))

    def compute(positions: np.ndarray) -> Arrays:
        decoded, arrays = decode(positions)
        faces = face(decoded).cpu().double()
        identity = {"identity": face.compare(originals[positions], faces).numpy()}
        return arrays | identity | {"preview": preview(positions, decoded, PREVIEW)}

    return cell.computation("decoded faces", title, images, compute, **more)


def kept(cell: Cell, images: Selection, values: np.ndarray) -> Iterator[Record]:
    """The mean of the comparisons [N] of images before and after, over those with a face in both."""
    metric = cell.context.networks.face.metric_name
    mean = pairs.estimates({metric: values}, images.units)[metric]
    yield cell.record(metric, mean, split=images.split)


# ----------------------------------------------------------------------------------------------
# Reconstructions of images without labels


def _reconstructions(at: Solved, images: Selection) -> Iterator[Measurement]:
    cell = _cell(at, images, RECONSTRUCTED, edit="none")

    def decode(positions: np.ndarray) -> tuple[Tensor, Arrays]:
        return at.decode(at.codes(images, positions)), {}

    def reduce(arrays: Arrays) -> Iterator[Record]:
        yield from kept(cell, images, arrays["identity"])
        if measure := at.context.networks.face.sides:
            yield from _by_size(cell, images, measure, arrays["identity"])

    yield Measurement([_faces(cell, images, "decode", decode)], reduce)


def _by_size(
    cell: Cell, images: Selection, measure: Callable[[Tensor], Tensor], values: np.ndarray
) -> Iterator[Record]:
    """The mean comparison [N] of images and reconstructions by the size of the face in the image."""
    context = cell.context

    def compute(positions: np.ndarray) -> Arrays:
        return {"sides": measure(images.batch(positions)).numpy()}

    key = context.codes.key("sides of faces", None, images)
    key |= {"face": context.networks.face.describe()}
    sides = context.store.array(key, len(images), compute, "sides")
    for low, high in pairwise(context.dataset.image_size * np.array(FACE_SIDES)):
        inside = np.flatnonzero((low <= sides) & (sides < high))
        if len(inside):
            seen = replace(images, order=images.order[inside])
            width = f"{low:.0f} {f'to {high:.0f}' if high < inf else 'or more'} px"
            in_range = cell.but(setting=f"{RECONSTRUCTED}, face {width}")
            yield from kept(in_range, seen, values[inside])


# ----------------------------------------------------------------------------------------------
# Edits of images with labels


def _edits(at: Solved, images: Selection) -> Iterator[Measurement]:
    context, system = at.context, at.system
    if base.SEMANTIC not in system.capabilities:
        raise NotAvailable(f"{system.title} cannot {base.IN_WORDS[base.SEMANTIC]}")
    if reason := why_immovable(system):
        raise NotAvailable(reason)
    attributes, metric = _attributes(context), context.networks.face.metric_name
    probe, labels = fit_adam(context, system), selections(context)[0].labels
    fields = {"edit": "z + s sqrt(d) w / |w| on normalised z, away from the present value"}
    fields |= {"probe": ADAM, **reading_of(system)}
    cell = _cell(at, images, "", **fields, probe_train=context.sizes(ProbeSizes).train)
    for attribute in attributes:
        column = context.dataset.attribute_names.index(attribute)
        if labels[:, column].all() or not labels[:, column].any():
            why = f"{attribute}: only one class among the probe's training images"
            unedited = Cell(context, TABLE, title=system.title, setting=attribute)
            yield Measurement([], partial(unedited.missing, [metric], why))
        else:
            yield _edited(cell.but(setting=attribute), at, images, probe, column)


def _edited(
    cell: Cell, at: Solved, images: Selection, probe: LinearProbe, column: int
) -> Measurement:
    """The rows of an attribute: of the reconstruction, and of the edit of each strength."""
    attribute, strengths = cell.setting, (0.0, *cell.context.sizes(Sizes).strengths)
    towards = away(images, column)

    def reduce(*arrays: Arrays) -> Iterator[Record]:
        for strength, scores in zip(strengths, arrays, strict=True):
            here = cell.but(setting=f"{attribute} {in_words(strength)}")
            yield from kept(here, images, scores["identity"])
            changes = scores["logits_change"][:, column] * towards
            yield from here.means(images, {"logit_change": changes})
        strips = [torch.from_numpy(scores["preview"]) for scores in arrays]
        originals = images.batch(np.arange(len(strips[0])))
        cell.draw(
            f"edit-{{}}-{file_name(attribute)}",
            f"{attribute}, edited",
            [originals, *strips],
            rows=("input", "reconstruction", *(f"strength {in_words(s)}" for s in strengths[1:])),
            columns=edit_titles(attribute, images.labels[: len(originals), column]),
            caption="Codes moved along the direction of the probe for the attribute (Fig. 5): "
            "towards it where a face has it not, else away from it.",
        )

    edits = [edit(cell, at, images, probe, column, strength) for strength in strengths]
    return Measurement(edits, reduce, list(fits(cell.context, True, regressions=False)))


def away(images: Selection, column: int) -> np.ndarray:
    """The direction of each image's edit, away from its present value: 1 or -1, float32 [N]."""
    return 1 - 2 * images.labels[:, column].astype(np.float32)


def edit_titles(attribute: str, present: np.ndarray) -> list[str]:
    """The direction in which each image is edited, by whether it has the attribute, `present` [N]."""
    return [f"{'away from' if has else 'towards'} {attribute}" for has in present]


def edit(
    cell: Cell, at: Solved, images: Selection, probe: LinearProbe, column: int, strength: float
) -> Computation:
    """Faces, and the change of all logits "logits_change" [N, A], after an edit of this strength.

    Strength 0 is the reconstruction, which all attributes share: no edit can keep more than it does.
    """
    system, towards = at.system, torch.from_numpy(away(images, column))

    def decode(positions: np.ndarray) -> tuple[Tensor, Arrays]:
        code = at.codes(images, positions)
        if (semantic := code.semantic) is None:
            raise NotAvailable(f"{system.title} encodes no semantic part beside its other code")
        if strength:
            by = probe.move(column, strength * towards[positions])
            code = replace(code, semantic=system.move(semantic, by))
        edited = system.decode(code, at.T).cpu()
        before = probe.logits(system.read(semantic).cpu())
        after = probe.logits(system.read(system.encode_semantic(edited)).cpu())
        return cell.context.resized(edited), {"logits_change": (after - before).numpy()}

    cell = cell if strength else cell.but(setting="")
    return _faces(cell, images, "edit", decode, strength=strength)


# ----------------------------------------------------------------------------------------------
# Real images


def _metric(context: Context) -> str:
    """The metric's name with the available network; the paper's name if there is none."""
    try:
        return context.networks.face.metric_name
    except NotAvailable:
        return "arcface"


def _attributes(context: Context) -> list[str]:
    """The chosen attributes, or those of the paper's that the data set has."""
    chosen = context.options.attributes or ATTRIBUTES
    names = [name for name in chosen if name in context.dataset.attribute_names]
    if not names:
        none = f"{context.dataset.name} has none of the attributes {', '.join(chosen)}"
        raise NotAvailable(f"not applicable: {none} (--attributes names others)")
    return names


def references(context: Context) -> Iterator[Record]:
    """The range of the metric: real images of the same person and of different people.

    People, one picture each, are compared with all others, and with a second picture of themselves
    if the images contain one. Data that does not identify persons has no pairs of one person, and
    each of its images counts as a person: any two of them may still show the same one, and the row is
    called "different images".
    """
    try:
        face = context.networks.face
        _ = not context.dataset.labelled or _attributes(context)
    except NotAvailable:
        return  # every system's row reports it
    images = context.select("test", RANGE * context.sizes(Sizes).images)
    if not len(images):
        return
    embeddings = _embeddings(context, len(images))
    has_face = ~np.isnan(embeddings).any(1)
    note = without_face(int((~has_face).sum()), len(has_face), "images")
    seen = replace(images, order=images.order[has_face])
    faces = torch.from_numpy(embeddings[has_face])
    first, second = _two_pictures(seen.groups)
    twice = np.flatnonzero(second >= 0)

    are_people = context.dataset.identities is not None
    estimates = dict[str, Estimate]()
    if are_people and len(twice):
        same = face.compare(faces[first[twice]], faces[second[twice]]).numpy()
        estimates[SAME] = seen.units.mean_of("persons with two pictures", same)
    different = DIFFERENT if are_people else OTHER_IMAGES
    if len(first) > 1:
        with_others = face.with_others(faces[first]).numpy()
        estimates[different] = mean_of_different_people(with_others, seen.units)
    if not has_face.any():
        estimates[different] = Estimate(None)  # the note of the cell says why
    fields = {"pairs": "real images", **face.describe()}
    cell = Cell(context, TABLE, title=REAL, n=len(images), note=note, fields=fields)
    for setting, estimate in estimates.items():
        yield cell.record(face.metric_name, estimate, setting=setting, reference=True)


def _two_pictures(people: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The positions of each person's first and second picture (-1 if there is none), int [K] each."""
    order = np.argsort(people, kind="stable")
    starts = np.flatnonzero(np.diff(people[order], prepend=people[order][:1] - 1))
    counts = np.diff(starts, append=len(order))
    second = np.where(counts > 1, order[np.minimum(starts + 1, len(order) - 1)], -1)
    return order[starts], second


def _embeddings(context: Context, count: int) -> np.ndarray:
    """Embeddings of the first test images, from the store: float64 count x d, NaN where no face is found.

    Those of the range are computed, which all edits of all systems share.
    """
    at_least = RANGE * context.sizes(Sizes).images
    selection = context.select("test", max(count, at_least))

    def compute(positions: np.ndarray) -> Arrays:
        return {"face": context.networks.face(selection.batch(positions)).cpu().numpy()}

    key = context.codes.key("faces", None, selection) | {"face": context.networks.face.describe()}
    computation = Computation("faces of test", key, len(selection), compute, shared="faces test")
    return context.store.read(computation)["face"][:count].astype(np.float64)


BENCHMARK = Benchmark(
    name="identity",
    headline=_metric,
    needs=frozenset({base.ENCODE, base.DECODE}),
    # The probe of an edit begins with random weights; the range is of random pictures of people.
    random=lambda row: not row.setting.endswith(" 0") or row.metric == "logit_change",
    run=run,
    sizes=Sizes,
    references=references,
    tables=(
        TableSpec(
            name=TABLE,
            title="Appendix G: identity under manipulation",
            caption=(
                "Cosine similarity of face embeddings before and after an edit (id_dlib: their "
                "distance, where lower is better), by attribute and strength, and how far the edit "
                "moved the attribute's logit: an edit that changes nothing keeps the identity too. "
                "Images without labels are not edited: their reconstructions are compared; by the "
                "side of the square in which the face is found too, where it is looked for. "
                "The rows of real images are the metric's range."
            ),
            rows=("setting",),
            setting_header="edit",
            columns=("metric", "system"),
            metrics=("arcface", "logit_change"),
            headline=("arcface",),
            headline_settings=("Male ", "Smiling ", "Wavy_Hair ", "Young ", "reconstruction"),
            beside=("logit_change",),
            aspects=(("identity", "arcface", ".* 0|reconstruction"),),
            order=70,
        ),
    ),
)
