"""Profiles: the settings that decide how much is computed. A profile is a TOML file with a section
for each task.

`paper` is the paper's protocol; `standard` takes a machine with a GPU an hour or two; `quick` takes
about five minutes on two CPU cores; `smoke` takes a minute and only proves that everything runs.
They are in benchmarks/profiles/. The settings of a task are the fields of its `Sizes`, where their
meaning is documented:

    context.sizes(Sizes).images
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

from benchmarks.core.registry import REGISTRY, SHARED_SIZES
from benchmarks.core.sizes import checked, is_capped, settings_of, solvers_of, typed
from benchmarks.runtime.registry import NAME, load
from diffae.diffusion.scheme import find as find_solver
from diffae.system.cli import did_you_mean
from diffae.system.errors import UserError
from diffae.system.files import read_toml
from reports.records.settings import STEPS

BUILT_IN = ("smoke", "quick", "standard", "paper")
DEFAULT = "quick"
FOLDER = Path(__file__).parents[1] / "profiles"
HEAD = ("base", "name", "description")  # of a profile's file, above its sections

S = TypeVar("S")


class Sized(Protocol):
    """The fields of a benchmark that a profile uses (core/benchmark.py)."""

    @property
    def name(self) -> str: ...
    @property
    def sizes(self) -> type | None: ...
    @property
    def profiles(self) -> Mapping[str, Mapping[str, Any]]: ...


@dataclass(frozen=True)
class Profile:
    """Sizes of the work. Counts are upper bounds: a smaller data set is used whole, and the record
    says so.

    `sections` are the tasks' `Sizes` by the tasks' names, and those of what tasks share. `base` is
    the built-in profile that this one is or was made from. `changed` are the settings that --set or
    --steps changed, `limit` is what --limit capped every count at.
    """

    name: str
    description: str
    sections: Mapping[str, Any]
    base: str
    changed: tuple[str, ...] = ()
    limit: int | None = None

    @property
    def title(self) -> str:
        """The profile's name, and how it was changed."""
        limit = "" if self.limit is None else f", counts limited to {self.limit:,}"
        changed = f", with another {', '.join(self.changed)}" if self.changed else ""
        return f"{self.name}{limit}{changed}"

    def sizes(self, kind: type[S]) -> S:
        """The settings of one task: the instance of its `Sizes`."""
        for section in self.sections.values():
            if type(section) is kind:
                return section
        raise LookupError(f"{kind.__module__}.{kind.__qualname__}: no section of this profile")

    def settings(self) -> dict[str, Any]:
        """Every setting by "section.name"."""
        return {
            f"{section}.{name}": value
            for section, sizes in self.sections.items()
            for name, value in asdict(sizes).items()
        }

    def changed_by(
        self, values: Mapping[str, Any], parse: Callable[[Any, Any], Any] = checked
    ) -> "Profile":
        """A copy with other values of some settings, by "section.name". Raises UserError for an
        unknown name or a wrong value.
        """
        profile = self
        for name, value in values.items():
            profile = _with_section(profile, name.partition(".")[0])
            section, key = _found(profile, name)
            sizes = profile.sections[section]
            try:
                value = parse(value, settings_of(type(sizes))[key])
            except ValueError as error:
                raise UserError(f"{name}: {error}") from None
            sections = {**profile.sections, section: replace(sizes, **{key: value})}
            changed = tuple(dict.fromkeys((*profile.changed, name)))
            profile = replace(profile, sections=sections, changed=changed)
        return profile

    def limited(self, limit: int) -> "Profile":
        """A copy with every count of images, pairs and samples capped at `limit`."""
        sections = {name: _capped(sizes, limit) for name, sizes in self.sections.items()}
        return replace(self, sections=sections, limit=limit)

    def including(self, benchmark: Sized) -> "Profile":
        """A copy with a section for the benchmark of a plug-in, with its values for the profile
        called `base`.
        """
        if benchmark.sizes is None or benchmark.name in self.sections:
            return self
        values = benchmark.profiles.get(self.base, {})
        sizes = _sizes(benchmark.sizes(), benchmark.name, values, f"benchmark {benchmark.name}")
        sizes = sizes if self.limit is None else _capped(sizes, self.limit)
        return replace(self, sections={**self.sections, benchmark.name: sizes})


def _capped(sizes: S, limit: int) -> S:
    capped = {
        name: min(limit, getattr(sizes, name))
        for name, hint in settings_of(type(sizes)).items()
        if is_capped(hint)
    }
    return replace(sizes, **capped)  # type: ignore[type-var]


# ----------------------------------------------------------------------------------------------
# Files


class _BuiltIn(Mapping[str, Profile]):
    """The built-in profiles by name. They are read on use, because reading one imports the tasks."""

    def __getitem__(self, name: str) -> Profile:
        if name not in BUILT_IN:
            raise KeyError(name)
        return _built_in(name)

    def __iter__(self) -> Iterator[str]:
        return iter(BUILT_IN)

    def __len__(self) -> int:
        return len(BUILT_IN)


PROFILES = _BuiltIn()


@cache
def _built_in(name: str) -> Profile:
    path = FOLDER / f"{name}.toml"
    content = read_toml(path)
    defaults = {section: kind() for section, kind in _own_sections().items()}
    return _read(path, content, Profile(name, "", defaults, name))


def described() -> dict[str, str]:
    """The descriptions of the built-in profiles by name; imports no task."""
    return {name: read_toml(FOLDER / f"{name}.toml")["description"] for name in BUILT_IN}


def find(text: str) -> Profile:
    """The profile that --profile names: a built-in one or a file. Raises UserError if there is none."""
    if text in BUILT_IN:
        return PROFILES[text]
    if text.endswith(".toml") or Path(text).is_file():
        return from_file(Path(text))
    raise UserError(f"unknown profile {text!r}, and no such file{did_you_mean(text, BUILT_IN)}")


def from_file(path: Path) -> Profile:
    """Read a user's profile; settings that it does not name are those of its `base`. Raises
    UserError naming file and key.
    """
    content = read_toml(path)
    base, name = content.get("base", DEFAULT), content.get("name", path.stem)
    if not isinstance(base, str) or base not in BUILT_IN:
        hint = did_you_mean(base if isinstance(base, str) else "", BUILT_IN)
        raise UserError(f"{path}: base: no such profile{hint}")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise UserError(
            f"{path}: its name has letters, digits and .-_ only: give it one, name = ..."
        )
    if name in BUILT_IN:
        raise UserError(f"{path}: {name} is a built-in profile: give this one another name = ...")
    description = f"{base}, changed by {path.name}"
    return _read(path, content, replace(PROFILES[base], name=name, description=description))


def _read(path: Path, content: dict[str, Any], profile: Profile) -> Profile:
    """`profile` with the values of a file."""
    description = content.get("description", profile.description)
    if not isinstance(description, str):
        raise UserError(f"{path}: description: must be a text")
    profile = replace(profile, description=description)
    for section, values in content.items():
        if section in HEAD:
            continue
        profile = _with_section(profile, section)
        if section not in profile.sections:
            known = (*HEAD, *profile.sections)
            raise UserError(f"{path}: {section}: no such section{did_you_mean(section, known)}")
        sizes = _sizes(profile.sections[section], section, values, str(path))
        profile = replace(profile, sections={**profile.sections, section: sizes})
    return profile


def _sizes(sizes: S, section: str, values: object, where: str) -> S:
    """`sizes` with the values of a file's section. Raises UserError that says `where` and names the
    key.
    """
    if not isinstance(values, Mapping):
        raise UserError(f"{where}: {section}: must be a section, [{section}], not a value")
    known = settings_of(type(sizes))
    for name, value in values.items():
        if name not in known:
            raise UserError(
                f"{where}: {section}.{name}: no such setting{did_you_mean(name, known)}"
            )
        try:
            sizes = replace(sizes, **{name: checked(value, known[name])})  # type: ignore[type-var]
        except ValueError as error:
            raise UserError(f"{where}: {section}.{name}: {error}") from None
    return sizes


def _own_sections() -> dict[str, type]:
    """The `Sizes` classes of our tasks, and of what tasks share, by section."""
    sections = {name: load(target) for name, target in SHARED_SIZES.items()}
    tasks = [REGISTRY.get(name) for name in REGISTRY.own]
    return sections | {task.name: task.sizes for task in tasks if task.sizes is not None}


def _with_section(profile: Profile, section: str) -> Profile:
    """`profile` with that section added, if it is one of a plug-in."""
    if section in profile.sections or section not in REGISTRY.names():
        return profile
    return profile.including(REGISTRY.get(section))


# ----------------------------------------------------------------------------------------------
# The command line


def override(profile: Profile, text: str) -> Profile:
    """`profile` with one setting changed by `TASK.NAME=VALUE`. Raises UserError naming what is wrong.

    Lists are separated by commas, and a value that is there twice counts once.
    """
    name, separator, value = text.partition("=")
    if not separator:
        raise UserError(f"--set {text}: expected TASK.NAME=VALUE, e.g. reconstruction.images=64")
    try:
        return profile.changed_by({name: value}, typed)
    except UserError as error:
        raise UserError(f"--set {text}: {str(error).removeprefix(f'{name}: ')}") from None


def for_run(
    profile: Profile,
    benchmarks: Iterable[str],
    steps: tuple[int, ...] | None,
    change: Callable[[Profile], Profile],
    limit: int | None,
    solver: str | None = None,
) -> Profile:
    """The profile of a run: with a section for each plug-in, then another T and solver, then
    `change`, then `limit`.

    Raises UserError.
    """
    asked = [REGISTRY.get(name) for name in benchmarks]
    for found in asked:
        profile = profile.including(found)
    shared = [section for found in asked for section in found.shared]
    sections = [*(found.name for found in asked), *dict.fromkeys(shared)]
    profile = profile if steps is None else with_steps(profile, steps)
    profile = change(profile if solver is None else with_solver(profile, sections, solver))
    _refuse_too_few_steps(profile, sections)
    return profile if limit is None else profile.limited(limit)


def with_steps(profile: Profile, steps: tuple[int, ...]) -> Profile:
    """`profile` with another T of Tables 1, 2 and 4."""
    return profile.changed_by(dict.fromkeys(STEPS, steps))


def with_solver(profile: Profile, sections: Iterable[str], solver: str) -> Profile:
    """`profile` with another solver in those sections that have one. Raises UserError where that
    solver cannot do the work.
    """
    names = (f"{section}.solver" for section in sections)
    known = profile.settings()
    return profile.changed_by({name: solver for name in names if name in known})


def _refuse_too_few_steps(profile: Profile, sections: Iterable[str]) -> None:
    """Raise UserError where a solver is given fewer steps than it needs."""
    for section in sections:
        sizes = profile.sections.get(section)
        for name in () if sizes is None else solvers_of(type(sizes)):
            key = "steps" if name == "solver" else f"{name}_steps"
            several = getattr(sizes, key)
            for steps in several if isinstance(several, tuple) else (several,):
                try:
                    find_solver(getattr(sizes, name)).timesteps(steps)
                except UserError as error:
                    raise UserError(
                        f"{section}.{key}: {error}; --set {section}.{name}=ddim takes one"
                    ) from None


def _found(profile: Profile, name: str) -> tuple[str, str]:
    """Split "section.name" of a known setting. Raises UserError with the nearest known name."""
    known = profile.settings()
    if name in known:
        section, _, key = name.partition(".")
        return section, key
    section, dot, key = name.partition(".")
    if dot and section in profile.sections:
        hint = did_you_mean(key, settings_of(type(profile.sections[section])))
    elif dot:
        hint = did_you_mean(section, profile.sections)
    elif name in profile.sections:
        keys = settings_of(type(profile.sections[name]))
        hint = f"; {name} has {', '.join(f'{name}.{key}' for key in keys)}"
    elif not (near := get_close_matches(name, known, n=1)):
        hint = f"; a setting is TASK.NAME, of {', '.join(profile.sections)}"
    else:
        hint = f"; did you mean {near[0]}?"
    raise UserError(f"{name}: no such setting{hint}")
