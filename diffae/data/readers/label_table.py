"""Labels of a folder of images in a table beside them: labels.csv, or metadata.csv as on the Hub.

    file,smiling,colour,age,split,person
    a.png,1,red,31.5,train,ada

The first column has the names of the images, with or without their folders. `split` (train, valid,
test) and `person` or `identity` are what they say; every other column is a label. Its kind is
`kind_of` its values, or said after its name: "count:real", "id:classes".
"""

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diffae.data.dataset import KINDS
from diffae.data.names import Names
from diffae.data.readers import label_files
from diffae.data.readers.classes import MOST_CLASSES, Classes, read_classes
from diffae.data.readers.sources import NAMES
from diffae.system.cli import printable
from diffae.system.errors import UserError

TABLES = ("labels.csv", "metadata.csv")
SPLIT, PERSONS = "split", ("person", "identity")
TRUE = {(0, 1), (-1, 1), ("no", "yes"), ("false", "true")}  # pairs whose second is "has it"
MANY = 40  # classes that are read of any number of images
LARGEST = 2**53  # whole numbers below are exact

# A name, what it holds (its dtype one of `KINDS`), and "=VALUE" of the images that a binary one marks.
Column = tuple[str, np.ndarray, str]


def read_labels(root: Path, images: tuple[str, ...]) -> Classes:
    """The labels of images, by relative path: those of a table, else the classes of folders.

    Images that the table does not list are left out and counted, and so is a column that is no
    label: of one value, or of too many classes. A table that names none of the images is left out
    itself. Raises UserError for a row without an image, two rows of one image, an empty cell and a
    value that its column cannot have.
    """
    names, there = Names(images), [root / name for name in TABLES if os.path.lexists(root / name)]
    for path in there:
        rows = label_files.read_rows(path)
        if any(names.places(row[0]) for row in rows):
            return _labelled(path, rows, images, names)
    told = [f"{path.name}: its first column names no image (with its suffix)" for path in there]
    found = read_classes(root, images)
    return found._replace(left_out=(*found.left_out, *told))


def _labelled(path: Path, rows: list[list[str]], images: tuple[str, ...], names: Names) -> Classes:
    """The images that a table lists, with its columns as fields of `Dataset`, and their splits."""
    _, header, _ = label_files.read_header(path, rows)
    if names.places(rows[0][0]):
        raise UserError(f"{path}: line 1: must name the columns, such as file,age,smiling")
    listed, values = label_files.read_values(path, rows, 1, len(header), None)
    places = [_place(f"{path}: {name}", names.places(name)) for name in listed]
    label_files.refuse_duplicates([images[place] for place in places], path, "image")
    order = np.argsort(places)
    table = dict(zip(header, np.array(values)[order].T, strict=True))
    for name, texts in table.items():
        if len(empty := order[texts == ""]):
            why = f"no value of {name}; give one, or take out the row or the column"
            raise UserError(f"{path}: line {min(empty) + 2}: {why}")
    kept, without = tuple(images[places[row]] for row in order), len(images) - len(places)
    told = (f"images that {path.name} does not list: {without:,}",) if without else ()
    return _with_columns(path, table, Classes(kept, files=(path,), left_out=told))


def _place(where: str, found: list[int]) -> int:
    if len(found) != 1:
        several = "is the name of several images; write its folder before it"
        raise UserError(f"{where} {several if found else 'is none of the images here'}")
    return found[0]


def _with_columns(path: Path, table: dict[str, np.ndarray], of: Classes) -> Classes:
    """The images `of` a table with its columns as fields of `Dataset`, and their splits."""
    fields, columns, splits = dict[str, Any](), list[Column](), tuple[int, ...]()
    told = list(of.left_out)
    for header, texts in table.items():
        if header.lower() in PERSONS and "identities" not in fields:
            fields["identities"] = np.unique(texts, return_inverse=True)[1].astype(np.int64)
        elif header.lower() == SPLIT:
            if odd := {text for text in texts.tolist() if text.lower() not in NAMES}:
                raise UserError(f"{path}: split {min(odd)!r:.40} is none of train, valid and test")
            splits = tuple(NAMES[text.lower()] for text in texts.tolist())
        else:
            name, kind = _said(header)
            column, value = _column(f"{path}: {header}", texts, kind)
            if why := _why_not(column):
                told.append(f"the column {name} of {path.name}: {why}")
            else:
                columns.append((name, column, value))
    label_files.refuse_duplicates([name for name, *_ in columns], path, "column")
    attributes = list(_attributes(columns))
    if columns:
        fields["columns"] = np.empty(len(of.images), [(name, c.dtype) for name, c, _ in columns])
        for name, column, _ in columns:
            fields["columns"][name] = column
    if attributes:
        fields["attribute_names"] = tuple(name for name, _ in attributes)
        fields["attributes"] = np.stack([column for _, column in attributes], axis=1)
        label_files.refuse_duplicates(fields["attribute_names"], path, "attribute")
    return of._replace(fields=fields, left_out=tuple(told), splits=splits)


def _said(header: str) -> tuple[str, str]:
    """The name of a column, and its kind where that is said after a colon."""
    name, _, kind = header.rpartition(":")
    return (name, kind) if name and kind in KINDS.values() else (header, "")


def kind_of(distinct: Collection[float] | Collection[str]) -> str:
    """What the different values of a column are: "binary", "classes" or "real".

    Two values are binary. Texts are classes, and so are whole numbers if they are few, or if they
    are 0, 1, 2 ... without a gap.
    """
    if len(distinct) == 2:
        return "binary"
    numbers = [value for value in distinct if not isinstance(value, str)]
    whole = all(float(value).is_integer() for value in numbers)
    few = len(numbers) <= MANY or set(numbers) == set(range(len(numbers)))
    return "classes" if whole and few else "real"


def _column(where: str, texts: np.ndarray, kind: str) -> tuple[np.ndarray, str]:
    """A column of labels, its dtype one of `KINDS`, and of a binary one what an image has."""
    try:
        values = texts.astype(np.float64)
    except ValueError:
        values = np.char.lower(texts)
    numbers = values.dtype.kind == "f"
    if numbers and not np.isfinite(values).all():
        raise UserError(f"{where}: nan or inf; give a number, or take out the row or the column")
    distinct = sorted(set(values.tolist()))
    kind = kind or kind_of(distinct)
    if kind == "binary":
        if len(distinct) != 2:
            raise UserError(f"{where}: binary labels have two values, not {len(distinct):,}")
        has = values == distinct[1]
        return has, "" if tuple(distinct) in TRUE else f"={texts[has][0]}"
    if kind == "classes":
        whole = numbers and all(v.is_integer() and abs(v) < LARGEST for v in distinct)
        return (values.astype(np.int64) if whole else texts), ""
    if not numbers:
        raise UserError(f"{where}: real-valued labels are numbers; NAME:classes takes texts")
    return values, ""


def _why_not(column: np.ndarray) -> str:
    """Why a column is no label, in words."""
    count = len(np.unique(column))
    if count == 1:
        return "the same in every row"
    most = min(MOST_CLASSES, max(MANY, len(column) // 2))
    too_many = column.dtype.kind in "iU" and count > most
    return f"{count:,} classes in {len(column):,} rows, and at most {most:,} are read" * too_many


def _attributes(columns: Sequence[Column]) -> Iterator[tuple[str, np.ndarray]]:
    """Binary columns, and one attribute for each class of the others, such as colour=red."""
    for name, column, value in columns:
        if column.dtype.kind == "b":
            yield printable(name + value), column
        elif column.dtype.kind != "f":
            yield from ((printable(f"{name}={one}"), column == one) for one in np.unique(column))
