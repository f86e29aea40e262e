"""Write docs/profiles.md: every setting of every built-in profile, with what its task says of it.

python docs/profiles.py
"""

import inspect
import re
from pathlib import Path

from tabulate import tabulate

from benchmarks.core.profiles import BUILT_IN, PROFILES, described
from benchmarks.core.sizes import is_capped, settings_of

HEAD = """# Profiles

Made by `python docs/profiles.py`; the values are those of `benchmarks/profiles/`.
`--set TASK.NAME=VALUE` changes one of them, `--profile FILE` takes a TOML file with some of them and the name of a
profile that has the others:

    base = "quick"

    [reconstruction]
    images = 100
    steps = [20, 100]

Counts are upper bounds: a smaller data set is used whole. `--limit N` caps those marked *.
"""


def page() -> str:
    profiles = "\n".join(f"- `{name}`: {text}" for name, text in described().items())
    return "\n\n".join([HEAD + "\n" + profiles, *map(_section, PROFILES["quick"].sections)]) + "\n"


def _section(section: str) -> str:
    kind = type(PROFILES["quick"].sections[section])
    meanings = meanings_of(kind)
    rows = [
        [f"`{section}.{name}`" + " *" * is_capped(hint), meanings[name]]
        + [_text(getattr(PROFILES[profile].sections[section], name)) for profile in BUILT_IN]
        for name, hint in settings_of(kind).items()
    ]
    table = tabulate(rows, ["setting", "", *BUILT_IN], "github", disable_numparse=True)
    return f"## {section}\n\n{table}"


def meanings_of(kind: type) -> dict[str, str]:
    """The meaning of each setting, from the docstring of a `Sizes`: lines of a name, spaces and a text."""
    lines = inspect.cleandoc(kind.__doc__ or "").splitlines()
    return dict(re.split(r" {2,}", line, maxsplit=1) for line in lines if "  " in line)  # type: ignore[misc]


def _text(value: object) -> str:
    if isinstance(value, tuple) and len(value) > 6:
        return f"{value[0]}, {value[1]}, ... {value[-1]}"
    if isinstance(value, tuple):
        return ", ".join(map(_text, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(page())
