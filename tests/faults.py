"""Plants faults in a copy of this tree, one at a time, and demands that tests fail with each and pass without.

    python tests/faults.py                     all faults of tests/faults/*.toml
    python tests/faults.py --only metrics      those of one file, or whose name contains the words
    python tests/faults.py --changed main --sample 100    mutations of the functions that changed since a commit

Exit status: 0 every fault is caught, 1 some are not, 2 an entry is wrong. An entry, in the file of its part of
the code:

    [[fault]]
    name  = "the gate takes NaN for no error"
    file  = "reports/gate/verdicts.py"
    old   = "math.isfinite(x)"     # occurs exactly once in the file
    new   = "True"
    tests = ["tests/reports/test_gate.py"]   # at least one of their fast tests must fail
    hangs = true                   # only where the fault makes a test run for ever

An entry counts as caught where a test fails, not where the tests cannot be collected: code that does not even
import proves nothing about them.

`--changed` needs no entries: it makes small changes itself (planting/mutations.py), runs the fast tests that reach
the changed line, and prints each that no test catches as a diff. Some of these are no faults: no test can see them.
What a test reaches is found by running the fast suite once, and kept in $DIFFAE_CACHE until a package or a test
changes.
"""

import argparse
import signal
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "helpers"))

from planting.runner import Plant, Result, Runner  # noqa: E402
from planting.survey import survey  # noqa: E402

FAULTS = "tests/faults"
CRASHES = (signal.SIGBUS, signal.SIGSEGV)  # what reading beyond the end of a mapped file does


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


def main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.changed and (arguments.only or arguments.verbose):
        parser.error("--only and --verbose are for entries, --changed is for mutations")
    if arguments.sample is not None and (arguments.sample < 1 or not arguments.changed):
        parser.error("--sample: a number of at least 1, with --changed")
    try:
        return _changed(arguments) if arguments.changed else _entries(arguments)
    except (WrongEntry, ValueError) as reason:
        print(reason, file=sys.stderr)
        return 2


def _changed(arguments: argparse.Namespace) -> int:
    base, count, seed = arguments.changed, arguments.sample, arguments.seed
    outcomes = survey(ROOT, base, count, seed, arguments.jobs, arguments.limit)
    return 0 if all(outcome.caught for outcome in outcomes) else 1


def _entries(arguments: argparse.Namespace) -> int:
    faults = read(ROOT, arguments.only)
    with tempfile.TemporaryDirectory(prefix="faults-") as scratch:
        runner = Runner(ROOT, Path(scratch).resolve(), arguments.jobs)
        tests = sorted({test for fault in faults for test in fault.tests})
        wrong = unsound(faults, runner.without(tests))
        for fault, why in wrong.items():
            print(f"WRONG   {fault.area}: {fault.name}: {why}", flush=True)
        sound = [fault for fault in faults if fault not in wrong]
        missed = plant(runner, sound, arguments.limit, arguments.verbose)
    print(f"{len(sound) - len(missed)} of {len(faults)} faults caught")
    return 1 if missed else 2 if wrong else 0


def plant(runner: Runner, faults: Sequence[Fault], limit: float, verbose: bool) -> list[Fault]:
    """Plant each fault and print one line for each: the test that caught it, or that none did.

    Returns those that none did.
    """
    missed: list[Fault] = []
    plants = (Plant(f, f.file, planted(f, ROOT), [f.tests], limit) for f in faults)
    for fault, result in runner.each(plants):
        is_caught, by = verdict(fault, result)
        missed += [] if is_caught else [fault]
        print(
            f"{'caught' if is_caught else 'MISSED'}  {fault.area}: {fault.name}: {by}", flush=True
        )
        if verbose:
            print(result.log, flush=True)
    return missed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--only", help="an area, or words of a fault's name")
    parser.add_argument("--changed", metavar="BASE", help="mutate what changed since this commit")
    parser.add_argument("--sample", type=int, metavar="N", help="so many mutations (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: 0)")
    parser.add_argument("--jobs", type=int, default=1, help="faults at a time (default: 1)")
    parser.add_argument("--limit", type=float, default=120, help="seconds for a fault's tests")
    parser.add_argument("--verbose", action="store_true", help="print what pytest says")
    return parser


if __name__ == "__main__":
    sys.exit(main())
