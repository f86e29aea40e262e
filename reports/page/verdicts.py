"""What `reports.tables.contests` decides, in words: for the page, the board and the terminal.

    DiffAE is best: SSIM 0.9912 ± 0.0003 (n = 300). DDIM follows with 0.9480, 0.0432 ± 0.0021 behind.

One template serves every benchmark: the best system by the headline of its first table, whether the
lead may be chance, the references, and what could not be measured.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from diffae.system.errors import UserError
from reports.records.differences import carried_by_one
from reports.records.metrics import Metrics
from reports.records.published import is_floor
from reports.records.reading import joined, short
from reports.records.record import HIGHER, NEITHER, Record
from reports.tables import numbers
from reports.tables.build import Merged
from reports.tables.contests import (
    NOTHING,
    SAID,
    Contest,
    Headline,
    Reference,
    contest,
    first_metric,
)
from reports.tables.ranking import FEWEST, LEVEL, UNDECIDED, Gap, has_inverted_noise, is_measured

IN_TABLES = "Its numbers are in the tables."
MOST_REFERENCES, MOST_NAMES = 3, 4  # in a sentence


@dataclass(frozen=True)
class Verdict:
    """`text` on a benchmark; `kind` says in a word how sure it is."""

    benchmark: str
    kind: str
    text: str


def verdicts(merged: Merged) -> list[Verdict]:
    """One for each benchmark, in the order of the tables."""
    by_benchmark = {
        h.benchmark: Verdict(h.benchmark, h.kind, _text(h, merged)) for h in merged.headlines
    }
    for record in merged.records:
        plain = Verdict(record.benchmark, SAID, IN_TABLES)
        by_benchmark.setdefault(record.benchmark, plain)
    return list(by_benchmark.values())


def _text(headline: Headline, merged: Merged) -> str:
    if headline.contests:
        first, *others = headline.contests
        parts = [_best(first, headline.shown, merged), *_by_row(headline, merged)]
        parts += [*carried(first, merged), *_by_others(first, others, merged)]
        parts += [*_beside(headline, first, merged), *_not_compared(first, merged)]
        parts += _for_reference(first, merged)
    else:
        parts = list(_listing(headline, merged))
    absent = headline.absent
    if headline.kind != NOTHING:  # else the head of the page alone names those without any number
        absent = [name for name in absent if name not in merged.absent]
    if absent:
        parts.append(f"Not measured: {listed(absent)}.")
    return " ".join(parts)


# ----------------------------------------------------------------------------------------------
# Words


def with_error(record: Record, metrics: Metrics) -> str:
    return numbers.value_text(record, metrics) + numbers.error_text(record, metrics)


def gap_text(gap: Gap, metrics: Metrics, error: bool = True) -> str:
    """`0.0123 ± 0.0011`: the size of a difference, with its error if known."""
    size, to = abs(gap.behind), gap.stderr
    if not to:
        return numbers.number_text(size, gap.record.metric, metrics)
    return numbers.to_error(size, to) + f" ± {numbers.to_error(to, to)}" * error


def how_sure(gap: Gap) -> str:
    """How a difference was measured, and whether chance may explain it."""
    if gap.standing == UNDECIDED:
        return f"{UNDECIDED}: {doubt(gap)}"
    if gap.noise is None or gap.stderr is None:
        return "the same" if not gap.behind else "exact"
    return f"{'paired' if gap.paired else 'unpaired'}, {'within' if gap.within_noise else 'beyond'} noise"


def doubt(gap: Gap) -> str:
    """Why a difference decides nothing."""
    return f"fewer than {FEWEST} images" if gap.is_of_few else "no error of it is known"


def against(reference: Reference, held: Contest) -> str:
    """How a reference compares with the systems; empty if it is behind all of them."""
    if not reference.gap.is_clear:
        return reference.gap.standing
    if held.best in reference.surpassed:
        return "better"
    count = len(reference.surpassed)
    return f"better than {count} of {len(held.systems)}" if count else ""


def how(record: Record, others: Iterable[Record]) -> str:
    """What tells a record from `others` besides its system: the setting and T, if they have several."""
    settings, steps = zip(*((r.setting, r.steps) for r in others), strict=True)
    several = len(set(steps) - {None}) > 1
    parts = (record.setting * (len(set(settings)) > 1), numbers.steps_text(record) * several)
    return joined(*parts)


def code_of(record: Record, rows: Iterable[Record]) -> str:
    """`code of 3,328`: the size of the code of a number, where one of `rows` says it."""
    size = size_of_code(record, sizes_of_codes(rows, "latent_dim"))
    return "" if size is None else f"code of {size:,.0f}"


def sizes_of_codes(rows: Iterable[Record], metric: str) -> Mapping[tuple[str, str], float]:
    """The sizes of codes by system and setting, in numbers or in another `metric`."""
    return {(r.system, r.setting): r.value for r in rows if r.metric == metric and r.value}


def size_of_code(record: Record, sizes: Mapping[tuple[str, str], float]) -> float | None:
    """The size of the code of a record: that of its system and setting, or the only one of its system."""
    own = {value for (system, _), value in sizes.items() if system == record.system}
    return sizes.get((record.system, record.setting), own.pop() if len(own) == 1 else None)


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def counted(records: Iterable[Record]) -> str:
    """`n = 16`, or `n = 8 to 16`: the images, or other units, behind numbers.

    Empty if no n is known, and of what does not depend on images, such as parameters.
    """
    measured = [r for r in records if is_measured(r) and r.n is not None]
    counts = sorted({r.n or 0 for r in measured if r.direction != NEITHER or r.n != 1})
    ends = dict.fromkeys((*counts[:1], *counts[-1:]))
    return f"n = {' to '.join(f'{n:,}' for n in ends)}" if ends else ""


# ----------------------------------------------------------------------------------------------
# The sentence


def _best(held: Contest, records: Sequence[Record], merged: Merged) -> str:
    """The best system, its value, and how far behind the next one is."""
    best, metrics = held.best, merged.metrics
    label, n = _label(best.metric, records, merged), _in_parentheses(counted([best]))
    value = f"{label} {with_error(best, metrics)}{n}"
    name = _name(best, records, merged)
    if not held.others:
        is_only = not (held.of_other_n or held.of_other_codes or held.other_protocols)
        ending = "was measured" if is_only else "can be compared with it"
        return f"{name} has {value}; no other system {ending}."
    gap, size = held.rival, gap_text(held.rival, metrics)
    if held.standing == LEVEL:
        level = listed([_name(level.record, records, merged) for level in held.level])
        others, most = ("the other", "") if len(held.level) == 1 else ("the others", "at most ")
        behind = f"{most}{size} behind, within noise" if gap.behind else "the same"
        return f"{name} cannot be told apart from {level}: it has {value}, {others} {behind}."
    rival = f"{_name(gap.record, records, merged)} follows with {numbers.value_text(gap.record, metrics)}"
    if held.standing == UNDECIDED:
        not_best = f"It is not decided which system is best ({doubt(gap)})"
        return f"{not_best}: {name} has {value}. {rival}, {size} behind."
    return f"{_of_whom(held)}{name} is best: {value}. {rival}, {size} behind."


def _label(metric: str, records: Sequence[Record], merged: Merged) -> str:
    """The metric, with the setting that all numbers share: `AUROC (mean)`."""
    settings = {r.setting for r in records}
    shared = settings.pop() if len(settings) == 1 else ""
    return numbers.metric_label(metric, merged.metrics) + _in_parentheses(shared)


def _name(record: Record, records: Sequence[Record], merged: Merged) -> str:
    return record.system + _in_parentheses(
        joined(how(record, records), code_of(record, merged.rows))
    )


def _in_parentheses(text: str) -> str:
    return f" ({text})" if text else ""


def _of_whom(held: Contest) -> str:
    """`Of A and B, ` if a reference is better: then the best of the systems is not the best of all."""
    names = [r.system for r in held.systems]
    systems = listed(names) if len(names) <= MOST_NAMES else f"{len(names)} systems"
    return f"Of {systems}, " if any(held.best in r.worse for r in held.scale) else ""


def _by_row(headline: Headline, merged: Merged) -> Iterator[str]:
    """In how many rows of a table by class, edit or the like each system is best."""
    spec, metric = headline.spec, headline.contests[0].best.metric
    if spec.rows != ("setting",):
        return
    ours = [r for r in headline.records if r.metric == metric]
    rows = ([r for r in ours if r.setting == s] for s in dict.fromkeys(r.setting for r in ours))
    held = (contest(row, merged.metrics) for row in rows)
    contests = list(filter(None, held))
    if len(contests) < 2:
        return
    best = Counter(c.best.system for c in contests)
    better = Counter(r.record.system for c in contests for r in c.scale if c.best in r.surpassed)
    each = [f"{name} is best in {count}" for name, count in best.most_common() if len(best) > 1]
    each += [f"{name} is better than all in {count}" for name, count in better.most_common()]
    if each:
        yield f"Of {len(contests)} rows (by {spec.setting_header}), {listed(each)}."


def _by_others(first: Contest, others: Sequence[Contest], merged: Merged) -> Iterator[str]:
    """Which of the other headline metrics have a different best system."""
    for held in others:
        if held.best.system != first.best.system and held.others:
            label = numbers.metric_label(held.best.metric, merged.metrics)
            yield f"By {label} it is {held.best.system} ({with_error(held.best, merged.metrics)})."


def carried(held: Contest, merged: Merged) -> Iterator[str]:
    """If the difference to the next system depends on one image: its name if known, and what
    remains without it.
    """
    if not held.others:
        return
    gap = held.rival
    sign = -1 if held.best.direction == HIGHER else 1
    base = held.best.estimate
    without = carried_by_one(sign * gap.behind, base, gap.record.estimate)
    if without is None:
        return
    name = _outlying_image(merged, len(base.influences[0].values), held.best, gap.record)
    unit = f"image, {name}," if name else without.units.partition(":")[0].removesuffix("s")
    left = replace(gap, behind=sign * without.difference, stderr=without.error.stderr)
    side = "behind" if left.behind >= 0 else "ahead"
    yield (
        f"One {unit} carries this difference: without it {gap.record.system} is "
        f"{gap_text(left, merged.metrics)} {side}, {'beyond' if without.is_shown else 'within'} noise."
    )


def _outlying_image(merged: Merged, units: int, *pair: Record) -> str:
    """The image whose difference of scores is furthest from the mean difference, by the run's
    samples.csv.

    Empty if the file does not say, or if the number of its images is not that of the units of the
    difference.
    """
    if len(merged.folders) > 1:
        return ""
    try:
        a, b = (dict(merged.folders[0].scores_of(record)) for record in pair)
    except UserError:
        return ""
    differences = {name: b[name] - a[name] for name in a if name in b}
    if len(differences) != units:
        return ""
    mean = fmean(differences.values())
    return short(max(differences, key=lambda name: abs(differences[name] - mean)))


def _beside(headline: Headline, held: Contest, merged: Merged) -> Iterator[str]:
    """The table's numbers without a better direction at the settings of the systems, such as how far
    an edit moved its attribute.
    """
    for metric in headline.spec.beside:
        ours = [
            f"{r.system} {with_error(r, merged.metrics)}"
            for best in held.systems
            for r in headline.records
            if r.metric == metric and (r.system, r.setting) == (best.system, best.setting)
        ]
        if ours:
            yield f"Beside it, {numbers.metric_label(metric, merged.metrics)}: {listed(ours)}."


def _not_compared(held: Contest, merged: Merged) -> Iterator[str]:
    """A sentence on systems that are not compared: those of a different n, code or protocol."""
    if held.of_other_n:
        counts = [f"{r.system} (n = {r.n:,})" for r in held.of_other_n]
        metric, n = numbers.metric_label(held.best.metric, merged.metrics), held.best.n
        yield f"Not compared, for {metric} depends on n, here {n:,}: {listed(counts)}."
    if held.of_other_codes:
        names = listed([f"{r.system} {with_error(r, merged.metrics)}" for r in held.of_other_codes])
        has = "no inverted x_T" if has_inverted_noise(held.best) else "an inverted x_T"
        yield f"Not compared, for their codes hold {has}: {names}."
    if held.other_protocols:
        yield "Others were measured by a different protocol and are not compared."


def _for_reference(held: Contest, merged: Merged) -> Iterator[str]:
    """The values of references, such as real images: all that are better than one of the systems, and
    others up to `MOST_REFERENCES`.
    """
    ordered = sorted(held.scale, key=lambda r: is_floor(r.record), reverse=True)
    better = [r for r in ordered if r.worse]
    others = [r for r in ordered if not r.worse][: max(MOST_REFERENCES - len(better), 0)]
    each = []
    for r in [r for r in ordered if r in (*better, *others)]:
        word = _in_parentheses(against(r, held))
        each.append(f"{r.record.system} {with_error(r.record, merged.metrics)}{word}")
    if each:
        yield f"For reference: {listed(each)}."


def _listing(headline: Headline, merged: Merged) -> Iterator[str]:
    """The numbers of a headline by which nobody can be best."""
    metric = first_metric(headline.shown, headline.spec.headline, merged.metrics)
    records = [r for r in headline.shown if r.metric == metric]
    ours = [r for r in records if not r.reference]
    if not ours and headline.kind == SAID:
        yield IN_TABLES
    elif not ours and any(name not in merged.references for name in headline.absent):
        yield "No system could be measured."
    row = merged.metrics.get(metric)
    meaning = row.reference if row and row.neutral is not None else ""
    about = _in_parentheses(joined(counted(ours), meaning, by="; "))
    scale = [r for r in records if r.reference][:MOST_REFERENCES]
    for lead, group in (
        (f"{_label(metric, records, merged)}{about}", ours),
        ("For reference", scale),
    ):
        each = [
            f"{_name(r, records, merged)} {with_error(r, merged.metrics)}{_side(r, merged)}"
            for r in group
        ]
        if each:
            yield f"{lead}: {'; '.join(each)}."


def _side(record: Record, merged: Merged) -> str:
    """On which side of the neutral value of its metric a number is, such as 1 of a ratio."""
    metric = merged.metrics.get(record.metric)
    if metric is None or metric.neutral is None or record.ci_low is None or record.ci_high is None:
        return ""
    if record.ci_low > metric.neutral or record.ci_high < metric.neutral:
        return f" ({'above' if record.ci_low > metric.neutral else 'below'} {metric.neutral:g})"
    return f" ({metric.neutral:g} {LEVEL})"
