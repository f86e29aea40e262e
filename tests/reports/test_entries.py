"""Entries of a board: what is read, what is refused, and whether their numbers follow from their scores."""

import csv
import json

import numpy as np
import pytest
from board_entries import FIELDS, write_card, write_entry
from refusal import refusal
from run_folders import change_notes

from reports.make import main
from reports.records.entries import check, read_entry
from reports.records.record import protocol_id

SCORES = np.random.default_rng(0).normal(0.9, 0.02, 50)


@pytest.fixture
def entry(tmp_path):
    return write_entry(tmp_path / "mine", {"DiffAE": SCORES, "DDIM": SCORES - 0.01})


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
    assert capsys.readouterr().out.startswith(f"{entry}: 2 rows, 2 of them means")
    found = read_entry(entry)
    assert (found.name, found.card.by, found.card.licence) == ("mine", "A. Person", "MIT")
    assert check(found) == 2


def test_scores_are_read_to_their_last_digit(tmp_path):
    found = read_entry(write_entry(tmp_path / "a", {"A": SCORES}))
    assert [score for _, score in found.run.scores_of(found.run.rows[0])] == list(SCORES)


def test_a_number_that_is_not_the_mean_of_its_scores_is_refused(entry, capsys):
    change_cells(entry / "records.csv", "value", "0.95", lambda row: row["system"] == "DDIM")
    line = refusal(main, capsys, "--check", entry)
    assert f"{entry}/records.csv: DDIM, , ssim is 0.95 of 50 images" in line
    assert f"{(SCORES - 0.01).mean():.8g} of 50" in line


def test_scores_of_more_images_are_noticed_even_with_the_same_mean(entry, capsys):
    lines = (entry / "samples.csv").read_text().splitlines()
    (entry / "samples.csv").write_text("\n".join([*lines, *lines[1:]]))
    assert "of 50 images, and by samples.csv" in refusal(main, capsys, "--check", entry)


def test_a_protocol_that_was_changed_is_noticed(entry, capsys):
    name = protocol_id(FIELDS)
    change_notes(entry, protocols={name: FIELDS | {"ssim": "valid"}})
    line = refusal(main, capsys, "--check", entry)
    assert f"run.json: protocol {name} was changed by hand" in line


def test_a_number_needs_a_protocol(entry, capsys):
    change_cells(entry / "records.csv", "protocol", "")
    assert "records.csv: no protocol for DiffAE" in refusal(main, capsys, "--check", entry)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"about": "<b>best</b>"}, "about: has < or >; a card is plain text, without HTML"),
        ({"zzz": "me"}, "no field zzz; there are: title, by, about, link, licence"),
        ({"tittle": "me"}, "no field tittle; did you mean title?"),
        ({"by": None}, "by is missing"),
        ({"by": 7}, "by: not a text; put it in quotes"),
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


def test_a_folder_to_write_is_needed_unless_entries_are_checked(entry, capsys):
    assert "--out DIR is missing" in refusal(main, capsys, entry)


def test_entries_become_one_more_page(entry, tmp_path, capsys):
    main([str(entry), "--out", str(tmp_path / "out")])
    assert "report.html and board.html" in capsys.readouterr().out
    made = json.loads((tmp_path / "out/made.json").read_text())["files"]
    assert {"report.html", "board.html", "tables/overview.csv"} <= made.keys()
    page = (tmp_path / "out/board.html").read_text()
    assert 'href="../mine/records.csv"' in page and "Small models, measured for a test." in page
