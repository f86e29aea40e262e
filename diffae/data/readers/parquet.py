"""Parquet files with a column of images.

    photos/data/train-00000-of-00002.parquet       or in the folder itself, or one file

A column of images holds bytes, or structs with a field `bytes`, as the library `datasets` writes them.
pyarrow reads the files, `datasets` is not needed. Columns of classes and of booleans are attributes.
"""

from __future__ import annotations

import hashlib
import json
import os
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from diffae.data.dataset import Dataset, LabelFields
from diffae.data.readers import parquet_files
from diffae.data.readers.folder import describe_others
from diffae.data.readers.shards import classes_as_attributes, find_shards, name_in
from diffae.data.readers.sources import EncodedImages, dataset_of, partition_of, split_of
from diffae.system.errors import UserError, refuse_duplicates

if TYPE_CHECKING:
    import pyarrow

# Files that `DatasetDict.save_to_disk` and `Dataset.save_to_disk` of `datasets` write.
SAVED_SPLITS, SAVED_SPLIT = ("dataset_dict.json",), ("state.json", "dataset_info.json")
CLASSES = ("label", "labels", "class", "cls")  # names of columns of classes
IMAGE = "image"  # the name of the column that is read, if several may hold images


class RowGroup(NamedTuple):
    """A row group of a file. It is read as a whole."""

    path: Path
    number: int
    start: int  # the index of its first image


@dataclass(frozen=True)
class TableImages(EncodedImages):
    """The rows of a column, files in their order. Each process opens the files itself."""

    root: Path
    groups: tuple[RowGroup, ...]
    length: int
    leaf: str  # the column of images in the schema, or its field of bytes
    labels: str  # SHA-256 of the attributes

    def __len__(self) -> int:
        return self.length

    def __getstate__(self) -> dict[str, object]:
        """All but `_images`, so that each process reads for itself."""
        return {name: vars(self)[name] for name in self.__dataclass_fields__}

    @cached_property
    def _images(self) -> Callable[[RowGroup], pyarrow.ChunkedArray]:
        """The column of images of a row group."""
        return lru_cache(parquet_files.KEPT)(
            lambda group: parquet_files.read_group(group.path, group.number, self.leaf)
        )

    def where(self, index: int) -> str:
        path = self._group(index).path
        first = next(group.start for group in self.groups if group.path == path)
        return f"{path}, row {index - first}"

    def content(self, index: int) -> bytes:
        group = self._group(index)
        column, place = self._images(group), index - group.start
        content = column[place].as_py() if place < len(column) else None
        if not content:
            raise UserError(f"{self.where(index)}: no bytes of an image; save it with its bytes")
        return bytes(content)

    def files(self) -> Iterator[tuple[str, Path]]:
        for path in dict.fromkeys(group.path for group in self.groups):
            yield name_in(path, self.root), path

    def heading(self) -> Iterator[bytes]:
        yield self.labels.encode()

    def _group(self, index: int) -> RowGroup:
        index = range(self.length)[index]
        return self.groups[bisect_right(self.groups, index, key=lambda group: group.start) - 1]


# ----------------------------------------------------------------------------------------------
# Opening


def is_parquet(path: Path) -> bool:
    """Whether there are parquet files. Raises UserError for a folder that `save_to_disk` wrote."""
    for names in (SAVED_SPLITS, SAVED_SPLIT):
        if all(os.path.lexists(path / name) for name in names):
            mend = "write each split with Dataset.to_parquet and give these files"
            raise UserError(f"{path}: a folder of save_to_disk, which is not read; {mend}")
    return bool(find_shards(path, ".parquet"))


def open_parquet(path: Path, image_size: int, crop: str | None, seed: int) -> Dataset:
    """Open all rows of the files. The split is that of the files' names, else seeded by image."""
    files = find_shards(path, ".parquet")
    tables = {file: parquet_files.rows_of(file) for file in files}
    counts = {file: sum(rows) for file, (_, rows) in tables.items()}
    schema, _ = tables[files[0]]
    groups, length = [], 0
    for file, (own_schema, rows) in tables.items():
        if own_schema.types != schema.types or own_schema.names != schema.names:
            raise UserError(f"{file}: has other columns than {files[0].name}; take one of them out")
        for number, count in enumerate(rows):
            if count:
                groups.append(RowGroup(file, number, length))
            length += count
    if not length:
        raise UserError(f"{path}: no rows in these files")
    column = image_column(files[0], schema)
    labels, left_out = read_attributes(counts, schema)
    digest = hashlib.sha256(repr(labels.get("attribute_names", ())).encode())
    if labels:
        digest.update(labels["attributes"].tobytes())
    columns = columns_of_images(schema)
    source = TableImages(path, tuple(groups), length, columns[column], digest.hexdigest())
    reason = f"may hold images too, and those of {column} are read"
    left_out += [f"the column {name}: {reason}" for name in columns if name != column]
    left_out += describe_others(path, files, most=length)
    split = partition_of(list(map(split_of, files)), list(counts.values()), seed)
    return dataset_of(path, source, image_size, crop, split, left_out, **labels)


def columns_of_images(schema: pyarrow.Schema) -> dict[str, str]:
    """The columns that may hold images, and the leaf of the schema that has the bytes of each."""
    leaves = {field.name: parquet_files.leaf_of_bytes(field) for field in schema}
    return {name: leaf for name, leaf in leaves.items() if leaf}


def image_column(path: Path, schema: pyarrow.Schema) -> str:
    """The column of images: the only one, or the one that is called image."""
    columns = list(columns_of_images(schema))
    if not columns:
        raise UserError(f"{path}: no column of images (there are: {', '.join(schema.names)})")
    if IMAGE in columns:
        return IMAGE
    if len(columns) == 1:
        return columns[0]
    names = ", ".join(columns)
    raise UserError(f"{path}: several columns of images ({names}); call one {IMAGE}")


def read_attributes(
    files: Mapping[Path, int], schema: pyarrow.Schema
) -> tuple[LabelFields, list[str]]:
    """The attributes by columns of classes and of booleans, and lines of text on what is left out.

    Raises UserError if two attributes have the same name.
    """
    classes = columns_of_classes(schema)
    attributes: list[tuple[str, np.ndarray]] = []
    left_out = []
    for field in schema:
        is_bool = str(field.type) == "bool"
        if not is_bool and field.name not in classes:
            continue
        values = read_column(files, field.name)
        class_names = ["false", "true"] if is_bool else classes[field.name]
        of_column = classes_as_attributes(values, class_names)
        if isinstance(of_column, str):
            left_out.append(f"the column {field.name}: {of_column}")
        elif is_bool:
            attributes.append((field.name, values == 1))
        else:
            prefix = f"{field.name}: " if len(classes) > 1 else ""
            titles = [prefix + name for name in of_column["attribute_names"]]
            attributes += zip(titles, of_column["attributes"].T, strict=True)
    names = tuple(name for name, _ in attributes)
    refuse_duplicates(names, next(iter(files)), "attribute")
    if not names:
        return {}, left_out
    columns = np.stack([column for _, column in attributes], axis=1)
    return {"attribute_names": names, "attributes": columns}, left_out


def columns_of_classes(schema: pyarrow.Schema) -> dict[str, list[str]]:
    """The columns of integers that are classes, with the names of the classes, if known.

    They are the columns that `datasets` recorded as classes, and those with a usual name.
    """
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        recorded = {
            column: list(map(str, feature.get("names") or []))
            for column, feature in features.items()
            if feature.get("_type") == "ClassLabel"
        }
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        recorded = {}
    integers = [field.name for field in schema if str(field.type).startswith(("int", "uint"))]
    classes = [name for name in integers if name in recorded or name.lower() in CLASSES]
    return {name: recorded.get(name, []) for name in classes}


def read_column(files: Mapping[Path, int], name: str) -> np.ndarray:
    """A column of integers or booleans (true is 1) as int64 N; a missing value is -1.

    Raises UserError if a file has fewer or more values than rows, the numbers in `files`.
    """
    import pyarrow.compute

    parts = []
    for file, count in files.items():
        values = parquet_files.read_column(file, name).cast(pyarrow.int64(), safe=False)
        parts.append(pyarrow.compute.fill_null(values, -1).to_numpy())
        if len(parts[-1]) != count:
            raise UserError(f"{file}: column {name} lacks values; copy the file again")
    return np.concatenate(parts)
