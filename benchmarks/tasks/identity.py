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

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from math import inf
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.benchmark import Benchmark
from benchmarks.core.context import Context
from benchmarks.core.images import file_name, preview
from benchmarks.core.measurement import Cell, Measurement, Solved
from benchmarks.core.selection import Selection
from benchmarks.core.sizes import Count, InvertingSolver, Steps, in_words
from benchmarks.core.store import Arrays, Computation
from benchmarks.metrics.networks.faces import FaceEmbedding, without_face
from benchmarks.runtime.errors import NotAvailable
from benchmarks.systems.protocol.base import (
    DECODE,
    ENCODE,
    IN_WORDS,
    SEMANTIC,
    System,
    reading_of,
    why_immovable,
)
from benchmarks.tasks.shared.probe_fits import ADAM, fit_adam, fits, selections
from benchmarks.tasks.shared.probe_fits import Sizes as ProbeSizes
from probes import LinearProbe
from reports.records.record import Record
from reports.records.specs import TableSpec
from reports.records.uncertainty import of_mean

TABLE = "appendix_g_identity"
ATTRIBUTES = ("Male", "Smiling", "Wavy_Hair", "Young")  # the paper's
PREVIEW = 8
REAL = "real images (test)"
SAME, DIFFERENT = "the same person, another picture", "different people"
OTHER_IMAGES = "different images"  # for data without identities
RECONSTRUCTED = "reconstruction"  # the row of data without labels
# Shares of an image's side: TokBench's at 256 px (wjf5203/TokBench@a77070c, compute_all_metrics.py).
FACE_SIDES = (0.0, 0.1, 0.2, inf)
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
    if not context.dataset.labelled:
        yield _reconstructed(at, images)
        return
    if SEMANTIC not in system.capabilities:
        raise NotAvailable(f"{system.title} cannot {IN_WORDS[SEMANTIC]}")
    if reason := why_immovable(system):
        raise NotAvailable(reason)
    attributes, face = _attributes(context), context.networks.face
    probe, labels = fit_adam(context, system), selections(context)[0].labels
    fields = {
        "edit": "z + s sqrt(d) w / |w| on normalised z, away from the present value",
        "before": "the real image",
        "probe": ADAM,
        "probe_train": context.sizes(ProbeSizes).train,
        **reading_of(system),
        **face.describe(),
    }
    cell = Cell(context, TABLE, at, n=len(images), fields=fields)
    for attribute in attributes:
        column = context.dataset.attribute_names.index(attribute)
        if labels[:, column].all() or not labels[:, column].any():
            note = f"{attribute}: only one class among the probe's training images"
            none = Cell(context, TABLE, title=system.title, setting=attribute, note=note)
            yield Measurement([], partial(_why_not, none, face.metric_name))
            continue
        yield _edited(cell.but(setting=attribute), at, images, probe, column, sizes.strengths)


def _why_not(cell: Cell, metric: str) -> Iterator[Record]:
    yield cell.row(metric, None)


def _reconstructed(at: Solved, images: Selection) -> Measurement:
    """The row of the reconstruction, for data without labels to edit by."""
    context, face = at.context, at.context.networks.face
    fields = {"edit": "none", "before": "the real image", **face.describe()}
    cell = Cell(context, TABLE, at, setting=RECONSTRUCTED, n=len(images), fields=fields)
    originals = torch.from_numpy(_embeddings(context, len(images)))

    def compute(positions: np.ndarray) -> Arrays:
        decoded = face(at.decode(at.codes(images, positions))).cpu().double()
        return {"identity": face.compare(originals[positions], decoded).numpy()}

    def reduce(found: Arrays) -> Iterator[Record]:
        yield from identity_kept(cell, images, face, found["identity"])
        if face.sides:
            yield from _by_size(cell, images, face.sides, found["identity"])

    return Measurement([cell.computation("reconstructed faces", "decode", images, compute)], reduce)


def _edited(
    cell: Cell,
    at: Solved,
    images: Selection,
    probe: LinearProbe,
    column: int,
    strengths: Sequence[float],
) -> Measurement:
    """The rows of an attribute: of the reconstruction, and of the edit of each strength."""
    attribute, face = cell.setting, cell.context.networks.face
    towards = 1 - 2 * images.labels[:, column].astype(np.float32)

    def reduce(*found: Arrays) -> Iterator[Record]:
        strips = []
        for strength, scores in zip((0.0, *strengths), found, strict=True):
            strips.append(torch.from_numpy(scores["preview"]))
            edit = cell.but(setting=f"{attribute} {in_words(strength)}")
            yield from identity_kept(edit, images, face, scores["identity"])
            changes = scores["logits_change"][:, column] * towards
            yield from edit.means(images, {"logit_change": changes})
        originals = images.batch(np.arange(len(strips[0])))
        present = images.labels[: len(originals), column]
        cell.draw(
            f"edit-{{}}-{file_name(attribute)}",
            f"{attribute}, edited",
            [originals, *strips],
            **captions(attribute, strengths, present),
        )

    edits = [
        edit(cell, at, images, probe, column, strength, torch.from_numpy(towards))
        for strength in (0.0, *strengths)
    ]
    return Measurement(edits, reduce, list(fits(cell.context, True, regressions=False)))


def edit(
    cell: Cell,
    at: Solved,
    images: Selection,
    probe: LinearProbe,
    column: int,
    strength: float,
    towards: Tensor,
) -> Computation:
    """Identity and logit change per image, [N] each, and the first few edited images ("preview").

    The identity is NaN where no face is found. Strength 0 is the reconstruction, which all attributes
    share: no edit can keep more than it does.
    """
    system, face = at.system, cell.context.networks.face
    originals = torch.from_numpy(_embeddings(cell.context, len(images)))

    def compute(positions: np.ndarray) -> Arrays:
        code = at.codes(images, positions)
        if (semantic := code.semantic) is None:
            raise NotAvailable(f"{system.title} encodes no semantic part beside its other code")
        if strength:
            by = probe.move(column, strength * towards[positions])
            code = replace(code, semantic=system.move(semantic, by))
        edited = system.decode(code, at.T).cpu()
        before = probe.logits(system.read(semantic).cpu())
        after = probe.logits(system.read(system.encode_semantic(edited)).cpu())
        edited = cell.context.resized(edited)
        return {
            "identity": face.compare(originals[positions], face(edited).cpu().double()).numpy(),
            "logits_change": (after - before).numpy(),  # of all attributes
            "preview": preview(positions, edited, PREVIEW),
        }

    of = cell if strength else cell.but(setting="")
    return of.computation("edited", "edit", images, compute, strength=strength)


def identity_kept(
    cell: Cell, images: Selection, face: FaceEmbedding, values: np.ndarray
) -> Iterator[Record]:
    """The mean of the comparisons [N] of images before and after, over those with a face in both."""
    found = ~np.isnan(values)
    note = without_face(int((~found).sum()), len(values), "pairs")
    if not found.any():
        yield cell.row(face.metric_name, None, n=None, note=note)
        return
    seen = replace(images, order=images.order[found])
    yield from cell.means(seen, {face.metric_name: values[found]}, note=note)


def _by_size(
    cell: Cell, images: Selection, measure: Callable[[Tensor], Tensor], values: np.ndarray
) -> Iterator[Record]:
    """The mean comparison [N] of images and reconstructions by the size of the face in the image."""
    context, face = cell.context, cell.context.networks.face

    def compute(positions: np.ndarray) -> Arrays:
        return {"sides": measure(images.batch(positions)).numpy()}

    key = context.codes.key("sides of faces", None, images) | {"face": face.describe()}
    sides = context.store.array(key, len(images), compute, "sides")
    for low, high in pairwise(context.dataset.image_size * np.array(FACE_SIDES)):
        inside = np.flatnonzero((low <= sides) & (sides < high))
        if len(inside):
            seen = replace(images, order=images.order[inside])
            width = f"{low:.0f} {f'to {high:.0f}' if high < inf else 'or more'} px"
            of = cell.but(setting=f"{RECONSTRUCTED}, face {width}")
            yield from identity_kept(of, seen, face, values[inside])


def captions(attribute: str, strengths: Sequence[float], present: np.ndarray) -> dict[str, Any]:
    """Captions of a sheet of faces, their reconstructions and their edits by each of `strengths`.

    `present` [N] says whether each face has the attribute, and so in which direction it is edited.
    """
    return {
        "rows": ("input", "reconstruction", *(f"strength {in_words(s)}" for s in strengths)),
        "columns": [f"{'away from' if has else 'towards'} {attribute}" for has in present],
        "caption": "Codes moved along the direction of the probe for the attribute (Fig. 5): towards it where a "
        "face has it not, else away from it.",
    }


def _metric(context: Context) -> str:
    """The metric's name with the available network; the paper's name if there is none."""
    try:
        return context.networks.face.metric_name
    except NotAvailable:
        return "arcface"


def _attributes(context: Context) -> list[str]:
    """The chosen attributes, or those of the paper's that the data set has."""
    chosen = context.options.attributes or ATTRIBUTES
    known = [name for name in chosen if name in context.dataset.attribute_names]
    if not known:
        raise NotAvailable(
            f"not applicable: {context.dataset.name} has none of the attributes {', '.join(chosen)} "
            "(--attributes names others)"
        )
    return known


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
    known = context.dataset.identities is not None
    embeddings = _embeddings(context, len(images))
    found = ~np.isnan(embeddings).any(1)
    note = without_face(int((~found).sum()), len(found), "images")
    seen = replace(images, order=images.order[found])
    faces = torch.from_numpy(embeddings[found])
    first, second = _two_pictures(seen.groups)
    of_one = np.flatnonzero(second >= 0)

    fields = {"pairs": "real images", **face.describe()}
    cell = Cell(context, TABLE, title=REAL, n=len(images), note=note, fields=fields)
    row = partial(cell.row, face.metric_name, reference=True)
    if known and len(of_one):
        same = face.compare(faces[first[of_one]], faces[second[of_one]]).numpy()
        error = of_mean(same, seen.units("persons with two pictures"))
        yield row(float(same.mean()), error, setting=SAME, n=len(same))
    other = DIFFERENT if known else OTHER_IMAGES
    if len(first) > 1:
        with_others = face.with_others(faces[first]).numpy()
        mean = float(with_others.mean())
        # each pair counts for both of its people, so a person's influence is twice their own mean
        influence = mean + 2 * (with_others - mean)
        error = of_mean(influence, seen.units("persons, a picture each"))
        yield row(mean, error, setting=other, n=len(influence))
    if not found.any():
        yield row(None, setting=other, n=None)


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
    found = context.store.array(key, len(selection), compute, "face")
    return found[:count].astype(np.float64)


BENCHMARK = Benchmark(
    name="identity",
    table=TABLE,
    headline=_metric,
    needs=frozenset({ENCODE, DECODE}),
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
            headline_settings=("Male ", "Smiling ", "Wavy_Hair ", "Young "),
            order=70,
        ),
    ),
)
