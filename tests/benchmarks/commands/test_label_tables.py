"""Tables of labels: `measure` and a folder of images read the same labels of a table, or refuse it."""

import csv
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmarks.measure import main
from benchmarks.measuring.codes import read
from diffae.data.__main__ import main as check
from diffae.data.readers.label_table import read_labels
from diffae.data.tables import KEYS
from diffae.system.errors import UserError

N = 60
DRAW = np.random.default_rng(0)
LABELS = {
    "smiling": [["no", "Yes"][k] for k in DRAW.integers(0, 2, N)],
    "shape": [["cube", "ball", "cone"][k] for k in DRAW.integers(0, 3, N)],
    "age": [f"{x:.2f}" for x in DRAW.normal(40, 9, N)],
    "level:ordered": [str(k) for k in DRAW.integers(0, 5, N)],
    "Person": [f"p{k // 2}" for k in range(N)],
    "SPLIT": [["train", "Test", "valid"][k % 3] for k in range(N)],
}
EXPECTED = {
    "smiling": [float(cell == "Yes") for cell in LABELS["smiling"]],
    "shape": [float(["ball", "cone", "cube"].index(cell)) for cell in LABELS["shape"]],
    "age": [float(cell) for cell in LABELS["age"]],
    "level": [float(cell) for cell in LABELS["level:ordered"]],
}
MISSING = ["", " ", "NA", "n/a", "NaN", "null", "None", "?", "unknown", "Unknown", "inf"]
NO_NUMBERS = ["-", "3,5", "forty"]
AFFIX = st.text("ab0_-,;'\"\t é", max_size=4)


def written(path, columns, separator=",", order=range(N)):
    with open(path, "w", newline="") as file:
        rows = ([cells[row] for cells in columns.values()] for row in order)
        csv.writer(file, delimiter=separator).writerows([[*columns], *rows])
    return path


def by_both_readers(folder, names, columns, separator, order):
    """The labels by `measure` and of a folder, in the order of the images: values by name."""
    codes = folder / "codes.npz"
    np.savez(codes, codes=DRAW.normal(size=(N, 2)), files=np.array(names))
    table = written(folder / "labels.csv", columns, separator, order)
    found, _ = read(codes, table)
    measured = dict(zip(found.labels.names, found.labels.values.T.tolist(), strict=True))
    of_folder = read_labels(folder, tuple(names))
    rows = of_folder.fields["columns"]
    listed = {name.partition("=")[0]: rows[name] for name in rows.dtype.names}
    listed["shape"] = np.unique(listed["shape"], return_inverse=True)[1]
    np.testing.assert_array_equal(found.split, of_folder.splits)
    people = of_folder.fields["identities"]
    same_person = found.persons[:, None] == found.persons
    assert np.array_equal(people[:, None] == people, same_person)
    return measured, {name: values.astype(float).tolist() for name, values in listed.items()}


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_a_table_has_the_same_labels_in_any_form_or_is_refused(data):
    """Columns and rows in any order, any names, and any separator; a missing cell is refused."""
    draw = data.draw
    before, after, separator = draw(AFFIX), draw(AFFIX), draw(st.sampled_from(",;\t"))
    names = [f"{before}{row}{after}.png".strip() for row in range(N)]
    named = draw(st.sampled_from([*KEYS, "File_Name", "photo", "Unnamed: 0"]))
    columns = LABELS | {named: names}
    if draw(st.booleans()):
        columns |= {
            draw(st.sampled_from([key for key in KEYS if key != named.lower()])): range(N, 2 * N)
        }
    columns = {name: columns[name] for name in draw(st.permutations([*columns]))}
    order = draw(st.permutations(range(N)))
    damaged = {name: list(cells) for name, cells in columns.items()}
    odd = draw(st.lists(st.sampled_from([*LABELS]), max_size=2))
    for name in odd:
        numbers = name in ("age", "level:ordered")
        words = [*MISSING, *NO_NUMBERS] if numbers else MISSING
        damaged[name][draw(st.integers(0, N - 1))] = draw(st.sampled_from(words))
    with tempfile.TemporaryDirectory() as folder:
        if odd:
            with pytest.raises(UserError, match=r"labels\.csv: (line \d+|age|level:ordered): "):
                by_both_readers(Path(folder), names, damaged, separator, order)
            written(Path(folder) / "labels.csv", damaged, separator, order)
            with pytest.raises(UserError, match=r"labels\.csv: (line \d+|age|level:ordered): "):
                read_labels(Path(folder), tuple(names))
            return
        for labels in by_both_readers(Path(folder), names, damaged, separator, order):
            assert labels == EXPECTED


@pytest.fixture
def codes(tmp_path):
    """Codes that tell the first label of a row, with and without the names of their images."""
    smiling = np.array(EXPECTED["smiling"])
    values = np.stack([smiling + 0.3 * DRAW.normal(size=N), DRAW.normal(size=N)], 1)
    np.savez(tmp_path / "named.npz", codes=values, files=[f"{row:03}.png" for row in range(N)])
    np.savez(tmp_path / "codes.npz", codes=values)
    return tmp_path


NAMES = [f"{row:03}.png" for row in range(N)]
IDS = [str(1000 + 7 * row % N) for row in range(N)]
SMILING = {"smiling": LABELS["smiling"]}


@pytest.mark.parametrize(
    "columns",
    [
        {"file": NAMES} | SMILING,
        SMILING | {"file": NAMES},
        {"image_id": IDS} | SMILING | {"photo": NAMES},
        {"id": IDS, "File": NAMES} | SMILING,
        {"": IDS} | SMILING | {"FILENAME": NAMES},
    ],
)
def test_the_column_whose_cells_name_the_images_matches_them(codes, columns, capsys):
    """Wherever it is, and whatever else is called as if it did; an id is no label."""
    table = written(codes / "labels.csv", columns, order=DRAW.permutation(N))
    main(["auroc", str(codes / "named.npz"), str(table)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == f"labels: 1 binary (smiling); {table}, matched by name"
    assert float(lines[-1].split()[1]) > 0.9
    left_out = [line for line in lines if line.startswith("left out: the column ")]
    assert len(left_out) == len(columns) - 2


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"age": LABELS["age"], "age:real": LABELS["age"]}, "the column age is listed 2 times"),
        ({"person": IDS, "identity": IDS} | SMILING, "two columns are the persons of the images"),
        ({"Split": LABELS["SPLIT"], "split": LABELS["SPLIT"]} | SMILING, "two columns are the split"),
        ({"smiling": ["", *LABELS["smiling"]][:N]}, "line 2: smiling '' is missing"),
        ({"age": ["unknown", *LABELS["age"]][:N]} | SMILING, "line 2: age 'unknown' is missing"),
        ({"age": ["forty", *LABELS["age"]][:N]}, "age: real labels are numbers, not 'forty'"),
        ({"who:real": [str(2**53 + row % 3) for row in range(N)]}, "numbers that float64 tells apart"),
        ({"a;b": NAMES} | SMILING, "line 1 has ',' and ';'; quote the names"),
    ],
)  # fmt: skip
def test_what_would_be_a_wrong_label_is_refused_in_one_line(codes, columns, message):
    header, *rows = [
        ",".join(row)
        for row in zip(*([name, *cells] for name, cells in columns.items()), strict=True)
    ]
    table = codes / "bad.csv"
    table.write_text("\n".join([header, *rows, ""]))
    with pytest.raises(UserError, match="bad.csv: ") as refused:
        read(codes / "codes.npz", table)
    assert message in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("largest", [2**53, 2**64])
def test_values_are_told_apart_as_they_are_written(codes, largest):
    """Numbers beyond float64 are different classes, and `1` and `1.0` one, for both readers."""
    ids = [str(largest + row % 3) for row in range(N)]
    levels = [["0", "1", "1.0", "2"][row % 4] for row in range(N)]
    table = written(codes / "labels.csv", {"file": NAMES, "who": ids, "level": levels})
    found, _ = read(codes / "codes.npz", table)
    assert found.labels.kinds == ("classes", "classes")
    expected = [[row % 3, [0, 1, 1, 2][row % 4]] for row in range(N)]
    assert found.labels.values.tolist() == expected
    names = read_labels(codes, tuple(NAMES)).fields["attribute_names"]
    assert names == (*(f"who={largest + k}" for k in range(3)), "level=0", "level=1", "level=2")


def test_a_word_for_missing_is_a_class_where_this_is_said(codes):
    words = [["NA", "unknown", "?"][row % 3] for row in range(N)]
    table = written(codes / "labels.csv", {"file": NAMES, "land:classes": words})
    found, _ = read(codes / "codes.npz", table)
    assert np.array_equal(found.labels.values[:, 0], [[1, 2, 0][row % 3] for row in range(N)])
    assert read_labels(codes, tuple(NAMES)).fields["attribute_names"] == (
        "land=?",
        "land=NA",
        "land=unknown",
    )


def test_names_of_labels_are_printed_without_control_characters(codes, capsys):
    table = written(codes / "labels.csv", {"file": NAMES, "smi\x1b[31ming": LABELS["smiling"]})
    main(["auroc", str(codes / "codes.npz"), str(table)])
    assert "1 binary (smi\\x1b[31ming);" in capsys.readouterr().out
    np.savez(codes / "labels.npz", labels=EXPECTED["smiling"], names=np.array(["smi\x1b[31ming"]))
    assert read(codes / "codes.npz", codes / "labels.npz")[0].labels.names == ("smi\\x1b[31ming",)


def test_labels_that_differ_by_case_alone_are_named_together(tmp_path, capsys):
    rows = [f"{k}.png,{mood}" for k, mood in enumerate(3 * ["anger", "ANGER", "joy", "fear"])]
    (tmp_path / "labels.csv").write_text("\n".join(["file,mood", *rows]))
    for number in range(12):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"{number}.png")
    check(["check", str(tmp_path), "--size", "8"])
    assert "mood=ANGER and mood=anger differ" in " ".join(capsys.readouterr().out.split())
