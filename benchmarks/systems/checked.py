"""Every system behind one contract: what it is given, what it must return, and what is said if it does not.

`systems.load` returns a `Checked`. Whatever a system does (raise, return another shape, not a number, images of
0..255), the answer is one `SystemFailed` that names system and method, or tensors that a benchmark can rely on:
float32 (float64 where a system computes in it), on the run's device, without gradients, finite, of the promised
shape, and images within [-1, 1]. The verbs are called in batches, see splitting.py.
"""

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from benchmarks.core.batches import Batches, out_of_memory
from benchmarks.core.overshoot import Overshoot
from benchmarks.core.precision import of_networks
from benchmarks.metrics.weights import NotAvailable
from benchmarks.systems import contract
from benchmarks.systems.base import (
    SEMANTIC,
    STOCHASTIC,
    Code,
    System,
    SystemFailed,
    has_own,
    parts_of,
)
from benchmarks.systems.contract import Fields, kind
from benchmarks.systems.parts import Part, Semantic, each, numbers, tensors
from benchmarks.systems.source import source_digest, state_digest
from benchmarks.systems.splitting import in_batches
from diffae.errors import UserError

T = TypeVar("T")
C = TypeVar("C", bound=Semantic)

ROUNDING = 1e-5  # beyond -1 and 1: no overshoot yet
# Images that go further than this are of another range (0..255, logits), not of a decoder that overshoots: one of
# a few standard deviations of the data does not get there. Clamping them would make numbers of what are none.
FARTHEST = 5.0
WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
LARGEST_CODE = 1e18  # squares of larger numbers are infinite in float32


def build(
    name: str, factory: Callable[..., System], path: str | Path | None, device: torch.device
) -> "Checked":
    """The system that `factory` makes, checked. Raises SystemFailed if it makes none or says what cannot be;
    UserError and NotAvailable are its own words to the user."""
    system = calling(name, "__init__", lambda: factory(path, device))
    if not isinstance(system, System):
        raise SystemFailed.at(
            name, "__init__", f"{kind(system)} is not a benchmarks.systems.System"
        )
    return Checked(name, system, device)


def calling(name: str, method: str, call: Callable[[], T]) -> T:
    """What the call of a system's method returns. Whatever it raises becomes SystemFailed, but what is meant for
    the user (UserError, NotAvailable) in `__init__`, and Ctrl-C."""
    try:
        with torch.no_grad(), of_networks():
            return call()
    except SystemFailed:
        raise
    except (UserError, NotAvailable) as error:
        if method == "__init__":
            raise
        raise SystemFailed.at(name, method, str(error)) from error
    except (Exception, SystemExit) as error:
        hint = "; a smaller --batch-size may help" if out_of_memory(error) else ""
        raise SystemFailed.at(name, method, raised(error) + hint) from error


@contextmanager
def evaluating(module: nn.Module | None) -> Iterator[None]:
    """Within the block, `module` and all in it are in evaluation mode; afterwards each is what it was."""
    training = [] if module is None else [part for part in module.modules() if part.training]
    try:
        for part in training:
            part.training = False
        yield
    finally:
        for part in training:
            part.training = True


def raised(error: BaseException) -> str:
    """An exception in one line: its kind, its words, and the line of code that it comes from."""
    words = " ".join(str(error).split())[:300]
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"raised {type(error).__name__}{': ' + words if words else ''}{place}"


class Checked(System):
    """A system that keeps its contract: `inner`, with everything that goes in and out of it checked."""

    def __init__(self, name: str, inner: System, device: torch.device):
        self.name, self.inner, self.device = name, inner, device
        self.overshoot = Overshoot()
        self.batches = Batches()
        fields = calling(name, "fields", lambda: contract.read_fields(inner, name))
        self._source = source_digest(type(inner))
        if (live := inner.live) is not None:
            self.live = live
            self._source += source_digest(type(live)) + state_digest(live)
        self._take(fields)
        self.title = fields.title

    def again(self) -> "Checked":
        """The same, with a name and title of its own, as it is now: a live model may have learned since."""
        found = Checked(self.name, self.inner, self.device)
        found.title = self.title
        return found

    def _take(self, fields: Fields) -> None:
        self._fields = fields
        self.capabilities, self.image_size = fields.capabilities, fields.image_size
        self.latent_dim, self.semantic_dim = fields.latent_dim, fields.semantic_dim
        self.semantic_parts, self.code_bits = fields.semantic_parts, fields.code_bits
        self.fingerprint = fields.fingerprint + self._source
        self.iterative, self.reference = fields.iterative, fields.reference
        self.computes_in_float64 = fields.computes_in_float64
        self.trained_on = fields.trained_on

    @property
    def learns_from_data(self) -> bool:
        return self._fields.learns_from_data

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

    def read(self, semantic: Semantic) -> Tensor:
        if not has_own(self, "read"):
            return super().read(semantic)
        given = self._in(semantic)
        found = self._call("read", lambda: self.inner.read(given))
        width = found.shape[1] if isinstance(found, Tensor) and found.ndim == 2 else "d"
        return self._coded(self._tensor("read", found, (_count(semantic), width)), "read")

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
        return self._tensor("add_noise", x_t, tuple(images.shape))

    @in_batches
    def predict_x0(self, images_noised: Tensor, t: int, semantic: Semantic | None) -> Tensor:
        given = self._images_in("predict_x0", images_noised)
        z = None if semantic is None else self._in(semantic)
        images = self._call("predict_x0", lambda: self.inner.predict_x0(given, t, z))
        return self._images("predict_x0", images, len(images_noised))

    def random_x_T(self, indices: Sequence[int], seed: int) -> Tensor:
        x_T = self._call("random_x_T", lambda: self.inner.random_x_T(list(indices), seed))
        shape = None if self.image_size is None else (3, self.image_size, self.image_size)
        return self._tensor("random_x_T", x_T, (len(indices), *(shape or x_T.shape[1:])))

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

    def _wrong(self, method: str, reason: str) -> SystemFailed:
        return SystemFailed.at(self.name, method, reason)

    def _in(self, part: C) -> C:
        """A copy of its own, so that a system that writes into what it is given changes nothing of ours."""
        return each(lambda one: one.detach().to(self.device, copy=True), part)  # type: ignore[return-value]

    def _images_in(self, method: str, images: Tensor) -> Tensor:
        size = self.image_size
        whole = images.ndim == 4 and images.shape[1] == 3 and images.is_floating_point()
        if not whole or (size is not None and tuple(images.shape[2:]) != (size, size)):
            side = "S" if size is None else size
            raise UserError(
                f"system {self.name!r}, {method}: takes float images N x 3 x {side} x {side}, was given "
                f"{_shape(images.shape)} of {_dtype(images)}"
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
            semantic = self._free(method, semantic, len(images))
            count = semantic[:1].numel()
        if STOCHASTIC in self.capabilities:
            x_T = self._x_T(method, x_T, images)
        elif x_T is not None:
            x_T = self._free(method, x_T, len(images))
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
        """Each tensor of the shape, kind and range that `semantic_parts` promise."""
        wanted = parts_of(self)
        if len(wanted) == 1:
            return self._part(method, value, count, wanted[0])
        if not isinstance(value, tuple | list):
            raise self._wrong(method, f"returned {kind(value)}, not {len(wanted)} tensors")
        if len(value) != len(wanted):
            raise self._wrong(method, f"returned {len(value)} tensors, not {len(wanted)}")
        return tuple(
            self._part(method, one, count, part) for one, part in zip(value, wanted, strict=True)
        )

    def _part(self, method: str, value: object, count: int, part: Part) -> Tensor:
        shape: tuple[int | str, ...] = (count, *("any" if s is None else s for s in part.shape))
        if isinstance(value, Tensor) and value.ndim == len(
            shape
        ):  # what may be any length is as it is
            shape = tuple(
                own if side == "any" else side for own, side in zip(value.shape, shape, strict=True)
            )
        if part.codebook is None:
            return self._coded(self._tensor(method, value, shape), method)
        return self._tokens(method, value, shape, part.codebook)

    def _tokens(
        self, method: str, value: object, shape: tuple[int | str, ...], codebook: int
    ) -> Tensor:
        """Whole numbers from 0 to below `codebook`, as int64."""
        tokens = self._of_shape(method, value, shape)
        if tokens.dtype not in WHOLE:
            raise self._wrong(method, f"returned {_dtype(tokens)} for tokens, not whole numbers")
        tokens = self._ordinary(tokens, torch.int64)
        low, high = tokens.aminmax() if tokens.numel() else (0, 0)
        if low < 0 or high >= codebook:
            raise self._wrong(
                method,
                f"returned tokens from {int(low)} to {int(high)}; the codebook goes from 0 to {codebook - 1}",
            )
        return tokens

    def _x_T(self, method: str, value: object, images: Tensor) -> Tensor:
        return self._coded(self._tensor(method, value, tuple(images.shape)), method)

    def _free(self, method: str, value: object, count: int) -> Tensor:
        """A part of a code that no capability says anything of: any shape, one row an image."""
        shape = tuple(value.shape[1:]) if isinstance(value, Tensor) else ()
        return self._coded(self._tensor(method, value, (count, *shape)), method)

    def _coded(self, code: Tensor, method: str) -> Tensor:
        if code.numel() and float(code.abs().max()) > LARGEST_CODE:
            raise self._wrong(method, f"returned numbers beyond {LARGEST_CODE:g}")
        return code

    def _images(
        self, method: str, value: object, count: int, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Images within [-1, 1]: a little outside is clamped and counted, another range is refused."""
        side: int | str = "S" if self.image_size is None else self.image_size
        if self.image_size is None and isinstance(value, Tensor) and value.ndim == 4:
            side = value.shape[-1]  # whatever is square
        images = self._tensor(method, value, (count, 3, side, side), dtype)
        if not images.numel():
            return images
        low, high = (float(bound) for bound in images.aminmax())
        if low < -FARTHEST or high > FARTHEST:
            raise self._wrong(
                method,
                f"returned values from {low:.4g} to {high:.4g}; images are in [-1, 1], and what goes beyond "
                f"{FARTHEST:g} is of another range (clamp it yourself if it is meant)",
            )
        outside = 0
        if low < -1 or high > 1:
            outside = int((images.abs() > 1 + ROUNDING).sum())
            images = images.clamp(-1, 1)
        self.overshoot.add(method, outside, images.numel())
        return images

    def _tensor(
        self,
        method: str,
        value: object,
        shape: tuple[int | str, ...],
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """`dtype` of that shape, finite, on the run's device, without gradients."""
        found = self._of_shape(method, value, shape, floating=True)
        found = self._ordinary(found, dtype)
        if found.numel() and not all(torch.isfinite(bound) for bound in found.aminmax()):
            count = int((~torch.isfinite(found)).sum())
            raise self._wrong(method, f"returned {count:,} of {found.numel():,} values not finite")
        return found

    def _of_shape(
        self, method: str, value: object, shape: tuple[int | str, ...], floating: bool = False
    ) -> Tensor:
        """A tensor with ordinary values of that shape, and of floating point where asked for."""
        if not isinstance(value, Tensor):
            raise self._wrong(method, f"returned {kind(value)}, not a tensor")
        if value.layout != torch.strided or value.is_meta or value.is_quantized:
            raise self._wrong(
                method, "returned a tensor without ordinary values (sparse, meta, ...)"
            )
        if floating and not value.is_floating_point():
            raise self._wrong(method, f"returned {_dtype(value)}, not floating point")
        if tuple(value.shape) != shape:
            raise self._wrong(method, f"returned {_shape(value.shape)}, not {_shape(shape)}")
        return value

    def _ordinary(self, value: Tensor, dtype: torch.dtype) -> Tensor:
        """In `dtype` on the run's device, a tensor that may be written into and go through autograd."""
        value = value.detach().to(self.device, dtype)
        return value.clone() if value.is_inference() else value


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


def _shape(shape: Sequence[int | str]) -> str:
    return " x ".join(map(str, shape)) or "a single number"


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
