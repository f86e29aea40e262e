"""Tables of labels: labels.csv and metadata.csv beside images, and the labels of codes.

    file,smiling,colour,age,split,person
    a.png,1,red,31.5,train,ada

Cells are separated by commas, semicolons or tabs. Columns are in any order, their names in any case:

- the names of the images: where the images are known, the column whose cells name most of them, and
  of several the first of KEYS. Where they are not known, the first of KEYS, else a column of texts of
  which most differ. Other columns of KEYS are left out;
- `split` (train, valid, test, or 0, 1, 2) and `person` or `identity`;
- labels, by name, or by name and kind: "count:real", "id:classes", "turn:ordered".

A cell is missing if it is empty, NA, N/A, NaN, null, None, unknown or "?", in any case, or infinite:

    names of images                   an empty cell is refused; others are names
    split, persons                    refused
    binary, ordered and real labels   refused, and so is a text where half of the cells are numbers
    classes, not said                 refused
    said to be classes (id:classes)   an empty cell is refused; others are classes

No row is dropped, and no label is masked.
"""

import re
from collections.abc import Callable, Collection, Sequence
from math import isfinite
from pathlib import Path
from typing import NamedTuple

import numpy as np

from diffae.data.dataset import KINDS
from diffae.data.readers.classes import MOST_CLASSES
from diffae.data.readers.sources import NAMES as PARTS
from diffae.system.cli import printable
from diffae.system.errors import UserError, refuse_duplicates

# Of the column of the names of images; pandas calls its index "Unnamed: 0", and writes it as "".
KEYS = *"file files file_name filename image image_id id index".split(), "unnamed: 0", ""
FILES, SPLIT, PERSONS = "files", "split", "persons"
ROLES = {SPLIT: SPLIT, PERSONS: PERSONS, "person": PERSONS, "identity": PERSONS}
MISSING = {"", *"na n/a #n/a <na> nan -nan null none unknown ? inf -inf".split()}
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
MANY = 40  # classes that are read of any number of images

Cell = str | int | float  # of a CSV file a text, of an array what it holds
Column = tuple[str, Sequence[Cell]]  # with its name
Places = Callable[[str], Collection[int]]  # of the images that a name may mean


class LabelTable(NamedTuple):
    """What a file says of its rows: columns by their role, which is one of ROLES or FILES, and labels
    by name.
    """

    path: Path
    rows: int
    roles: dict[str, list[str]]
    labels: dict[str, list[Cell]]
    left_out: list[str]

    def take(self, places: Sequence[int]) -> "LabelTable":
        """The rows at these places, in this order."""
        roles = {name: [cells[row] for row in places] for name, cells in self.roles.items()}
        labels = {name: [cells[row] for row in places] for name, cells in self.labels.items()}
        return self._replace(rows=len(places), roles=roles, labels=labels)

    def split(self) -> np.ndarray | None:
        """The part of each row as int64, None without. Raises UserError for a cell that is none."""
        if SPLIT not in self.roles:
            return None
        parts = PARTS | {str(part): part for part in PARTS.values()}
        cells = [str(key_of(cell)).lower() for cell in self.roles[SPLIT]]
        if odd := {*cells} - {*parts}:
            needed = "train, valid, test, nor 0, 1 or 2"
            raise UserError(f"{self.path}: split {min(odd)!r:.40} is none of {needed}")
        return np.array([parts[cell] for cell in cells], np.int64)


class Label(NamedTuple):
    """A label of n rows as float64 `values`: numbers, or of what is binary or classes, places from 0.

    `classes` are the texts of these places.
    """

    name: str
    kind: str
    values: np.ndarray
    classes: tuple[str, ...] = ()


# ----------------------------------------------------------------------------------------------
# Columns and their roles


def read_table(path: Path, lines: list[list[str]], places: Places) -> LabelTable:
    """The table in the `lines` of a CSV file; `places` are of the images, where these are known.

    Raises UserError for a damaged table, and for what `table_of` refuses.
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
    """A table of columns with their names, of which `key` has the names of the images.

    Raises UserError for two columns of one meaning, and for a missing cell; its row is named by its
    line, or by its place in an array.
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
        raise UserError(
            f"{path}: {best[0]} or {best[1]} may name the images; call one of them file"
        )
    return best[0] if best else None


def _images_named(cells: Sequence[str], places: Places) -> int:
    """How many images a column names; none if it is of numbers, and they are few for its rows."""
    distinct = {*cells}
    named = {place for cell in distinct for place in places(cell)}
    few = 2 * len(named) < len(cells)
    return 0 if few and all(map(NUMBER.fullmatch, distinct)) else len(named)


def _mostly_different_texts(cells: Sequence[str]) -> bool:
    texts = sum(not NUMBER.fullmatch(cell) for cell in cells)
    return 2 * texts > len(cells) and not few_enough(len({*cells}), len(cells))


def few_enough(classes: int, rows: int) -> bool:
    """Whether so many different texts are the classes of a label."""
    return classes <= min(MOST_CLASSES, max(MANY, rows // 2))


# ----------------------------------------------------------------------------------------------
# Cells


def key_of(cell: Cell) -> Cell:
    """The exact number that a cell is, a whole one as int; else, and if it is too large, its text."""
    if isinstance(cell, str) and not NUMBER.fullmatch(cell):
        return cell
    value = float(cell)
    if not value.is_integer():
        return value if isfinite(value) else str(cell)
    return int(cell if str(cell).lstrip("+-").isdecimal() else value)


def _refuse_missing(path: Path, name: str, cells: Sequence[Cell], role: str | None) -> None:
    """Raise UserError for a missing cell. Names of images, and what is said to be classes, may be any
    text.
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


def kind_of(distinct: Collection[Cell]) -> str:
    """What the different values of a column are: "binary", "classes" or "real".

    One or two values are binary. Texts are classes, and so are whole numbers if they are few, or if they
    are 0, 1, 2 ... without a gap.
    """
    if len(distinct) <= 2:
        return "binary"
    numbers = [value for value in distinct if not isinstance(value, str)]
    few = len(numbers) <= MANY or set(numbers) == set(range(len(numbers)))
    return "classes" if few and all(float(value).is_integer() for value in numbers) else "real"


def split_kind(column: str) -> tuple[str, str]:
    """The name of a column, and the kind that is said after it, if any."""
    name, _, kind = (part.strip() for part in column.rpartition(":"))
    return (name, kind.lower()) if name and kind.lower() in KINDS.values() else (column, "")


def label_of(path: Path, column: str, cells: Sequence[Cell]) -> Label:
    """A column as a label. Raises UserError for values that are not of its kind.

    Where half of the cells are numbers, the kind is real, unless another is said.

    `1` and `1.0` are one value. So are `No` and `no` if there is but one other, which is binary.
    """
    name, said = split_kind(column)
    keys = {cell: key_of(cell) for cell in {*cells}}
    texts = {cell: key for cell, key in keys.items() if isinstance(key, str)}
    lower = keys | {cell: key.lower() for cell, key in texts.items()}
    distinct, needs = {*lower.values()}, ""
    mixed = texts and 2 * sum(cell in texts for cell in cells) <= len(cells)
    kind = said or ("real" if mixed else kind_of(distinct))
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
    place = {key: k for k, key in enumerate(order)}
    spelt = {keys[cell]: str(cell) for cell in sorted(keys, key=str, reverse=True)}
    values = np.array([place[keys[cell]] for cell in cells], np.float64)
    return Label(name, kind, values, tuple(spelt[key] for key in order))
