"""The end of a run in a few lines: each benchmark's headline by system, and how reliable it is.

    reconstruction: SSIM ↑,   DiffAE         0.9963 ± 0.0003   best, within noise
    T = 100                   DDIM           0.9925 ± 0.0031   0.0038 behind, within noise
                              VQ-GAN         0.8487 ± 0.0057   0.1476 behind
                              pixels + PCA   0.9408 ± 0.0031   for reference

All results are in the tables and on the page; this is for a terminal: at most LINES lines of WIDTH
columns, in which names are wrapped and what all numbers of a benchmark have in common is said once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from textwrap import wrap

from tabulate import tabulate

from reports.page.contest import (
    Contest,
    against_best,
    contest,
    first_metric,
    headlined,
    is_measured,
    with_error,
)
from reports.page.described import strength_of
from reports.records.comparable import is_floor
from reports.records.reading import short
from reports.records.record import Record
from reports.records.specs import TableSpec
from reports.tables.merging import Merged
from reports.tables.numbers import heading, number_text

LINES, WIDTH = 28, 100  # of a terminal
FILES = 4  # of these, for the locations of files and the count of numbers left out
WHAT, SYSTEM = 26, 24  # columns of a benchmark and of a name, which are wrapped there
LONGEST_NAME = 3 * SYSTEM
JOIN = "\N{NO-BREAK SPACE}"  # where a line must not break
BEST, NOISE, ALONE, SCALE = "best", "within noise", "no rival here", "for reference"


@dataclass(frozen=True)
class Line:
    """A number and a comment on it."""

    record: Record
    judgement: str


def summary(found: Merged) -> list[str]:
    """The lines of the summary, without the locations of the files."""
    every = (_lines(spec, records, found) for spec, records in headlined(found))
    parts = [lines for lines in every if lines]
    absent = _not_measured(found)
    shown, hidden = _fitted(parts, LINES - FILES - len(absent), found)
    rows = [row for lines in shown for row in _block(lines, found)]
    text = tabulate(rows, tablefmt="plain", disable_numparse=True).splitlines() if rows else []
    said = [f"and {hidden} more, in the tables"] if hidden else []
    return [line.rstrip()[:WIDTH] for line in [*text, *said, *absent]]


def _lines(spec: TableSpec, records: Sequence[Record], found: Merged) -> list[Line]:
    """The headline of one benchmark: one line per system by the first metric and setting that were
    measured.
    """
    measured = [r for r in records if is_measured(r)]
    metric = first_metric(found, measured, *spec.headline)
    rivals = [r for r in measured if r.metric == metric]
    prefix = next((s for s in spec.headline_settings if any(_begins(r, s) for r in rivals)), "")
    if prefix:  # "Male " of an edit: its largest strength
        told = max((r for r in rivals if _begins(r, prefix)), key=lambda r: strength_of(r)[1] or 0)
        rivals = [r for r in rivals if r.setting == told.setting]
    held = contest(_first_settings(rivals), found)
    if held is None:
        return [Line(r, SCALE if r.reference else "") for r in rivals]
    return [*_ranked(held, found), *_scale(held, rivals, found)]


def _scale(held: Contest, rivals: Sequence[Record], found: Merged) -> list[Line]:
    """The best reference, of real images if there are any; one with the best system's setting if
    there is any.
    """
    kept = [r for r in rivals if r in held.scale]
    kept = [r for r in kept if is_floor(r)] or kept
    beside = [r for r in kept if r.setting == held.best.setting] or kept
    best = contest([replace(r, reference=False) for r in beside], found)
    if best is None:
        return []
    word = against_best(best.best, held, found)
    return [Line(best.best, f"{word}, {SCALE}" if word else SCALE)]


def _first_settings(rivals: Sequence[Record]) -> list[Record]:
    """Each system at its first setting, such as x_T inverted, rather than at its best."""
    first: dict[str, str] = {}
    return [r for r in rivals if r.setting == first.setdefault(r.system, r.setting)]


def _begins(record: Record, setting: str) -> bool:
    return record.setting.startswith(setting)


def _ranked(held: Contest, found: Merged) -> list[Line]:
    """Systems with the best first.

    Those whose difference to it may be chance are marked as within noise.
    """
    word = ALONE if not held.others else f"{BEST}, {NOISE}" if held.level else BEST
    lines = [Line(held.best, word)]
    for gap in held.others:
        text = number_text(gap.behind, gap.record.metric, found.known)
        lines.append(Line(gap.record, f"{text} behind{f', {NOISE}' if gap.within_noise else ''}"))
    lines += [Line(r, f"not compared: n = {r.n:,}") for r in held.of_other_n]
    return lines


def _fitted(
    parts: Sequence[Sequence[Line]], room: int, found: Merged
) -> tuple[list[list[Line]], int]:
    """As many lines as fit, and the number left out: the best of each benchmark, references that it
    does not surpass, the other systems in turns, then references.
    """
    turns = ((place, turn) for place, lines in enumerate(parts) for turn in range(len(lines)))
    chosen: list[set[int]] = [set() for _ in parts]
    for place, turn in sorted(turns, key=lambda at: (_urgency(parts[at[0]], at[1]), at)):
        chosen[place].add(turn)
        if sum(len(_block(lines, found)) for lines in _picked(parts, chosen)) > room:
            chosen[place].remove(turn)
    return _picked(parts, chosen), sum(map(len, parts)) - sum(map(len, chosen))


def _urgency(lines: Sequence[Line], turn: int) -> int:
    """The priority of a line; 0 comes first."""
    judgement = lines[turn].judgement
    if turn and judgement.endswith(SCALE):
        return len(lines) + 1 if judgement == SCALE else 1
    return turn and turn + 1


def _picked(parts: Sequence[Sequence[Line]], chosen: Sequence[set[int]]) -> list[list[Line]]:
    return [[lines[i] for i in sorted(some)] for lines, some in zip(parts, chosen, strict=True)]


def _block(lines: Sequence[Line], found: Merged) -> list[tuple[str, str, str, str]]:
    """The lines of a benchmark: its name and metric at the left, the systems beside them."""
    if not lines:
        return []
    what = f"{lines[0].record.benchmark}: {_what(lines, found)}"
    for together in (" = ", " ↓", " ↑"):
        what = what.replace(together, together.replace(" ", JOIN))
    left = [part.replace(JOIN, " ") for part in wrap(what, WHAT)]
    right: list[tuple[str, str, str]] = []
    for line in lines:
        name, *rest = wrap(short(_who(line.record, lines), LONGEST_NAME), SYSTEM) or [""]
        right.append((name, with_error(line.record, found).strip(), line.judgement))
        right += [(more, "", "") for more in rest]
    return [(a or "", *(b or ("", "", ""))) for a, b in zip_longest(left, right)]


def _what(lines: Sequence[Line], found: Merged) -> str:
    """The metric, and the setting and T that all lines share, except whether x_T was inverted."""
    records = [line.record for line in lines]
    parts = [heading(records[0].metric, records, found.known)]
    settings, steps = _settings(lines), _steps(lines)
    if len(settings) == 1 and not settings & {"x_T inverted", ""}:
        parts += settings
    return ", ".join([*parts, *(f"T = {t}" for t in steps if len(steps) == 1)])


def _who(record: Record, lines: Sequence[Line]) -> str:
    """The system, with what distinguishes its lines."""
    several = len({line.record.system for line in lines}) < len(lines)
    setting = record.setting if several and len(_settings(lines)) > 1 else ""
    steps = f"T = {record.steps}" if record.steps is not None and len(_steps(lines)) > 1 else ""
    return ", ".join(filter(None, [record.system, setting, steps]))


def _settings(lines: Sequence[Line]) -> set[str]:
    return {line.record.setting for line in lines}


def _steps(lines: Sequence[Line]) -> set[int]:
    return {line.record.steps for line in lines if line.record.steps is not None}


def _not_measured(found: Merged) -> list[str]:
    """Systems that could not run, with their benchmarks, each once and without references.

    The notes of the tables say why.
    """
    measured = {(r.benchmark, r.system) for r in found.records if is_measured(r)}
    references = {r.system for r in found.records if r.reference}
    absent: dict[str, list[str]] = {}
    for r in found.records:
        if (r.benchmark, r.system) not in measured and r.system not in references:
            why = f"{r.system}: {r.note}" if r.system == "all systems" else r.system
            absent.setdefault(why, []).append(r.benchmark)
    systems: dict[tuple[str, ...], list[str]] = {}
    for system, benchmarks in absent.items():
        systems.setdefault(tuple(dict.fromkeys(benchmarks)), []).append(system)
    texts = [f"{', '.join(names)} ({', '.join(who)})" for names, who in systems.items()]
    return wrap(f"not measured: {'; '.join(texts)}", WIDTH, max_lines=3) if texts else []
