"""`python -m reports.make`: from run folders to files, whole or not at all."""

import json
import os
import sys

import pandas as pd
import pytest
from refusal import refusal
from runs import table1, write_run

from reports.make import main


@pytest.fixture
def run(tmp_path):
    records = [table1("DiffAE", "ssim", 0.9963, stderr=0.0003), table1("DDIM", "ssim", 0.9925)]
    times = [
        table1("DiffAE", "images_per_second", 12.5, table="section5.5_times", benchmark="cost")
    ]
    return write_run(tmp_path / "run", records, times=times)


def make(*words):
    return main([str(word) for word in words])


def content(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def test_a_run_becomes_tables_in_three_formats(run, tmp_path, capsys):
    out = tmp_path / "deep" / "out"
    make(run, "--out", out)
    assert "4 tables of 1 run" in capsys.readouterr().out
    files = set(content(out))
    names = ("table1_reconstruction", "section5.5_times")
    assert files >= {f"tables/{n}.{e}" for n in names for e in ("md", "csv")}
    assert files >= {f"latex/{n}.tex" for n in names} | {"made.json"}
    frame = pd.read_csv(out / "tables" / "table1_reconstruction.csv")
    assert list(frame["value"]) == [0.9963, 0.9925]
    page = (out / "tables" / "table1_reconstruction.md").read_text()
    assert "**0.9963** ± 0.0003" in page and "- profile: quick\n- seed: 0" in page
    assert os.listdir(tmp_path / "deep") == ["out"] and oct(out.stat().st_mode)[-2:] != "00"


def test_a_folder_of_its_own_is_made_anew(run, tmp_path):
    out = tmp_path / "out"
    make(run, "--out", out)
    (run / "times.csv").unlink()
    make(run, "--out", out)
    files = content(out)
    assert "tables/section5.5_times.md" not in files and "tables/overview.md" in files
    assert set(json.loads(files["made.json"])["files"]) == set(files) - {"made.json"}


@pytest.mark.parametrize("kind", ["folder", "file", "edited", "added", "link", "run"])
def test_what_others_made_is_not_touched(kind, run, tmp_path, capsys):
    out = tmp_path / "out"
    if kind == "folder":
        out.mkdir()
        (out / "mine.txt").write_text("mine")
    elif kind == "file":
        out.write_text("mine")
    elif kind == "run":
        out = run
    else:
        make(run, "--out", out)
        if kind == "edited":
            (out / "latex/table1_reconstruction.tex").write_text("by hand")
        elif kind == "added":
            (out / "tables/mine.md").write_text("mine")
        else:
            (out / "tables/link").symlink_to(run)
        capsys.readouterr()
    before = content(tmp_path)
    assert str(out) in refusal(main, capsys, run, "--out", out)
    assert content(tmp_path) == before


def test_a_disk_that_refuses_is_one_line(run, tmp_path, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("reports.tables.make_files.write_tables", full)
    assert "No space left" in refusal(main, capsys, run, "--out", tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run"]


def test_the_console_script_knows_it(run, tmp_path, monkeypatch):
    from benchmarks import console

    monkeypatch.setattr(sys, "argv", list(sys.argv))
    assert not console.command(["report", str(run), "--out", str(tmp_path / "out")])
    assert "report" in console.usage()
