"""What a packed file unpacks to is held against the free memory, before it is unpacked."""

import gzip
import io
import json
import os
import re
import struct
import subprocess
import sys
import zipfile
import zlib
from functools import cache
from math import prod
from pathlib import Path

import factor_files
import numpy as np
import pytest
from PIL import Image

from diffae.system import free_memory as memory
from diffae.system.errors import UserError

h5py = pytest.importorskip("h5py")
lmdb = pytest.importorskip("lmdb")
pq = pytest.importorskip("pyarrow.parquet")
ZEROS = bytes(1 << 20)
MANY = 200  # times ZEROS
HELPER = Path(__file__).parents[1] / "helpers" / "little_memory.py"


@cache
def packed(start: bytes = b"") -> bytes:
    """`start` and zeros as zlib packs them."""
    packer = zlib.compressobj(1)
    return b"".join([packer.compress(start), *(packer.compress(ZEROS) for _ in range(MANY)), packer.flush()])  # fmt: skip


def npz(path, start, method=zipfile.ZIP_DEFLATED, name="codes.npy", count=MANY):
    with zipfile.ZipFile(path, "a", method, compresslevel=1) as archive, archive.open(name, "w") as file:  # fmt: skip
        file.write(start)
        for _ in range(count):
            file.write(ZEROS)


def header(kind, *shape):
    np.lib.format.write_array_header_1_0(
        file := io.BytesIO(), {"descr": kind, "fortran_order": False, "shape": shape}
    )
    return file.getvalue()


def says(path, name, size):
    """The directory of a zip file says that an entry unpacks to `size` bytes."""
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.rindex(name) - 46 + 24, size)
    path.write_bytes(content)


def archives(root):
    npz(root / "codes.npz", header("<f4", MANY << 10, 256))
    (root / "system.npz").symlink_to("codes.npz")
    npz(root / "header.npz", b"\x93NUMPY\2\0" + struct.pack("<I", (MANY << 20) - 1), count=0)
    npz(root / "images.npz", header("|u1", 1200, 256, 256, 3), name="arr_0.npy", count=225)
    npz(root / "a.zip", b"", zipfile.ZIP_BZIP2, "a.png", count=110)
    says(root / "a.zip", b"a.png", 1000)
    count = 15 << 16
    for name, kind, sides in (("latents_classes", "<i8", (6,)), ("imgs", "|u1", (64, 64))):
        start = header(kind, count, *sides)
        npz(root / "sprites.npz", start, name=f"{name}.npy", count=0)
        size = count * prod(sides) * np.dtype(kind).itemsize
        says(root / "sprites.npz", f"{name}.npy".encode(), len(start) + size)


def hdf5(root):
    for name, length in (("chunk.h5", 40_000), ("lying.h5", 1)):
        with h5py.File(root / name, "w") as file:
            chunk = {"chunks": (length, 64, 64, 3), "maxshape": (None, 64, 64, 3)}
            images = file.create_dataset(
                "images", (2, 64, 64, 3), "u1", compression="gzip", **chunk
            )
            images.id.write_direct_chunk((0, 0, 0, 0), packed())
            file["labels"] = np.eye(2, 6)
    with h5py.File(root / "labels.h5", "w") as file:
        for name, sides, kind in (("images", (64, 64, 3), "u1"), ("labels", (6,), "f8")):
            file.create_dataset(name, (1 << 24, *sides), kind, chunks=(8, *sides))


def cars(folder):
    """`im` announces its shape, and far more bytes."""
    factor_files.cars3d(folder)
    part = lambda kind, content: struct.pack("<II", kind, len(content)) + content  # noqa: E731
    size = MANY << 20
    parts = part(6, struct.pack("<II", 9, 0)) + part(5, struct.pack("<6i", 128, 128, 3, 24, 4, 0)[:20]) + bytes(4)  # fmt: skip
    parts += part(1, b"im" + bytes(6))[:4] + struct.pack("<I", 2) + b"im" + bytes(6)
    parts += struct.pack("<II", 2, size)
    body = packed(struct.pack("<II", 14, len(parts) + size) + parts)
    for path in folder.glob("*.mat"):
        path.write_bytes(path.read_bytes()[:128] + part(15, body))


def tables(root):
    import pyarrow as pa

    large = pa.table({"image": [bytes(15_000_000), bytes(15_000_001)]})
    pq.write_table(large, root / "group.parquet", compression="zstd", use_dictionary=False)
    labels = np.random.default_rng(0).integers(0, 1000, 150_000)
    none = pa.nulls(len(labels), pa.binary())
    pq.write_table(pa.table({"image": none, "label": labels}), root / "classes.parquet")


def keys(path, **values):
    file = lmdb.open(str(path), map_size=1 << 28, sync=False)
    with file, file.begin(write=True) as transaction:
        for key, value in values.items():
            transaction.put(key.replace("_", "-").encode(), value)


@pytest.fixture(scope="module")
def became(tmp_path_factory):
    root = tmp_path_factory.mktemp("packed")
    archives(root), hdf5(root), cars(root / "cars"), tables(root)
    (root / "idx").mkdir()
    for part in ("train", "t10k"):
        images = struct.pack(">4B3I", 0, 0, 8, 3, MANY, 1024, 1024)
        with gzip.open(root / "idx" / f"{part}-images-idx3-ubyte.gz", "wb", 1) as file:
            file.write(images)
            for _ in range(MANY if part == "train" else 0):
                file.write(ZEROS)
        labels = struct.pack(">4BI", 0, 0, 8, 1, MANY) + bytes(MANY)
        (root / "idx" / f"{part}-labels-idx1-ubyte").write_bytes(labels)
    long = dict.fromkeys(("256_0000000000", "256_1999999999", "length"), b"2000000000")
    keys(root / "long.lmdb", **long)
    keys(root / "large.lmdb", length=b"1", **{"256_00000": bytes(180 << 20)})
    (root / "one").mkdir()
    Image.new("1", (8000, 8000)).save(root / "one" / "a.png")
    environment = os.environ | {"MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}
    environment |= {"DIFFAE_CACHE": str(root / "cache"), "PYTHONPATH": str(HELPER.parents[2])}
    child = subprocess.run([sys.executable, HELPER, root], capture_output=True, text=True, env=environment)  # fmt: skip
    assert not child.returncode, child.stderr
    return json.loads(child.stdout)


TAKES = r"takes .* of memory, more than half of the .* that are free"
OUTCOMES = {
    "codes.npz": f"codes {TAKES}",
    "system.npz": f"codes {TAKES}",
    "header.npz": r"version \(2, 0\)",
    "sprites.npz": f"latents_classes {TAKES}",
    "chunk.h5": TAKES,
    "lying.h5": TAKES,
    "labels.h5": TAKES,
    "cars": "a variable of .* bytes or more",
    "idx": TAKES,
    "long.lmdb": f"a split of 2,000,000,000 images {TAKES}",
    "large.lmdb": f"key 256-00000 {TAKES}",
    "a.zip": "CRC",
    "group.parquet": f"4 of its row groups {TAKES}",
    "classes.parquet": TAKES,
    "one": f"a.png {TAKES}",
    "batch": f"--batch-size {TAKES}",
}


def test_a_file_that_unpacks_to_more_than_the_free_memory_is_refused(became):
    odd = {
        name: became[name]
        for name, text in OUTCOMES.items()
        if not re.match("refused: .*" + text.replace(" takes", ": takes"), became[name])
    }
    assert not odd


def test_images_stream_through_less_memory_than_they_take(became):
    assert became["free"] == "True"
    assert became["images.npz"] == "1200" and became["ahead"] == "10"


# ----------------------------------------------------------------------------------------------
# How much is free


STAT = "cache 1\ninactive_file 70\nactive_file 1\n"


@pytest.mark.parametrize(
    ("line", "files", "free"),
    [
        ("0::/a/b", {"a/b/memory.max": "max", "a/memory.max": "900", "a/memory.current": "500"}, 470),
        ("0::/not/here", {"memory.max": "900", "memory.current": "500"}, 470),
        ("4:memory:/a", {"memory/a/memory.limit_in_bytes": "900", "memory/a/memory.usage_in_bytes": "500"}, 470),
        ("4:cpu:/a", {"cpu/a/memory.max": "max"}, 5 << 10),
        ("0::/a", {"a/memory.max": "900", "a/memory.current": "990"}, 0),
    ],
)  # fmt: skip
def test_the_least_of_all_limits_is_free(line, files, free, tmp_path, monkeypatch):
    for name, text in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
        (path.parent / "memory.stat").write_text(STAT)
    (tmp_path / "self").mkdir()
    (tmp_path / "self/cgroup").write_text(f"9:name=systemd:/\n{line}\n")
    (tmp_path / "self/statm").write_text("3 2 1\n")
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    5 kB\n")
    monkeypatch.setattr(memory, "PROC", tmp_path)
    monkeypatch.setattr(memory, "CONTROL_GROUPS", tmp_path / "groups")
    assert memory.free_memory() == free


def test_half_of_the_free_memory_may_be_taken():
    free = memory.free_memory()
    memory.fits(free // 4, "a.npz")
    with pytest.raises(
        UserError, match=r"^a\.npz: takes .* more than half of the .* or more memory"
    ):
        memory.fits(free, "a.npz")
