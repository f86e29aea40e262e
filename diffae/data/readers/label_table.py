"""Labels of a folder of images in a table beside them: labels.csv, or metadata.csv as on the Hub.

`diffae.data.tables` describes the columns and cells of a table.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from diffae.data.dataset import LabelFields
from diffae.data.names import Names
from diffae.data.readers.classes import Classes, read_classes
from diffae.data.readers.label_files import csv_rows
from diffae.data.tables import FILES, PERSONS, Label, LabelTable, few_enough, label_of, read_table
from diffae.system.cli import printable
from diffae.system.errors import refuse_duplicates

TABLES = ("labels.csv", "metadata.csv")
HAS = ("1", "1.0", "yes", "true")  # in a binary column: the image has the attribute


def read_labels(root: Path, images: tuple[str, ...]) -> Classes:
    """The labels of images, by relative path: those of a table, else the classes of folders.

    Images that the table does not list are left out and counted. Columns of one value, or of too many
    classes, are left out too, and so is a table that names none of the images. Raises UserError for a
    row without an image, two rows of one image, a missing cell, and a value that is not of the kind of
    its column.
    """
    names, left_out = Names(images), []
    for path in (root / name for name in TABLES):
        if os.path.lexists(path):
            lines = csv_rows(path)
            if any(names.places(cell) for row in lines for cell in row):
                return _labelled(read_table(path, lines, names.places), images, names)
            left_out.append(f"{path.name}: no column of it names an image (with its suffix)")
    classes = read_classes(root, images)
    return classes._replace(left_out=(*classes.left_out, *left_out))


def _labelled(table: LabelTable, images: tuple[str, ...], names: Names) -> Classes:
    """The images that a table lists, with their labels and their splits."""
    path = table.path
    places = np.array([names.only(name, str(path)) for name in table.roles.get(FILES, ())])
    order = np.argsort(places)
    kept, table = tuple(images[place] for place in places[order]), table.take(order.tolist())
    refuse_duplicates(kept, path, "image")
    left_out, columns = list(table.left_out), dict[str, np.ndarray]()
    if without := len(images) - len(kept):
        left_out.insert(0, f"images that {path.name} does not list: {without:,}")
    for column, cells in table.labels.items():
        label = label_of(path, column, cells)
        name, values = _column(label)
        count, n = len(np.unique(values)), len(kept)
        if count > 1 and (values.dtype.kind != "U" or few_enough(count, n)):
            columns[name] = values
        else:
            left_out.append(f"the column {name} of {path.name}: {count:,} values in {n:,} rows")
    fields, split = fields_of(columns), table.split()
    if PERSONS in table.roles:
        fields["identities"] = np.unique(table.roles[PERSONS], return_inverse=True)[1]
    splits = () if split is None else tuple(split.tolist())
    return Classes(kept, fields, (path,), tuple(left_out), splits)


def _column(label: Label) -> tuple[str, np.ndarray]:
    """The name and values of a column of `Dataset.columns`."""
    values = label.values
    if label.kind == "binary":
        has = label.classes[-1]
        return (label.name if has.lower() in HAS else f"{label.name}={has}"), values == 1
    if label.kind == "classes":
        return label.name, np.array(label.classes)[values.astype(int)]
    if label.kind == "ordered":
        return label.name, np.unique(values, return_inverse=True)[1].astype(np.int32)
    return label.name, values


def fields_of(columns: Mapping[str, np.ndarray]) -> LabelFields:
    """The columns and their attributes: each binary column, and each class of the columns of classes."""
    attributes = dict[str, np.ndarray]()
    for name, column in columns.items():
        if column.dtype.kind == "b":
            attributes[name] = column
        elif column.dtype.kind in "Uu":
            for value in np.unique(column):
                attributes[printable(f"{name}={value}")] = column == value
    fields = LabelFields()
    if columns:
        types = [(name, column.dtype) for name, column in columns.items()]
        fields["columns"] = np.rec.fromarrays([*columns.values()], dtype=types)
    if attributes:
        fields["attribute_names"] = tuple(attributes)
        fields["attributes"] = np.stack([*attributes.values()], axis=1)
    return fields
