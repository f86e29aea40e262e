"""The harness: benchmarks of decodable representations.

From a shell, start with `python -m benchmarks.run --help`; from Python, with `benchmarks.evaluate`.

Nothing is imported here that takes time: `list` and `--help` answer without PyTorch.
"""

import importlib
from typing import TYPE_CHECKING, Any

from benchmarks.core.registry import REGISTRY

if TYPE_CHECKING:
    from benchmarks.api import evaluate, evaluate_iter
    from benchmarks.results import Results

__all__ = ["REGISTRY", "Results", "evaluate", "evaluate_iter"]

# Names of this package by the module that has them, imported when used.
LAZY = {
    "evaluate": "benchmarks.api",
    "evaluate_iter": "benchmarks.api",
    "Results": "benchmarks.results",
}


def __getattr__(name: str) -> Any:
    if name not in LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(LAZY[name]), name)
