"""The protocols of one kind: those that ship with the package, and how their files are read.

A protocol is a TOML file with a head (its title, and the code that it is read from) and sections.
Every field of a section is a pair: the value, and where the code says so. The source is a line of
the file that `code` names, or a file and line of the same repository.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Generic, TypeVar

from diffae.system.cli import did_you_mean
from diffae.system.errors import UserError
from diffae.system.files import read_toml
from diffae.system.settings import checked, settings_of

PLAIN = "plain"  # ours: what is measured without --protocol
FOLDER = Path(__file__).parents[2] / "protocols"
FOLDERS = {"images": FOLDER, "codes": FOLDER / "codes", "edits": FOLDER / "edits"}
P = TypeVar("P", bound="Head")
Value = str | int | float | bool | tuple[int, ...]  # of a field of a protocol


@dataclass(frozen=True)
class Head:
    """What every protocol says of itself.

    code     where it is read: a repository, its commit and a file
    commit   of the repository, in full
    read     the date on which its code was read there
    unread   what could not be read
    sources  where the code says so, by "section.field"
    """

    name: str
    title: str
    code: str
    note: str = ""
    commit: str = ""
    read: str = ""
    unread: str = ""
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)


NEEDED = ("title", "code")
HEAD = tuple(f.name for f in fields(Head) if f.name not in ("name", "sources"))


@cache
def _shipped(folder: Path) -> tuple[str, ...]:
    names = (path.stem for path in folder.glob("*.toml"))
    return tuple(sorted(names, key=lambda name: (name != PLAIN, name)))


@dataclass(frozen=True)
class Library(Generic[P]):
    """The protocols of `kind`, a key of FOLDERS: the dataclass of each section, and what makes a
    protocol of its `sections` and the fields of `Head`.
    """

    kind: str
    sections: Mapping[str, type]
    make: Callable[..., P]

    def names(self) -> tuple[str, ...]:
        """The protocols that ship with the package; ours first."""
        return _shipped(FOLDERS[self.kind])

    def named(self, name: str) -> P:
        """A protocol by its name, or by the path of a file of one's own.

        Raises UserError naming the file for an unknown name, section, field or value, for a
        protocol of another kind, and for a file that is called as one of ours: results name their
        protocol.
        """
        if name in self.names():
            return self.read(FOLDERS[self.kind] / f"{name}.toml")
        if not name.endswith(".toml"):
            for other, folder in FOLDERS.items():
                if name in _shipped(folder):
                    ours = ", ".join(self.names())
                    raise UserError(f"{name} is a protocol of {other}; {self.kind} have: {ours}")
            raise UserError(f"no protocol {name!r}{did_you_mean(name, self.names())}")
        if Path(name).stem in self.names():
            raise UserError(f"{name}: {Path(name).stem} is a protocol of ours; rename the file")
        return self.read(Path(name))

    def asked(self, given: tuple[str, ...], explain: bool) -> tuple[str, ...]:
        """The names that are `given`; to explain, those of the package too, `plain` first.

        Raises UserError if one cannot be read, or if two files have one name.
        """
        files: dict[str, str] = {}
        for name in given:
            called = self.named(name).name
            other = files.setdefault(called, name)
            if other != name:
                raise UserError(f"{name}: {other} is called {called} too; rename one")
        return tuple(dict.fromkeys((*self.names(), *given))) if explain else given

    def read(self, path: Path) -> P:
        """The protocol of a file. Raises UserError naming the file."""
        content = read_toml(path)
        if unknown := [key for key in content if key not in (*HEAD, *self.sections)]:
            near = did_you_mean(unknown[0], (*HEAD, *self.sections))
            raise UserError(f"{path}: no section {unknown[0]!r}{near}")
        head = {key: content.get(key, "") for key in HEAD}
        for key, text in head.items():
            if not isinstance(text, str) or not (text or key not in NEEDED):
                raise UserError(f"{path}: {key} must be a text")
        sources: dict[str, str] = {}
        sections: dict[str, object] = {
            name: _section(path, name, kind, content[name], head["code"], sources)
            for name, kind in self.sections.items()
            if name in content
        }
        return self.make(sections=sections, name=path.stem, **head, sources=sources)


def _section(
    path: Path, name: str, kind: type, given: object, code: str, sources: dict[str, str]
) -> object:
    """A section of the file; its sources are added to `sources`."""
    hints, values = settings_of(kind), {}
    if not isinstance(given, dict):
        raise UserError(f"{path}: {name} must be a section")
    for key, pair in given.items():
        if key not in hints:
            raise UserError(f"{path}: {name} has no field {key!r}{did_you_mean(key, hints)}")
        if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], str)):
            raise UserError(f"{path}: {name}.{key} must be a pair: [value, source]")
        try:
            values[key] = checked(pair[0], hints[key])
        except ValueError as error:
            raise UserError(f"{path}: {name}.{key} {error}") from None
        sources[f"{name}.{key}"] = _source(code, pair[1])
    if missing := [f.name for f in fields(kind) if f.name not in given]:
        raise UserError(f"{path}: {name} lacks {missing[0]!r}: every field needs [value, source]")
    return kind(**values)


def _source(code: str, where: str) -> str:
    """Where a field is read: a line of the code's file, or a file and line of its repository."""
    repository = code.split(" ", 1)[0]
    return f"{code} {where}" if where.startswith("l.") else f"{repository} {where}".strip()
