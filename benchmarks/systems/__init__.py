"""Systems: models behind one protocol.

systems.load("diffae", path)                     a registered one, ready to use
systems.as_system(thing)                         of a name, a path, a `System`, or a model in memory
systems.wrap(model, image_size=64, title="Mine")    of any object with `encode` and `decode`
"""

import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.core.registry import Registry
from benchmarks.systems import checked
from benchmarks.systems.base import Code, System, SystemFailed

if TYPE_CHECKING:
    from benchmarks.systems.live import as_system, wrap

__all__ = [
    "REGISTRY",
    "Code",
    "System",
    "SystemFailed",
    "as_system",
    "describe",
    "load",
    "slug",
    "wrap",
]

REGISTRY = Registry(
    "system",
    "diffae.systems",
    {
        "diffae": "benchmarks.systems.diffusion:DiffAESystem",
        "ddim": "benchmarks.systems.diffusion:DDIMSystem",
        "pixels-pca": "benchmarks.systems.references:PixelsPCA",
        "random-encoder": "benchmarks.systems.references:RandomEncoder",
        "timm": "benchmarks.systems.references:TimmEncoder",
        "dummy-perfect": "benchmarks.systems.dummy:Perfect",
        "dummy-constant": "benchmarks.systems.dummy:Constant",
        "dummy-random": "benchmarks.systems.dummy:RandomCode",
    },
)

# What `--systems` defaults to: the paper's model, its baseline, and the rows that give a scale.
DEFAULT = ("diffae", "ddim", "pixels-pca", "random-encoder")


def load(name: str, path: str | Path | None = None, device: str | torch.device = "cpu") -> System:
    """The system `name` from the checkpoint `path` (None: what ships with the package, if it does), `checked`.

    Raises UserError if there is no such system or its checkpoint cannot be used, SystemFailed if it is there
    and not what a system must be.
    """
    return checked.build(name, REGISTRY.get(name), path, torch.device(device))


def describe(name: str) -> str:
    """One line about a system, from its docstring."""
    return (REGISTRY.get(name).__doc__ or "").strip().split("\n")[0]


def slug(title: str) -> str:
    """A title as a name, for files and options."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def __getattr__(name: str) -> Any:
    """`as_system` and `wrap`, imported on first use: they know the models of `diffae`."""
    if name not in ("as_system", "wrap"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("benchmarks.systems.live"), name)
