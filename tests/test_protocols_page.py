"""docs/protocols.md and its results against the protocols' files and the published numbers."""

import csv
import re
from collections import defaultdict

import protocol_tables
import pytest
from doc_scripts import script

from benchmarks.measure import main
from benchmarks.measuring.asked import Asked
from benchmarks.metrics.protocols import schema

PAGE = protocol_tables.PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", protocol_tables.TABLES)
def test_no_table_is_stale(name):
    """To update them: PYTHONPATH=. python tests/helpers/protocol_tables.py"""
    page, make = protocol_tables.TABLES[name]
    _, made, _ = protocol_tables.between(page, name)
    assert made.strip("\n") == make()


def rows(name):
    page, _ = protocol_tables.TABLES[name]
    lines = protocol_tables.between(page, name)[1].splitlines()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line][2:]


def test_every_protocol_has_a_row_with_what_sets_it_apart():
    found = {row[0].strip("`"): row[2:] for row in rows("protocols")}
    assert tuple(found) == schema.names()
    pixels, _, psnr, ssim, lpips = found["lightningdit"]
    assert (pixels, psnr) == ("center-tensor, a sample of the posterior", "half up")
    assert "range 2" in ssim and "of pixels in [-1, 1]" in ssim
    assert lpips == "vgg16, not clamped, means of batches of 8"
    assert found["titok"][1:] == ["resize tensorflow, float64", "–", "–", "–"]
    assert found["torchmetrics-1.8"][1] == "truncated, resize antialiased"


def test_the_files_that_ours_was_read_in_exist():
    paths = re.findall(r"\b[a-z]+/[\w/]+\.py\b", " ".join(schema.named("plain").sources.values()))
    root = protocol_tables.PAGE.parents[1]
    assert len(paths) > 12 and not [path for path in paths if not (root / path).is_file()]


def test_every_protocol_has_the_commit_and_the_day_of_its_reading():
    found = {row[0].strip("`"): row[1:] for row in rows("read")}
    assert tuple(found) == schema.names()[1:]
    for name, (repository, commit, day, _) in found.items():
        link = rf"\[[0-9a-f]{{7}}\]\(https://github.com/{repository}/tree/[0-9a-f]{{40}}\)"
        assert re.fullmatch(link, commit), name
        assert schema.named(name).code.startswith(f"{repository}@") and day >= "2026-11-29"


def test_every_number_of_the_file_is_on_the_page_and_second_hand_ones_say_so():
    file = list(csv.DictReader(protocol_tables.FILE.open(encoding="utf-8", newline="")))
    cells = [cell for row in rows("numbers") for cell in row[2:9]]
    printed = [part for cell in cells for part in re.split(r", (?=\d)", cell) if part]
    assert sorted(part.split(" ")[0] for part in printed) == sorted(row["value"] for row in file)
    sources = {row["source"]: row["mark"] for row in file}
    assert len(sources) == len({(row["source"], row["mark"]) for row in file})
    for row in rows("numbers"):
        source = row[-1].removesuffix(" (**second-hand**)")
        assert (source != row[-1]) == (sources[source] == "S")


def test_the_example_of_a_protocol_is_one(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(re.search(r"```toml\n(.+?)```", PAGE, re.DOTALL)[1], encoding="utf-8")
    mine = schema.named(str(path))
    assert (mine.psnr.of, mine.psnr.batch, mine.ssim) == ("batch", 16, None)
    assert mine.pixels == schema.named("plain").pixels
    assert mine.sources["psnr.of"] == "ours/autoencoders@1f2e3d4 evaluate.py l.91"


@pytest.mark.slow
def test_the_explanation_of_the_shipped_pair_is_that_of_the_page(tmp_path, monkeypatch):
    """Its PSNR and SSIM; LPIPS needs weights that are not here."""
    monkeypatch.chdir(protocol_tables.PAGE.parents[1])
    pair = [f"examples/protocols/{name}" for name in ("originals", "jpeg")]
    main(["--explain", *pair, "--out", str(tmp_path / "out"), "--weights-dir", str(tmp_path)])
    made = (tmp_path / "out" / "protocols.md").read_text(encoding="utf-8")
    told = protocol_tables.between(protocol_tables.READ, "explained")[1]

    def cells(text):
        start, end = text.index("### PSNR"), text.index("### LPIPS")
        lines = text[start:end].splitlines()
        return [
            [c.strip() for c in line.split("|")]
            for line in lines
            if not re.search(r"-{3}|:-", line)
        ]

    assert cells(told) == cells(made)


def printed_rows():
    """Of each protocol of the table: the three numbers that it prints, and the marks of all."""
    lines = protocol_tables.between(protocol_tables.PAGE, "which")[1].splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "`" in line]
    return {row[0].split("`")[1]: (row[1:4], row[4:]) for row in cells}


def test_the_table_of_found_protocols_and_the_answer_above_it_agree():
    rows, sets = printed_rows(), defaultdict(list)
    assert list(rows) == [name for name in schema.names() if schema.named(name).psnr]
    for place, (name, (numbers, marks)) in enumerate(rows.items()):
        assert marks[place] == "●", name
        sets[tuple(numbers)].append(name)
        for other, mark in zip(rows.values(), marks, strict=True):
            assert (mark == "●") == (other[0] == numbers), name
            assert (mark == "○") == (other[0] != numbers and other[0][:2] == numbers[:2]), name
    asked = re.search(r"--which psnr=(\S+),ssim=(\S+),lpips=(\S+) ORIGINALS", PAGE).groups()
    found = ", ".join(sets[asked])
    alike = "".join(f"    alike {', '.join(x)}\n" for x in sets.values() if len(x) > 1)
    assert f"    fits {found}\n" in PAGE and f"    ...\n{alike}    not printed" in PAGE
    for metric, text, here in zip(("ssim", "lpips"), asked[1:], rows["plain"][0][1:], strict=True):
        assert f"    excluded plain by {metric}: {text}, here {here}\n" in PAGE


@pytest.mark.slow
def test_the_table_of_found_protocols_is_what_its_script_computes(tmp_path, monkeypatch):
    """Its PSNR and SSIM; LPIPS needs weights that are not here."""
    monkeypatch.syspath_prepend(protocol_tables.ROOT / "docs" / "results")
    which = script(protocol_tables.ROOT / "docs" / "results" / "which.py")
    folders = (which.PAIR / name for name in ("originals", "jpeg"))
    found = which.measured(Asked(*folders, weights_dir=tmp_path), ("psnr", "ssim"))
    made = {row[0].split("`")[1]: (row[1:3], row[4:]) for row in which.rows(found)}
    expected = {
        name: (numbers[:2], [mark.replace("○", "●") for mark in marks])
        for name, (numbers, marks) in printed_rows().items()
    }
    assert made == expected
