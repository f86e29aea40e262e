"""The end of a run in a few lines: each benchmark's headline by system, and how reliable it is.

    reconstruction: SSIM ↑,   VQ-GAN, code of 64      0.8487 ± 0.0057   best
    T = 100, n = 300          DiffAE, x_T random,     0.8102 ± 0.0051   0.0385 behind
                              code of 256
                              DDIM, x_T inverted,     0.9925 ± 0.0031   not compared: x_T inverted
                              code of 3,072
                              pixels + PCA, code of   0.9408 ± 0.0031   reference, better
                              256

Systems, settings and differences are those of the page. All results are in the tables and on the
page; this is for a terminal: lines of WIDTH columns, in which names are wrapped and what all
numbers of a benchmark have in common is said once. There are at most LINES of them, more only if
the best systems and the references that are better than a system take more.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from textwrap import wrap

from tabulate import tabulate

from reports.page.head import said_of_profiles
from reports.page.verdicts import against, code_of, counted, gap_text, how, with_error
from reports.records.metrics import Metrics
from reports.records.published import is_floor
from reports.records.reading import grouped, joined, short
from reports.records.record import Record
from reports.tables.build import Merged
from reports.tables.contests import Contest, Headline, first_metric
from reports.tables.numbers import heading
from reports.tables.ranking import CLEAR, INVERTED, UNDECIDED, has_inverted_noise, is_measured

LINES, WIDTH = 39, 100  # of a terminal
FILES = 4  # of these, for the locations of files and the count of numbers left out
WHAT, SYSTEM = 24, 24  # columns of a benchmark and of a name, which are wrapped there
LONGEST_NAME = 3 * SYSTEM
JOIN = "\N{NO-BREAK SPACE}"  # where a line must not break
BEST, OF_SYSTEMS, SCALE = "best", "best system", "reference"
ALONE, OF_THIS_N = "the only system", "the only one of this n"
OF_THIS_CODE = "the only one of such a code"


@dataclass(frozen=True)
class SummaryLine:
    """A number, a comment on it, and the size of its code; one that `must` be shown is, whatever there
    is room for.
    """

    record: Record
    judgement: str
    must: bool = False
    code: str = ""


def summary(merged: Merged) -> list[str]:
    """The lines of the summary, without the locations of the files."""
    parts = [lines for h in merged.headlines if (lines := _lines(h, merged))]
    absent, about = _not_measured(merged), said_of_profiles(merged)
    shown, hidden = _fitted(parts, LINES - FILES - len(absent) - len(about), merged.metrics)
    rows = [row for lines in shown for row in _block(lines, merged.metrics)]
    text = tabulate(rows, tablefmt="plain", disable_numparse=True).splitlines() if rows else []
    said = [f"and {hidden} more, in the tables"] if hidden else []
    return [line.rstrip()[:WIDTH] for line in [*about, *text, *said, *absent]]


def _lines(headline: Headline, merged: Merged) -> list[SummaryLine]:
    """The headline of one benchmark: one line per system, then one per reference."""
    if headline.contests:
        lines = list(_ranked(headline.contests[0], merged.metrics))
    else:
        metric = first_metric(headline.shown, headline.spec.headline, merged.metrics)
        lines = [SummaryLine(r, SCALE * r.reference) for r in headline.shown if r.metric == metric]
    return [replace(line, code=code_of(line.record, merged.rows)) for line in lines]


def _ranked(held: Contest, metrics: Metrics) -> Iterator[SummaryLine]:
    """Systems with the best first; those whose difference to it may be chance are within noise, or not
    decided. Then references, those first that are better than a system.
    """
    word = OF_SYSTEMS if any(held.best in r.worse for r in held.scale) else BEST
    if held.standing == UNDECIDED:
        word = UNDECIDED
    elif held.standing != CLEAR:
        word = f"{word}, {held.standing}"
    if not held.others:
        word = OF_THIS_N if held.of_other_n else OF_THIS_CODE if held.of_other_codes else ALONE
    yield SummaryLine(held.best, word, must=True)
    for gap in held.others:
        doubt = "" if gap.is_clear else f", {gap.standing}"
        yield SummaryLine(gap.record, f"{gap_text(gap, metrics, error=False)} behind{doubt}")
    yield from (SummaryLine(r, f"not compared: n = {r.n:,}") for r in held.of_other_n)
    for apart in held.of_other_codes:
        noise = INVERTED if has_inverted_noise(apart) else f"no {INVERTED}"
        yield SummaryLine(apart, f"not compared: {noise}")
    for r in sorted(held.scale, key=lambda r: (not r.worse, not is_floor(r.record))):
        yield SummaryLine(r.record, joined(SCALE, against(r, held)), must=bool(r.worse))


def _fitted(
    parts: list[list[SummaryLine]], room: int, metrics: Metrics
) -> tuple[list[list[SummaryLine]], int]:
    """As many lines as fit, and the number left out: those that must be shown, the other systems in
    turns, then references.
    """
    turns = [(i, j) for i, lines in enumerate(parts) for j in range(len(lines))]
    turns.sort(key=lambda at: _urgency(parts[at[0]][at[1]], *at))
    shown: list[set[int]] = [set() for _ in parts]

    def picked() -> list[list[SummaryLine]]:
        return [
            [lines[j] for j in sorted(places)] for lines, places in zip(parts, shown, strict=True)
        ]

    for i, j in turns:
        shown[i].add(j)
        is_full = sum(len(_block(lines, metrics)) for lines in picked()) > room
        if is_full and not parts[i][j].must:
            shown[i].remove(j)
    return picked(), len(turns) - sum(map(len, shown))


def _urgency(line: SummaryLine, place: int, turn: int) -> tuple[bool, bool, int, int]:
    """The lowest comes first."""
    return turn > 0 and not line.must, line.record.reference, turn, place


def _block(lines: Sequence[SummaryLine], metrics: Metrics) -> list[tuple[str, str, str, str]]:
    """The lines of a benchmark: its name, metric, and the setting, T and n that all lines share at
    the left, the systems beside them.
    """
    if not lines:
        return []
    records = [line.record for line in lines]
    settings, steps = {r.setting for r in records}, {r.steps for r in records} - {None}
    parts = [heading(records[0].metric, records, metrics)]
    parts += [setting for setting in settings if len(settings) == 1]
    parts += [f"T = {t}" for t in steps if len(steps) == 1]
    what = f"{records[0].benchmark}: {joined(*parts, counted(records))}"
    for together in (" = ", " ↓", " ↑"):
        what = what.replace(together, together.replace(" ", JOIN))
    left = [part.replace(JOIN, " ") for part in wrap(what, WHAT)]
    right: list[tuple[str, str, str]] = []
    for line in lines:
        who = joined(line.record.system, how(line.record, records), line.code)
        name, *rest = wrap(short(who, LONGEST_NAME), SYSTEM) or [""]
        right.append((name, with_error(line.record, metrics).strip(), line.judgement))
        right += [(more, "", "") for more in rest]
    return [(a or "", *(b or ("", "", ""))) for a, b in zip_longest(left, right)]


def _not_measured(merged: Merged) -> list[str]:
    """Systems that could not run, with their benchmarks, each once and without references.

    The notes of the tables say why.
    """
    measured = {(r.benchmark, r.system) for r in merged.records if is_measured(r)}
    absent: dict[str, list[str]] = {}
    for r in merged.records:
        if (r.benchmark, r.system) not in measured and r.system not in merged.references:
            why = f"{r.system}: {r.note}" if r.system == "all systems" else r.system
            absent.setdefault(why, []).append(r.benchmark)
    systems = grouped(absent, lambda why: tuple(dict.fromkeys(absent[why])))
    texts = [f"{', '.join(names)} ({', '.join(who)})" for names, who in systems.items()]
    return wrap(f"not measured: {'; '.join(texts)}", WIDTH, max_lines=3) if texts else []
