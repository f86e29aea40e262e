"""The verdicts of the gate as a page: failures first, as sentences; the rest is folded.

`terminal` is for a terminal: about forty lines of at most a hundred columns. `summary` is for
Markdown with folded sections, such as a job's summary or a comment, and has every row. Both are
valid Markdown.
"""

import math
import re
import textwrap
from collections import Counter
from collections.abc import Sequence

from tabulate import tabulate

from reports.gate.verdicts import (
    CHANGED,
    IMPROVEMENT,
    MISSING,
    NEW,
    NO_VERDICT,
    NOT_COMPARED,
    REGRESSION,
    SAME,
    UNRESOLVED,
    VERDICTS,
    Comparison,
)
from reports.gate.words import groups, name, p_text, sentence, subject, told, two_digits
from reports.records.metrics import METRICS, Metrics
from reports.tables.markdown import escape
from reports.tables.numbers import number_text, to_error

WIDTH, LINES = 100, 40  # of a terminal
ENTRY_LINES = 26  # of these, for failures
ANNOTATIONS = 10  # GitHub shows no more of one step
TOLD, FOLDED = 20, 500  # groups in a summary, and folded rows
HEADERS = ("verdict", "number", "base", "new", "change", "margin", "p", "")
WORDS = {
    REGRESSION: "worse",
    MISSING: "missing",
    IMPROVEMENT: "better",
    CHANGED: "changed (neither better nor worse)",
    UNRESOLVED: "unresolved",
    NOT_COMPARED: "not compared",
    NEW: "new",
    SAME: "the same",
}
NEAR = 0.05  # an unresolved number with a smaller p gets a remark


def terminal(
    found: Sequence[Comparison],
    failing: Sequence[Comparison],
    base: str,
    new: str,
    *,
    everything: bool = False,
    known: Metrics = METRICS,
) -> str:
    """The page for a terminal; with `everything`, also a table of every row."""
    head = [title(failing), *_wrapped(_status(found, base, new))]
    tail = [_wrapped(f"- {text}") for text in _remarks(found, failing, known)]
    entries = [_wrapped(f"{i}. {escape(t)}") for i, t in _entries(failing, known)]
    shown = entries if everything else _that_fit(entries)
    parts = ["\n".join(head[:1]), "\n".join(head[1:])]
    parts += ["\n".join(line for entry in shown for line in entry)] if shown else []
    if len(shown) < len(entries):
        parts.append(f"And {len(entries) - len(shown):,} more such lines; --all has every one.")
    parts += ["\n".join(line for remark in tail for line in remark)] if tail else []
    if everything:
        parts.append(_table(ordered(found)))
    elif len(found) > len(failing):
        parts.append("--all lists every number.")
    return "\n\n".join(parts)


def summary(
    found: Sequence[Comparison],
    failing: Sequence[Comparison],
    base: str,
    new: str,
    known: Metrics = METRICS,
    rows: int = FOLDED,
) -> str:
    """The page with folded sections: failures as a list, then at most `rows` rows by verdict."""
    entries = [f"{i}. {escape(text)}" for i, text in _entries(failing, known)]
    remarks = [f"- {text}" for text in _remarks(found, failing, known)]
    parts = [title(failing), _status(found, base, new), "\n".join(entries[:TOLD])]
    if len(entries) > TOLD:
        parts.append(f"And {len(entries) - TOLD:,} more such lines: they are in the table.")
    parts += ["\n".join(remarks), *_folds(found, rows)]
    return "\n\n".join(part for part in parts if part) + "\n"


def refusal(reason: str) -> str:
    """The page of a comparison that could not be made."""
    return f"# Regression gate: not compared\n\n{escape(reason)}\n"


def title(failing: Sequence[Comparison]) -> str:
    missing = sum(c.verdict == MISSING for c in failing)
    counts = {"worse": len(failing) - missing, "missing": missing}
    words = ", ".join(f"{count:,} {word}" for word, count in counts.items() if count)
    return f"# Regression gate: {words or 'passed'}"


def annotations(failing: Sequence[Comparison], known: Metrics = METRICS) -> list[str]:
    """GitHub workflow commands that mark the failures, the worst first, at most as many as GitHub
    shows.
    """
    texts = [text for _, text in _entries(failing, known)]
    if len(texts) > ANNOTATIONS:
        rest = len(texts) - ANNOTATIONS + 1
        last = f"{rest:,} more lines like these; the summary of the job has them"
        texts = [*texts[: ANNOTATIONS - 1], last]
    return [f"::error title=Regression gate::{of_command(text)}" for text in texts]


def as_plain(
    found: Sequence[Comparison], failing: Sequence[Comparison], known: Metrics = METRICS
) -> dict[str, object]:
    """The verdict as JSON: failures as sentences, the worst first, and the count of numbers for
    each verdict.
    """
    counts = Counter(c.verdict for c in found)
    return {
        "passed": not failing,
        "regressed": len(failing),
        "numbers": len(found),
        "counts": {verdict: counts[verdict] for verdict in VERDICTS},
        "failed": [text for _, text in _entries(failing, known)],
        "refused": "",
    }


def ordered(found: Sequence[Comparison]) -> list[Comparison]:
    """Comparisons sorted by verdict, then by certainty, then by the loss relative to margin and
    error, largest first.
    """
    return sorted(found, key=lambda c: (VERDICTS.index(c.verdict), _or(c.p, 2.0), -_size(c)))


def change(c: Comparison) -> tuple[str, str, str]:
    """The base's value, the new one and their difference ± its error, with the digits that the
    error justifies.
    """
    if c.base is None or c.new is None or c.error is None:
        base, new = ("" if v is None else number_text(v, c.record.metric) for v in (c.base, c.new))
        return base, new, ""
    difference = c.new - c.base
    exact = c.error.stderr == 0
    to = abs(difference) if exact else c.error.stderr
    if not to:
        return number_text(c.base, c.record.metric), number_text(c.new, c.record.metric), "0"
    sign = "+" if difference >= 0 else ""
    error = "" if exact else f" ± {to_error(to, to)}"
    return to_error(c.base, to), to_error(c.new, to), f"{sign}{to_error(difference, to)}{error}"


# ----------------------------------------------------------------------------------------------
# Failures


def _entries(failing: Sequence[Comparison], known: Metrics) -> list[tuple[int, str]]:
    """The failures as numbered sentences, the worst first; a group of numbers is one entry."""
    return list(enumerate((told(group, known) for group in groups(ordered(failing))), 1))


def _that_fit(entries: Sequence[list[str]]) -> list[list[str]]:
    """As many of the first entries as fit into their share of lines; always at least one."""
    shown: list[list[str]] = []
    lines = 0
    for entry in entries:
        lines += len(entry)
        if shown and lines > ENTRY_LINES:
            break
        shown.append(entry)
    return shown


def of_command(text: str) -> str:
    """`text` escaped as the message of a workflow command."""
    for character, code in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A")):
        text = text.replace(character, code)
    return text


# ----------------------------------------------------------------------------------------------
# Remarks, one line each


def _status(found: Sequence[Comparison], base: str, new: str) -> str:
    counts = Counter(c.verdict for c in found)
    each = (f"{counts[verdict]:,} {WORDS[verdict]}" for verdict in VERDICTS if counts[verdict])
    counted = f"{len(found):,} numbers" if len(found) != 1 else "1 number"
    return f"{escape(new)} against {escape(base)}: {counted}, {', '.join(each)}."


def _remarks(
    found: Sequence[Comparison], failing: Sequence[Comparison], known: Metrics
) -> list[str]:
    """Remarks on numbers that did not fail."""
    remarks = [_lost(found), _near(found, known), _allowed(found, failing)]
    remarks += [_best(found, known), _changed(found, known), _unresolved(found)]
    return [remark for remark in remarks if remark]


def _lost(found: Sequence[Comparison]) -> str:
    count = sum(c.pairing_lost for c in found)
    if not count:
        return ""
    return (
        f"**The pairing is lost** for {count:,} numbers: both runs have the same protocol and seed, but the base has no "
        "influences of the same images. Their errors are those of independent runs, and only a large loss is seen."
    )


def _near(found: Sequence[Comparison], known: Metrics) -> str:
    near = [c for c in found if c.verdict == UNRESOLVED and c.p < NEAR]
    if not near:
        return ""
    c = min(near, key=lambda c: c.p)
    text = f"{sentence(c, known)} ({p_text(c.p)})"
    return f"Nearest to failing, and not beyond chance among so many numbers: {escape(text)}."


def _allowed(found: Sequence[Comparison], failing: Sequence[Comparison]) -> str:
    missing = sum(c.verdict == MISSING for c in found) - sum(c.verdict == MISSING for c in failing)
    return f"{missing:,} missing numbers do not fail, as was asked for." if missing else ""


def _best(found: Sequence[Comparison], known: Metrics) -> str:
    better = [c for c in ordered(found) if c.verdict == IMPROVEMENT]
    if not better:
        return ""
    return f"Better: {len(better):,}, most surely {escape(sentence(better[0], known))}."


def _changed(found: Sequence[Comparison], known: Metrics) -> str:
    """Numbers without a better direction whose printed value changed."""
    seen = [c for c in ordered(found) if c.verdict == CHANGED and _is_printed(c, known)]
    if not seen:
        return ""
    largest = max(seen, key=_share)
    text = escape(sentence(largest, known))
    return f"Changed, and neither better nor worse: {len(seen):,}, most of all {text}."


def _is_printed(c: Comparison, known: Metrics) -> bool:
    assert c.base is not None and c.new is not None
    return number_text(c.base, c.record.metric, known) != number_text(c.new, c.record.metric, known)


def _share(c: Comparison) -> float:
    assert c.base is not None and c.new is not None
    return abs(c.new - c.base) / max(abs(c.base), abs(c.new))


def _unresolved(found: Sequence[Comparison]) -> str:
    """How many numbers are unresolved, the least certain of them, and what would help."""
    unresolved = [c for c in found if c.verdict == UNRESOLVED]
    if not unresolved:
        return ""
    worst = max(unresolved, key=lambda c: _possible(c) / c.margin if c.margin else 0.0)
    possible = _possible(worst)
    loss, margin = two_digits(possible), two_digits(worst.margin)
    count = f"{len(unresolved):,} numbers are" if len(unresolved) > 1 else "1 number is"
    return (
        f"{count} unresolved: this run is too small to show or to exclude a loss of the margin. Least is known of "
        f"{escape(subject(worst.record))}: a loss of {loss} is possible, the margin is {margin}. More images help "
        f"(a larger profile{_times(possible, worst.margin)}), or wider --margins."
    )


def _times(possible: float, margin: float) -> str:
    """How many times as many images the margin needs: the error falls with the square root of their
    number.
    """
    times = (possible / margin) ** 2 if margin else math.inf
    return f"; some {float(f'{times:.2g}'):,.0f} times as many for this one" if times < 1e9 else ""


def _possible(c: Comparison) -> float:
    """The largest loss within the 95 % interval."""
    assert c.error is not None
    return max(c.loss, 0.0) + c.error.quantile(0.975)


# ----------------------------------------------------------------------------------------------
# Rows


def _folds(found: Sequence[Comparison], left: int) -> list[str]:
    """A folded table for each verdict, of `left` rows in all."""
    rows = ordered(found)
    folds: list[str] = []
    for verdict in VERDICTS:
        ours = [c for c in rows if c.verdict == verdict]
        shown, left = ours[:left], left - len(ours[:left])
        if not shown:
            continue
        some = f", the first {len(shown):,} of them" if len(shown) < len(ours) else ""
        head = f"<details><summary>{len(ours):,} {WORDS[verdict]}{some}</summary>"
        folds.append(f"{head}\n\n{_unpadded(_table(shown))}\n\n</details>")
    return folds


def _table(rows: Sequence[Comparison]) -> str:
    return tabulate([_row(c) for c in rows], HEADERS, tablefmt="pipe", disable_numparse=True)


def _unpadded(table: str) -> str:
    """The same table without padding, a third of the bytes: a comment holds 65,536 characters."""
    head, ruler, *rows = (re.sub(" {2,}", " ", line) for line in table.split("\n"))
    return "\n".join([head, re.sub("-+", "-", ruler), *rows])


def _row(c: Comparison) -> list[str]:
    base, new, difference = change(c)
    judged = c.error is not None and c.verdict not in NO_VERDICT
    margin, p = (f"{c.margin:.2g}", f"{c.p:.2g}") if judged else ("", "")
    how = "paired" if c.paired else "pairing lost" if c.pairing_lost else c.note
    return [c.verdict, escape(name(c.record)), base, new, difference, margin, p, escape(how)]


def _size(c: Comparison) -> float:
    """The loss above the margin, in standard errors.

    As a fraction of the base's value if it has no error.
    """
    if c.error is None:
        return math.inf if math.isinf(c.loss) else 0.0
    scale = c.error.stderr or abs(c.base or 0)
    return _or((c.loss - c.margin) / scale if scale else c.loss, 0.0)


def _or(number: float, instead: float) -> float:
    return instead if math.isnan(number) else number


def _wrapped(text: str) -> list[str]:
    """Markdown wrapped for a terminal: no continuation line begins like a list, heading or command."""
    glued = re.sub(r" (?=(?:[-+*#=]+|\d+[.)])(?:\s|$)|::|##|\|)", "\N{NO-BREAK SPACE}", text)
    indent = re.match(r"(?:- |\d+\. )?", text)
    assert indent is not None
    lines = textwrap.wrap(
        glued,
        WIDTH,
        subsequent_indent=" " * len(indent[0]),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]
