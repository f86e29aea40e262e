"""The verdicts of the gate as a page: failures first, as sentences, then remarks and tables.

`terminal` is for a terminal: about forty lines of at most a hundred columns. `summary` is for
Markdown with folded sections, such as a job's summary, and has a table per verdict. Both are
valid Markdown.
"""

import math
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Any

from tabulate import tabulate

from reports.gate import verdicts, words
from reports.records.metrics import Metrics
from reports.records.reading import few, joined, number_of
from reports.tables.markdown import escape
from reports.tables.numbers import number_text, to_error

WIDTH = 100  # columns of a terminal
ENTRY_LINES = 23  # lines of a terminal's page for failures
TOLD, FOLDED = 20, 500  # groups in a summary, and folded rows
HEADERS = ("verdict", "number", "base", "new", "change", "margin", "p", "")
# How a page names verdicts, where it does not by their own names.
WORDS = {verdict: verdict for verdict in verdicts.VERDICTS} | {
    verdicts.REGRESSION: "worse",
    verdicts.IMPROVEMENT: "better",
    verdicts.CHANGED: "changed (neither better nor worse)",
    verdicts.SAME: "the same",
}
Wrap = Callable[[str], str]


@dataclass(frozen=True)
class Findings:
    """The comparisons of two runs, those that fail with the worst first, and the names of the runs.

    `metrics` defines the metrics.
    """

    comparisons: Sequence[verdicts.Comparison]
    failing: Sequence[verdicts.Comparison]
    base: str
    new: str
    metrics: Metrics

    @property
    def failures(self) -> list[str]:
        """The failures as sentences; a group of numbers is one entry."""
        return [words.sentences(group, self.metrics) for group in words.groups(self.failing)]

    @property
    def entries(self) -> list[str]:
        """The same as a numbered list in Markdown."""
        return [f"{i}. {escape(text)}" for i, text in enumerate(self.failures, 1)]


def terminal(findings: Findings, everything: bool = False) -> str:
    """The page for a terminal; with `everything`, also a table of every row."""
    entries = [_wrapped(entry) for entry in findings.entries]
    totals = accumulate(entry.count("\n") + 1 for entry in entries)
    fitting = len(entries) if everything else sum(total <= ENTRY_LINES for total in totals)
    table = _table(ordered(findings.comparisons), findings.metrics) if everything else ""
    if not everything and len(findings.comparisons) > len(findings.failing):
        table = "--all lists every number."
    most = max(fitting, 1)  # always at least one
    return _page(findings, entries, most, "; --all has every one", _wrapped, [table])


def summary(findings: Findings) -> str:
    """The page with folded sections: failures as a list, then at most FOLDED rows by verdict."""
    tables, where = _folded_tables(findings), ": they are in the table"
    return _page(findings, findings.entries, TOLD, where, str, tables) + "\n"


def _page(
    findings: Findings, entries: list[str], most: int, where: str, wrap: Wrap, tables: list[str]
) -> str:
    rest = len(entries) - most
    parts = [title(findings.failing), wrap(_status(findings)), "\n".join(entries[:most])]
    parts.append(f"And {rest:,} more such lines{where}." if rest > 0 else "")
    parts.append("\n".join(map(wrap, _remarks(findings))))
    return joined(*parts, *tables, by="\n\n")


def refusal(reason: str) -> str:
    """The page of a comparison that could not be made."""
    return f"# Regression gate: not compared\n\n{escape(reason)}\n"


def title(failing: Sequence[verdicts.Comparison]) -> str:
    missing = sum(c.verdict == verdicts.MISSING for c in failing)
    counts = {"worse": len(failing) - missing, "missing": missing}
    failures = ", ".join(f"{count:,} {word}" for word, count in counts.items() if count)
    return f"# Regression gate: {failures or 'passed'}"


def ordered(comparisons: Sequence[verdicts.Comparison]) -> list[verdicts.Comparison]:
    """Comparisons sorted by verdict, then by p, then by the loss (of an improvement the gain) relative
    to margin and error, largest first.
    """
    place = verdicts.VERDICTS.index
    return sorted(comparisons, key=lambda c: (place(c.verdict), _or_if_nan(c.p, 2.0), -_excess(c)))


def change(c: verdicts.Comparison, metrics: Metrics) -> tuple[str, str, str]:
    """The base's value, the new one and their difference ± its error, with the digits that the
    error justifies.
    """

    def text(value: float | None) -> str:
        return "" if value is None else number_text(value, c.record.metric, metrics)

    if c.base is None or c.new is None or c.error is None:
        return text(c.base), text(c.new), ""
    difference = c.new - c.base
    exact = c.error.stderr == 0
    to = abs(difference) if exact else c.error.stderr
    if not to:
        return text(c.base), text(c.new), "0"
    sign = "+" if difference >= 0 else ""
    error = "" if exact else f" ± {to_error(to, to)}"
    return to_error(c.base, to), to_error(c.new, to), f"{sign}{to_error(difference, to)}{error}"


# ----------------------------------------------------------------------------------------------
# Remarks, one line each


def _status(findings: Findings) -> str:
    counts, total = Counter(c.verdict for c in findings.comparisons), len(findings.comparisons)
    each = (f"{counts[v]:,} {WORDS[v]}" for v in verdicts.VERDICTS if counts[v])
    numbers = number_of(total, "number")
    return f"{escape(findings.new)} against {escape(findings.base)}: {numbers}, {', '.join(each)}."


def _remarks(findings: Findings) -> list[str]:
    """Remarks on numbers that did not fail, as a list in Markdown."""
    comparisons, metrics = findings.comparisons, findings.metrics
    missing, changed, unresolved = (
        [c for c in comparisons if c.verdict == verdict]
        for verdict in (verdicts.MISSING, verdicts.CHANGED, verdicts.UNRESOLVED)
    )
    remarks = []
    if lost := [c for c in comparisons if c.pairing_lost]:
        names = few([escape(words.subject(c.record)) for c in lost], words.OTHERS)
        remarks.append(
            f"**The pairing is lost** for {number_of(len(lost), 'number')} ({'; '.join(names)}): both runs have "
            "the same protocol and seed, but one of them has no influences of the same images. Their errors are those "
            "of independent runs, and only a large loss is detected."
        )
    if allowed := len(missing) - sum(c.verdict == verdicts.MISSING for c in findings.failing):
        remarks.append(f"Missing, but ignored (--allow-missing): {allowed:,}.")
    if seen := [c for c in changed if _printed_change(c, metrics)]:
        text = escape(words.sentence(max(seen, key=lambda c: _printed_change(c, metrics)), metrics))
        count = f"{len(seen):,}"
        remarks.append(f"Changed, neither better nor worse: {count}; the largest change: {text}.")
    if open_ := [c for c in unresolved if _possible(c) > c.margin]:
        remarks.append(_help(open_))
    return [f"- {remark}" for remark in remarks]


def _printed_change(c: verdicts.Comparison, metrics: Metrics) -> float:
    """The change as a share of the value; 0 if it does not show in print."""
    assert c.base is not None and c.new is not None
    base, new = (number_text(value, c.record.metric, metrics) for value in (c.base, c.new))
    return 0.0 if base == new else abs(c.new - c.base) / max(abs(c.base), abs(c.new))


def _help(unresolved: Sequence[verdicts.Comparison]) -> str:
    """How many numbers are unresolved, which is the least certain, and what would help."""
    worst = max(unresolved, key=lambda c: _possible(c) / c.margin if c.margin else 0.0)
    possible = _possible(worst)
    count = f"{len(unresolved):,} numbers are" if len(unresolved) > 1 else "1 number is"
    return (
        f"{count} unresolved: this run is too small to show or to exclude a loss above the margin. The least certain is "
        f"{escape(words.subject(worst.record))}: a loss of up to {words.two_digits(possible)} cannot be excluded (margin "
        f"{words.two_digits(worst.margin)}). More images help (a larger profile), or wider --margins."
    )


def _possible(c: verdicts.Comparison) -> float:
    """The largest loss within the 95 % interval."""
    assert c.error is not None
    return max(c.loss, 0.0) + c.error.quantile(0.975)


# ----------------------------------------------------------------------------------------------
# Rows


def _folded_tables(findings: Findings) -> list[str]:
    """A folded table for each verdict, of FOLDED rows in all."""
    counts, folds = Counter(c.verdict for c in findings.comparisons), []
    for verdict, rows in groupby(ordered(findings.comparisons)[:FOLDED], key=lambda c: c.verdict):
        shown = list(rows)
        cut = f", the first {len(shown):,} of them" if len(shown) < counts[verdict] else ""
        head = f"<details><summary>{counts[verdict]:,} {WORDS[verdict]}{cut}</summary>"
        folds.append(f"{head}\n\n{_table(shown, findings.metrics)}\n\n</details>")
    return folds


def _table(rows: Sequence[verdicts.Comparison], metrics: Metrics) -> str:
    return tabulate(
        [_row(c, metrics) for c in rows], HEADERS, tablefmt="pipe", disable_numparse=True
    )


def _row(c: verdicts.Comparison, metrics: Metrics) -> list[str]:
    base, new, difference = change(c, metrics)
    judged = c.error is not None and c.verdict not in verdicts.NO_VERDICT
    margin, p = (f"{c.margin:.2g}", f"{c.p:.2g}") if judged else ("", "")
    remark = "paired" if c.paired else "pairing lost" if c.pairing_lost else c.note
    return [
        c.verdict,
        escape(words.name(c.record)),
        base,
        new,
        difference,
        margin,
        p,
        escape(remark),
    ]


def _excess(c: verdicts.Comparison) -> float:
    """The loss (of an improvement the gain) above the margin, in standard errors.

    As a fraction of the base's value if it has no error.
    """
    if c.error is None:
        return math.inf if math.isinf(c.loss) else 0.0
    scale = c.error.stderr or abs(c.base or 0)
    loss = -c.loss if c.verdict == verdicts.IMPROVEMENT else c.loss
    return _or_if_nan((loss - c.margin) / scale if scale else loss, 0.0)


def _or_if_nan(number: float, instead: float) -> float:
    return instead if math.isnan(number) else number


def _wrapped(text: str) -> str:
    """Markdown wrapped for a terminal: no continuation line begins like a list, heading or command."""
    glued = re.sub(r" (?=(?:[-+*#=]+|\d+[.)])(?:\s|$)|::|##|\|)", "\N{NO-BREAK SPACE}", text)
    indent = re.match(r"(?:- |\d+\. )?", text)
    assert indent is not None
    options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
    wrapped = textwrap.fill(glued, WIDTH, subsequent_indent=" " * len(indent[0]), **options)
    return wrapped.replace("\N{NO-BREAK SPACE}", " ")
