"""What 0.2 had under other names, or has no more, for the benchmarks and systems of others that import it."""

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NamedTuple

CORE = "base context images overshoot plan precision provenance registry run_folder store".split()
TASKS = "cost denoising identity interpolation memorisation probes reconstruction unconditional variation".split()
MOVED = {
    **{f"benchmarks.{name}": f"benchmarks.core.{name}" for name in CORE},
    **{f"benchmarks.{name}": f"benchmarks.tasks.{name}" for name in TASKS},
    **{f"benchmarks.{name}": f"benchmarks.commands.{name}" for name in ("doctor", "dry_run")},
    "benchmarks.options": "benchmarks.commands.options",
    "benchmarks.fewshot": "benchmarks.tasks.fewshot.fewshot",
    "benchmarks.fewshot_classes": "benchmarks.tasks.fewshot.classes",
    "benchmarks.samples": "benchmarks.tasks.shared.samples",
    "benchmarks.distances": "benchmarks.tasks.shared.distances",
    "benchmarks.metrics.cost": "benchmarks.metrics.counting",
    "benchmarks.metrics.train_identity": "benchmarks.commands.train_identity",
}


class Finder(MetaPathFinder, Loader):
    """Finds a module of `MOVED` under its old name: it is the same module, not a second one."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        new = MOVED[spec.name]
        warnings.warn(f"{spec.name} is now {new}", DeprecationWarning, stacklevel=2)
        module = importlib.import_module(new)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: it has been executed under its name of today, which it keeps."""
        module.__spec__, module.__name__ = self._spec, self._spec.name  # type: ignore[union-attr]


class Seen(NamedTuple):
    """A metric that depends on weights, as 0.2 wanted it said; `Benchmark.metrics` and the table of metrics say it now."""

    weight: str
    metric: str
    instead: str


GONE = {("benchmarks.core.base", "Seen"): Seen}


def attribute(module: str, name: str) -> Any:
    """What a module had in 0.2 and has no more, with a warning. Raises AttributeError for any other name."""
    if (module, name) not in GONE:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    warnings.warn(f"{name} of {module} is not needed any more", DeprecationWarning, stacklevel=3)
    return GONE[module, name]


def install() -> None:
    """Once, however often this package is imported."""
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.append(Finder())
