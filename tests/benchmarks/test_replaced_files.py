"""A file that takes another's place is read anew in the same process, whatever its size and times.

The new file has the length of the old one, and its time of modification.
"""

import hashlib
import io
import os
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from data_files import write_idx, write_lmdb, write_zip
from metric_weights import write_onnx
from PIL import Image
from tiny_preset import TINY

from benchmarks import evaluate, measure, weights
from diffae.data import open_dataset
from diffae.model import DiffusionAutoencoder

SIDE, COUNT = 32, 10


def put_over(place: Path, other: Path) -> None:
    """Move the files of a folder over those of another: equal sizes and times of modification."""
    pairs = [(new, place / new.relative_to(other)) for new in other.rglob("*") if new.is_file()]
    changed = False
    for new, old in pairs:
        status = old.stat()
        assert new.stat().st_size == status.st_size, old
        changed |= new.read_bytes() != old.read_bytes()
        os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns))
        new.replace(old)
    assert changed


# ----------------------------------------------------------------------------------------------
# Data


def bmp(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "BMP")
    return buffer.getvalue()


def write_folder(path: Path, images: np.ndarray) -> Path:
    path.mkdir(parents=True)
    for i, one in enumerate(images):
        (path / f"{i}.bmp").write_bytes(bmp(one))
    return path


def write_archive(path: Path, images: np.ndarray) -> Path:
    return write_zip(path / "images.zip", [(f"{i}.bmp", bmp(one)) for i, one in enumerate(images)])


def write_database(path: Path, images: np.ndarray) -> Path:
    values = {f"{SIDE}-{i:05d}": bmp(one) for i, one in enumerate(images)}
    path.mkdir()
    return write_lmdb(path / "images.lmdb", values, len(images))


def write_arrays(path: Path, images: np.ndarray) -> Path:
    grey, labels = images[..., 0], np.arange(len(images)) % 2
    return write_idx(path, train=(grey, labels), t10k=(grey, labels))


@pytest.mark.parametrize("write", [write_folder, write_archive, write_database, write_arrays])
def test_images_are_read_anew(write, tmp_path, monkeypatch):
    """Also files that have not changed for long, whose fingerprint is kept."""
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    now = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: now)
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 256, (2, COUNT, SIDE, SIDE, 3), dtype=np.uint8)
    place = tmp_path / "data"
    path = write(place, one)
    first = open_dataset(path, SIDE)
    images, fingerprint = first.images(range(COUNT)), first.fingerprint
    write(tmp_path / "new", other)
    put_over(place, tmp_path / "new")
    again = open_dataset(path, SIDE)
    expected = np.repeat(other[..., :1], 3, axis=-1) if write is write_arrays else other
    found = again.images(range(COUNT))
    assert again.fingerprint != fingerprint and not np.array_equal(found, images)
    assert sorted(map(bytes, found)) == sorted(map(bytes, expected))


# ----------------------------------------------------------------------------------------------
# Weights of metrics


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(1)
    for name in ("a", "b"):
        write_folder(tmp_path / name, rng.integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8))
    return tmp_path / "a", tmp_path / "b"


@cache
def effnet() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()


def write_effnet(folder: Path, seed: int) -> Path:
    """Weights of equal size for each seed: those that begin the network are other multiples."""
    state = effnet() | {"conv_stem.weight": (1 + seed / 10) * effnet()["conv_stem.weight"]}
    path = folder / weights.KNOWN["efficientnet-lite0"].files[-1].filename
    folder.mkdir()
    torch.save(state, path)
    return path


def write_arcface(folder: Path, seed: int) -> Path:
    folder.mkdir()
    return write_onnx(folder / weights.KNOWN["arcface"].files[-1].filename, seed=seed)


@pytest.mark.parametrize(
    "metrics, write",
    [("fd_effnet,pd_effnet", write_effnet), ("arcface", write_arcface)],
)
def test_weights_of_a_metric_are_read_anew(metrics, write, pictures, tmp_path, capsys):
    def values(folder: Path) -> dict[str, float]:
        words = ["--weights-dir", str(folder), "--allow-unknown-weights"]
        measure.main([metrics, *map(str, pictures), *words])
        lines = map(str.split, capsys.readouterr().out.splitlines())
        return {line[0]: float(line[1]) for line in lines if line[0] in metrics.split(",")}

    path = write(tmp_path / "weights", 1)
    first = values(path.parent)
    write(tmp_path / "new", 2)
    (expected,) = (tmp_path / "new").iterdir()
    sha256 = hashlib.sha256(expected.read_bytes()).hexdigest()
    put_over(path.parent, tmp_path / "new")
    assert weights.sha256(path) == sha256
    write(tmp_path / "fresh", 2)
    second = values(path.parent)
    assert second == values(tmp_path / "fresh")
    assert all(second[name] != first[name] for name in metrics.split(","))


# ----------------------------------------------------------------------------------------------
# Models


def write_model(folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    model = DiffusionAutoencoder(replace(TINY.model, image_size=16))
    for parameter in model.parameters():  # of which the last are zero
        torch.nn.init.normal_(parameter, std=0.1)
    model.save_pretrained(folder)
    return folder


def test_a_checkpoint_is_read_anew(tmp_path, monkeypatch, no_effnet):
    """By `evaluate`, whose store holds the numbers of the old one, and where a classifier is checked."""
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(1)
    data = write_folder(tmp_path / "data", rng.integers(0, 256, (20, 16, 16, 3), dtype=np.uint8))

    def numbers(path: Path) -> list[float | None]:
        sizes = {"reconstruction.images": 4}
        found = evaluate(str(path), "reconstruction", data, "smoke", settings=sizes, cache=True)
        return [row.value for row in found.rows]

    path = write_model(tmp_path / "model", 1)
    first, known = numbers(path), DiffusionAutoencoder.from_pretrained(path).fingerprint
    put_over(path, write_model(tmp_path / "new", 2))
    second = numbers(path)
    assert second != first
    assert second == numbers(write_model(tmp_path / "fresh", 2))
    assert DiffusionAutoencoder.from_pretrained(path).fingerprint != known
