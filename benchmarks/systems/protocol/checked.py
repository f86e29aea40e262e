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
from benchmarks.systems.protocol.base import SEMANTIC, STOCHASTIC, Code, System, has_own, parts_of
from benchmarks.systems.protocol.contract import kind
from benchmarks.systems.protocol.parts import Semantic
from benchmarks.systems.protocol.returned import dtype_name, in_words, into, own_memory, suffix
from benchmarks.systems.protocol.source import source_digest, state_digest
from diffae.data import Dataset
from diffae.networks.nn import evaluating
from diffae.system.errors import UserError

OURS = {"benchmarks", "diffae"}
T = TypeVar("T")
Check = Callable[[object, int], T]  # takes the result of a method and its number of images
Owner = Callable[..., System] | None  # whose code is called; None: the system's
Rows = Code | Semantic | Sequence[int] | np.ndarray  # one for each image
Argument = Rows | Dataset | float | str | None


def build(
    name: str, factory: Callable[..., System], path: str | Path | None, device: torch.device
) -> "Checked":
    """Make the system of `factory`, checked.

    A system given by its address (my_vae:MyVAE) is called by its own `name`, or else by its class's.
    Raises SystemFailed if the factory fails or the fields are invalid. UserError and NotAvailable
    are passed on: they are the system's own messages to the user.
    """
    try:
        system = calling(name, "__init__", lambda: factory(path, device), factory)
    except SystemFailed as failure:
        if path is None and ":" in name:
            hint = f"its path is None; give one: --ckpt {name}=PATH"
            raise SystemFailed(f"{failure} ({hint})") from failure
        raise
    if not isinstance(system, System):
        reason = f"{kind(system)} is not a benchmarks.systems.System"
        raise SystemFailed.at(name, "__init__", reason)
    if ":" in name:  # an address, which cannot be a file's name
        last = re.sub(r"[^A-Za-z0-9._-]", "-", name.rpartition(":")[2]).lstrip("._-")
        name = name_of(system, last or "system")
    return Checked(name, system, device, factory)


def name_of(system: System, otherwise: str) -> str:
    """The system's own name, if it is valid in file names and options; else `otherwise`."""
    own = getattr(system, "name", None)
    return own if isinstance(own, str) and NAME.fullmatch(own) else otherwise


# ----------------------------------------------------------------------------------------------
# Arguments and results, cut by image and joined again: tensors, tuples of them, codes, indices


def rows(value: Rows) -> int:
    """The number of images of tensors, codes or indices."""
    levels = value.tensors if isinstance(value, Code) else value
    return len(levels[0] if isinstance(levels, tuple) else levels)


def cut(value: Any, place: slice | Tensor) -> Any:
    """The rows of tensors, codes or indices; anything else (steps, a seed) is the same for all rows."""
    if isinstance(value, list | range | np.ndarray):
        return value[place]  # type: ignore[index]
    return _each(value, lambda part: part[place])


def _each(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Tensors, tuples of them or codes with every tensor changed; anything else as it is."""
    if isinstance(value, Code):
        return Code(_each(value.semantic, change), _each(value.x_T, change))
    if isinstance(value, tuple):
        return tuple(map(change, value))
    return change(value) if isinstance(value, Tensor) else value


def join(codes: Sequence[Any]) -> Any:
    """Concatenate tensors, tuples of them or codes."""
    first = codes[0]
    if len(codes) == 1 or first is None:
        return first
    if isinstance(first, Code):
        return Code(join([code.semantic for code in codes]), join([code.x_T for code in codes]))
    return parts.join(codes)


class Checked(System):
    """A system whose arguments and results are checked; `inner` is the system itself."""

    def __init__(self, name: str, inner: System, device: torch.device, owner: Owner = None):
        self.name, self.inner, self.device = name, inner, device
        self._owner = vars(inner).get("module", inner) if owner is None else owner
        self.outside, self.batches = Clamped(), Batches()
        self._trial: str | None = None
        self._read_fields()

    def _read_fields(self) -> None:
        """Set the fields as the system has them."""
        fields = self._guard("fields", lambda: contract.read_fields(self.inner))
        fields["fingerprint"] += source_digest(type(self.inner))
        if (live := fields["live"]) is not None:
            fields["fingerprint"] += source_digest(type(live)) + state_digest(live)
        fields["fingerprint"] += suffix(fields["range"])
        self._description = fields.pop("describe")
        vars(self).update(fields)

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

        def check(inner: System) -> System:
            if type(inner) is type(self.inner):
                return inner
            raise Wrong(f"returned {kind(inner)}, not the system itself")

        system = copy.copy(self)  # shares the batches and the counts of clamped values
        system.inner = self._call("solving", check, solver)
        system.solver = system.inner.solver
        return system

    def unclamped(self) -> "Checked":
        system = copy.copy(self)  # shares the batches and the counts of clamped values
        system.clamped, system.inner = False, self._guard("unclamped", self.inner.unclamped)
        return system

    @property
    def learns_from_data(self) -> bool:
        return self.inner.learns_from_data

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
        return self._description

    # ------------------------------------------------------------------------------------------
    # The methods of a system

    def fit(self, batches: Iterable[Tensor]) -> None:
        title = self.title  # a run may have changed it
        self._guard("fit", lambda: self.inner.fit(into(images, self.range) for images in batches))
        self._read_fields()
        self.title = title

    def encode(self, images: Tensor, steps: int = 100) -> Code:
        check = partial(self._code, image_shape=images.shape[1:])
        return self._of_images("encode", check, images, steps)

    def encode_semantic(self, images: Tensor) -> Semantic:
        return self._of_images("encode_semantic", self._semantic, images)

    def codes_of(self, indices: Sequence[int], dataset: Dataset) -> Semantic:
        return self._in_batches("codes_of", self._semantic, indices, dataset)

    def encode_ranked(self, images: Tensor, ranks: Tensor) -> Semantic:
        return self._of_images("encode_ranked", self._semantic, images, ranks)

    def encode_stochastic(self, images: Tensor, semantic: Semantic | None, steps: int) -> Tensor:
        check = returned.of_shape(images.shape[1:])
        return self._of_images("encode_stochastic", check, images, semantic, steps)

    def decode(self, code: Code, steps: int = 100, *, keep: int | None = None) -> Tensor:
        wide = any(part.dtype == torch.float64 for part in code.tensors)
        dtype = torch.float64 if wide and self.computes_in_float64 else torch.float32
        kept = {} if keep is None else {"keep": keep}
        return self._in_batches("decode", self._images("decode", dtype), code, steps, **kept)

    def sample_latents(self, indices: Sequence[int], seed: int, steps: int) -> Semantic:
        return self._in_batches("sample_latents", self._semantic, indices, seed, steps)

    def sample(self, indices: Sequence[int], seed: int, steps: int) -> Tensor:
        return self._in_batches("sample", self._images("sample"), indices, seed, steps)

    def add_noise(self, images: Tensor, t: int, eps: Tensor) -> Tensor:
        return self._of_images("add_noise", returned.of_shape(images.shape[1:]), images, t, eps)

    def predict_x0(self, images_noised: Tensor, t: int, semantic: Semantic | None) -> Tensor:
        self._refuse_other_images("predict_x0", images_noised)
        check = self._images("predict_x0")
        return self._in_batches("predict_x0", check, images_noised, t, semantic)

    def random_x_T(self, indices: Sequence[int], seed: int) -> Tensor:
        check = returned.of_shape((3, self.image_size, self.image_size))
        return self._in_batches("random_x_T", check, indices, seed)

    @property
    def codebooks(self) -> Mapping[str, int]:
        return self._guard("codebooks", lambda: self.inner.codebooks)

    def tokens(self, code: Code) -> tuple[Tensor, ...]:
        def check(value: Iterable[Tensor]) -> tuple[Tensor, ...]:
            pairs = zip(value, self.codebooks.values(), strict=True)
            return tuple(returned.tokens(indices, size) for indices, size in pairs)

        return self._call("tokens", check, code)

    def read(self, semantic: Semantic) -> Tensor:
        if not has_own(self, "read"):
            return super().read(semantic)
        shape = (rows(semantic), None)
        return self._call("read", lambda value: returned.numbers(value, shape), semantic)

    def move(self, semantic: Semantic, delta: Tensor) -> Semantic:
        if not has_own(self, "move"):
            return super().move(semantic, delta)
        count = rows(semantic)
        return self._call("move", lambda value: self._semantic(value, count), semantic, delta)

    def edit(self, code: Code, attribute: str, target: bool, strength: float) -> Code:
        def check(value: object) -> Code:
            edited = returned.code(value)
            semantic = self._semantic(edited.semantic, rows(code))
            if code.x_T is None:
                return Code(semantic)
            return Code(semantic, returned.numbers(edited.x_T, code.x_T.shape))

        return self._call("edit", check, code, attribute, target, strength)

    def networks(self) -> dict[str, nn.Module]:
        def check(value: dict[str, nn.Module]) -> dict[str, nn.Module]:
            if all(isinstance(network, nn.Module) for network in value.values()):
                return value
            raise Wrong("must return torch modules by name")

        return self._call("networks", check)

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

    def _call(self, method: str, check: Callable[[Any], T], *given: Argument, **named: int) -> T:
        """Call a method with copies, so that it cannot change its arguments, and check its result.

        The results are copied too: a system may reuse its output buffer, as CUDA graphs do.
        """
        copies = [_each(value, self._copied) for value in given]
        copies = [list(c) if isinstance(c, range | np.ndarray) else c for c in copies]
        call = getattr(self.inner, method)
        return self._guard(method, lambda: _each(check(call(*copies, **named)), self._ours))

    def _copied(self, part: Tensor) -> Tensor:
        return part.detach().to(self.device, copy=True)

    def _ours(self, part: Tensor) -> Tensor:
        """A checked tensor on the device, in memory of its own, that allows writing and autograd."""
        moved = part.to(self.device)
        return own_memory(part) if moved is part else moved

    def _in_batches(
        self, method: str, check: Check[T], first: Rows, *others: Argument, **named: int
    ) -> T:
        """The results of a method in as many calls as `batches` makes, each checked, joined.

        `first` has one row per image, as has every other argument that consists of tensors. Each row
        of the results may depend only on the same row of these.
        """

        def call(place: slice) -> T:
            batch = [cut(value, place) for value in (first, *others)]
            count = place.stop - place.start
            return self._call(method, lambda value: check(value, count), *batch, **named)

        return join(self.batches.each(method, rows(first), call))

    def _of_images(self, method: str, check: Check[T], images: Tensor, *others: Argument) -> T:
        """The same for a method that is given images, which are converted to the system's range."""
        self._refuse_other_images(method, images)
        return self._in_batches(method, check, into(images, self.range), *others)

    def _refuse_other_images(self, method: str, images: Tensor) -> None:
        size, stride, sides = self._only_size, self.stride or 1, tuple(images.shape[2:])
        ordinary = images.ndim == 4 and images.shape[1] == 3 and images.is_floating_point()
        whole = all(side and side % stride == 0 for side in sides)
        if not (ordinary and whole and (size is None or sides == (size, size))):
            side = "S" if size is None else size
            multiple = f" (S a multiple of {stride})" if self.stride else ""
            takes = f"takes float images N x 3 x {side} x {side}{multiple}"
            given = f"was given {in_words(images.shape)} of {dtype_name(images)}"
            raise UserError(f"system {self.name!r}, {method}: {takes}, {given}")

    @property
    def _only_size(self) -> int | None:
        """The side that images must have; None if several are possible."""
        return self.image_size if self.stride is None else None

    # ------------------------------------------------------------------------------------------
    # Checks of the values that methods return

    def _images(self, method: str, dtype: torch.dtype = torch.float32) -> Check[Tensor]:
        """The check of images, which counts the values that lie outside [-1, 1]."""

        def check(value: object, count: int) -> Tensor:
            own, clamped = self.range, self.clamped
            images, outside = returned.images(value, count, self._only_size, dtype, own, clamped)
            self.outside.add(method, outside, images.numel(), clamped)
            return images

        return check

    def _semantic(self, value: object, count: int) -> Semantic:
        return returned.semantic(value, parts_of(self), count)

    def _code(self, value: object, count: int, image_shape: Sequence[int]) -> Code:
        """A code has the parts that the capabilities promise, and `latent_dim` numbers per image in all.

        Its x_T has the shape of an image.
        """
        code = returned.code(value)
        semantic: Semantic | None
        if SEMANTIC in self.capabilities:
            semantic, size = self._semantic(code.semantic, count), self.semantic_dim
            if tuple(image_shape[1:]) == (self.image_size, self.image_size):
                numbers = parts.numbers_in(parts_of(self), semantic)
                returned.refuse_other_numbers(numbers, self.semantic_dim)
        else:
            semantic = returned.free(code.semantic, count)
            size = returned.width(semantic)
        if STOCHASTIC in self.capabilities:
            x_T: Tensor | None = returned.numbers(code.x_T, (count, *image_shape))
        else:
            x_T = returned.free(code.x_T, count)
        size += returned.width(x_T)
        is_other = count and size != self.latent_dim
        if is_other and parts.numbers(self.semantic_parts or ()) is not None:
            raise Wrong(f"returned {size} numbers per image, but latent_dim is {self.latent_dim}")
        return Code(semantic, x_T)


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
