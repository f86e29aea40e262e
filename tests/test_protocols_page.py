"""docs/protocols.md and its results against the protocols' files and the published numbers."""

import re
from collections import defaultdict

import protocol_tables
import pytest
from doc_scripts import script

from benchmarks.measuring.request import Request
from benchmarks.metrics.protocols import schema

PAGE = protocol_tables.PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", protocol_tables.TABLES)
def test_no_table_is_stale(name):
    """To update them: PYTHONPATH=. python tests/helpers/protocol_tables.py"""
    page, make = protocol_tables.TABLES[name]
    _, made, _ = protocol_tables.between(page, name)
    assert made.strip("\n") == make()


def test_every_protocol_is_named():
    assert [name for name in schema.names() if f"`{name}`" not in PAGE] == []


def test_the_example_of_a_protocol_is_one(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(re.search(r"```toml\n(.+?)```", PAGE, re.DOTALL)[1], encoding="utf-8")
    mine = schema.named(str(path))
    assert (mine.psnr.of, mine.psnr.batch, mine.ssim) == ("batch", 16, None)
    assert mine.pixels == schema.named("plain").pixels
    assert mine.sources["psnr.of"] == "ours/autoencoders@1f2e3d4 evaluate.py l.91"


def printed_rows():
    """Of each protocol of the table: the three numbers that it prints, and the marks of all."""
    lines = protocol_tables.between(protocol_tables.READ, "which")[1].splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "`" in line]
    return {row[0].split("`")[1]: (row[1:4], row[4:]) for row in cells}


def test_the_table_of_found_protocols_and_the_answer_on_the_page_agree():
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
    found = which.measured(Request(*folders, weights_dir=tmp_path), ("psnr", "ssim"))
    made = {row[0].split("`")[1]: (row[1:3], row[4:]) for row in which.rows(found)}
    expected = {
        name: (numbers[:2], [mark.replace("○", "●") for mark in marks])
        for name, (numbers, marks) in printed_rows().items()
    }
    assert made == expected
