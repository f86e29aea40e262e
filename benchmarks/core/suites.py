"""Suites: what a paper can name instead of its settings, such as decodable-v1.

A suite is a frozen TOML file in benchmarks/suites/: benchmarks and all of their settings, protocols,
seed and precision, the weights of metric networks by SHA-256, and a table. Its hash is in the run.json
of a run. A change that changes the hash makes another suite, which needs another name.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.core.profiles import Profile, with_sections
from benchmarks.core.registry import REGISTRY, SHARED_SIZES
from benchmarks.metrics.protocols import schema
from benchmarks.runtime.registry import load
from diffae.system.errors import UserError
from diffae.system.files import hash_of, read_toml
from diffae.system.settings import OptionField, flag_of
from reports.records.specs import TableSpec

FOLDER = Path(__file__).parents[1] / "suites"
# The options that no number of a suite's table depends on, and --data.
FREE = "data out device batch_size weights_dir fresh verify_data dry_run save_images save_codes".split()


@dataclass(frozen=True)
class Suite:
    """A suite: the `content` of its file."""

    name: str
    content: Mapping[str, Any]

    @property
    def meaning(self) -> dict[str, Any]:
        """What decides numbers: the content of the file but for its description, and all fields of its
        protocols.
        """
        protocols = {name: schema.named(name) for name in self.content["protocol"]}
        fields = {name: list(map(p.describe, schema.METRICS)) for name, p in protocols.items()}
        return {**self.content, "description": "", "protocol": fields}

    @property
    def sha256(self) -> str:
        """The SHA-256 of what decides numbers."""
        return hash_of(self.meaning)

    @property
    def options(self) -> dict[str, Any]:
        """The values of the options that it decides, by name."""
        given = {name: self.content[name] for name in ("protocol", "seed", "precision")}
        return {**given, "profile": self.profile()}

    def profile(self) -> Profile:
        """Its settings: those of its benchmarks and of what they share, and no other. Imports its tasks."""
        own = {name: REGISTRY.get(name).sizes for name in self.content["benchmarks"]}
        kinds = {name: load(target) for name, target in SHARED_SIZES.items()} | own
        sections = {name: kinds[name]() for name in self.content["settings"]}
        profile = Profile(self.name, self.content["description"], sections, self.name)
        return with_sections(profile, self.content["settings"])

    @property
    def about(self) -> dict[str, Any]:
        """What run.json says of it."""
        return {"name": self.name, "sha256": self.sha256, "content": self.meaning}

    def refuse(self, options: Iterable[OptionField]) -> None:
        """Raise UserError if one of the options is decided by the suite."""
        for option in options:
            if option.name not in FREE:
                frozen = f"{self.name} is frozen; leave it out, or name benchmarks"
                raise UserError(f"{flag_of(option)}: {frozen}")


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read(name: str) -> Suite:
    return Suite(name, read_toml(FOLDER / f"{name}.toml"))


def find(words: Sequence[str]) -> Suite | None:
    """The suite that is asked for; None if `words` name benchmarks. Raises UserError if they name both."""
    for name in (name for name in words if name in names()):
        if others := [word for word in words if word != name]:
            raise UserError(f"{name}: a suite is measured alone; leave out {', '.join(others)}")
        return read(name)
    return None


def tables(specs: Sequence[TableSpec], suite: Mapping[str, Any]) -> tuple[TableSpec, ...]:
    """The specs with the headlines of the suite that run.json describes so, in its order; others have none."""
    wanted = suite["content"]["table"]
    others = (replace(spec, headline=(), order=len(wanted) + spec.order) for spec in specs)
    by_name = {spec.name: spec for spec in others}
    for order, table in enumerate(wanted):
        by_name[table["name"]] = replace(
            by_name[table["name"]],
            order=order,
            headline=tuple(table["metrics"]),
            headline_settings=tuple(table["at"]),
        )
    return tuple(by_name.values())
