"""What a benchmark yields: numbers, what decides them, and the arrays that they are made of.

    at = Solved.of(context, system, sizes.solver, sizes.steps)      the system with its solver and T
    cell = Cell(context, TABLE, at, n=len(images), fields={"draws": 5})
    decoded = cell.computation("varied", "5 decodes an image", images, compute)
    yield Measurement([decoded], lambda arrays: cell.means(images, {"mse": arrays["mse"]}))

What decides a number is stated once, as the cell's `fields`: the protocol of its rows and the key of its
arrays in the store follow from them. The runner computes the arrays, chunk by chunk, and passes them to
`reduce`; a dry run counts what computing them takes and does not reduce.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.context import Context, RecordProtocol
from benchmarks.core.images import Selection
from benchmarks.core.plan import Work, decode_calls, encode_calls
from benchmarks.core.store import Arrays, Computation, Compute, Store
from benchmarks.systems.protocol.base import DECODE, SAMPLE_LATENTS, STOCHASTIC, Code, System
from benchmarks.systems.protocol.parts import Semantic
from diffae.sheet import Sheet
from reports.records.estimate import Estimate
from reports.records.record import Record

OWN = "the system's own"  # what the protocol calls the solver of a system that has no other


@dataclass(frozen=True)
class Measurement:
    """Some numbers: `reduce` takes the arrays of each computation and yields their rows.

    `fits` says in a dry run what else it takes, such as the fit of a probe.
    """

    computations: Sequence[Computation]
    reduce: Callable[..., Iterable[Record]]
    fits: Sequence[Work] = ()

    def arrays(self, store: Store) -> list[Arrays]:
        """The arrays of each computation by name, from the store or computed now."""
        return [store.read(computation) for computation in self.computations]


# ----------------------------------------------------------------------------------------------
# A system with its solver and T


@dataclass(frozen=True)
class Taken:
    """How the images behind a number were computed: the system, and T = `steps` of its decoding.

    `steps` is None for a system that takes no steps. With `inverts`, x_T was computed from the
    images in T steps first; with `latents`, the latent DDIM sampled z_sem in T steps. A row that
    belongs to no system has `Taken(System(), None)`.
    """

    system: System
    steps: int | None
    inverts: bool = False
    latents: bool = False

    @property
    def row(self) -> dict[str, Any]:
        """The fields of a row; calls are those of the decoding network, for one image."""
        if self.steps is None:
            return {"steps": None, "solver": "", "calls": None}
        calls = decode_calls(self.system, self.steps) or 0
        calls += (encode_calls(self.system, self.steps) or 0) if self.inverts else 0
        return {"steps": self.steps, "solver": solver_of(self.system, self.steps), "calls": calls}

    @property
    def protocol(self) -> dict[str, Any]:
        """The fields of a protocol."""
        solver, own = self.system.solver, {"solver": OWN if self.steps else None}
        by = solver.protocol() if solver is not None and self.steps else own
        fields = {
            "inversion_steps": self.steps if self.inverts else None,
            "inversion_calls": encode_calls(self.system, self.steps) if self.inverts else None,
            "decoding_steps": self.steps,
            "decoding_calls": decode_calls(self.system, self.steps),
            **by,
        }
        return fields | ({"latent_steps": self.steps} if self.latents else {})


def solver_of(system: System, steps: int | None) -> str:
    """The name of the solver, for a row."""
    return str(system.solver or "") if steps else ""


@dataclass(frozen=True)
class Solved(Taken):
    """A system with the solver and the T of a benchmark's settings, and what benchmarks do with it.

    Images are those of the comparison's size, on the CPU.
    """

    context: Context = field(kw_only=True, repr=False)

    @classmethod
    def of(
        cls, context: Context, system: System, solver: str | None, steps: int | None, **taken: bool
    ) -> "Solved":
        """With this solver (None: its own) and T, if it takes steps; it inverts where there is an x_T."""
        inverts = {"inverts": STOCHASTIC in system.capabilities}
        solving = system if solver is None else system.solving(solver)
        steps = steps if system.iterative else None
        return cls(solving, steps, **{**inverts, **taken}, context=context)

    @property
    def T(self) -> int:
        """T for a system's methods, which those that take no steps ignore."""
        return self.steps or 1

    def codes(self, images: Selection, positions: np.ndarray) -> Code:
        """The full codes of whole chunks of the images, within the computation of a chunk."""
        return self.context.codes.full(self.system, images, positions, self.T)

    def decode(self, code: Code) -> Tensor:
        """Images of codes: float32 N x 3 x S x S in [-1, 1] on the CPU, S the image size of the data."""
        return self.context.resized(self.system.decode(code, self.T).cpu())

    def random(self, semantic: Semantic | None, indices: Sequence[int]) -> Code:
        """The code with the x_T of each index, drawn at random, if the system has one."""
        drawn = STOCHASTIC in self.system.capabilities
        seed = self.context.seed
        return Code(semantic, self.system.random_x_T(indices, seed) if drawn else None)

    def draw(self, indices: Sequence[int]) -> tuple[Tensor, Semantic | None]:
        """The new images of these indices, and the semantic codes behind them if there are any."""
        seed = self.context.seed
        if {SAMPLE_LATENTS, DECODE} <= self.system.capabilities:
            latents = self.system.sample_latents(indices, seed, self.T)
            return self.decode(self.random(latents, indices)), latents
        return self.context.resized(self.system.sample(indices, seed, self.T).cpu()), None


# ----------------------------------------------------------------------------------------------
# Where a number belongs


@dataclass(frozen=True)
class Cell:
    """Where numbers belong: the table, the system, the setting; and what decides them.

    `of` is the system, or `Taken` where its images are decoded in steps; None where the numbers are
    of real images. `title` is the system's unless given. `fields` are what else decides the
    numbers, `n` how many units they are of. All of it is in the protocol; a cell without `Taken`
    and `fields` has none. `n` is no part of a key, so that fewer images reuse the chunks of more.
    """

    context: Context
    table: str
    of: Taken | System | None = None
    title: str = ""
    setting: str = ""
    split: str = "test"
    n: int | None = None
    note: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)

    def but(self, **changes: Any) -> "Cell":
        """A copy with other values of some attributes."""
        return replace(self, **changes)

    def also(self, **fields: Any) -> "Cell":
        """A copy with more fields."""
        return replace(self, fields={**self.fields, **fields})

    @property
    def taken(self) -> Taken | None:
        """The system with its solver and T; None where nothing is decoded in steps."""
        return self.of if isinstance(self.of, Taken) else None

    @property
    def system(self) -> System | None:
        """The system that is measured; None of real images."""
        return self.of.system if isinstance(self.of, Taken) else self.of

    @property
    def system_title(self) -> str:
        """The name of the system in tables."""
        return self.title or (self.system.title if self.system else "")

    @property
    def _decided_by(self) -> dict[str, Any]:
        return {**(self.taken.protocol if self.taken else {}), **self.fields}

    @cached_property
    def protocol(self) -> RecordProtocol | None:
        """How the numbers are measured: the system's settings, `fields` and `n`; None without any."""
        if not self._decided_by:
            return None
        n = {} if self.n is None else {"n": self.n}
        return self.context.protocol(self.context.benchmark, **{**n, **self._decided_by})

    def record(self, metric: str, estimate: Estimate, **changes: Any) -> Record:
        """The record of an estimate, whose n is that of the cell unless it has its own.

        `changes` are further arguments of `make_record`, or other values of the cell's; a note comes
        after that of the cell.
        """
        changes["note"] = "; ".join(filter(None, (self.note, changes.get("note", ""))))
        if estimate.n is None:
            estimate = replace(estimate, n=self.n)
        fields: dict[str, Any] = {"setting": self.setting, "split": self.split}
        fields |= self.taken.row if self.taken else {}
        fields |= {"protocol": self.protocol}
        place = (self.context.benchmark, self.table, self.system_title)
        return self.context.record(*place, metric, estimate, **{**fields, **changes})

    def records(self, estimates: Mapping[str, Estimate], **changes: Any) -> Iterator[Record]:
        """The record of each metric's estimate; `changes` are those of `record`."""
        for metric, estimate in estimates.items():
            yield self.record(metric, estimate, **changes)

    def missing(self, metrics: Iterable[str], why: str, **changes: Any) -> Iterator[Record]:
        """The records of metrics that could not be measured, which say why."""
        return self.records(dict.fromkeys(metrics, Estimate(None, why=why)), **changes)

    def means(
        self, images: Selection, scores: Mapping[str, np.ndarray], **changes: Any
    ) -> Iterator[Record]:
        """The mean of each metric's score [N] of the images."""
        return self.records(images.units.means(scores), **{"split": images.split, **changes})

    def draw(self, file: str, title: str, images: Sequence[Tensor], **sheet: Any) -> None:
        """Save a sheet of pictures of this cell as PNG; in `file`, {} stands for the system's name."""
        about: dict[str, Any] = {"benchmark": self.context.benchmark, "system": self.system_title}
        about |= {"setting": self.setting} if self.setting else {}
        about |= {"steps": self.taken.steps} if self.taken else {}
        drawn = Sheet(f"{self.system_title}: {title}", images, about=about, **sheet)
        name = self.system.name if self.system else ""
        self.context.save_sheet(f"{file.format(name)}.png", drawn)

    def pictured(
        self, images: Selection | None, shown: np.ndarray, made: Callable[[], Tensor]
    ) -> Tensor:
        """What `made` makes for a picture of the images at positions `shown`, from the store."""
        key = self.key("pictured", images, shown=shown.tolist())
        arrays = self.context.store.once(key, lambda: {"images": made().numpy()})
        return torch.from_numpy(arrays["images"])

    def key(self, work: str, images: Selection | None, **more: Any) -> dict[str, Any]:
        """The key in the store of what is computed for this cell; `more` is what it alone depends on."""
        key = self.context.codes.key(work, self.system, images) | {"seed": self.context.seed}
        if images is None:  # new images are compared at the size of the real ones
            key["size"] = self.context.dataset.image_size
        # under a name of their own: a field may be called as a part of the key is, such as "weights"
        return key | {"setting": self.setting, "fields": {**self._decided_by, **more}}

    def computation(
        self,
        work: str,
        what: str,
        images: Selection | None,
        compute: Compute,
        count: int | None = None,
        **more: Any,
    ) -> Computation:
        """The arrays of `count` units (None: the images) under the key of this cell."""
        units = count if count is not None else len(images or ())
        steps = self.taken.steps if self.taken else None
        return Computation(what, self.key(work, images, **more), units, compute, steps)
