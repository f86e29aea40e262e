"""Systems: models behind one protocol. `systems.load("diffae", path)` gives one ready to use."""

from pathlib import Path

import torch

from benchmarks.core.registry import Registry
from benchmarks.systems import checked
from benchmarks.systems.base import Code, System, SystemFailed

__all__ = ["REGISTRY", "Code", "System", "SystemFailed", "describe", "load"]

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
