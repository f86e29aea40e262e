"""Jobs: all work that costs something, such as encoding, decoding and the fit of a probe.

A job has a row of arrays for each of its units, such as images. Its key names all that decides the
arrays; the store keeps them by chunk, processes share the chunks, and a dry run lists them. A job may
take the arrays of other jobs; its key then follows from theirs:

    codes = context.codes.full(system, images, steps)
    scores = place.job("reconstruction", "decode", images, compute, rows_of=[codes], calls=variant.decoding)

`compute` is given positions and the arrays of the other jobs, and returns a row for each position.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property

import numpy as np

import diffae
from benchmarks.systems.protocol.base import System
from diffae.system.files import Json, hash_of

LAYOUT = 3  # raised where arrays of a key get other names or another meaning

Arrays = dict[str, np.ndarray]
# From positions, and the arrays of other jobs, to arrays with a row for each position. A preview has rows
# for the first few positions only: it is empty for the others.
Compute = Callable[..., Arrays]


@dataclass(frozen=True)
class Calls:
    """How often networks are called: the encoder, decoder and latent DDIM of a system, and the metrics'
    networks.
    """

    encoder: int = 0
    decoder: int = 0
    latent: int = 0
    features: int = 0
    perceptual: int = 0
    face: int = 0

    def times(self, count: int) -> "Calls":
        """Each number times `count`."""
        return Calls(*(count * getattr(self, field.name) for field in fields(self)))

    def __add__(self, other: "Calls") -> "Calls":
        return Calls(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


NO_CALLS = Calls()


@dataclass(frozen=True, eq=False)
class Job:
    """Arrays with a row for each of `count` units, or of any shape where `count` is None.

    work      the kind of work, which names its folder in the store
    title     what a dry run calls it
    decides   all that decides the arrays, except other jobs
    count     units; None for work that has no units, such as the fit of a probe
    compute   from positions, the rows of `rows_of` at these positions, and all arrays of `takes`
    rows_of   jobs over the same units
    rows_each how many rows of these a unit has: 2 where it is a pair of neighbours
    takes     jobs whose arrays are given whole
    system    whose networks are called, if it is one's
    steps     T of the decoding, for a dry run
    calls     of networks, for one unit
    at_most   whether fewer calls may do, because their number depends on the data
    names     the arrays that are read (None: all but those in `without`)
    chunk     units that are computed and stored together (None: those of the store)
    empty     the arrays of no units
    """

    work: str
    title: str
    decides: Mapping[str, Json]
    count: int | None
    compute: Compute
    rows_of: Sequence["Job"] = ()
    takes: Sequence["Job"] = ()
    rows_each: int = 1
    system: System | None = None
    steps: int | None = None
    calls: Calls = NO_CALLS
    at_most: bool = False
    names: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()
    chunk: int | None = None
    empty: Arrays = field(default_factory=dict)
    pairs = 0  # that are compared, as of a `SetComparison`

    @property
    def inputs(self) -> tuple["Job", ...]:
        """The jobs whose arrays it takes."""
        return (*self.rows_of, *self.takes)

    @cached_property
    def key(self) -> dict[str, Json]:
        """All that decides the arrays."""
        inputs: dict[str, Json] = {}
        if self.rows_of:
            inputs["rows of"] = [job.folder for job in self.rows_of]
        if self.rows_each > 1:
            inputs["rows each"] = self.rows_each
        if self.takes:
            inputs["takes"] = [[job.folder, job.count] for job in self.takes]
        return {"work": self.work, **self.decides, **inputs}

    @cached_property
    def folder(self) -> str:
        """The name of the folder of its chunks in the store."""
        complete = {"version": diffae.__version__, "layout": LAYOUT, **self.key}
        return f"{self.work}-{hash_of(complete)[:24]}"

    def is_same(self, other: "Job") -> bool:
        """Whether the same arrays are read for another job."""
        read = (self.folder, self.count, self.names, self.without)
        return read == (other.folder, other.count, other.names, other.without)


@dataclass(frozen=True)
class SetComparison:
    """Comparisons of all pairs of `samples` and `reference` units, `count` times.

    They call no network, but take long where there are many units; a dry run says how long.
    """

    name: str
    samples: int
    reference: int
    count: int = 1
    # as of a job
    calls, at_most, steps, system = NO_CALLS, False, None, None

    @property
    def title(self) -> str:
        """What a dry run calls it."""
        title = f"{self.name} of {self.samples:,} and {self.reference:,} images"
        return f"{self.count} x {title}" if self.count > 1 else title

    @property
    def pairs(self) -> int:
        """How many pairs are compared in all."""
        return self.count * self.samples * self.reference
