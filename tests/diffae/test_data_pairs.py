"""Images with their counterfactuals: of portraits, which are drawn, and by a pairs.csv."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from data_files import printed, refuses, write_rows
from PIL import Image
from refusal import refusal

from benchmarks.core.images import select
from diffae.data import fingerprint, open_dataset, open_portraits
from diffae.data.__main__ import main
from diffae.data.pairs import pairs_of
from diffae.data.portraits import ATTRIBUTES, portrait, render, with_attribute
from diffae.data.portraits.write import planned
from diffae.data.readers import sources
from diffae.data.transforms import Transform
from diffae.system.errors import UserError


@pytest.fixture(scope="module")
def data():
    return open_portraits(40, 32)


@pytest.mark.parametrize(("attribute", "on"), [("Black_Hair", True), ("No_Beard", False)])
def test_counterfactuals_of_portraits_are_drawn_and_resized_as_they_are(data, attribute, on):
    """At the 64 px of the set and then by its transform; of any positions, at any size."""
    pairs = pairs_of(data, attribute, on, 6, 0, "all")
    switched = [with_attribute(portrait(0, int(i)), attribute, on) for i in pairs.before]
    drawn = [Image.fromarray(render(one, 64)) for one in switched]
    for size in (32, 24):
        after = pairs_of(data.at(size), attribute, on, 6, 0, "all").after(np.array([4, 1]))
        expected = np.stack([Transform(size).apply(drawn[k], "") for k in (4, 1)])
        assert np.array_equal(after.permute(0, 2, 3, 1), expected.astype(np.float32) / 127.5 - 1)
        before = data.at(size).batch(pairs.before[[4, 1]])
        assert (after != before).flatten(1).any(1).all()


def test_before_are_the_first_of_the_order_of_a_run_without_the_state(data):
    """Whatever the split and seed."""
    column = data.attributes[:, ATTRIBUTES.index("Smiling")]
    for split, seed, on in [("test", 0, True), ("all", 0, True), ("all", 3, False)]:
        order = select(data, split, 40, seed).order
        expected = [i for i in order if column[i] != on]
        pairs = pairs_of(data, "Smiling", on, 5, seed, split)
        assert pairs.before.tolist() == expected[:5] and (pairs.attribute, pairs.on) == (
            "Smiling",
            on,
        )
        assert len(pairs_of(data, "Smiling", on, 1000, seed, split)) == len(expected)
    every = [pairs_of(data, "Smiling", True, 5, seed, "all").before.tolist() for seed in range(3)]
    assert len(set(map(tuple, every))) == 3
    empty = pairs_of(data, "Smiling", True, 0, 0)
    assert empty.others_changed.shape == (0, 40) and empty.after(np.arange(0)).shape == (
        0,
        3,
        32,
        32,
    )


@pytest.mark.parametrize("on", [True, False])
def test_others_changed_are_those_that_differ_in_the_drawing(on):
    data, seen = planned(120, 32, seed=2), 0
    for attribute in ATTRIBUTES:
        pairs = pairs_of(data, attribute, on, 30, 0, "all")
        for index, others in zip(pairs.before, pairs.others_changed, strict=True):
            one = portrait(2, int(index))
            after = with_attribute(one, attribute, on).attributes
            differ = {name for name in ATTRIBUTES if after[name] != one.attributes[name]}
            assert attribute in differ
            assert {ATTRIBUTES[k] for k in np.flatnonzero(others)} == differ - {attribute}
            seen += len(differ) > 1
    assert seen > 200 if on else not seen  # removing excludes nothing
    goatees = pairs_of(data, "Goatee", on, 30, 0, "all")  # by hand: a goatee is a beard
    shaved = data.attributes[goatees.before, ATTRIBUTES.index("No_Beard")]
    assert np.array_equal(goatees.others_changed[:, ATTRIBUTES.index("No_Beard")], shaved & on)


def test_what_is_refused(data):
    with pytest.raises(
        UserError, match=r"^portraits: no counterfactuals of 'Smilling'; did you mean Smiling\?$"
    ):
        pairs_of(data, "Smilling", True, 4, 0)
    with pytest.raises(
        UserError, match=r"^portraits: no counterfactuals; pairs\.csv beside the images"
    ):
        pairs_of(replace(data, truth=None), "Smiling", True, 4, 0)


# ----------------------------------------------------------------------------------------------
# A folder with pairs.csv

GREY = {f"{k}.png": 8 * k for k in range(12)}  # the grey of each image, by name
ROWS = ("0.png,9.png,Hat,1", "1.png,10.png,Hat,1", "2.png,1.png,Hat,0", "7.png,11.png,Tie,1")
# Of the images with Hat, 2 is no counterfactual; 9, 1 and 11 lose Bald.
LABELS = (
    "file,Hat,Bald",
    "10.png,1,0",
    "0.png,0,1",
    "1.png,0,0",
    "2.png,1,1",
    "3.png,0,0",
    "9.png,1,0",
    "11.png,0,0",
)
LABELS += tuple(f"{k}.png,0,{k % 2}" for k in range(4, 9))


def folder_of(root, rows=ROWS, header="before,after,attribute,on", labels=None):
    """Twelve grey images, 9 to 11 in a folder that sorts between 4.png and 5.png, and their pairs."""
    (root / "4").mkdir(parents=True)
    for k, (name, grey) in enumerate(GREY.items()):
        Image.new("RGB", (24, 20), (grey,) * 3).save(root / ("4" if k > 8 else ".") / name)
    write_rows(root / "pairs.csv", [header, *rows])
    if labels:
        write_rows(root / "labels.csv", labels)
    return root


def grey_of(images):
    """The grey of each image of a batch, which has one."""
    return ((images + 1) * 127.5).round().flatten(1).unique(dim=1).flatten().tolist()


def test_the_counterfactual_is_the_image_of_the_row(tmp_path):
    """Named with or without its folder, and a part of the data set if it is `before` elsewhere."""
    data = open_dataset(folder_of(tmp_path / "a"), 16)
    assert [data.name_of(i) for i in range(len(data))] == [f"{k}.png" for k in range(9)]
    assert data.truth.attributes == ("Hat", "Tie")
    for attribute, on, expected in [
        ("Hat", True, {0: 9, 1: 10}),
        ("Hat", False, {2: 1}),
        ("Tie", True, {7: 11}),
        ("Tie", False, {}),
    ]:
        pairs = pairs_of(data, attribute, on, 9, 0, "all")
        assert sorted(pairs.before.tolist()) == sorted(expected)
        after = pairs.after(np.arange(len(pairs)))
        assert after.shape == (len(pairs), 3, 16, 16) and pairs.others_changed.shape[1] == 0
        for image, index in zip(after, pairs.before, strict=True):
            assert grey_of(image[None]) == [8 * expected[index]]
    first = pairs_of(data, "Hat", True, 1, 0, "all").before
    assert first == next(i for i in select(data, "all", 99, 0).order if i in (0, 1))


def test_labels_tell_what_else_the_counterfactual_changes(tmp_path, capsys):
    """Those of images that are only `after` too, which are no part of the data set and its shares."""
    root = folder_of(tmp_path / "a", labels=LABELS)
    data = open_dataset(root, 16)
    assert len(data) == 9 and data.attribute_names == ("Hat", "Bald")
    np.testing.assert_array_equal(data.attributes[:, 1], [1, 0, 1, 0, 0, 1, 0, 1, 0])
    hats = pairs_of(data, "Hat", True, 9, 0, "all")
    assert dict(zip(hats.before.tolist(), hats.others_changed.tolist(), strict=True)) == {
        0: [False, True],
        1: [False, False],
    }
    for attribute, on in [("Hat", False), ("Tie", True)]:
        assert pairs_of(data, attribute, on, 9, 0, "all").others_changed.tolist() == [[False, True]]
    told = printed(capsys, root)
    assert told["pairs"] == "Hat: 2 on, 1 off Tie: 1 on, 0 off"
    assert told["left out"] == "images that are only `after` in pairs.csv: 3"
    assert told["attributes"] == "2: Hat=0.111, Bald=0.444"
    write_rows(root / "labels.csv", [row for row in LABELS if not row.startswith("8.png")])
    assert "images that labels.csv does not list: 1;" in printed(capsys, root)["left out"]


def test_classes_of_folders_are_labels_too(tmp_path):
    """Another class is one added and one removed; a pair that contradicts its folders is refused."""
    for place in ("train/cat", "train/dog", "test/cat", "test/dog"):
        (tmp_path / place).mkdir(parents=True)
        for name in "ab":
            Image.new("RGB", (16, 16)).save(tmp_path / place / f"{place[-3:]}-{name}.png")
    names = "test/cat/cat-a.png,test/dog/dog-a.png"
    write_rows(tmp_path / "pairs.csv", ["before,after,attribute,on", f"{names},dog,1"])
    pairs = pairs_of(open_dataset(tmp_path, 16), "dog", True, 9, 0)
    assert pairs.dataset.attribute_names == ("cat", "dog")
    assert pairs.others_changed.tolist() == [[True, False]]
    write_rows(tmp_path / "pairs.csv", ["before,after,attribute,on", f"{names},cat,1"])
    with pytest.raises(UserError, match=r"pairs\.csv: test/cat/cat-a\.png and .*otherwise of cat$"):
        pairs_of(open_dataset(tmp_path, 16), "cat", True, 9, 0)


def test_images_of_a_pair_and_of_a_person_are_in_one_split(tmp_path):
    """Where the labels name no persons; of images that no pair links each is its own."""
    rows = [f"{row},{'ada' if row[0] in '07' else 'bob'}" for row in ROWS]
    for name, known, linked in [("a", {}, [(1, 2)]), ("b", {"rows": rows}, [(1, 2), (0, 7)])]:
        header = "before,after,attribute,on" + ",person" * bool(known)
        root = folder_of(tmp_path / name, header=header, **known)
        for seed in range(8):
            data = open_dataset(root, 16, seed=seed)
            for one, other in linked:
                assert data.partition[one] == data.partition[other]
        alone = {*"012345678"} - {str(i) for pair in linked for i in pair}
        assert groups(data) == sorted([*alone, *(f"{i}{j}" for i, j in linked)])
    assert len(groups(open_dataset(folder_of(tmp_path / "c", ROWS[:2]), 16))) == 10
    rows_back = ["0.png,1.png,Hat,1", "1.png,0.png,Hat,0"]
    assert open_dataset(folder_of(tmp_path / "f", rows_back), 16).left_out == ()
    persons = dict(
        zip("file 0 9 4 5 1 10 2 3 11 6 7 8".split(), ["person", *"ppppqqqrrstt"], strict=True)
    )
    own = [f"{row},{persons[row.partition('.')[0].partition(',')[0]]}" for row in LABELS]
    data = open_dataset(folder_of(tmp_path / "d", labels=own), 16)
    assert groups(data) == ["045", "12", "378", "6"]
    data = open_dataset(folder_of(tmp_path / "e", rows, header, own), 16)
    assert groups(data) == ["034578", "12", "6"]


def groups(data):
    """The images of each person, as the digits in their names."""
    people = data.identities
    return sorted({"".join(map(str, np.flatnonzero(people == one))) for one in people})


def test_the_split_is_that_of_the_labels(tmp_path):
    splits = {name: "test" for name in ("0.png", "7.png", "9.png", "11.png")} | {"file": "split"}
    rows = [f"{row},{splits.get(row.partition(',')[0], 'train')}" for row in LABELS]
    data = open_dataset(folder_of(tmp_path / "a", labels=rows), 16)
    assert data.indices("test").tolist() == [0, 7]
    assert pairs_of(data, "Hat", True, 9, 0).before.tolist() == [0]


def test_the_fingerprint_is_of_pairs_and_counterfactuals(tmp_path):
    """Of every byte of them, wherever the folder is."""
    seen = [open_dataset(folder_of(tmp_path / name), 16).fingerprint for name in "ab"]
    assert seen[0] == seen[1]
    root = tmp_path / "b"
    names = dict(open_dataset(root, 16).truth.whole.source.files())
    assert names.keys() == {f"{'4/' * (k > 8)}{k}.png" for k in range(12)} | {"pairs.csv"}
    Image.new("RGB", (24, 20), (1, 2, 3)).save(root / "4/11.png")
    seen.append(open_dataset(root, 16).fingerprint)
    write_rows(root / "pairs.csv", ["before,after,attribute,on", *ROWS[1:], ROWS[0]])
    seen.append(open_dataset(root, 16).fingerprint)
    write_rows(
        root / "pairs.csv", ["before,after,attribute,on", *ROWS[:3]]
    )  # 11.png is of the set now
    seen.append(open_dataset(root, 16).fingerprint)
    assert len({*seen}) == 4


def test_what_is_kept_of_the_files_is_of_all_of_them(tmp_path, monkeypatch):
    """Their survey counts odd counterfactuals too, and `--verify-data` reads them anew."""
    root = folder_of(tmp_path / "a")
    Image.new("RGBA", (24, 20), (0, 0, 0, 9)).save(root / "4/9.png")
    data = open_dataset(root, 16)
    monkeypatch.setattr(fingerprint, "SETTLED", -math.inf)
    assert data.survey.note == "1 of 12 images have transparency, laid on white"
    monkeypatch.setattr(sources, "look_at", None)
    assert open_dataset(root, 16).survey == data.survey  # as it was kept
    fingerprint.forget(data.source)
    with pytest.raises(TypeError):
        _ = open_dataset(root, 16).survey


def test_a_prepared_copy_says_that_it_is_without_the_pairs(tmp_path, capsys):
    """It is the same data set otherwise."""
    root, out = folder_of(tmp_path / "a"), tmp_path / "copy"
    main(["prepare", str(root), str(out), "--size", "16", "--workers", "1"])
    assert "the pairs of pairs.csv" in capsys.readouterr().out
    data, copy = open_dataset(root, 16), open_dataset(out, 16)
    assert copy.fingerprint == data.fingerprint and copy.truth is None
    assert "the pairs of pairs.csv" in copy.left_out and len(copy) == 9
    with pytest.raises(UserError, match="pairs.csv"):
        pairs_of(copy, "Hat", True, 1, 0)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x.png,9.png,Hat,1", "line 6: x.png is none of the images"),
        ("5.png,x.png,Hat,1", "line 6: x.png is none of the images"),
        ("5.png,8.png,Hat,1", "line 6: 8.png is none of the images that have labels"),
        ("5.png,9.png,Hat,yes", r"line 6: needs 4 values; on is 1 \(added\) or 0 \(removed\)"),
        ("5.png,9.png,Hat,-1", "line 6: needs 4 values; on is 1 "),
        ("5.png,9.png,Hat", "line 6: needs 4 values"),
        ("5.png,9.png,Hat,1,1", "line 6: needs 4 values"),
        ("5.png,9.png,,1", "line 6: needs 4 values"),
        ("5.png,9.png,unknown,1", "line 6: needs 4 values"),
        ("5.png,5.png,Hat,1", "line 6: 5.png has another counterfactual, or is its own"),
        (ROWS[0], "line 6: 0.png has another counterfactual"),
        ("./0.png,10.png,Hat,1", "line 6: 0.png has another counterfactual"),
        ("2.png,9.png,Hat,1", "2.png and 4/9.png: the labels say otherwise of Hat"),
        ("4.png,1.png,Hat,1", "4.png and 1.png: the labels say otherwise of Hat"),
        ("5.png,wide.png,Tie,1", "5.png and wide.png: the images have 24 x 20 and 24 x 21 pixels"),
        ("5.png,torn.png,Tie,1", "torn.png: cannot read this image"),
    ],
)
def test_a_row_that_is_no_pair_is_refused(tmp_path, capsys, row, message):
    """As `check` finds; what only the images or labels show, when the pair is asked for."""
    labels = [one for one in LABELS if not one.startswith("8.png")]
    labels += ["wide.png,0,0", "torn.png,0,0"]
    root = folder_of(tmp_path / "a", (*ROWS, row), labels=labels)
    Image.new("RGB", (24, 21)).save(root / "wide.png")
    (root / "torn.png").write_bytes((root / "wide.png").read_bytes()[:20])
    line = refusal(main, capsys, "check", root, "--size", 16)
    assert re.search(message, line) and str(root) in line


@pytest.mark.parametrize(
    "header",
    [
        "before,after,attribute,on,age",
        "before,after,atribute,on",
        "before,after,attribute",
        "before,after,on,on",
        "before,after,attribute,on,on",
        ROWS[0],
    ],
)
def test_a_header_that_is_none_is_refused(tmp_path, header):
    told = "line 1: the columns are before, after, attribute, on, and person if known, not "
    found = re.escape(header.replace(",", ", "))
    refuses(folder_of(tmp_path / "a", ROWS, header), rf"pairs\.csv: {told}{found}$", 16)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("header", ["on,attribute,after,before", "ON,Attribute,After,Before"])
def test_columns_may_be_in_any_order_case_and_separator(tmp_path, header, separator):
    rows = [separator.join(reversed(row.split(","))) for row in ROWS]
    data = open_dataset(folder_of(tmp_path / "a", rows, header.replace(",", separator)), 16)
    assert pairs_of(data, "Hat", False, 9, 0, "all").before == [2]


@pytest.mark.parametrize(
    "rows", [["name,imagenum1,imagenum2", "Ada,1,4"], ["before,after,attribute,on"]]
)
def test_a_table_of_other_pairs_is_left_out(tmp_path, rows):
    """Such as LFW's, of people and numbers of images."""
    data = open_dataset(folder_of(tmp_path / "a", rows[1:], rows[0]), 16)
    assert len(data) == 12 and data.truth is None and data.identities is None
    assert data.left_out == ("1 other file: csv 1",)


def test_sizes_are_those_of_upright_images(tmp_path):
    """A photograph on its side, as its EXIF says, is as large as its counterfactual upright."""
    root = folder_of(tmp_path / "a", ["0.png,edit.jpg,Hat,1"])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 24)).save(root / "edit.jpg", exif=exif)
    assert len(pairs_of(open_dataset(root, 16), "Hat", True, 9, 0, "all")) == 1
