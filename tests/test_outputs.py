"""Every flag that names an output: never an input, never twice, never over files of others.

A command refuses before it works, so the inputs here are just files that would be lost.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from refusal import refusal
from runs import KEY, SSIM, change_notes, gate_run

import benchmarks.run
from benchmarks import measure
from benchmarks.commands import train_identity
from diffae import convert
from diffae.data import __main__ as data_command
from diffae.images import __main__ as images_command
from diffae.train import __main__ as train_command
from reports import compare, make

ROOT = Path(__file__).parents[1]
RUN = "training/evaluations/latent/000000000100"
WRITE_NOTHING = {"benchmarks/console.py"}  # or call one of those below


@dataclass(frozen=True)
class Case:
    """A command by the words before its outputs, their flags ("" for a word without one), and its
    inputs.
    """

    main: Callable[[list[str]], object]
    words: Sequence[str]
    flags: Sequence[str]
    folders: bool = False  # what is written
    reads: str | None = "in"


RUNNING, TRAINING, DATA = benchmarks.run.main, train_command.main, data_command.main
IMAGES = images_command.main
CASES = {
    "compare": Case(compare.main, ("in", "in2"), ("--junit", "--page")),
    "make": Case(make.main, ("in2", "in"), ("--out",), True),
    "table": Case(make.main, ("in2", "in", "--table", "x"), ("--out",)),
    "cite": Case(make.main, ("in2", "in", "--cite"), ("--out",)),
    "measure": Case(measure.main, ("fid", "in"), ("--save",)),
    "run": Case(RUNNING, ("all", "--data", "in"), ("--out", "--save-codes"), True),
    "plan": Case(RUNNING, ("all", "--data", "in", "--dry-run"), ("--out",), True),
    "train": Case(TRAINING, ("smoke", "--data", "in"), ("--out",), True),
    "check": Case(DATA, ("check", "in"), ("--sheet",)),
    "prepare": Case(DATA, ("prepare", "in", "--size", "8"), ("",), True),
    "portraits": Case(DATA, ("portraits", "--count", "1"), ("--out",), True, None),
    "convert": Case(convert.main, ("in/last.ckpt",), ("",), True, None),
    "pictures": Case(IMAGES, ("reconstruct", "in"), ("--out",), True),
    "learn": Case(IMAGES, ("learn", "--data", "in"), ("--out",)),
    "identity": Case(train_identity.main, ("--data", "in"), ("--out",)),
}
EACH = [
    pytest.param(case, flag, id=f"{name}{flag}")
    for name, case in CASES.items()
    for flag in case.flags
]
PAIRS = [
    pytest.param(case, *pair, id=f"{name}{''.join(pair)}")
    for name, case in CASES.items()
    for pair in itertools.permutations(case.flags, 2)
]
NEEDED = {IMAGES: "--out"}  # flags that must be there


@pytest.fixture
def lie(tmp_path, monkeypatch):
    """The contents of a folder of inputs and of unrelated files."""
    monkeypatch.chdir(tmp_path)
    for folder in ("in", "in2", RUN):
        Path(folder).mkdir(parents=True)
        for name in ("records.csv", "last.ckpt"):
            Path(folder, name).write_text("what took a week to compute\n")
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(Path(folder, "a.png"))
    Path("theirs").mkdir()
    for folder in (Path(), Path("theirs")):
        (folder / "notes.txt").write_text("a page of somebody's\n")
    Path("link").symlink_to("in")
    return lambda: {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}


def told(case, outputs, capsys):
    """The error line of a command that must refuse."""
    needed = {NEEDED[case.main]: "needed"} if case.main in NEEDED and case.flags != ("",) else {}
    given = needed | outputs
    words = [*case.words, *itertools.chain(*([k, v] if k else [v] for k, v in given.items()))]
    return refusal(case.main, capsys, *words)


@pytest.mark.parametrize("case, flag", EACH)
def test_no_output_is_an_input_or_takes_the_place_of_anothers_file(case, flag, lie, capsys):
    wrong = ["notes.txt"] if flag != "--file" else []
    if case.reads and case.folders:
        wrong += [case.reads, "link", f"{case.reads}/new"]
    elif case.reads:
        Path("soft").symlink_to(f"{case.reads}/records.csv")
        wrong += [f"{case.reads}/records.csv", "soft", f"{case.reads}/new"]
    before = lie()
    for path in wrong:
        line = told(case, {flag: path}, capsys)
        assert f"{flag or 'OUT'} {path}: " in line and "choose a different path" in line, line
        assert lie() == before


@pytest.mark.parametrize("case, one, other", PAIRS)
def test_no_two_outputs_are_one_file(case, one, other, lie, capsys):
    before = lie()
    line = told(case, {one: "here", other: "./here"}, capsys)
    assert "here: is what --" in line and lie() == before


def test_what_a_command_made_it_makes_again(tmp_path, monkeypatch):
    """An empty file, as mktemp makes it, may be replaced too."""
    monkeypatch.chdir(tmp_path)
    folder = gate_run(Path("run"), {KEY: SSIM})
    run = str(change_notes(folder, ended="2026-01-01T00:00:00+00:00"))
    told = ["--junit", "gate.xml", "--page", "gate.md"]
    Path("gate.md").touch()
    for _ in range(2):
        assert compare.main([run, run, *told]) == 0


def test_every_command_is_in_the_table():
    packages = ("benchmarks", "diffae", "probes", "reports")
    commands = {
        path.relative_to(ROOT).as_posix()
        for package in packages
        for path in (ROOT / package).rglob("*.py")
        if '\nif __name__ == "__main__":\n' in path.read_text()
    }
    known = {
        Path(case.main.__code__.co_filename).relative_to(ROOT).as_posix() for case in CASES.values()
    }
    assert commands == known | WRITE_NOTHING
