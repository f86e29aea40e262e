"""The head of the page: what was measured, on which data, and warnings."""

from collections.abc import Iterator
from datetime import datetime

from reports.records.reading import Fields, listed, number_of, part_of, short
from reports.records.run_folder import Run
from reports.tables.build import Merged
from reports.tables.make_files import each, profile_of
from reports.tables.numbers import counted, duration


def facts(merged: Merged) -> dict[str, str]:
    """What was measured, by name: for several runs what they share, and what differs."""

    def shared(name: str) -> str:
        return each(merged, lambda run: dict(facts_of(run)).get(name, "none"))

    names = dict.fromkeys(name for run in merged.sources for name, _ in facts_of(run))
    return {name: shared(name) for name in names}


def lede(merged: Merged) -> str:
    """The subject of the page in a sentence."""
    systems, count = _systems(merged), len({r.benchmark for r in merged.records})
    if not systems and merged.references:
        systems = [f"References alone: {listed(sorted(merged.references))}"]
    n = counted(r for r in merged.rows if not r.reference)
    units = f" Images or other units behind each number: {n}." if n else ""
    absent = f" Not measured: {listed(merged.absent)}." if merged.absent else ""
    return f"{listed(systems) or 'No system'}, by {number_of(count, 'benchmark')}.{units}{absent}"


def _systems(merged: Merged) -> list[str]:
    """The systems that compete and have a number: a reference that was not measured everywhere is none."""
    return [name for name in merged.systems if name not in (*merged.references, *merged.absent)]


def facts_of(folder: Run) -> Iterator[tuple[str, str]]:
    """How one run was made, by name."""
    notes = folder.notes
    settings = part_of(notes, "settings")
    yield "Data", _text(settings.get("data"))
    suite, profile = ("Suite", folder.suite), ("Profile", profile_of(folder) or "not said")
    yield suite if folder.suite else profile
    yield "Seed", _text(settings.get("seed"))
    yield "Precision", _text(notes.get("precision"))
    yield "Measured", _when(notes)
    yield "Machine", _text(notes.get("device"))
    yield "Version", _text(part_of(notes, "versions").get("diffae-bench"))
    yield "Commit", _commit(notes)
    yield "Command", _command(notes)


def _when(notes: Fields) -> str:
    """The date of the start, and the total time of all commands that worked on the run."""
    try:
        ends = [(run["started"], run["until"]) for run in notes["invocations"]]
        spans = [list(map(datetime.fromisoformat, pair)) for pair in ends]
        start = spans[0][0]
        seconds = sum(max((end - begin).total_seconds(), 0) for begin, end in spans)
    except (LookupError, TypeError, ValueError):
        return "not said"
    more = f" over {len(spans)} commands" if len(spans) > 1 else ""
    took = f", in {duration(seconds)}{more}" if seconds else ""
    return f"{start:%Y-%m-%d %H:%M} {start.tzname() or ''}".strip() + took


def _commit(notes: Fields) -> str:
    if commit := notes.get("commit"):
        changes = " and uncommitted changes" if notes.get("dirty") else ""
        return _text(commit)[:12] + changes
    return "none: an installed package"


def _command(notes: Fields) -> str:
    arguments = notes.get("arguments")
    if not isinstance(arguments, list) or not arguments:
        return "from Python"
    return short("python -m benchmarks.run " + " ".join(map(str, arguments)), 1000)


# ----------------------------------------------------------------------------------------------
# Warnings


def failures(merged: Merged) -> tuple[str, ...]:
    """Failures: systems that raised an error in a benchmark; of a run without any number, all obstacles."""
    where: dict[tuple[str, str, str], list[str]] = {}
    for folder in merged.folders:
        failed = folder.notes.get("failed")
        for row in failed if isinstance(failed, list) else []:
            if isinstance(row, dict):
                verb = "could not run" if row.get("obstacle") else "failed"
                key = (_text(row.get("system")), verb, _text(row.get("reason")))
                where.setdefault(key, []).append(_text(row.get("benchmark")))
    return tuple(
        f"{system} {verb} in {', '.join(dict.fromkeys(benchmarks))}: {reason}"
        for (system, verb, reason), benchmarks in where.items()
    )


def _text(value: object) -> str:
    return "not said" if value is None or value == "" else short(value, 200)
