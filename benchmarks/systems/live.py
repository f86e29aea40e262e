"""Systems of what is at hand: a name, a path, a model in memory, or any object with `encode` and `decode`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from torch import Tensor, nn

from benchmarks import systems
from benchmarks.systems import checked
from benchmarks.systems.base import DECODE, ENCODE, SEMANTIC, Code, System, needed
from benchmarks.systems.contract import kind
from benchmarks.systems.diffusion import DDIMSystem, DiffAESystem
from diffae import DDIM, DiffusionAutoencoder, checkpoint
from diffae.config import AUTOENCODER
from diffae.errors import UserError


def as_system(
    thing: object, device: str | torch.device = "cpu", title: str | None = None
) -> System:
    """The system that `thing` is or stands for, checked; `title` in tables, by default its own.

    A registered name ("diffae"), a name and a path ("diffae=last.ckpt"), the path of a checkpoint, a `System`, a model
    of `diffae`, or an object with `encode` and `decode` that has an `image_size` (else see `wrap`). Raises UserError.
    """
    found = _found(thing, torch.device(device), title)
    if title is not None:
        found.title = title
    return found


def _found(thing: object, device: torch.device, title: str | None) -> System:
    if isinstance(thing, str | Path):
        return _named(thing, device)
    if isinstance(thing, checked.Checked):
        return thing if thing.live is None else thing.anew()
    if isinstance(thing, System):
        return checked.Checked(getattr(thing, "name", type(thing).__name__), thing, device)
    if isinstance(thing, DiffusionAutoencoder | DDIM):
        known = DDIMSystem.of(thing) if isinstance(thing, DDIM) else DiffAESystem.of(thing)
        return checked.Checked(known.name, known, device)
    _refuse_what_cannot(thing)
    size = getattr(thing, "image_size", None)
    if isinstance(size, bool) or not isinstance(size, int):
        raise UserError(
            f"{kind(thing)}: does not say for which images it is (image_size); say it: "
            "benchmarks.systems.wrap(model, image_size=64)"
        )
    made = wrap(thing, image_size=size, title=title or kind(thing))
    return checked.Checked(made.name, made, device)


def _named(thing: str | Path, device: torch.device) -> System:
    """A registered name, NAME=PATH, or the path of a checkpoint, whose kind tells the system."""
    name, separator, path = str(thing).partition("=")
    if isinstance(thing, str) and separator and name in systems.REGISTRY.names():
        return systems.load(name, path, device)
    if isinstance(thing, str) and thing in systems.REGISTRY.names():
        return systems.load(thing, None, device)
    if isinstance(thing, str) and "/" not in thing and not _is_checkpoint(thing):
        systems.REGISTRY.get(thing)  # raises UserError: there is none
    config = checkpoint.open_checkpoint(thing).config
    return systems.load("diffae" if config.kind == AUTOENCODER else "ddim", thing, device)


def _is_checkpoint(text: str) -> bool:
    return Path(text).exists() or text in checkpoint.packaged_names()


def _refuse_what_cannot(thing: object) -> None:
    if isinstance(thing, type):
        raise UserError(f"{thing.__name__}: is a class; give a model made of it")
    for method in ("encode", "decode"):
        if not callable(getattr(thing, method, None)):
            raise UserError(
                f"{kind(thing)}: is no model that can be measured: it has no method {method}; see "
                "benchmarks.systems.wrap, or benchmarks.systems.System for one that does less"
            )


def wrap(module: Any, *, image_size: int, title: str, name: str | None = None) -> System:
    """A system of any object whose `encode(images)` gives a code and whose `decode(code)` gives images again.

    Images are N x 3 x image_size x image_size in [-1, 1], codes N x d. Of a `torch.nn.Module` no copy is made; it is
    in evaluation mode only while it is called, and results are filed under its weights. Any other object's
    results are its own, and no other's ever. Raises UserError if the object cannot be measured.
    """
    _refuse_what_cannot(module)
    return Wrapped(module, image_size, title, name or systems.slug(title))


class Wrapped(System):
    """A model in memory: what its `encode` gives is its code"""

    def __init__(self, module: Any, image_size: int, title: str, name: str):
        self.module, self.image_size, self.title, self.name = module, image_size, title, name
        self.capabilities = frozenset({ENCODE, DECODE, SEMANTIC})
        self.live = module if isinstance(module, nn.Module) else None
        self.fingerprint = "live" if self.live is not None else f"live-{uuid4().hex}"
        code = self._tried("encode", lambda: self.encode_semantic(self._grey()))
        self.latent_dim = code.shape[1]
        self._tried("decode", lambda: self.decode(Code(code)))

    def encode_semantic(self, images: Tensor) -> Tensor:
        code = self.module.encode(images.to(self._device()))
        if not isinstance(code, Tensor) or code.ndim != 2:
            raise UserError(f"encode gave {kind(code)}, not a tensor N x d")
        return code

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        return self.module.decode(needed(code.semantic, "semantic part").to(self._device()))

    def networks(self) -> dict[str, nn.Module]:
        return {} if self.live is None else {"model": self.live}

    def _tried(self, method: str, call: Callable[[], Tensor]) -> Tensor:
        """What the first call gives. Raises UserError if that fails."""
        with checked.evaluating(self.live):
            return checked.calling(self.name, method, call)

    def _grey(self) -> Tensor:
        return torch.zeros(1, 3, self.image_size or 1, self.image_size or 1)

    def _device(self) -> torch.device:
        """Where the module is."""
        weights = () if self.live is None else self.live.parameters()
        return next((weight.device for weight in weights), torch.device("cpu"))
