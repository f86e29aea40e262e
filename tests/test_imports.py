"""Imports go one way, without circles, including those for types and those inside functions.

`reports` imports only records, `probes` and `diffae` import neither each other nor anything above;
the parts of `diffae` without torch, for files and errors, serve `reports` and `probes` too.
`diffae.images` is user-facing: it imports `probes` too, and nothing else of `diffae` imports it. Within `benchmarks` the order is commands, tasks, core, systems, metrics,
weights, runtime, and no task imports another; within `reports` it is gate, page, tables, records.
"""

import ast
from collections.abc import Collection, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
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
# What `reports` and `probes` may use of diffae.
SYSTEM = {"diffae.system"}
# Within a package, each may import those before it.
LAYERS = {
    "benchmarks": ("runtime", "weights", "metrics", "systems", "core", "tasks"),
    "reports": ("records", "tables", "page"),
}
ABOVE = [
    (package, layer, layers[i:])
    for package, layers in LAYERS.items()
    for i, layer in enumerate(layers, 1)
]
# What one runs, and what Python calls.
ENTRIES = (
    "api",
    "run",
    "measure",
    "measuring",
    "console",
    "commands",
    "evaluate",
    "evaluate_iter",
    "results",
)
ENTRIES += ("make", "compare", "action")
FRONT = "diffae/images"


@cache
def imports(path: Path) -> set[tuple[str, str]]:
    """What a file imports, inside functions too: (a, "") of `import a`, (a, a.b) of `from a import b`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{path}: a relative import"
            found |= {(node.module, f"{node.module}.{alias.name}") for alias in node.names}
    return found


def imported(path: Path) -> set[str]:
    """The modules that a file imports: `a.b` of `from a import b` where it may be one."""
    return {name for pair in imports(path) for name in pair if name}


def used_by(path: Path, modules: Collection[str]) -> set[str]:
    """Those modules that a file imports: `from a import b` of a module b is no use of the package a."""
    return {name if name in modules else module for module, name in imports(path)} & set(modules)


def lies_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def files(folder: str) -> list[Path]:
    found = list((ROOT / folder).rglob("*.py"))
    assert found
    return found


def is_front(path: Path) -> bool:
    return path.is_relative_to(ROOT / FRONT)


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_imports_go_one_way(package):
    for file in files(package):
        allowed = ALLOWED[package] | ({"probes"} if is_front(file) else set())
        names = {m for m in imported(file) if not any(lies_in(m, of) for of in SYSTEM)}
        assert {name.split(".")[0] for name in names} & PACKAGES <= allowed, file


def test_the_model_does_not_know_its_front():
    front = FRONT.replace("/", ".")
    for file in files("diffae"):
        if not is_front(file):
            assert not any(lies_in(module, front) for module in imported(file)), file


@pytest.mark.parametrize(
    ("package", "layer", "above"),
    [*ABOVE, ("reports", "tables", ("gate",)), ("reports", "gate", ("page",))],
)
def test_the_layers_of_a_package_know_only_those_below(package, layer, above):
    for file in files(f"{package}/{layer}"):
        upper = [f"{package}.{name}" for name in (*above, *ENTRIES)]
        wrong = {m for m in imported(file) for name in upper if lies_in(m, name)}
        assert not wrong, file


def test_what_benchmarks_stand_on_knows_nothing_of_runs():
    for file in files("benchmarks/core"):
        if "runner" not in file.parts:
            assert not [m for m in imported(file) if lies_in(m, "benchmarks.core.runner")], file


def test_no_task_knows_another():
    for file in files("benchmarks/tasks"):
        own = file.relative_to(ROOT / "benchmarks/tasks").parts[0].removesuffix(".py")
        others = {m for m in imported(file) if m.startswith("benchmarks.tasks.")}
        assert {m.split(".")[2] for m in others} <= {own, "shared"}, file


def test_there_is_no_circle_of_imports():
    """Of modules; an `__init__` that only hands names on is one like any other."""
    modules = {module_of(file): file for package in PACKAGES for file in files(package)}
    graph = {name: used_by(file, modules.keys()) - {name} for name, file in modules.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_no_folder_has_more_than_fifteen_modules():
    for package in PACKAGES:
        for folder in {file.parent for file in files(package)}:
            count = sum(1 for file in folder.glob("*.py") if file.name != "__init__.py")
            assert count <= 15, folder


def test_the_examples_import_nothing_of_ours_but_what_is_for_plug_ins_and_scripts():
    for file in files("examples"):
        names = {m for m in imported(file) if m.split(".")[0] in PACKAGES}
        used = {name for name in names if not lies_in(name, "benchmarks.plugin")}
        assert used <= {"benchmarks", "benchmarks.evaluate", "benchmarks.systems"}, file


def changed_at_import(nodes: list[ast.stmt]) -> Iterator[ast.expr]:
    """What the statements of a module assign to, or call, when it is imported; those in loops too."""
    for node in nodes:
        if isinstance(node, ast.Assign):
            yield from node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            yield node.target
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            yield node.value.func
        elif isinstance(node, ast.For | ast.With | ast.Try):
            yield from changed_at_import(node.body)


def owner(target: ast.expr) -> str:
    """The name `a` of `a.b[c]`."""
    while isinstance(target, ast.Attribute | ast.Subscript):
        target = target.value
    return target.id if isinstance(target, ast.Name) else "no name"


def test_importing_a_module_changes_no_other():
    """A command calls what it imports below `if __name__ == "__main__"`, which no import executes."""
    for file in [file for package in PACKAGES for file in files(package)]:
        body = ast.parse(file.read_text(encoding="utf-8")).body
        imported_names = {name.rpartition(".")[2] for pair in imports(file) for name in pair}
        for target in changed_at_import(body):
            assert owner(target) not in imported_names, f"{file}: {ast.unparse(target)}"
