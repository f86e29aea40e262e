"""Identity: is the person the same after an attribute was edited? (paper, Appendix G)

An edit moves the normalised z_sem along the weight vector of the paper's classifier, away from the
attribute's present value:

    z' = z + s sqrt(d) w / |w|

and decodes it with the image's own inverted x_T. Face embeddings before and after are compared, by
their cosine or by the distance of the network (`FaceEmbedding.compare`), beside the effect of the
edit: the change of the probe's logit when the edited image is encoded again.

Neither has a scale of its own. `references` measures one with the same embedding on real images:
two pictures of one person, the most that an edit can be expected to keep, and two different people.

The reconstruction is compared with the image where the data has no labels, so that nothing can be edited, or
where none of its labels is one of the paper's attributes. An embedding that looks for the face also compares
them by the size of the face (after Wu et al. 2025, TokBench, arXiv 2505.18142).

An embedding that looks for a face may find none. Such images are left out of the mean and counted in
the note of the row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, pairwise
from math import inf

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.images import Selection, code_of, preview
from benchmarks.core.job import Arrays, Calls, Job
from benchmarks.core.measurement import Measurement, Numbers, Place, Variant
from benchmarks.core.sizes import Count, InvertingSolver, Steps, in_words
from benchmarks.metrics import pairs
from benchmarks.metrics.networks.faces import mean_of_different_people, without_face
from benchmarks.plugin import Benchmark, Context, Estimate, NotAvailable, TableSpec
from benchmarks.systems.protocol import base
from benchmarks.systems.protocol.base import System, reading_of, why_immovable
from benchmarks.tasks.shared.probe_fits import ADAM, fit_adam, prevalent, probe_of, selections
from benchmarks.tasks.shared.probe_fits import Sizes as ProbeSizes
from diffae.system.files import file_name

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
    variant = Variant.of(context, system, sizes.solver, sizes.steps)
    if not (names := _attributes(context)) or _are_prevalent(context):
        yield from _reconstructions(variant, images)
    if names:
        yield from _edits(variant, images, names)


def _place(variant: Variant, images: Selection, setting: str, **fields: str | int) -> Place:
    context, n = variant.context, len(images)
    described = {"before": "the real image", **context.networks.face.describe(), **fields}
    return Place(context, TABLE, variant, setting=setting, n=n, fields=described)


def _compared(place: Place, positions: np.ndarray, decoded: Tensor, faces: Arrays) -> Arrays:
    """How each decoded face compares with that of its image, "identity" [N], and the first decoded images.

    NaN where no face is found. `faces` are those of the `_embeddings`.
    """
    face = place.context.networks.face
    originals = torch.from_numpy(faces["face"][positions]).double()
    identity = face.compare(originals, face(decoded).cpu().double()).numpy()
    return {"identity": identity, "preview": preview(positions, decoded, PREVIEW)}


def kept(place: Place, images: Selection, values: np.ndarray) -> Numbers:
    """The mean of the comparisons [N] of images before and after, over those with a face in both."""
    means = pairs.estimates({place.context.networks.face.metric_name: values}, images.units)
    return place.at(split=images.split).numbers(means)


# ----------------------------------------------------------------------------------------------
# Reconstructions of images without the paper's attributes


def _reconstructions(variant: Variant, images: Selection) -> Iterator[Measurement]:
    place, context = _place(variant, images, RECONSTRUCTED, edit="none"), variant.context

    def compute(positions: np.ndarray, codes: Arrays, faces: Arrays) -> Arrays:
        return _compared(place, positions, variant.decode(code_of(codes)), faces)

    def numbers(decoded: Arrays, *sides: Arrays) -> Numbers:
        yield from kept(place, images, decoded["identity"])
        for of_faces in sides:
            yield from _by_size(place, images, of_faces["sides"], decoded["identity"])

    decoded = place.job(
        "decoded faces",
        "decode",
        images,
        compute,
        rows_of=[variant.codes(images)],
        takes=[_embeddings(context)],
        calls=variant.decoding + Calls(face=1),
    )
    yield Measurement([decoded, *_sides(context, images)], numbers)


def _sides(context: Context, images: Selection) -> list[Job]:
    """The side [N] of the face in each image, where the embedding looks for faces."""
    if (measure := context.networks.face.sides) is None:
        return []

    def compute(positions: np.ndarray) -> Arrays:
        return {"sides": measure(images.batch(positions)).numpy()}

    decides = context.codes.decides(None, images) | {"face": context.networks.face.describe()}
    return [Job("sides of faces", "sides of faces", decides, len(images), compute)]


def _by_size(place: Place, images: Selection, sides: np.ndarray, values: np.ndarray) -> Numbers:
    """The mean comparison [N] of images and reconstructions by the size of the face in the image."""
    for low, high in pairwise(place.context.dataset.image_size * np.array(FACE_SIDES)):
        inside = np.flatnonzero((low <= sides) & (sides < high))
        if len(inside):
            seen = replace(images, order=images.order[inside])
            width = f"{low:.0f} {f'to {high:.0f}' if high < inf else 'or more'} px"
            in_range = place.at(setting=f"{RECONSTRUCTED}, face {width}")
            yield from kept(in_range, seen, values[inside])


# ----------------------------------------------------------------------------------------------
# Edits of images with labels


def _edits(variant: Variant, images: Selection, attributes: Sequence[str]) -> Iterator[Measurement]:
    context, system = variant.context, variant.system
    if base.SEMANTIC not in system.capabilities:
        raise NotAvailable(f"{system.title} cannot {base.IN_WORDS[base.SEMANTIC]}")
    if reason := why_immovable(system):
        raise NotAvailable(reason)
    metric = context.networks.face.metric_name
    probe, labels = fit_adam(context, system), selections(context)[0].labels
    fields = {"edit": "z + s sqrt(d) w / |w| on normalised z, away from the present value"}
    fields |= {"probe": ADAM, **reading_of(system)}
    place = _place(variant, images, "", **fields, probe_train=context.sizes(ProbeSizes).train)
    for attribute in attributes:
        column = context.dataset.attribute_names.index(attribute)
        if labels[:, column].all() or not labels[:, column].any():
            why = f"{attribute}: only one class among the probe's training images"
            unedited = Place(context, TABLE, title=system.title, setting=attribute)
            yield Measurement([], partial(unedited.missing, [metric], why))
        else:
            yield _edited(place.at(setting=attribute), variant, images, probe, column)


def _edited(
    place: Place, variant: Variant, images: Selection, probe: Job, column: int
) -> Measurement:
    """The rows of an attribute: of the reconstruction, and of the edit of each strength."""
    attribute, strengths = place.setting, (0.0, *place.context.sizes(Sizes).strengths)

    def numbers(*arrays: Arrays) -> Numbers:
        for strength, scores in zip(strengths, arrays, strict=True):
            at_strength = place.at(setting=f"{attribute} {in_words(strength)}")
            yield from kept(at_strength, images, scores["identity"])
            changes = scores["logits_change"][:, column] * away(images, column)
            yield from at_strength.means(images, {"logit_change": changes})
        strips = [torch.from_numpy(scores["preview"]) for scores in arrays]
        originals = images.batch(np.arange(len(strips[0])))
        present = images.labels[: len(originals), column]
        place.draw(
            f"edit-{{}}-{file_name(attribute)}",
            f"{attribute}, edited",
            [originals, *strips],
            rows=("input", "reconstruction", *(f"strength {in_words(s)}" for s in strengths[1:])),
            columns=[f"{'away from' if has else 'towards'} {attribute}" for has in present],
            caption="Codes moved along the direction of the probe for the attribute (Fig. 5): "
            "towards it where a face has it not, else away from it.",
        )

    edits = [edit(place, variant, images, probe, column, strength) for strength in strengths]
    return Measurement(edits, numbers)


def away(images: Selection, column: int) -> np.ndarray:
    """The direction of each image's edit, away from its present value: 1 or -1, float32 [N]."""
    return 1 - 2 * images.labels[:, column].astype(np.float32)


def edit(
    place: Place, variant: Variant, images: Selection, probe: Job, column: int, strength: float
) -> Job:
    """Faces, and the change of all logits "logits_change" [N, A], after an edit of this strength.

    Strength 0 is the reconstruction, which all attributes share: no edit can keep more than it does.
    """
    system, towards = variant.system, torch.from_numpy(away(images, column))

    def compute(positions: np.ndarray, codes: Arrays, faces: Arrays, fitted: Arrays) -> Arrays:
        code, probe = code_of(codes), probe_of(fitted)
        if (semantic := code.semantic) is None:
            raise NotAvailable(f"{system.title} encodes no semantic part beside its other code")
        if strength:
            by = probe.move(column, strength * towards[positions])
            code = replace(code, semantic=system.move(semantic, by))
        edited = variant.decode_at_own_size(code)
        before = probe.logits(system.read(semantic).cpu())
        after = probe.logits(system.read(system.encode_semantic(edited)).cpu())
        compared = _compared(place, positions, place.context.resized(edited), faces)
        return compared | {"logits_change": (after - before).numpy()}

    place = place if strength else place.at(setting="")
    return place.job(
        "decoded faces",
        "edit",
        images,
        compute,
        rows_of=[variant.codes(images)],
        takes=[_embeddings(place.context), probe],
        calls=variant.decoding + Calls(encoder=1, face=1),
        strength=strength,
    )


# ----------------------------------------------------------------------------------------------
# Real images


def _metric(context: Context) -> str:
    """The metric's name with the available network; the paper's name if there is none."""
    try:
        return context.networks.face.metric_name
    except NotAvailable:
        return "arcface"


def _attributes(context: Context) -> list[str]:
    """The chosen attributes, or those of the paper's that the data set has, or else as many of its own, the
    most prevalent.
    """
    if _are_prevalent(context):
        return list(islice(prevalent(context), len(ATTRIBUTES)))
    chosen = context.options.attributes or ATTRIBUTES
    return [name for name in chosen if name in context.dataset.attribute_names]


def _are_prevalent(context: Context) -> bool:
    """Whether attributes are edited that neither the paper has nor the run names."""
    data, is_chosen = context.dataset, bool(context.options.attributes)
    return data.labelled and not is_chosen and {*ATTRIBUTES}.isdisjoint(data.attribute_names)


def references(context: Context) -> Iterator[Measurement]:
    """The range of the metric: real images of the same person and of different people.

    People, one picture each, are compared with all others, and with a second picture of themselves
    if the images contain one. Data that does not identify persons has no pairs of one person, and
    each of its images counts as a person: any two of them may still show the same one, and the row is
    called "different images".
    """
    try:
        _ = context.networks.face
    except NotAvailable:
        return  # every system's row reports it
    if len(images := _images_of_range(context)):
        yield Measurement([_embeddings(context)], partial(_range, context, images))


def _range(context: Context, images: Selection, arrays: Arrays) -> Numbers:
    face, embeddings = context.networks.face, arrays["face"].astype(np.float64)
    has_face = np.isnan(embeddings).sum(1) == 0
    seen, faces = images.units.at(has_face), torch.from_numpy(embeddings[has_face])
    first, second = _two_pictures(seen.groups)
    twice = np.flatnonzero(second >= 0)
    are_people = context.dataset.identities is not None
    estimates = dict[str, Estimate]()
    if are_people and len(twice):
        same = face.compare(faces[first[twice]], faces[second[twice]]).numpy()
        estimates[SAME] = seen.mean_of("persons with two pictures", same)
    different = DIFFERENT if are_people else OTHER_IMAGES
    if len(first) > 1:
        with_others = face.with_others(faces[first]).numpy()
        estimates[different] = mean_of_different_people(with_others, seen)
    if not has_face.any():
        estimates[different] = Estimate(None)  # the note of the place says why
    note = without_face(int((~has_face).sum()), len(has_face), "images")
    fields = {"pairs": "real images", **face.describe()}
    place = Place(context, TABLE, title=REAL, n=len(images), note=note, fields=fields)
    yield from place.by_setting(face.metric_name, estimates)


def _two_pictures(people: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The positions of each person's first and second picture (-1 if there is none), int [K] each."""
    order = np.argsort(people, kind="stable")
    starts = np.flatnonzero(np.diff(people[order], prepend=people[order][:1] - 1))
    counts = np.diff(starts, append=len(order))
    second = np.where(counts > 1, order[np.minimum(starts + 1, len(order) - 1)], -1)
    return order[starts], second


def _images_of_range(context: Context) -> Selection:
    return context.select("test", RANGE * context.sizes(Sizes).images)


def _embeddings(context: Context) -> Job:
    """Embeddings "face" [N, d] of the images of the range, of which the first are edited by all systems.

    NaN where no face is found.
    """
    images, face = _images_of_range(context), context.networks.face

    def compute(positions: np.ndarray) -> Arrays:
        return {"face": face(images.batch(positions)).cpu().numpy()}

    decides = context.codes.decides(None, images) | {"face": face.describe()}
    return Job("faces", "faces of test", decides, len(images), compute, calls=Calls(face=1))


BENCHMARK = Benchmark(
    name="identity",
    headline=_metric,
    needs=frozenset({base.ENCODE, base.DECODE}),
    learns=lambda data: data.labelled,
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
                "Without the paper's attributes the reconstructions are compared; by the "
                "side of the square in which the face is found too, where it is looked for. "
                "The rows of real images are the metric's range."
            ),
            rows=("setting",),
            setting_header="edit",
            columns=("metric", "system"),
            metrics=("arcface", "logit_change"),
            headline=("arcface",),
            headline_settings=("Male ", "Smiling ", "Wavy_Hair ", "Young ", "reconstruction"),
            order=70,
        ),
    ),
)
