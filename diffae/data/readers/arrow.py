"""Tables with a column of images: parquet files, and folders of Hugging Face's `save_to_disk`.

    photos/dataset_dict.json                       {"splits": ["train", "test"]}, or without it one split:
    photos/train/state.json                        which files, in their order
    photos/train/data-00000-of-00002.arrow         an Arrow stream

    photos/data/train-00000-of-00002.parquet       or in the folder itself, or one file

A column of images holds structs with `bytes`, as `datasets` has it, or bytes. `datasets` itself is
not needed: pyarrow reads both. Columns of classes and of booleans are attributes.
"""

from __future__ import annotations

import hashlib
import json
import os
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffae.data.dataset import Dataset
from diffae.data.readers import arrow_files
from diffae.data.readers.folder import beside
from diffae.data.readers.label_files import refuse_duplicates
from diffae.data.readers.shards import classes_as_attributes, find_shards, holds, name_in
from diffae.data.readers.sources import EncodedImages, partition_of, split_of, unlabelled
from diffae.system.errors import UserError
from diffae.system.files import read_json

if TYPE_CHECKING:
    import pyarrow

DICT, STATE, INFO = "dataset_dict.json", "state.json", "dataset_info.json"
PREFERRED = ("image", "img", "jpg", "png", "picture")
KEPT = 4  # row groups of parquet that stay in memory: threads read as many at once
LARGEST_NOTE = 1 << 24  # bytes of a JSON file


class Piece(NamedTuple):
    """Rows that are read at once: a row group of a parquet file, or a whole arrow file (`group` -1)."""

    path: Path
    group: int
    start: int  # the index of its first image


@dataclass(frozen=True)
class TableImages(EncodedImages):
    """The rows of a column, files in their order. Each process opens the files itself."""

    root: Path
    pieces: tuple[Piece, ...]
    length: int
    column: str
    labels: str  # SHA-256 of the columns that are attributes

    def __len__(self) -> int:
        return self.length

    def __getstate__(self) -> dict[str, Any]:
        return {name: vars(self)[name] for name in self.__dataclass_fields__}

    @cached_property
    def _mapped(self) -> Callable[[Path], pyarrow.ChunkedArray]:
        return lru_cache(None)(
            lambda path: arrow_files.bytes_in(arrow_files.read_arrow(path), self.column)
        )

    @cached_property
    def _group(self) -> Callable[[Path, int], pyarrow.ChunkedArray]:
        return lru_cache(KEPT)(
            lambda path, number: arrow_files.read_group(path, number, self.column)
        )

    def where(self, index: int) -> str:
        path = self._piece(index).path
        first = next(piece.start for piece in self.pieces if piece.path == path)
        return f"{path}, row {index - first}"

    def content(self, index: int) -> bytes:
        piece = self._piece(index)
        mapped = piece.group < 0
        column = self._mapped(piece.path) if mapped else self._group(piece.path, piece.group)
        place = index - piece.start
        content = column[place].as_py() if place < len(column) else None
        if not content:
            raise UserError(f"{self.where(index)}: no bytes of an image; save it with its bytes")
        self.refuse_size(index, len(content))
        return bytes(content)

    def files(self) -> Iterator[tuple[str, Path]]:
        for path in dict.fromkeys(piece.path for piece in self.pieces):
            yield name_in(path, self.root), path

    def heading(self) -> Iterator[bytes]:
        yield self.labels.encode()

    def _piece(self, index: int) -> Piece:
        index = range(self.length)[index]
        return self.pieces[bisect_right(self.pieces, index, key=lambda piece: piece.start) - 1]


# ----------------------------------------------------------------------------------------------
# Opening


def is_saved(path: Path) -> bool:
    if os.path.lexists(path / DICT):
        return True
    return all(os.path.lexists(path / name) for name in (STATE, INFO))


def is_parquet(path: Path) -> bool:
    if path.is_file():
        return path.suffix.lower() == ".parquet"
    return holds(path, ".parquet", images_in)


def images_in(path: Path) -> int:
    schema, rows = arrow_files.rows_of(path)
    return sum(rows) if any(arrow_files.holds_bytes(field.type) for field in schema) else 0


def open_saved(path: Path, image_size: int, crop: str | None, seed: int) -> Dataset:
    """A folder of `save_to_disk`, of one split or of several."""
    if not os.path.lexists(path / DICT):
        return open_tables(path, files_of(path), image_size, crop, seed)
    splits = checked_names(path / DICT, read_json(path / DICT, LARGEST_NOTE).get("splits"))
    files = [file for split in splits for file in files_of(path / split)]
    return open_tables(path, files, image_size, crop, seed)


def files_of(folder: Path) -> list[Path]:
    """The arrow files of one split, in their order.

    Raises UserError for a selection of their rows, as early versions of `datasets` saved it.
    """
    state = read_json(folder / STATE, LARGEST_NOTE)
    if state.get("_indices_data_files") or state.get("_indices_files"):
        how = "datasets.load_from_disk(OLD).flatten_indices().save_to_disk(NEW)"
        raise UserError(f"{folder / STATE}: a selection of rows; save them alone: {how}")
    named = state.get("_data_files")
    items = named if isinstance(named, list) else []
    names = [item.get("filename") for item in items if isinstance(item, dict)]
    return [folder / name for name in checked_names(folder / STATE, names)]


def checked_names(path: Path, names: object) -> list[str]:
    """The names of splits or of data files that `path` has.

    Raises UserError unless there are some, all of them plain file names, and none occurs twice: its
    images would too, and in two splits.
    """
    listed = names if isinstance(names, list) else []
    plain = all(isinstance(n, str) and Path(n).name == n not in ("", "..") for n in listed)
    if not listed or not plain:
        raise UserError(f"{path}: names no files of this folder; copy the folder again")
    refuse_duplicates(listed, path, "name")
    return listed


def open_parquet(path: Path, image_size: int, crop: str | None, seed: int) -> Dataset:
    return open_tables(path, find_shards(path, ".parquet"), image_size, crop, seed)


def open_tables(
    path: Path, files: list[Path], image_size: int, crop: str | None, seed: int
) -> Dataset:
    """Open all rows of the files; the split is that of their names, else seeded by image."""
    pieces, schemas, length = [], [], 0
    counts: dict[Path, int] = {}
    for file in files:
        schema, rows = arrow_files.rows_of(file)
        schemas.append(schema)
        for group, count in enumerate(rows):
            if count:
                pieces.append(Piece(file, -1 if file.suffix == ".arrow" else group, length))
            length += count
        counts[file] = sum(rows)
    if not length:
        raise UserError(f"{path}: no rows in these files")
    column = image_column(path, schemas[0])
    for file, schema in zip(files, schemas, strict=True):
        if schema.types != schemas[0].types or schema.names != schemas[0].names:
            raise UserError(f"{file}: has other columns than {files[0].name}; take one of them out")
    labels, left_out = read_attributes(counts, schemas[0])
    digest = hashlib.sha256(repr(labels.get("attribute_names", ())).encode())
    if labels:
        digest.update(labels["attributes"].tobytes())
    source = TableImages(path, tuple(pieces), length, column, digest.hexdigest())
    others = [name for name in columns_of_images(schemas[0]) if name != column]
    more = f"may hold images too, and those of {column} are read"
    left_out += [f"the column {name}: {more}" for name in others]
    notes = [file.with_name(name) for file in files for name in (STATE, INFO)]
    told = (*left_out, *beside(path, {path / DICT, *notes, *files}))
    split = partition_of(list(map(split_of, files)), list(counts.values()), seed)
    return unlabelled(path, source, image_size, crop, split, left_out=told, **labels)


def features_of(schema: pyarrow.Schema) -> dict[str, dict[str, Any]]:
    """The features that `datasets` records for each column; empty for other files."""
    try:
        found = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: feature for name, feature in found.items() if isinstance(feature, dict)}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def columns_of_images(schema: pyarrow.Schema) -> list[str]:
    return [field.name for field in schema if arrow_files.holds_bytes(field.type)]


def image_column(path: Path, schema: pyarrow.Schema) -> str:
    """The column of images: the only one, or the one with a usual name."""
    found = columns_of_images(schema)
    called = [name for name in PREFERRED if name in found]
    if not found:
        raise UserError(f"{path}: no column of images (there are: {', '.join(schema.names)})")
    if len(found) > 1 and not called:
        raise UserError(f"{path}: several columns of images ({', '.join(found)}); call one image")
    return found[0] if len(found) == 1 else called[0]


def read_attributes(
    files: Mapping[Path, int], schema: pyarrow.Schema
) -> tuple[dict[str, Any], list[str]]:
    """Columns of classes and of booleans, as fields of `Dataset`; and what was left out."""
    features = features_of(schema)
    classes = [f.name for f in schema if is_class(f, features)]
    attributes: list[tuple[str, np.ndarray]] = []
    left_out = []
    for field in schema:
        is_bool = str(field.type) == "bool"
        if not is_bool and field.name not in classes:
            continue
        known = features.get(field.name, {}).get("names")
        known = list(map(str, known)) if isinstance(known, list) else []
        values = read_column(files, field.name)
        found = classes_as_attributes(values, ["false", "true"] if is_bool else known)
        if isinstance(found, str):
            left_out.append(f"the column {field.name}: {found}")
        elif is_bool:
            attributes.append((field.name, values == 1))
        else:
            prefix = f"{field.name}: " if len(classes) > 1 else ""
            called = [prefix + name for name in found["attribute_names"]]
            attributes += zip(called, found["attributes"].T, strict=True)
    names = tuple(name for name, _ in attributes)
    if len(set(names)) < len(names):
        twin = Counter(names).most_common(1)[0][0]
        return {}, [*left_out, f"all attributes: several are called {twin}"]
    if not names:
        return {}, left_out
    columns = np.stack([column for _, column in attributes], axis=1)
    return {"attribute_names": names, "attributes": columns}, left_out


def is_class(field: pyarrow.Field, features: dict[str, dict[str, Any]]) -> bool:
    """Whether a column of integers is one of classes, by what `datasets` records or by its name."""
    if not str(field.type).startswith(("int", "uint")):
        return False
    named = field.name.lower() in ("label", "labels", "class", "cls")
    return named or features.get(field.name, {}).get("_type") == "ClassLabel"


def read_column(files: Mapping[Path, int], name: str) -> np.ndarray:
    """Integers or booleans (1 for true) as int64 N; -1 if a value is missing.

    Raises UserError if a file has not as many of them as rows, as `files` gives these.
    """
    import pyarrow.compute

    parts = []
    for file, count in files.items():
        is_arrow = file.suffix == ".arrow"
        table = arrow_files.read_arrow(file) if is_arrow else arrow_files.read_parquet(file, [name])
        values = table[name].cast(pyarrow.int64(), safe=False)
        parts.append(pyarrow.compute.fill_null(values, -1).to_numpy())
        if len(parts[-1]) != count:
            raise UserError(f"{file}: column {name} lacks values; copy the file again")
    return np.concatenate(parts)
