"""Labels of a folder of images in a table beside them: labels.csv, or metadata.csv as on the Hub.

    file,smiling,colour,age,split,person
    a.png,1,red,31.5,train,ada

The first column has the names of the images, with or without their folders. `split` (train, valid,
test) and `person` or `identity` are what they say; every other column is a label. Its kind is
`kind_of` its values, or said after its name: "count:real", "id:classes", "turn:ordered".
"""

import os
from collections.abc import Collection, Mapping
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
HAS = ("1", "1.0", "yes", "true")  # what a binary column says of images that have the attribute
MANY = 40  # classes that are read of any number of images


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
    """The images that a table lists, its labels as fields of `Dataset`, and its splits."""
    _, header, _ = label_files.read_header(path, rows)
    if names.places(rows[0][0]):
        raise UserError(f"{path}: line 1: must name the columns, such as file,age,smiling")
    listed, values = label_files.read_values(path, rows, 1, len(header), None)
    places = np.array([names.only(name, str(path)) for name in listed])
    order = np.argsort(places)
    kept = tuple(images[place] for place in places[order])
    label_files.refuse_duplicates(kept, path, "image")
    without = len(images) - len(kept)
    told = [f"images that {path.name} does not list: {without:,}"] * bool(without)
    fields, splits, columns = dict[str, Any](), tuple[int, ...](), dict[str, np.ndarray]()
    for said, texts in zip(header, np.array(values)[order].T, strict=True):
        if said.lower() in PERSONS:
            fields["identities"] = np.unique(texts, return_inverse=True)[1].astype(np.int64)
        elif said.lower() == SPLIT:
            if odd := {*map(str.lower, texts)} - {*NAMES}:
                raise UserError(f"{path}: split {min(odd)!r:.40} is none of train, valid and test")
            splits = tuple(NAMES[text.lower()] for text in texts)
        else:
            name, column = _column(path, said, texts)
            count, n = len(np.unique(column)), len(kept)
            most = min(MOST_CLASSES, max(MANY, n // 2)) if column.dtype.kind == "U" else n
            if 1 < count <= most:
                columns[name] = column
            else:
                told.append(f"the column {name} of {path.name}: {count:,} values in {n:,} rows")
    return Classes(kept, fields | fields_of(columns), (path,), tuple(told), splits)


def fields_of(columns: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The columns as fields of `Dataset`: binary ones and each class of others are attributes."""
    attributes = dict[str, np.ndarray]()
    for name, column in columns.items():
        if column.dtype.kind == "b":
            attributes[name] = column
        elif column.dtype.kind in "Uu":
            attributes |= {printable(f"{name}={one}"): column == one for one in np.unique(column)}
    fields = dict[str, Any]()
    if columns:
        types = [(name, column.dtype) for name, column in columns.items()]
        fields["columns"] = np.rec.fromarrays([*columns.values()], dtype=types)
    if attributes:
        fields["attribute_names"] = tuple(attributes)
        fields["attributes"] = np.stack([*attributes.values()], axis=1)
    return fields


def kind_of(distinct: Collection[float] | Collection[str]) -> str:
    """What the different values of a column are: "binary", "classes" or "real".

    Two values are binary. Texts are classes, and so are whole numbers if they are few, or if they
    are 0, 1, 2 ... without a gap.
    """
    if len(distinct) == 2:
        return "binary"
    numbers = [value for value in distinct if not isinstance(value, str)]
    few = len(numbers) <= MANY or set(numbers) == set(range(len(numbers)))
    return "classes" if few and all(float(value).is_integer() for value in numbers) else "real"


def said_of(column: str) -> tuple[str, str]:
    """The name of a column, and the kind that is said after it, if any."""
    name, _, kind = column.rpartition(":")
    return (name, kind) if name and kind in KINDS.values() else (column, "")


def _column(path: Path, said: str, texts: np.ndarray) -> tuple[str, np.ndarray]:
    """The name of a column, and what it holds: bool, texts of classes, or float64."""
    name, kind = said_of(said)
    try:
        values = texts.astype(np.float64)
    except ValueError:
        values = np.char.lower(texts)
    distinct, numbers = np.unique(values), values.dtype.kind == "f"
    finite = not numbers or np.isfinite(values).all()
    kind = kind or kind_of(distinct.tolist())
    if kind == "classes":
        return name, texts
    if kind == "binary" and len(distinct) == 2 and finite:
        has = values == distinct[1]
        return (name if texts[has][0].lower() in HAS else f"{name}={texts[has][0]}"), has
    if kind in ("real", "ordered") and numbers and finite:
        ordered = np.searchsorted(distinct, values).astype(np.int32)
        return name, values if kind == "real" else ordered
    needs = {"binary": "two different values"}
    needs |= dict.fromkeys(("real", "ordered"), "a finite number in every row")
    raise UserError(f"{path}: {said}: {kind} labels are {needs[kind]}; or name it {name}:classes")
