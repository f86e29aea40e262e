"""Records: one row per number.

A run folder holds `records.csv` (tidy and long), and every table is a view of it. A row has what is
needed to judge the number: its uncertainty, the number of images, the protocol that it was measured
by, and the published value that it may or may not be compared with.
"""

import csv
import io
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from diffae.system.errors import UserError, naming
from diffae.system.files import hash_of, read_text
from diffae.system.whole import write_whole
from reports.records.estimate import Error, Estimate, combined, t_quantile
from reports.records.reading import LARGEST_TEXT, Fields, short

HIGHER, LOWER, NEITHER = "higher", "lower", "neither"


@dataclass(frozen=True)
class Record:
    """One number: where it belongs in the tables of a run, its estimate, and what it may be compared with.

    `direction` says which direction is better (`higher`, `lower` or `neither`). `protocol` is the
    id of an entry of `protocols` in the run's `run.json`, and `measured_by` its fields. `published`
    is the paper's value for the same cell of its table and `not_comparable` the reason why the two
    must not be compared (empty: data set and protocol agree). `reference` marks a row that gives a
    scale, such as real images: it does not compete, and is never the best. `solver` names the solver
    that took the `steps` (T), and `calls` are the network calls per image. A record without a value
    needs a `note` that says why. `of_machine` marks what depends on the machine, such as a time;
    `failed` says that there is no value because something broke.

    The fields from `run` on are those of tables of several runs. `origin` is the record's key in its
    `run`. `contest` is empty for a number that was measured as in the first run, else the name of the
    first run that measured it in the same way: only numbers of one `contest` are compared. A `pooled`
    value is the mean of `runs` of them, `spread` the standard deviation between them (None: only one
    has it), and `stderr` the standard error within one run, the root mean square of theirs.
    """

    benchmark: str
    table: str
    system: str
    dataset: str
    split: str
    setting: str
    steps: int | None
    metric: str
    estimate: Estimate
    direction: str = NEITHER
    unit: str = ""
    published: float | None = None
    published_metric: str = ""
    published_source: str = ""
    not_comparable: str = ""
    protocol: str = ""
    note: str = ""
    reference: bool = False
    solver: str = ""
    calls: int | None = None
    measured_by: Fields = field(default_factory=dict, compare=False, repr=False)
    of_machine: bool = field(default=False, compare=False)
    failed: bool = field(default=False, compare=False)
    run: str = ""
    origin: str = ""
    contest: str = ""
    runs: int = 1
    spread: float | None = None
    pooled: bool = False

    @property
    def value(self) -> float | None:
        return self.estimate.value

    @property
    def stderr(self) -> float | None:
        return self.estimate.stderr

    @property
    def n(self) -> int | None:
        return self.estimate.n

    @property
    def ci_low(self) -> float | None:
        """The lower end of the 95 % interval; None without an error, and of a mean over runs."""
        return self._interval[0]

    @property
    def ci_high(self) -> float | None:
        """The upper end of the 95 % interval."""
        return self._interval[1]

    @property
    def _interval(self) -> tuple[float, float] | tuple[None, None]:
        return (None if self.pooled else self.estimate.interval()) or (None, None)


def error_between(base: Record, new: Record) -> Error | None:
    """The standard error of new - base, as of `Estimate.minus`; None where nothing is known.

    The error of a mean over runs contains the spread between them.
    """
    return _over_runs(new).minus(_over_runs(base)).error


def _over_runs(record: Record) -> Estimate:
    """The estimate of a record; of a mean over runs, with the spread between them in its error."""
    estimate = record.estimate
    if not record.pooled or record.spread is None:
        return estimate
    within = [(estimate.error.stderr**2, estimate.error.df)] if estimate.error else []
    between = (record.spread**2 / record.runs, record.runs - 1.0)
    return replace(estimate, error=combined([*within, between]))


# The columns of records.csv, each an attribute of a record.
COLUMNS = (
    "benchmark", "table", "system", "dataset", "split", "setting", "steps", "metric", "value", "stderr", "ci_low",
    "ci_high", "n", "direction", "unit", "published", "published_metric", "published_source", "not_comparable",
    "protocol", "note", "reference", "solver", "calls",
)  # fmt: skip
OF_ESTIMATE = ("value", "stderr", "ci_low", "ci_high", "n")
FAST, FAST_SOLVER = "fast", "ab2-v"  # of `--solver fast`, and the `solver` of its rows
_INTEGERS = ("steps", "n", "calls")
_FLOATS = ("value", "stderr", "ci_low", "ci_high", "published")
LONGEST_CELL, LARGEST_INTEGER = 10_000, 10**15
LARGEST_ERROR = 1e150  # its square is finite
SAME = 1e-6  # relative: an end of an interval, against its error
MANY = 1e5  # degrees of freedom that are treated as infinite


_identity = attrgetter(
    "benchmark", "system", "dataset", "split", "setting", "steps", "solver", "metric"
)


def record_key(record: Record) -> str:
    """What a record measures, independent of its value and table: the same in every run."""
    return json.dumps([_one_line(v) if isinstance(v, str) else v for v in _identity(record)])


def protocol_id(fields: Fields) -> str:
    """The id of the protocol with these fields, which its records carry: the start of their hash."""
    return hash_of(fields)[:12]


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write `records` to the CSV file `path`, whole or not at all.

    A write that fails leaves the file as it was.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for record in records:
        writer.writerow([_cell(getattr(record, name)) for name in COLUMNS])
    write_whole(path, text.getvalue().encode())


def read_records(path: Path) -> list[Record]:
    """Read a `records.csv`. Raises UserError naming the file and the line that is wrong."""
    distinct, records = Distinct(path), list[Record]()
    for cells, where in read_csv(path, COLUMNS):
        with naming(f"{path}, {where}", ValueError):
            records.append(_parse(dict(zip(COLUMNS, cells, strict=True))))
        distinct.add(records[-1], where)
    return records


def read_csv(path: Path, header: tuple[str, ...]) -> list[tuple[list[str], str]]:
    """The rows of a CSV file below its `header`, each with its position. Raises UserError naming the
    line.

    A cell is one line: a longer one comes from a quote that is not closed, and holds the rows that
    follow.
    """
    reader = csv.reader(io.StringIO(read_text(path, LARGEST_TEXT), newline=""), strict=True)
    rows: list[tuple[list[str], str]] = []
    try:
        if tuple(next(reader, ())) != header:
            expected = short(",".join(header), 40)
            why = f"its first line is not {expected}"
            raise UserError(f"{path}: not in the format of this version: {why}")
        for cells in reader:
            where = f"line {reader.line_num}"
            if len(cells) != len(header):
                raise UserError(f"{path}, {where}: {len(cells)} cells, not {len(header)}")
            if any("\n" in cell or "\r" in cell for cell in cells):
                why = "a quote that an earlier line opened is closed here"
                raise UserError(f"{path}, {where}: {why}")
            rows.append((cells, where))
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: not CSV: {error}") from None
    return rows


class Distinct:
    """The keys of a file's records, to find duplicates."""

    def __init__(self, path: Path):
        self.path = path
        self._first: dict[tuple[object, ...], tuple[Record, str]] = {}
        self._tables: set[tuple[object, ...]] = set()

    def add(self, record: Record, where: str) -> None:
        """Raise UserError if the key occurs twice; a different table may repeat it with the same number."""
        key = _identity(record)
        other, there = self._first.setdefault(key, (record, where))
        number, first = (repr((r.estimate.value, r.estimate.error)) for r in (record, other))
        if (record.table, key) in self._tables or number != first:
            named = short(list(key), 200)
            raise UserError(f"{self.path}, {where}: repeats the number of {there}: {named}")
        self._tables.add((record.table, key))


def safe_cell(value: object) -> object:
    """Prefix text that a spreadsheet would run as a formula with an apostrophe.

    A carriage return alone would end the row: the CSV writer quotes line feeds only.
    """
    if not isinstance(value, str):
        return value
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    return "'" + text if text.lstrip().startswith(tuple("=+-@")) else text


def _cell(value: str | float | None) -> str:
    if value is None or value is False:
        return ""
    if isinstance(value, float):
        return repr(float(value))  # a number of NumPy too
    text = _one_line(str(value))
    return text if len(text) <= LONGEST_CELL else f"{text[: LONGEST_CELL - 4]} ..."


def _one_line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")


def _parse(row: dict[str, str]) -> Record:
    cells: dict[str, Any] = {**row, "reference": row["reference"] == "True"}
    for name in (*_INTEGERS, *_FLOATS):
        cells[name] = _number(name, row[name]) if row[name] else None
    for name, choices in (("reference", ("", "True")), ("direction", (HIGHER, LOWER, NEITHER))):
        if row[name] not in choices:
            raise _wrong(name, row[name], f"one of {', '.join(choices)}")
    numbers = {name: cells.pop(name) for name in OF_ESTIMATE}
    return Record(**cells, estimate=_estimate(**numbers))


def _estimate(
    value: float | None,
    stderr: float | None,
    ci_low: float | None,
    ci_high: float | None,
    n: int | None,
) -> Estimate:
    """The estimate of a row, with the degrees of freedom by which the interval follows from the error."""
    ends = [end for end in (ci_low, ci_high) if end is not None]
    if len(ends) == 1:
        raise ValueError("an interval with one end")
    if value is None and (ends or stderr is not None):
        raise ValueError("a standard error or an interval without a value")
    if ends and stderr is None:
        raise ValueError("an interval without a standard error")
    if value is None or stderr is None:
        return Estimate(value, n=n)
    if ci_low is None or ci_high is None:
        df = 1.0 if n is None else max(n - 1.0, 1.0)
        return Estimate(value, error=Error(stderr, df), n=n)
    error = Error(stderr, _degrees_of_freedom(stderr, (ci_high - ci_low) / 2))
    half, slack = error.quantile(0.975), SAME * max(abs(value), stderr)
    if max(abs(ci_low - value + half), abs(ci_high - value - half)) > slack:
        raise ValueError(f"its interval is {ci_low} to {ci_high}, not {value:.8g} ± {half:.3g}")
    return Estimate(value, error=error, n=n)


def _degrees_of_freedom(stderr: float, half: float) -> float:
    """The degrees of freedom of a standard error whose 95 % interval has this half width."""
    from scipy.optimize import brentq

    if not stderr:
        return math.inf
    quantile = half / stderr
    if quantile >= t_quantile(0.975, 1):
        return 1.0
    if quantile <= t_quantile(0.975, MANY):
        return math.inf
    return float(brentq(lambda df: t_quantile(0.975, df) - quantile, 1, MANY))


def _number(name: str, text: str) -> float:
    """Parse a number; a value may be infinite or NaN, an error or interval may not."""
    if name in _INTEGERS:
        if not (text.isascii() and text.isdigit() and int(text[:20]) <= LARGEST_INTEGER):
            raise _wrong(name, text, "a whole number")
        return int(text)
    try:
        number = float(text)
    except ValueError:
        raise _wrong(name, text, "a number") from None
    if name == "stderr" and not 0 <= number < LARGEST_ERROR:
        raise _wrong(name, text, "a finite number from 0 up")
    if name in ("ci_low", "ci_high") and not math.isfinite(number):
        raise _wrong(name, text, "a finite number")
    return number


def _wrong(name: str, text: str, expected: str) -> ValueError:
    return ValueError(f"{name} is {short(text, 40)!r}, not {expected}")
