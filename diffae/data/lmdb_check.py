"""Whether an LMDB file may be mapped: the library believes every number in it, and dies by SIGBUS of a wrong one.

Read with plain file reads, before the library maps it: both meta pages, and every page of the tree from the root.
What a page points to must lie within the file, and a node within its page. The values are not looked at.

    page    number u64, pad u16, flags u16, lower u16, upper u16 (of an overflow page: its pages, u32), then u16
            offsets of nodes up to `lower`
    node    size u16 u16, flags u16, key size u16, key, then data; of a branch the first three are a page number
    meta    magic, version u32; address, map size u64; two trees; last page, transaction u64
    tree    page size u32 (in the first), flags u16, depth u16, branch, leaf and overflow pages, entries, root u64
"""

import os
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

from diffae.errors import UserError

MAGIC, VERSION = 0xBEEFC0DE, 1
BRANCH, LEAF, OVERFLOW, META = 0x01, 0x02, 0x04, 0x08  # flags of pages
BIG = 0x01  # flag of a node whose data is on pages of its own
PAGE, NODE, TREE = struct.Struct("<QHHHH"), struct.Struct("<HHHH"), struct.Struct("<IHHQQQQQ")
HEAD, TAIL = struct.Struct("<IIQQ"), struct.Struct("<QQ")
META_SIZE = PAGE.size + HEAD.size + 2 * TREE.size + TAIL.size
EMPTY = 2**64 - 1  # the root of a tree without entries


class Damaged(Exception):
    """A number in the file that cannot be."""


class Meta(NamedTuple):
    version: int
    page_size: int
    root: int
    last_page: int
    transaction: int


def refuse_damaged(path: Path) -> None:
    """UserError if mapping the LMDB file at `path` could end the process; it is a regular file."""
    with path.open("rb") as file:
        try:
            meta = read_meta(file)
            size = os.fstat(file.fileno()).st_size
            needed = (meta.last_page + 1) * meta.page_size
            if size < needed:
                raise UserError(
                    f"{path}: {size} bytes of {needed}; the download is incomplete, repeat it"
                )
            if meta.version == VERSION and meta.root != EMPTY:
                check_tree(file, meta)
        except Damaged as error:
            raise UserError(
                f"{path}: cannot open this LMDB file ({error}); download it again"
            ) from None


def read_meta(file: BinaryIO) -> Meta:
    """The newer of both meta pages."""
    first = parse_meta(file.read(META_SIZE))
    file.seek(first.page_size)
    return max(first, parse_meta(file.read(META_SIZE)), key=lambda meta: meta.transaction)


def parse_meta(page: bytes) -> Meta:
    if len(page) < META_SIZE:
        raise Damaged("it ends within its header")
    magic, version, _, _ = HEAD.unpack_from(page, PAGE.size)
    if magic != MAGIC or not PAGE.unpack_from(page)[2] & META:
        raise Damaged("not an LMDB file")
    trees = PAGE.size + HEAD.size
    page_size = TREE.unpack_from(page, trees)[0]
    if page_size not in (2**power for power in range(8, 17)):
        raise Damaged(f"pages of {page_size} bytes")
    root = TREE.unpack_from(page, trees + TREE.size)[-1]
    return Meta(version, page_size, root, *TAIL.unpack_from(page, trees + 2 * TREE.size))


def check_tree(file: BinaryIO, meta: Meta) -> None:
    """Every page that can be come to from the root."""
    todo, seen = [meta.root], set()
    while todo:
        number = todo.pop()
        if number in seen:
            raise Damaged(f"page {number} is pointed to twice")
        seen.add(number)
        page = read_page(file, meta, number, meta.page_size)
        flags = PAGE.unpack_from(page)[2]
        if not flags & (BRANCH | LEAF):
            raise Damaged(f"page {number} is none of the tree")
        for offset in node_offsets(page, number):
            low, high, node_flags, key_size = NODE.unpack_from(page, offset)
            end = offset + NODE.size + key_size
            if flags & BRANCH:
                todo.append(low | high << 16 | node_flags << 32)
            elif node_flags & BIG:
                require(end + 8 <= len(page), number)
                check_overflow(
                    file, meta, int.from_bytes(page[end : end + 8], "little"), low | high << 16
                )
            else:
                end += low | high << 16
            require(end <= len(page), number)


def read_page(file: BinaryIO, meta: Meta, number: int, size: int) -> bytes:
    """The first `size` bytes of a page, which says itself which it is."""
    if number > meta.last_page:
        raise Damaged(f"page {number} is pointed to, beyond its end")
    file.seek(number * meta.page_size)
    page = file.read(size)
    if len(page) < size or PAGE.unpack_from(page)[0] != number:
        raise Damaged(f"page {number} is not where it belongs")
    return page


def node_offsets(page: bytes, number: int) -> tuple[int, ...]:
    lower = PAGE.unpack_from(page)[3]
    require(PAGE.size < lower <= len(page) and lower % 2 == 0, number)
    offsets = struct.unpack_from(f"<{(lower - PAGE.size) // 2}H", page, PAGE.size)
    require(lower <= min(offsets) and max(offsets) + NODE.size <= len(page), number)
    return offsets


def check_overflow(file: BinaryIO, meta: Meta, number: int, size: int) -> None:
    """The pages of a value of `size` bytes, which follow each other."""
    head = read_page(file, meta, number, PAGE.size)
    pages = int.from_bytes(head[12:16], "little")
    require(bool(PAGE.unpack_from(head)[2] & OVERFLOW), number)
    require(number + pages - 1 <= meta.last_page, number)
    require(PAGE.size + size <= pages * meta.page_size, number)


def require(holds: bool, number: int) -> None:
    if not holds:
        raise Damaged(f"page {number} holds what does not fit it")
