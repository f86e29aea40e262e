"""Zip files of images: made with Python's zipfile and with Info-ZIP's layout of folders."""

import shutil
import zipfile

import data_files
import numpy as np
import pytest
from data_files import refuses
from photo_tiles import encoded, tile

from diffae.data import open_dataset
from diffae.system.errors import UserError

NAMES = [f"{i // 10:05d}/{i:05d}.png" for i in range(30)]


def write_zip(path, entries, compression=zipfile.ZIP_STORED):
    return data_files.write_zip(path, entries.items(), compression)


@pytest.fixture(scope="session")
def entries():
    return {name: encoded(index) for index, name in enumerate(NAMES)}


@pytest.fixture
def archive(tmp_path, entries):
    shuffled = {NAMES[i]: entries[NAMES[i]] for i in np.random.default_rng(0).permutation(30)}
    return write_zip(tmp_path / "ffhq.zip", shuffled)


def test_images_come_sorted_by_name(archive):
    """The suffix of the file may be any."""
    archive = archive.rename(archive.with_name("ffhq"))
    data = open_dataset(archive, 48)
    assert (len(data), data.name, data.transform.crop) == (30, "ffhq", "center")
    assert data.partition_source == "seeded by image 60/10/30, seed 0"
    for index in (0, 7, 29):
        np.testing.assert_array_equal(data.images([index])[0], np.asarray(tile(index)))


def test_a_zip_file_is_its_folder(archive, tmp_path):
    """StyleGAN's FFHQ: folders of a thousand, five digits each."""
    shutil.unpack_archive(archive, tmp_path / "ffhq")
    folder, zipped = open_dataset(tmp_path / "ffhq", 32), open_dataset(archive, 32)
    assert folder.name == zipped.name == "ffhq"
    np.testing.assert_array_equal(folder.images(range(30)), zipped.images(range(30)))
    np.testing.assert_array_equal(folder.partition, zipped.partition)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_however_it_is_packed_it_is_the_same_data_set(tmp_path, entries, archive, compression):
    data = open_dataset(write_zip(tmp_path / "packed.zip", entries, compression), 32)
    plain = open_dataset(archive, 32)
    np.testing.assert_array_equal(data.images(range(30)), plain.images(range(30)))
    assert data.fingerprint == plain.fingerprint


# ---------------------------------------------------------------------------------------------
# damage


def damage(path, offset, content):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def test_a_damaged_entry_is_named(archive):
    with zipfile.ZipFile(archive) as opened:
        offset = opened.getinfo(NAMES[5]).header_offset
    damage(archive, offset + 200, b"\0\1\2\3\4\5\6\7")
    data = open_dataset(archive, 48)
    data.images(range(5))
    with pytest.raises(UserError, match=rf"^{archive}, entry {NAMES[5]}: damaged .*CRC"):
        data.load_all(data.indices("all"))


@pytest.mark.parametrize("field", ["local header", "name", "compression method"])
def test_other_damage_to_an_entry_is_named(archive, field):
    with zipfile.ZipFile(archive) as opened:
        offset, directory = opened.getinfo(NAMES[0]).header_offset, opened.start_dir
    if field == "local header":
        damage(archive, offset, b"XXXX")
    elif field == "name":
        damage(archive, offset + 30, b"X")
    else:
        at = archive.read_bytes().index(NAMES[0].encode(), directory) - 46
        damage(archive, at + 10, b"\x63\0")
    data = open_dataset(archive, 48)
    with pytest.raises(UserError, match=rf"^{archive}, entry {NAMES[0]}: damaged"):
        data.images([0])


def test_an_encrypted_entry_is_named(archive):
    """The flag is all that tells: zipfile cannot write encrypted entries."""
    with zipfile.ZipFile(archive) as opened:
        directory = opened.start_dir
    at = archive.read_bytes().index(NAMES[2].encode(), directory) - 46
    damage(archive, at + 8, b"\1\0")
    refuses(archive, rf"^{archive}, entry {NAMES[2]}: encrypted; unpack it")


def test_a_zip_file_without_images_and_an_incomplete_one_are_refused(archive, tmp_path):
    path = write_zip(tmp_path / "a.zip", {"notes.txt": b"text"})
    refuses(path, r"a\.zip: no images in this zip file \(looked for png")
    archive.write_bytes(archive.read_bytes()[:-100])
    refuses(archive, rf"^{archive}: cannot read this zip file .*copy it again")
