"""Checks of a system's arguments and results, the same for every system.

`systems.load` returns a `Checked`. Whatever a system does (raise, return a wrong shape, nan, images in
0..255), the outcome is either one `SystemFailed` that names system and method, or tensors that a benchmark can rely on:
float32 (float64 if a system computes in it), on the run's device, without gradients, finite, of the promised
shape, and images within [-1, 1].
"""

import copy
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.runtime.calling import Batches, Clamped, calling
from benchmarks.runtime.errors import SystemFailed, Wrong
from benchmarks.runtime.registry import NAME
from benchmarks.systems.protocol import base, contract, parts, returned, trial
from benchmarks.systems.protocol.base import Code, System, has_own, parts_of
from benchmarks.systems.protocol.parts import Semantic
from benchmarks.systems.protocol.returned import dtype_name, in_words, own_memory, rescaled
from diffae.data import Dataset
from diffae.diffusion.scheme import Scheme
from diffae.networks.nn import evaluating
from diffae.system.errors import UserError

OURS = {"benchmarks", "diffae"}
T = TypeVar("T")
Check = Callable[[Any, Any], T]  # takes the result of a method and the first argument of the call
Owner = Callable[..., System] | None  # whose code is called; None: the system's


def build(
    name: str, factory: Callable[..., System], path: str | Path | None, device: torch.device
) -> "Checked":
    """Make the system of `factory`, checked.

    A system given by its address (my_vae:MyVAE) is called by its own `name`, or else by its class's.
    Raises SystemFailed if the factory fails or the fields are invalid. UserError and NotAvailable
    are passed on: they are the system's own messages to the user.
    """

    def make() -> System:
        return returned.of_class(factory(path, device), System)

    try:
        system = calling(name, "__init__", make, factory)
    except SystemFailed as failure:
        if path is None and ":" in name:
            hint = f"its path is None; give one: --ckpt {name}=PATH"
            raise SystemFailed(f"{failure} ({hint})") from failure
        raise
    if ":" in name:  # an address, which cannot be a file's name
        last = re.sub(r"[^A-Za-z0-9._-]", "-", name.rpartition(":")[2]).lstrip("._-")
        name = name_of(system, last or "system")
    return Checked(name, system, device, factory)


def name_of(system: System, otherwise: str) -> str:
    """The system's own name, if it is valid in file names and options; else `otherwise`."""
    own = calling(otherwise, "name", lambda: getattr(system, "name", None), type(system))
    return own if isinstance(own, str) and NAME.fullmatch(own) else otherwise


# ----------------------------------------------------------------------------------------------
# Arguments and results, cut by image and joined again: tensors, tuples of them, codes, indices


def rows(value: Any) -> int:
    """The number of images of tensors, codes or indices."""
    levels = value.tensors if isinstance(value, Code) else value
    return len(levels[0] if isinstance(levels, tuple) else levels)


def cut(value: Any, place: slice | Tensor | np.ndarray) -> Any:
    """The rows of tensors, codes or indices; anything else (steps, a seed) is the same for all rows."""
    if isinstance(value, list | range | np.ndarray):
        return list(value[place])  # type: ignore[index, arg-type]
    return each(lambda part: part[place], value)


def join(results: Sequence[Any]) -> Any:
    """Concatenate tensors, tuples of them or codes."""
    return results[0] if len(results) == 1 else each(lambda *pieces: torch.cat(pieces), *results)


def each(change: Callable[..., Tensor], *values: Any) -> Any:
    """`change` of the corresponding tensors of tensors, tuples of them or codes; of anything else the first."""
    first = values[0]
    if isinstance(first, Code):
        semantic, x_T = ([getattr(code, part) for code in values] for part in ("semantic", "x_T"))
        return Code(each(change, *semantic), each(change, *x_T))
    if isinstance(first, tuple):
        return tuple(change(*levels) for levels in zip(*values, strict=True))
    return change(*values) if isinstance(first, Tensor) else first


class Checked(System):
    """A system whose arguments and results are checked; `inner` is the system itself."""

    description: base.Description

    def __init__(self, name: str, inner: System, device: torch.device, owner: Owner = None):
        self.name, self.inner, self.device = name, inner, device
        self._owner = vars(inner).get("module", inner) if owner is None else owner
        self.outside, self.batches = Clamped(), Batches()
        self._trial: str | None = None
        self._read_fields()

    def _read_fields(self) -> None:
        """Set the fields as the system has them."""
        vars(self).update(self._guard("fields", lambda: contract.read_fields(self.inner)))

    def refreshed(self) -> "Checked":
        """A copy that reads the system's fields again: a live model may have been trained since.

        The inner system of one that learns from data is copied too.
        """
        inner = copy.copy(self.inner) if self.learns_from_data else self.inner
        system = Checked(self.name, inner, self.device, self._owner)
        system.title, system.origin = self.title, self.origin
        return system

    def solving(self, solver: str) -> "Checked":
        if not has_own(self, "solving"):
            return self
        return self._variant("solving", solver)

    def unclamped(self) -> "Checked":
        system = self._variant("unclamped")
        system.clamped = False
        return system

    def _variant(self, method: str, *arguments: str) -> "Checked":
        """The variant that a method of the system returns; batches and counts of clamped values are shared."""

        def make() -> tuple[System, Scheme | None]:
            variant = returned.of_class(getattr(self.inner, method)(*arguments), type(self.inner))
            return variant, contract.read_field(variant, "solver")

        system = copy.copy(self)
        system.inner, system.solver = self._guard(method, make)
        return system

    @property
    def learns_from_data(self) -> bool:
        return has_own(self, "fit")

    def try_on(self, images: Callable[[int], Tensor]) -> str:
        """The note for the rows of a foreign model, from a trial on a few images (trial.py).

        `images` returns the given number of images. Raises SystemFailed if the model's images seem to
        be in another range than it states.
        """
        held = vars(self.inner)
        kinds = {type(self.inner), type(held.get("module", held.get("model", self.inner)))}
        if {kind.__module__.partition(".")[0] for kind in kinds} <= OURS:
            return str(held.get("remark", ""))  # that of codes in a file
        if self._trial is None:
            # All at once, or it would not be seen that results depend on the batch.
            with divided(self, replace(self.batches, images=None)):
                self._trial = trial.tried(self, images(trial.IMAGES).to(self.device))
        return self._trial

    def describe(self) -> base.Description:
        return self.description

    # ------------------------------------------------------------------------------------------
    # The methods of a system

    def fit(self, batches: Iterable[Tensor]) -> None:
        title = self.title  # a run may have changed it
        self._guard("fit", lambda: self.inner.fit(map(self._in_its_range, batches)))
        self._read_fields()
        self.title = title

    def encode(self, images: Tensor, steps: int = 100) -> Code:
        return self._of_images("encode", self._code, images, steps)

    def encode_semantic(self, images: Tensor) -> Semantic:
        return self._of_images("encode_semantic", self._semantic, images)

    def encode_ranked(self, images: Tensor, ranks: Tensor) -> Semantic:
        return self._of_images("encode_ranked", self._semantic, images, ranks)

    def encode_stochastic(self, images: Tensor, semantic: Semantic | None, steps: int) -> Tensor:
        return self._of_images("encode_stochastic", self._noise, images, semantic, steps)

    def add_noise(self, images: Tensor, t: int, eps: Tensor) -> Tensor:
        return self._of_images("add_noise", self._noise, images, t, eps)

    def predict_x0(self, images_noised: Tensor, t: int, semantic: Semantic | None) -> Tensor:
        self._refuse_other_images("predict_x0", images_noised)
        check = partial(self._images, "predict_x0")
        return self._call("predict_x0", check, images_noised, t, semantic)

    def codes_of(self, indices: Sequence[int], dataset: Dataset) -> Semantic:
        return self._call("codes_of", self._semantic, indices, dataset)

    def decode(self, code: Code, steps: int = 100, *, keep: int | None = None) -> Tensor:
        kept = {} if keep is None else {"keep": keep}
        return self._call("decode", partial(self._images, "decode"), code, steps, **kept)

    def sample_latents(self, indices: Sequence[int], seed: int, steps: int) -> Semantic:
        return self._call("sample_latents", self._semantic, indices, seed, steps)

    def sample(self, indices: Sequence[int], seed: int, steps: int) -> Tensor:
        return self._call("sample", partial(self._images, "sample"), indices, seed, steps)

    def random_x_T(self, indices: Sequence[int], seed: int) -> Tensor:
        return self._call("random_x_T", self._noise, indices, seed)

    def read(self, semantic: Semantic) -> Tensor:
        if not has_own(self, "read"):
            return super().read(semantic)
        return self._call("read", self._features, semantic)

    def move(self, semantic: Semantic, delta: Tensor) -> Semantic:
        if not has_own(self, "move"):
            return super().move(semantic, delta)
        return self._call("move", self._semantic, semantic, delta)

    def edit(self, code: Code, attribute: str, target: bool, strength: float) -> Code:
        return self._call("edit", self._edited, code, attribute, target, strength)

    def tokens(self, code: Code) -> tuple[Tensor, ...]:
        return self._call("tokens", self._tokens, code)

    @property
    def codebooks(self) -> Mapping[str, int]:
        return self._guard("codebooks", lambda: returned.values_of(self.inner.codebooks, int))

    def networks(self) -> dict[str, nn.Module]:
        return self._guard("networks", lambda: returned.values_of(self.inner.networks(), nn.Module))

    def __getattr__(self, name: str) -> Any:
        """Attributes beyond the protocol. Their calls are guarded, but the results are not checked."""
        if name.startswith("_") or name == "inner":
            raise AttributeError(name)
        value = getattr(self.inner, name)
        if not callable(value):
            return value
        return lambda *args, **kwargs: self._guard(name, lambda: value(*args, **kwargs))

    # ------------------------------------------------------------------------------------------
    # Calls

    def _guard(self, method: str, call: Callable[[], T]) -> T:
        with evaluating(self.live):
            return calling(self.name, method, call, self._owner)

    def _call(self, method: str, check: Check[T], first: Any, *others: Any, **named: int) -> T:
        """The checked results of a method in as many calls as `batches` makes, joined.

        `first` has one row per image, as has every other argument that consists of tensors. Each row
        of the results may depend only on the same row of these. The system gets copies, so that it
        cannot change its arguments, and its results are copied too: it may reuse its output buffer,
        as CUDA graphs do.
        """

        def of_batch(place: slice) -> T:
            batch = [cut(value, place) for value in (first, *others)]
            copies = [each(self._copied, value) for value in batch]

            def call() -> T:
                result = getattr(self.inner, method)(*copies, **named)
                return each(self._ours, check(result, batch[0]))

            return self._guard(method, call)

        return join(self.batches.each(method, rows(first), of_batch))

    def _copied(self, part: Tensor) -> Tensor:
        return part.detach().to(self.device, copy=True)

    def _ours(self, part: Tensor) -> Tensor:
        """A checked tensor on the device, in memory of its own, that allows writing and autograd."""
        moved = part.to(self.device)
        return own_memory(part) if moved is part else moved

    def _of_images(self, method: str, check: Check[T], images: Tensor, *others: Any) -> T:
        """The same for a method that is given images, which are converted to the system's range."""
        self._refuse_other_images(method, images)
        return self._call(method, check, self._in_its_range(images), *others)

    def _in_its_range(self, images: Tensor) -> Tensor:
        return rescaled(images, base.HERE, self.range or base.HERE)

    def _refuse_other_images(self, method: str, images: Tensor) -> None:
        size, stride, shape = self._only_size, self.stride or 1, images.shape
        fits = images.is_floating_point() and returned.fits(shape, (None, 3, size, size))
        if not fits or any(side % stride for side in shape[2:]):
            takes = f"takes float images {in_words(('N', 3, size or 'S', size or 'S'))}"
            multiple = f" (S a multiple of {stride})" if self.stride else ""
            given = f"was given {in_words(shape)} of {dtype_name(images)}"
            raise UserError(f"system {self.name!r}, {method}: {takes}{multiple}, {given}")

    @property
    def _only_size(self) -> int | None:
        """The side that images must have; None if several are possible."""
        return self.image_size if self.stride is None else None

    # ------------------------------------------------------------------------------------------
    # Checks of what methods return, given the first argument of the call

    def _code(self, value: object, images: Tensor) -> Code:
        """A code has the parts that the capabilities promise, and `latent_dim` numbers per image in all."""
        code, can = returned.of_class(value, Code), self.capabilities
        check_semantic = self._semantic if base.SEMANTIC in can else returned.free
        check_x_T = self._noise if base.STOCHASTIC in can else returned.free
        semantic, x_T = check_semantic(code.semantic, images), check_x_T(code.x_T, images)
        made_of = self.semantic_parts or ()
        size = parts.numbers_in(made_of, semantic)
        if base.STOCHASTIC in can or base.SEMANTIC not in can:
            size += parts.numbers_in((), x_T)  # else it is beyond what is promised
        is_own_size = tuple(images.shape[2:]) == (self.image_size, self.image_size)
        is_of_any_image = parts.numbers(made_of) is not None
        if len(images) and (is_own_size or is_of_any_image) and size != self.latent_dim:
            reason = "set latent_dim, or a stride from which it follows"
            raise Wrong(f"returned {size} numbers per image, not {self.latent_dim}: {reason}")
        return Code(semantic, x_T)

    def _semantic(self, value: object, first: Any) -> Semantic:
        return returned.semantic(value, parts_of(self), rows(first))

    def _noise(self, value: object, first: Tensor | Sequence[int]) -> Tensor:
        """Noise has the shape of the given images, or without images that of the system's."""
        own = (len(first), 3, self.image_size, self.image_size)
        return returned.numbers(value, first.shape if isinstance(first, Tensor) else own)

    def _images(self, method: str, value: object, first: Any) -> Tensor:
        """Images within [-1, 1]; the values that lay outside are counted."""
        given = first.tensors if isinstance(first, Code) else ()
        wide = self.computes_in_float64 and any(part.dtype == torch.float64 for part in given)
        dtype = torch.float64 if wide else torch.float32
        shape = (rows(first), 3, self._only_size, self._only_size)
        own = self.range or base.HERE
        images, outside = returned.images(value, shape, dtype, own, self.clamped)
        self.outside.add(method, outside, images.numel())
        return images

    def _features(self, value: object, semantic: Semantic) -> Tensor:
        return returned.numbers(value, (rows(semantic), None))

    def _edited(self, value: object, code: Code) -> Code:
        edited = returned.of_class(value, Code)
        semantic = self._semantic(edited.semantic, code)
        if code.x_T is None:
            return Code(semantic)
        return Code(semantic, returned.numbers(edited.x_T, code.x_T.shape))

    def _tokens(self, value: Iterable[object], code: Code) -> tuple[Tensor, ...]:
        pairs = zip(value, self.codebooks.values(), strict=True)
        return tuple(returned.tokens(indices, size) for indices, size in pairs)


@contextmanager
def divided(system: System, batches: Batches) -> Iterator[None]:
    """Within the block a system gets its images in these batches, whatever --batch-size is."""
    if not isinstance(system, Checked):
        yield
        return
    before, system.batches = system.batches, batches
    try:
        yield
    finally:
        system.batches = before
