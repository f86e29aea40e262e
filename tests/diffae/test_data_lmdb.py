"""LMDB files written as the authors' scripts write them: keys, zeros, encoders, transactions."""

import io
import shutil
import struct
import sys
from functools import partial

import data_files
import lmdb
import numpy as np
import pytest
from data_files import NO_FILES, put_in_place_of, refuses, write_lmdb, write_rows
from photo_tiles import tile
from PIL import Image
from refusal import refused_file

from diffae.data import open_dataset
from diffae.data.readers import lmdb_folder
from diffae.system.errors import UserError

COUNT = 30
HQ_ANNOTATION, CELEBA_ANNOTATION = "CelebAMask-HQ-attribute-anno.txt", "list_attr_celeba.txt"
encode = partial(data_files.encode, quality=100)


def write_images(path, template, kind, count=COUNT, size=(64, 64)):
    values = {template.format(i): encode(tile(i, *size), kind) for i in range(count)}
    return write_lmdb(path, values, count)


@pytest.fixture(scope="session")
def original(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("lmdb") / "ffhq256.lmdb", "256-{:05d}", "jpeg")


@pytest.fixture
def faces(original, tmp_path):
    return shutil.copytree(original, tmp_path / "ffhq256.lmdb")


def decoded(index, kind, size=(64, 64)):
    return np.asarray(Image.open(io.BytesIO(encode(tile(index, *size), kind))).convert("RGB"))


@pytest.mark.parametrize(
    ("name", "template", "kind"),
    [("ffhq256", "256-{:05d}", "jpeg"), ("horse256", "256-{:07d}", "webp")],
)
def test_ffhq_is_jpeg_under_five_digits_and_lsun_webp_under_seven(tmp_path, name, template, kind):
    data = open_dataset(write_images(tmp_path / f"{name}.lmdb", template, kind), 64)
    assert (len(data), data.name, data.transform.crop) == (COUNT, name, "center")
    assert data.attributes is None and data.identities is None
    assert data.partition_source == "seeded by image 60/10/30, seed 0"
    assert data.source.where(12).endswith(f"{name}.lmdb, key {template.format(12)}")
    for index in (0, 9, 29):
        np.testing.assert_array_equal(data.images([index])[0], decoded(index, kind))


@pytest.mark.parametrize(("size", "crop"), [((178, 218), "d2c"), ((64, 64), "center")])
def test_images_of_celebas_original_size_get_the_d2c_crop(tmp_path, size, crop):
    path = write_images(tmp_path / "celeba.lmdb", "None-{:07d}", "webp", 3, size)
    data = open_dataset(path, 64)
    assert data.transform.crop == crop
    np.testing.assert_array_equal(data.source.read(2), np.asarray(decoded(2, "webp", size)))


def test_the_largest_of_several_sizes_is_read(tmp_path):
    values = {
        f"{side}-{i:05d}": encode(tile(i, side, side), "jpeg")
        for side in (8, 128, 64)
        for i in (0, 1)
    }
    data = open_dataset(write_lmdb(tmp_path / "many.lmdb", values, 2), 16)
    assert data.source.read(1).size == (128, 128)


def test_a_read_only_folder_without_lock_file(faces):
    (faces / "lock.mdb").unlink()
    faces.chmod(0o500)
    assert len(open_dataset(faces, 64).images(range(COUNT))) == COUNT
    assert not (faces / "lock.mdb").exists()


# ---------------------------------------------------------------------------------------------
# labels beside the file


def write_annotation(path, names):
    signs = np.random.default_rng(1).choice([-1, 1], (len(names), 2))
    rows = [f"{name}  {a} {b}" for name, (a, b) in zip(names, signs, strict=True)]
    write_rows(path, [len(names), "Male Young", *rows])
    return signs == 1


HQ_NAMES = [f"{i}.jpg" for i in range(COUNT)]
CELEBA_NAMES = [f"{i + 1:06d}.jpg" for i in range(COUNT)]


@pytest.mark.parametrize(
    ("file", "names"), [(HQ_ANNOTATION, HQ_NAMES), (CELEBA_ANNOTATION, CELEBA_NAMES)]
)
def test_attributes_lie_beside_the_file(original, faces, file, names):
    attributes = write_annotation(faces.parent / file, names)
    data = open_dataset(faces, 64)
    assert (data.name, data.attribute_names) == ("ffhq256", ("Male", "Young"))
    np.testing.assert_array_equal(data.attributes, attributes)
    assert data.partition_source.startswith("seeded by image 60/10/30, seed 0")
    assert data.fingerprint != open_dataset(original, 64).fingerprint


def test_labels_lie_beside_a_link_to_the_folder(original, tmp_path, monkeypatch):
    (tmp_path / "link.lmdb").symlink_to(original)
    attributes = write_annotation(tmp_path / HQ_ANNOTATION, HQ_NAMES)
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(open_dataset("link.lmdb", 64).attributes, attributes)


def test_celebas_partition_and_identities_come_along(faces):
    write_annotation(faces.parent / CELEBA_ANNOTATION, CELEBA_NAMES)
    for file, values in (("list_eval_partition.txt", [2, 0]), ("identity_CelebA.txt", [5, 77])):
        rows = [f"{name} {values[i % 2]}" for i, name in enumerate(CELEBA_NAMES)]
        write_rows(faces.parent / file, rows)
    data = open_dataset(faces, 64)
    np.testing.assert_array_equal(data.indices("test"), range(0, COUNT, 2))
    np.testing.assert_array_equal(data.identities[:3], [5, 77, 5])
    assert data.partition_source == "list_eval_partition.txt"


def test_an_annotation_of_other_length_belongs_to_another_file(faces):
    write_annotation(faces.parent / HQ_ANNOTATION, HQ_NAMES[:-1])
    assert open_dataset(faces, 64).attributes is None


@pytest.mark.parametrize(
    ("file", "names"), [(HQ_ANNOTATION, HQ_NAMES), (CELEBA_ANNOTATION, CELEBA_NAMES)]
)
def test_rows_in_another_order_are_refused(faces, file, names):
    write_annotation(faces.parent / file, [names[0], names[2], names[1], *names[3:]])
    refuses(faces, rf"{file}: line 4: {names[2]} where .* belongs", 64)


def test_part_of_celeba_does_not_pass_for_it(tmp_path):
    path = write_images(tmp_path / "celeba.lmdb", "None-{:07d}", "webp", COUNT)
    write_annotation(tmp_path / CELEBA_ANNOTATION, CELEBA_NAMES)
    assert open_dataset(path, 64).name == "celeba-subset"


def test_thirty_thousand_with_the_annotation_are_celeba_hq(tmp_path):
    path = tmp_path / "celebahq256.lmdb"
    with lmdb.open(str(path), map_size=2**27) as env, env.begin(write=True) as transaction:
        for index in range(30_000):
            transaction.put(
                f"256-{index:05d}".encode(), encode(tile(0, 8, 8), "jpeg") if not index else b"x"
            )
        transaction.put(b"length", b"30000")
    write_annotation(tmp_path / HQ_ANNOTATION, [f"{i}.jpg" for i in range(30_000)])
    data = open_dataset(path, 8)
    assert (data.name, len(data), data.transform.crop) == ("celeba-hq", 30_000, "center")


# ---------------------------------------------------------------------------------------------
# damage


@pytest.mark.parametrize("length", [None, "many", "0", 2**63, "9" * 500])
def test_an_incomplete_file_has_no_length(tmp_path, length):
    path = write_lmdb(tmp_path / "a.lmdb", {"256-00000": b"x"}, length)
    refuses(path, r"a\.lmdb: no number .* 'length'; download", 64)


def test_a_truncated_file_is_refused_before_it_kills_the_process(faces):
    path = faces / "data.mdb"
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(size - 4096)
    message = rf"data\.mdb: {size - 4096} bytes of {size}; the download is incomplete"
    for _ in range(2):
        refuses(faces, message, 64)


@pytest.mark.parametrize("content", [b"", b"<html>quota exceeded</html>" * 999, b"\0" * 99_999])
def test_what_is_no_lmdb_file_is_named(faces, content):
    (faces / "data.mdb").write_bytes(content)
    refuses(faces, rf"^{faces}/data.mdb: cannot open this LMDB file", 64)


def test_missing_keys_are_named(tmp_path):
    values = {f"256-{i:05d}": encode(tile(i), "jpeg") for i in range(5) if i != 3}
    data = open_dataset(write_lmdb(tmp_path / "hole.lmdb", values, 5), 64)
    with pytest.raises(UserError, match=r"hole\.lmdb, key 256-00003: missing"):
        data.images(range(5))
    refuses(write_lmdb(tmp_path / "short.lmdb", values, 8), "key 256-00007: missing", 64)


def test_other_peoples_lmdb_files_are_refused(tmp_path):
    lsun = write_lmdb(tmp_path / "bedroom_val_lmdb", {"0a1b2c": encode(tile(0), "webp")})
    refuses(lsun, "no number under the key 'length'", 64)
    refuses(write_lmdb(tmp_path / "other", {"image-a": b"x"}, 1), "no keys like 256-00000", 64)


def test_without_the_package_the_extra_is_named(original, monkeypatch):
    monkeypatch.setitem(sys.modules, "lmdb", None)
    refuses(original, r"ffhq256\.lmdb.* pip install 'lmdb>=", 64)


@pytest.mark.parametrize("kind", NO_FILES)
def test_a_data_file_that_is_no_file_is_refused_by_name(faces, kind):
    put_in_place_of(faces / "data.mdb", kind)
    refused_file(lambda _: open_dataset(faces, 64), faces / "data.mdb")


@pytest.mark.parametrize("offset, kind, number", [(16 + 24, "<I", 0), (16 + 120, "<Q", 10**9)])
def test_numbers_of_the_header_that_cannot_be(faces, offset, kind, number, monkeypatch):
    """The size of a page, and the number of the last one: refused before the library maps the file."""
    path = faces / "data.mdb"
    content = bytearray(path.read_bytes())
    for page in (0, 4096):
        struct.pack_into(kind, content, page + offset, number)
    path.write_bytes(content)
    monkeypatch.setattr(lmdb, "open", None)
    refuses(faces, rf"^{path}: ", 64)


def test_what_the_library_finds_wrong_is_one_line(faces, monkeypatch):
    data = open_dataset(faces, 64)

    def corrupted(*_, **options):
        raise lmdb.CorruptedError("MDB_CORRUPTED")

    monkeypatch.setattr(lmdb, "open", corrupted)
    with pytest.raises(UserError, match=r"key 256-00003: this LMDB file is damaged"):
        data.images([3])
    with pytest.raises(UserError, match=r"the keys: this LMDB file is damaged"):
        list(lmdb_folder.first_of_each_size(faces))
