"""Every system behind one contract: what it is given, what it must return, and what is said if it does not.

`systems.load` returns a `Checked`. Whatever a system does (raise, return another shape, not a number, images of
0..255), the answer is one `SystemFailed` that names system and method, or tensors that a benchmark can rely on:
float32 (float64 where a system computes in it), on the run's device, without gradients, finite, of the promised
shape, and images within [-1, 1]. The verbs are called in batches (splitting.py), each call is guarded (calling.py), and
what comes back is checked (returned.py).
"""

import copy
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from benchmarks.runtime.batches import Batches
from benchmarks.runtime.errors import SystemFailed
from benchmarks.runtime.overshoot import Overshoot
from benchmarks.runtime.registry import NAME
from benchmarks.systems import contract
from benchmarks.systems.base import SEMANTIC, STOCHASTIC, Code, System, has_own, parts_of
from benchmarks.systems.calling import calling, unsteady
from benchmarks.systems.contract import Fields, kind
from benchmarks.systems.parts import Semantic, each, numbers, tensors
from benchmarks.systems.returned import Returned, dtype_name, in_words
from benchmarks.systems.source import source_digest, state_digest
from benchmarks.systems.splitting import in_batches
from diffae import noise
from diffae.errors import UserError
from diffae.nn import evaluating

T = TypeVar("T")
C = TypeVar("C", bound=Semantic)


def build(
    name: str, factory: Callable[..., System], path: str | Path | None, device: torch.device
) -> "Checked":
    """The system that `factory` makes, checked. Raises SystemFailed if it makes none or says what cannot be;
    UserError and NotAvailable are its own words to the user."""
    try:
        system = calling(name, "__init__", lambda: factory(path, device))
    except SystemFailed as failure:
        if path is None and ":" in name:
            hint = f"its path is None; give one: --ckpt {name}=PATH"
            raise SystemFailed(f"{failure} ({hint})") from failure
        raise
    if not isinstance(system, System):
        raise SystemFailed.at(
            name, "__init__", f"{kind(system)} is not a benchmarks.systems.System"
        )
    return Checked(_plain_name(name, system), system, device)


def _plain_name(name: str, system: System) -> str:
    """A name for files and the store; of one that says where a system is, the system's own or the last part."""
    if ":" not in name:
        return name
    own = getattr(system, "name", None)
    if isinstance(own, str) and NAME.fullmatch(own):
        return own
    return re.sub(r"[^A-Za-z0-9._-]", "-", name.rpartition(":")[2]).lstrip("._-") or "system"


class Checked(System):
    """A system that keeps its contract: `inner`, with everything that goes in and out of it checked."""

    def __init__(self, name: str, inner: System, device: torch.device):
        self.name, self.inner, self.device = name, inner, device
        self.overshoot = Overshoot()
        self.batches = Batches()
        self._unsteady: str | None = None
        fields = calling(name, "fields", lambda: contract.read_fields(inner, name))
        self._source = source_digest(type(inner))
        if (live := inner.live) is not None:
            self.live = live
            self._source += source_digest(type(live)) + state_digest(live)
        self._take(fields)
        self.title = fields.title

    def again(self) -> "Checked":
        """The same, with a name and title of its own, as it is now: a live model may have learned since.

        A system that learns from data does so in a copy: what it sets in `fit` is not set in this one.
        """
        inner = copy.copy(self.inner) if self.learns_from_data else self.inner
        found = Checked(self.name, inner, self.device)
        found.title = self.title
        return found

    def solving(self, solver: str) -> "Checked":
        if not has_own(self, "solving"):
            return self
        inner = self._call("solving", lambda: self.inner.solving(solver))
        if type(inner) is not type(self.inner):
            raise self._wrong("solving", f"returned {kind(inner)}, not the system itself")
        found = copy.copy(self)  # with the same batches and the same count of overshoots
        found.inner = inner
        found.solver = contract.read_fields(inner, self.name).solver
        return found

    def _take(self, fields: Fields) -> None:
        self._fields = fields
        self.capabilities, self.stride = fields.capabilities, fields.stride
        self.image_size = fields.image_size
        self.latent_dim, self.semantic_dim = fields.latent_dim, fields.semantic_dim
        self.semantic_parts, self.code_bits = fields.semantic_parts, fields.code_bits
        self.fingerprint = fields.fingerprint + self._source
        self.iterative, self.solver = fields.iterative, fields.solver
        self.reference = fields.reference
        self.computes_in_float64 = fields.computes_in_float64
        self.trained_on = fields.trained_on

    @property
    def learns_from_data(self) -> bool:
        return self._fields.learns_from_data

    def unsteady(self, image_size: int) -> str:
        """What rows have to say of a stranger's model, asked once: see `calling.unsteady`. Ours are known by tests."""
        model = getattr(self.inner, "module", self.inner)
        if self._unsteady is None and type(model).__module__.partition(".")[0] == "benchmarks":
            self._unsteady = ""
        if self._unsteady is None:
            side = self.image_size or image_size
            images = noise.normal(0, "unsteady", range(2), (3, side, side)).clamp(-1, 1)
            self._unsteady = unsteady(
                self.name, self.inner, self.capabilities, images.to(self.device)
            )
        return self._unsteady

    def describe(self) -> Mapping[str, Any]:
        return self._fields.description

    # ------------------------------------------------------------------------------------------
    # The verbs

    def fit(self, batches: Iterable[Tensor]) -> None:
        """An image that cannot be read is not the system's fault: what `batches` raises is raised again."""
        shown = _Shown(batches)
        try:
            self._call("fit", lambda: self.inner.fit(shown))
        except SystemFailed:
            if shown.error is not None:
                raise shown.error from None
            raise
        self._take(self._call("fit", lambda: contract.read_fields(self.inner, self.name)))

    @in_batches
    def encode(self, images: Tensor, steps: int = 100) -> Code:
        given = self._images_in("encode", images)
        code = self._call("encode", lambda: self.inner.encode(given, steps))
        if not isinstance(code, Code):
            raise self._wrong("encode", f"returned {kind(code)}, not a Code")
        return self._code("encode", code, images)

    @in_batches
    def encode_semantic(self, images: Tensor) -> Semantic:
        given = self._images_in("encode_semantic", images)
        semantic = self._call("encode_semantic", lambda: self.inner.encode_semantic(given))
        return self._semantic("encode_semantic", semantic, len(images))

    @property
    def codebooks(self) -> Mapping[str, int]:
        return self._call("codebooks", lambda: self.inner.codebooks)

    def tokens(self, code: Code) -> tuple[Tensor, ...]:
        if not has_own(self, "tokens"):
            return super().tokens(code)
        given = Code(None if code.semantic is None else self._in(code.semantic))
        found = self._call("tokens", lambda: self.inner.tokens(given))
        sizes = tuple(self.codebooks.values())
        if not isinstance(found, tuple) or len(found) != len(sizes):
            raise self._wrong("tokens", f"must return {len(sizes)} tensors, one of each codebook")
        for one, size in zip(found, sizes, strict=True):
            if one.dtype != torch.int64 or (
                one.numel() and not 0 <= int(one.min()) <= int(one.max()) < size
            ):
                raise self._wrong(
                    "tokens", f"returned something else than int64 from 0 to {size - 1}"
                )
        return found

    def read(self, semantic: Semantic) -> Tensor:
        if not has_own(self, "read"):
            return super().read(semantic)
        given = self._in(semantic)
        found = self._call("read", lambda: self.inner.read(given))
        width = found.shape[1] if isinstance(found, Tensor) and found.ndim == 2 else "d"
        return self._returned("read", found).numbers((_count(semantic), width))

    def move(self, semantic: Semantic, delta: Tensor) -> Semantic:
        if not has_own(self, "move"):
            return super().move(semantic, delta)
        given, by = self._in(semantic), delta.detach().to(self.device, copy=True)
        found = self._call("move", lambda: self.inner.move(given, by))
        return self._semantic("move", found, _count(semantic))

    @in_batches
    def encode_stochastic(self, images: Tensor, semantic: Semantic | None, steps: int) -> Tensor:
        name, given = "encode_stochastic", self._images_in("encode_stochastic", images)
        z = None if semantic is None else self._in(semantic)
        x_T = self._call(name, lambda: self.inner.encode_stochastic(given, z, steps))
        return self._x_T(name, x_T, images)

    @in_batches
    def decode(self, code: Code, steps: int = 100) -> Tensor:
        x_T = None if code.x_T is None else self._in(code.x_T)
        given = Code(None if code.semantic is None else self._in(code.semantic), x_T)
        found = [part for part in (code.semantic, code.x_T) if part is not None]
        if not found:
            raise UserError("decode: was given a code without parts")
        images = self._call("decode", lambda: self.inner.decode(given, steps))
        wide = any(part.dtype == torch.float64 for whole in found for part in tensors(whole))
        dtype = torch.float64 if wide and self.computes_in_float64 else torch.float32
        return self._images("decode", images, _count(found[0]), dtype)

    @in_batches
    def sample_latents(self, indices: Sequence[int], seed: int, steps: int) -> Semantic:
        name = "sample_latents"
        latents = self._call(name, lambda: self.inner.sample_latents(list(indices), seed, steps))
        return self._semantic(name, latents, len(indices))

    @in_batches
    def sample(self, indices: Sequence[int], seed: int, steps: int) -> Tensor:
        images = self._call("sample", lambda: self.inner.sample(list(indices), seed, steps))
        return self._images("sample", images, len(indices))

    def add_noise(self, images: Tensor, t: int, eps: Tensor) -> Tensor:
        given, noise = self._images_in("add_noise", images), eps.to(self.device, copy=True)
        x_t = self._call("add_noise", lambda: self.inner.add_noise(given, t, noise))
        return self._returned("add_noise", x_t).tensor(tuple(images.shape))

    @in_batches
    def predict_x0(self, images_noised: Tensor, t: int, semantic: Semantic | None) -> Tensor:
        given = self._images_in("predict_x0", images_noised)
        z = None if semantic is None else self._in(semantic)
        images = self._call("predict_x0", lambda: self.inner.predict_x0(given, t, z))
        return self._images("predict_x0", images, len(images_noised))

    def random_x_T(self, indices: Sequence[int], seed: int) -> Tensor:
        x_T = self._call("random_x_T", lambda: self.inner.random_x_T(list(indices), seed))
        returned, size = self._returned("random_x_T", x_T), self.image_size
        if size is None:
            return returned.free(len(indices))
        return returned.tensor((len(indices), 3, size, size))

    def __getattr__(self, name: str) -> Any:
        """What a system has beyond the contract, such as `indices` of a VQ-GAN: guarded as a call, not checked."""
        if name.startswith("_") or name == "inner":
            raise AttributeError(name)
        found = getattr(self.inner, name)
        if not callable(found):
            return found
        return lambda *args, **kwargs: self._call(name, lambda: found(*args, **kwargs))

    def networks(self) -> dict[str, nn.Module]:
        parts = self._call("networks", lambda: self.inner.networks())
        if not isinstance(parts, dict) or not all(
            isinstance(part, str) and isinstance(network, nn.Module)
            for part, network in parts.items()
        ):
            raise self._wrong("networks", "returned something else than torch modules by name")
        return parts

    # ------------------------------------------------------------------------------------------
    # In

    def _call(self, method: str, call: Callable[[], T]) -> T:
        with evaluating(self.live):
            return calling(self.name, method, call)

    @property
    def _only_size(self) -> int | None:
        """The side that images must have; None where several will do, of which the system knows which."""
        return self.image_size if self.stride is None else None

    def _wrong(self, method: str, reason: str) -> SystemFailed:
        return SystemFailed.at(self.name, method, reason)

    def _in(self, part: C) -> C:
        """A copy of its own, so that a system that writes into what it is given changes nothing of ours."""
        return each(lambda one: one.detach().to(self.device, copy=True), part)  # type: ignore[return-value]

    def _images_in(self, method: str, images: Tensor) -> Tensor:
        size = self._only_size
        whole = images.ndim == 4 and images.shape[1] == 3 and images.is_floating_point()
        if not whole or (size is not None and tuple(images.shape[2:]) != (size, size)):
            side = "S" if size is None else size
            raise UserError(
                f"system {self.name!r}, {method}: takes float images N x 3 x {side} x {side}, was given "
                f"{in_words(images.shape)} of {dtype_name(images)}"
            )
        return images.detach().to(self.device, copy=True)

    # ------------------------------------------------------------------------------------------
    # Out

    def _code(self, method: str, code: Code, images: Tensor) -> Code:
        """A code with the parts that the capabilities promise, and `latent_dim` numbers an image in all."""
        semantic, x_T = code.semantic, code.x_T
        count = 0  # of numbers an image
        if SEMANTIC in self.capabilities:
            semantic, count = self._semantic(method, semantic, len(images)), self.semantic_dim
        elif semantic is not None:
            semantic = self._returned(method, semantic).free(len(images))
            count = semantic[:1].numel()
        if STOCHASTIC in self.capabilities:
            x_T = self._x_T(method, x_T, images)
        elif x_T is not None:
            x_T = self._returned(method, x_T).free(len(images))
        count += 0 if x_T is None else x_T[:1].numel()
        if len(images) and count != self.latent_dim and self._knows_its_size:
            raise self._wrong(
                method, f"returned {count} numbers an image, but latent_dim is {self.latent_dim}"
            )
        return Code(semantic, x_T)

    @property
    def _knows_its_size(self) -> bool:
        """Whether a code has the same size whatever the image's."""
        return self.semantic_parts is None or numbers(self.semantic_parts) is not None

    def _semantic(self, method: str, value: object, count: int) -> Semantic:
        return self._returned(method, value).semantic(parts_of(self), count)

    def _x_T(self, method: str, value: object, images: Tensor) -> Tensor:
        return self._returned(method, value).numbers(tuple(images.shape))

    def _images(
        self, method: str, value: object, count: int, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        returned = self._returned(method, value)
        return returned.images(count, self._only_size, dtype, self.overshoot)

    def _returned(self, method: str, value: object) -> Returned:
        return Returned(self.name, method, value, self.device)


@contextmanager
def undivided(system: System) -> Iterator[None]:
    """Within the block, a system is given all images at once, whatever --batch-size says: what is timed is that."""
    if not isinstance(system, Checked):
        yield
        return
    batches, system.batches = system.batches, Batches()
    try:
        yield
    finally:
        system.batches = batches


@dataclass
class _Shown:
    """Batches on their way to a system, and what went wrong in reading them."""

    batches: Iterable[Tensor]
    error: Exception | None = None

    def __iter__(self) -> Iterator[Tensor]:
        try:
            yield from self.batches
        except Exception as error:
            self.error = error
            raise


def _count(semantic: Semantic) -> int:
    """Images that a code is of."""
    return len(tensors(semantic)[0])
