"""Exports of headlines: a badge for shields.io, and JSON for github-action-benchmark."""

import json
from typing import Any

from diffae.system.errors import UserError
from reports.records.reading import short
from reports.tables.numbers import error_text, value_text
from reports.trend.entries import Entry, Number

LONGEST_BADGE = 100  # characters of its message


def badge(entry: Entry, metric: str = "", system: str = "") -> str:
    """One headline of a run as JSON: the first, or that of a metric and a system.

    Raises UserError if there is none.

    https://shields.io/badges/endpoint-badge
    """
    found = [n for n in entry.numbers if metric in ("", n.metric) and system in ("", n.system)]
    if not found:
        wanted = " ".join(filter(None, (system, metric)))
        there = ", ".join(dict.fromkeys(f"{n.system} {n.metric}" for n in entry.numbers))
        raise UserError(
            f"no headline {short(wanted)!r} for the badge; there are {short(there, 300)}"
        )
    number = found[0]
    content = {
        "schemaVersion": 1,
        "label": short(f"{number.system} {number.label}", LONGEST_BADGE),
        "message": short(value_of(number), LONGEST_BADGE),
        "color": "blue",
    }
    return json.dumps(content) + "\n"


def for_action(entry: Entry, direction: str) -> str:
    """The headlines of which `direction` (higher or lower) is better, as a list of name, unit,
    value, range and extra.

    For `tool: customBiggerIsBetter` and `tool: customSmallerIsBetter`; metrics without a better
    direction are in neither.
    """
    ours = [n for n in entry.numbers if n.direction == direction]
    return json.dumps([_entry_of(n, entry) for n in ours], indent=1) + "\n"


def _entry_of(number: Number, entry: Entry) -> dict[str, Any]:
    about = {
        "n": number.n,
        "protocol": number.protocol,
        "profile": entry.profile,
        "data": entry.dataset,
        "version": entry.version,
    }
    content = {"name": title(number), "unit": number.unit or number.label, "value": number.value}
    if number.stderr is not None:
        content["range"] = f"± {number.stderr:.3g}"
    extra = "\n".join(
        f"{name}: {value}" for name, value in about.items() if value not in (None, "")
    )
    return content | {"extra": extra}


def title(number: Number) -> str:
    """What was measured, in words that are the same in every run."""
    at = f"T = {number.steps}" if number.steps is not None else ""
    parts = (number.system, f"{number.label} of {number.benchmark}", number.setting, at)
    return ", ".join(part for part in parts if part)


def value_of(number: Number) -> str:
    """The value ± its standard error, with the digits of its metric."""
    unit = f" {number.unit}" if number.unit else ""
    return f"{value_text(number)}{error_text(number)}{unit}"
