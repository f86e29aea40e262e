"""How every command ends: one line, an exit status, and only readable text."""

import argparse
import ast
import errno
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from in_process import signals_kept
from refusal import refusal

from benchmarks.commands.options import parse
from diffae.system import cli
from diffae.system.errors import UserError
from diffae.system.signals import INTERRUPTED, importing

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("text", "value"), [("20", 20), (" -3 ", -3), ("+7", 7)])
def test_whole_numbers(text, value):
    assert cli.whole_number(text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1e3", "'1e3' is not a whole number"),
        ("1.0", "'1.0' is not a whole number"),
        ("1_000", "'1_000' is not a whole number"),
        ("１０", "'１０' is not a whole number"),
        ("", "'' is not a whole number"),
        ("9" * 5000, "is not a whole number of at most 20 digits"),
    ],
)
def test_what_is_no_whole_number_is_said_in_words(text, message):
    with pytest.raises(ValueError) as error:
        cli.whole_number(text)
    assert message in str(error.value)
    for kind in (cli.positive, cli.natural):
        with pytest.raises(argparse.ArgumentTypeError, match=message.replace("+", r"\+")):
            kind(text)


def test_a_number_in_range_is_taken():
    options = parse(["all", "--set", "data.portraits=1000000"], None)
    assert options.profile.settings()["data.portraits"] == 10**6


def fails(error):
    def main(arguments):
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("a\nb\x1b[31m"), "error: a\\nb\\x1b[31m\n"),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "error: a full disk: No space left on device; make room, then run the same command again to resume\n",
        ),
    ],
)
def test_an_error_is_one_line(error, line, capsys):
    assert refusal(fails(error), capsys) == line


def test_an_error_of_ours_is_not_hidden(capsys):
    with signals_kept(), pytest.raises(FileNotFoundError):
        cli.run(lambda: open("/nowhere/at/all"))


def test_a_path_may_not_be_empty():
    assert cli.path("a/b") == Path("a/b") and cli.path(".") == Path()
    with pytest.raises(argparse.ArgumentTypeError, match="is empty"):
        cli.path("")


def test_no_flag_takes_an_empty_path():
    for package in ("diffae", "benchmarks"):
        for path in (ROOT / package).rglob("*.py"):
            assert "type=Path" not in path.read_text(), f"{path}: use cli.path"


SCRIPT = """
import sys
import warnings
from diffae.system import cli
from diffae.system.errors import UserError
from diffae.system.signals import INTERRUPTED, importing

def main():
    cli.say("progress")
    if "warns" in sys.argv:
        warnings.warn("a fit\\nstopped")
    if "bad" in sys.argv:
        raise UserError("bad input")
    print("results\\n" * 10_000)

cli.run(main)
"""


def shell(command, tmp_path):
    (tmp_path / "main.py").write_text(SCRIPT)
    command = command.replace("COMMAND", f"{sys.executable} -S {tmp_path / 'main.py'}")
    return subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)}
    )


def test_a_warning_is_one_line_without_a_place_in_our_code(tmp_path):
    assert shell("COMMAND warns bad", tmp_path).stderr == (
        "progress\nwarning: a fit\\nstopped\nerror: bad input\n"
    )


def test_a_full_standard_error_changes_no_exit_status(tmp_path):
    assert shell("COMMAND bad 2>/dev/full", tmp_path).returncode == 2
    assert shell("COMMAND 2>/dev/full >/dev/null", tmp_path).returncode == 0


def test_a_full_standard_output_is_one_line(tmp_path):
    ended = shell("COMMAND >/dev/full", tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith("progress\nerror: a full disk: No space left on device")
    assert ended.stderr.count("\n") == 2


def test_a_closed_standard_output_is_one_line(tmp_path):
    ended = shell("COMMAND >&-", tmp_path)
    assert ended.returncode == 2
    assert ended.stderr == "error: standard output is closed; give it a file, or /dev/null\n"


def test_a_reader_that_has_gone_is_no_error(tmp_path):
    ended = shell("COMMAND | head -1; exit ${PIPESTATUS[0]}", tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (141, "results\n", "progress\n")


def calls_of_tqdm(path):
    text = path.read_text()
    for node in ast.walk(ast.parse(text)) if "tqdm" in text else ():
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "tqdm":
            yield {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}


def test_progress_bars_are_for_terminals():
    """`disable=None` is tqdm's word for: not where standard error is no terminal; `bar_is_seen`
    allows notebooks too.
    """
    packages = ("diffae", "benchmarks", "probes", "reports")
    paths = [path for package in packages for path in (ROOT / package).rglob("*.py")]
    bars = [(path.name, given) for path in paths for given in calls_of_tqdm(path)]
    assert len(bars) >= 5
    for name, given in bars:
        assert re.search("None|bar_is_seen", given.get("disable", "")), (name, given)


def test_without_docstrings_a_command_still_says_how_to_use_it():
    ended = subprocess.run(
        [sys.executable, "-OO", "-m", "diffae.data", "--help"],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert ended.returncode == 0 and "diffae.data check PATH" in ended.stdout, ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "module",
    [
        "benchmarks.run",
        "benchmarks.measure",
        "reports.compare",
        "diffae.train",
        "diffae.data check",
        "diffae.data portraits",
        "diffae.convert",
        "benchmarks.commands.train_identity",
    ],
)
def test_every_command_answers_help_without_docstrings(module):
    ended = subprocess.run(
        [sys.executable, "-OO", "-m", *module.split(), "--help"],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert ended.returncode == 0 and ended.stdout.startswith("usage: "), ended.stderr


def test_a_block_of_imports_leaves_the_handlers_of_signals_as_they_were():
    before = [signal.getsignal(number) for number in INTERRUPTED]
    with pytest.raises(ImportError), importing():
        assert all(signal.getsignal(number) is not before[0] for number in INTERRUPTED)
        raise ImportError
    assert [signal.getsignal(number) for number in INTERRUPTED] == before


INTERRUPTED_IMPORT = """
import os, signal
from diffae.system.signals import importing

class Module:
    def __del__(self):  # where Python drops a KeyboardInterrupt
        os.kill(os.getpid(), NUMBER)

with importing():
    Module()
print("went on")
"""


@pytest.mark.parametrize(
    ("number", "line"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")]
)
def test_a_signal_during_imports_is_one_line_wherever_it_comes(number, line):
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IMPORT.replace("NUMBER", str(int(number)))],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    said = f"{line}: run the same command again to resume\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (128 + number, "", said)
