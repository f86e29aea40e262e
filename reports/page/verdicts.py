"""What each benchmark shows, in a sentence or two that a person would say.

    DiffAE reconstructs best: SSIM 0.9912 ± 0.0003. Next is DDIM with 0.9480, behind by 0.0432 ± 0.0021.

The best system by the headline of the benchmark's first table, whether chance alone could have put it there (the
difference on the images that both share), and what could not be measured.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from reports.layout import at_largest_steps, choose
from reports.metrics import with_stand_ins
from reports.numbers import metric_label, number_text, value_text
from reports.page.contest import (
    Contest,
    contest,
    gap_text,
    how,
    is_measured,
    listed,
    with_error,
)
from reports.page.reading import Found
from reports.records import HIGHER, LOWER, Record
from reports.specs import TableSpec

CLEAR, LEVEL, ALONE, SAID, NOTHING = "clear", "within noise", "alone", "described", "not measured"

# What the best of a table is said to do.
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


def verdicts(found: Found) -> list[Verdict]:
    """One for each benchmark, in the order of the tables."""
    said: dict[str, Verdict] = {}
    for spec in sorted(found.specs, key=lambda spec: spec.order):
        records = at_largest_steps(choose(spec, found.records))
        if not records or not spec.headline or records[0].benchmark in said:
            continue
        said[records[0].benchmark] = _verdict(spec, records, found)
    for benchmark in dict.fromkeys(record.benchmark for record in found.records):
        if benchmark not in said:
            said[benchmark] = Verdict(benchmark, SAID, "Its numbers are in the tables.")
    return list(said.values())


def _verdict(spec: TableSpec, records: list[Record], found: Found) -> Verdict:
    benchmark = records[0].benchmark
    own = SPECIAL.get(spec.source)
    kind, text = own(records, found) if own else _of_headline(spec, records, found)
    return Verdict(benchmark, kind, " ".join([text, *_left_out(records)]))


def _left_out(records: Sequence[Record]) -> list[str]:
    """The systems of which nothing was measured; the tables' notes say why."""
    measured = {record.system for record in records if is_measured(record)}
    absent = dict.fromkeys(r.system for r in records if r.system not in measured)
    return [f"Not measured: {listed(list(absent))}."] if absent else []


# ----------------------------------------------------------------------------------------------
# A contest


def _of_headline(spec: TableSpec, records: list[Record], found: Found) -> tuple[str, str]:
    metrics = with_stand_ins(spec.headline, found.known)
    shown = [r for r in records if r.metric in metrics and is_measured(r)]
    setting = next((s for s in spec.headline_settings if any(r.setting == s for r in shown)), None)
    rivals = [r for r in shown if setting is None or not setting or r.setting == setting]
    contests = [
        (metric, contest([r for r in rivals if r.metric == metric], found)) for metric in metrics
    ]
    held = [(metric, one) for metric, one in contests if one is not None]
    if not held:
        return _scale_only(rivals, found)
    (metric, first), *others = held
    kind, text = _sentence(WORDS.get(spec.source, "is best"), first, rivals, found, setting)
    return kind, " ".join([text, *_by_others(first, others, found), *_scale(rivals, metric, found)])


def _sentence(
    words: str, held: Contest, rivals: Sequence[Record], found: Found, setting: str | None
) -> tuple[str, str]:
    """The best, its value, and how far the next one is."""
    best = held.best
    at = f" ({setting})" if setting else ""
    label = metric_label(best.metric, found.known)
    value = f"{label}{at} {with_error(best, found)}"
    name = best.system + how(best, rivals)
    if not held.others:
        return ALONE, f"Only {name} was measured: {value}."
    if held.level:
        level = listed([gap.record.system + how(gap.record, rivals) for gap in held.level])
        gap = held.level[-1]
        if not gap.behind:
            return LEVEL, f"{name} has {value}, and {level} the same."
        return LEVEL, (
            f"{name} is ahead, with {value}, but cannot be told apart from {level}: "
            f"{'a' if len(held.level) == 1 else 'the largest'} difference of {gap_text(gap, found)} is below noise."
        )
    gap = held.others[0]
    rival = gap.record.system + how(gap.record, rivals)
    behind = (
        f"{rival} follows with {value_text(gap.record, found.known)}, {gap_text(gap, found)} behind"
    )
    return CLEAR, f"{name} {words}: {value}. {behind}{_doubt(held)}."


def _doubt(held: Contest) -> str:
    return "" if held.others[0].stderr is not None else " (no error of this difference is known)"


def _by_others(first: Contest, others: Sequence[tuple[str, Contest]], found: Found) -> list[str]:
    """Which of the other headline metrics names another best."""
    said = []
    for metric, held in others:
        if held.best.system != first.best.system and held.others:
            value = with_error(held.best, found)
            said.append(
                f"By {metric_label(metric, found.known)} it is {held.best.system} ({value})."
            )
    return said


def _scale(records: Sequence[Record], metric: str, found: Found) -> list[str]:
    """What rows that give a scale have, such as real images."""
    scale = [r for r in records if r.reference and r.metric == metric and is_measured(r)]
    if not scale or len({r.system for r in scale}) < len(scale):
        return []
    each = [f"{r.system} {with_error(r, found)}" for r in scale[:3]]
    return [f"For scale: {listed(each)}."]


def _scale_only(records: Sequence[Record], found: Found) -> tuple[str, str]:
    metric = next((r.metric for r in records), "")
    return NOTHING, " ".join(["No system could be measured.", *_scale(records, metric, found)])


# ----------------------------------------------------------------------------------------------
# Benchmarks that are no contest


def _identity(records: list[Record], found: Found) -> tuple[str, str]:
    """What an edit keeps of the person, and how far it moves the attribute: means over attributes."""
    edits = [(r, *strength_of(r)) for r in records if is_measured(r)]
    strengths = [s for r, _, s in edits if s is not None and not r.reference]
    if not strengths:
        return NOTHING, "No edit could be measured."
    largest, texts = max(strengths), list[str]()
    for system in dict.fromkeys(r.system for r, _, s in edits if s == largest):
        ours = [r for r, _, s in edits if s == largest and r.system == system]
        kept = [r for r in ours if r.direction == HIGHER]
        moved = [r for r in ours if r.metric == "logit_change"]
        if kept and moved:
            texts.append(
                f"{system} {_mean(kept, found)} (the logit moves by {_mean(moved, found)})"
            )
    people = [r for r in records if is_measured(r) and strength_of(r)[1] is None and r.reference]
    scale = [f"{r.setting} {value_text(r, found.known)}" for r in people]
    label = metric_label(next(r.metric for r, _, s in edits if r.direction == HIGHER), found.known)
    text = f"Identity kept ({label}) by an edit of strength {largest:g}, on average: {'; '.join(texts)}."
    return SAID, text + (f" For scale: {listed(scale)}." if scale else "")


def strength_of(record: Record) -> tuple[str, float | None]:
    """`("Male", 0.3)` of the setting "Male 0.3"; no strength where it is no edit."""
    attribute, _, number = record.setting.rpartition(" ")
    try:
        return attribute, float(number)
    except ValueError:
        return record.setting, None


def _mean(records: Sequence[Record], found: Found) -> str:
    values = [r.value for r in records if r.value is not None]
    return number_text(sum(values) / len(values), records[0].metric, found.known)


def _variation(records: list[Record], found: Found) -> tuple[str, str]:
    """How much each part of the code decides."""
    texts: list[str] = []
    for system, metric in dict.fromkeys((r.system, r.metric) for r in records if is_measured(r)):
        ours = {r.setting: r for r in records if (r.system, r.metric) == (system, metric)}
        noise, meaning = ours.get("x_T varies"), ours.get("z_sem varies")
        if noise is None or meaning is None or not noise.value or meaning.value is None:
            continue
        if system in {text.split(":")[0] for text in texts}:
            continue
        texts.append(
            f"{system}: a new x_T changes an image by {with_error(noise, found)}, a new z_sem by "
            f"{with_error(meaning, found)}, {meaning.value / noise.value:.1f} times as much "
            f"({metric_label(metric, found.known)})"
        )
    return (SAID, f"{'. '.join(texts)}.") if texts else (NOTHING, "Nothing could be varied.")


def _memorisation(records: list[Record], found: Found) -> tuple[str, str]:
    """Whether samples lie nearer to the training images than new images do."""
    ratios = [
        r
        for r in records
        if r.metric.startswith("nn_ratio") and r.setting == "median" and is_measured(r)
    ]
    texts = [f"{r.system} {with_error(r, found)} ({_nearness(r)})" for r in ratios]
    if not texts:
        return NOTHING, "No system could be measured."
    metric = ratios[0].metric
    texts = [text for text, r in zip(texts, ratios, strict=True) if r.metric == metric]
    label = metric_label(metric, found.known)
    return SAID, (
        f"The distance of samples to the nearest training image, over that of new images "
        f"({label}, median): {'; '.join(texts)}."
    )


def _nearness(record: Record) -> str:
    """In words what a ratio says: 1 is what new images have."""
    if record.ci_low is None or record.ci_high is None or record.value is None:
        return "no interval is known"
    if record.ci_high < 1:
        return "nearer than new images: a sign of memorising"
    return "farther than new images" if record.ci_low > 1 else "as far as new images, within noise"


def _cost(records: list[Record], found: Found) -> tuple[str, str]:
    totals = [
        r
        for r in records
        if r.metric == "parameters" and r.setting == "total" and is_measured(r) and not r.reference
    ]
    sizes = [f"{r.system} {_millions(r.value or 0)}" for r in totals]
    speeds = _speeds(found)
    said = [f"Parameters: {'; '.join(sizes)}."] if sizes else []
    return (
        (SAID, " ".join([*said, *speeds])) if said or speeds else (NOTHING, "Nothing was counted.")
    )


def _millions(count: float) -> str:
    return f"{count / 1e6:.1f} million" if count >= 1e5 else f"{count:,.0f}"


def _speeds(found: Found) -> list[str]:
    """Images a second of decoding, at each system's largest T that was timed."""
    times = [
        r
        for r in found.records
        if r.metric == "images_per_second" and r.setting == "decode" and is_measured(r)
    ]
    each = [
        f"{r.system} {value_text(r, found.known)}{f' at T = {r.steps}' if r.steps else ''}"
        for r in times
        if not r.reference
    ]
    return [f"Images decoded in a second on this machine: {'; '.join(each)}."] if each else []


def _fewshot(records: list[Record], found: Found) -> tuple[str, str]:
    """In how many classes each system is nearest; of a single one, how it compares with the scale."""
    distances = [r for r in records if r.direction == LOWER and is_measured(r)]
    settings = list(dict.fromkeys(r.setting for r in distances if not r.reference))
    contests = [contest([r for r in distances if r.setting == s], found) for s in settings]
    held = [one for one in contests if one is not None]
    if not held:
        return NOTHING, "No system could be measured."
    label = metric_label(held[0].best.metric, found.known)
    if any(one.others for one in held):
        return _wins(held, label)
    values = [one.best for one in held]
    low, high = (f(values, key=lambda r: r.value or 0) for f in (min, max))
    return ALONE, (
        f"Only {low.system} was measured, {label} from {with_error(low, found)} ({low.setting}) to "
        f"{with_error(high, found)} ({high.setting}). {_against_naive(values, distances)}"
    )


def _wins(held: Sequence[Contest], label: str) -> tuple[str, str]:
    wins: dict[str, list[Contest]] = {}
    for one in held:
        wins.setdefault(one.best.system, []).append(one)
    ranked = sorted(wins.items(), key=lambda item: -len(item[1]))
    texts = [
        f"{system} is nearest in {len(ones)} of {len(held)} classes by {label}{_level_in(ones)}"
        for system, ones in ranked
    ]
    clear = any(not one.level for one in held)
    return (CLEAR if clear else LEVEL), f"{'; '.join(texts)}."


def _level_in(ones: Sequence[Contest]) -> str:
    level = sum(bool(one.level) for one in ones)
    return f" (in {level} of them within noise)" if level else ""


def _against_naive(values: Iterable[Record], distances: Iterable[Record]) -> str:
    """Whether samples of a class are nearer to it than all images are."""
    naive = {r.setting: r.value for r in distances if r.system == "naive"}
    pairs = [(r.value, naive[r.setting]) for r in values if r.setting in naive]
    nearer = sum(a < b for a, b in pairs if a is not None and b is not None)
    return (
        f"Nearer to the class than all images are (naive) in {nearer} of {len(pairs)}."
        if pairs
        else ""
    )


SPECIAL: dict[str, Callable[[list[Record], Found], tuple[str, str]]] = {
    "appendix_g_identity": _identity,
    "figure3_variation": _variation,
    "appendix_c_memorisation": _memorisation,
    "section5.5_cost": _cost,
    "table3_fewshot_fid": _fewshot,
}
