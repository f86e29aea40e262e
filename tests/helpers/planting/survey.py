"""The share of mutations of changed functions that the fast tests catch, and those that they do not."""

import difflib
import signal
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .changed import Planted, changed, files_at, files_of, sample
from .reach import Reach, reach
from .runner import Choice, Plant, Result, Runner

FIRST_STAGE = 6  # files; each further stage has three times as many
# Seconds of computing that tests may take: so many, and so many times what they took for the map.
PATIENCE = 60.0, 4.0
WAITING = 10  # times as many until they end: the machine may have other work
STOPPED = (signal.SIGKILL, signal.SIGXCPU)
UNREACHED = "no test reaches it"


@dataclass(frozen=True)
class Outcome:
    """What became of a mutation; `test` is the one that failed."""

    planted: Planted
    caught: bool
    why: str
    test: str = ""


def survey(
    root: Path, base: str, count: int | None, seed: int, jobs: int, limit: float
) -> list[Outcome]:
    """Plant `count` mutations of what changed since the commit `base`, or all; prints each outcome and the shares.

    Raises ValueError if git knows no such commit or nothing changed.
    """
    files = files_of(root)
    planted = sample(files, changed(files_at(base, root), files), count, seed)
    if not planted:
        raise ValueError(f"no function of the packages changed since {base}")
    known = reach(root, jobs)
    print(f"{len(planted)} mutations", flush=True)
    with tempfile.TemporaryDirectory(prefix="faults-") as scratch:
        runner = Runner(root, Path(scratch).resolve(), jobs)
        outcomes = _outcomes(runner, known, planted, limit)
    print("\n".join(_report(files, outcomes)), flush=True)
    return outcomes


def _outcomes(
    runner: Runner, known: Reach, planted: Sequence[Planted], limit: float
) -> list[Outcome]:
    """Plant all; what a test caught that fails without a mutation too is planted again without that test."""
    done: dict[Planted, Outcome] = {}
    excluded: set[str] = set()
    trusted: set[str] = set()
    left = list(planted)
    while left:
        for outcome in _each(runner, known, left, excluded, limit):
            done[outcome.planted] = outcome
            print(_line(outcome), flush=True)
        tests = sorted({outcome.test for outcome in done.values()} - trusted - {""})
        wrong = set(tests) - set(runner.without(tests).ran) if tests else set()
        trusted |= set(tests) - wrong
        for test in sorted(wrong):
            print(f"fails without a mutation too: {test}", flush=True)
        excluded |= wrong
        left = [each for each, outcome in done.items() if outcome.test in wrong]
    return [done[each] for each in planted]


def _each(
    runner: Runner, known: Reach, planted: Sequence[Planted], excluded: set[str], limit: float
) -> Iterator[Outcome]:
    plants = []
    for each in planted:
        reaching = known.tests(each.file, each.lines)
        tests = _within(limit, {name: s for name, s in reaching.items() if name not in excluded})
        if tests:
            plants.append(_plant(each, tests, known))
        else:
            yield Outcome(each, False, UNREACHED)
    for each, result in runner.each(plants):
        yield _outcome(each, result)


def _within(limit: float, tests: Mapping[str, float]) -> dict[str, float]:
    """The quickest tests that take `limit` seconds together, file by file, the quickest file first; at least one."""
    total = 0.0
    by_file: defaultdict[str, float] = defaultdict(float)
    chosen: dict[str, float] = {}
    for name, seconds in tests.items():
        total += seconds
        if chosen and total > limit:
            break
        chosen[name] = seconds
        by_file[name.split("::")[0]] += seconds
    return dict(sorted(chosen.items(), key=lambda each: (by_file[each[0].split("::")[0]], each[0])))


def _plant(planted: Planted, tests: Mapping[str, float], known: Reach) -> Plant[Planted]:
    files = list(dict.fromkeys(name.split("::")[0] for name in tests))
    stages, size = [], FIRST_STAGE
    while files:
        stages.append(files[:size])
        files, size = files[size:], 3 * size
    patience = PATIENCE[0] + PATIENCE[1] * sum(tests.values())
    choice = Choice(tests, known.known)
    waits = WAITING * patience
    return Plant(planted, planted.file, planted.text, stages, waits, choice, int(patience))


def _outcome(planted: Planted, result: Result) -> Outcome:
    if not result.finished:
        name = signal.Signals(result.signal).name if result.signal else "an exit"
        why = "time limit" if result.signal in STOPPED else f"the tests end with {name}"
        return Outcome(planted, True, why)
    if result.failed:
        return Outcome(planted, True, result.failed[0], result.failed[0])
    if result.uncollected:
        return Outcome(planted, True, f"{result.uncollected[0]} cannot be collected")
    if result.status not in (0, 5):
        return Outcome(planted, True, f"the tests cannot be run (status {result.status})")
    return Outcome(planted, False, f"all of {len(result.ran)} tests pass")


def _line(outcome: Outcome) -> str:
    word = "caught  " if outcome.caught else "SURVIVED"
    return f"{word} {_place(outcome.planted)}: {outcome.why}"


def _place(planted: Planted) -> str:
    within = f" {planted.unit}" if planted.unit else ""
    return f"{planted.mutation.kind}: {planted.file}:{planted.mutation.lines[0]}{within}"


def _report(files: Mapping[str, str], outcomes: Sequence[Outcome]) -> Iterator[str]:
    """The survivors as diffs, then the shares."""
    for outcome in outcomes:
        if not outcome.caught:
            yield f"\n{_place(outcome.planted)}: {outcome.why}"
            yield from diff(files[outcome.planted.file], outcome.planted)
    for title, of in (("kind", _kind), ("package", _package)):
        yield f"\ncaught by {title}:"
        for value in sorted({of(outcome) for outcome in outcomes}):
            yield f"  {value:12} {_share([o for o in outcomes if of(o) == value])}"
    yield f"\n{_share(outcomes)} mutations caught"


def diff(old: str, planted: Planted) -> Iterator[str]:
    """A mutation as a unified diff."""
    lines = old.splitlines(), planted.text.splitlines()
    return difflib.unified_diff(*lines, planted.file, planted.file, lineterm="")


def _kind(outcome: Outcome) -> str:
    return outcome.planted.mutation.kind


def _package(outcome: Outcome) -> str:
    return outcome.planted.file.split("/")[0]


def _share(outcomes: Sequence[Outcome]) -> str:
    caught = sum(outcome.caught for outcome in outcomes)
    return f"{caught} of {len(outcomes)} ({caught / len(outcomes):.0%})"
