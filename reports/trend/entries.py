"""One line per run: its commit, date and version, and its headlines with their errors.

The file is append-only. Appending locks it, so that jobs which end at once lose nothing. A damaged
line is reported and never skipped: a missing number cannot fail.
"""

import fcntl
import hashlib
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from diffae.system.errors import UserError
from diffae.system.files import read_file
from diffae.system.whole import append
from reports.records.metrics import Metrics
from reports.records.reading import from_plain, joined, part_of, short, to_plain
from reports.records.record import COLUMNS, HIGHER, LOWER, NEITHER, Record
from reports.records.run_folder import RUN, read_run
from reports.tables.build import merge
from reports.tables.contests import own_headlines
from reports.tables.numbers import error_text, metric_label, steps_text, value_text

FORMAT = 2
LARGEST_FILE = 64 << 20  # bytes
# Fields kept of a record: unchanged, and shortened.
KEPT = "steps solver value stderr ci_low ci_high n direction unit protocol".split()
NAMES = "benchmark system metric setting".split()
LONGEST_BADGE = 100  # characters of its message
COMMIT = re.compile(r"[0-9a-f]{7,64}")


@dataclass(frozen=True)
class Number(Record):
    """A headline: the fields of its record that a trend needs; `label` is its metric as printed."""

    label: str = ""

    @property
    def printed(self) -> str:
        """The value ± its standard error, with the digits of its metric."""
        return f"{value_text(self)}{error_text(self)} {self.unit}".rstrip()

    @property
    def title(self) -> str:
        """What was measured, in words that are the same in every run."""
        what = f"{self.label} of {self.benchmark}"
        return joined(self.system, what, self.setting, steps_text(self))


@dataclass(frozen=True)
class Entry:
    """A run.

    `id` is the same for the same numbers of the same commit; `date` is ISO 8601 with a time zone.
    """

    id: str
    commit: str
    date: str
    version: str
    numbers: tuple[Number, ...]
    dirty: bool = False
    dataset: str = ""
    profile: str = ""
    seed: int | None = None
    format: int = FORMAT

    @property
    def when(self) -> datetime:
        found = datetime.fromisoformat(self.date)
        return found if found.tzinfo else found.replace(tzinfo=UTC)


# ----------------------------------------------------------------------------------------------
# From a run folder


def entry_of(folder: Path, commit: str = "") -> Entry:
    """The entry of a finished run.

    `commit` is given if what was measured is not this software's checkout.

    Raises UserError naming the file that is invalid, or if the run is not complete.
    """
    run = read_run(folder)
    overview, notes = merge([run]).tables[0], run.notes
    headlines = [r for r in overview.records if r.metric and not r.reference]
    taken = set(own_headlines(headlines, run.specs, overview.known))
    headlines.sort(key=lambda r: r not in taken)  # a badge shows the first of a system
    measured = [r for r in headlines if r.value is not None and math.isfinite(r.value)]
    if not measured:
        raise UserError(f"{folder / 'records.csv'}: no headline was measured")
    seed = run.settings.get("seed")
    entry = Entry(
        id="",
        commit=commit or _text(notes.get("commit")),
        date=_date(notes, folder / RUN),
        version=_text(part_of(notes, "versions").get("diffae-bench")),
        numbers=tuple(_number(r, overview.known) for r in measured),
        dirty=notes.get("dirty") is True and not commit,
        dataset=short(overview.records[0].dataset, 200),
        profile=_text(part_of(run.settings, "profile").get("name")),
        seed=seed if type(seed) is int else None,
    )
    # Without a commit the date is part of the id, since nothing else distinguishes two runs.
    parts = asdict(replace(entry, date="" if entry.commit else entry.date))
    parts["numbers"] = [{name: n[name] for name in (*COLUMNS, "label")} for n in parts["numbers"]]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    return replace(entry, id=digest.hexdigest()[:16])


def _number(r: Record, known: Metrics) -> Number:
    given: dict[str, Any] = {name: getattr(r, name) for name in KEPT}
    given |= {name: short(getattr(r, name), 200) for name in NAMES}
    label = short(metric_label(r.metric, known), 200)
    return Number(**given, table="", dataset="", split="", label=label)


def _date(notes: Mapping[str, Any], path: Path) -> str:
    text = str(notes.get("ended") or notes.get("started"))
    try:
        datetime.fromisoformat(text)
    except ValueError:
        why = "neither ended nor started is a date; give the folder of a finished run"
        raise UserError(f"{path}: {why}") from None
    return text


# ----------------------------------------------------------------------------------------------
# The file


def add(path: Path, entries: Sequence[Entry]) -> int:
    """Append those of `entries` that `path` does not have, and return their number.

    Raises UserError naming a damaged line.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o666), "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed
        known = {entry.id for entry in _entries(path)}
        fresh = list({e.id: e for e in entries if e.id not in known}.values())
        append(path, "".join(map(_line, fresh)).encode())
    return len(fresh)


def read_history(path: Path) -> list[Entry]:
    """Every run of the file once, the oldest first. Raises UserError naming a damaged line."""
    found = {entry.id: entry for entry in reversed(_entries(path))}
    return sorted(reversed(found.values()), key=lambda entry: entry.when)


def _entries(path: Path) -> list[Entry]:
    lines = read_file(path, LARGEST_FILE).split(b"\n")
    if lines.pop():
        where = f"{path}, line {len(lines) + 1}"
        raise UserError(f"{where}: was not written to its end; mend it or take it out")
    return [_parse(line, f"{path}, line {i}") for i, line in enumerate(lines, 1)]


def _parse(line: bytes, where: str) -> Entry:
    try:
        plain = json.loads(line.decode())
        if isinstance(plain, dict) and (found := plain.get("format", FORMAT)) != FORMAT:
            other = f"of format {short(str(found), 40)}, and this version has {FORMAT}"
            raise UserError(f"{where}: {other}; begin a new file")
        entry = from_plain(Entry, plain)
        datetime.fromisoformat(entry.date)
        for number in entry.numbers:
            if number.value is None:
                raise ValueError("a number without a value")
            if number.direction not in (HIGHER, LOWER, NEITHER):
                raise ValueError(f"direction is {short(number.direction, 40)!r}")
        return entry
    except (ValueError, RecursionError) as error:  # JSON and UTF-8 that are none, too
        raise UserError(f"{where}: damaged ({short(error)}); mend it or take it out") from None


def _line(entry: Entry) -> str:
    numbers = [to_plain(number) for number in entry.numbers]
    plain = to_plain(entry) | {"numbers": numbers, "format": FORMAT}
    return json.dumps(plain, ensure_ascii=True, allow_nan=False) + "\n"


def _text(value: object) -> str:
    return "" if value is None else short(value, 200)


# ----------------------------------------------------------------------------------------------
# For other tools: a badge for shields.io, and JSON for github-action-benchmark


def badge(entry: Entry, metric: str = "", system: str = "") -> str:
    """One headline of a run as JSON: the first, or that of a metric and a system.

    Raises UserError if there is none.

    https://shields.io/badges/endpoint-badge
    """
    found = [n for n in entry.numbers if metric in ("", n.metric) and system in ("", n.system)]
    if not found:
        wanted = short(joined(system, metric, by=" "))
        there = ", ".join(dict.fromkeys(f"{n.system} {n.metric}" for n in entry.numbers))
        raise UserError(f"no headline {wanted!r} for the badge; there are {short(there, 300)}")
    label = short(f"{found[0].system} {found[0].label}", LONGEST_BADGE)
    message = short(found[0].printed, LONGEST_BADGE)
    content = {"schemaVersion": 1, "label": label, "message": message, "color": "blue"}
    return json.dumps(content) + "\n"


def for_action(entry: Entry, direction: str) -> str:
    """The headlines of which `direction` (higher or lower) is better, as a list of name, unit,
    value, range and extra.

    For `tool: customBiggerIsBetter` and `tool: customSmallerIsBetter`; metrics without a better
    direction are in neither.
    """
    made = []
    for n in (n for n in entry.numbers if n.direction == direction):
        content = {"name": n.title, "unit": n.unit or n.label, "value": n.value}
        if n.stderr is not None:
            content["range"] = f"± {n.stderr:.3g}"
        about = {"n": n.n, "protocol": n.protocol, "profile": entry.profile}
        about |= {"data": entry.dataset, "version": entry.version}
        told = (f"{name}: {value}" for name, value in about.items() if value not in (None, ""))
        made.append(content | {"extra": "\n".join(told)})
    return json.dumps(made, indent=1) + "\n"
