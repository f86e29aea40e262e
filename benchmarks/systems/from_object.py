"""Systems from a name, a path, a model in memory, or any object with `encode` and `decode`."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from torch import Tensor, nn

from benchmarks.runtime.calling import calling
from benchmarks.runtime.errors import SystemFailed
from benchmarks.systems import registry
from benchmarks.systems.diffusion import DDIMSystem, DiffAESystem
from benchmarks.systems.protocol import checked
from benchmarks.systems.protocol.base import HERE, Code, Range, System, modules_of, needed
from benchmarks.systems.protocol.contract import LARGEST, is_line, kind, line, range_of_images
from benchmarks.systems.protocol.parts import (
    FLAT,
    HISTOGRAM,
    Part,
    Semantic,
    bits,
    numbers,
    tensors,
)
from benchmarks.systems.protocol.returned import in_words, rescaled
from benchmarks.systems.shared import recognised
from diffae import DDIM, DiffusionAutoencoder
from diffae.checkpoints import checkpoint
from diffae.networks.nn import evaluating
from diffae.system.errors import UserError, whole

LARGEST_SIDE = 1 << 14  # of an image
QUANTISERS = ("quantize", "quantizer")
CODEBOOK_SIZES = ("codebook_size", "n_embed", "num_embeddings", "n_e")


def as_system(
    model: object, device: str | torch.device = "cpu", title: str | None = None
) -> System:
    """The system for `model`, with its calls checked; `title` is its title in tables, by default its own.

    `model` is a registered name ("diffae"), a name and a path ("diffae=last.ckpt"), the path of a
    checkpoint, a `System`, a model of `diffae`, or an object with `encode` and `decode` that has an
    `image_size` (else see `wrap`); `decode` may be missing. It is not changed. Raises UserError.
    """
    if title is not None:
        line(title, "title")
    system = _checked_system(model, torch.device(device), title)
    if title is not None:
        system.title = title
    return system


def _checked_system(model: object, device: torch.device, title: str | None) -> System:
    if isinstance(model, str | Path):
        return _load(model, device)
    if isinstance(model, checked.Checked):
        return model.refreshed()
    if isinstance(model, System):
        name = checked.name_of(model, registry.slug(type(model).__name__) or "system")
        system = checked.Checked(name, model, device)
        return system.refreshed() if system.learns_from_data else system
    inner: System
    if isinstance(model, DDIM):
        inner = DDIMSystem.from_model(model)
    elif isinstance(model, DiffusionAutoencoder):
        inner = DiffAESystem.from_model(model)
    else:
        inner = wrap(model, title=title)
    return checked.Checked(inner.name, inner, device)


def _load(address: str | Path, device: torch.device) -> System:
    """The system of a registered name, NAME=PATH, or the path of a checkpoint.

    A checkpoint shows by its content which system it belongs to.
    """
    if isinstance(address, str):
        name, _, path = address.partition("=")
        is_class = registry.is_address(name) and not Path(address).exists()
        if is_class or name in registry.REGISTRY.names():
            return registry.load(name, path or None, device)
        places = (Path(address), Path(address.partition("#")[0]))
        is_checkpoint = address in checkpoint.packaged_names() or any(p.exists() for p in places)
        if "/" not in address and not is_checkpoint:
            registry.REGISTRY.get(address)  # raises UserError, as there is none
    return registry.load(recognised.system_of(address), address, device)


def _image_size(model: object) -> int:
    """The side of a model's images, from the model or its `config`. Raises UserError."""
    names = ("image_size", "sample_size")
    size = calling(kind(model), "image_size", lambda: _stated(model, ("config",), names))
    if size is None:
        remedy = "benchmarks.systems.wrap(model, image_size=64)"
        raise UserError(f"{kind(model)}: has no image_size; give it: {remedy}")
    return size


def _own_title(model: object) -> str:
    """The title that an object has, or else the name of its class."""
    title = calling(kind(model), "title", lambda: getattr(model, "title", None))
    return title if is_line(title) else kind(model)


def _stated(model: object, parts: Sequence[str], names: Sequence[str]) -> int | None:
    """The first integer among the attributes `names` of a model and of its `parts`."""
    owners = (model, *(getattr(model, part, None) for part in parts))
    values = (getattr(owner, name, None) for owner in owners for name in names)
    return next((value for value in values if type(value) is int), None)


def _refuse_without_encode(model: object) -> None:
    if isinstance(model, type):
        raise UserError(f"{model.__name__}: is a class; give an instance")
    if not callable(getattr(model, "encode", None)):
        raise UserError(
            f"{kind(model)}: cannot be measured: it has no method encode; see "
            "benchmarks.systems.wrap, or benchmarks.systems.System for one that only samples"
        )


def wrap(
    module: Any,
    *,
    image_size: int | None = None,
    title: str | None = None,
    reading: str | None = None,
    axis: int = 0,
    codebook: int | None = None,
    width: int = 1,
    range: Range | None = None,
    stride: int | None = None,
) -> System:
    """Make a system of any object with `encode(images)`, which gives a code, and `decode(code)`.

    Without `decode` it is a representation, which only benchmarks of codes measure.
    Images are N x 3 x image_size x image_size in [-1, 1], unless `range` says otherwise. A code is a
    tensor N x ..., a tuple of such, a `Code`, or a result of `diffusers` (`latents`, or a
    distribution, of which the mode is taken); `decode` gets the same, for `diffusers` the tensor.
    The parts of a code are found by encoding one image; integers are tokens.

        image_size  the side of the images; by default the object's own `image_size`, or that of its
                  `config`
        title     what tables call it; by default the object's own `title`, or the name of its class
        reading   how a probe reads the parts, see `parts.Part`: "flat" (default), "pooled" (with
                  the features on `axis` of an image's part), or, for tokens, "histogram"
        codebook  number of different tokens, if the object has none of codebook_size, n_embed and
                  num_embeddings
        width     numbers for which a token stands, as papers count
        range     the lowest and the highest value of the object's images, such as (0, 1): it is given
                  images in it, and what it decodes is converted back. By default (-1, 1), which is
                  checked with the first images; say (-1, 1) for an object that means it
        stride    if the object takes images of any height and width that are multiples of it, as
                  convolutions do. An image of another size is then tried, too

    A `torch.nn.Module` is not copied; it is in evaluation mode only during calls, and results are
    stored under its weights. Results of any other object are stored for this object only. Raises
    UserError if the object cannot be measured.
    """
    _refuse_without_encode(module)
    title = _own_title(module) if title is None else line(title, "title")
    given_size = _image_size(module) if image_size is None else image_size
    size = whole(given_size, "image_size", 1, LARGEST_SIDE)
    if range is not None:
        range_of_images(range, "wrap: range")
    system, grey = Wrapped(module, size, title, range), torch.zeros(1, 3, size, size)
    with evaluating(system.live):
        in_its_range = rescaled(grey, HERE, range or HERE)
        code = calling(system.name, "encode", lambda: system.encode(in_its_range), module)
    levels = tensors(code.semantic)
    has_tokens = not all(level.is_floating_point() for level in levels)
    if codebook is None:
        tokens = _stated(module, QUANTISERS, CODEBOOK_SIZES) if has_tokens else None
    elif has_tokens:
        tokens = whole(codebook, "wrap: codebook", 1, LARGEST)
    else:
        raise UserError(f"wrap: codebook {codebook!r}: encode gave no whole numbers, so no tokens")
    parts = (_part(level, reading, axis, tokens, width) for level in levels)
    system.set_fields(code, tuple(parts))
    _try(system, grey)
    if stride is not None:
        system.stride = whole(stride, "wrap: stride", 1, size)
        if size % stride:
            raise UserError(f"wrap: stride {stride}: image_size {size} must be a multiple of it")
        other = torch.zeros(1, 3, size + stride, size + 2 * stride)
        with evaluating(system.live):
            in_its_range = rescaled(other, HERE, range or HERE)
            calling(system.name, "encode", lambda: system.free_axes(in_its_range), module)
        _try(system, other)
    return system


def _try(system: "Wrapped", images: Tensor) -> None:
    """Encode and decode images. Raises SystemFailed if the results are not as promised."""
    trial = checked.Checked(system.name, system, system.device)
    encoded = trial.encode(images)
    if system.decodes and (decoded := trial.decode(encoded)).shape != images.shape:
        shapes = [in_words(tensor.shape) for tensor in (decoded, images)]
        raise SystemFailed.at(system.name, "decode", "returned {}, not {}".format(*shapes))


class Wrapped(System):
    """A model in memory, whose code is the result of its `encode`"""

    def __init__(self, module: Any, image_size: int, title: str, range: Range | None):
        self.module, self.image_size, self.title = module, image_size, title
        self.range = range
        self.name = registry.slug(title) or "model"
        self.decodes = callable(getattr(module, "decode", None))
        self.live = module if isinstance(module, nn.Module) else None
        weights = () if self.live is None else self.live.parameters()
        self.device = next((weight.device for weight in weights), torch.device("cpu"))

    def set_fields(self, code: Code, parts: tuple[Part, ...]) -> None:
        """Set the fields that follow from the code of one image and its parts."""
        capabilities = {"semantic": bool(parts), "stochastic": code.x_T is not None}
        capabilities |= {"encode": True, "decode": self.decodes}
        self.capabilities = frozenset(name for name, has in capabilities.items() if has)
        self.semantic_dim = numbers(parts) or 0
        self.latent_dim = self.semantic_dim + (0 if code.x_T is None else code.x_T.numel())
        is_vector = len(parts) == 1 and parts[0] == Part(parts[0].shape[:1])
        if not is_vector:
            self.semantic_parts = parts or None
        described = repr((self.image_size, parts)).encode()
        own = "" if self.live is not None else f"-{uuid4().hex}"
        self.fingerprint = f"live-{hashlib.sha256(described).hexdigest()[:16]}{own}"

    def free_axes(self, other: Tensor) -> None:
        """Make those axes of the parts free that have another length in the code of `other`, an image of another size."""
        fixed = self.semantic_parts or (Part((self.semantic_dim,)),)
        free = []
        for part, code in zip(fixed, tensors(self.encode(other).semantic), strict=True):
            sides = zip(part.shape, code.shape[1:], strict=True)
            shape = tuple([side if side == length else None for side, length in sides])
            free.append(replace(part, shape=shape))
        self.code_bits, self.semantic_parts = bits(fixed), tuple(free)

    def encode(self, images: Tensor, steps: int = 100) -> Code:
        output = self.module.encode(images.to(self.device))
        self._takes_codes = isinstance(output, Code)
        return output if isinstance(output, Code) else Code(_semantic(output))

    def encode_semantic(self, images: Tensor) -> Semantic:
        semantic = self.encode(images).semantic
        return needed(semantic, "semantic part") if semantic is None else semantic

    def encode_stochastic(self, images: Tensor, semantic: Semantic | None, steps: int) -> Tensor:
        return needed(self.encode(images, steps).x_T, "x_T")

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        own = code.each(lambda part: part.to(self.device))
        images = self.module.decode(own if self._takes_codes else own.semantic)
        return getattr(images, "sample", images)  # a DecoderOutput of diffusers

    def networks(self) -> dict[str, nn.Module]:
        return modules_of(self.module) if self.live is None else {"model": self.live}


def _semantic(output: Any) -> Semantic:
    """The tensors in the output of an `encode`. Raises UserError if there are none."""
    if hasattr(output, "latent_dist"):
        output = output.latent_dist.mode()
    for field in ("latents", "latent"):
        output = getattr(output, field, output)
    parts = output if isinstance(output, tuple | list) else (output,)
    if parts and all(isinstance(part, Tensor) for part in parts):
        return tuple(parts) if len(parts) > 1 else parts[0]
    kinds = f" of {', '.join(map(kind, output))}" if parts is output else ""
    raise UserError(
        f"gave {kind(output)}{kinds}; a code is a tensor, a tuple of tensors or a benchmarks.systems.Code "
        "(give wrap an object whose encode returns the code alone)"
    )


def _part(code: Tensor, reading: str | None, axis: int, codebook: int | None, width: int) -> Part:
    """The `Part` for a tensor 1 x ... of the code of one image."""
    if code.dtype == torch.bool or code.is_complex():
        kinds = "a code is of floating point or of whole numbers"
        raise SystemFailed(f"encode gave {code.dtype}; {kinds}")
    if code.is_floating_point():
        return Part(tuple(code.shape[1:]), None, width, reading or FLAT, axis)
    if codebook is None:
        raise SystemFailed(
            "encode gave whole numbers, which are tokens: say how many there are "
            "(benchmarks.systems.wrap(..., codebook=1024))"
        )
    return Part(tuple(code.shape[1:]), codebook, width, reading or HISTOGRAM)
