"""Runs tests in copies of a tree in which a file has another text.

What takes longest is importing PyTorch, so that is done once; every planted text has a process forked from there,
in which none of this tree's packages has been imported yet.
"""

import ast
import compileall
import contextlib
import importlib
import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Generic, TypeVar

import pytest

What = TypeVar("What")


@dataclass(frozen=True)
class Choice:
    """The tests to run in a file, in this order; those that are not `known` are run too."""

    wanted: Mapping[str, float]
    known: AbstractSet[str]


@dataclass(frozen=True)
class Plant(Generic[What]):
    """The text that `what` gives a file, and the tests to run with it, in stages; the first failure ends them.

    Each stage is a list of files and tests, of which `choice` leaves some out. After `limit` seconds, or after
    `of_processor` seconds of computing, the tests are stopped.
    """

    what: What
    file: str
    text: str
    stages: Sequence[Sequence[str]]
    limit: float
    choice: Choice | None = None
    of_processor: int = resource.RLIM_INFINITY


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


# ----------------------------------------------------------------------------------------------
# A copy of the tree


def tracked(root: Path, *folders: str) -> list[str]:
    """The files of the working tree that git tracks."""
    command = ["git", "ls-files", "-z", "--", *folders]
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True).stdout.decode()
    return sorted(name for name in listed.split("\0") if name and (root / name).is_file())


def copy_tree(root: Path, to: Path) -> None:
    """Copy the files that git tracks; bytecode is validated by content, since a planted file keeps its time."""
    for name in tracked(root):
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, to / name)
    compileall.compile_dir(to, quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH)


def import_what_it_imports(tree: Path) -> None:
    """Import all third-party packages that the tree's modules import, and none of its own."""
    folders = [tree, *(tree / "tests" / name for name in ("", "helpers", "fuzz"))]
    for name in sorted(set(_imports(tree))):
        package = name.split(".")[0]
        own = any(
            (folder / f"{package}{end}").exists() for folder in folders for end in ("", ".py")
        )
        if not own and package not in sys.stdlib_module_names:
            with contextlib.suppress(ImportError):  # not installed, or a helper of the tests
                importlib.import_module(name)


def _imports(tree: Path) -> Iterator[str]:
    for path in tree.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module


# ----------------------------------------------------------------------------------------------
# A process in it


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


class _Chooser:
    """A pytest plug-in that leaves only the chosen tests."""

    def __init__(self, choice: Choice):
        self.choice = choice

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        wanted, known = self.choice.wanted, self.choice.known
        kept = [item for item in items if item.nodeid in wanted or item.nodeid not in known]
        files = {
            path: place for place, path in enumerate(dict.fromkeys(item.path for item in items))
        }
        items[:] = sorted(kept, key=lambda item: (files[item.path], wanted.get(item.nodeid, 0.0)))


def _pytest_here(tree: Path, plant: Plant[object], stop: bool, scratch: Path) -> None:
    """Run tests in `tree`, in this forked process, and write the outcome to `scratch`/result.json."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CPU, (plant.of_processor, plant.of_processor))
    own = Path(__file__).parents[2]  # this tree's tests, and their helpers
    others = [p for p in sys.path if not Path(p or ".").resolve().is_relative_to(own)]
    sys.path[:] = [str(tree), *others]
    for name in [name for name in sys.modules if name.split(".")[0] == __package__]:
        del sys.modules[name]
    os.environ |= {
        "PYTHONPATH": str(tree),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # no test needs one, and each fault would load them
        "DIFFAE_CACHE": str(scratch / "cache"),
    }
    os.chdir(tree)
    with open(scratch / "log.txt", "w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    recorder = _Recorder()
    plugins: list[object] = [recorder, *([_Chooser(plant.choice)] if plant.choice else [])]
    options = ["-q", "-m", "not slow", "-p", "no:cacheprovider", f"--rootdir={tree}"]
    options += [f"--basetemp={scratch / 'tmp'}", *(["-x"] if stop else [])]
    status = 0
    for stage in plant.stages:
        status = int(pytest.main([*options, *stage], plugins=plugins))
        if status not in (0, pytest.ExitCode.NO_TESTS_COLLECTED) and stop:
            break
    (scratch / "result.json").write_text(json.dumps(vars(recorder) | {"status": status}))


def _result(scratch: Path, signal: int = 0) -> Result:
    log = scratch / "log.txt"
    said = log.read_text(errors="replace") if log.exists() else ""
    path = scratch / "result.json"
    if not path.exists():
        return Result(False, log=said, signal=signal)
    return Result(True, log=said, **json.loads(path.read_text()))


@dataclass(frozen=True)
class _Running:
    """A text planted in a copy of the tree, and the file's bytes before; its tests write to `scratch`."""

    plant: Plant
    tree: Path
    before: bytes
    scratch: Path
    deadline: float


class Runner:
    """Runs tests in copies of the tree, `jobs` at a time."""

    def __init__(self, root: Path, scratch: Path, jobs: int):
        self.root, self.scratch = root, scratch
        self.trees = [scratch / f"tree{k}" for k in range(jobs)]
        for tree in self.trees:
            copy_tree(root, tree)
        import_what_it_imports(self.trees[0])
        self.context = multiprocessing.get_context("fork")
        self.started = 0

    def without(self, tests: Sequence[str]) -> Result:
        """Run all of `tests` on the unchanged tree, without a time limit."""
        scratch = self._folder()
        process = self._start(self.trees[0], Plant(None, "", "", [tests], 0), False, scratch)
        process.join()
        return _result(scratch)

    def each(self, plants: Iterable[Plant[What]]) -> Iterator[tuple[What, Result]]:
        """Run the tests of each, with its text planted; yields results in the order in which they end."""
        waiting, free = list(plants), list(self.trees)
        running: dict[BaseProcess, _Running] = {}
        while waiting or running:
            while waiting and free:
                plant = waiting.pop(0)
                tree, scratch = free.pop(), self._folder()
                before = (tree / plant.file).read_bytes()
                (tree / plant.file).write_text(plant.text)
                process = self._start(tree, plant, True, scratch)
                deadline = time.monotonic() + plant.limit
                running[process] = _Running(plant, tree, before, scratch, deadline)
            for process in self._ended(running):
                done = running.pop(process)
                (done.tree / done.plant.file).write_bytes(done.before)
                free.append(done.tree)
                yield done.plant.what, _result(done.scratch, -(process.exitcode or 0))
                shutil.rmtree(done.scratch, ignore_errors=True)

    def _folder(self) -> Path:
        self.started += 1
        folder = self.scratch / f"run-{self.started}"
        folder.mkdir()
        return folder

    def _start(self, tree: Path, plant: Plant, stop: bool, scratch: Path) -> BaseProcess:
        process = self.context.Process(target=_pytest_here, args=(tree, plant, stop, scratch))
        process.start()
        return process

    def _ended(self, running: dict[BaseProcess, _Running]) -> list[BaseProcess]:
        """Wait for a process to end; stops those that exceed their time."""
        deadline = min(run.deadline for run in running.values())
        wait([process.sentinel for process in running], max(0.0, deadline - time.monotonic()))
        for process, run in running.items():
            if process.is_alive() and time.monotonic() >= run.deadline:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid or 0, signal.SIGKILL)
                process.join()
        return [process for process in running if not process.is_alive()]
