"""No image is lost without a word: images there = images read + images told as left out.

Or the data set is refused. Archives are damaged at random, and their images counted apart from
their readers: PNG files begin with eight bytes that nothing else has, and none is compressed.
"""

import re
import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path

import data_files
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_files import refuses, write_rows
from PIL import Image

from diffae.data import Dataset, find_reader, open_dataset
from diffae.data.prepare import prepare
from diffae.system.errors import UserError

SIDE, COUNT, DAMAGES = 8, 8, 105
PNG = re.compile(rb"\x89PNG\r\n\x1a\n(?:(?!\x89PNG).)*?IEND\xaeB`\x82", re.DOTALL)


def picture(index: int) -> bytes:
    return data_files.encode(Image.new("RGB", (SIDE, SIDE), (index, 0, 0)))


PICTURES = [picture(index) for index in range(COUNT)]
FILES = [(f"{index}.png", content) for index, content in enumerate(PICTURES)]
LABELS = [(f"{index}.cls", b"%d" % (index % 2)) for index in range(COUNT)]


# ---------------------------------------------------------------------------------------------
# Damaged archives


def write_tar(folder: Path) -> Path:
    return data_files.write_tar(folder / "a.tar", sorted(FILES + LABELS))


def write_pax(folder: Path) -> Path:
    """Each name stands in a header of its own, without a checksum."""
    named = [(f"é{name}", content) for name, content in FILES]
    return data_files.write_tar(folder / "a.tar", named, tarfile.PAX_FORMAT)


def write_zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        for name, content in FILES:
            archive.writestr(
                zipfile.ZipInfo(name), content
            )  # of 1980, so that it is always the same
    return folder / "a.zip"


def table(indices: range = range(COUNT)) -> pa.Table:
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    rows = [{"bytes": PICTURES[index], "path": None} for index in indices]
    return pa.table({"image": pa.array(rows, kind), "label": [index % 2 for index in indices]})


def write_parquet(folder: Path) -> Path:
    options = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    pq.write_table(table(), folder / "a.parquet", row_group_size=3, **options)
    return folder / "a.parquet"


def somewhere(rng: np.random.Generator, content: bytes) -> int:
    return int(rng.integers(len(content)))


def change_bytes(rng: np.random.Generator, content: bytes) -> bytes:
    """One byte or two, outside of the images, where an archive says what it holds."""
    inside = [range(*match.span()) for match in PNG.finditer(content)]
    places = sorted(set(range(len(content))).difference(*inside))
    out = bytearray(content)
    for place in rng.choice(places, rng.integers(1, 3)):
        out[place] = rng.choice([0, 255, out[place] ^ 1 << rng.integers(8)])
    return bytes(out)


def cut_end(rng: np.random.Generator, content: bytes) -> bytes:
    return content[: somewhere(rng, content)]


def cut_middle(rng: np.random.Generator, content: bytes) -> bytes:
    start = somewhere(rng, content)
    return content[:start] + content[start + rng.integers(1, 600) :]


def insert_zeros(rng: np.random.Generator, content: bytes) -> bytes:
    step = rng.choice([1, 8, 512])
    place = somewhere(rng, content) // step * step
    return content[:place] + bytes(rng.choice([4, 8, 512, 1024])) + content[place:]


def add_garbage(rng: np.random.Generator, content: bytes) -> bytes:
    return content + rng.bytes(rng.integers(1, 2000))


def put_together(rng: np.random.Generator, content: bytes) -> bytes:
    """The file and a part of it, or all, before or after it."""
    part = content[: rng.choice([len(content), somewhere(rng, content)])]
    return content + part if rng.integers(2) else part + content


DAMAGE = [change_bytes, change_bytes, cut_end, cut_middle, insert_zeros, add_garbage, put_together]


@pytest.mark.parametrize("write", [write_tar, write_pax, write_zip, write_parquet])
def test_a_damaged_archive_hides_no_image(tmp_path, write):
    path = write(tmp_path)
    whole, rng = path.read_bytes(), np.random.default_rng(zlib.crc32(write.__name__.encode()))
    assert images_in(path) == (COUNT, 0)
    outcomes = {"read": 0, "refused": 0}
    kinds = [damage for damage in DAMAGE if path.suffix != ".parquet" or damage != put_together]
    for number in range(DAMAGES):
        damage = kinds[number % len(kinds)]
        content = damage(rng, whole)
        path.unlink()  # what is mapped must not be written over
        path.write_bytes(content)
        try:
            read, told = images_in(path)
        except UserError as error:
            assert "\n" not in str(error)
            outcomes["refused"] += 1
            continue
        outcomes["read"] += 1
        assert read + told >= len(PNG.findall(content)), (damage.__name__, number)
    assert min(outcomes.values()) >= 5, outcomes


@pytest.mark.parametrize("compression", ["none", "snappy"])
def test_parquet_files_in_one_are_refused(tmp_path, compression):
    """As `cat a.parquet b.parquet` makes them: the rows of the second, by its footer, are read from the first."""
    for name, indices in (("a", range(4)), ("b", range(3, -1, -1))):
        pq.write_table(table(indices), tmp_path / f"{name}.parquet", compression=compression)
    both = tmp_path / "both.parquet"
    both.write_bytes(b"".join((tmp_path / f"{name}.parquet").read_bytes() for name in "ab"))
    refuses(both, "both.parquet: several parquet files in one", SIDE)
    assert images_in(tmp_path / "a.parquet") == (4, 0)


def images_in(path: Path) -> tuple[int, int]:
    """The images that are read, each of them decoded, and those that are told as left out."""
    data = open_dataset(path, SIDE)
    assert data.images(range(len(data))).shape == (len(data), SIDE, SIDE, 3)
    return len(data), told(data)


def told(data: Dataset) -> int:
    """The files that are told as left out, by the number that each line begins with."""
    numbers = (line.partition(" ")[0].replace(",", "") for line in data.left_out)
    return sum(int(number) for number in numbers if number.isdigit())


def test_what_follows_the_end_of_a_tar_file_is_not_hidden(tmp_path):
    """GNU tar reads on after one block of zeros; `cat` makes one file of several."""
    path = write_pax(tmp_path)
    whole = path.read_bytes()
    with tarfile.open(path) as archive:
        fourth = archive.getmembers()[3].offset
    for content in (whole[:fourth] + bytes(512) + whole[fourth:], whole + whole):
        path.write_bytes(content)
        with tarfile.open(path, ignore_zeros=True) as archive:
            assert len(archive.getmembers()) > len(tarfile.open(path).getmembers())
        refuses(path, rf"^{path}: goes on after the mark of its end.*--ignore-zeros", SIDE)
    path.write_bytes(whole + bytes(1 << 21))
    assert images_in(path) == (COUNT, 0)


def with_a_comment(content: bytes) -> bytes:
    """Of 512 bytes, as the first entry of the directory says: it hides the other entries."""
    place = content.index(b"PK\1\2") + 33
    return content[:place] + b"\2" + content[place + 1 :]


@pytest.mark.parametrize(
    "change", [with_a_comment, lambda whole: whole + whole, lambda whole: whole[:104] + whole]
)
def test_a_zip_file_whose_directory_does_not_list_all(tmp_path, change):
    path = write_zip(tmp_path)
    path.write_bytes(change(path.read_bytes()))
    refuses(path, rf"^{path}: its directory does not list all entries; unpack it", SIDE)


def test_a_zip_file_that_unpacks_itself_is_read(tmp_path):
    path = write_zip(tmp_path)
    path.write_bytes(b"a program" * 999 + path.read_bytes() + b"a signature")
    assert images_in(path) == (COUNT, 0)


def test_a_zip_file_of_many_entries(tmp_path):
    """Their number is that of the record, or its last 16 bits, as macOS writes them."""
    entries = [(f"{index}.txt", b"") for index in range(65_536)]
    path = data_files.write_zip(tmp_path / "a.zip", [*entries, *FILES])
    assert images_in(path) == (COUNT, 65_536)
    content = bytearray(path.read_bytes())
    content[-22 + 8 : -22 + 12] = 2 * COUNT.to_bytes(2, "little")
    path.write_bytes(content)
    assert images_in(path) == (COUNT, 65_536)


def test_a_zip_file_of_many_entries_whose_directory_does_not_list_all(tmp_path):
    """A comment of 51 bytes, as the first entry of the directory says, hides the second entry."""
    entries = [(f"{index}.txt", b"") for index in range(65_536)]
    path = data_files.write_zip(tmp_path / "a.zip", [*FILES, *entries])
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 32] = 51
    path.write_bytes(content)
    refuses(path, rf"^{path}: its directory does not list all entries; unpack it", SIDE)


def test_a_second_column_of_images_is_told(tmp_path):
    masks = table().append_column("mask", table()["image"])
    pq.write_table(masks, tmp_path / "a.parquet")
    [line] = open_dataset(tmp_path / "a.parquet", SIDE).left_out
    assert line == "the column mask: may hold images too, and those of image are read"


def test_entries_that_are_not_read_are_told(tmp_path):
    entries = [*FILES, (".a.png", PICTURES[0]), ("._b.png", b""), ("x/c.gif", b""), ("0.txt", b"")]
    archives = [
        data_files.write_tar(tmp_path / "a.tar", sorted(entries)),
        data_files.write_zip(tmp_path / "a.zip", entries),
    ]
    for path in archives:
        assert open_dataset(path, SIDE).left_out == ("2 other files: gif 1, txt 1",)


def test_images_that_the_length_of_an_lmdb_file_does_not_count(tmp_path):
    values = {f"8-{index:05d}": content for index, content in enumerate(PICTURES)}
    data = open_dataset(data_files.write_lmdb(tmp_path / "a.lmdb", values, 5), SIDE)
    more = "3 of 9 entries: not among the 5 images of size 8 that its length counts"
    assert len(data) == 5 and data.left_out == (more,)


def test_images_that_no_list_of_celeba_has_are_told(tmp_path):
    root = write_celeba(tmp_path)
    write_rows(root / "list_attr_celeba.txt", [2, "Male", "0.png 1", "1.png -1"])
    shutil.copytree(root / "img_align_celeba", root / "more" / "deep")
    line = "14 images that list_attr_celeba.txt does not list"
    assert open_dataset(root, SIDE).left_out == (line,)


# ---------------------------------------------------------------------------------------------
# What is beside the images


def write_folder(folder: Path) -> Path:
    return data_files.write_files(folder, FILES)


def write_labelled(folder: Path, images: str, labels: str) -> Path:
    write_folder(folder / images)
    return write_rows(folder / labels, [COUNT, "Male", *(f"{name} 1" for name, _ in FILES)]).parent


def write_celeba(folder: Path) -> Path:
    return write_labelled(folder, "img_align_celeba", "list_attr_celeba.txt")


def write_celebahq(folder: Path) -> Path:
    return write_labelled(folder, "CelebA-HQ-img", "CelebAMask-HQ-attribute-anno.txt")


def write_lmdb(folder: Path) -> Path:
    values = {f"8-{index:05d}": content for index, content in enumerate(PICTURES)}
    return data_files.write_lmdb(folder, values, COUNT)


def write_idx(folder: Path) -> Path:
    part = np.zeros((COUNT // 2, SIDE, SIDE)), np.zeros(COUNT // 2)
    return data_files.write_idx(folder, train=part, t10k=part)


def write_copy(folder: Path) -> Path:
    (folder.parent / "original").mkdir()
    prepare(open_dataset(write_folder(folder.parent / "original"), SIDE), folder)
    return folder


def in_folder(write):
    return lambda folder: write(folder).parent


FOLDERS = {
    "folder of images": write_folder,
    "CelebA": write_celeba,
    "CelebA-HQ": write_celebahq,
    "LMDB": write_lmdb,
    "IDX": write_idx,
    "prepared copy": write_copy,
    "WebDataset": in_folder(write_tar),
    "parquet": in_folder(write_parquet),
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_images_beside_those_of_a_format_are_told(tmp_path, kind):
    """As many images more as before, read or told; other files too, but for hidden ones."""
    root = tmp_path / "set"
    root.mkdir()
    FOLDERS[kind](root)
    before = open_dataset(root, SIDE)
    assert find_reader(root).title == kind and before.left_out == ()
    for name in ("deep/er/x.PNG", "img_align_celeba/y.png", "z.jpeg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(PICTURES[0])
    for name in (".DS_Store", "._z.jpeg", ".git/a.png"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(PICTURES[0])
    data = open_dataset(root, SIDE)
    assert len(data) + told(data) == COUNT + 3, data.left_out
    if kind.startswith("CelebA"):
        return
    for name in ("more.tar.gz", "LICENSE", ".z.png", "notes.csv"):
        (root / name).write_bytes(PICTURES[0])
    assert open_dataset(root, SIDE).left_out[-1] == "3 other files: csv 1, gz 1, no suffix 1"


@pytest.mark.parametrize("kind", ["CelebA", "WebDataset"])
def test_another_link_to_the_same_folder_is_no_other_image(tmp_path, kind):
    root = FOLDERS[kind](tmp_path)
    if kind == "WebDataset":
        (root / "train").mkdir()
        (root / "a.tar").rename(root / "train" / "a.tar")
    name = "train" if kind == "WebDataset" else "img_align_celeba"
    (root / "Another").symlink_to(root / name)
    data = open_dataset(root, SIDE)
    assert len(data) == COUNT and data.left_out == ()
