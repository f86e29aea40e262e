"""Read Arrow streams and parquet files with pyarrow, if they are whole and need bounded memory.

A file may unpack to any multiple of its size, and pyarrow allocates that before it can be checked.
So streams must not be compressed, row groups must declare their size, and a repeated value is held
once.
"""

from __future__ import annotations

import mmap
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from diffae.data.readers.shards import only_zeros
from diffae.system.errors import UserError, needed
from diffae.system.files import file_size

if TYPE_CHECKING:
    import pyarrow

LARGEST_GROUP = 1 << 30  # bytes of a column in a row group, and of all groups that stay in memory
START = re.compile(rb"PAR1\x15[\0\4\6]\x15")  # of a parquet file: its mark, and that of a page
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
        if isinstance(error, UnicodeDecodeError):
            text = "the name of a column is not UTF-8"
        raise UserError(
            f"{path}: cannot read this file ({text}); is the download complete?"
        ) from error


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
    """Raise UserError if a stream is compressed, has no end mark, or goes on after it.

    A compressed one may need any amount of memory.
    """
    end = 0
    for message in pa.ipc.MessageReader.open_stream(file):
        if is_compressed(message):
            raise UserError(f"{path}: compressed; save it again without, as save_to_disk does")
        end = file.tell()
    file.seek(end)
    mark = file.read(len(STREAM_END))
    if mark != STREAM_END and mark[:4] != bytes(4):  # the second is that of files before Arrow 0.15
        raise UserError(f"{path}: has no mark of its end, so it was cut short; copy it again")
    file.seek(end + (len(mark) if mark == STREAM_END else 4))
    if not only_zeros(file):
        raise UserError(
            f"{path}: goes on after the mark of its end: damaged, or several files in one; save it again"
        )


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
        found = [
            kind.field(i).type for i in range(kind.num_fields) if kind.field(i).name == "bytes"
        ]
        return len(found) == 1 and is_bytes(found[0])
    return is_bytes(kind)


def is_bytes(kind: pyarrow.DataType) -> bool:
    return str(kind) in ("binary", "large_binary")


def leaf_of(field: pyarrow.Field) -> str:
    """The path to the bytes of a column of images; other fields of a struct are not read."""
    return field.name if is_bytes(field.type) else f"{field.name}.bytes"


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
            metadata, leaf = file.metadata, leaf_of(file.schema_arrow.field(column))
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
            with pa.parquet.ParquetFile(path) as file:
                schema = file.schema_arrow
            groups = groups_of(path)
            refuse_large(path, schema, groups)
            rows = [group.rows for group in groups]
        list(map(holds_bytes, schema.types))  # an error here, if a name is not UTF-8
        twins = [name for name, count in Counter(schema.names).items() if count > 1]
    if twins:
        raise UserError(f"{path}: several columns are called {twins[0]}; rename them")
    if sum(rows) > size or min(rows, default=0) < 0:
        raise UserError(f"{path}: {sum(rows):,} rows in {size:,} bytes, which hold no images")
    return schema, rows


# ----------------------------------------------------------------------------------------------
# The footer of a parquet file. pyarrow ends the process where columns of a damaged one are asked for.


class Group(NamedTuple):
    """A row group: its rows, the unpacked bytes of each column by its path, and where it ends."""

    rows: int
    sizes: dict[str, int]
    end: int


class Thrift:
    """Values of Thrift's compact protocol, a struct as a dict by the numbers of its fields."""

    def __init__(self, content: bytes):
        self.content, self.place = content, 0

    def take(self, count: int) -> bytes:
        self.place += count
        return self.content[self.place - count : self.place]

    def number(self) -> int:
        value, shift = 0, 0
        while (byte := self.take(1)[0]) > 127 and shift < 64:
            value, shift = value | (byte & 127) << shift, shift + 7
        return value | byte << shift

    def signed(self) -> int:
        value = self.number()
        return value >> 1 ^ -(value & 1)

    def value(self, kind: int, inside: bool = False) -> Any:
        """A value of a type by its number; `inside` a list a boolean has a byte of its own."""
        if kind in (1, 2):
            return self.take(1) == b"\1" if inside else kind == 1
        if kind in (4, 5, 6):
            return self.signed()
        if kind in (3, 7):
            return self.take(1 if kind == 3 else 8)
        if kind == 8:
            return self.take(self.number())
        if kind in (9, 10):
            head = self.take(1)[0]
            count = head >> 4 if head >> 4 < 15 else self.number()
            return [self.value(head & 15, inside=True) for _ in range(count)]
        if kind != 12:  # a map, which no footer has
            raise ValueError("its footer is damaged")
        fields: dict[int, Any] = {}
        number = 0
        while head := self.take(1)[0]:
            number = number + (head >> 4) if head >> 4 else self.signed()
            fields[number] = self.value(head & 15)
        return fields


def groups_of(path: Path) -> list[Group]:
    """The row groups of a parquet file, by the numbers of parquet.thrift.

    Raises UserError if there are more rows than those of its row groups. The footer counts them
    too. Of several files that were put together the last footer is read, and its places, counted
    from the beginning, lie in the first: what is between them and it is as long as all files but
    the last, with the indexes of pages that a single file may have there.
    """
    with path.open("rb") as file:
        file.seek(-8, os.SEEK_END)
        start = file.seek(-8 - int.from_bytes(file.read(4), "little"), os.SEEK_END)
        footer = file.read()
        try:
            found = Thrift(footer).value(12)
            groups = [group_of(group) for group in found[4]]
        except (IndexError, TypeError, KeyError, RecursionError):
            raise ValueError("its footer is damaged") from None
        if (rows := sum(group.rows for group in groups)) != found[3]:
            raise ValueError(
                f"its footer counts {found[3]:,} rows, and its row groups have {rows:,}"
            )
        between = start - max((group.end for group in groups), default=start)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            several = START.search(content, 1, max(0, between) + 7)
        if several:
            raise UserError(f"{path}: several parquet files in one; download it again")
    return groups


def group_of(group: dict[int, Any]) -> Group:
    columns = [column[3] for column in group[1]]
    sizes = {b".".join(column[3]).decode(): column[6] for column in columns}
    end = max(column.get(11, column[9]) + column[7] for column in columns)
    return Group(group[3], sizes, end)


def refuse_large(path: Path, schema: pyarrow.Schema, groups: list[Group]) -> None:
    """Raise UserError if the images of a row group, by its declared size, cannot be read at once."""
    leaves = {leaf_of(field) for field in schema if holds_bytes(field.type)}
    for number, group in enumerate(groups):
        size = max((size for leaf, size in group.sizes.items() if leaf in leaves), default=0)
        if size > LARGEST_GROUP:
            raise UserError(
                f"{path}, row group {number}: {size:,} bytes of images, and at most {LARGEST_GROUP:,} "
                "are read at once; write it with smaller row groups"
            )
