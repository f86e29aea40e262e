"""A folder of images with a labels.csv: what is read, by which name, and what is refused."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from data_files import edit_rows, printed, refuses, replaced, write_rows
from PIL import Image

from diffae.data import open_dataset
from diffae.data.prepare import prepare
from diffae.data.readers.label_table import read_labels
from diffae.data.tables import kind_of

COLOURS = {"red": (250, 0, 0), "green": (0, 250, 0), "blue": (0, 0, 250)}
COUNT = 30


def colour(index):
    return [*COLOURS][index % 3]


def name(index):
    return f"{'sub/' * (index % 2)}{index:02d}.png"


@pytest.fixture
def folder(tmp_path):
    """Images of one colour each, labelled in an order that is not theirs."""
    root = tmp_path / "pictures"
    (root / "sub").mkdir(parents=True)
    for index in range(COUNT):
        Image.new("RGB", (16, 16), COLOURS[colour(index)]).save(root / name(index))
    table(root)
    return root


def table(
    root,
    rows=range(COUNT),
    header="file,colour,big,age,digit",
    more=lambda index: "",
    file="labels.csv",
):
    order = np.random.default_rng(1).permutation(list(rows))
    cells = (
        f"{name(i)},{colour(i)},{'yes' if i % 5 else 'no'},{i / 4},{i % 4}{more(i)}" for i in order
    )
    return write_rows(root / file, [header, *cells])


def index_of(data, row):
    return int(data.name_of(row).rpartition("/")[2].removesuffix(".png"))


def test_labels_are_those_of_the_image_of_the_name(folder):
    """As the pixels show; and the binary, class and real-valued columns are what they are."""
    data = open_dataset(folder, 16)
    shown = [[*COLOURS][int(pixel.argmax())] for pixel in data.images(range(COUNT))[:, 8, 8]]
    assert data.columns["colour"].tolist() == shown
    indices = [index_of(data, row) for row in range(COUNT)]
    assert sorted(indices) == [*range(COUNT)] and indices != [*range(COUNT)]
    values, names, kinds = data.factors(range(COUNT))
    assert names == ("colour", "big", "age", "digit")
    assert kinds == ("classes", "binary", "real", "classes")
    places = [sorted(COLOURS).index(one) for one in shown]
    expected = [[p, i % 5 > 0, i / 4, i % 4] for p, i in zip(places, indices, strict=True)]
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(data.factors([7, 2]).values, np.array(expected)[[7, 2]])


def test_a_binary_column_is_one_attribute_and_a_class_column_one_of_each_class(folder):
    data = open_dataset(folder, 16)
    classes = tuple(f"colour={one}" for one in sorted(COLOURS))
    digits = tuple(f"digit={one}" for one in range(4))
    assert data.attribute_names == (*classes, "big", *digits)
    for row, labels in enumerate(data.labels(range(COUNT))):
        i = index_of(data, row)
        true = {f"colour={colour(i)}", f"digit={i % 4}", *(["big"] if i % 5 else [])}
        assert {data.attribute_names[k] for k in np.flatnonzero(labels)} == true


def test_check_names_the_columns(folder, capsys):
    rows = printed(capsys, folder)
    kinds = "colour (classes, 3), big (binary), age (real), digit (classes, 4)"
    assert rows["columns"] == kinds and rows["left out"] == "nothing"
    assert rows["attributes"].startswith(
        "8: colour=blue=0.333, colour=green=0.333, colour=red=0.333"
    )


@pytest.mark.parametrize("written", ["{0}", "./{0}", "pictures/{0}"])
def test_names_may_have_more_folders_or_fewer(folder, written):
    expected = open_dataset(folder, 16).columns
    change = lambda rows: [rows[0], *(written.format(row) for row in rows[1:])]  # noqa: E731
    edit_rows(folder / "labels.csv", change)
    np.testing.assert_array_equal(open_dataset(folder, 16).columns, expected)
    edit_rows(folder / "labels.csv", lambda rows: [row.rpartition("/")[2] for row in rows])
    np.testing.assert_array_equal(open_dataset(folder, 16).columns, expected)


def test_images_without_a_row_and_columns_that_are_no_labels_are_left_out(folder, capsys):
    table(
        folder,
        range(4, COUNT),
        "file,colour,big,age,digit,here,text",
        lambda i: f',1,"{i}, a text"',
    )
    Image.new("RGB", (16, 16)).save(folder / "new.png")
    for index in range(100, 160):
        Image.new("RGB", (16, 16)).save(folder / f"{index}.png")
    rows = [f"{index}.png,red,no,1,0,1,text {index}" for index in range(100, 160)]
    edit_rows(folder / "labels.csv", lambda listed: [*listed, *rows])
    told = printed(capsys, folder)
    assert told["images"] == str(COUNT - 4 + 60) and "here" not in told["columns"]
    assert told["left out"] == (
        "images that labels.csv does not list: 5; the column here of labels.csv: 1 values in 86 rows; "
        "the column text of labels.csv: 86 values in 86 rows"
    )


def test_split_and_persons_are_taken(folder, capsys):
    words = ["train", "validation", "Test"]
    table(
        folder,
        header="file,colour,big,age,digit,split,Person",
        more=lambda i: f",{words[i % 3]},p{i // 6}",
    )
    data = open_dataset(folder, 16)
    assert [index_of(data, i) % 3 for i in range(COUNT)] == data.partition.tolist()
    people = {
        person: {index_of(data, i) // 6 for i in np.flatnonzero(data.identities == person)}
        for person in range(5)
    }
    assert [len(one) for one in people.values()] == [1] * 5 and data.columns.dtype.names[
        -1
    ] == "digit"
    assert printed(capsys, folder)["partition"] == "splits of the files"


def test_without_a_split_persons_stay_together(folder):
    table(folder, header="file,colour,big,age,digit,identity", more=lambda i: f",{i // 3}")
    data = open_dataset(folder, 16)
    assert data.partition_source == "seeded by identity 60/10/30, seed 0"
    pairs = {(person, split) for person, split in zip(data.identities, data.partition, strict=True)}
    assert len(pairs) == 10 and len(set(data.partition)) == 3


@pytest.mark.parametrize(
    ("split", "source"),
    [("test", "all images as test, by their label"), ("train", "seeded by image 60/10/30, seed 0")],
)
def test_one_split_for_all(folder, split, source):
    table(folder, header="file,colour,big,age,digit,split", more=lambda i: f",{split}")
    assert open_dataset(folder, 16).partition_source == source


@pytest.mark.parametrize(
    ("values", "kind", "attributes"),
    [
        (["0", "1"], "binary", "new"),
        (["1", "-1"], "binary", "new"),
        (["1.0", "0.0"], "binary", "new"),
        (["TRUE", "False", "True"], "binary", "new"),
        (["YES", "no"], "binary", "new"),
        (["Male", "Female"], "binary", "new=Male"),
        (["2", "1"], "binary", "new=2"),
        (["b", "c", "a"], "classes", "new=a new=b new=c"),
        (["10", "2", "7"], "classes", "new=10 new=2 new=7"),
        (["0", "0.5", "1"], "real", ""),
    ],
)
def test_kinds_are_found_out_or_said(folder, values, kind, attributes):
    def found(said=""):
        table(
            folder,
            header=f"file,colour,big,age,digit,new{said}",
            more=lambda i: f",{values[i % len(values)]}",
        )
        data = open_dataset(folder, 16)
        factors = data.factors(range(COUNT))
        assert factors.names[-1].partition("=")[0] == "new"
        return data, factors.kinds[-1]

    data, as_found = found()
    assert as_found == kind
    named = [name for name in data.attribute_names if name.startswith("new")]
    assert " ".join(named) == attributes
    for row, labels in enumerate(data.labels(range(COUNT))):
        of = values[index_of(data, row) % len(values)]
        true = {data.attribute_names[k] for k in np.flatnonzero(labels)} & {*named}
        assert true == {
            f"new={of}",
            *(["new"] if of.lower() in ("1", "1.0", "true", "yes") else []),
        } & {*named}
    assert found(":classes")[1] == "classes"
    if values[0].replace("-", "").replace(".", "").isdecimal():
        assert found(":real")[1] == "real"


def test_an_ordered_column_has_as_many_levels_as_values(tmp_path):
    many = 40_000
    write_rows(
        tmp_path / "labels.csv", ["file,at:ordered", *(f"{i:05d}.png,{i / 7}" for i in range(many))]
    )
    found = read_labels(tmp_path, tuple(f"{i:05d}.png" for i in range(many)))
    assert np.array_equal(found.fields["columns"]["at"], range(many))


def test_whole_numbers_are_classes_if_few_or_without_a_gap():
    """Ages are real-valued, labels of 100 classes are not; scikit-learn calls both multiclass."""
    assert kind_of({*range(18, 81)}) == "real" and kind_of({*range(1, 11)}) == "classes"
    assert (
        kind_of({float(i) for i in range(100)}) == "classes" and kind_of({*range(1, 101)}) == "real"
    )


@pytest.mark.parametrize(
    ("line", "row", "message"),
    [
        (1, "00.png,red,no,1,2", r"labels.csv: line 1: must name the columns"),
        (1, "file,colour,big,big,digit", r"labels.csv: the column big is listed 2 times"),
        (1, "file,colour:real,big,age,digit", r"labels.csv: colour:real: real labels are numbers, not 'blue'; or call it colour:classes"),
        (1, "file,colour:binary,big,age,digit", r"labels.csv: colour:binary: binary labels have two values, not 3; or call it colour:classes"),
        (1, "file,colour,big,split,digit", r"labels.csv: split '0.25' is none of train, valid, test, nor 0, 1 or 2"),
        (4, "00.png,red,no,1", r"labels.csv: line 4: 4 cells, and line 1 names 5 columns"),
        (4, "none.png,red,no,1,2", r"labels.csv: none.png is none of the images"),
        (4, "00.png,red,no,,2", r"labels.csv: line 4: age '' is missing or not finite; fill it, or take"),
        (4, "00.png,red,no,nan,2", r"labels.csv: line 4: age 'nan' is missing or not finite; .*, or call the column age:classes"),
        (4, "a.png,red,no,1,2", r"labels.csv: a.png is several of the images; add its folder"),
    ],
)  # fmt: skip
def test_a_faulty_table_is_refused_in_one_line(folder, line, row, message):
    for place in ("x", "y"):
        (folder / place).mkdir()
        Image.new("RGB", (16, 16)).save(folder / place / "a.png")
    rows = (folder / "labels.csv").read_text().splitlines()
    rows = [one for one in rows if not one.startswith("00.png")]
    write_rows(folder / "labels.csv", replaced(line, row)(rows))
    refuses(folder, message, 16)


def test_an_image_that_is_listed_twice_by_two_names_is_refused(folder):
    edit_rows(folder / "labels.csv", lambda rows: [*rows, "01.png,red,no,1,2"])
    refuses(folder, r"labels.csv: image sub/01.png is listed 2 times", 16)


def test_a_table_of_other_things_is_said_and_class_folders_stay(tmp_path, capsys):
    for index in range(12):
        path = tmp_path / "train" / ("cat", "dog")[index % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (index, 0, 0)).save(path)
    write_rows(tmp_path / "labels.csv", ["class,sound", "cat,meow", "dog,bark"])
    told = printed(capsys, tmp_path)
    assert told["attributes"] == "2: cat=0.500, dog=0.500"
    assert "labels.csv: no column of it names an image" in told["left out"]


def test_metadata_csv_is_read_too(folder):
    (folder / "labels.csv").rename(folder / "metadata.csv")
    assert "colour=red" in open_dataset(folder, 16).attribute_names


def test_other_labels_are_another_fingerprint(folder):
    """Of the same length, and with the same images: what is stored under one is not the other's."""
    before = open_dataset(folder, 16)
    assert before.fingerprint == open_dataset(folder, 16).fingerprint
    edit_rows(
        folder / "labels.csv",
        lambda rows: [row.replace("00.png,red", "00.png,blue") for row in rows],
    )
    after = open_dataset(folder, 16)
    assert after.fingerprint != before.fingerprint
    assert (after.attributes != before.attributes).sum() == 2


def test_a_prepared_copy_has_all_labels(folder, tmp_path):
    table(
        folder,
        header="file,colour,big,age,digit,split,person",
        more=lambda i: f",{['train', 'test'][i % 2]},{i // 4}",
    )
    data = open_dataset(folder, 16)
    prepare(data, tmp_path / "copy")
    shutil.move(folder, tmp_path / "away")
    copy = open_dataset(tmp_path / "copy", 16)
    assert copy.fingerprint == data.fingerprint and copy.attribute_names == data.attribute_names
    for one, same in zip(copy.factors(range(COUNT)), data.factors(range(COUNT)), strict=True):
        np.testing.assert_array_equal(one, same)
    np.testing.assert_array_equal(copy.identities, data.identities)


def test_factors_of_data_without_a_table(folder, tmp_path):
    (folder / "labels.csv").unlink()
    data = open_dataset(folder, 16)
    assert data.factors([0, 1]).values.shape == (2, 0)
    for index in range(12):
        path = tmp_path / "classes" / "train" / ("cat", "dog", "eel")[index % 3] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (index, 0, 0)).save(path)
    data = open_dataset(tmp_path / "classes", 16)
    values, names, kinds = data.factors(range(12))
    assert (names, kinds) == (("class",), ("classes",))
    assert values[:, 0].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    attributes = data.labels(range(12))
    attributes[5] = False  # an image of no class
    values, names, kinds = replace(data, classes=None, attributes=attributes).factors(range(12))
    assert (names, kinds) == (("cat", "dog", "eel"), ("binary",) * 3)
    assert np.array_equal(values, attributes)
