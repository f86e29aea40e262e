"""Names to objects: ours, written down as "module:attribute" and imported on use, and those of plug-ins.

A package of a user's adds an entry by an entry point of the group (`diffae.systems`, `diffae.benchmarks`).
"""

import importlib
from importlib.metadata import entry_points
from typing import Any

from diffae.cli import did_you_mean
from diffae.errors import UserError


class Registry:
    """A lazy table of names. `kind` is what an entry is called in messages, e.g. "system"."""

    def __init__(self, kind: str, group: str, own: dict[str, str]):
        self.kind, self.group, self.own = kind, group, own

    def names(self) -> list[str]:
        return [*self.own, *(name for name in sorted(self._plugins()) if name not in self.own)]

    def get(self, name: str) -> Any:
        """The object of that name. Raises UserError, with the nearest name, if there is none."""
        if name in self.own:
            return _load(self.own[name])
        plugins = self._plugins()
        if name not in plugins:
            raise UserError(f"unknown {self.kind} {name!r}{did_you_mean(name, self.names())}")
        try:
            return _load(plugins[name])
        except (ImportError, AttributeError) as error:
            raise UserError(f"{self.kind} {name!r} of {plugins[name]}: {error}") from None

    def _plugins(self) -> dict[str, str]:
        return {entry.name: entry.value for entry in entry_points(group=self.group)}


def _load(target: str) -> Any:
    module, attribute = target.split(":")
    return getattr(importlib.import_module(module), attribute)
