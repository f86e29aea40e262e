"""What is decoded of images, of their counterfactuals and of their edits, and its sums."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from benchmarks.core.images import Chosen, Selection, code_of, preview
from benchmarks.core.job import Compute
from benchmarks.metrics.edits import EditedPairs, EditSums, Floats
from benchmarks.metrics.networks.faces import FaceEmbedding
from benchmarks.metrics.pixel import mse
from benchmarks.plugin import Arrays, Calls, Code, Job, Place, System, Variant
from benchmarks.systems.protocol.parts import Semantic
from benchmarks.tasks.edits.classifier import sees
from diffae.data.pairs import Pairs
from diffae.system.files import Json

# Names of arrays in the store.
FACE, DECODED_1, DECODED_2 = "face", "decoded 1", "decoded 2"
OF_TRUTH = CHANGED, TRUTH = "changed", "truth"
IDENTITY, IDENTITY_BEFORE = "identity", "identity_before"
PREVIEW, PORTRAITS = "preview", 2  # the first edited images of an attribute and side
SIDES = {True: "added", False: "removed"}
PLANE = ("dose", "off_target")  # numbers that are drawn against each other
ONE_LEVEL = 2 / 255  # of 8 bits, in images of [-1, 1]


@dataclass(frozen=True)
class Ground:
    """Images whose x_T is shared by all of their edits.

    They are encoded and decoded 1 to `times` times: "decoded 1", ... and their squared errors. The fit
    `classifier` sees attributes in images. With `face`, faces are compared with the image's.
    """

    place: Place
    images: Selection
    times: int
    classifier: Job
    face: FaceEmbedding | None = None

    @property
    def variant(self) -> Variant:
        """The system that encodes and decodes them."""
        assert self.place.variant is not None
        return self.place.variant

    @cached_property
    def codes(self) -> Job:
        """The codes of the images."""
        return self.variant.codes(self.images)

    @cached_property
    def job(self) -> Job:
        """What the images are decoded to."""
        face = Calls(face=2 if self.face else 0)
        calls = self.variant.decoding.times(self.times) + Calls(encoder=self.times - 1) + face
        title = f"decoded, and {self.times} x in all"
        job = self.place.job("edited images", title, self.images, self._compute, times=self.times)
        return replace(job, rows_of=[self.codes], calls=calls)

    @property
    def jobs(self) -> tuple[Job, ...]:
        """What an edit of the images takes."""
        return self.codes, self.job, self.classifier

    def _compute(self, positions: np.ndarray, codes: Arrays) -> Arrays:
        variant, x, code = self.variant, self.images.batch(positions), code_of(codes)
        arrays = {} if self.face is None else {FACE: self.face(x).cpu().numpy()}
        for m in range(1, self.times + 1):
            decoded = variant.decode_at_own_size(code)
            if m < self.times:
                code = replace(code, semantic=variant.system.encode_semantic(decoded))
            resized = variant.context.resized(decoded)
            arrays[f"composition {m}"] = mse(resized, x).numpy()
            if m <= 2:
                arrays[f"decoded {m}"] = resized.numpy()
            if m == 1:
                arrays |= self.identity(arrays, resized)
        return arrays

    def identity(self, before: Arrays, images: Tensor) -> Arrays:
        """How the faces `before` compare with those in images, "identity" [n]: nan where no face is found."""
        if self.face is None:
            return {}
        faces, after = torch.from_numpy(before[FACE]).double(), self.face(images).cpu().double()
        return {IDENTITY: self.face.compare(faces, after).numpy()}


@dataclass(frozen=True, eq=False)
class Originals:
    """Some images of a `Ground`: their codes, the arrays of what these are decoded to, and the fit of the classifier."""

    code: Code
    arrays: Arrays
    classifier: Arrays


@dataclass(frozen=True, eq=False)
class EditedImages:
    """Codes that were edited, the images that they are decoded to, and the codes of these images."""

    code: Code
    images: Tensor
    encoded: Semantic


def decoded(variant: Variant, code: Code) -> EditedImages:
    """Edited codes, decoded and encoded again."""
    images = variant.decode_at_own_size(code)
    encoded = variant.system.encode_semantic(images)
    return EditedImages(code, variant.context.resized(images), encoded)


def steps_of(system: System, before: Code, edited: EditedImages) -> dict[str, Floats]:
    """How far an edit moves codes, and how far the codes of its images are from where it moves them."""
    z, target, back = (
        read(system, each) for each in (before.semantic, edited.code.semantic, edited.encoded)
    )
    missed, step = back - target, target - z
    return {"missed": np.linalg.norm(missed, axis=1), "step": np.linalg.norm(step, axis=1)}


def read(system: System, semantic: Semantic | None) -> Floats:
    """What probes read of codes."""
    assert semantic is not None
    return np.asarray(system.read(semantic).cpu().double().numpy())


@dataclass(frozen=True)
class Change:
    """Pairs of images without and with a change: their sums, and if `drawn` a "preview" of the edits."""

    ground: Ground
    pairs: Pairs
    drawn: bool = False

    @property
    def images(self) -> Chosen:
        """The images without the change."""
        images = self.ground.images
        return Chosen(images.dataset, images.split, self.pairs.before, images.seed)

    def edited_pairs(self, arrays: Arrays, strength: float | None = None) -> EditedPairs:
        """The pairs with the sums of an edit."""
        changed = self.pairs.others_changed
        alone = ~changed & (np.arange(changed.shape[1]) != self.pairs.column)
        sums = replace(EditSums.from_arrays(arrays), alone=alone)
        return EditedPairs(sums, self.images.units, strength)

    @cached_property
    def truth(self) -> Job:
        """The code of the truth, as an edit: its sums, the images with the change ("changed"), the images
        that their codes are decoded to ("truth"), and the true "steps" [n, d] of what is read of the code.
        """
        calls = self.ground.variant.decoding + Calls(encoder=2)
        return self.job("truths", "encoded and decoded truths", self._truth, calls)

    def _truth(self, positions: np.ndarray, *ground: Arrays) -> Arrays:
        originals, changed = self.originals(positions, *ground), self.pairs.after(positions)
        system = self.ground.variant.system
        seen = replace(self.pairs, dataset=self.images.seen_by(system).dataset)
        semantic = system.encode_semantic(seen.after(positions))
        truth = decoded(self.ground.variant, replace(originals.code, semantic=semantic))
        truths = {CHANGED: changed.numpy(), TRUTH: truth.images.numpy()}
        arrays = self.scored(positions, originals, truth, truths)
        arrays["steps"] = read(system, semantic) - read(system, originals.code.semantic)
        if IDENTITY in originals.arrays:
            arrays[IDENTITY_BEFORE] = originals.arrays[IDENTITY]
        return arrays | truths

    def job(self, work: str, title: str, compute: Compute, calls: Calls, **decides: Json) -> Job:
        """A job over the pairs that takes what their images are decoded to; `decides` are what else decides
        its arrays.
        """
        ground, pairs = self.ground, self.pairs
        place = ground.place.also(attribute=pairs.attribute, on=pairs.on, **decides)
        calls += Calls(face=1 if ground.face else 0)
        left_out = OF_TRUTH if self.drawn else (*OF_TRUTH, PREVIEW)
        job = place.job(work, title, self.images, compute, calls=calls)
        return replace(job, takes=ground.jobs, without=left_out)

    def originals(
        self, positions: np.ndarray, codes: Arrays, decoded: Arrays, classifier: Arrays
    ) -> Originals:
        """The images without the change, of the arrays of the ground's `jobs`."""
        places = (self.ground.images.order == self.pairs.before[positions, None]).argmax(1)
        here = [{name: a[places] for name, a in arrays.items()} for arrays in (codes, decoded)]
        return Originals(code_of(here[0]), here[1], classifier)

    def scored(
        self, positions: np.ndarray, originals: Originals, edited: EditedImages, truths: Arrays
    ) -> Arrays:
        """The sums of an edit beside the images that are `OF_TRUTH`, and a preview."""
        changed, truth = (torch.from_numpy(truths[name]) for name in OF_TRUTH)
        y, before = edited.images, torch.from_numpy(originals.arrays[DECODED_1])
        viewed = {"": y, "_before": before, "_true": truth, "_drawn": changed}
        logits = {name: sees(originals.classifier, images) for name, images in viewed.items()}
        hits = {
            f"hits{name}": ((values[:, self.pairs.column] > 0) == self.pairs.on).astype(float)
            for name, values in logits.items()
        }
        sign = 1 if self.pairs.on else -1
        return {
            **sums_of(self.images.batch(positions), changed, before, truth, y).arrays,
            **steps_of(self.ground.variant.system, originals.code, edited),
            "logits": sign * (logits[""] - logits["_before"]),
            "logits_true": sign * (logits["_true"] - logits["_before"]),
            **hits,
            **self.ground.identity(originals.arrays, y),
            PREVIEW: preview(positions, y, PORTRAITS),
        }


def sums_of(x: Tensor, changed: Tensor, decoded: Tensor, truth: Tensor, y: Tensor) -> EditSums:
    """The sums of x, x', r(x), r(x') and y, N x 3 x S x S in [-1, 1] each.

    "inside" are places where x and x' differ by more than a level of 8 bits in any channel, and their
    neighbours.
    """
    change, moved, true, left = changed - x, y - decoded, truth - decoded, y - truth
    differs = (change.abs() > 1.5 * ONE_LEVEL).any(1, keepdim=True).to(x)
    inside = max_pool2d(differs, 3, stride=1, padding=1).expand_as(x)

    def total(a: Tensor, b: Tensor) -> Floats:
        return np.asarray((a.double() * b.double()).flatten(1).sum(1).numpy())

    return EditSums(
        held=total(true, change),
        change=total(change, change),
        true=total(true, true),
        left=total(left, left),
        along=total(moved, true),
        moved=total(moved, moved),
        outside=total(moved, moved * (1 - inside)),
        n_outside=total(1 - inside, 1 - inside),
        inside=total(true, true * inside),
        n_inside=total(inside, inside),
        pairs=np.ones(len(x)),
    )
