"""Changed settings of two runs, as flags of the command line: from the settings in run.json."""

from collections.abc import Iterator
from typing import Any

from reports.records.reading import Fields, part_of, short

FLAGS = ("data", "crop", "device", "precision", "attributes", "weights_dir")
STEPS = ("reconstruction.steps", "cost.steps", "samples.steps")  # what --steps changes


def changes(base: Fields, new: Fields) -> Iterator[str]:
    """Each setting that affects how a number is measured and differs, new against base, e.g.
    `profile smoke against quick`.

    Settings that may differ between compared runs (systems, checkpoints, benchmarks, seed) are left
    out.
    """
    if (a := part_of(base, "profile")) and (b := part_of(new, "profile")):
        yield from _of_profiles(a, b)
    for name in FLAGS:
        if name in base and name in new and base[name] != new[name]:
            yield f"--{name.replace('_', '-')} {_text(new[name])} against {_text(base[name])}"


def _of_profiles(base: Fields, new: Fields) -> Iterator[str]:
    """The names of the profiles if they differ, and what --set changed.

    For profiles of one name, every setting that differs; those that --steps changes together once.
    """
    named_alike = base.get("name") == new.get("name")
    if not named_alike:
        yield f"profile {_text(new.get('name'))} against {_text(base.get('name'))}"
    if base.get("limit") != new.get("limit"):  # which changes every count: these are not listed
        yield f"--limit {_text(new.get('limit') or 'none')} against {_text(base.get('limit') or 'none')}"
        named_alike = False
    a, b = settings_of(base), settings_of(new)
    names = a.keys() | b.keys() if named_alike else {*_changed(base), *_changed(new)}
    differ = {name for name in names if a.get(name) != b.get(name)}
    steps = [name for name in STEPS if name in differ]
    for name in sorted(differ - {name for name in steps[1:] if b.get(name) == b.get(steps[0])}):
        flag = "--steps " if name == STEPS[0] else f"--set {short(name, 40)}="
        yield f"{flag}{_text(b.get(name))} against {_text(a.get(name))}"


def settings_of(profile: Fields) -> dict[str, Any]:
    """Every setting of a profile by `section.name`."""
    sections = part_of(profile, "sections")
    parts = {section: part_of(sections, section) for section in sections}
    return {f"{section}.{name}": part[name] for section, part in parts.items() for name in part}


def _changed(profile: Fields) -> list[str]:
    """The settings that --set and --steps changed."""
    changed = profile.get("changed")
    return [name for name in changed if isinstance(name, str)] if isinstance(changed, list) else []


def _text(value: object) -> str:
    return short(",".join(map(str, value)) if isinstance(value, list) else value, 60)
