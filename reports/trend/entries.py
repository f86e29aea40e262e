"""One line a run: its commit, date and version, and its headlines with their errors.

The file only grows. Whoever appends holds a lock on it, so that jobs which end at once lose nothing, and a line that
is damaged is named and never skipped: what is not there cannot fall.
"""

import fcntl
import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reports.plain import from_plain, to_plain
from reports.reading import Refused, short
from reports.records import HIGHER, LOWER, NEITHER, Record
from reports.run_folder import read_notes
from reports.tables import tables_of
from reports.writing import append

FORMAT = 1
LARGEST_FILE, LONGEST_LINE = 64 << 20, 1 << 20  # bytes
COMMIT = re.compile(r"[0-9a-f]{7,64}")


@dataclass(frozen=True)
class Number:
    """A headline: the fields of its record that a trend needs; `label` is its metric as it is printed."""

    benchmark: str
    system: str
    metric: str
    label: str
    value: float
    setting: str = ""
    steps: int | None = None
    solver: str = ""
    stderr: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    n: int | None = None
    direction: str = NEITHER
    unit: str = ""
    protocol: str = ""

    @property
    def series(self) -> tuple[str, ...]:
        """What it measures, whenever."""
        return (
            self.benchmark,
            self.system,
            self.metric,
            self.setting,
            str(self.steps),
            self.solver,
        )


@dataclass(frozen=True)
class Entry:
    """A run. `id` is the same for the same numbers of the same commit; `date` is ISO 8601, with its zone."""

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
    """The line of a finished run; `commit` where what was measured is not this software's checkout.

    Raises Refused naming the file that is not as it should be, or if the run is not complete.
    """
    path, notes = folder / "run.json", read_notes(folder)
    overview = tables_of(folder)[0]
    numbers = [
        _number(r, overview.known[r.metric].label if r.metric in overview.known else "")
        for r in overview.records
        if _is_told(r)
    ]
    if not numbers:
        raise Refused(f"{folder / 'records.csv'}: no headline was measured")
    settings, versions = _object(notes, "settings"), _object(notes, "versions")
    seed = settings.get("seed")
    entry = Entry(
        id="",
        commit=commit or _text(notes.get("commit")),
        date=_date(notes, path),
        version=_text(versions.get("diffae-bench")),
        numbers=tuple(numbers),
        dirty=notes.get("dirty") is True and not commit,
        dataset=short(numbers and overview.records[0].dataset, 200),
        profile=_text(_object(settings, "profile").get("name")),
        seed=seed if type(seed) is int else None,
    )
    return replace(entry, id=_id(entry))


def _is_told(record: Record) -> bool:
    measured = record.value is not None and math.isfinite(record.value)
    return measured and not record.reference and bool(record.metric)


def _number(r: Record, label: str) -> Number:
    assert r.value is not None
    texts = {"benchmark": r.benchmark, "system": r.system, "metric": r.metric, "setting": r.setting}
    return Number(
        **{name: short(text, 200) for name, text in texts.items()},
        label=short(label or r.metric, 200),
        value=r.value,
        steps=r.steps,
        solver=r.solver,
        stderr=r.stderr,
        ci_low=r.ci_low,
        ci_high=r.ci_high,
        n=r.n,
        direction=r.direction,
        unit=r.unit,
        protocol=r.protocol,
    )


def _id(entry: Entry) -> str:
    """Without a commit nothing but its date tells a run from the next."""
    parts = asdict(replace(entry, date="" if entry.commit else entry.date))
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _date(notes: Mapping[str, Any], path: Path) -> str:
    for name in ("ended", "started"):
        if isinstance(text := notes.get(name), str):
            try:
                datetime.fromisoformat(text)
            except ValueError:
                break
            return text
    raise Refused(f"{path}: neither ended nor started is a date; give the folder of a finished run")


# ----------------------------------------------------------------------------------------------
# The file


def add(path: Path, entries: Sequence[Entry]) -> int:
    """Append those of `entries` that `path` does not have, and return how many. Raises Refused naming a damaged line."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o666), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise Refused(f"{path}: not a file")
        fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed
        known = {entry.id for entry in _entries(path, _bounded(path, file.read(LARGEST_FILE + 1)))}
        fresh = list({e.id: e for e in entries if e.id not in known}.values())
        append(path, "".join(map(_line, fresh)).encode())
    return len(fresh)


def read_history(path: Path) -> list[Entry]:
    """Every run of the file once, the oldest first. Raises Refused naming a damaged line."""
    try:
        with open(path, "rb") as file:
            content = _bounded(path, file.read(LARGEST_FILE + 1))
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}") from None
    found = {entry.id: entry for entry in reversed(_entries(path, content))}
    return sorted(reversed(found.values()), key=lambda entry: entry.when)


def _bounded(path: Path, content: bytes) -> bytes:
    if len(content) > LARGEST_FILE:
        raise Refused(f"{path}: more than {LARGEST_FILE:,} bytes; begin another file")
    return content


def _entries(path: Path, content: bytes) -> list[Entry]:
    lines = content.split(b"\n")
    if lines.pop():
        raise Refused(
            f"{path}, line {len(lines) + 1}: was not written to its end; mend it or take it out"
        )
    return [_parse(line, f"{path}, line {i}") for i, line in enumerate(lines, 1)]


def _parse(line: bytes, where: str) -> Entry:
    try:
        if len(line) > LONGEST_LINE:
            raise ValueError(f"{len(line):,} bytes")
        entry = from_plain(Entry, json.loads(line.decode()))
        if entry.format != FORMAT:
            raise ValueError(f"format {entry.format}, and this version reads {FORMAT}")
        datetime.fromisoformat(entry.date)
        _check(entry.numbers)
        return entry
    except (ValueError, RecursionError) as error:  # JSON and UTF-8 that are none, too
        raise Refused(f"{where}: damaged ({short(error)}); mend it or take it out") from None


def _check(numbers: Iterable[Number]) -> None:
    for number in numbers:
        errors = (number.stderr or 0.0, number.ci_low or 0.0, number.ci_high or 0.0)
        if not all(map(math.isfinite, (number.value, *errors))):
            raise ValueError("a number that is not finite")
        if number.direction not in (HIGHER, LOWER, NEITHER):
            raise ValueError(f"direction is {short(number.direction, 40)!r}")


def _line(entry: Entry) -> str:
    numbers = [to_plain(number) for number in entry.numbers]
    plain = to_plain(entry) | {"numbers": numbers, "format": FORMAT}
    return json.dumps(plain, ensure_ascii=True, allow_nan=False) + "\n"


def _object(notes: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = notes.get(name)
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str:
    return "" if value is None else short(value, 200)
