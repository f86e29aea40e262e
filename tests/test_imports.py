"""Imports go one way: reports knows only records, probes and diffae know neither each other nor anything above."""

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


def imported_packages(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found & PACKAGES


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_imports_go_one_way(package):
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for file in files:
        assert imported_packages(file) <= ALLOWED[package], file
