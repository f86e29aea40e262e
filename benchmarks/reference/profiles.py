"""The page `profiles`: every setting of every built-in profile."""

from benchmarks.core.profiles import BUILT_IN, PROFILES, described
from benchmarks.core.sizes import is_capped, settings_of
from benchmarks.reference.tables import meanings_of, table

HEAD = """# Settings by profile

A profile is a set of values for all settings of a run. `--profile NAME` selects one, and
`--set TASK.NAME=VALUE` changes one value of it. `--profile FILE` reads a TOML file with the values that
differ from its `base`:

    base = "quick"

    [reconstruction]
    images = 100
    steps = [20, 100]

Counts are upper limits: a smaller data set is used whole. `--limit N` lowers the counts that have a
star (*) to N."""


def page() -> str:
    profiles = [f"- `{name}`: {text}" for name, text in described().items()]
    sections = [_section(name) for name in PROFILES["quick"].sections]
    return "\n\n".join([HEAD, "\n".join(profiles), *sections]) + "\n"


def _section(section: str) -> str:
    kind = type(PROFILES["quick"].sections[section])
    meanings = meanings_of(kind)
    rows = []
    for name, hint in settings_of(kind).items():
        star = " *" if is_capped(hint) else ""
        values = [getattr(PROFILES[profile].sections[section], name) for profile in BUILT_IN]
        rows.append([f"`{section}.{name}`{star}", meanings[name], *map(_text, values)])
    return f"## {section}\n\n{table(rows, ['setting', 'meaning', *BUILT_IN])}"


def _text(value: object) -> str:
    if isinstance(value, tuple) and len(value) > 6:
        return f"{value[0]}, {value[1]}, ... {value[-1]}"
    if isinstance(value, tuple):
        return ", ".join(map(_text, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
