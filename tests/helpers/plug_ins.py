"""Plug-ins without installation: entry points that exist during one test."""

from dataclasses import dataclass

import pytest

from benchmarks.runtime import registry


@dataclass(frozen=True)
class EntryPoint:
    group: str
    name: str
    value: str


def offer(monkeypatch: pytest.MonkeyPatch, offered: str, entries: dict[str, str]) -> None:
    """Let `diffae.systems` or `diffae.benchmarks` hold these entry points (name ->
    "module:attribute") and no others.
    """
    found = [EntryPoint(offered, name, value) for name, value in entries.items()]
    installed = registry.entry_points

    def entry_points(group: str) -> list[EntryPoint]:
        return found if group == offered else list(installed(group=group))

    monkeypatch.setattr(registry, "entry_points", entry_points)
