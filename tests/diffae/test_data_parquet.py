"""Parquet files, written with pyarrow."""

import json
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_files import refuses
from photo_tiles import encoded, tile

from diffae.data import open_dataset
from diffae.system.errors import UserError

COLOURS = ["red", "green", "blue"]
FEATURES = {
    "image": {"_type": "Image"},
    "colour": {"names": COLOURS, "_type": "ClassLabel"},
    "old": {"dtype": "bool", "_type": "Value"},
}


def table(numbers, **change):
    columns = {
        "image": [{"bytes": encoded(i), "path": f"{i}.png"} for i in numbers],
        "colour": [i % 3 for i in numbers],
        "old": [i % 2 == 0 for i in numbers],
    } | change  # fmt: skip
    columns = {name: values for name, values in columns.items() if values is not None}
    metadata = {"huggingface": json.dumps({"info": {"features": FEATURES}})}
    return pa.table(columns).replace_schema_metadata(metadata)


def write_parquet(path, numbers, group=3, **change):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table(list(numbers), **change), path, row_group_size=group)
    return path


def agrees(data, count):
    """Images in any order, and labels, are those that were written."""
    order = np.random.default_rng(0).permutation(count)
    np.testing.assert_array_equal(data.images(order), [np.asarray(tile(i)) for i in order])
    np.testing.assert_array_equal(data.load_all(order), data.images(order))
    assert data.attribute_names == (*COLOURS, "old")
    numbers = np.arange(count)[:, None]
    expected = np.concatenate([numbers % 3 == np.arange(3), numbers % 2 == 0], axis=1)
    np.testing.assert_array_equal(data.attributes, expected)


@pytest.mark.parametrize("name", ["data/{}-00000-of-00001.parquet", "{}/0000.parquet"])
def test_parquet_files_as_the_hub_has_them(tmp_path, name):
    for split, numbers in (("train", range(20)), ("test", range(20, 24))):
        write_parquet(tmp_path / "photos" / name.format(split), numbers)
    data = open_dataset(tmp_path / "photos", 48)
    assert data.partition_source == "splits of the files, last 10 % of train as valid"
    order = [*range(20, 24), *range(20)]  # "test" comes before "train"
    in_order = data.images(range(24))
    np.testing.assert_array_equal(in_order, [np.asarray(tile(i)) for i in order])
    np.testing.assert_array_equal(
        data.images(data.indices("test")), in_order[np.isin(order, range(20, 24))]
    )


def test_one_parquet_file(tmp_path):
    data = open_dataset(write_parquet(tmp_path / "photos.parquet", range(10)), 48)
    assert data.name == "photos" and data.name_of(4) == "row 4"
    agrees(data, 10)


def test_bytes_without_a_struct_and_classes_without_names(tmp_path):
    """As others than `datasets` write them."""
    plain = pa.table(
        {"jpeg": [encoded(i) for i in range(4)], "label": [0, 1, 1, 0], "size": [1, 2, 3, 4]}
    )
    pq.write_table(plain, tmp_path / "plain.parquet")
    data = open_dataset(tmp_path / "plain.parquet", 48)
    np.testing.assert_array_equal(data.images([2])[0], np.asarray(tile(2)))
    assert data.attribute_names == ("class 0", "class 1")
    np.testing.assert_array_equal(data.attributes[:, 1], [False, True, True, False])


def test_the_fingerprint_follows_bytes_and_labels(tmp_path):
    groups = [write_parquet(tmp_path / f"{group}.parquet", range(6), group) for group in (2, 3)]
    other = write_parquet(tmp_path / "c.parquet", range(6), old=[False] * 6)
    prints = [open_dataset(path, 48).fingerprint for path in (*groups, other)]
    assert prints[0] == prints[1] != prints[2]


def test_bad_tables_are_named(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", range(4))
    content = path.read_bytes()
    (tmp_path / "cut.parquet").write_bytes(content[:-20])
    refuses(tmp_path / "cut.parquet", r"^\S+cut\.parquet: cannot read this file \(.*copy it again$")
    path = write_parquet(tmp_path / "none.parquet", range(2), image=None)
    refuses(path, r"none\.parquet: no column of images \(there are: colour, old\)")
    pq.write_table(pa.table({"a": [b"x"], "b": [b"y"]}), tmp_path / "two.parquet")
    refuses(tmp_path / "two.parquet", r"two\.parquet: several columns of images \(a, b\)")
    outside = [{"bytes": None, "path": "/photos/1.png"}]
    path = write_parquet(
        tmp_path / "path.parquet", [1], image=pa.array(outside, table([1])["image"].type)
    )
    with pytest.raises(UserError, match=r"path\.parquet, row 0: no bytes of an image"):
        open_dataset(path, 48, "center").images([0])
    pq.write_table(table([0]).slice(0, 0), tmp_path / "empty.parquet")
    refuses(tmp_path / "empty.parquet", r"empty\.parquet: no rows in these files")


@pytest.mark.parametrize("columns", [{"QQQQ": [1]}, {"beside": [{"QQQQ": 1}]}])
def test_a_name_that_is_not_text_is_refused(tmp_path, columns):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": [{"bytes": encoded(0)}], **columns}), path)
    path.write_bytes(path.read_bytes().replace(b"QQQQ", b"Q\xffQQ"))
    refuses(path, r"a\.parquet: cannot read this file")


# ---------------------------------------------------------------------------------------------
# files of all sorts


def test_a_banner_beside_the_files_hides_nothing(tmp_path):
    path = write_parquet(tmp_path / "photos" / "data" / "train-0.parquet", range(4)).parents[1]
    tile(9).save(path / "banner.png")
    data = open_dataset(path, 48)
    agrees(data, 4)
    assert data.left_out == ("1 image file beside the files that hold the images",)
    for index in range(4):
        tile(index).save(path / f"{index}.png")
    refuses(path, rf"^{path}: 5 image files lie beside files that hold 4 images; move one kind")


@pytest.mark.parametrize("names", [["dataset_dict.json"], ["state.json", "dataset_info.json"]])
def test_a_folder_of_save_to_disk_is_refused(tmp_path, names):
    """Even where images or parquet files lie beside what `datasets` wrote."""
    write_parquet(tmp_path / "a.parquet", range(2))
    tile(0).save(tmp_path / "a.png")
    for name in names:
        (tmp_path / name).write_text("{}")
    refuses(tmp_path, rf"^{tmp_path}: a folder of save_to_disk, .* with Dataset\.to_parquet")


def test_an_image_that_comes_again_is_held_once(tmp_path):
    """25 MB of rows in a file of some kilobytes."""
    large = encoded(0) + bytes(1 << 18)
    rows = pa.array([{"bytes": large, "path": "a"}]).take(pa.array([0] * 100))
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"image": rows}), path, compression="zstd", dictionary_pagesize_limit=1 << 24
    )
    assert path.stat().st_size < 20_000
    del rows
    before = pa.total_allocated_bytes()
    data = open_dataset(path, 48)
    np.testing.assert_array_equal(data.images([99])[0], np.asarray(tile(0)))
    assert pa.total_allocated_bytes() - before < 4 << 20


def test_more_rows_than_can_hold_images_are_refused(tmp_path):
    path = tmp_path / "a.parquet"
    empty = pa.array([None], pa.struct({"bytes": pa.binary(), "path": pa.string()}))
    pq.write_table(pa.table({"image": empty.take(pa.array([0] * 100_000))}), path)
    refuses(path, rf"^{path}: 100,000 rows in [\d,]+ bytes, which hold no")


def test_columns_that_are_no_attributes_are_told(tmp_path):
    """Since an image has no class; two attributes of one name are refused."""
    secret = write_parquet(tmp_path / "a.parquet", range(4), colour=[0, 1, -1, 2])
    data = open_dataset(secret, 48)
    assert data.attribute_names == ("old",)
    assert data.left_out == ("the column colour: 1 of 4 images have none",)
    twice, recorded = table(range(4)), table([0]).schema.metadata
    twice = twice.rename_columns(["image", "colour", "red"]).replace_schema_metadata(recorded)
    pq.write_table(twice, tmp_path / "b.parquet")
    refuses(tmp_path / "b.parquet", r"b\.parquet: attribute red is listed 2 times")


def test_what_stands_beside_the_bytes_is_not_read(tmp_path):
    """A path that is no text, a time before all times, several fields of one name."""
    count = pa.array([encoded(0), encoded(1)])
    beside = {
        "path": pa.array([b"\xff\xfe.png", b"a"]).view(pa.string()),
        "taken": pa.array([-(2**63), 2**63 - 1], pa.timestamp("us")),
    }
    images = pa.StructArray.from_arrays([count, *beside.values()], ["bytes", *beside])
    pq.write_table(pa.table({"image": images}), tmp_path / "a.parquet")
    data = open_dataset(tmp_path / "a.parquet", 48)
    np.testing.assert_array_equal(data.images([1, 0]), [np.asarray(tile(1)), np.asarray(tile(0))])
    twice = pa.Table.from_arrays([count, count], names=["image", "image"])
    pq.write_table(twice, tmp_path / "twice.parquet")
    refuses(tmp_path / "twice.parquet", r"twice\.parquet: column image is listed 2 times")


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    path = write_parquet(tmp_path / "a.parquet", range(2))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    refuses(path, r"a\.parquet: .*needs a package; pip install 'pyarrow>=18'")
