"""The fingerprint of a data set: read once, kept, and read again when a file changes."""

import hashlib
import io
import math
import os
import re
import shutil
import struct
from dataclasses import asdict
from pathlib import Path

import data_files
import numpy as np
import pytest
from data_files import write_rows
from PIL import Image

from benchmarks.commands.options import parse
from benchmarks.core.images import Selection
from benchmarks.core.job import Job
from benchmarks.core.runner import setup
from benchmarks.core.store import Store
from diffae.data import fingerprint as survey
from diffae.data import open_dataset
from diffae.data.fingerprint import Survey, forget, note_of_files

COUNT = 300


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """A cache of its own, which believes files that were written a moment ago."""
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(survey, "SETTLED", -math.inf)
    return tmp_path / "cache" / "fingerprints"


def picture(value: int) -> bytes:
    """A BMP: all of one size in bytes, whatever the pixel's value."""
    return data_files.encode(Image.new("RGB", (8, 8), (value % 256, value // 256, 0)), "bmp")


PICTURES = [picture(value) for value in range(COUNT)]
NAMES = [f"{index:06d}.bmp" for index in range(1, COUNT + 1)]


def write_folder(root: Path, pictures: list[bytes]) -> Path:
    return data_files.write_files(root, zip(NAMES, pictures, strict=True))


def write_labels(path: Path, names: list[str], images: Path, pictures: list[bytes]) -> Path:
    write_folder(images, pictures)
    rows = [f"{name} {1 if row % 2 else -1}" for row, name in enumerate(names)]
    return write_rows(path, [len(names), "Male", *rows]).parent


def write_celeba(root: Path, pictures: list[bytes]) -> Path:
    root.mkdir(exist_ok=True)
    return write_labels(root / "list_attr_celeba.txt", NAMES, root / "img_align_celeba", pictures)


def write_celebahq(root: Path, pictures: list[bytes]) -> Path:
    root.mkdir(exist_ok=True)
    annotation = root / "CelebAMask-HQ-attribute-anno.txt"
    return write_labels(annotation, NAMES, root / "CelebA-HQ-img", pictures)


def write_zip(root: Path, pictures: list[bytes]) -> Path:
    return data_files.write_zip(root.with_suffix(".zip"), zip(NAMES, pictures, strict=True))


def write_lmdb(root: Path, pictures: list[bytes]) -> Path:
    values = {f"8-{index:05d}": content for index, content in enumerate(pictures)}
    return data_files.write_lmdb(root, values, COUNT)


def write_idx(root: Path, pictures: list[bytes]) -> Path:
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(p)))[..., 0] for p in pictures])
    part = pixels, np.zeros(COUNT)
    return data_files.write_idx(root, train=part, t10k=part)


WRITERS = [write_folder, write_celeba, write_celebahq, write_zip, write_lmdb, write_idx]


@pytest.mark.parametrize("write", WRITERS)
def test_one_image_of_the_same_name_and_size_changes_the_fingerprint(tmp_path, write):
    """256 spread over the list were read: of 300 images 44 could be anything."""
    found = set()
    for changed in (None, 0, 1, 149, COUNT - 1):
        other = [picture(511) if i == changed else content for i, content in enumerate(PICTURES)]
        found.add(open_dataset(write(tmp_path / str(changed), other), 8).fingerprint)
    assert len(found) == 5


@pytest.mark.parametrize("write", WRITERS)
def test_a_copy_elsewhere_has_the_same_fingerprint(tmp_path, write):
    original = write(tmp_path / "a", PICTURES)
    copy = shutil.copytree if original.is_dir() else shutil.copy
    moved = copy(original, tmp_path / f"moved{original.suffix}")
    for path in [moved, *moved.rglob("*")]:
        os.utime(path, (1, 1))
    assert open_dataset(moved, 8).fingerprint == open_dataset(original, 8).fingerprint


def test_the_fingerprint_is_what_hashlib_says(tmp_path):
    """By hand: for each image its name's length in 8 bytes, its name, and the SHA-256 of its bytes."""
    expected = hashlib.sha256()
    for name, content in zip(NAMES, PICTURES, strict=True):
        expected.update(struct.pack("<Q", len(name)) + name.encode())
        expected.update(hashlib.sha256(content).digest())
    folder = write_folder(tmp_path / "a", PICTURES)
    assert open_dataset(folder, 8).fingerprint == expected.hexdigest()


# ----------------------------------------------------------------------------------------------
# What is kept


def looks(monkeypatch, dataset) -> list[str]:
    """The kinds of source that are read in full from now on."""
    seen: list[str] = []
    kind = type(dataset.source)
    look = kind.look
    monkeypatch.setattr(kind, "look", lambda source: seen.append(kind.__name__) or look(source))
    return seen


FILES = [write for write in WRITERS if write is not write_idx]


@pytest.mark.parametrize("write", FILES)
def test_a_second_look_reads_nothing(tmp_path, monkeypatch, write):
    path = write(tmp_path / "a", PICTURES)
    first = open_dataset(path, 8)
    seen = looks(monkeypatch, first)
    fingerprints = [open_dataset(path, size).fingerprint for size in (8, 8, 16)]
    assert len(seen) == 1 and len(set(fingerprints)) == 1


@pytest.mark.parametrize(
    "change", ["content", "touched", "another inode", "a new name", "one more"]
)
def test_a_change_of_any_file_is_seen(tmp_path, monkeypatch, change):
    folder = write_folder(tmp_path / "a", PICTURES)
    before = open_dataset(folder, 8).fingerprint
    path = folder / NAMES[-1]
    state = path.stat()
    if change == "content":
        path.write_bytes(picture(511))
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    elif change == "touched":
        os.utime(path, (1, 1))
    elif change == "another inode":
        shutil.copy2(path, folder / "copy")
        (folder / "copy").replace(path)
    elif change == "a new name":
        path.rename(folder / "z.bmp")
    else:
        (folder / "z.bmp").write_bytes(picture(511))
    seen = looks(monkeypatch, open_dataset(folder, 8))
    same = open_dataset(folder, 8).fingerprint == before
    assert len(seen) == 1 and same == (change in ("touched", "another inode"))


def write_labelled(root: Path, pictures: list[bytes], write=write_celeba) -> Path:
    """CelebA's labels of every kind beside its images, which lie in a folder or in an LMDB."""
    path = write(root, pictures)
    for file in ("list_eval_partition.txt", "identity_CelebA.txt"):
        write_rows(root / file, [f"{name} {row % 2}" for row, name in enumerate(NAMES)])
    return path


def write_labelled_lmdb(root: Path, pictures: list[bytes]) -> Path:
    write_labelled(root, pictures)
    shutil.rmtree(root / "img_align_celeba")
    return write_lmdb(root / "celeba.lmdb", pictures)


@pytest.mark.parametrize("write", [write_labelled, write_labelled_lmdb, write_celebahq])
def test_a_label_that_was_mended_is_seen(tmp_path, write):
    """In any file beside the images: the last two have each other's labels, so that it is as long as before."""
    path = write(tmp_path / "a", PICTURES)
    found = [open_dataset(path, 8).fingerprint]
    tables = sorted((tmp_path / "a").glob("*.txt"))
    for table in tables:
        state, rows = table.stat(), table.read_text().splitlines()
        (a, of_a), (b, of_b) = (row.split() for row in rows[-2:])
        write_rows(table, [*rows[:-2], f"{a} {of_b}", f"{b} {of_a}"])
        assert of_a != of_b and table.stat().st_size == state.st_size
        os.utime(table, ns=(state.st_atime_ns, state.st_mtime_ns))
        found.append(open_dataset(path, 8).fingerprint)
    assert len(tables) == (1 if write is write_celebahq else 3)
    assert len(set(found)) == len(found)


def test_what_was_changed_a_moment_ago_is_not_kept(tmp_path, monkeypatch, cache):
    """It may be changed again within one tick of the file system's clock."""
    monkeypatch.setattr(survey, "SETTLED", math.inf)
    assert open_dataset(write_folder(tmp_path / "a", PICTURES), 8).fingerprint
    assert not list(cache.glob("*"))


DAMAGES = {
    "empty": lambda text: "",
    "cut short": lambda text: text[:-9],
    "another fingerprint": lambda text: re.sub(r"[0-9a-f]{64}", "0" * 64, text, count=1),
    "no JSON": lambda text: "\n".join(["[" * 500, "x"]),
    "huge": lambda text: "[" + " " * survey.LARGEST_NOTE,
    "not text": lambda text: "\udcff",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_note_is_read_anew_and_mended(tmp_path, monkeypatch, cache, damage):
    folder = write_folder(tmp_path / "a", PICTURES)
    before = open_dataset(folder, 8).fingerprint
    [kept] = cache.glob("*")
    whole = kept.read_text()
    kept.write_bytes(DAMAGES[damage](whole).encode(errors="surrogateescape"))
    assert open_dataset(folder, 8).fingerprint == before
    assert kept.read_text() == whole and len(list(cache.glob("*"))) == 1


def test_a_note_that_is_a_folder_or_a_cache_that_is_a_file_does_no_harm(tmp_path, cache):
    folder = write_folder(tmp_path / "a", PICTURES)
    before = open_dataset(folder, 8).fingerprint
    [kept] = cache.glob("*")
    kept.unlink()
    kept.mkdir()
    assert open_dataset(folder, 8).fingerprint == before
    shutil.rmtree(cache)
    cache.write_text("a file")
    assert open_dataset(folder, 8).fingerprint == before


def lie(kept: Path) -> None:
    """Make a note say, with all that belongs to a whole one, what is not so."""
    kept.write_bytes(survey.sealed(asdict(Survey("0" * 64, COUNT))))


@pytest.mark.parametrize("verify", [False, True])
def test_verify_data_reads_all_anew(tmp_path, cache, verify):
    folder = write_folder(tmp_path / "a", PICTURES)
    true = open_dataset(folder, 8).fingerprint
    [kept] = cache.glob("*")
    lie(kept)
    flags = ["--verify-data"] if verify else []
    asked = parse(["reconstruction", "--data", str(folder), *flags], None)
    dataset = setup.open_data(asked, [System8()])
    assert dataset.fingerprint == (true if verify else "0" * 64)
    assert open_dataset(folder, 8).fingerprint == dataset.fingerprint  # and it is kept


class System8:
    image_size, title = 8, "eight"


def test_what_was_never_kept_can_be_forgotten(tmp_path):
    forget(open_dataset(write_folder(tmp_path / "a", PICTURES), 8).source)
    forget(open_dataset(write_idx(tmp_path / "b", PICTURES), 8).source)


# ----------------------------------------------------------------------------------------------
# Files that readers do not agree on


def write_odd(folder: Path) -> Path:
    """Ten pictures: three with transparency, of three kinds, and one of 16 bits."""
    folder.mkdir()
    for index in range(6):
        Image.new("RGB", (16, 16), (index, 0, 0)).save(folder / f"plain{index}.png")
    Image.new("RGBA", (16, 16), (0, 0, 0, 0)).save(folder / "rgba.png")
    Image.new("LA", (16, 16), (0, 128)).save(folder / "la.webp")
    Image.new("L", (16, 16), 7).save(folder / "colour.png", transparency=7)
    Image.fromarray(np.full((16, 16), 40_000, np.uint16)).save(folder / "deep.png")
    return folder


NOTE = "3 of 10 images have transparency, laid on white; 1 of 10 images have 16 bits per channel, scaled to 8"


def test_odd_files_are_counted(tmp_path):
    folder = write_odd(tmp_path / "odd")
    (folder / "plain0.png").write_bytes(b"damaged: refused when it is read, plain until then")
    for _ in range(2):  # looked at, then kept
        seen = open_dataset(folder, 16).survey
        assert (seen.images, seen.transparent, seen.deep) == (10, 3, 1)
        assert seen.note == NOTE
    assert note_of_files(sorted(folder.iterdir())) == NOTE


def test_plain_files_are_not_mentioned(tmp_path):
    assert open_dataset(write_folder(tmp_path / "a", PICTURES), 8).survey.note == ""


# ----------------------------------------------------------------------------------------------
# What hangs on it


def brightness(folder: Path, store: Store) -> float:
    """The mean of all pixels in 0..255, by way of the store."""
    data = open_dataset(folder, 8)
    selection = Selection(data, "all", data.indices("all"), 0)

    def compute(positions: np.ndarray) -> dict[str, np.ndarray]:
        return {"mean": (selection.batch(positions).mean((1, 2, 3)).numpy() + 1) * 127.5}

    return float(store.read(Job("mean", "", selection.key, COUNT, compute))["mean"].mean())


def test_the_store_has_no_answer_for_replaced_images(tmp_path):
    """Black images, of which 44 become white under the same names and sizes: those that were not
    looked at.
    """
    store = Store(tmp_path / "store")
    folder = write_folder(tmp_path / "a", [picture(0)] * COUNT)
    assert brightness(folder, store) == 0
    looked_at = set(np.linspace(0, COUNT - 1, 256).round().astype(int).tolist())
    for index in set(range(COUNT)) - looked_at:
        Image.new("RGB", (8, 8), "white").save(folder / NAMES[index])
        assert (folder / NAMES[index]).stat().st_size == len(picture(0))
    assert brightness(folder, store) == pytest.approx(255 * 44 / 300, rel=1e-6)
