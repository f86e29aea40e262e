"""Entries of a board: what is read, what is refused, and whether their numbers follow from their scores."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from refusal import refusal
from runs import OF_ENTRIES as FIELDS
from runs import change_notes, write_card, write_entry
from scipy import stats

from reports.make import main
from reports.records.entries import read_entries, read_entry
from reports.records.estimate import Estimate, influences_of_groups
from reports.records.influences import write_influences
from reports.records.record import protocol_id, record_key, write_records
from reports.records.run_folder import read_run

SCORES = np.random.default_rng(0).normal(0.9, 0.02, 50)
HALF = float(stats.t.ppf(0.975, 49) * SCORES.std(ddof=1) / 50**0.5)  # of a 95 % interval


@pytest.fixture
def entry(tmp_path):
    return write_entry(tmp_path / "mine", {"DiffAE": SCORES, "VQ-GAN": SCORES - 0.01})


def change_cells(path, column, text, where=lambda row: True):
    rows = list(csv.DictReader(path.read_text().splitlines()))
    for row in filter(where, rows):
        row[column] = text
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def test_an_entry_is_read_and_checked(entry, capsys):
    write_card(entry, link="https://example.org/code", licence="MIT")
    main(["--check", str(entry)])
    assert capsys.readouterr().out.startswith(f"{entry}: 2 numbers, 2 taken again")
    found = read_entry(entry)
    assert (found.name, found.card.by, found.card.licence) == ("mine", "A. Person", "MIT")
    assert found.taken == set(found.run.records) and not found.not_taken


def test_the_entries_of_this_repository_pass():
    folders = sorted((Path(__file__).parents[2] / "docs/entries").iterdir())
    for entry in read_entries(folders):
        assert entry.measured.keys() > entry.taken


def test_scores_are_read_to_their_last_digit(tmp_path):
    found = read_entry(write_entry(tmp_path / "a", {"A": SCORES}))
    assert [score for _, score in found.run.scores_of(found.run.rows[0])] == list(SCORES)


LOW, HIGH = map(float, stats.norm.interval(0.95, SCORES.mean() - 0.01, 1e-4))
WITHOUT = dict.fromkeys(("stderr", "ci_low", "ci_high"), "")
AP = {"metric": "ap"}  # of a set of images: without scores
# What a forger changes of the row of VQ-GAN, and what is said of it.
FORGERIES = {
    "a mean": (
        {"value": "0.95", "ci_low": repr(0.95 - HALF), "ci_high": repr(0.95 + HALF)},
        "is 0.95 of 50 images, and by samples.csv 0.8925",
    ),
    "a value in its interval": ({"value": "0.894"}, "its interval is"),
    "an interval elsewhere": ({"ci_low": "0.95", "ci_high": "0.96"}, "its interval is 0.95 to"),
    "half an interval": ({"ci_high": ""}, "line 3: an interval with one end"),
    "an error": ({"stderr": "0.0001"}, "its interval is"),
    "an error and its interval": (
        {"stderr": "0.0001", "ci_low": repr(LOW), "ci_high": repr(HIGH)},
        "a standard error of 0.0026 where the row has 0.0001",
    ),
    "no error": (WITHOUT, "a standard error of 0.0026 where the row has None"),
    "an interval alone": ({"stderr": ""}, "line 3: an interval without a standard error"),
    "a direction": ({"direction": "lower"}, "direction is 'lower', not 'higher'"),
    "a unit": ({"unit": "dB"}, "unit is 'dB', not ''"),
    "a range": (AP | WITHOUT | {"value": "1.7"}, "1.7 is above 1"),
    "not a number": ({"value": "nan"}, "nan is not finite"),
    "below a range": (AP | WITHOUT | {"value": "-0.1"}, "-0.1 is below 0"),
    "a metric": ({"metric": "auroc2"}, "no such metric"),
    "no value": ({"value": ""}, "line 3: a standard error or an interval without a value"),
    "no protocol": ({"protocol": ""}, "VQ-GAN, , ssim: no protocol"),
}


@pytest.mark.parametrize("cells, said", FORGERIES.values(), ids=FORGERIES)
def test_a_row_that_contradicts_what_is_beside_it_is_refused(entry, capsys, cells, said):
    for column, text in cells.items():
        change_cells(entry / "records.csv", column, text, lambda row: row["system"] == "VQ-GAN")
    line = refusal(main, capsys, "--check", entry)
    assert said in line and str(entry) in line
    assert said in refusal(main, capsys, entry, "--out", entry.parent / "out")


def test_a_mean_without_its_scores_is_not_taken_again(entry, capsys):
    header, *lines = (entry / "samples.csv").read_text().splitlines()
    kept = [line for line in lines if ",VQ-GAN," not in line]
    (entry / "samples.csv").write_text("\n".join([header, *kept]))
    main(["--check", str(entry)])
    told = capsys.readouterr().out
    assert "2 numbers, 1 taken again" in told and "not taken again: ssim" in told


def test_errors_and_influences_that_are_both_smaller_are_not_those_of_the_scores(tmp_path, capsys):
    near = SCORES.mean() + (SCORES - SCORES.mean()) / 10
    entry = write_entry(tmp_path / "mine", {"DiffAE": near})
    change_scores(entry, SCORES)
    line = refusal(main, capsys, "--check", entry)
    assert "ssim: the influences in influences.npz are not those of its scores" in line


def change_scores(entry, scores):
    texts = iter(map(repr, map(float, scores)))
    path = entry / "samples.csv"
    rows = list(csv.DictReader(path.read_text().splitlines()))
    lines = [list(rows[0]), *(list((row | {"ssim": next(texts)}).values()) for row in rows)]
    path.write_text("".join(",".join(line) + "\n" for line in lines))


def test_pictures_of_a_person_leave_the_error_to_the_influences(tmp_path):
    entry = write_entry(tmp_path / "mine", {"DiffAE": SCORES})
    (record,) = read_run(entry).rows
    (images,) = record.estimate.influences
    persons = influences_of_groups(images.values, np.arange(50) // 2, "persons")
    record = replace(record, estimate=Estimate(record.value, persons, n=50))
    write_records(entry / "records.csv", [record])
    write_influences(entry / "influences.npz", [record])
    assert read_entry(entry).taken == {record_key(record)}


def test_scores_of_more_images_are_noticed_even_with_the_same_mean(entry, capsys):
    lines = (entry / "samples.csv").read_text().splitlines()
    (entry / "samples.csv").write_text("\n".join([*lines, *lines[1:]]))
    assert "of 50 images, and by samples.csv" in refusal(main, capsys, "--check", entry)


def test_a_protocol_that_was_changed_is_noticed(entry, capsys):
    name = protocol_id(FIELDS)
    change_notes(entry, protocols={name: FIELDS | {"ssim": "valid"}})
    line = refusal(main, capsys, "--check", entry)
    assert f"run.json: protocol {name} was changed by hand" in line


@pytest.mark.parametrize(
    "change, said",
    [
        ({"tittle": "me"}, "not a card: there is no field 'tittle'"),
        ({"by": None}, "not a card: no by"),
        ({"by": 7}, "not a card: by: must be a text, not 7"),
        ({"by": " "}, "by: is empty"),
        ({"title": "two\nlines"}, "title: not one line of at most 600 characters"),
        ({"about": "x" * 601}, "about: not one line of at most 600 characters"),
        ({"link": "javascript:alert(1)"}, "link: not an address that begins with https://"),
    ],
)
def test_a_card_is_plain_text_with_known_fields(entry, capsys, change, said):
    write_card(entry, **change)
    line = refusal(main, capsys, "--check", entry)
    assert line == f"error: {entry}/card.yaml: {said}\n"


@pytest.mark.parametrize("text", ["- a list", "", "a: [", "\ttab: x"])
def test_a_card_that_is_no_object_is_refused(entry, capsys, text):
    (entry / "card.yaml").write_text(text)
    assert f"{entry}/card.yaml: not " in refusal(main, capsys, "--check", entry)


def test_what_an_entry_needs_is_named(entry, tmp_path, capsys):
    (entry / "influences.npz").unlink()
    line = refusal(main, capsys, entry, "--out", tmp_path / "out")
    assert f"{entry}/influences.npz: no such file; without it systems cannot be compared" in line
    run = write_entry(tmp_path / "other", {"A": SCORES})
    (run / "samples.csv").unlink()
    assert f"{run}/samples.csv: no such file" in refusal(main, capsys, "--check", run)
    (run / "card.yaml").unlink()
    assert f"{run}/card.yaml: no such file" in refusal(main, capsys, "--check", run)


def test_another_schema_is_refused(entry, capsys):
    change_notes(entry, schema=99)
    assert "run.json: of schema 99, and this version reads 1" in refusal(
        main, capsys, "--check", entry
    )


def test_two_entries_of_one_name_are_refused(entry, tmp_path, capsys):
    other = write_entry(tmp_path / "sub/mine", {"A": SCORES})
    line = refusal(main, capsys, entry, other, "--out", tmp_path / "out")
    assert line == f"error: {other}: {entry} is called mine too; rename one\n"
    line = refusal(main, capsys, f"new={entry}", "--out", tmp_path / "out")
    assert "new=: an entry is named by its folder" in line
    odd = write_entry(tmp_path / "my entry", {"A": SCORES})
    assert "name the folder with letters, digits" in refusal(main, capsys, "--check", odd)
    assert not (tmp_path / "out").exists()


def test_entries_become_one_more_page(entry, tmp_path, capsys):
    main([str(entry), "--out", str(tmp_path / "out")])
    assert "report.html and board.html" in capsys.readouterr().out
    made = json.loads((tmp_path / "out/made.json").read_text())["files"]
    assert {"report.html", "board.html", "tables/overview.csv"} <= made.keys()
    page = (tmp_path / "out/board.html").read_text()
    assert 'href="../mine/records.csv"' in page and "Small models, measured for a test." in page
