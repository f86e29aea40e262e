"""The end of a run in a few lines: each benchmark's headline by system, and how reliable it is.

    reconstruction: SSIM ↑,   DiffAE, x_T inverted   0.9963 ± 0.0003   best, within noise
    T = 100, n = 300          DDIM, x_T inverted     0.9925 ± 0.0031   0.0038 behind, within noise
                              VQ-GAN                 0.8487 ± 0.0057   0.1476 behind
                              pixels + PCA           0.9408 ± 0.0031   reference, better than 1 of 3

Systems, settings and differences are those of the page. All results are in the tables and on the
page; this is for a terminal: lines of WIDTH columns, in which names are wrapped and what all
numbers of a benchmark have in common is said once. There are at most LINES of them, more only if
the best systems and the references that are better than a system take more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from textwrap import wrap

from tabulate import tabulate

from reports.page.contest import (
    Contest,
    counted,
    gap_between,
    headline_contests,
    headlined,
    surpassed,
    with_error,
)
from reports.page.head import said_of_profiles
from reports.records.comparable import is_floor
from reports.records.reading import short
from reports.records.record import Record
from reports.records.specs import TableSpec
from reports.tables.contests import first_metric, is_measured
from reports.tables.merging import Merged
from reports.tables.numbers import heading, number_text, steps_text

LINES, WIDTH = 36, 100  # of a terminal
FILES = 4  # of these, for the locations of files and the count of numbers left out
WHAT, SYSTEM = 24, 24  # columns of a benchmark and of a name, which are wrapped there
LONGEST_NAME = 3 * SYSTEM
JOIN = "\N{NO-BREAK SPACE}"  # where a line must not break
BEST, OF_SYSTEMS, NOISE, SCALE = "best", "best system", "within noise", "reference"
ALONE, OF_THIS_N = "the only system", "the only one of this n"


@dataclass(frozen=True)
class Line:
    """A number and a comment on it; one that `must` be shown is, whatever there is room for."""

    record: Record
    judgement: str
    must: bool = False


def summary(found: Merged) -> list[str]:
    """The lines of the summary, without the locations of the files."""
    every = (_lines(spec, records, found) for spec, records in headlined(found))
    parts = [lines for lines in every if lines]
    absent, about = _not_measured(found), said_of_profiles(found)
    shown, hidden = _fitted(parts, LINES - FILES - len(absent) - len(about), found)
    rows = [row for lines in shown for row in _block(lines, found)]
    text = tabulate(rows, tablefmt="plain", disable_numparse=True).splitlines() if rows else []
    said = [f"and {hidden} more, in the tables"] if hidden else []
    return [line.rstrip()[:WIDTH] for line in [*about, *text, *said, *absent]]


def _lines(spec: TableSpec, records: Sequence[Record], found: Merged) -> list[Line]:
    """The headline of one benchmark: one line per system, then one per reference."""
    rivals, held = headline_contests(spec, records, found)
    if not held:
        metric = first_metric(rivals, spec.headline, found.known)
        return [Line(r, SCALE * r.reference) for r in rivals if r.metric == metric]
    first = held[0]
    scale = sorted(first.scale, key=lambda r: (not first.beats_one(r), not is_floor(r)))
    return [*_ranked(first, found), *(_of_reference(r, first, found) for r in scale)]


def _of_reference(reference: Record, held: Contest, found: Merged) -> Line:
    """A reference, and of how many systems it is better, beyond noise."""
    worse, every = len(surpassed(reference, held, found)), len(held.systems)
    words = [SCALE]
    if gap_between(held.best, reference, found).within_noise:
        words.append(NOISE)
    elif worse:
        words.append("better" if held.is_behind(reference) else f"better than {worse} of {every}")
    return Line(reference, ", ".join(words), held.beats_one(reference))


def _ranked(held: Contest, found: Merged) -> list[Line]:
    """Systems with the best first.

    Those whose difference to it may be chance are marked as within noise.
    """
    word = OF_SYSTEMS if any(map(held.is_behind, held.scale)) else BEST
    word = f"{word}, {NOISE}" if held.level else word
    if not held.others:
        word = OF_THIS_N if held.of_other_n else ALONE
    lines = [Line(held.best, word, must=True)]
    for gap in held.others:
        text = number_text(gap.behind, gap.record.metric, found.known)
        lines.append(Line(gap.record, f"{text} behind{f', {NOISE}' if gap.within_noise else ''}"))
    lines += [Line(r, f"not compared: n = {r.n:,}") for r in held.of_other_n]
    return lines


def _fitted(
    parts: Sequence[Sequence[Line]], room: int, found: Merged
) -> tuple[list[list[Line]], int]:
    """As many lines as fit, and the number left out: those that must be shown, the other systems in
    turns, then references.
    """
    turns = ((place, turn) for place, lines in enumerate(parts) for turn in range(len(lines)))
    chosen: list[set[int]] = [set() for _ in parts]
    for place, turn in sorted(turns, key=lambda at: (_urgency(parts[at[0]], at[1]), at)):
        chosen[place].add(turn)
        is_full = sum(len(_block(lines, found)) for lines in _picked(parts, chosen)) > room
        if is_full and not parts[place][turn].must:
            chosen[place].remove(turn)
    return _picked(parts, chosen), sum(map(len, parts)) - sum(map(len, chosen))


def _urgency(lines: Sequence[Line], turn: int) -> int:
    """The priority of a line; 0 comes first."""
    if lines[turn].must or not turn:
        return 0
    return len(lines) if lines[turn].judgement.startswith(SCALE) else turn


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
    """The metric, and the setting, T and n that all lines share."""
    records = [line.record for line in lines]
    parts = [heading(records[0].metric, records, found.known)]
    settings, steps = {r.setting for r in records}, _steps(records)
    parts += [setting for setting in settings if len(settings) == 1]
    parts += [f"T = {t}" for t in steps if len(steps) == 1]
    return ", ".join(filter(None, [*parts, counted(records)]))


def _who(record: Record, lines: Sequence[Line]) -> str:
    """The system, with what distinguishes its lines."""
    records = [line.record for line in lines]
    setting = record.setting if len({r.setting for r in records}) > 1 else ""
    steps = steps_text(record) if len(_steps(records)) > 1 else ""
    return ", ".join(filter(None, [record.system, setting, steps]))


def _steps(records: Sequence[Record]) -> set[int]:
    return {r.steps for r in records if r.steps is not None}


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
