"""The console script, and folders whose names are those of our packages."""

import contextlib
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import in_process
import pytest
from refusal import refusal

from benchmarks import console, run
from reports.records.record import read_records

ROOT = Path(__file__).parents[3]


def test_the_script_is_installed_under_its_name():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, name = scripts["diffae-bench"].partition(":")
    assert getattr(importlib.import_module(module), name) is console.main


@pytest.mark.parametrize(
    ("arguments", "module", "passed"),
    [
        (["run", "all", "--seed", "1"], "benchmarks.run", ["all", "--seed", "1"]),
        (["list"], "benchmarks.run", ["list"]),
        (["weights", "alexnet"], "benchmarks.run", ["weights", "alexnet"]),
        (["doctor", "--weights-dir", "x"], "benchmarks.run", ["doctor", "--weights-dir", "x"]),
        (["measure", "ssim", "a", "b"], "benchmarks.measure", ["ssim", "a", "b"]),
        (["compare", "a", "b"], "reports.compare", ["a", "b"]),
        (["report", "a", "--out", "b"], "reports.make", ["a", "--out", "b"]),
        (["train", "smoke"], "diffae.train.__main__", ["smoke"]),
        (["data", "check", "a"], "diffae.data.__main__", ["check", "a"]),
        (["convert", "a", "b"], "diffae.convert", ["a", "b"]),
        (["images", "sample"], "diffae.images.__main__", ["sample"]),
    ],
)
def test_every_command_reaches_its_module(arguments, module, passed, monkeypatch):
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    taken = []
    monkeypatch.setattr(
        importlib.import_module(module), "main", lambda given: taken.append(given) or 1
    )
    assert console.command(arguments) == 1 and taken == [passed]


def test_an_unknown_command_is_one_line(capsys):
    assert "unknown command 'mesure'; did you mean measure?" in refusal(
        console.command, capsys, "mesure"
    )


def test_usage_names_every_command(capsys):
    assert console.command([]) == 0
    said = capsys.readouterr().out
    assert all(f"\n  {name} " in said for name in console.COMMANDS)
    assert set(run.COMMANDS) <= set(console.COMMANDS)
    assert max(map(len, said.splitlines())) < 100


@pytest.mark.parametrize("words", [*map(str, console.COMMANDS), "data check", "images edit"])
def test_a_command_is_called_in_its_usage_as_it_was_typed(words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    with contextlib.suppress(SystemExit):
        console.command([*words.split(), "--help"])
    said = capsys.readouterr().out
    assert re.search(rf"^(usage: )?diffae-bench {words}\b", said, re.M), said
    assert "usage: python -m" not in said


def test_a_folder_called_benchmarks_is_not_taken_for_ours(tmp_path):
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "diffae-bench"  # as pip writes it
    script.write_text("import sys\nfrom benchmarks.console import main\nsys.exit(main())\n")
    (tmp_path / "benchmarks").mkdir()
    for name in ("__init__", "console", "run"):
        (tmp_path / "benchmarks" / f"{name}.py").write_text("print('somebody else')\n")
    ended = subprocess.run(
        [sys.executable, script, "--help"],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("usage: diffae-bench") and "somebody" not in ended.stdout


def test_the_default_run_works_where_a_folder_has_a_packaged_models_name(
    no_effnet, tmp_path, monkeypatch, capsys
):
    """docs/data.md makes a folder `portraits`; it is no checkpoint, and the packaged models are meant."""
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for name in ("portraits", "portraits-ddim", "benchmarks", "runs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes.txt").write_text("mine")
    sizes = [
        "data.portraits=60",
        "reconstruction.images=2",
        "reconstruction.steps=1",
        "data.fit_images=20",
    ]
    sets = [word for size in sizes for word in ("--set", size)]
    run.main(["reconstruction", "--profile", "smoke", *sets])
    (out,) = (tmp_path / "runs").glob("portraits-smoke-*")
    titles = {record.system for record in read_records(out / "records.csv") if record.value}
    assert {"DiffAE", "DDIM"} <= titles
    assert (tmp_path / "portraits" / "notes.txt").read_text() == "mine"


def test_a_class_where_it_is_written_is_found_and_hides_nothing(tmp_path, monkeypatch):
    """As `--systems my_module:MyVAE` needs it; a folder `benchmarks/` there stays theirs."""
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").write_text("raise SystemExit(9)")
    (tmp_path / "blur.py").write_text("")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["diffae-bench", "--help"])
    monkeypatch.setattr(console, "quit_on_signals", lambda: None)
    monkeypatch.chdir(tmp_path)
    with in_process.signals_kept(), pytest.raises(SystemExit) as ended:
        console.main()
    assert not ended.value.code
    assert importlib.util.find_spec("blur").origin == str(tmp_path / "blur.py")
    assert importlib.machinery.PathFinder.find_spec("benchmarks").origin != str(
        tmp_path / "benchmarks" / "__init__.py"
    )
