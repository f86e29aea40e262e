"""What a benchmark yields: jobs, and the numbers that are made of their arrays.

    variant = Variant.of(context, system, sizes.solver, sizes.steps)    a system with its solver and T
    place = Place(context, TABLE, variant, n=len(images), fields={"draws": 5})
    decoded = place.job("varied", "5 decodes an image", images, compute, calls=variant.decoding.times(5))
    yield Measurement([decoded], lambda arrays: place.means(images, {"mse": arrays["mse"]}))

What decides a number is stated once, as the `fields` of its place: the protocol of its record and the key
of its jobs follow from them. The runner has the store compute the arrays, chunk by chunk, and passes those
of each job to `numbers`; a dry run lists the jobs.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.context import Context
from benchmarks.core.images import Selection, decode_calls, encode_calls, encoding_calls
from benchmarks.core.job import NO_CALLS, Arrays, Calls, Compute, Job, SetComparison
from benchmarks.systems.protocol.base import DECODE, SAMPLE_LATENTS, STOCHASTIC, Code, System
from benchmarks.systems.protocol.parts import Semantic
from diffae.sheet import Sheet
from diffae.system.files import Json
from reports.records.estimate import Estimate
from reports.records.record import protocol_id

OWN = "the system's own"  # what the protocol calls the solver of a system that has no other
INVERTED, RANDOM = "inverted", "random"

Numbers = Iterator[tuple["Place", str, Estimate]]  # where a number belongs, its metric, and itself


@dataclass(frozen=True)
class Measurement:
    """Some numbers: `numbers` takes the arrays of each job and yields (place, metric, estimate).

    `numbers` runs on every process alike and is cheap, except for distances of sets, whose parts the
    processes share through the store; `comparisons` says in a dry run how many there are.
    """

    jobs: Sequence[Job]
    numbers: Callable[..., Iterable[tuple["Place", str, Estimate]]]
    comparisons: Sequence[SetComparison] = ()


# ----------------------------------------------------------------------------------------------
# A system as a number measures it


@dataclass(frozen=True)
class Variant:
    """A system with its solver and T = `steps`, which is None for a system that takes no steps.

    x_T      "inverted" from the images in T steps, "random", or "" where there is none
    keep     how much of a code is decoded, from its beginning; None: all of it
    latents  whether the latent DDIM samples z_sem in T steps

    Images are those of the comparison's size, on the CPU.
    """

    context: Context = field(repr=False)
    system: System
    steps: int | None
    x_T: Literal["inverted", "random", ""] = ""
    keep: int | None = None
    latents: bool = False

    @classmethod
    def of(
        cls,
        context: Context,
        system: System,
        solver: str | None,
        steps: int | None,
        inverts: bool = True,
        latents: bool = False,
    ) -> "Variant":
        """The system with this solver (None: its own) and T, if it takes steps. A system that has an x_T
        inverts the images, or draws it at random.
        """
        solving = system if solver is None else system.solving(solver)
        x_T = "" if STOCHASTIC not in system.capabilities else INVERTED if inverts else RANDOM
        return cls(context, solving, steps if system.iterative else None, x_T, latents=latents)  # type: ignore[arg-type]

    @property
    def T(self) -> int:
        """T for a system's methods, which those that take no steps ignore."""
        return self.steps or 1

    @cached_property
    def solver(self) -> str:
        """The name of the solver, for a record."""
        return str(self.system.solver or "") if self.steps else ""

    # What it takes ------------------------------------------------------------------------------

    @property
    def decoding(self) -> Calls:
        """The calls of decoding an image."""
        return Calls(decoder=decode_calls(self.system, self.steps) or 1)

    @property
    def encoding(self) -> Calls:
        """The calls of encoding an image fully."""
        return encoding_calls(self.system, self.steps)

    @property
    def sampling(self) -> Calls:
        """The calls of a new image."""
        samples_latents = {SAMPLE_LATENTS, DECODE} <= self.system.capabilities
        calls = decode_calls(self.system, self.steps) or 1
        return Calls(decoder=calls, latent=calls if samples_latents else 0)

    @cached_property
    def calls(self) -> int | None:
        """The calls of the decoding network for one image, inversion included, for a record."""
        if self.steps is None:
            return None
        inversion = encode_calls(self.system, self.steps) if self.x_T == INVERTED else 0
        return (decode_calls(self.system, self.steps) or 0) + (inversion or 0)

    @cached_property
    def protocol(self) -> dict[str, Json]:
        """The fields of a protocol."""
        inverts, solver = self.x_T == INVERTED, self.system.solver
        solving: Mapping[str, Json] = {"solver": OWN if self.steps else None}
        if solver is not None and self.steps:
            solving = solver.protocol()
        fields = {
            "inversion_steps": self.steps if inverts else None,
            "inversion_calls": encode_calls(self.system, self.steps) if inverts else None,
            "decoding_steps": self.steps,
            "decoding_calls": decode_calls(self.system, self.steps),
            **solving,
        }
        return fields | ({"latent_steps": self.steps} if self.latents else {})

    # What benchmarks do with it -----------------------------------------------------------------

    def scores(
        self,
        table: str,
        images: Selection,
        compute: Compute,
        calls: Calls,
        rows_of: Sequence[Job] = (),
        **fields: Json,
    ) -> Measurement:
        """The mean over images of every score [N] that `compute` gives for them. `fields` are what
        decides it beside this variant.
        """
        place = Place(self.context, table, self, n=len(images), fields=fields)
        job = place.job(table, "decode", images, compute, rows_of=rows_of, calls=calls)
        return Measurement([job], lambda arrays: place.means(images, arrays))

    def codes(self, images: Selection) -> Job:
        """The full codes of images; `images.code_of` makes a code of the arrays."""
        return self.context.codes.full(self.system, images, self.T)

    def decode(self, code: Code) -> Tensor:
        """Images of codes: float32 N x 3 x S x S in [-1, 1] on the CPU, S the image size of the data."""
        return self.context.resized(self.decode_at_own_size(code))

    def decode_at_own_size(self, code: Code) -> Tensor:
        """Images of codes, on the CPU, at the size of the system."""
        keep = {} if self.keep is None else {"keep": self.keep}
        return self.system.decode(code, self.T, **keep).cpu()

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
class Place:
    """Where numbers belong: the table, the system, the setting; and what decides them.

    measured   the system, or the `Variant` of it whose images are decoded; None for real images
    title      of the system, unless it is its own
    fields     what else decides the numbers; all of it is in the protocol
    n          how many units the numbers are of. It is in the protocol, but in no key, so that fewer
               images reuse the chunks of more
    note       of each of the numbers
    steps      T of a number that no `Variant` says it of, such as a count of calls; `solver` likewise
    reference  whether the numbers are a scale for others, and do not compete
    of_machine whether they depend on this machine, such as a time
    unclamped  whether their protocol takes what is decoded beyond the range of images

    A place without `Variant` and `fields` has no protocol.
    """

    context: Context
    table: str
    measured: Variant | System | None = None
    title: str = ""
    setting: str = ""
    split: str = "test"
    n: int | None = None
    note: str = ""
    fields: Mapping[str, Json] = field(default_factory=dict)
    steps: int | None = None
    solver: str = ""
    reference: bool = False
    of_machine: bool = False
    unclamped: bool = False

    def at(self, **changes: Any) -> "Place":
        """A copy with other values of some attributes."""
        return replace(self, **changes)

    def also(self, **fields: Json) -> "Place":
        """A copy with more fields."""
        return replace(self, fields={**self.fields, **fields})

    def noting(self, note: str) -> "Place":
        """A copy whose numbers have one more note."""
        return replace(self, note="; ".join(filter(None, (self.note, note))))

    @property
    def variant(self) -> Variant | None:
        """The system with its solver and T; None where no image is decoded."""
        return self.measured if isinstance(self.measured, Variant) else None

    @property
    def system(self) -> System | None:
        """The system that is measured; None for real images."""
        return self.measured.system if isinstance(self.measured, Variant) else self.measured

    @property
    def system_title(self) -> str:
        """The name of the system in tables."""
        return self.title or (self.system.title if self.system else "")

    @property
    def _decided_by(self) -> dict[str, Json]:
        return {**(self.variant.protocol if self.variant else {}), **self.fields}

    @cached_property
    def protocol(self) -> Mapping[str, Json]:
        """How the numbers are measured: the system's settings, `fields` and `n`; empty without any."""
        if not self._decided_by:
            return {}
        n = {} if self.n is None else {"n": self.n}
        return self.context.protocol(**{**n, **self._decided_by})

    @cached_property
    def protocol_id(self) -> str:
        """The hash of the protocol, which a record carries; "" without one."""
        return protocol_id(self.protocol) if self.protocol else ""

    # Numbers -------------------------------------------------------------------------------------

    def numbers(self, estimates: Mapping[str, Estimate]) -> Numbers:
        """The number of each metric here; an estimate's n is that of the place unless it has its own."""
        for metric, estimate in estimates.items():
            yield self, metric, estimate if estimate.n is not None else replace(estimate, n=self.n)

    def by_setting(self, metric: str, estimates: Mapping[str, Estimate]) -> Numbers:
        """The number of a metric in each setting."""
        for setting, estimate in estimates.items():
            yield from self.at(setting=setting).numbers({metric: estimate})

    def missing(self, metrics: Iterable[str], why: str) -> Numbers:
        """The numbers of metrics that could not be measured, which say why."""
        return self.numbers(dict.fromkeys(metrics, Estimate(None, why=why)))

    def means(self, images: Selection, scores: Mapping[str, np.ndarray]) -> Numbers:
        """The mean of each metric's score [N] of the images."""
        return self.at(split=images.split).numbers(images.units.means(scores))

    # Jobs and pictures ---------------------------------------------------------------------------

    def job(
        self,
        work: str,
        title: str,
        images: Selection | None,
        compute: Compute,
        *,
        count: int | None = None,
        rows_of: Sequence[Job] = (),
        takes: Sequence[Job] = (),
        calls: Calls = NO_CALLS,
        **decides: Json,
    ) -> Job:
        """A job over the images, or `count` other units, which the fields of this place decide.

        `decides` are what else decides the arrays of this job alone; `rows_of`, `takes` and `calls` are
        those of a `Job`.
        """
        key = self.context.codes.decides(self.system, images) | {"seed": self.context.seed}
        if images is None:  # new images are compared at the size of the real ones
            key["size"] = self.context.dataset.image_size
        # under a name of their own: a field may be called as a part of the key is, such as "weights"
        key |= {"setting": self.setting, "fields": {**self._decided_by, **decides}}
        if self.variant:
            key |= {"x_T": self.variant.x_T, "keep": self.variant.keep}
        return Job(
            work,
            title,
            key,
            len(images or ()) if count is None else count,
            compute,
            rows_of=rows_of,
            takes=takes,
            system=self.system,
            steps=self.variant.steps if self.variant else None,
            calls=calls,
        )

    def draw(self, file: str, title: str, images: Sequence[Tensor], **sheet: Any) -> None:
        """Save a sheet of pictures of this place as PNG; in `file`, {} stands for the system's name."""
        about: dict[str, Json] = {"benchmark": self.context.benchmark, "system": self.system_title}
        about |= {"setting": self.setting} if self.setting else {}
        about |= {"steps": self.variant.steps} if self.variant else {}
        drawn = Sheet(f"{self.system_title}: {title}", images, about=about, **sheet)
        name = self.system.name if self.system else ""
        self.context.save_sheet(f"{file.format(name)}.png", drawn)

    def pictured(
        self, images: Selection | None, shown: np.ndarray, make: Callable[[], Tensor]
    ) -> Tensor:
        """What `make` makes for a picture of the images at positions `shown`, from the store."""

        def compute(_: np.ndarray) -> Arrays:
            return {"images": make().numpy()}

        job = self.job("pictured", "picture", images, compute, shown=shown.tolist())
        arrays = self.context.store.read(replace(job, count=None))
        return torch.from_numpy(arrays["images"])
