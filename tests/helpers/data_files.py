"""Data sets in the formats that are read, written by the libraries of these formats."""

import io
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import lmdb
import numpy as np
import pytest
from PIL import Image

from diffae.data import open_dataset
from diffae.data.__main__ import main
from diffae.system.errors import UserError

NO_FILES = ("a link to nothing", "a pipe", "a folder")


def refuses(path: Path, message: str, image_size: int = 48) -> None:
    """Check that a data set is refused with one line; `message` is a regular expression."""
    with pytest.raises(UserError, match=message) as error:
        open_dataset(path, image_size)
    assert "\n" not in str(error.value)


def printed(capsys: pytest.CaptureFixture[str], path: Path) -> dict[str, str]:
    """Label to text of `check`, continuation lines joined."""
    main(["check", str(path), "--size", "8"])
    rows, label = dict[str, str](), ""
    for line in capsys.readouterr().out.splitlines():
        label = line[:13].strip() or label
        rows[label] = f"{rows.get(label, '')} {line[13:]}".strip()
    return rows


def put_in_place_of(path: Path, kind: str) -> None:
    """Replace a file by one of NO_FILES."""
    path.unlink()
    if kind == "a link to nothing":
        path.symlink_to(path.with_name("nothing"))
    elif kind == "a pipe":
        os.mkfifo(path)
    else:
        path.mkdir()


def write_rows(path: Path, rows: Iterable[object], newline: str = "\n") -> Path:
    path.write_text("".join(f"{row}\n" for row in rows), newline=newline)
    return path


def edit_rows(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    """Pass the lines of a text file through `change`."""
    write_rows(path, change(path.read_text().splitlines()))


def replaced(number: int, row: str) -> Callable[[list[str]], list[str]]:
    """The change of one line, counted from 1."""
    return lambda rows: [*rows[: number - 1], row, *rows[number:]]


def encode(image: Image.Image, kind: str = "png", **options: object) -> bytes:
    """The file of an image."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def write_files(folder: Path, files: Iterable[tuple[str, bytes]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files:
        (folder / name).write_bytes(content)
    return folder


def write_zip(
    path: Path, entries: Iterable[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def write_tar(
    path: Path,
    entries: Iterable[tuple[str, bytes]],
    kind: int = tarfile.USTAR_FORMAT,
    mode: str = "w",
    links: Iterable[tuple[str, bytes, str]] = (),
) -> Path:
    """Files, and after them links by name, type and what they lead to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode, format=kind) as archive:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, link, target in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = link, target
            archive.addfile(info)
    return path


def write_lmdb(path: Path, values: Mapping[str, bytes], length: object = None) -> Path:
    """As the authors' scripts do: one transaction an image, the length in one of its own, at the end."""
    with lmdb.open(str(path), map_size=2**27, readahead=False, sync=False) as env:
        for key, value in values.items():
            with env.begin(write=True) as transaction:
                transaction.put(key.encode(), value)
        if length is not None:
            with env.begin(write=True) as transaction:
                transaction.put(b"length", str(length).encode())
    return path


def idx_bytes(array: np.ndarray) -> bytes:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_idx(folder: Path, **parts: tuple[np.ndarray, np.ndarray]) -> Path:
    """Images N x S x S and their labels as torchvision unpacks them: `train` and `t10k`."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, (images, labels) in parts.items():
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx_bytes(images))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    return folder
