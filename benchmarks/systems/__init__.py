"""Systems: models behind one interface.

    systems.load("diffae", path)                        a registered system, ready to use
    systems.load("my_vae:MyVAE", path)                  a class or function by its address, package.module:factory
    systems.load("timm:resnet50", path)                 an encoder of timm
    systems.as_system(model)                            from a name, a path, a `System`, or a model in memory
    systems.wrap(model, image_size=64, title="Mine")    from any object with `encode` and `decode`

`protocol/base.py` defines what a system is.
"""

import importlib
from typing import TYPE_CHECKING, Any

from benchmarks.systems.registry import DEFAULT, REGISTRY, is_address, load, require, slug

if TYPE_CHECKING:
    from benchmarks.runtime.errors import SystemFailed as SystemFailed
    from benchmarks.systems.from_object import as_system as as_system
    from benchmarks.systems.from_object import wrap as wrap
    from benchmarks.systems.protocol.base import Code as Code
    from benchmarks.systems.protocol.base import System as System
    from benchmarks.systems.protocol.parts import Part as Part

# Names that need PyTorch, by their modules, which are imported on use.
LAZY = {
    "Code": "benchmarks.systems.protocol.base",
    "Part": "benchmarks.systems.protocol.parts",
    "System": "benchmarks.systems.protocol.base",
    "SystemFailed": "benchmarks.runtime.errors",
    "as_system": "benchmarks.systems.from_object",
    "wrap": "benchmarks.systems.from_object",
}

__all__ = ["DEFAULT", "REGISTRY", "is_address", "load", "require", "slug", *LAZY]


def __getattr__(name: str) -> Any:
    if name not in LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(LAZY[name]), name)
