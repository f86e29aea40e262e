"""Damage to files: parts cut out, doubled or overwritten, and values of a format that are strange."""

import io
import json
import re
import struct
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

Files = dict[str, bytes]  # of a folder, by name

NUMBERS = ["0", "-1", "1", "2", "0.5", "1e308", "-1e999", "nan", "inf", "9" * 5000, str(2**63)]
WORDS = st.one_of(
    st.sampled_from([*NUMBERS, "", "true", "null", "[]", "*a", "../c.jpg", "a.jpg", "\0", '"']),
    st.integers().map(str),
    st.text(max_size=6),
)
ENDS = st.sampled_from(["\n", "\n", "\n", "\r\n", "\r", "\u2028", ""])
ENCODINGS = st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-8-sig", "latin-1", "utf-16"])
NESTED = st.integers(1, 10_000).map(lambda depth: b"[" * depth)
JSON = st.recursive(
    st.one_of(
        st.sampled_from([None, -1, 0, 1, 64, 64.0, True, 10**6, 2**40, 2**64, "mine", "system"]),
        st.integers(),
        st.floats(),
        st.text(max_size=4),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def damaged(draw, seeds: list[Files]) -> Files:
    """The files of a seed, of which up to two are damaged."""
    files = dict(draw(st.sampled_from(seeds)))
    for name in draw(st.sets(st.sampled_from(sorted(files)), max_size=2)):
        content = files[name]
        if content and (kind := Path(name).suffix) in FORMATS:
            content = draw(FORMATS[kind](content))
        other = st.one_of(cut(content), st.binary(max_size=64), NESTED)
        files[name] = draw(st.one_of(st.just(content), st.just(content), other))
    return files


@st.composite
def cut(draw, content: bytes) -> bytes:
    """A file with up to four parts cut out, doubled, or written over, and perhaps without its end."""
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(content)))
        end = start + draw(st.integers(0, 8))
        double = 2 * content[start:end]
        patch = draw(st.one_of(st.just(b""), st.binary(max_size=8), st.just(double)))
        content = content[:start] + patch + content[end:]
    return content[: draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))]


# ----------------------------------------------------------------------------------------------
# By format


@st.composite
def text(draw, content: bytes) -> bytes:
    """Other words, lines lost or doubled, and another encoding."""
    lines = content.decode().splitlines()
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(lines) - 1))
        parts = re.split(r"([\s,:=\[\]{}]+)", lines[at])
        parts[2 * draw(st.integers(0, len(parts) // 2))] = draw(WORDS)
        changed = "".join(parts)
        lines[at] = draw(st.sampled_from([changed, changed, changed, "", f"{changed}\n{changed}"]))
    return draw(ENDS).join(lines).encode(draw(ENCODINGS), errors="replace")


def places(value: object) -> Iterator[tuple[dict | list, str | int]]:
    """Each place of a document that holds a value: what holds it, and the key."""
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from places(value[key])


@st.composite
def document(draw, content: bytes) -> bytes:
    """JSON of which up to two values are others, gone or renamed."""
    root = {"": json.loads(content)}
    for _ in range(draw(st.integers(0, 2))):
        choices = list(places(root))
        holder, key = choices[draw(st.integers(0, len(choices) - 1))]
        change = draw(st.sampled_from(["value", "value", "gone", "renamed"]))
        if change == "value" or holder is root or isinstance(holder, list):
            holder[key] = draw(JSON)
        elif change == "gone":
            del holder[key]
        else:
            holder[draw(st.text(max_size=9))] = holder.pop(key)
    return json.dumps(root[""]).encode()


KINDS = st.sampled_from(["<f8", "<f4", "<f2", "<i8", "<u1", "<c16", "|b1", "<U3", "|O", "<M8[s]"])


@st.composite
def array(draw, values: np.ndarray) -> bytes:
    """An npy file of other values, of another shape or type, or with a header that lies."""
    change = draw(st.sampled_from(["number", "number", "shape", "type", "header"]))
    if change == "number" and values.size and values.dtype.kind in "fiu":
        values = values.astype(float)
        values.flat[draw(st.integers(0, values.size - 1))] = draw(st.floats())
    elif change == "shape":
        values = draw(st.sampled_from([values[None], values.T, values.ravel()[1:]]))
    elif change == "type":
        values = np.zeros(values.shape, draw(KINDS))
    file = io.BytesIO()
    np.save(file, values)
    if change != "header":
        return file.getvalue()
    claimed = draw(st.one_of(st.just(values.shape), st.lists(st.integers(-1, 2**62)).map(tuple)))
    header = repr({"descr": draw(KINDS), "fortran_order": draw(st.booleans()), "shape": claimed})
    header = draw(st.one_of(st.just(header), st.text(max_size=40), st.just("(" * 9000)))
    version, form = draw(st.sampled_from([(b"\1\0", "<H"), (b"\2\0", "<I"), (b"\x09\x09", "<I")]))
    size = struct.pack(form, len(header.encode()) + 1)
    return b"\x93NUMPY" + version + size + header.encode() + b"\n" + values.tobytes()


@st.composite
def archive(draw, content: bytes) -> bytes:
    """An npz of which up to two arrays are damaged or gone, in any of zip's compressions."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        members = {name: file.read(name) for name in file.namelist()}
    for name in draw(st.sets(st.sampled_from(sorted(members)), max_size=2)):
        values = np.load(io.BytesIO(members.pop(name)))
        if draw(st.integers(0, 5)):
            members[name] = draw(array(values))
    method = draw(st.sampled_from([8, 8, 0, 12, 14]))
    with zipfile.ZipFile(whole := io.BytesIO(), "w", method) as file:
        for name, member in members.items():
            file.writestr(zipfile.ZipInfo(name), member, method)
    return whole.getvalue()


@st.composite
def tensors(draw, content: bytes) -> bytes:
    """A file of safetensors with lies in its header, a number of another value, or a wrong length."""
    (size,) = struct.unpack("<Q", content[:8])
    header, data = draw(document(content[8 : 8 + size])), bytearray(content[8 + size :])
    if data and draw(st.booleans()):
        at = 4 * draw(st.integers(0, len(data) // 4 - 1))
        data[at : at + 4] = struct.pack("<f", draw(st.floats(width=32)))
    length = draw(st.sampled_from([len(header)] * 9 + [0, 8, 2**31, 2**63]))
    return struct.pack("<Q", length) + header + data


PAX = st.sampled_from(
    b"14 path=h.png\n|9 size=9\n|12 size=-99\n|22 size=1099511627776\n|14 linkpath=a\n"
    b"|22 GNU.sparse.major=1\n|99999999999 path=a\n|0 path=a\n".split(b"|")
)


@st.composite
def tar_entry(draw) -> bytes:
    """A header of any type and size, and some of the bytes that it may speak of."""
    info = tarfile.TarInfo(draw(st.sampled_from(["a.png", "d/e.cls"])))
    info.type = draw(st.sampled_from("0123567LKSxgVDX?")).encode()
    info.linkname = draw(st.sampled_from(["", "a.png", "g.png", "../../c.png", "/etc/passwd"]))
    content = draw(st.one_of(PAX, st.binary(max_size=20)))
    info.size = draw(st.one_of(st.just(len(content)), st.integers(-(2**63), 2**63)))
    return info.tobuf(tarfile.GNU_FORMAT) + content.ljust(512, b"\0")


def tar(content: bytes) -> st.SearchStrategy[bytes]:
    return st.lists(tar_entry(), max_size=5).map(lambda entries: b"".join(entries) + content)


FORMATS = {
    **dict.fromkeys((".csv", ".txt", ".yaml"), text),
    ".json": document,
    ".npz": archive,
    ".safetensors": tensors,
    ".tar": tar,
}
