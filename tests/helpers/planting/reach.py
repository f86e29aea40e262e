"""Which test reaches which line: the fast suite run once, under coverage.py.

Each test is a context of coverage.py, and so is each fixture that several tests share: its lines count for all
of them. A child process belongs to the test that started it, unless it got a clean environment or was killed.
As a plug-in of pytest (`-p planting.reach`) this module names the contexts and keeps the seconds of each test.
"""

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import coverage
import pytest

from .changed import PACKAGES
from .runner import copy_tree, tracked

CONTEXT = "REACH_CONTEXT"  # of this process and its children
FOLDER = "REACH_FOLDER"
THESE = (  # the tests and the tools of planted faults, which reach no package
    "tests/faults",
    "tests/helpers/fault_trees.py",
    "tests/helpers/planting",
    "tests/test_faults.py",
    "tests/test_mutations.py",
)
LINES, TESTS = "lines", "tests.json"
RC = """[run]
context = ${{REACH_CONTEXT-}}
core = ctrace
data_file = {folder}/lines
parallel = true
patch = fork, _exit
relative_files = true
source = {sources}
"""


# ----------------------------------------------------------------------------------------------
# In the processes of pytest


class Contexts:
    """The plug-in: `tests` has the seconds of each test, its shared fixtures, and whether it passes."""

    def __init__(self) -> None:
        self.tests: dict[str, dict[str, Any]] = {}

    def pytest_sessionfinish(self) -> None:
        (Path(os.environ[FOLDER]) / f"tests-{os.getpid()}.json").write_text(json.dumps(self.tests))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        fixtures = getattr(item, "_fixtureinfo", None)
        shared = fixtures.name2fixturedefs.values() if fixtures else ()
        contexts = [_name(each) for defined in shared for each in defined if _is_shared(each)]
        self.tests[item.nodeid] = {"seconds": 0.0, "fixtures": contexts, "passes": False}
        _enter(item.nodeid)
        result = yield
        _enter("")
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
        before = os.environ.get(CONTEXT, "")
        if _is_shared(fixturedef):
            _enter(_name(fixturedef))
        try:
            return (yield)
        finally:
            _enter(before)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = self.tests.get(report.nodeid)
        if test is not None:  # None in the process that only hands out the tests
            test["seconds"] += report.duration
            test["passes"] = report.passed and (test["passes"] or report.when == "call")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Contexts(), "reach-contexts")


def _is_shared(fixture: "pytest.FixtureDef[Any]") -> bool:
    return fixture.scope != "function"


def _name(fixture: "pytest.FixtureDef[Any]") -> str:
    return f"{fixture.baseid} {fixture.argname}"


def _enter(context: str) -> None:
    os.environ[CONTEXT] = context
    if now := coverage.Coverage.current():
        now.switch_context(context)


# ----------------------------------------------------------------------------------------------
# The map


class Reach:
    """The tests that reach a line. `seconds` has those that pass, `known` all that ran."""

    def __init__(self, root: Path, folder: Path):
        self.root = root
        self.data = coverage.CoverageData(str(folder / LINES))
        self.data.read()
        tests = json.loads((folder / TESTS).read_text())
        self.known = frozenset(tests)
        self.seconds = {name: test["seconds"] for name, test in tests.items() if test["passes"]}
        self.users: dict[str, list[str]] = defaultdict(list)  # of a fixture that tests share
        for name, test in tests.items():
            for fixture in test["fixtures"]:
                self.users[fixture].append(name)

    def tests(self, path: str, lines: Iterable[int]) -> dict[str, float]:
        """Tests that reach one of the lines of a file, the quickest first, with their seconds.

        Lines that run on import alone are reached by the tests that reach their module, else a module that imports it.
        """
        by_line = self._contexts(path)
        lines = [line for line in lines if line in by_line]
        here = self._of(by_line, lines)
        if lines and not here:
            here = self._of(by_line, by_line)
            here = here or {name for by in self._importers(path) for name in self._of(by, by)}
        return {name: self.seconds[name] for name in sorted(here, key=self.seconds.__getitem__)}

    def _contexts(self, path: str) -> dict[int, list[str]]:
        return _contexts(self.data, path)

    def _of(self, contexts: dict[int, list[str]], lines: Iterable[int]) -> set[str]:
        found = {name for line in lines for name in contexts.get(line, ())}
        found |= {user for name in found for user in self.users.get(name, ())}
        return found & self.seconds.keys()

    def _importers(self, path: str) -> Iterator[dict[int, list[str]]]:
        module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for other in self.data.measured_files():
            names = _imported((self.root / other).read_text()) if other != path else ()
            if module in names:
                yield self._contexts(other)


@cache
def _contexts(data: coverage.CoverageData, path: str) -> dict[int, list[str]]:
    return data.contexts_by_lineno(path)


@cache
def _imported(text: str) -> frozenset[str]:
    """The modules that a text imports, and all names that it imports from modules."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found)


def reach(root: Path, jobs: int) -> Reach:
    """The map of a tree: the kept one of the same content, or a new one, for which the fast suite runs."""
    cache = Path(os.environ.get("DIFFAE_CACHE") or "~/.cache/diffae").expanduser()
    folder = cache / "reach" / content(root)
    if not (folder / TESTS).exists():
        print(f"running the fast tests once, to see what each reaches ({folder})", flush=True)
        with tempfile.TemporaryDirectory(prefix="reach-") as scratch:
            made = _run(root, Path(scratch).resolve(), jobs)
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(made, folder)
    return Reach(root, folder)


def content(root: Path) -> str:
    """A hash of what decides the map: the packages and the tests, without those of planted faults."""
    digest = hashlib.sha256()
    for name in tracked(root, *PACKAGES, "tests"):
        if not name.startswith(THESE):
            digest.update(
                f"{name}\0".encode() + hashlib.sha256((root / name).read_bytes()).digest()
            )
    return digest.hexdigest()[:24]


def _run(root: Path, scratch: Path, jobs: int) -> Path:
    """Run the fast suite in a copy of the tree; returns the folder with the map."""
    tree, parts, made = scratch / "tree", scratch / "parts", scratch / "map"
    for folder in (parts, made):
        folder.mkdir()
    copy_tree(root, tree)
    rc = scratch / "coverage.ini"
    rc.write_text(RC.format(folder=parts, sources=",".join(PACKAGES)))
    helpers = tree / "tests" / "helpers"
    environment = os.environ | {
        "COVERAGE_PROCESS_START": str(rc),
        "DIFFAE_CACHE": str(scratch / "cache"),
        "PYTHONPATH": f"{tree}{os.pathsep}{helpers}",
        FOLDER: str(parts),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-p", "planting.reach"]
    command += ["-p", "no:cacheprovider", f"--basetemp={scratch / 'tmp'}"]
    command += ["-n", str(jobs), "--dist", "loadfile"] if jobs > 1 else []
    subprocess.run(command, cwd=tree, env=environment, stdout=sys.stderr)
    tests = {
        name: test
        for path in parts.glob("tests-*.json")
        for name, test in json.loads(path.read_text()).items()
    }
    if not tests:
        raise ValueError("the fast tests could not be run")
    combine(rc, sorted(map(str, parts.glob("lines.*"))), made / LINES)
    (made / TESTS).write_text(json.dumps(tests))
    return made


def combine(rc: Path, parts: Sequence[str], to: Path) -> None:
    """Put the lines of all processes into one file."""
    together = coverage.Coverage(data_file=str(to), config_file=str(rc))
    together.combine(parts, keep=True)
    together.save()
