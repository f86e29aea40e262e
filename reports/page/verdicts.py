"""The result of each benchmark in a sentence or two.

    DiffAE reconstructs best: SSIM 0.9912 ± 0.0003. DDIM follows with 0.9480, 0.0432 ± 0.0021 behind.

The sentence names the best system by the headline of the benchmark's first table, whether the lead
may be chance (from the difference on the images that both share), and what could not be measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from diffae.system.errors import UserError
from reports.page.contest import (
    ALONE,
    BEHIND,
    CLEAR,
    LEVEL,
    MOST_REFERENCES,
    NOTHING,
    SAID,
    Contest,
    apart,
    counted,
    for_reference,
    gap_text,
    headline_contests,
    headlined,
    how,
    is_surpassed,
    listed,
    of_whom,
    with_error,
)
from reports.page.described import DESCRIBED
from reports.records.reading import short
from reports.records.record import HIGHER, Record
from reports.records.specs import TableSpec
from reports.records.uncertainty import carried_by_one
from reports.tables.contests import is_measured
from reports.tables.merging import Merged
from reports.tables.numbers import metric_label, value_text
from reports.tables.run_record import contest_of

# The verb for the best of a table.
WORDS = {
    "table1_reconstruction": "reconstructs best",
    "section5.3_probe": "has the codes that tell most of the attributes",
    "appendix_f_smoothness": "interpolates most smoothly",
    "table4_unconditional_fid": "draws the samples that are nearest to the data",
    "figure6_denoising": "predicts the image best",
    "table3_fewshot_fid": "draws the classes best",
}


@dataclass(frozen=True)
class Verdict:
    """`text` on a benchmark; `kind` says in a word how sure it is."""

    benchmark: str
    kind: str
    text: str


def verdicts(found: Merged) -> list[Verdict]:
    """One for each benchmark, in the order of the tables."""
    said: dict[str, Verdict] = {}
    for spec, records in headlined(found):
        own, measured = DESCRIBED.get(spec.source), list(filter(is_measured, records))
        kind, text = own(measured, found) if own else _of_headline(spec, measured, found)
        benchmark = records[0].benchmark
        said[benchmark] = Verdict(benchmark, kind, " ".join([text, *_left_out(records)]))
    for record in found.records:
        plain = Verdict(record.benchmark, SAID, "Its numbers are in the tables.")
        said.setdefault(record.benchmark, plain)
    return list(said.values())


def _left_out(records: Sequence[Record]) -> list[str]:
    """The systems without any measurement; the tables' notes say why."""
    measured = {record.system for record in records if is_measured(record)}
    absent = dict.fromkeys(r.system for r in records if r.system not in measured)
    return [f"Not measured: {listed(list(absent))}."] if absent else []


# ----------------------------------------------------------------------------------------------
# A contest


def _of_headline(spec: TableSpec, records: list[Record], found: Merged) -> tuple[str, str]:
    rivals, held = headline_contests(spec, records, found)
    if not held:
        return _scale_only(rivals, found)
    first, *others = held
    settings = {r.setting for r in rivals}
    at = f" ({settings.pop()})" if len(settings) == 1 and settings != {""} else ""
    kind, text = _sentence(WORDS.get(spec.source, "is best"), first, rivals, found, at)
    if is_surpassed(first, found):
        kind = BEHIND
    more = [*carried(first, found), *_by_others(first, others, found), *apart(rivals, first, found)]
    return kind, " ".join([text, *more, *for_reference(first, found)])


def _sentence(
    words: str, held: Contest, rivals: Sequence[Record], found: Merged, at: str
) -> tuple[str, str]:
    """The best system, its value, and how far behind the next one is."""
    best = held.best
    label = metric_label(best.metric, found.known)
    n = counted([best])
    value = f"{label}{at} {with_error(best, found)}{n and f' ({n})'}"
    name = best.system + how(best, rivals)
    if not held.others:
        is_only = not held.of_other_n and not any(contest_of(r) for r in rivals if not r.reference)
        what = "was measured" if is_only else "can be compared with it"
        return ALONE, f"{name} has {value}; no other system {what}."
    if held.level:
        level = listed([gap.record.system + how(gap.record, rivals) for gap in held.level])
        gap = held.level[-1]
        if not gap.behind:
            return LEVEL, f"{name} has {value}, and {level} the same."
        behind = "" if len(held.level) == 1 else "at most "
        return LEVEL, (
            f"{name} cannot be told apart from {level}: it has {value}, and {level} "
            f"{'is' if len(held.level) == 1 else 'are'} {behind}{gap_text(gap, found)} behind, within noise."
        )
    gap = held.others[0]
    rival = gap.record.system + how(gap.record, rivals)
    doubt = "" if gap.stderr is not None else " (no error of this difference is known)"
    behind = (
        f"{rival} follows with {value_text(gap.record, found.known)}, {gap_text(gap, found)} behind"
    )
    return CLEAR, f"{of_whom(held)}{name} {words}: {value}. {behind}{doubt}."


def _by_others(first: Contest, others: Sequence[Contest], found: Merged) -> list[str]:
    """Which of the other headline metrics have a different best system."""
    said = []
    for held in others:
        if held.best.system != first.best.system and held.others:
            value, label = with_error(held.best, found), metric_label(held.best.metric, found.known)
            said.append(f"By {label} it is {held.best.system} ({value}).")
    return said


def carried(held: Contest, found: Merged) -> list[str]:
    """If the difference to the next system depends on one image: its name if known, and what
    remains without it.
    """
    if not held.others:
        return []
    gap = held.level[-1] if held.level else held.others[0]
    pair = held.best, gap.record
    sign = -1 if held.best.direction == HIGHER else 1
    base, new = map(found.uncertainty, pair)
    one = carried_by_one(sign * gap.behind, base, new)
    if one is None:
        return []
    name = _outlying_image(found, len(base[0].values), *pair)
    which = f"image, {name}," if name else one.units.partition(":")[0].removesuffix("s")
    left = replace(gap, behind=sign * one.difference, stderr=one.error.stderr)
    return [
        f"One {which} carries this difference: without it {gap.record.system} is {gap_text(left, found)} behind, "
        f"{'beyond' if one.is_shown else 'within'} noise."
    ]


def _outlying_image(found: Merged, units: int, *pair: Record) -> str:
    """The image whose difference of scores is furthest from the mean difference, by the run's
    samples.csv.

    Empty if the file does not say, or if the number of its images is not that of the units of the
    difference.
    """
    if len(found.folders) > 1:
        return ""
    try:
        a, b = (dict(found.folders[0].scores_of(record)) for record in pair)
    except UserError:
        return ""
    differences = {name: b[name] - a[name] for name in a if name in b}
    if len(differences) != units:
        return ""
    mean = fmean(differences.values())
    return short(max(differences, key=lambda name: abs(differences[name] - mean)))


def _scale_only(records: Sequence[Record], found: Merged) -> tuple[str, str]:
    scale = [f"{r.system} {with_error(r, found)}" for r in records[:MOST_REFERENCES] if r.reference]
    said = [f"For reference: {listed(scale)}."] if scale else []
    return NOTHING, " ".join(["No system could be measured.", *said])
