"""Make small faults in the functions that changed since a commit, and show those that no fast test notices.

    pip install mutmut
    python tests/mutate.py --changed main                    all functions that changed since `main`
    python tests/mutate.py --changed main --functions 20     20 of them, drawn by --seed
    python tests/mutate.py --changed main tests/reports      with these tests instead of the whole fast suite

The faults ("mutants") are made and run by mutmut, in a copy of the tracked files in `.mutmut/`. mutmut first runs
the tests once to see which test calls which function; it repeats that when the tests change. Tests of the
repository itself (`tests/test_*.py`) are left out, since they read files that mutmut rewrites. A mutant that
survives is not always a fault: some change nothing that a caller could see.

Exit status: 0 if every mutant was caught, 1 if some survived, 2 if nothing could be run.
"""

import argparse
import ast
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("diffae", "probes", "benchmarks", "reports")
TESTS = tuple(f"tests/{package}" for package in PACKAGES)
CAUGHT = ("killed", "timeout", "segfault")
SETTINGS = """[mutmut]
source_paths =
    {packages}
only_mutate =
    {files}
also_copy =
    {others}
pytest_add_cli_args =
    -m
    not slow
    -p
    no:cacheprovider
pytest_add_cli_args_test_selection =
    {tests}
"""


def functions(text: str) -> dict[str, str]:
    """The functions and methods of a module by mutmut's names, each with its code without docstrings and layout."""
    return dict(_functions(ast.parse(text).body, class_name=""))


def _functions(body: Sequence[ast.stmt], class_name: str) -> Iterator[tuple[str, str]]:
    for node in body:
        if isinstance(node, ast.ClassDef) and not class_name:
            yield from _functions(node.body, node.name)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"xǁ{class_name}ǁ{node.name}" if class_name else f"x_{node.name}"
            yield name, ast.dump(_without_docstrings(node))


def _without_docstrings(function: ast.stmt) -> ast.stmt:
    for node in ast.walk(function):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return function


def changed_functions(root: Path, commit: str) -> list[tuple[str, str]]:
    """The functions of the packages whose code differs from that in the commit: (file, mutmut's name).

    Raises ValueError if git does not know the commit.
    """
    files = _git(root, "diff", "--name-only", "--diff-filter=d", commit, "--", *PACKAGES)
    changed = []
    for file in files.split():
        if file.endswith(".py"):
            before = functions(_text_at(root, commit, file))
            after = functions((root / file).read_text())
            changed += [(file, name) for name, code in after.items() if before.get(name) != code]
    return changed


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(done.stderr.strip())
    return done.stdout


def _text_at(root: Path, commit: str, file: str) -> str:
    """The text of a file in a commit; empty if the commit does not have the file."""
    is_there = _git(root, "ls-tree", "--name-only", commit, "--", file).strip()
    return _git(root, "show", f"{commit}:{file}") if is_there else ""


def copy_tree(root: Path, folder: Path) -> None:
    """Copy the tracked files of the working tree; mutmut's own folder is kept, so that it repeats nothing."""
    for entry in folder.iterdir() if folder.exists() else ():
        if entry.name != "mutants":
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    for name in _git(root, "ls-files", "-z").split("\0"):
        if name and (root / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, folder / name)


def write_settings(folder: Path, files: Sequence[str], tests: Sequence[str]) -> None:
    """Tell mutmut which files to change and which tests to run."""
    own = {*PACKAGES, "mutants", "setup.cfg"}
    lists = {
        "packages": PACKAGES,
        "files": sorted(set(files)),
        "others": sorted(entry.name for entry in folder.iterdir() if entry.name not in own),
        "tests": tests,
    }
    text = SETTINGS.format(**{name: "\n    ".join(values) for name, values in lists.items()})
    (folder / "setup.cfg").write_text(text)


def run_mutmut(folder: Path, names: Sequence[str], jobs: int) -> dict[str, str]:
    """The outcome of each mutant of the named functions, by its name.

    Raises ValueError if mutmut ends with an error, as it does when a test fails without a mutant.
    """
    command = [sys.executable, "-m", "mutmut"]
    done = subprocess.run([*command, "run", "--max-children", str(jobs), *names], cwd=folder)
    if done.returncode:
        raise ValueError(f"mutmut ended with exit status {done.returncode}")
    words = [*command, "results", "--all", "true"]
    listed = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True).stdout
    lines = (line.strip().split(": ", 1) for line in listed.splitlines() if ": " in line)
    outcomes = {name: outcome for name, outcome in lines}
    stems = tuple(name.removesuffix("*") for name in names)
    return {name: outcome for name, outcome in outcomes.items() if name.startswith(stems)}


def print_report(folder: Path, outcomes: dict[str, str]) -> None:
    """Print the change of each mutant that was not caught, then how many had which outcome."""
    for name, outcome in outcomes.items():
        if outcome not in CAUGHT:
            words = [sys.executable, "-m", "mutmut", "show", name]
            shown = subprocess.run(words, cwd=folder, capture_output=True, text=True)
            print(f"\n{name}: {outcome}\n{shown.stdout}")
    counts = Counter(outcomes.values())
    caught = sum(counts[outcome] for outcome in CAUGHT)
    print(", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())))
    print(f"{caught} of {len(outcomes)} mutants caught")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("tests", nargs="*", default=TESTS, help="files or folders of tests")
    parser.add_argument("--changed", metavar="COMMIT", required=True, help="what to compare with")
    parser.add_argument("--functions", type=int, metavar="N", help="how many functions to draw")
    parser.add_argument("--seed", type=int, default=0, help="of that draw (default: 0)")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time (default: 1)")
    arguments = parser.parse_args(argv)
    folder = ROOT / ".mutmut"
    try:
        changed = changed_functions(ROOT, arguments.changed)
        if not changed:
            raise ValueError(f"no function of the packages changed since {arguments.changed}")
        if arguments.functions and arguments.functions < len(changed):
            changed = random.Random(arguments.seed).sample(changed, arguments.functions)
        copy_tree(ROOT, folder)
        write_settings(folder, [file for file, _ in changed], arguments.tests)
        names = [f"{_module(file)}.{name}__mutmut_*" for file, name in changed]
        outcomes = run_mutmut(folder, names, arguments.jobs)
    except ValueError as reason:
        print(reason, file=sys.stderr)
        return 2
    print_report(folder, outcomes)
    return 0 if all(outcome in CAUGHT for outcome in outcomes.values()) else 1


def _module(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


if __name__ == "__main__":
    sys.exit(main())
