"""Read parquet files with pyarrow, if they are complete and do not need too much memory.

A file may unpack to any multiple of its size, and pyarrow allocates that before it can be checked.
So row groups must declare their size, and a value that is repeated is held once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from diffae.system.errors import UserError, needed, refuse_duplicates
from diffae.system.files import file_size
from diffae.system.free_memory import fits

if TYPE_CHECKING:
    import pyarrow

KEPT = 4  # row groups that stay in memory; threads read as many at the same time
PARQUET_MAGIC = b"PAR1"  # at the beginning and at the end of a file


@contextmanager
def reading(path: Path) -> Iterator[ModuleType]:
    """The module pyarrow. Its errors within the block become a UserError that names `path`."""
    needed("pyarrow.parquet", path, "arrow")
    import pyarrow.compute

    try:
        yield pyarrow
    except (pyarrow.ArrowException, OSError, ValueError, KeyError) as error:
        text = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: cannot read this file ({text}); copy it again") from error


def leaf_of_bytes(field: pyarrow.Field) -> str | None:
    """The leaf of the schema with the bytes of a column of images; None for other columns."""
    kind, leaf = field.type, field.name
    if str(kind).startswith("struct<"):
        fields = [kind.field(i) for i in range(kind.num_fields)]
        types = [field.type for field in fields if field.name == "bytes"]
        if len(types) != 1:
            return None
        kind, leaf = types[0], f"{leaf}.bytes"
    return leaf if str(kind) in ("binary", "large_binary") else None


def read_group(path: Path, number: int, leaf: str) -> pyarrow.ChunkedArray:
    """The bytes of the images of a row group. Other fields of a struct are not read.

    A value that is repeated is held once, as in the file.
    """
    with reading(path) as pa, pa.parquet.ParquetFile(path, read_dictionary=[leaf]) as file:
        images = file.read_row_group(number, columns=[leaf], use_threads=False).column(0)
        is_struct = pa.types.is_struct(images.type)
        return pa.compute.struct_field(images, "bytes") if is_struct else images


def read_column(path: Path, name: str) -> pyarrow.ChunkedArray:
    """A column of a parquet file."""
    with reading(path) as pa, pa.parquet.ParquetFile(path) as file:
        return file.read(columns=[name], use_threads=False)[name]


def rows_of(path: Path) -> tuple[pyarrow.Schema, list[int]]:
    """The schema of a file and the number of rows of each row group, by its footer.

    Raises UserError if row groups do not fit into memory, if the number of rows is not that of the footer
    or is more than the file can hold images, if two columns have one name, or if the file was made of
    several. The footer's data on single columns is not read: if it is damaged, pyarrow ends the process.
    """
    size = file_size(path)
    with reading(path) as pa, pa.parquet.ParquetFile(path) as file:
        schema, footer = file.schema_arrow, file.metadata
        groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
        rows = [group.num_rows for group in groups]
        if sum(rows) != footer.num_rows:
            raise ValueError(f"its footer counts {footer.num_rows:,} rows, groups {sum(rows):,}")
        listed = sum(group.total_byte_size for group in groups) + footer.serialized_size
        # These two lines raise an error if the name of a column is not UTF-8.
        refuse_duplicates(schema.names, path, "column", "rename one")
        list(map(leaf_of_bytes, schema))
    if size > listed and holds_several(path):
        raise UserError(f"{path}: several parquet files in one; separate them")
    for group in groups:
        fits(KEPT * group.total_byte_size, f"{path}: {KEPT} of its row groups")
    if sum(rows) > size or min(rows, default=0) < 0:
        raise UserError(f"{path}: {sum(rows):,} rows in {size:,} bytes, which hold no images")
    return schema, rows


def holds_several(path: Path) -> bool:
    """Whether one parquet file follows another, as `cat` makes it. The last footer lists its own rows only."""
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        return content.find(2 * PARQUET_MAGIC) >= 0
