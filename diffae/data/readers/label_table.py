"""Labels of a folder of images in a table beside them: labels.csv, or metadata.csv as on the Hub.

What its columns and cells mean is said in `diffae.data.tables`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from diffae.data.names import Names
from diffae.data.readers.classes import Classes, read_classes
from diffae.data.readers.label_files import csv_rows
from diffae.data.tables import FILES, PERSONS, Label, LabelTable, few_enough, label_of, read_table
from diffae.system.cli import printable
from diffae.system.errors import refuse_duplicates

TABLES = ("labels.csv", "metadata.csv")
HAS = ("1", "1.0", "yes", "true")  # what a binary column says of images that have the attribute


def read_labels(root: Path, images: tuple[str, ...]) -> Classes:
    """The labels of images, by relative path: those of a table, else the classes of folders.

    Images that the table does not list are left out and counted, and so is a column that is no
    label: of one value, or of too many classes. A table that names none of the images is left out
    itself. Raises UserError for a row without an image, two rows of one image, a missing cell and a
    value that its column cannot have.
    """
    names, there = Names(images), [root / name for name in TABLES if os.path.lexists(root / name)]
    for path in there:
        lines = csv_rows(path)
        if any(names.places(cell) for row in lines for cell in row):
            return _labelled(read_table(path, lines, names.places), images, names)
    told = [f"{path.name}: no column of it names an image (with its suffix)" for path in there]
    found = read_classes(root, images)
    return found._replace(left_out=(*found.left_out, *told))


def _labelled(table: LabelTable, images: tuple[str, ...], names: Names) -> Classes:
    """The images that a table lists, its labels as fields of `Dataset`, and its splits."""
    path = table.path
    places = np.array([names.only(name, str(path)) for name in table.roles.get(FILES, ())])
    order = np.argsort(places)
    kept, table = tuple(images[place] for place in places[order]), table.take(order.tolist())
    refuse_duplicates(kept, path, "image")
    left_out, fields, columns = list(table.left_out), dict[str, Any](), dict[str, np.ndarray]()
    if without := len(images) - len(kept):
        left_out.insert(0, f"images that {path.name} does not list: {without:,}")
    if PERSONS in table.roles:
        fields["identities"] = np.unique(table.roles[PERSONS], return_inverse=True)[1]
    for column, cells in table.labels.items():
        label = label_of(path, column, cells)
        name, values = _column(label)
        count, n = len(np.unique(values)), len(kept)
        if count > 1 and (values.dtype.kind != "U" or few_enough(count, n)):
            columns[name] = values
        else:
            left_out.append(f"the column {name} of {path.name}: {count:,} values in {n:,} rows")
    split = table.split()
    splits = () if split is None else tuple(split.tolist())
    return Classes(kept, fields | fields_of(columns), (path,), tuple(left_out), splits)


def _column(label: Label) -> tuple[str, np.ndarray]:
    """The name of a column of `Dataset`, and what it holds: bool, texts of classes, or float64."""
    values = label.values
    if label.kind == "binary":
        has = label.classes[-1]
        return (label.name if has.lower() in HAS else f"{label.name}={has}"), values == 1
    if label.kind == "classes":
        return label.name, np.array(label.classes)[values.astype(int)]
    if label.kind == "ordered":
        return label.name, np.unique(values, return_inverse=True)[1].astype(np.int32)
    return label.name, values


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
