"""What is decoded of images, of their counterfactuals and of their edits, and its sums."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from benchmarks.core.images import Selection, preview
from benchmarks.core.store import Compute
from benchmarks.metrics.edits import EditedPairs, EditSums, Floats
from benchmarks.metrics.networks.faces import FaceEmbedding
from benchmarks.metrics.pixel import mse
from benchmarks.plugin import Arrays, Cell, Code, Computation, Solved
from benchmarks.runtime.digest import digest
from benchmarks.systems.protocol import parts
from benchmarks.systems.protocol.parts import Semantic
from benchmarks.tasks.edits.directions import Edit
from diffae.data.pairs import Pairs

# Names of arrays in the store.
CODE, X_T, FACE, DECODED_1, DECODED_2 = "code", "x_T", "face", "decoded 1", "decoded 2"
OF_TRUTH = CHANGED, TRUTH = "changed", "truth"
IDENTITY, IDENTITY_BEFORE = "identity", "identity_before"
PREVIEW, PORTRAITS = "preview", 2  # the first edited images of an attribute and side
SIDES = {True: "added", False: "removed"}
PLANE = ("dose", "off_target")  # numbers that are drawn against each other
ONE_LEVEL = 2 / 255  # of 8 bits, in images of [-1, 1]


@dataclass(frozen=True)
class Chosen(Selection):
    """Images that were chosen one by one."""

    @property
    def key(self) -> dict[str, Any]:
        return super().key | {"chosen": digest(self.order)}


def stored_code(arrays: Arrays) -> Code:
    """The codes among the arrays of a `Ground`."""
    x_T = torch.from_numpy(arrays[X_T]) if X_T in arrays else None
    return Code(parts.from_arrays(arrays, CODE), x_T)


@dataclass(frozen=True)
class Ground:
    """The images of some pairs, whose x_T they share with all of their edits.

    They are encoded and decoded 1 to `times` times: "decoded 1", ... and their squared errors. `sees`
    gives the logits of attributes in images, [N, A]. With `face`, faces are compared with the image's.
    """

    cell: Cell
    at: Solved
    images: Chosen
    times: int
    sees: Callable[[Tensor], np.ndarray]
    face: FaceEmbedding | None = None

    def identity(self, faces: np.ndarray | None, images: Tensor) -> Arrays:
        """How faces compare with those in images, "identity" [n]: nan where no face is found."""
        if self.face is None or faces is None:
            return {}
        before, after = torch.from_numpy(faces).double(), self.face(images).cpu().double()
        compared = self.face.compare(before, after)
        return {IDENTITY: compared.numpy()}

    @cached_property
    def computation(self) -> Computation:
        at, images = self.at, self.images

        def compute(positions: np.ndarray) -> Arrays:
            x = images.batch(positions)
            code = at.system.encode(images.seen_by(at.system).batch(positions), at.T)
            arrays = parts.to_arrays(code.semantic, CODE)
            if self.face is not None:
                arrays[FACE] = self.face(x).cpu().numpy()
            if code.x_T is not None:
                arrays[X_T] = code.x_T.cpu().numpy()
            for m in range(1, self.times + 1):
                decoded = at.system.decode(code, at.T).cpu()
                if m < self.times:
                    code = replace(code, semantic=at.system.encode_semantic(decoded))
                resized = at.context.resized(decoded)
                arrays[f"composition {m}"] = mse(resized, x).numpy()
                if m <= 2:
                    arrays[f"decoded {m}"] = resized.numpy()
                if m == 1:
                    arrays |= self.identity(arrays.get(FACE), resized)
            return arrays

        title = f"encoded and decoded {self.times} x"
        return self.cell.computation("edited images", title, images, compute, times=self.times)

    @cached_property
    def arrays(self) -> Arrays:
        """The arrays of all images; the run keeps them in memory."""
        return self.at.context.store.read(self.computation)

    def of_chunk(self, positions: np.ndarray) -> Arrays:
        """The arrays of whole chunks of the images, within the computation of a chunk."""
        part = replace(self.computation, count=len(positions))
        return self.at.context.store.stretch(part, int(positions[0]))


@dataclass(frozen=True, eq=False)
class EditedImages:
    """Codes that were edited, the images that they are decoded to, and the codes of these images."""

    code: Code
    images: Tensor
    encoded: Semantic


@dataclass(frozen=True)
class Change:
    """Pairs of images without and with a change: their sums, and if `drawn` a "preview" of the edits."""

    ground: Ground
    pairs: Pairs
    drawn: bool = False

    @property
    def images(self) -> Chosen:
        """The images without the change."""
        return replace(self.ground.images, order=self.pairs.before)

    @property
    def alone(self) -> np.ndarray:
        """Which other attributes each true change leaves alone, bool [n, A]."""
        others = np.arange(self.pairs.others_changed.shape[1]) != self.pairs.column
        return others & ~self.pairs.others_changed

    def edited_pairs(self, arrays: Arrays, strength: float | None = None) -> EditedPairs:
        """The pairs with the sums of an edit."""
        sums = replace(EditSums.from_arrays(arrays), alone=self.alone)
        return EditedPairs(sums, self.images.units, strength)

    @cached_property
    def truth(self) -> Computation:
        """The code of the truth, as an edit: its sums, the images with the change ("changed"), the images
        that their codes are decoded to ("truth"), and the true "steps" [n, d] of what is read of the code.
        """
        system = self.ground.at.system
        pairs = replace(self.pairs, dataset=self.images.seen_by(system).dataset)

        def compute(positions: np.ndarray) -> Arrays:
            originals, changed = self._originals(positions), self.pairs.after(positions)
            code = stored_code(originals)
            truth = self._decoded(
                replace(code, semantic=system.encode_semantic(pairs.after(positions)))
            )
            arrays = self._scored(positions, originals, changed, truth.images, truth)
            arrays["steps"] = self._read(truth.code.semantic) - self._read(code.semantic)
            if IDENTITY in originals:
                arrays[IDENTITY_BEFORE] = originals[IDENTITY]
            return arrays | {CHANGED: changed.numpy(), TRUTH: truth.images.numpy()}

        return self._computation("truths", "encoded and decoded truths", compute)

    def edited(self, edit: Edit, depends: str, undo: bool = True) -> Computation:
        """The sums of an edit that depends on what the text `depends` identifies.

        With `undo` also how far undoing it comes from what is decoded without any edit, where the change
        has an inverse.
        """
        at, inverts = self.ground.at, self.pairs.others_changed.sum(1) == 0

        def compute(positions: np.ndarray) -> Arrays:
            part = replace(self.truth, count=len(positions))
            stored = at.context.store.stretch(part, int(positions[0]))
            changed, truth = (torch.from_numpy(stored[name]) for name in OF_TRUTH)
            originals = self._originals(positions)
            code = stored_code(originals)
            edited = self._decoded(edit(code, False))
            arrays = self._scored(positions, originals, changed, truth, edited)
            if undo and DECODED_2 in originals:
                back = at.decode(edit(replace(code, semantic=edited.encoded), True))
                error = mse(back, torch.from_numpy(originals[DECODED_2])).double().numpy()
                arrays["inverts"] = inverts[positions].astype(float)
                arrays["returned"] = error * arrays["inverts"]
            return arrays

        title = "decoded edits, and undone" if undo else "decoded edits"
        return self._computation("edits", title, compute, edit=depends, undo=undo)

    def _originals(self, positions: np.ndarray) -> Arrays:
        """The arrays of the `Ground` of the images without the change."""
        order, before = self.ground.images.order, self.pairs.before[positions]
        place = (order == before[:, None]).argmax(1)
        return {name: array[place] for name, array in self.ground.arrays.items()}

    def _read(self, semantic: Semantic | None) -> np.ndarray:
        """What probes read of codes."""
        assert semantic is not None
        return self.ground.at.system.read(semantic).cpu().double().numpy()

    def _decoded(self, code: Code) -> EditedImages:
        """Edited codes, decoded and encoded again."""
        at = self.ground.at
        decoded = at.system.decode(code, at.T).cpu()
        encoded = at.system.encode_semantic(decoded)
        return EditedImages(code, at.context.resized(decoded), encoded)

    def _scored(
        self,
        positions: np.ndarray,
        originals: Arrays,
        changed: Tensor,
        truth: Tensor,
        edited: EditedImages,
    ) -> Arrays:
        """The sums of an edit, and a preview. The images `changed` are encoded and decoded to the `truth`."""
        y, decoded = edited.images, torch.from_numpy(originals[DECODED_1])
        sums = sums_of(self.images.batch(positions), changed, decoded, truth, y)
        codes = stored_code(originals).semantic, edited.code.semantic, edited.encoded
        z, target, back = map(self._read, codes)
        viewed = {"": y, "_before": decoded, "_true": truth, "_drawn": changed}
        logits = {name: self.ground.sees(images) for name, images in viewed.items()}
        hits = {
            f"hits{name}": ((values[:, self.pairs.column] > 0) == self.pairs.on).astype(float)
            for name, values in logits.items()
        }
        sign = 1 if self.pairs.on else -1
        sums = replace(
            sums,
            missed=np.linalg.norm(back - target, axis=1),
            step=np.linalg.norm(target - z, axis=1),
            logits=sign * (logits[""] - logits["_before"]),
            logits_true=sign * (logits["_true"] - logits["_before"]),
            **hits,
        )
        identity = self.ground.identity(originals.get(FACE), y)
        return {**sums.arrays, **identity, PREVIEW: preview(positions, y, PORTRAITS)}

    def _computation(self, work: str, title: str, compute: Compute, **settings: Any) -> Computation:
        settings |= {"attribute": self.pairs.attribute, "on": self.pairs.on}
        computation = self.ground.cell.computation(work, title, self.images, compute, **settings)
        left_out = OF_TRUTH if self.drawn else (*OF_TRUTH, PREVIEW)
        return replace(computation, without=left_out)


@dataclass(frozen=True, eq=False)
class Edited:
    """An edit of a change along a direction.

    note         on its strength
    computation  of its sums
    strength     how far the edit goes; None for the code of the truth
    held_out     the pairs by which the strength was found
    tried        the edits of these pairs by other strengths
    """

    change: Change
    direction: str
    computation: Computation
    note: str = ""
    strength: float | None = None
    held_out: Change | None = None
    tried: Mapping[float, EditedPairs] = field(default_factory=dict)


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
