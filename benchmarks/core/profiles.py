"""Profiles: the settings that decide how much is computed. A profile is a TOML file with a section
for each task.

`paper` is the paper's protocol; `standard` takes a machine with a GPU an hour or two; `quick` takes
about five minutes on two CPU cores; `tokenizer` measures codes of photographs, of systems that take
no steps; `smoke` takes a minute and only proves that everything runs.
They are in benchmarks/profiles/. The settings of a task are the fields of its `Sizes`, where their
meaning is documented:

    context.sizes(Sizes).images
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.core.registry import REGISTRY, SHARED_SIZES
from benchmarks.core.sizes import Solver, Steps, is_capped, steps_of
from benchmarks.runtime.registry import NAME, load
from diffae.diffusion.scheme import find as find_solver
from diffae.system import cli
from diffae.system.cli import did_you_mean
from diffae.system.errors import UserError, naming, once
from diffae.system.files import read_toml
from diffae.system.settings import checked, option, settings_of, switch, typed
from reports.records.settings import STEPS

BUILT_IN = ("smoke", "quick", "tokenizer", "standard", "paper")
DEFAULT = "quick"
FOLDER = Path(__file__).parents[1] / "profiles"
HEAD = ("base", "name", "description")  # of a profile's file, above its sections

FEWEST = 64  # images, however large they are

S = TypeVar("S")
Parse = Callable[[Any, Any], Any]  # of a value by the type of its setting


@dataclass(frozen=True)
class Profile:
    """Sizes of the work. Counts are upper bounds: a smaller data set is used whole, and the record
    says so.

    `sections` are the tasks' `Sizes` by the tasks' names, and those of what tasks share. `base` is
    the built-in profile that this one is or was made from. `changed` are the settings that --set or
    --steps changed, `limit` is what --limit capped every count at, and `fewer` are the counts that were
    lowered because the images are large.
    """

    name: str
    description: str
    sections: Mapping[str, Any]
    base: str
    changed: tuple[str, ...] = ()
    limit: int | None = None
    fewer: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The profile's name, and how it was changed."""
        limit = "" if self.limit is None else f", counts limited to {self.limit:,}"
        changed = f", changed: {', '.join(self.changed)}" if self.changed else ""
        return f"{self.name}{limit}{changed}"

    def sizes(self, kind: type[S]) -> S:
        """The settings of one task: the instance of its `Sizes`."""
        for section in self.sections.values():
            if type(section) is kind:
                return section
        raise LookupError(f"{kind.__module__}.{kind.__qualname__}: no section of this profile")

    def settings(self) -> dict[str, Any]:
        """Every setting by "section.name"."""
        sections = {section: asdict(sizes) for section, sizes in self.sections.items()}
        return {
            f"{section}.{name}": values[name]
            for section, values in sections.items()
            for name in values
        }

    def changed_by(self, values: Mapping[str, Any], parse: Parse = checked) -> "Profile":
        """A copy with other values of some settings, by "section.name". Raises UserError for an
        unknown name or a wrong value. A value that is twice in a list counts once.
        """
        profile = self
        for name, value in values.items():
            section, _, key = name.partition(".")
            profile = _with_section(profile, section)
            sizes: Any = profile.sections.get(section)
            hints = {} if sizes is None else settings_of(type(sizes))
            if key not in hints:
                word, names = (key, hints) if hints else (section, profile.sections)
                raise UserError(f"{name}: no such setting{did_you_mean(word, names)}")
            with naming(name, ValueError):
                value = parse(value, hints[key])
            value = tuple(dict.fromkeys(value)) if isinstance(value, tuple) else value
            sections = {**profile.sections, section: replace(sizes, **{key: value})}
            changed = tuple(dict.fromkeys((*profile.changed, name)))
            profile = replace(profile, sections=sections, changed=changed)
        return profile

    def limited(self, limit: int) -> "Profile":
        """A copy with every count of images, pairs and samples capped at `limit`."""
        sections = {}
        for name, sizes in self.sections.items():
            sections[name] = replace(sizes, **_lower(sizes, limit))
        return replace(self, sections=sections, limit=limit)

    def at_side(self, side: int) -> "Profile":
        """A copy for images of `side` px: counts of a task that has a setting `pixels` are capped at so many
        pixels, but not below FEWEST images, nor where --set gave them.
        """
        sections, fewer = dict(self.sections), list[str]()
        for name, sizes in self.sections.items():
            if pixels := getattr(sizes, "pixels", 0):
                lower = _lower(sizes, max(pixels // side**2, FEWEST))
                lower = {k: n for k, n in lower.items() if f"{name}.{k}" not in self.changed}
                sections[name] = replace(sizes, **lower)
                fewer += [f"{name}.{k}={n}" for k, n in lower.items() if n < getattr(sizes, k)]
        return replace(self, sections=sections, fewer=tuple(fewer))

    def including(self, benchmark: Any) -> "Profile":
        """A copy with a section for a `Benchmark`, with its own values for the profile called `base`."""
        if benchmark.sizes is None or benchmark.name in self.sections:
            return self
        values = benchmark.profiles.get(self.base, {})
        profile = replace(self, sections={**self.sections, benchmark.name: benchmark.sizes()})
        profile = with_sections(profile, {benchmark.name: values})
        return profile if self.limit is None else profile.limited(self.limit)


def _lower(sizes: Any, most: int) -> dict[str, int]:
    """The counts of a `Sizes` by name, each at most `most`."""
    capped = [key for key, hint in settings_of(type(sizes)).items() if is_capped(hint)]
    return {key: min(most, getattr(sizes, key)) for key in capped}


# ----------------------------------------------------------------------------------------------
# Files


class _BuiltIn(dict[str, Profile]):
    """The built-in profiles by name, each read when it is first asked for: that imports the tasks."""

    def __missing__(self, name: str) -> Profile:
        shared = {section: load(target)() for section, target in SHARED_SIZES.items()}
        profile, path = Profile(name, "", shared, name), FOLDER / f"{name}.toml"
        for task in REGISTRY.own:
            profile = profile.including(REGISTRY.get(task))
        self[name] = _read(path, read_toml(path), profile)
        return self[name]


PROFILES = _BuiltIn()


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
    if base not in BUILT_IN:
        raise UserError(f"{path}: base: no such profile{did_you_mean(str(base), BUILT_IN)}")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise UserError(f"{path}: a name has letters, digits and .-_ only: give it one, name = ...")
    if name in BUILT_IN:
        raise UserError(f"{path}: {name} is a built-in profile: give this one another name = ...")
    description = f"{base}, changed by {path.name}"
    return _read(path, content, replace(PROFILES[base], name=name, description=description))


def _read(path: Path, content: dict[str, Any], profile: Profile) -> Profile:
    """`profile` with the values of a file. Raises UserError naming file and key."""
    description = content.get("description", profile.description)
    if not isinstance(description, str):
        raise UserError(f"{path}: description: must be a text")
    sections = {name: values for name, values in content.items() if name not in HEAD}
    with naming(path):
        return replace(with_sections(profile, sections), description=description)


def with_sections(profile: Profile, content: Mapping[str, object]) -> Profile:
    """`profile` with the values of sections, which do not count as `changed`.

    Raises UserError naming the key.
    """
    changed = profile
    for section, values in content.items():
        changed = _with_section(changed, section)
        if section not in changed.sections:
            near = did_you_mean(section, (*HEAD, *changed.sections))
            raise UserError(f"{section}: no such section{near}")
        if not isinstance(values, Mapping):
            raise UserError(f"{section}: must be a section, [{section}], not a value")
        changed = changed.changed_by({f"{section}.{name}": value for name, value in values.items()})
    return replace(changed, changed=profile.changed)


def _with_section(profile: Profile, section: str) -> Profile:
    """`profile` with that section added, if it is one of a plug-in."""
    if section in profile.sections or section not in REGISTRY.names():
        return profile
    return profile.including(REGISTRY.get(section))


# ----------------------------------------------------------------------------------------------
# The profile of a run


def assignment(text: str) -> tuple[str, str]:
    """The name and the value of a setting, of a text TASK.NAME=VALUE."""
    name, separator, value = text.partition("=")
    if not separator:
        raise ValueError(f"{text}: expected TASK.NAME=VALUE, e.g. reconstruction.images=64")
    return name, value


def _setting(hint: Any) -> Callable[[str], Any]:
    """The type of an option whose value is that of a setting (sizes.py)."""
    return cli.argument(lambda text: typed(text, hint))


@dataclass(frozen=True, kw_only=True)
class ProfileChoice:
    """The options that decide the profile of a run. `settings` are texts, by "section.name"."""

    profile: str | Profile = option(
        f"{', '.join(BUILT_IN)}, or a TOML file (default: {DEFAULT})", DEFAULT, metavar="NAME|FILE"
    )
    steps: tuple[int, ...] | None = option(
        "T of Tables 1, 2 and 4", type=_setting(tuple[Steps, ...]), metavar="10,20,..."
    )
    _solver = "solver of all benchmarks that use one: ddim (the paper's), fast, ... (`diffae-bench docs solvers`)"
    solver: str | None = option(_solver, type=_setting(Solver), metavar="NAME")
    _settings = "change one setting of the profile (`diffae-bench docs profiles`); may be repeated"
    settings: Sequence[tuple[str, str]] = option(
        _settings,
        (),
        "set",
        action="append",
        type=cli.argument(assignment),
        metavar="TASK.NAME=VALUE",
    )
    axes: bool = switch("representation: also numbers that are bound to the axes of a code")

    def profile_of(self, benchmarks: Iterable[str]) -> Profile:
        """The profile of a run: with a section for each plug-in, then T and the solver of the run,
        then the settings.

        Raises UserError naming what is wrong.
        """
        profile = self.profile if isinstance(self.profile, Profile) else find(self.profile)
        measured = [REGISTRY.get(name) for name in benchmarks]
        for benchmark in measured:
            profile = profile.including(benchmark)
        shared = [section for benchmark in measured for section in benchmark.shared]
        sections = [*(benchmark.name for benchmark in measured), *dict.fromkeys(shared)]
        if self.steps is not None:
            profile = profile.changed_by(dict.fromkeys(STEPS, tuple(sorted(self.steps))))
        if self.solver is not None:
            settings = profile.settings()
            names = [name for section in sections if (name := f"{section}.solver") in settings]
            profile = profile.changed_by(dict.fromkeys(names, self.solver))
        axes = [("representation.axes", "true")] if self.axes else []
        with naming("--set"):
            profile = profile.changed_by(once("--set", [*self.settings, *axes]), typed)
        _refuse_too_few_steps(profile, sections)
        return profile


def _refuse_too_few_steps(profile: Profile, sections: Iterable[str]) -> None:
    """Raise UserError where a solver is given fewer steps than it needs."""
    for section in sections:
        sizes = profile.sections.get(section)
        for key, name, steps in () if sizes is None else steps_of(sizes):
            if name:
                try:
                    find_solver(getattr(sizes, name)).timesteps(steps)
                except UserError as error:
                    hint = f"--set {section}.{name}=ddim takes one"
                    raise UserError(f"{section}.{key}: {error}; {hint}") from None
