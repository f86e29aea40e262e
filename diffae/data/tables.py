"""Tables of labels: labels.csv or metadata.csv beside images, and the labels of codes.

    file,smiling,colour,age,split,person
    a.png,1,red,31.5,train,ada

Cells are separated by commas, semicolons or tabs. Columns are in any order, and their names in upper
or lower case:

- The names of the images. If the images are known, this is the column whose cells name most of them,
  and of several such columns the first in the order of KEYS. Otherwise it is the first column of KEYS,
  or else a column of texts most of which differ. Other columns of KEYS are left out.
- `split` (train, valid, test, or 0, 1, 2), and `person` or `identity`.
- Labels. The name of the column may end in a kind: "count:real", "id:classes", "turn:ordered".

A cell is missing if it is empty, infinite, or NA, N/A, NaN, null, None, unknown or "?" in upper or
lower case. Missing cells are refused with a message, with two exceptions: in the names of images and
in columns that end in ":classes" only empty cells are refused, and all others are names or classes.
In a column of numbers a text is refused too, if half of the cells or more are numbers.

No row is dropped, and no label is masked.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from math import isfinite
from pathlib import Path
from typing import NamedTuple

import numpy as np

from diffae.data.dataset import KINDS
from diffae.data.readers.classes import MOST_CLASSES
from diffae.data.readers.sources import NAMES as PARTS
from diffae.system.cli import printable
from diffae.system.errors import UserError, refuse_duplicates

# Names of the column of images. pandas writes its index as "", and reads it as "Unnamed: 0".
KEYS = *"file files file_name filename image image_id id index".split(), "unnamed: 0", ""
FILES, SPLIT, PERSONS = "files", "split", "persons"
ROLES = {SPLIT: SPLIT, PERSONS: PERSONS, "person": PERSONS, "identity": PERSONS}
MISSING = {"", *"na n/a #n/a <na> nan -nan null none unknown ? inf -inf".split()}
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
MANY = 40  # a column may have this many classes, however few rows it has

Value = str | int | float  # of a cell: a text in a CSV file, or an entry of an array
Column = tuple[str, Sequence[Value]]  # name and cells
# from a name to the indices of the images that it may mean
Places = Callable[[str], Collection[int]]


class LabelTable(NamedTuple):
    """The columns of a file: those with a role, which is FILES or one of ROLES, and labels by name."""

    path: Path
    rows: int
    roles: dict[str, list[str]]
    labels: dict[str, list[Value]]
    left_out: list[str]

    def take(self, places: Sequence[int]) -> "LabelTable":
        """The rows of these indices, in this order."""
        roles = {name: [cells[row] for row in places] for name, cells in self.roles.items()}
        labels = {name: [cells[row] for row in places] for name, cells in self.labels.items()}
        return self._replace(rows=len(places), roles=roles, labels=labels)

    def split(self) -> np.ndarray | None:
        """The split of each row as int64, or None without such a column. Raises UserError for other cells."""
        if SPLIT not in self.roles:
            return None
        parts = PARTS | {str(part): part for part in PARTS.values()}
        cells = [str(key_of(cell)).lower() for cell in self.roles[SPLIT]]
        if odd := {*cells} - {*parts}:
            needed = "train, valid, test, nor 0, 1 or 2"
            raise UserError(f"{self.path}: split {min(odd)!r:.40} is none of {needed}")
        return np.array([parts[cell] for cell in cells], np.int64)


class Label(NamedTuple):
    """A label of n rows as float64 `values`.

    Real and ordered labels are numbers. Others are indices into `classes`, the texts of the classes.
    """

    name: str
    kind: str
    values: np.ndarray
    classes: tuple[str, ...] = ()


# ----------------------------------------------------------------------------------------------
# Columns and their roles


def read_table(path: Path, lines: list[list[str]], places: Places) -> LabelTable:
    """The table in the `lines` of a CSV file. `places` finds images; it finds none if they are not known.

    Raises UserError for a damaged table, and as `table_of` does.
    """
    header, *rows = lines or [[""]]
    for line, row in enumerate(rows, 2):
        if len(row) != len(header):
            cells = f"{len(row)} cells, and line 1 names {len(header)} columns"
            raise UserError(f"{path}: line {line}: {cells}")
    if any(places(name) for name in header if not NUMBER.fullmatch(name)):
        raise UserError(f"{path}: line 1: must name the columns, such as file,age,smiling")
    columns = list(zip(map(printable, header), zip(*rows, strict=True), strict=False))
    return table_of(path, columns, len(rows), _names_column(path, dict(columns), places))


def table_of(path: Path, columns: Sequence[Column], rows: int, key: str | None) -> LabelTable:
    """A table of columns; that of the name `key` has the names of the images.

    Raises UserError for two columns of one meaning, and for a missing cell.
    """
    refuse_duplicates([split_kind(name)[0] for name, _ in columns], path, "the column")
    table = LabelTable(path, rows, {}, {}, [])
    for name, cells in columns:
        role = FILES if name == key else ROLES.get(name.lower())
        if role in table.roles:
            raise UserError(f"{path}: two columns are the {role} of the images; take one out")
        if role:
            table.roles[role] = list(map(str, cells))
        elif name.lower() in KEYS:
            remedy = f"if it is a label, call it {name}:classes"
            table.left_out.append(f"the column {name!r} of {path.name}; {remedy}")
            continue
        else:
            table.labels[name] = list(cells)
        _refuse_missing(path, name, cells, role)
    return table


def _names_column(path: Path, columns: dict[str, tuple[str, ...]], places: Places) -> str | None:
    """The column of the names of the images, if there is one."""
    free = [name for name in columns if name.lower() not in ROLES and not split_kind(name)[1]]
    free.sort(key=lambda name: [*KEYS, name.lower()].index(name.lower()))
    counts = {name: _images_named(columns[name], places) for name in free}
    best = [name for name in free if counts[name] == max(counts.values()) > 0]
    best = best or [name for name in free if name.lower() in KEYS]
    best = best or [name for name in free if _mostly_different_texts(columns[name])]
    if len(best) > 1 and best[0].lower() not in KEYS:
        candidates = f"{best[0]} or {best[1]}"
        raise UserError(f"{path}: {candidates} may name the images; call one of them file")
    return best[0] if best else None


def _images_named(cells: Sequence[str], places: Places) -> int:
    """The number of images that a column names. A column of numbers that names few does not count."""
    distinct = {*cells}
    named = {place for cell in distinct for place in places(cell)}
    few = 2 * len(named) < len(cells)
    return 0 if few and all(map(NUMBER.fullmatch, distinct)) else len(named)


def _mostly_different_texts(cells: Sequence[str]) -> bool:
    texts = sum(not NUMBER.fullmatch(cell) for cell in cells)
    return 2 * texts > len(cells) and not few_enough(len({*cells}), len(cells))


def few_enough(classes: int, rows: int) -> bool:
    """Whether this number of different texts is small enough for the classes of a label."""
    return classes <= min(MOST_CLASSES, max(MANY, rows // 2))


# ----------------------------------------------------------------------------------------------
# Cells


def key_of(cell: Value) -> Value:
    """The exact number in a cell, an int if it is whole. The text of a cell without a finite number."""
    if isinstance(cell, str) and not NUMBER.fullmatch(cell):
        return cell
    value = float(cell)
    if not value.is_integer():
        return value if isfinite(value) else str(cell)
    return int(cell if str(cell).lstrip("+-").isdecimal() else value)


def _refuse_missing(path: Path, name: str, cells: Sequence[Value], role: str | None) -> None:
    """Raise UserError, with the line or the index of the row, for a missing cell.

    Names of images, and cells of a column that ends in ":classes", may be any text.
    """
    bare, kind = split_kind(name)
    missing = {""} if role == FILES or kind == "classes" else MISSING
    odd = {cell for cell in {*cells} if str(cell).lower() in missing}
    if odd:
        row, cell = next((row, cell) for row, cell in enumerate(cells) if cell in odd)
        where = f"row {row}, from 0" if path.suffix == ".npz" else f"line {row + 2}"
        why = "is missing or not finite; fill it, or take the image or the column out"
        more = "" if role or cell == "" else f", or call the column {bare}:classes"
        raise UserError(f"{path}: {where}: {name} {cell!r:.40} {why}{more}")


# ----------------------------------------------------------------------------------------------
# Labels and their kinds


def kind_of(distinct: Collection[Value]) -> str:
    """The kind of a column by its different values: "binary", "classes" or "real".

    One or two values are binary. Texts are classes. Whole numbers are classes if there are few of them,
    or if they are 0, 1, 2 ... without a gap.
    """
    if len(distinct) <= 2:
        return "binary"
    numbers = [value for value in distinct if not isinstance(value, str)]
    few = len(numbers) <= MANY or set(numbers) == set(range(len(numbers)))
    return "classes" if few and all(float(value).is_integer() for value in numbers) else "real"


def split_kind(column: str) -> tuple[str, str]:
    """The name of a column without the kind after it, and that kind, "" if there is none."""
    name, _, kind = (part.strip() for part in column.rpartition(":"))
    return (name, kind.lower()) if name and kind.lower() in KINDS.values() else (column, "")


def alike_labels(names: Iterable[str]) -> str:
    """Names of labels that differ by upper and lower case alone, and what to do about it; "" without any."""
    spellings = defaultdict[str, list[str]](list)
    for name in names:
        spellings[name.casefold()].append(name)
    groups = [" and ".join(group) for group in spellings.values() if len(group) > 1]
    differ = "differ by upper and lower case alone, and are different labels"
    return f"{', '.join(groups)} {differ}: spell them alike where they are one" if groups else ""


def label_of(path: Path, column: str, cells: Sequence[Value]) -> Label:
    """A column as a label. Raises UserError for values that are not of its kind.

    If the name has no kind, and half of the cells or more are numbers among texts, the kind is real.

    `1` and `1.0` are one value. So are `No` and `no` in a binary column.
    """
    name, stated_kind = split_kind(column)
    keys = {cell: key_of(cell) for cell in {*cells}}
    texts = {cell: key for cell, key in keys.items() if isinstance(key, str)}
    lower = keys | {cell: key.lower() for cell, key in texts.items()}
    distinct, needs = {*lower.values()}, ""
    mixed = texts and 2 * sum(cell in texts for cell in cells) <= len(cells)
    kind = stated_kind or ("real" if mixed else kind_of(distinct))
    numeric = kind in ("real", "ordered")
    if kind == "binary" and len(distinct) > 2:
        needs = f"binary labels have two values, not {len(distinct):,}"
    elif numeric and texts:
        needs = f"{kind} labels are numbers, not {min(texts.values())!r:.40}"
    elif numeric and len({*map(float, distinct)}) < len(distinct):
        needs = f"{kind} labels are numbers that float64 tells apart"
    if needs:
        raise UserError(f"{path}: {column}: {needs}; or call it {name}:classes")
    if numeric:
        return Label(name, kind, np.array([float(keys[cell]) for cell in cells]))
    keys = lower if kind == "binary" else keys
    order = sorted({*keys.values()}, key=lambda key: (isinstance(key, str), key))
    index = {key: k for k, key in enumerate(order)}
    spelling = {keys[cell]: str(cell) for cell in sorted(keys, key=str, reverse=True)}
    values = np.array([index[keys[cell]] for cell in cells], np.float64)
    return Label(name, kind, values, tuple(spelling[key] for key in order))
