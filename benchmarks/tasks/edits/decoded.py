"""What is decoded of images, of their counterfactuals and of their edits, and its sums."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.images import Selection, preview
from benchmarks.core.store import Compute
from benchmarks.metrics import edits
from benchmarks.metrics.networks.faces import FaceEmbedding
from benchmarks.metrics.pixel import mse
from benchmarks.plugin import Arrays, Cell, Code, Computation, Solved
from benchmarks.runtime.digest import digest
from benchmarks.systems.protocol import parts
from benchmarks.systems.protocol.parts import Semantic
from benchmarks.tasks.edits.directions import Edit
from diffae.data.pairs import Pairs

CODE, X_T, DECODED = "code", "x_T", "decoded"
OF_TRUTH = CHANGED, TRUTH = "changed", "truth"  # images
FACE, IDENTITY = "face", "identity"  # of the image; compared with that of what is decoded
PREVIEW, PORTRAITS = "preview", 2  # what the first edits of an attribute and side are decoded to
SIDES = {True: "added", False: "removed"}
PLANE = ("dose", "off_target")  # numbers that are drawn against each other


@dataclass(frozen=True)
class Chosen(Selection):
    """Images that were chosen one by one."""

    @property
    def key(self) -> dict[str, Any]:
        return super().key | {"chosen": digest(self.order)}


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

    def identity(self, known: Arrays, made: Tensor) -> Arrays:
        """How the faces of images compare with those in `made`, "identity" [n]; nan where none is found."""
        if self.face is None:
            return {}
        faces = torch.from_numpy(known[FACE]).double(), self.face(made).cpu().double()
        return {IDENTITY: self.face.compare(*faces).numpy()}

    @cached_property
    def computation(self) -> Computation:
        at, images = self.at, self.images

        def compute(positions: np.ndarray) -> Arrays:
            x = images.batch(positions)
            code = at.system.encode(images.seen_by(at.system).batch(positions), at.T)
            found = parts.to_arrays(code.semantic, CODE)
            found |= {FACE: self.face(x).cpu().numpy()} if self.face else {}
            found |= {} if code.x_T is None else {X_T: code.x_T.cpu().numpy()}
            for m in range(1, self.times + 1):
                made = at.system.decode(code, at.T).cpu()
                if m < self.times:
                    code = replace(code, semantic=at.system.encode_semantic(made))
                shown = at.context.resized(made)
                found |= {f"{DECODED} {m}": shown.numpy()} if m <= 2 else {}
                found |= {f"composition {m}": mse(shown, x).numpy()}
                found |= self.identity(found, shown) if m == 1 else {}
            return found

        what = f"encoded and decoded {self.times} x"
        return self.cell.computation("edited images", what, images, compute, times=self.times)

    @cached_property
    def arrays(self) -> Arrays:
        """What is known of the images; the run keeps it in memory."""
        return self.at.context.store.read(self.computation)

    def of_chunk(self, positions: np.ndarray) -> tuple[Arrays, Code]:
        """What is known of whole chunks of the images, and their codes, within the computation of a chunk."""
        part = replace(self.computation, count=len(positions))
        known = self.at.context.store.stretch(part, int(positions[0]))
        return known, _code(known)


@dataclass(frozen=True)
class Change:
    """Pairs of images without and with a change: their sums (`benchmarks.metrics.edits`), and if `drawn`
    a "preview" of what is decoded.
    """

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

    def unheld(self, sums: Arrays) -> str:
        """Why numbers of an edit of these `sums` say nothing; "" if they do (`edits.unheld`)."""
        kept = edits.measure("kept", sums)
        return edits.unheld(kept, self.images.units.influences(kept.influence))

    @cached_property
    def truth(self) -> Computation:
        """The code of the truth, as an edit: its sums, the images with the change ("changed") and what their
        code is decoded to ("truth"), and the true "steps" [n, d] of what is read of the code.
        """
        system = self.ground.at.system
        pairs = replace(self.pairs, dataset=self.images.seen_by(system).dataset)

        def compute(positions: np.ndarray) -> Arrays:
            known = self._known(positions) | {CHANGED: self.pairs.after(positions).numpy()}
            code = _code(known)
            aim = replace(code, semantic=system.encode_semantic(pairs.after(positions)))
            found, _ = self._scored(positions, known, aim)
            found["steps"] = self._read(aim.semantic) - self._read(code.semantic)
            found |= {f"{IDENTITY}_before": known[IDENTITY]} if self.ground.face else {}
            return found | {name: known[name] for name in OF_TRUTH}

        return self._computation("truths", "encoded and decoded truths", compute)

    def edited(self, edit: Edit, depends: str, undo: bool = True) -> Computation:
        """The sums of an edit that `depends` on this. With `undo` also how far undoing it comes from what is
        decoded without any edit, where the change has an inverse.
        """
        at, inverts = self.ground.at, self.pairs.others_changed.sum(1) == 0

        def compute(positions: np.ndarray) -> Arrays:
            part = replace(self.truth, count=len(positions))
            truth = at.context.store.stretch(part, int(positions[0]))
            known = self._known(positions) | {name: truth[name] for name in OF_TRUTH}
            code = _code(known)
            found, made = self._scored(positions, known, edit(code, False))
            if undo:
                back = at.decode(edit(replace(code, semantic=made), True))
                error = mse(back, torch.from_numpy(known[f"{DECODED} 2"])).double().numpy()
                found["inverts"] = inverts[positions].astype(float)
                found["returned"] = error * found["inverts"]
            return found

        what = "decoded edits, and undone" if undo else "decoded edits"
        return self._computation("edits", what, compute, edit=depends, undo=undo)

    def _known(self, positions: np.ndarray) -> Arrays:
        """What is known of the images without the change."""
        order, before = self.ground.images.order, self.pairs.before[positions]
        place = (order == before[:, None]).argmax(1)
        return {name: array[place] for name, array in self.ground.arrays.items()}

    def _read(self, semantic: Semantic | None) -> np.ndarray:
        """What probes read of codes."""
        assert semantic is not None
        return self.ground.at.system.read(semantic).cpu().double().numpy()

    def _scored(self, positions: np.ndarray, known: Arrays, aim: Code) -> tuple[Arrays, Semantic]:
        """The sums of an edit of codes to `aim`, and the codes of what that is decoded to: of the truth, if
        that is not known yet.
        """
        at, pairs = self.ground.at, self.pairs
        made = at.system.decode(aim, at.T).cpu()
        semantic, y = at.system.encode_semantic(made), at.context.resized(made)
        known.setdefault(TRUTH, y.numpy())
        names = (CHANGED, f"{DECODED} 1", TRUTH)
        changed, decoded, truth = (torch.from_numpy(known[name]) for name in names)
        found = edits.sums_of(self.images.batch(positions), changed, decoded, truth, y)
        z, target, back = map(self._read, (_code(known).semantic, aim.semantic, semantic))
        found["missed"] = np.linalg.norm(back - target, axis=1)
        found["step"] = np.linalg.norm(target - z, axis=1)
        looked_at = {"": y, "_before": decoded, "_true": truth, "_drawn": changed}
        logits = {k: self.ground.sees(v) for k, v in looked_at.items()}
        hits = {k: (v[:, pairs.column] > 0) == pairs.on for k, v in logits.items()}
        found |= {f"hits{k}": v.astype(float) for k, v in hits.items()}
        sign = 1 if pairs.on else -1
        found |= {f"logits{k}": sign * (logits[k] - logits["_before"]) for k in ("", "_true")}
        shown = {PREVIEW: preview(positions, y, PORTRAITS)}
        return found | self.ground.identity(known, y) | shown, semantic

    def _computation(self, work: str, what: str, compute: Compute, **more: Any) -> Computation:
        more |= {"attribute": self.pairs.attribute, "on": self.pairs.on}
        found = self.ground.cell.computation(work, what, self.images, compute, **more)
        return replace(found, without=(*OF_TRUTH, *[PREVIEW] * (not self.drawn)))


class Edited(NamedTuple):
    """An edit of a change by a direction, with a note on its strength, its sums and the strength; and of each
    strength that was `tried` its numbers on the images that are held out.
    """

    change: Change
    direction: str
    note: str
    computation: Computation
    strength: float | None = None
    held_out: Change | None = None
    tried: Mapping[float, Mapping[str, edits.Estimate]] = {}


def _code(known: Arrays) -> Code:
    x_T = torch.from_numpy(known[X_T]) if X_T in known else None
    return Code(parts.from_arrays(known, CODE), x_T)
