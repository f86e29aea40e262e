"""Edits of the pairs of a change, each as far as the truth on validation images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np
import torch

from benchmarks.metrics.edits import EditedPairs, estimate_edit
from benchmarks.metrics.pixel import mse
from benchmarks.plugin import Arrays, Calls, Code, Job
from benchmarks.tasks.edits.decoded import DECODED_2, IDENTITY, IDENTITY_BEFORE, Change, decoded
from benchmarks.tasks.edits.directions import NO_EDIT, ORACLE, strength_of_dose_1
from benchmarks.tasks.shared.probe_fits import probe_of
from probes import LinearProbe


@dataclass(frozen=True, eq=False)
class Edited:
    """The sums of an edit of a change along a direction.

    note      on its strength, or on the classifier
    strength  how far the edit goes; None for the code of the truth
    tried     the edits of validation pairs, by strength
    """

    change: Change
    direction: str
    sums: Arrays
    note: str = ""
    strength: float | None = None
    tried: Mapping[float, EditedPairs] = field(default_factory=dict)


def of_truth(change: Change, sums: Arrays) -> list[Edited]:
    """The code of the truth as an edit; and no edit, if faces are compared."""
    note = f"a classifier sees {sums['hits_drawn'].mean():.0%} of the drawn truths"
    truth = Edited(change, ORACLE, sums, note)
    if IDENTITY_BEFORE not in sums:
        return [truth]
    unedited = {IDENTITY: sums[IDENTITY_BEFORE], "pairs": sums["pairs"]}
    return [truth, Edited(change, NO_EDIT, unedited)]


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
        change, decoding = self.change, self.change.ground.variant.decoding
        undone = change.ground.times > 1
        title = "decoded edits, and undone" if undone else "decoded edits"
        calls = decoding.times(2 if undone else 1) + Calls(encoder=1)
        along, by = self.direction, self.strengths
        job = change.job("edits", title, self._compute, calls, direction=along, strengths=by)
        fits = [] if self.fit is None else [self.fit]
        takes = [*job.takes, *fits, *(trial.job for trial in self.trials)]
        return replace(job, rows_of=[change.truth], takes=takes)

    def edited(self, read: Mapping[Job, Arrays]) -> Edited:
        """The edit with its sums, among the arrays of jobs."""
        tried, strength, note = self._tried([read[trial.job] for trial in self.trials])
        return Edited(self.change, self.direction, read[self.job], note, strength, tried)

    def _tried(self, sums: Sequence[Arrays]) -> tuple[dict[float, EditedPairs], float, str]:
        """The pairs of the trials, of these sums, by strength; how far the edit goes, and a note on it."""
        tried, doses = dict[float, EditedPairs](), dict.fromkeys(self.strengths, 0.0)
        for trial, arrays in zip(self.trials, sums, strict=True):
            (strength,), pairs = trial.strengths, trial.change.edited_pairs(arrays)
            tried[strength] = replace(pairs, silenced="")
            doses[strength] = estimate_edit(tried[strength])["dose"].value or 0.0
        return tried, *strength_of_dose_1(doses)

    def _moved(self, probe: LinearProbe | None, strength: float, code: Code, on: bool) -> Code:
        """The code with the attribute added if `on`, else removed: along the direction of a probe, or without
        one by the system's own method.
        """
        system, pairs = self.change.ground.variant.system, self.change.pairs
        if probe is None:
            return system.edit(code, pairs.attribute, on, strength)
        assert code.semantic is not None
        move = torch.zeros(1, probe.weight.shape[1])
        if probe.weight[pairs.column].any():  # something in the code tells the attribute
            move = probe.move(pairs.column, torch.tensor([strength if on else -strength]))
        moves = move.expand(len(system.read(code.semantic)), -1)
        return replace(code, semantic=system.move(code.semantic, moves))

    def _compute(self, positions: np.ndarray, truth: Arrays, *taken: Arrays) -> Arrays:
        change, variant = self.change, self.change.ground.variant
        taken, others = taken[:3], list(taken[3:])  # of the ground; of the fit and the trials
        originals = change.originals(positions, *taken)
        probe = None if self.fit is None else probe_of(others.pop(0))
        _, strength, _ = self._tried(others)
        moved, on = partial(self._moved, probe, strength), change.pairs.on
        edited = decoded(variant, moved(originals.code, on))
        arrays = change.scored(positions, originals, edited, truth)
        if DECODED_2 in originals.arrays:
            back = variant.decode(moved(replace(originals.code, semantic=edited.encoded), not on))
            error = mse(back, torch.from_numpy(originals.arrays[DECODED_2])).double().numpy()
            inverts = change.pairs.others_changed[positions].sum(1) == 0
            arrays["inverts"] = inverts.astype(float)
            arrays["returned"] = error * arrays["inverts"]
        return arrays
