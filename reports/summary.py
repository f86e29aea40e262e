"""The end of a run in a few lines: each benchmark's headline by system, and how much to make of it.

    reconstruction   DiffAE     SSIM ↑, T = 100   0.9963 ± 0.0003   best, below noise
                     DDIM       SSIM ↑, T = 100   0.9925 ± 0.0031   0.0038 below noise
                     VQ-GAN     SSIM ↑            0.8487 ± 0.0057   behind by 0.1476

The whole is in the tables and on the page; this is for a terminal: at most LINES lines of WIDTH columns.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from textwrap import wrap

from tabulate import tabulate

from reports.layout import at_largest_steps, choose
from reports.metrics import with_stand_ins
from reports.numbers import heading, number_text
from reports.page.contest import Contest, contest, is_measured, with_error
from reports.page.reading import Found
from reports.records import Record
from reports.specs import TableSpec

LINES, WIDTH = 25, 100  # of a terminal
ROWS = 18  # of them are numbers, at most
SYSTEM, WHAT = 16, 28  # columns that a name and a metric may take
BEST, NOISE, SCALE = "best", "below noise", "for scale"


@dataclass(frozen=True)
class Line:
    """A number and a word on it."""

    record: Record
    judgement: str


def summary(found: Found) -> list[str]:
    """The lines, without where the files are."""
    parts = [lines for spec in _headlines(found) if (lines := _lines(spec, found))]
    shown, hidden = _fitted(parts)
    rows = [row for lines in shown for row in _rows(lines, found)]
    text = tabulate(rows, tablefmt="plain", disable_numparse=True).splitlines() if rows else []
    said = [f"and {hidden} more, in the tables"] if hidden else []
    return [line.rstrip()[:WIDTH] for line in [*text, *said, *_not_measured(found)]]


def _headlines(found: Found) -> Iterable[TableSpec]:
    """The first table of each benchmark that has a headline."""
    seen: set[str] = set()
    for spec in sorted(found.specs, key=lambda spec: spec.order):
        records = choose(spec, found.records)
        if records and spec.headline and records[0].benchmark not in seen:
            seen.add(records[0].benchmark)
            yield spec


def _lines(spec: TableSpec, found: Found) -> list[Line]:
    """The headline of one benchmark: a line a system by the first metric and setting that were measured."""
    records = [r for r in at_largest_steps(choose(spec, found.records)) if is_measured(r)]
    metrics = with_stand_ins(spec.headline, found.known)
    metric = next((m for m in metrics if any(r.metric == m for r in records)), "")
    rivals = [r for r in records if r.metric == metric]
    prefix = next((s for s in spec.headline_settings if any(_begins(r, s) for r in rivals)), "")
    if prefix:  # "Male " of an edit: its largest strength, which comes last
        last = [r.setting for r in rivals if _begins(r, prefix)][-1]
        rivals = [r for r in rivals if r.setting == last]
    held = contest(_first_settings(rivals), found)
    scale = [Line(r, SCALE) for r in rivals if r.reference]
    if held is None:
        return [Line(r, "") for r in rivals if not r.reference] + scale
    same = [line for line in scale if line.record.setting == held.best.setting]
    return [*_ranked(held, found), *(same or scale)[:1]]


def _first_settings(rivals: Sequence[Record]) -> list[Record]:
    """Each system by its first setting, such as x_T inverted, and not by the one that flatters it."""
    first: dict[str, str] = {}
    return [r for r in rivals if r.setting == first.setdefault(r.system, r.setting)]


def _begins(record: Record, setting: str) -> bool:
    return record.setting.startswith(setting)


def _ranked(held: Contest, found: Found) -> list[Line]:
    """The best first. Systems whose difference to it chance explains are not told apart from it."""
    word = "" if not held.others else f"{BEST}, {NOISE}" if held.level else BEST
    lines = [Line(held.best, word)]
    for gap in held.others:
        text = number_text(gap.behind, gap.record.metric, found.known)
        lines.append(
            Line(gap.record, f"{text} {NOISE}" if gap.within_noise else f"behind by {text}")
        )
    return lines


def _fitted(parts: Sequence[Sequence[Line]]) -> tuple[list[list[Line]], int]:
    """As many lines of each benchmark as there is room for, in turns, and how many are left out."""
    shown: list[list[Line]] = [[] for _ in parts]
    turns = ((place, line) for turn in zip_longest(*parts) for place, line in enumerate(turn))
    for place, line in islice(((p, line) for p, line in turns if line is not None), ROWS):
        shown[place].append(line)
    return shown, sum(map(len, parts)) - sum(map(len, shown))


def _rows(lines: Sequence[Line], found: Found) -> Iterable[tuple[str, ...]]:
    for number, line in enumerate(lines):
        record = line.record
        what = heading(record.metric, [record], found.known)
        setting = record.setting if _setting_matters(lines) else ""
        if setting:
            what = f"{_short(what, max(WHAT - len(setting) - 2, 9))}, {setting}"
        if record.steps is not None and len(with_T := f"{what}, T = {record.steps}") <= WHAT:
            what = with_T
        yield (
            record.benchmark if number == 0 else "",
            _short(record.system, SYSTEM),
            _short(what, WHAT),
            with_error(record, found).strip(),
            line.judgement,
        )


def _setting_matters(lines: Sequence[Line]) -> bool:
    """Where it tells a system's lines apart, or all have it; not where it is each system's own: whether it has an x_T."""
    systems, settings = ({getattr(line.record, f) for line in lines} for f in ("system", "setting"))
    return len(systems) < len(lines) or (len(settings) == 1 and not settings & {"x_T inverted", ""})


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _not_measured(found: Found) -> list[str]:
    """What could not run, once: the systems with their benchmarks; the notes of the tables say why."""
    measured = {(r.benchmark, r.system) for r in found.records if is_measured(r)}
    absent: dict[str, list[str]] = {}
    for r in found.records:
        if (r.benchmark, r.system) not in measured:
            why = f"{r.system}: {r.note}" if r.system == "all systems" else r.system
            absent.setdefault(why, []).append(r.benchmark)
    systems: dict[tuple[str, ...], list[str]] = {}
    for system, benchmarks in absent.items():
        systems.setdefault(tuple(dict.fromkeys(benchmarks)), []).append(system)
    texts = [f"{', '.join(names)} ({', '.join(who)})" for names, who in systems.items()]
    return wrap(f"not measured: {'; '.join(texts)}", WIDTH, max_lines=3) if texts else []
