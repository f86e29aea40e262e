"""Fuzz inputs: tar files of WebDataset, parquet files, and folders of `datasets.save_to_disk`."""

import io
import json
import tarfile
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
from hypothesis import strategies as st
from PIL import Image

from diffae.data.dataset import Dataset
from diffae.data.readers.arrow import open_parquet, open_saved
from diffae.data.readers.webdataset import open_webdataset

SIZE = 8
LINKS = st.sampled_from([tarfile.LNKTYPE, tarfile.SYMTYPE])
TARGETS = ["a.png", "./b.png", "g.png", "../../c.png", "/etc/passwd", ""]
PAX = st.sampled_from(
    [
        b"14 path=h.png\n",
        b"9 size=9\n",
        b"12 size=-99\n",
        b"22 size=1099511627776\n",
        b"14 linkpath=a\n",
        b"22 GNU.sparse.major=1\n",
        b"99999999999 path=a\n",
        b"0 path=a\n",
    ]
)
LABELS = st.one_of(st.integers(0, 4), st.integers(), st.none())


@cache
def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (SIZE, SIZE), "red").save(file, "png")
    return file.getvalue()


@st.composite
def tar_file(draw) -> bytes:
    names = draw(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True))
    whole = io.BytesIO()
    kind = draw(st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
    with tarfile.open(fileobj=whole, mode="w", format=kind) as archive:
        for name in names:
            for suffix in draw(st.sets(st.sampled_from(["png", "cls", "json", "txt"]))) | {"png"}:
                label = str(draw(LABELS)).encode() if suffix != "png" else picture()
                info = tarfile.TarInfo(f"{name}.{suffix}")
                info.size = len(label)
                archive.addfile(info, io.BytesIO(label))
        for kind, target in draw(st.lists(st.tuples(LINKS, st.sampled_from(TARGETS)), max_size=2)):
            info = tarfile.TarInfo("g.png")
            info.type, info.linkname = kind, target
            archive.addfile(info)
    if draw(st.booleans()):
        return whole.getvalue()
    return b"".join(draw(st.lists(odd_entry(), min_size=1, max_size=20))) + whole.getvalue()


@st.composite
def odd_entry(draw) -> bytes:
    """A header of any type and size, and some of the bytes that it may speak of."""
    info = tarfile.TarInfo(draw(st.sampled_from(["a.png", "d/e.cls"])))
    info.type = draw(st.sampled_from("0123567LKSxgVDX?")).encode()
    content = draw(st.one_of(PAX, st.binary(max_size=20)))
    info.size = draw(st.one_of(st.just(len(content)), st.integers(-(2**63), 2**63)))
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    return bytes(block) + content.ljust(512, b"\0")


@st.composite
def table(draw) -> pa.Table:
    count = draw(st.integers(1, 4))
    value = (
        st.just(picture())
        if draw(st.integers(0, 3))
        else st.one_of(st.none(), st.binary(max_size=9))
    )
    contents = [draw(value) for _ in range(count)]
    images = draw(st.sampled_from([pa.array, pa.array, as_saved, as_saved, in_struct, in_structs]))(
        contents
    )
    labels = st.one_of(st.integers(0, 3), st.integers(-(2**62), 2**62), st.none())
    columns = {"image": images, "label": pa.array([draw(labels) for _ in range(count)], pa.int64())}
    named = {"_type": "ClassLabel", "names": draw(st.sampled_from([3, ["a", "a"], ["b"] * 2000]))}
    features = draw(
        st.sampled_from(["{", "[]", json.dumps({"info": {"features": {"label": named}}})])
    )
    names = draw(st.sampled_from([list(columns)] * 9 + [["image", "image"]]))
    found = pa.Table.from_arrays(list(columns.values()), names=names)
    return found.replace_schema_metadata({"huggingface": features})


def as_saved(contents: list[bytes | None]) -> pa.Array:
    return pa.array([{"bytes": content, "path": "a.png"} for content in contents])


def in_struct(contents: list[bytes | None]) -> pa.Array:
    """As `datasets` has them, but for a path that is no text and a time that no calendar has."""
    beside = {
        "path": pa.array([b"\xff.png"] * len(contents)).view(pa.string()),
        "taken": pa.array([2**63 - 1] * len(contents), pa.timestamp("us")),
    }
    fields = [pa.array(contents, pa.binary()), *beside.values()]
    return pa.StructArray.from_arrays(fields, ["bytes", *beside])


def in_structs(contents: list[bytes | None]) -> pa.Array:
    return pa.StructArray.from_arrays([in_struct(contents)], ["bytes"])


@st.composite
def parquet_file(draw) -> bytes:
    whole = io.BytesIO()
    pa.parquet.write_table(draw(table()), whole, row_group_size=draw(st.integers(1, 3)))
    return whole.getvalue()


@st.composite
def arrow_file(draw) -> bytes:
    whole, content = io.BytesIO(), draw(table())
    options = pa.ipc.IpcWriteOptions(compression=draw(st.sampled_from([None] * 9 + ["zstd"])))
    with pa.ipc.new_stream(whole, content.schema, options=options) as writer:
        writer.write_table(content, max_chunksize=draw(st.integers(1, 3)))
    return whole.getvalue()


@st.composite
def state_file(draw) -> bytes:
    name = draw(st.sampled_from(["data.arrow"] * 9 + ["../data.arrow", "", "no.arrow"]))
    return json.dumps(
        {"_data_files": [{"filename": name}] * draw(st.sampled_from([1, 1, 1, 2]))}
    ).encode()


def check(data: Dataset) -> None:
    assert data.images(range(len(data))).shape == (len(data), SIZE, SIZE, 3) and len(data)
    assert data.attributes is None or data.attributes.shape == (
        len(data),
        len(data.attribute_names),
    )


def read_tar(folder: Path, content: bytes) -> None:
    path = folder / "a.tar"
    path.write_bytes(content)
    check(open_webdataset(path, SIZE, None, 0))


def read_parquet(folder: Path, content: bytes) -> None:
    path = folder / "a.parquet"
    path.write_bytes(content)
    check(open_parquet(path, SIZE, None, 0))


def read_saved(folder: Path, contents: tuple[bytes, bytes]) -> None:
    for name, content in zip(("data.arrow", "state.json"), contents, strict=True):
        (folder / name).unlink(missing_ok=True)  # what is mapped must not be written over
        (folder / name).write_bytes(content)
    check(open_saved(folder, SIZE, None, 0))
