"""What numbers that are bound to the axes of a code share: their concepts, their checks."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np

from benchmarks.metrics.codes.data import Floats, Ints
from diffae.system.errors import UserError
from diffae.system.settings import Range

Count = Annotated[int, Range(0, 10**9)]
FEW = 10  # blocks of a jackknife that fits again


@dataclass(frozen=True)
class Concepts:
    """What counts as an axis.

    concepts    how many parts of equal length a code consists of, each of which is replaced by its
                first `components` principal components; 0: each number of the code is an axis
    principal   the components are those of "all rows" or of the "fitted rows"
    """

    concepts: Count = 0
    components: Annotated[int, Range(1, 10**6)] = 1
    principal: Literal["all rows", "fitted rows"] = "fitted rows"

    @property
    def notes(self) -> tuple[str, ...]:
        if not self.concepts or self.principal != "all rows":
            return ()
        return ("principal components are fitted on all rows, those that are scored among them",)

    def axes(self, values: Floats, fitted: Ints) -> Floats:
        """The axes [n, D] of codes [n, d].

        Raises UserError for codes that do not divide into the concepts, and for several components
        of fewer than two concepts: FDAE's, the only code that takes several, fails on one group.
        """
        if self.concepts < 2 and self.components > 1:
            raise UserError(
                "codes of one group, on which the code of this protocol fails; "
                "measure them by a protocol without groups, such as plain"
            )
        if not self.concepts:
            return values
        if (d := values.shape[1]) % self.concepts:
            raise UserError(f"codes of {d} numbers do not divide into {self.concepts} concepts")
        seen = slice(None) if self.principal == "all rows" else fitted
        components = []
        for part in np.split(values, self.concepts, axis=1):
            centred = part - part[seen].mean(axis=0)
            principal = np.linalg.eigh(centred[seen].T @ centred[seen])[1][:, ::-1]
            components.append(centred @ principal[:, : self.components])
        return np.concatenate(components, axis=1)


def needs(name: str, kind: str, count: int) -> None:
    """Raise UserError for a number that compares fewer than two labels or axes."""
    if count < 2:
        raise UserError(f"{name}: needs two {kind} to compare, not {count}")


def varied(name: str, y: Ints, rows: Ints) -> None:
    """Raise UserError for labels [n, F] of which one has a single value on these rows."""
    if (np.ptp(y[rows], axis=0) == 0).any():
        raise UserError(f"{name}: a label has one value on the rows that are fitted on")


def refuse_real_values(x: Floats) -> None:
    """Raise UserError for codes [n, d] with an axis on which most rows have a value of their own."""
    most = max(len(np.unique(column)) for column in x.T)
    if most > len(x) / 2:
        values = f"an axis has {most:,} values in {len(x):,} rows"
        remedy = "take another, such as infomec"
        raise UserError(f"{values}; this protocol is for the codes of quantised models: {remedy}")
