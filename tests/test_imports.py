"""Imports go one way: reports knows only records, probes and diffae know neither each other nor anything above; what
`diffae` has without torch, of files and errors, serves `reports` too.

`diffae.images` and `diffae.app` are fronts: they stand on both, and nothing of `diffae` knows them.

Within `benchmarks`, machinery knows no task and no command, and no task knows another.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"diffae", "probes", "benchmarks", "reports"}
ALLOWED = {
    "diffae": {"diffae"},
    "probes": {"probes"},
    "reports": {"reports"},
    "benchmarks": PACKAGES,
}
TASKS, COMMANDS = "benchmarks.tasks", "benchmarks.commands"
ENTRIES = tuple(
    f"benchmarks.{name}"
    for name in ("api", "run", "measure", "console", "evaluate", "evaluate_iter", "Results")
)
SYSTEM = {
    "diffae.cli",
    "diffae.files",
    "diffae.errors",
}  # what a command of reports may use of diffae
# Who must not import what; a registry's "module:attribute" is no import.
FORBIDDEN = {
    "benchmarks/core": (TASKS, COMMANDS, *ENTRIES),
    "benchmarks/metrics": (TASKS, COMMANDS, *ENTRIES, "benchmarks.systems"),
    "benchmarks/systems": (TASKS, COMMANDS, *ENTRIES),
    "benchmarks/tasks": (COMMANDS, *ENTRIES),
}
# What systems and metrics may know of `core`: modules that know no run.
SMALL = {"batches", "images", "overshoot", "precision", "registry", "request", "store"}


def imported(path: Path) -> set[str]:
    """The modules that a file imports, those inside functions too: `a.b` of `from a import b` where it may be one."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{path}: a relative import"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def lies_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def files(folder: str) -> list[Path]:
    found = list((ROOT / folder).rglob("*.py"))
    assert found
    return found


FRONTS = ("diffae/images", "diffae/app")


def is_front(path: Path) -> bool:
    return any(path.is_relative_to(ROOT / front) for front in FRONTS)


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_imports_go_one_way(package):
    for file in files(package):
        allowed = ALLOWED[package] | ({"probes"} if is_front(file) else set())
        names = {m for m in imported(file) if not any(lies_in(m, of) for of in SYSTEM)}
        assert {name.split(".")[0] for name in names} & PACKAGES <= allowed, file


def test_the_model_does_not_know_its_fronts():
    for file in (one for one in files("diffae") if not is_front(one)):
        names = [front.replace("/", ".") for front in FRONTS]
        wrong = {m for m in imported(file) for front in names if lies_in(m, front)}
        assert not wrong, file


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_machinery_knows_neither_tasks_nor_commands(folder):
    for file in files(folder):
        wrong = {m for m in imported(file) for package in FORBIDDEN[folder] if lies_in(m, package)}
        assert not wrong, file


def test_no_task_knows_another():
    for file in files("benchmarks/tasks"):
        own = file.relative_to(ROOT / "benchmarks/tasks").parts[0].removesuffix(".py")
        others = {m for m in imported(file) if m.startswith(f"{TASKS}.")}
        assert {m.split(".")[2] for m in others} <= {own, "shared"}, file


@pytest.mark.parametrize("folder", ["benchmarks/metrics", "benchmarks/systems"])
def test_systems_and_metrics_know_nothing_of_runs(folder):
    for file in files(folder):
        core = {m.split(".")[2] for m in imported(file) if m.startswith("benchmarks.core.")}
        assert core <= SMALL, file
