"""Edits of the pairs of a change, each as far as the truth on validation images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch

from benchmarks.metrics.edits import EditedPairs, estimate_edit
from benchmarks.metrics.pixel import mse
from benchmarks.plugin import Arrays, Calls, Job
from benchmarks.tasks.edits.decoded import CHANGED, DECODED_2, TRUTH, Change
from benchmarks.tasks.edits.directions import CodeEdit, strength_of_dose_1
from benchmarks.tasks.shared.probe_fits import probe_of


@dataclass(frozen=True, eq=False)
class Edited:
    """The sums of an edit of a change along a direction.

    note      on its strength
    strength  how far the edit goes; None for the code of the truth
    tried     the edits of validation pairs, by strength
    """

    change: Change
    direction: str
    sums: Arrays
    note: str = ""
    strength: float | None = None
    tried: Mapping[float, EditedPairs] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Edit:
    """An edit of a change along a direction, which is `fit`; None for the system's own method.

    It goes as far as the truth by its `trials`, which are edits of validation pairs by each of `strengths`;
    without trials as far as the first strength.
    """

    change: Change
    direction: str
    fit: Job | None
    strengths: tuple[float, ...]
    trials: Sequence["Edit"] = ()

    @cached_property
    def job(self) -> Job:
        """The sums of the edit."""
        fits = [] if self.fit is None else [self.fit]
        return self.change.job(
            "edits",
            "decoded edits, and undone" if self._is_undone else "decoded edits",
            self._compute,
            self.change.ground.variant.decoding.times(1 + self._is_undone) + Calls(encoder=1),
            rows_of=[self.change.truth],
            takes=[*fits, *(trial.job for trial in self.trials)],
            direction=self.direction,
            strengths=self.strengths,
        )

    def edited(self, read: Mapping[Job, Arrays]) -> Edited:
        """The edit with its sums, among the arrays of jobs."""
        sums = [read[trial.job] for trial in self.trials]
        strength, note = self._strength(sums)
        tried = self._tried(sums)
        return Edited(self.change, self.direction, read[self.job], note, strength, tried)

    @property
    def _is_undone(self) -> bool:
        """Whether undoing the edit is compared with what is decoded without any edit."""
        return self.change.ground.times > 1

    def _tried(self, sums: Sequence[Arrays]) -> dict[float, EditedPairs]:
        """The pairs of the trials, of these sums, by strength."""
        return {
            trial.strengths[0]: replace(trial.change.edited_pairs(arrays), silenced="")
            for trial, arrays in zip(self.trials, sums, strict=True)
        }

    def _strength(self, sums: Sequence[Arrays]) -> tuple[float, str]:
        """How far the edit goes by the sums of its trials, and a note."""
        doses = dict.fromkeys(self.strengths, 0.0)
        for strength, pairs in self._tried(sums).items():
            doses[strength] = estimate_edit(pairs)["dose"].value or 0.0
        return strength_of_dose_1(doses)

    def _compute(
        self,
        positions: np.ndarray,
        truth: Arrays,
        codes: Arrays,
        decoded: Arrays,
        classifier: Arrays,
        *others: Arrays,
    ) -> Arrays:
        change, variant = self.change, self.change.ground.variant
        originals = change.originals(positions, codes, decoded, classifier)
        edit = self._of_codes(*others)
        edited = change.decoded(edit.apply(originals.code))
        images = (torch.from_numpy(truth[name]) for name in (CHANGED, TRUTH))
        arrays = change.scored(positions, originals, *images, edited)
        if self._is_undone:
            back = variant.decode(edit.undo(replace(originals.code, semantic=edited.encoded)))
            error = mse(back, torch.from_numpy(originals.arrays[DECODED_2])).double().numpy()
            has_inverse = change.pairs.others_changed[positions].sum(1) == 0
            arrays["inverts"] = has_inverse.astype(float)
            arrays["returned"] = error * arrays["inverts"]
        return arrays

    def _of_codes(self, *others: Arrays) -> CodeEdit:
        """The edit of codes, from the arrays of the fit and those of the trials."""
        probe = None if self.fit is None else probe_of(others[0])
        strength = self._strength(others[len(others) - len(self.trials) :])[0]
        pairs, system = self.change.pairs, self.change.ground.variant.system
        return CodeEdit(system, probe, pairs.attribute, pairs.column, pairs.on, strength)
