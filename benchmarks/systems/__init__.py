"""Systems: models behind one protocol. `systems.load("diffae", path)` gives one ready to use."""

from pathlib import Path

import torch

from benchmarks.registry import Registry
from benchmarks.systems.base import Code, System
from diffae.errors import UserError

__all__ = ["REGISTRY", "Code", "System", "describe", "load"]

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
    """The system `name` from the checkpoint `path` (None: what ships with the package, if it does).

    Raises UserError if there is no such system or its checkpoint cannot be used.
    """
    system = REGISTRY.get(name)(path, torch.device(device))
    if not isinstance(system, System):
        raise UserError(
            f"system {name!r}: {type(system).__name__} is not a benchmarks.systems.System"
        )
    return system


def describe(name: str) -> str:
    """One line about a system, from its docstring."""
    return (REGISTRY.get(name).__doc__ or "").strip().split("\n")[0]
