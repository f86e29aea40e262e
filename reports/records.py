"""Records: one number, one row.

A run folder holds `records.csv` (tidy and long, one row a number), and every table is a view of it.
A row carries what is needed to judge the number: its uncertainty, how many images stand behind it,
the protocol that it was measured by, and the published value that it may or may not be compared with.
"""

import csv
import io
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

HIGHER, LOWER, NEITHER = "higher", "lower", "neither"


@dataclass(frozen=True)
class Record:
    """One number. Empty cells mean "does not apply"; an empty `value` needs a `note` that says why.

    `direction` says which way is better (`higher`, `lower` or `neither`). `protocol` is the id of an entry
    of `protocols` in the run's `run.json`. `published` is the paper's value for the same cell of its table and
    `not_comparable` the reason why the two must not be compared (empty: dataset and protocol agree).
    """

    benchmark: str
    table: str
    system: str
    dataset: str
    split: str
    setting: str
    steps: int | None
    metric: str
    value: float | None
    stderr: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    n: int | None = None
    direction: str = NEITHER
    unit: str = ""
    published: float | None = None
    published_metric: str = ""
    published_source: str = ""
    not_comparable: str = ""
    protocol: str = ""
    note: str = ""


COLUMNS = tuple(field.name for field in fields(Record))
_INTEGERS = ("steps", "n")
_FLOATS = ("value", "stderr", "ci_low", "ci_high", "published")


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write `records` to the CSV file `path`, whole or not at all."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for record in records:  # not by `asdict`, which copies every cell: this is done after every row
        writer.writerow([_cell(getattr(record, name)) for name in COLUMNS])
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(buffer.getvalue(), encoding="utf-8", newline="")
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def read_records(path: Path) -> list[Record]:
    """Read a `records.csv`. Raises ValueError naming the file if its columns are not a record's."""
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ValueError(
                f"{path}: not a records.csv of this version (columns {reader.fieldnames})"
            )
        return [_parse(row) for row in reader]


def _cell(value: str | float | None) -> str:
    if value is None:
        return ""
    # a lone \r in a cell would end the row
    return repr(value) if isinstance(value, float) else str(value).replace("\r", " ")


def _parse(row: dict[str, str]) -> Record:
    cells: dict[str, object] = dict(row)
    cells |= {name: int(row[name]) if row[name] else None for name in _INTEGERS}
    cells |= {name: float(row[name]) if row[name] else None for name in _FLOATS}
    return Record(**cells)  # type: ignore[arg-type]
