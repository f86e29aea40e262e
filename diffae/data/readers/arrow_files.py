"""Read Arrow streams and parquet files with pyarrow, if they are whole and need bounded memory.

A file may unpack to any multiple of its size, and pyarrow allocates that before it can be checked.
So streams must not be compressed, row groups must declare their size, and a repeated value is held
once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffae.system.errors import UserError, needed
from diffae.system.files import file_size

if TYPE_CHECKING:
    import pyarrow

LARGEST_GROUP = 1 << 30  # bytes of a row group
PARQUET_MAGIC = b"PAR1"  # at the beginning and at the end of a file
STREAM_END = b"\xff\xff\xff\xff\0\0\0\0"


@contextmanager
def reading(path: Path) -> Iterator[Any]:
    """pyarrow; any error of it within the block becomes a UserError that names `path`."""
    needed("pyarrow.parquet", path, "arrow")
    import pyarrow

    try:
        yield pyarrow
    except (pyarrow.ArrowException, OSError, ValueError, KeyError) as error:
        text = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: cannot read this file ({text}); copy it again") from error


def read_arrow(path: Path) -> pyarrow.Table:
    """An Arrow stream, mapped.

    Every offset in it is checked, since a wrong one would end the process.
    """
    file_size(path)
    with reading(path) as pa:
        file = pa.memory_map(str(path))
        refuse_stream(path, file, pa)
        file.seek(0)
        table = pa.ipc.open_stream(file).read_all()
        table.validate(full=True)
        return table


def refuse_stream(path: Path, file: pyarrow.MemoryMappedFile, pa: Any) -> None:
    """Raise UserError if a stream is compressed, or does not end with its mark.

    A compressed one may need any amount of memory.
    """
    end = 0
    for message in pa.ipc.MessageReader.open_stream(file):
        if is_compressed(message):
            raise UserError(f"{path}: compressed; save it again without, as save_to_disk does")
        end = file.tell()
    file.seek(end)
    if file.read(len(STREAM_END) + 1) != STREAM_END:
        problem = "has no mark at its end, so it was cut short or is several files"
        raise UserError(f"{path}: {problem}; copy it again")


def is_compressed(message: pyarrow.Message) -> bool:
    """Whether a message is compressed, by its FlatBuffers.

    The header is its third field, and BodyCompression the fourth of a record batch.
    """
    content = message.metadata.to_pybytes()
    if message.type not in ("record batch", "dictionary"):
        return False

    def field(table: int, number: int) -> int | None:
        """The offset at which the value of a field begins; None if it is left out."""
        fields = table - int.from_bytes(content[table : table + 4], "little", signed=True)
        size, place = (
            int.from_bytes(content[p : p + 2], "little") for p in (fields, fields + 4 + 2 * number)
        )
        return table + place if 4 + 2 * number < size and place else None

    def within(place: int | None) -> int:
        """The offset of the table that a field points to."""
        if place is None:
            raise ValueError("a message without a header")
        return place + int.from_bytes(content[place : place + 4], "little")

    batch = within(field(within(0), 2))
    if message.type == "dictionary":
        batch = within(field(batch, 1))
    return field(batch, 3) is not None or b"experimental_compression" in content


def holds_bytes(kind: pyarrow.DataType) -> bool:
    """Whether the type of a column of images is bytes, or a struct that has them."""
    if str(kind).startswith("struct<"):
        inside = [kind.field(i) for i in range(kind.num_fields)]
        found = [field.type for field in inside if field.name == "bytes"]
        return len(found) == 1 and is_bytes(found[0])
    return is_bytes(kind)


def is_bytes(kind: pyarrow.DataType) -> bool:
    return str(kind) in ("binary", "large_binary")


def bytes_in(table: pyarrow.Table, column: str) -> pyarrow.ChunkedArray:
    """The bytes of a column of images."""
    import pyarrow.compute

    found = table[column]
    if pyarrow.types.is_struct(found.type):
        return pyarrow.compute.struct_field(found, "bytes")
    return found


def read_group(path: Path, number: int, column: str) -> pyarrow.ChunkedArray:
    """The bytes of the images of a row group.

    A repeated value is held once, as it is in the file.
    """
    with reading(path) as pa:
        with pa.parquet.ParquetFile(path) as file:
            metadata, plain = file.metadata, is_bytes(file.schema_arrow.field(column).type)
        leaf = column if plain else f"{column}.bytes"  # other fields of a struct are not read
        with pa.parquet.ParquetFile(path, metadata=metadata, read_dictionary=[leaf]) as file:
            table = file.read_row_group(number, columns=[leaf], use_threads=False)
            return bytes_in(table, column)


def read_parquet(path: Path, columns: list[str]) -> pyarrow.Table:
    """Columns of a parquet file."""
    with reading(path) as pa, pa.parquet.ParquetFile(path) as file:
        return file.read(columns=columns, use_threads=False)


def rows_of(path: Path) -> tuple[pyarrow.Schema, list[int]]:
    """The schema of a file and the rows of each of its pieces.

    Raises UserError if there are more rows than the file can hold images.
    """
    size = file_size(path)
    with reading(path) as pa:
        if path.suffix == ".arrow":
            table = read_arrow(path)
            schema, rows = table.schema, [len(table)]
        else:
            schema, rows = rows_of_parquet(path, pa)
        list(map(holds_bytes, schema.types))  # an error here, if the name of a column is not UTF-8
        twins = [name for name, count in Counter(schema.names).items() if count > 1]
    if twins:
        raise UserError(f"{path}: several columns are called {twins[0]}; rename them")
    if sum(rows) > size or min(rows, default=0) < 0:
        raise UserError(f"{path}: {sum(rows):,} rows in {size:,} bytes, which hold no images")
    return schema, rows


def rows_of_parquet(path: Path, pa: Any) -> tuple[pyarrow.Schema, list[int]]:
    """The schema of a parquet file and the rows of its row groups.

    Raises UserError if one is too large, if they are not as many rows as the footer counts, or if the
    file was made of several.
    Nothing is asked of single columns, where pyarrow ends the process if the footer is damaged.
    """
    with pa.parquet.ParquetFile(path) as file:
        schema, footer = file.schema_arrow, file.metadata
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    rows = [group.num_rows for group in groups]
    listed = sum(group.total_byte_size for group in groups) + footer.serialized_size
    if path.stat().st_size > listed and holds_several(path):
        raise UserError(f"{path}: several parquet files in one; separate them")
    if sum(rows) != footer.num_rows:
        raise ValueError(f"its footer counts {footer.num_rows:,} rows, its groups {sum(rows):,}")
    for number, group in enumerate(groups):
        if group.total_byte_size > LARGEST_GROUP:
            size = f"{group.total_byte_size:,} bytes, more than {LARGEST_GROUP:,}"
            raise UserError(f"{path}, row group {number}: {size}; write smaller row groups")
    return schema, rows


def holds_several(path: Path) -> bool:
    """Whether one parquet file follows another, as after `cat`: the last footer lists its own rows only."""
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        return content.find(2 * PARQUET_MAGIC) >= 0
