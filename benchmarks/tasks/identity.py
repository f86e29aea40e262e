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

from collections.abc import Callable, Iterator, Mapping, Sequence
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
from benchmarks.core.images import file_name
from benchmarks.core.plan import Calls, Work, by, codes, network_calls
from benchmarks.core.selection import Selection
from benchmarks.core.sizes import Count, InvertingSolver, Steps
from benchmarks.core.solving import Taken
from benchmarks.core.store import Arrays
from benchmarks.metrics.networks.faces import FaceEmbedding, without_face
from benchmarks.runtime.errors import NotAvailable
from benchmarks.systems.protocol.base import (
    DECODE,
    ENCODE,
    IN_WORDS,
    SEMANTIC,
    STOCHASTIC,
    System,
    reading_of,
    why_immovable,
)
from benchmarks.tasks.shared.probe_fits import ADAM, fit_adam, plan_fit, selections
from benchmarks.tasks.shared.probe_fits import Sizes as ProbeSizes
from benchmarks.tasks.shared.rows import in_words, means
from diffae.sheet import Sheet
from probes import LinearProbe
from reports.records.record import Record
from reports.records.specs import TableSpec
from reports.records.uncertainty import of_mean

TABLE = "appendix_g_identity"
ATTRIBUTES = ("Male", "Smiling", "Wavy_Hair", "Young")  # the paper's
PREVIEW = 8
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


def run(context: Context, system: System) -> Iterator[Record]:
    if not context.dataset.labelled:
        yield from _reconstructed(context, system)
    else:
        yield from _edited(context, system)


def _reconstructed(context: Context, system: System) -> Iterator[Record]:
    """The row of the reconstruction, for data without labels to edit by."""
    system, selection, steps = _solved(context, system)
    face = context.networks.face
    taken = Taken(system, steps, inverts=STOCHASTIC in system.capabilities)
    key = context.codes.key("reconstructed faces", system, selection)
    key |= {"steps": steps, "face": face.describe()}
    originals = torch.from_numpy(_embeddings(context, len(selection)))

    def compute(positions: np.ndarray) -> Arrays:
        code = context.codes.full(system, selection, positions, steps or 1)
        decoded = face(context.resized(system.decode(code, steps or 1).cpu())).cpu().double()
        return {"identity": face.compare(originals[positions], decoded).numpy()}

    values = context.store.array(key, len(selection), compute, "identity")
    fields = {"n": len(selection), "before": "the real image", **taken.protocol}
    protocol = context.protocol("identity", edit="none", **fields, **face.describe())
    row = partial(context.record, "identity", TABLE, system.title, setting=RECONSTRUCTED)
    row = partial(row, **taken.row, protocol=protocol)
    yield from identity_kept(row, selection, face, values)
    if face.sides:
        yield from _by_size(context, row, selection, face.sides, values)


def _edited(context: Context, system: System) -> Iterator[Record]:
    """The rows of each attribute and strength."""
    system, selection, steps = _asked(context, system)
    attributes, face = _attributes(context), context.networks.face
    probe, labels = fit_adam(context, system), selections(context)[0].labels
    sizes = context.sizes(Sizes)
    taken = Taken(system, steps, inverts=STOCHASTIC in system.capabilities)
    row = partial(context.record, "identity", TABLE, system.title)
    protocol = context.protocol(
        "identity",
        n=len(selection),
        edit="z + s sqrt(d) w / |w| on normalised z, away from the present value",
        before="the real image",
        **taken.protocol,
        probe=ADAM,
        probe_train=context.sizes(ProbeSizes).train,
        **reading_of(system),
        **face.describe(),
    )
    for attribute in attributes:
        column = context.dataset.attribute_names.index(attribute)
        if labels[:, column].all() or not labels[:, column].any():
            note = f"{attribute}: only one class among the probe's training images"
            yield row(face.metric_name, None, setting=attribute, note=note)
            continue
        strips = []
        for strength in (0.0, *sizes.strengths):
            scores = edit_scores(context, system, selection, probe, attribute, strength, steps)
            strips.append(torch.from_numpy(scores["preview"]))
            edit = partial(row, setting=f"{attribute} {in_words(strength)}")
            edit = partial(edit, **taken.row, protocol=protocol)
            yield from identity_kept(edit, selection, face, scores["identity"])
            yield from means(edit, selection, {"logit_change": scores["logit_change"]})
        originals = selection.batch(np.arange(len(strips[0])))
        present = selection.labels[: len(originals), column]
        about = {"benchmark": "identity", "system": system.title, "setting": attribute}
        sheet = edited_sheet(
            [originals, *strips], sizes.strengths, present, {**about, "steps": steps}
        )
        context.save_sheet(f"edit-{system.name}-{file_name(attribute)}.png", sheet)


def identity_kept(
    row: Callable[..., Record],
    selection: Selection,
    face: FaceEmbedding,
    values: np.ndarray,
) -> Iterator[Record]:
    """The mean of the comparisons [N] of images before and after, over those with a face in both."""
    found = ~np.isnan(values)
    note = without_face(int((~found).sum()), len(values), "pairs")
    if not found.any():
        yield row(face.metric_name, None, note=note)
        return
    seen = replace(selection, order=selection.order[found])
    yield from means(row, seen, {face.metric_name: values[found]}, note=note)


def _by_size(
    context: Context,
    row: Callable[..., Record],
    selection: Selection,
    measure: Callable[[Tensor], Tensor],
    values: np.ndarray,
) -> Iterator[Record]:
    """The mean comparison [N] of images and reconstructions by the size of the face in the image."""
    face, image_side = context.networks.face, context.dataset.image_size

    def compute(positions: np.ndarray) -> Arrays:
        return {"sides": measure(selection.batch(positions)).numpy()}

    key = context.codes.key("sides of faces", None, selection) | {"face": face.describe()}
    sides = context.store.array(key, len(selection), compute, "sides")
    for low, high in pairwise(image_side * np.array(FACE_SIDES)):
        inside = np.flatnonzero((low <= sides) & (sides < high))
        if len(inside):
            seen = replace(selection, order=selection.order[inside])
            width = f"{low:.0f} {f'to {high:.0f}' if high < inf else 'or more'} px"
            setting = f"{RECONSTRUCTED}, face {width}"
            yield from identity_kept(partial(row, setting=setting), seen, face, values[inside])


def _asked(context: Context, system: System) -> tuple[System, Selection, int | None]:
    """The system with its solver, the images and T.

    Raises NotAvailable if it has no semantic codes, or they cannot be moved.
    """
    if SEMANTIC not in system.capabilities:
        raise NotAvailable(f"{system.title} cannot {IN_WORDS[SEMANTIC]}")
    if reason := why_immovable(system):
        raise NotAvailable(reason)
    return _solved(context, system)


def _solved(context: Context, system: System) -> tuple[System, Selection, int | None]:
    """The system with its solver, the images and T."""
    sizes = context.sizes(Sizes)
    selection, steps = context.select("test", sizes.images), sizes.steps
    return system.solving(sizes.solver), selection, steps if system.iterative else None


def edited_sheet(
    rows: Sequence[Tensor],
    strengths: Sequence[float],
    present: np.ndarray,
    about: Mapping[str, Any],
) -> Sheet:
    """Faces, their reconstructions and their edits by each of `strengths`.

    `present` [N] says whether each face has the attribute `about["setting"]`, and so in which
    direction it is edited.
    """
    attribute = about["setting"]
    return Sheet(
        f"{about['system']}: {attribute}, edited",
        rows,
        rows=("input", "reconstruction", *(f"strength {in_words(s)}" for s in strengths)),
        columns=[f"{'away from' if has else 'towards'} {attribute}" for has in present],
        caption="Codes moved along the direction of the probe for the attribute (Fig. 5): towards it where a face "
        "has it not, else away from it.",
        about=about,
    )


def _metric(context: Context) -> str:
    """The metric's name with the available network; the paper's name if there is none."""
    try:
        return context.networks.face.metric_name
    except NotAvailable:
        return "arcface"


def _attributes(context: Context) -> list[str]:
    """The chosen attributes, or those of the paper's that the data set has."""
    chosen = context.attributes or ATTRIBUTES
    known = [name for name in chosen if name in context.dataset.attribute_names]
    if not known:
        raise NotAvailable(
            f"not applicable: {context.dataset.name} has none of the attributes {', '.join(chosen)} "
            "(--attributes names others)"
        )
    return known


def edit_scores(
    context: Context,
    system: System,
    selection: Selection,
    probe: LinearProbe,
    attribute: str,
    strength: float,
    steps: int | None,
) -> Arrays:
    """Identity and logit change per image, [N] each, and the first few edited images ("preview").

    The identity is NaN where no face is found. Strength 0 is the reconstruction, which all attributes
    share: no edit can keep more than it does.
    """
    column, face = context.dataset.attribute_names.index(attribute), context.networks.face
    originals = torch.from_numpy(_embeddings(context, len(selection)))
    towards = 1 - 2 * selection.labels[:, column].astype(np.float32)
    key = context.codes.key("edited", system, selection) | {
        "attribute": attribute if strength else None,
        "strength": strength,
        "steps": steps,
        "probe": ADAM,
        "probe_train": context.sizes(ProbeSizes).train,
        "face": face.describe(),
    }

    def compute(positions: np.ndarray) -> Arrays:
        code = context.codes.full(system, selection, positions, steps or 1)
        if (semantic := code.semantic) is None:
            raise NotAvailable(f"{system.title} encodes no semantic part beside its other code")
        if strength:
            by = probe.move(column, strength * torch.from_numpy(towards[positions]))
            code = replace(code, semantic=system.move(semantic, by))
        edited = system.decode(code, steps or 1).cpu()
        before = probe.logits(system.read(semantic).cpu())
        after = probe.logits(system.read(system.encode_semantic(edited)).cpu())
        edited = context.resized(edited)
        return {
            "identity": face.compare(originals[positions], face(edited).cpu().double()).numpy(),
            "logits_change": (after - before).numpy(),  # of all attributes
            "preview": edited[: PREVIEW if positions[0] == 0 else 0].numpy(),
        }

    scores = context.store.arrays(key, len(selection), compute)
    return scores | {"logit_change": scores["logits_change"][:, column] * towards}


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
    selection = context.select("test", RANGE * context.sizes(Sizes).images)
    if not len(selection):
        return
    known = context.dataset.identities is not None
    protocol = context.protocol(
        "identity", n=len(selection), pairs="real images", **face.describe()
    )
    embeddings = _embeddings(context, len(selection))
    found = ~np.isnan(embeddings).any(1)
    note = without_face(int((~found).sum()), len(found), "images")
    seen = replace(selection, order=selection.order[found])
    faces = torch.from_numpy(embeddings[found])
    first, second = _two_pictures(seen.groups)
    of_one = np.flatnonzero(second >= 0)

    row = partial(context.record, "identity", TABLE, "real images (test)", face.metric_name)
    row = partial(row, protocol=protocol, reference=True, note=note)
    if known and len(of_one):
        same = face.compare(faces[first[of_one]], faces[second[of_one]]).numpy()
        uncertainty = of_mean(same, seen.units("persons with two pictures"))
        yield row(float(same.mean()), setting=SAME, uncertainty=uncertainty, n=len(same))
    if len(first) > 1:
        with_others = face.with_others(faces[first]).numpy()
        mean, setting = float(with_others.mean()), DIFFERENT if known else OTHER_IMAGES
        # each pair counts for both of its people, so a person's influence is twice their own mean
        influence = mean + 2 * (with_others - mean)
        uncertainty = of_mean(influence, seen.units("persons, a picture each"))
        yield row(mean, setting=setting, uncertainty=uncertainty, n=len(influence))
    if not found.any():
        yield row(None, setting=DIFFERENT if known else OTHER_IMAGES)


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


def plan(context: Context, system: System) -> Iterator[Work]:
    sizes, labelled = context.sizes(Sizes), context.dataset.labelled
    system, selection, steps = (_asked if labelled else _solved)(context, system)
    _ = context.networks.face  # raises NotAvailable without a face embedding
    count, decode = len(selection), network_calls(system, steps)
    if labelled:
        yield from plan_fit(context, system)
    yield codes(system, "test", count, steps)
    if labelled:
        edits = 1 + len(_attributes(context)) * len(sizes.strengths)
        calls = Calls(encoder=1, decoder=decode, face=1).times(edits)
        yield Work(f"{edits} edits an image{by(system)}", count, calls, steps)
    else:
        yield Work(f"decode{by(system)}", count, Calls(decoder=decode, face=1), steps)
    real = len(context.select("test", RANGE * sizes.images))
    yield Work("faces of test", real, Calls(face=1), shared="faces test", real=True)


BENCHMARK = Benchmark(
    name="identity",
    table=TABLE,
    headline=_metric,
    needs=frozenset({ENCODE, DECODE}),
    run=run,
    plan=plan,
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
