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
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.runtime.calling import Batches, Overshoot, calling
from benchmarks.runtime.errors import SystemFailed
from benchmarks.runtime.registry import NAME
from benchmarks.systems.protocol import contract, parts, trial
from benchmarks.systems.protocol.base import SEMANTIC, STOCHASTIC, Code, System, has_own, parts_of
from benchmarks.systems.protocol.contract import kind
from benchmarks.systems.protocol.parts import Semantic, numbers, tensors
from benchmarks.systems.protocol.returned import Returned, dtype_name, in_words, into, suffix
from benchmarks.systems.protocol.source import source_digest, state_digest
from diffae.data import Dataset
from diffae.networks.nn import evaluating
from diffae.system.errors import UserError

OURS = {"benchmarks", "diffae"}

T = TypeVar("T")
Check = Callable[[Returned, int], T]  # of a result, by its number of images


def build(
    name: str, factory: Callable[..., System], path: str | Path | None, device: torch.device
) -> "Checked":
    """Make the system of `factory`, checked.

    A system given by its address (my_vae:MyVAE) is called by its own `name`, or else by its class's.
    Raises SystemFailed if the factory fails or the fields are invalid. UserError and NotAvailable
    are passed on: they are messages of the system to the user.
    """
    try:
        system = calling(name, "__init__", lambda: factory(path, device))
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
    return Checked(name, system, device)


def name_of(system: System, otherwise: str) -> str:
    """The system's own name, if it is valid in file names and options; else `otherwise`."""
    own = getattr(system, "name", None)
    return own if isinstance(own, str) and NAME.fullmatch(own) else otherwise


# ----------------------------------------------------------------------------------------------
# Arguments and results, cut by image and joined again: tensors, tuples of them, codes, indices


def rows(value: Any) -> int:
    """The number of images of tensors, codes or indices."""
    if isinstance(value, Code):
        return rows(value.x_T if value.semantic is None else value.semantic)
    return rows(value[0]) if _is_several(value) else len(value)


def cut(value: Any, place: slice | Tensor) -> Any:
    """The rows of tensors, codes or indices; anything else (steps, a seed) is the same for all rows."""
    if isinstance(value, Sequence | np.ndarray) and not _is_several(value):
        return value[place]  # type: ignore[index]
    return _changed(value, lambda part: part[place])


def _changed(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Tensors, tuples of them or codes with every tensor changed; anything else as it is."""
    if isinstance(value, Code):
        return value.each(change)
    if isinstance(value, Tensor) or _is_several(value):
        return parts.each(change, value)
    return value


def join(values: Sequence[Any]) -> Any:
    """Concatenate tensors, tuples of them or codes."""
    first = values[0]
    if len(values) == 1 or first is None:
        return first
    if isinstance(first, Code):
        return Code(join([code.semantic for code in values]), join([code.x_T for code in values]))
    return parts.join(values)


def _is_several(value: Any) -> bool:
    """Whether a value is a semantic code of several tensors."""
    return isinstance(value, tuple | list) and bool(value) and isinstance(value[0], Tensor)


def _numbers(shape: Sequence[int | None]) -> Check[Tensor]:
    """The check of a tensor of that shape for each image."""
    return lambda returned, count: returned.numbers((count, *shape))


def _width(part: Semantic | None) -> int:
    return sum(one[:1].numel() for one in tensors(part))


class Checked(System):
    """A system whose arguments and results are checked; `inner` is the system itself."""

    def __init__(self, name: str, inner: System, device: torch.device):
        self.name, self.inner, self.device = name, inner, device
        self.overshoot = Overshoot()
        self.batches = Batches()
        self._trial: str | None = None
        fields = calling(name, "fields", lambda: contract.read_fields(inner, name))
        self._source = source_digest(type(inner))
        if (live := fields["live"]) is not None:
            self._source += source_digest(type(live)) + state_digest(live)
        self.title = fields["title"]
        self._take(fields)

    def refreshed(self) -> "Checked":
        """A copy that reads the system's fields again: a live model may have been trained since.

        The inner system of one that learns from data is copied too.
        """
        inner = copy.copy(self.inner) if self.learns_from_data else self.inner
        found = Checked(self.name, inner, self.device)
        found.title, found.origin = self.title, self.origin
        return found

    def solving(self, solver: str) -> "Checked":
        if not has_own(self, "solving"):
            return self
        found = copy.copy(self)  # shares the batches and the count of overshoots
        found.inner = self._guard("solving", lambda: self.inner.solving(solver))
        if type(found.inner) is not type(self.inner):
            reason = f"returned {kind(found.inner)}, not the system itself"
            raise SystemFailed.at(self.name, "solving", reason)
        found.solver = contract.read_fields(found.inner, self.name)["solver"]
        return found

    def unclamped(self) -> "Checked":
        found = copy.copy(self)  # shares the batches and the count of overshoots
        found.clamped, found.inner = False, self._guard("unclamped", self.inner.unclamped)
        return found

    def _take(self, fields: dict[str, Any]) -> None:
        """Set the fields as the system has them, except the title, which a run may change."""
        fields["fingerprint"] += self._source + suffix(fields["range"])
        self._description, self._learns = fields.pop("describe"), fields.pop("learns_from_data")
        vars(self).update(fields | {"title": self.title})

    @property
    def learns_from_data(self) -> bool:
        return self._learns

    def try_on(self, images: Callable[[int], Tensor]) -> str:
        """What the rows of a foreign model must say, by a trial on so many `images` (trial.py).

        Raises SystemFailed if its images seem to be of another range than it says.
        """
        held = vars(self.inner)
        kinds = {type(self.inner), type(held.get("module", held.get("model", self.inner)))}
        if {kind.__module__.partition(".")[0] for kind in kinds} <= OURS:
            return str(held.get("remark", ""))  # of codes in a file
        if self._trial is None:
            self._trial = trial.tried(self, images(trial.IMAGES).to(self.device))
        return self._trial

    def describe(self) -> Mapping[str, Any]:
        return self._description

    # ------------------------------------------------------------------------------------------
    # The methods of a system

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Fit the system. An error of `batches`, such as an unreadable image, is raised again as it is."""
        errors: list[Exception] = []

        def shown() -> Iterator[Tensor]:
            try:
                for images in batches:
                    yield into(images, self.range)
            except Exception as error:
                errors.append(error)
                raise

        try:
            self._call("fit", shown())
        except SystemFailed:
            if errors:
                raise errors[0] from None
            raise
        self._take(self._guard("fit", lambda: contract.read_fields(self.inner, self.name)))

    def encode(self, images: Tensor, steps: int = 100) -> Code:
        return self._of_images("encode", self._code_of(images), images, steps)

    def encode_semantic(self, images: Tensor) -> Semantic:
        return self._of_images("encode_semantic", self._semantic, images)

    def codes_of(self, indices: Sequence[int], dataset: Dataset) -> Semantic:
        return self._in_batches("codes_of", self._semantic, indices, dataset)

    def encode_ranked(self, images: Tensor, ranks: Tensor) -> Semantic:
        return self._of_images("encode_ranked", self._semantic, images, ranks)

    def encode_stochastic(self, images: Tensor, semantic: Semantic | None, steps: int) -> Tensor:
        shape = images.shape[1:]
        return self._of_images("encode_stochastic", _numbers(shape), images, semantic, steps)

    def decode(self, code: Code, steps: int = 100, *, keep: int | None = None) -> Tensor:
        given = (*tensors(code.semantic), *tensors(code.x_T))
        wide = any(part.dtype == torch.float64 for part in given)
        dtype = torch.float64 if wide and self.computes_in_float64 else torch.float32

        check = partial(self._images, dtype=dtype)
        kept = {} if keep is None else {"keep": keep}
        return self._in_batches("decode", check, code, steps, **kept)

    def sample_latents(self, indices: Sequence[int], seed: int, steps: int) -> Semantic:
        return self._in_batches("sample_latents", self._semantic, indices, seed, steps)

    def sample(self, indices: Sequence[int], seed: int, steps: int) -> Tensor:
        return self._in_batches("sample", self._images, indices, seed, steps)

    def add_noise(self, images: Tensor, t: int, eps: Tensor) -> Tensor:
        return self._of_images("add_noise", _numbers(images.shape[1:]), images, t, eps)

    def predict_x0(self, images_noised: Tensor, t: int, semantic: Semantic | None) -> Tensor:
        self._refuse_other_images("predict_x0", images_noised)
        return self._in_batches("predict_x0", self._images, images_noised, t, semantic)

    def random_x_T(self, indices: Sequence[int], seed: int) -> Tensor:
        check = _numbers((3, self.image_size, self.image_size))
        return self._in_batches("random_x_T", check, indices, seed)

    @property
    def codebooks(self) -> Mapping[str, int]:
        return self._guard("codebooks", lambda: self.inner.codebooks)

    def tokens(self, code: Code) -> tuple[Tensor, ...]:
        if not has_own(self, "tokens"):
            return super().tokens(code)
        found, sizes = self._call("tokens", code), self.codebooks.values()
        if not isinstance(found.value, tuple) or len(found.value) != len(sizes):
            raise found.wrong(f"must return {len(sizes)} tensors, one for each codebook")
        pairs = zip(map(found.part, found.value), sizes, strict=True)
        return tuple(each.tokens(each.shape, size) for each, size in pairs)

    def read(self, semantic: Semantic) -> Tensor:
        if not has_own(self, "read"):
            return super().read(semantic)
        return self._call("read", semantic).numbers((rows(semantic), None))

    def move(self, semantic: Semantic, delta: Tensor) -> Semantic:
        if not has_own(self, "move"):
            return super().move(semantic, delta)
        return self._call("move", semantic, delta).semantic(parts_of(self), rows(semantic))

    def edit(self, code: Code, attribute: str, target: bool, strength: float) -> Code:
        returned = self._call("edit", code, attribute, target, strength)
        edited = returned.code()
        semantic = self._semantic(returned.part(edited.semantic), rows(code))
        if code.x_T is None:
            return Code(semantic)
        return Code(semantic, returned.part(edited.x_T).numbers(tuple(code.x_T.shape)))

    def __getattr__(self, name: str) -> Any:
        """Attributes beyond the protocol; calls are guarded, results are not checked."""
        if name.startswith("_") or name == "inner":
            raise AttributeError(name)
        value = getattr(self.inner, name)
        if not callable(value):
            return value
        return lambda *args, **kwargs: self._guard(name, lambda: value(*args, **kwargs))

    def networks(self) -> dict[str, nn.Module]:
        returned = self._call("networks")
        networks = returned.value
        if not isinstance(networks, dict) or not all(
            isinstance(network, nn.Module) for network in networks.values()
        ):
            raise returned.wrong("must return torch modules by name")
        return networks

    def _guard(self, method: str, call: Callable[[], T]) -> T:
        with evaluating(self.live):
            return calling(self.name, method, call)

    def _call(self, method: str, *given: Any, **named: Any) -> Returned:
        """Call a method of the system with copies, so that it cannot change its arguments."""

        def copied(part: Tensor) -> Tensor:
            return part.detach().to(self.device, copy=True)

        own = [_changed(value, copied) for value in given]
        own = [list(value) if isinstance(value, range | np.ndarray) else value for value in own]
        value = self._guard(method, lambda: getattr(self.inner, method)(*own, **named))
        return Returned(self.name, method, value, self.device, self.clamped)

    def _in_batches(
        self, method: str, check: Check[T], first: Any, *others: Any, **named: Any
    ) -> T:
        """The results of a method in as many calls as `batches` makes, each checked, joined.

        `first` has one row per image, as has every other argument that consists of tensors. Each row
        of the results may depend only on the same row of these. `check` gets the result of a call and
        its number of images, and returns what a benchmark can rely on.
        """

        def call(place: slice) -> T:
            part, *rest = (cut(value, place) for value in (first, *others))
            return check(self._call(method, part, *rest, **named), rows(part))

        return join(self.batches.each(method, rows(first), call))

    def _of_images(self, method: str, check: Check[T], images: Tensor, *others: Any) -> T:
        """The same of a method that is given images, which are in the system's range."""
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

    def _images(self, returned: Returned, count: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return returned.images(count, self._only_size, dtype, self.overshoot, self.range)

    def _semantic(self, returned: Returned, count: int) -> Semantic:
        return returned.semantic(parts_of(self), count)

    def _code_of(self, images: Tensor) -> Check[Code]:
        """The check of a code of images: it has the parts that the capabilities promise, and
        `latent_dim` numbers per image in all.
        """
        can = self.capabilities
        size_varies = self.semantic_parts is not None and numbers(self.semantic_parts) is None

        def check(returned: Returned, count: int) -> Code:
            code = returned.code()
            semantic, x_T = returned.part(code.semantic), returned.part(code.x_T)
            semantic_part = (
                semantic.semantic(parts_of(self), count)
                if SEMANTIC in can
                else semantic.free(count)
            )
            shape = (count, *images.shape[1:])
            noise = x_T.numbers(shape) if STOCHASTIC in can else x_T.free(count)
            size = self.semantic_dim if SEMANTIC in can else _width(semantic_part)
            size += _width(noise)
            if count and size != self.latent_dim and not size_varies:
                reason = f"returned {size} numbers per image, but latent_dim is {self.latent_dim}"
                raise returned.wrong(reason)
            return Code(semantic_part, noise)

        return check


@contextmanager
def undivided(system: System) -> Iterator[None]:
    """Within the block, a system gets all images at once, whatever --batch-size is, for timing."""
    if not isinstance(system, Checked):
        yield
        return
    batches, system.batches = system.batches, Batches()
    try:
        yield
    finally:
        system.batches = batches
