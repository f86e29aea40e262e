"""Plants faults in a copy of this tree, one at a time, and demands that tests fail with each and pass without.

    python tests/faults.py                     all faults of tests/faults/*.toml
    python tests/faults.py --only metrics      those of one area, or whose name contains the words
    python tests/faults.py --out docs/results/faults.md

Exit status: 0 every fault is caught, 1 some are not, 2 an entry is wrong. An entry:

    [[fault]]
    name  = "the gate takes NaN for no error"
    file  = "reports/gate/verdicts.py"
    old   = "math.isfinite(x)"     # occurs exactly once in the file
    new   = "True"
    tests = ["tests/reports/test_gate.py"]   # at least one of their fast tests must fail
    hangs = true                   # only where the fault makes a test run for ever

A fault counts as caught where a test fails, not where the tests cannot be collected: code that does not even
import proves nothing about them. What takes longest is importing PyTorch, so that is done once; every fault
has a process forked from there, in which none of this tree's packages has been imported yet.
"""

import argparse
import ast
import compileall
import contextlib
import importlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
FAULTS = "tests/faults"
CRASHES = (signal.SIGBUS, signal.SIGSEGV)  # what reading beyond the end of a mapped file does
PAGE = """# Planted faults

Each line is a fault that `python tests/faults.py` puts into a copy of the tree, one at a time, and the fast test
that fails because of it. The entries are in `tests/faults/*.toml`; `tox -e faults` runs them all.
"""


class WrongEntry(Exception):
    """An entry that cannot be planted, in one line."""


@dataclass(frozen=True)
class Fault:
    """One entry; `area` is the name of its file."""

    area: str
    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    hangs: bool = False


# ----------------------------------------------------------------------------------------------
# Reading the entries


def read(root: Path = ROOT, only: str | None = None) -> list[Fault]:
    """The faults of a tree whose area is `only` or whose name contains it, all of which can be planted.

    Raises WrongEntry with a line for each that cannot.
    """
    faults: list[Fault] = []
    wrong: list[str] = []
    for path in sorted((root / FAULTS).glob("*.toml")):
        for table in tomllib.loads(path.read_text()).get("fault", []):
            name = str(table.get("name", "(no name)"))
            if only is None or only == path.stem or only in name:
                try:
                    faults.append(_checked(_parsed(path.stem, table), root))
                except WrongEntry as reason:
                    wrong.append(f"{path.name}: {name}: {reason}")
    repeated = [name for name, n in Counter(fault.name for fault in faults).items() if n > 1]
    wrong += [f"{name}: two faults have this name" for name in repeated]
    if wrong or not faults:
        raise WrongEntry("\n".join(wrong) or f"no fault's area or name is {only}")
    return faults


def _parsed(area: str, table: dict[str, Any]) -> Fault:
    try:
        return Fault(area, **table | {"tests": tuple(table.get("tests", ()))})
    except TypeError as error:  # an unknown or a missing key
        raise WrongEntry(str(error)) from None


def _checked(fault: Fault, root: Path) -> Fault:
    if not fault.tests:
        raise WrongEntry("it names no tests")
    for name in (fault.file, *(test.split("::")[0] for test in fault.tests)):
        if not (root / name).is_file():
            raise WrongEntry(f"there is no {name}")
    count = (root / fault.file).read_text().count(fault.old) if fault.old else 0
    if count != 1:
        raise WrongEntry(f"old occurs {count} times in {fault.file}, not once")
    if fault.old == fault.new:
        raise WrongEntry("old and new are the same")
    if fault.file.endswith(".py"):
        try:
            compile(planted(fault, root), fault.file, "exec")
        except SyntaxError as error:
            raise WrongEntry(f"{fault.file} is no Python with it: {error}") from None
    return fault


def planted(fault: Fault, root: Path) -> str:
    """The text of the fault's file with the fault planted."""
    return (root / fault.file).read_text().replace(fault.old, fault.new)


# ----------------------------------------------------------------------------------------------
# A copy of the tree, and a process in it


def copy_tree(root: Path, to: Path) -> None:
    """Copy the files that git tracks; bytecode is validated by content, since a planted file keeps its time."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, to / name)
    compileall.compile_dir(to, quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH)


def import_what_it_imports(tree: Path) -> None:
    """Import all third-party packages that the tree's modules import, and none of its own."""
    for name in sorted(set(_imports(tree))):
        package = name.split(".")[0]
        own = (tree / package).exists() or package in sys.stdlib_module_names
        if not own:
            with contextlib.suppress(ImportError):  # not installed, or a helper of the tests
                importlib.import_module(name)


def _imports(tree: Path) -> Iterator[str]:
    for path in tree.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module


class _Recorder:
    """A pytest plug-in: which tests ran, which failed, and whether something could not be collected."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.failed: list[str] = []
        self.uncollected: list[str] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.uncollected.append(report.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.ran.append(report.nodeid)
        if report.failed:
            self.failed.append(report.nodeid)


def _pytest_here(tree: Path, tests: Sequence[str], stop: bool, scratch: Path) -> None:
    """Run tests in `tree`, in this forked process, and write the outcome to `scratch`/result.json."""
    os.setsid()
    sys.path[:] = [str(tree)] + [p for p in sys.path if Path(p or ".").resolve() != ROOT / "tests"]
    os.environ |= {
        "PYTHONPATH": str(tree),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # no test needs one, and each fault would load them
        "DIFFAE_CACHE": str(scratch / "cache"),
    }
    sys.dont_write_bytecode = True
    os.chdir(tree)
    with open(scratch / "log.txt", "w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    recorder = _Recorder()
    options = ["-q", "-m", "not slow", "-p", "no:cacheprovider", f"--rootdir={tree}"]
    options += [f"--basetemp={scratch / 'tmp'}", "-x"][: 2 if stop else 1]
    status = pytest.main([*options, *tests], plugins=[recorder])
    (scratch / "result.json").write_text(json.dumps(vars(recorder) | {"status": int(status)}))


@dataclass(frozen=True)
class Result:
    """The outcome of a run of tests; `finished` is false if it was stopped or died, of `signal` if any.

    `status` is pytest's: 0 all passed, 1 some failed, anything else: they could not be run.
    """

    finished: bool
    status: int = -1
    ran: Sequence[str] = ()
    failed: Sequence[str] = ()
    uncollected: Sequence[str] = ()
    log: str = ""
    signal: int = 0


def _result(scratch: Path, signal: int = 0) -> Result:
    log = scratch / "log.txt"
    said = log.read_text(errors="replace") if log.exists() else ""
    path = scratch / "result.json"
    if not path.exists():
        return Result(False, log=said, signal=signal)
    return Result(True, log=said, **json.loads(path.read_text()))


class Runner:
    """Runs tests in copies of the tree, `jobs` at a time, each for at most `limit` seconds."""

    def __init__(self, root: Path, scratch: Path, jobs: int, limit: float):
        self.root, self.scratch, self.limit = root, scratch, limit
        self.trees = [scratch / f"tree{k}" for k in range(jobs)]
        for tree in self.trees:
            copy_tree(root, tree)
        import_what_it_imports(self.trees[0])
        self.context = multiprocessing.get_context("fork")

    def without(self, tests: Sequence[str]) -> Result:
        """Run all of `tests` on the unchanged tree, without a time limit."""
        scratch = self._folder("without")
        process = self._start(self.trees[0], tests, False, scratch)
        process.join()
        return _result(scratch)

    def each(self, faults: Sequence[Fault]) -> Iterator[tuple[Fault, Result]]:
        """Run every fault's tests with the fault planted; yields results in the order in which they end."""
        waiting, free = list(enumerate(faults)), list(self.trees)
        running: dict[BaseProcess, _Running] = {}
        while waiting or running:
            while waiting and free:
                number, fault = waiting.pop(0)
                tree, scratch = free.pop(), self._folder(str(number))
                (tree / fault.file).write_text(planted(fault, tree))
                process = self._start(tree, fault.tests, True, scratch)
                deadline = time.monotonic() + self.limit
                running[process] = _Running(fault, tree, scratch, deadline)
            for process in self._ended(running):
                done = running.pop(process)
                shutil.copy(self.root / done.fault.file, done.tree / done.fault.file)
                free.append(done.tree)
                yield done.fault, _result(done.scratch, -(process.exitcode or 0))
                shutil.rmtree(done.scratch, ignore_errors=True)

    def _folder(self, name: str) -> Path:
        folder = self.scratch / f"run-{name}"
        folder.mkdir()
        return folder

    def _start(self, tree: Path, tests: Sequence[str], stop: bool, scratch: Path) -> BaseProcess:
        process = self.context.Process(target=_pytest_here, args=(tree, tests, stop, scratch))
        process.start()
        return process

    def _ended(self, running: dict[BaseProcess, "_Running"]) -> list[BaseProcess]:
        """Wait for a process to end; stops those that exceed their time."""
        deadline = min(run.deadline for run in running.values())
        wait([process.sentinel for process in running], max(0.0, deadline - time.monotonic()))
        for process, run in running.items():
            if process.is_alive() and time.monotonic() >= run.deadline:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid or 0, signal.SIGKILL)
                process.join()
        return [process for process in running if not process.is_alive()]


@dataclass(frozen=True)
class _Running:
    """A fault in a copy of the tree; its tests write to `scratch`."""

    fault: Fault
    tree: Path
    scratch: Path
    deadline: float


# ----------------------------------------------------------------------------------------------
# Verdicts


def verdict(fault: Fault, result: Result) -> tuple[bool, str]:
    """Whether the fault was caught, and by which test, or why not."""
    if result.signal in CRASHES:
        return True, f"its tests end with {signal.Signals(result.signal).name}"
    if not result.finished:
        return fault.hangs, "time limit" if fault.hangs else "its tests did not end"
    if result.uncollected:
        return False, f"with it, {result.uncollected[0]} cannot be collected"
    if result.status not in (0, 1):
        return False, f"pytest could not run its tests (status {result.status})"
    if result.failed:
        return True, result.failed[0]
    return False, "all of its tests pass"


def unsound(faults: Sequence[Fault], result: Result) -> dict[Fault, str]:
    """Faults whose tests prove nothing, with the reason: they fail without any fault, or there are none."""
    if not result.finished:
        return dict.fromkeys(faults, f"the tests did not end without a fault: {result.log[-500:]}")
    return {fault: reason for fault in faults if (reason := _unsound(fault, result))}


def _unsound(fault: Fault, result: Result) -> str:
    for test in fault.tests:
        if result.status not in (0, 1):
            return f"pytest could not run its tests: {result.log[-500:]}"
        for name in result.failed:
            if _is_in(name, test):
                return f"{name} fails without a fault"
        if test.split("::")[0] in result.uncollected:
            return f"{test} cannot be collected"
        if not any(_is_in(name, test) for name in result.ran):
            return f"{test} names no fast test that runs here"
    return ""


def _is_in(name: str, test: str) -> bool:
    return name == test or name.startswith((f"{test}::", f"{test}["))


def page(caught: dict[Fault, str]) -> str:
    """The list as Markdown, in the order of the entries."""
    files = len({fault.file for fault in caught})
    lines = [PAGE, f"{len(caught)} faults in {files} files.", ""]
    for area in sorted({fault.area for fault in caught}):
        lines += [f"## {area}", "", "| fault | file | caught by |", "|---|---|---|"]
        for fault, by in caught.items():
            if fault.area == area:
                cells = (fault.name, f"`{fault.file}`", f"`{by}`" if "::" in by else by)
                lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        faults = read(ROOT, arguments.only)
    except WrongEntry as reason:
        print(reason, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="faults-") as scratch:
        runner = Runner(ROOT, Path(scratch).resolve(), arguments.jobs, arguments.limit)
        tests = sorted({test for fault in faults for test in fault.tests})
        wrong = unsound(faults, runner.without(tests))
        for fault, why in wrong.items():
            print(f"WRONG   {fault.area}: {fault.name}: {why}", flush=True)
        sound = [fault for fault in faults if fault not in wrong]
        caught, missed = plant(runner, sound, arguments.verbose)
    print(f"{len(caught)} of {len(faults)} faults caught")
    if arguments.out and len(caught) == len(faults):
        arguments.out.write_text(page({fault: caught[fault] for fault in faults}))
    return 1 if missed else 2 if wrong else 0


def plant(
    runner: Runner, faults: Sequence[Fault], verbose: bool
) -> tuple[dict[Fault, str], list[Fault]]:
    """Plant each fault and print one line for each: the test that caught it, or that none did."""
    caught: dict[Fault, str] = {}
    missed: list[Fault] = []
    for fault, result in runner.each(faults):
        is_caught, by = verdict(fault, result)
        if is_caught:
            caught[fault] = by
        else:
            missed.append(fault)
        print(
            f"{'caught' if is_caught else 'MISSED'}  {fault.area}: {fault.name}: {by}", flush=True
        )
        if verbose:
            print(result.log, flush=True)
    return caught, missed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--only", help="an area, or words of a fault's name")
    parser.add_argument("--jobs", type=int, default=1, help="faults at a time (default: 1)")
    parser.add_argument("--limit", type=float, default=120, help="seconds for a fault's tests")
    parser.add_argument("--out", type=Path, help="write the list as Markdown, if all are caught")
    parser.add_argument("--verbose", action="store_true", help="print what pytest says")
    return parser


if __name__ == "__main__":
    sys.exit(main())
