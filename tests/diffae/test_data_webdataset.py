"""WebDataset shards, written by Python's tarfile to the naming rules of the format."""

import os
import tarfile

import numpy as np
import pytest
from data_files import refuses, write_tar
from photo_tiles import encoded, tile

from diffae.data import open_dataset
from diffae.system.errors import UserError


def samples(numbers, label=None):
    for i in numbers:
        yield f"a.b/{i:04d}.png", encoded(i)
        if label is not None:
            yield f"a.b/{i:04d}.cls", str(label(i)).encode()


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_shards_in_order_with_their_classes(tmp_path, kind):
    write_tar(tmp_path / "faces" / "f-000001.tar", samples(range(6, 12), lambda i: i % 3), kind)
    write_tar(tmp_path / "faces" / "f-000000.tar", samples(range(6), lambda i: i % 3), kind)
    data = open_dataset(tmp_path / "faces", 48)
    assert (len(data), data.name, data.transform.crop) == (12, "faces", "center")
    order = np.random.default_rng(0).permutation(12)
    np.testing.assert_array_equal(data.images(order), [np.asarray(tile(i)) for i in order])
    assert data.attribute_names == ("class 0", "class 1", "class 2")
    np.testing.assert_array_equal(data.attributes, np.arange(12)[:, None] % 3 == np.arange(3))
    assert data.partition_source == "seeded by image 60/10/30, seed 0"
    assert data.name_of(7) == "f-000001.tar, entry a.b/0007.png"


def test_without_images_in_test_shards_validation_is_test(tmp_path):
    write_tar(tmp_path / "set" / "test-0.tar", [("a.txt", b"")])
    for split, numbers in (("train", range(20)), ("validation", range(20, 23))):
        write_tar(tmp_path / "set" / f"{split}-0.tar", samples(numbers))
    data = open_dataset(tmp_path / "set", 48)
    assert data.indices("valid").tolist() == [18, 19] and len(data.indices("test")) == 3
    source = "splits of the files, validation as test, last 10 % of train as valid"
    assert data.partition_source == source


@pytest.mark.parametrize("layout", ["{}-000.tar", "faces-{}-000.tar", "{}/000.tar"])
@pytest.mark.parametrize("case", [str.lower, str.title])
def test_the_split_of_shards(tmp_path, layout, case):
    """However the names are written: `Train` is no other word than `train`."""
    for split, numbers in (("train", range(20)), ("val", range(20, 23)), ("test", range(23, 25))):
        write_tar(tmp_path / "set" / layout.format(case(split)), samples(numbers))
    data = open_dataset(tmp_path / "set", 48)
    assert [len(data.indices(split)) for split in ("train", "valid", "test")] == [20, 3, 2]
    np.testing.assert_array_equal(data.images(data.indices("test"))[0], np.asarray(tile(23)))
    assert data.partition_source == "splits of the files"


def test_what_is_no_image(tmp_path):
    entries = [
        ("0.png", encoded(0)), ("0.CLS", b" 1\n"), ("0.json", b"{}"),
        ("1.cls", b"0"), ("1.png", encoded(1)), ("1.seg.cls", b"a class of something else"),
        ("2.cls", b"no sample"), ("3.txt", b"a caption alone"), ("._0.png", b"a fork"),
    ]  # fmt: skip
    data = open_dataset(write_tar(tmp_path / "few.tar", entries), 48)
    line = "4 other files: cls 2, json 1, txt 1"
    assert (len(data), data.name, data.left_out) == (2, "few", (line,))
    np.testing.assert_array_equal(data.attributes, [[False, True], [True, False]])


def test_the_fingerprint_follows_names_classes_and_bytes(tmp_path):
    one = write_tar(tmp_path / "a" / "0.tar", samples(range(4), lambda i: i))
    split = tmp_path / "b"
    write_tar(split / "0.tar", samples(range(2), lambda i: i))
    write_tar(split / "1.tar", samples(range(2, 4), lambda i: i))
    other = write_tar(tmp_path / "c" / "0.tar", samples(range(4), lambda i: 3 - i))
    prints = [open_dataset(path, 48).fingerprint for path in (one, split, other)]
    assert prints[0] == prints[1] != prints[2]


def test_two_images_in_a_sample_are_refused(tmp_path):
    path = write_tar(tmp_path / "a.tar", [("0.in.png", encoded(0)), ("0.out.png", encoded(1))])
    refuses(path, r"a\.tar, sample 0: 2 images, and one")


def test_bad_tar_files_are_named(tmp_path):
    good = write_tar(tmp_path / "good.tar", samples(range(3), lambda i: i))
    cut = tmp_path / "cut.tar"
    cut.write_bytes(good.read_bytes()[:1000])
    refuses(cut, rf"^{cut}, entry a\.b/0000\.png: the file ends within it")
    packed = write_tar(tmp_path / "packed.tar", samples([0]), mode="w:gz")
    refuses(packed, rf"^{packed}: cannot read this tar file .*unpack it")
    refuses(
        write_tar(tmp_path / "none.tar", [("a.txt", b"")]),
        r"none\.tar: no images in these tar files",
    )
    twice = write_tar(tmp_path / "twice.tar", [("0.png", encoded(0))] * 2)
    refuses(twice, r"twice\.tar")
    for text in (b"cat", b"-1", b"", b"1" * 19, b"1".rjust((1 << 20) + 1)):
        path = write_tar(tmp_path / "word.tar", [("0.png", encoded(0)), ("0.cls", text)])
        refuses(path, r"word\.tar, entry 0\.cls: not the number of a class")
    data = open_dataset(write_tar(tmp_path / "bad.tar", [*samples([0]), ("1.png", b"no")]), 48)
    with pytest.raises(UserError, match=r"bad\.tar, entry 1\.png: cannot read this image"):
        data.images([1])


def test_a_shard_that_is_cut_short_under_the_run(tmp_path):
    path = write_tar(tmp_path / "a.tar", samples(range(3)))
    data = open_dataset(path, 48)
    os.truncate(path, 600)
    with pytest.raises(UserError, match=r"a\.tar, entry a\.b/0002\.png: cut short"):
        data.images([2])


# ---------------------------------------------------------------------------------------------
# tar files of all sorts


def test_links_and_devices_are_told_and_not_read(tmp_path):
    links = [
        ("b/0.png", tarfile.LNKTYPE, "a.b/0004.png"),
        ("b/1.png", tarfile.SYMTYPE, "/etc/passwd"),
        ("b/2.png", tarfile.FIFOTYPE, ""),
    ]
    data = open_dataset(write_tar(tmp_path / "a.tar", samples(range(6)), links=links), 48)
    assert len(data) == 6 and data.left_out == ("3 other files: png 3",)


def test_a_tar_file_that_was_cut_between_two_entries(tmp_path):
    path = write_tar(tmp_path / "a.tar", samples(range(4)))
    with tarfile.open(path) as archive:
        starts = [member.offset for member in archive]
    whole = path.read_bytes()
    for end in starts[1:]:
        path.write_bytes(whole[:end])
        refuses(path, rf"^{path}: has no mark of its end.*copy it again")
        path.write_bytes(whole[:end] + bytes(512))
        assert len(open_dataset(path, 48)) == starts.index(end)


def header(name="a.png", size=0, kind=tarfile.REGTYPE, number=None):
    """One block, as tarfile writes it; `number` is the field of the size as it stands there."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = number or block[124:136]
    block[148:156] = b"%06o\0 " % (256 + sum(block[:148]) + sum(block[156:]))
    return bytes(block)


def note(text, kind=tarfile.XHDTYPE):
    return header("note", len(text), kind) + text.ljust(-(-len(text) // 512) * 512, b"\0")


END, TERABYTE = bytes(1024), b"\x80" + (2**40).to_bytes(11, "big")
HOSTILE = {
    r"cannot read this tar file \(.*unpack it": [
        note(b"9 path=a\n") * 3000 + header() + END,
        note(b"a", tarfile.GNUTYPE_LONGNAME) * 3000 + header() + END,
        header("note", kind=tarfile.XHDTYPE, number=TERABYTE) + END,
        header("@", kind=tarfile.GNUTYPE_LONGNAME, number=TERABYTE) + END,
        header(number=b"\xff" * 11 + b"\x00") + END,
        note(b"13 size=-512\n") + header() + END,
        note(b"0 path=a\n") + header() + END,
        header() + b"\1" * 512 + END,
        b"",
    ],
    "the file ends within it": [note(b"22 size=1099511627776\n") + header() + END],
    "packed as sparse; pack it without": [
        header(kind=tarfile.GNUTYPE_SPARSE) + END,
        note(b"21 GNU.sparse.size=1\n") + header() + END,
    ],
}


@pytest.mark.parametrize("words", HOSTILE)
def test_a_tar_file_of_ill_will_is_refused(tmp_path, words):
    path = tmp_path / "a.tar"
    for content in HOSTILE[words]:
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf"^{path}[,:] .*{words}") as raised:
            open_dataset(path, 48)
        assert "\n" not in str(raised.value)


def test_a_note_as_large_as_a_file_of_holes_is_not_read(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(
        header("note", kind=tarfile.XHDTYPE, number=b"\x80" + (2**33).to_bytes(11, "big"))
    )
    os.truncate(path, 2**34)
    refuses(path, r"a\.tar: cannot read this tar file \(its headers have no end")


@pytest.mark.parametrize("beside", [3, 4])
def test_more_images_beside_shards_than_in_them_are_refused(tmp_path, beside):
    """Than in several files together."""
    write_tar(tmp_path / "set" / "0.tar", samples(range(2)))
    write_tar(tmp_path / "set" / "1.tar", samples(range(2, 3)))
    for index in range(beside):
        tile(index).save(tmp_path / "set" / f"{index}.png")
    if beside > 3:
        refuses(tmp_path / "set", "4 image files lie beside files that hold 3 images; move one")
    else:
        assert len(open_dataset(tmp_path / "set", 48)) == 3
