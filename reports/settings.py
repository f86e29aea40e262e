"""What a person changed between two runs, in the words of the command line: from the settings in run.json."""

from collections.abc import Iterator, Mapping
from typing import Any

from reports.reading import short

FLAGS = ("data", "crop", "device", "precision", "attributes", "weights_dir")
NOT_SET = ("name", "description", "changed")  # of a profile


def changes(base: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Each setting that decides how a number is measured and differs, new against base, e.g. `profile smoke against quick`.

    What may differ between runs that are compared (systems, checkpoints, benchmarks, seed) is left out.
    """
    a, b = base.get("profile"), new.get("profile")
    if isinstance(a, dict) and isinstance(b, dict):
        yield from _of_profiles(a, b)
    for name in FLAGS:
        if name in base and name in new and base[name] != new[name]:
            yield f"--{name.replace('_', '-')} {_text(new[name])} against {_text(base[name])}"


def _of_profiles(base: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """The names if they differ, and what was set; in profiles of one name, every setting that differs."""
    named_alike = base.get("name") == new.get("name")
    if not named_alike:
        yield f"profile {_text(new.get('name'))} against {_text(base.get('name'))}"
    asked = {*_names(base.get("changed")), *_names(new.get("changed"))}
    for name in (set(base) | set(new)) - set(NOT_SET) if named_alike else asked:
        if base.get(name) != new.get(name):
            flag = "--steps " if name == "steps" else f"--set {short(name, 40)}="
            yield f"{flag}{_text(new.get(name))} against {_text(base.get(name))}"


def _names(changed: object) -> list[str]:
    return [name for name in changed if isinstance(name, str)] if isinstance(changed, list) else []


def _text(value: object) -> str:
    return short(",".join(map(str, value)) if isinstance(value, list) else value, 60)
