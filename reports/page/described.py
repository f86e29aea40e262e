"""Verdicts on benchmarks that do not rank systems by one number.

They are on what an edit keeps, what each part of a code decides, whether samples are memorised, the
cost, and in how many classes a system is best. Each is made of the measured records of its table.
"""

from collections.abc import Callable, Sequence

from reports.page.contest import (
    ALONE,
    BELOW_NAIVE,
    CLEAR,
    LEVEL,
    NOTHING,
    SAID,
    Contest,
    apart,
    contest,
    counted,
    gap_between,
    headline_metric,
    listed,
    with_error,
)
from reports.records.comparable import NAIVE, OF_CLASS, is_floor, scale_name
from reports.records.metrics import with_stand_ins
from reports.records.record import HIGHER, NEITHER, Record
from reports.tables.contests import Gap, is_measured, strength_of
from reports.tables.merging import Merged
from reports.tables.numbers import metric_label, number_text, value_text


def _identity(records: list[Record], found: Merged) -> tuple[str, str]:
    """How well an edit preserves the identity, and how far it moves the attribute: means over
    attributes. Of images without labels, how well the reconstruction does.
    """
    edits = [(r, *strength_of(r.setting)) for r in records]
    strengths = [s for r, _, s in edits if s is not None and not r.reference]
    first = next((r for r in records if r.direction != NEITHER), None)
    ours = [r for r in records if is_measured(r) and not r.reference]
    if first is None or not ours:
        return NOTHING, "No edit could be measured."
    whole = [r for r in ours if r.setting == ours[0].setting]  # not by the size of the face
    if strengths:
        by = f"an edit of strength {max(strengths):g}, on average"
        texts = _of_edits(edits, max(strengths), first.metric, found)
    else:
        by, texts = (
            "the reconstruction",
            [f"{r.system} {value_text(r, found.known)}" for r in whole],
        )
    scale = [f"{r.setting} {value_text(r, found.known)}" for r in filter(is_floor, records)]
    label = metric_label(first.metric, found.known)
    n = counted(r for r in ours if r.metric == first.metric)
    change = "kept" if first.direction == HIGHER else "lost"
    text = f"Identity {change} ({', '.join(filter(None, (label, n)))}) by {by}: {'; '.join(texts)}."
    return SAID, text + (f" For reference: {listed(scale)}." if scale else "")


def _of_edits(
    edits: Sequence[tuple[Record, str, float | None]], largest: float, metric: str, found: Merged
) -> list[str]:
    """Means over attributes at the largest strength, by system: the identity and the logit's move."""
    texts = []
    for system in dict.fromkeys(r.system for r, _, s in edits if s == largest):
        ours = [r for r, _, s in edits if s == largest and r.system == system]
        kept = [r for r in ours if r.metric == metric]
        moved = [r for r in ours if r.metric == "logit_change"]
        if kept and moved:
            texts.append(
                f"{system} {_mean(kept, found)} (the logit moves by {_mean(moved, found)})"
            )
    return texts


def _mean(records: Sequence[Record], found: Merged) -> str:
    values = [r.value for r in records if r.value is not None]
    return number_text(sum(values) / len(values), records[0].metric, found.known)


def _variation(records: list[Record], found: Merged) -> tuple[str, str]:
    """How much each part of the code decides."""
    texts: list[str] = []
    for system, metric in dict.fromkeys((r.system, r.metric) for r in records):
        ours = {r.setting: r for r in records if (r.system, r.metric) == (system, metric)}
        noise, meaning = ours.get("x_T varies"), ours.get("z_sem varies")
        if noise is None or meaning is None or not noise.value or meaning.value is None:
            continue
        if system in {text.split(":")[0] for text in texts}:
            continue
        texts.append(
            f"{system}: a new x_T changes an image by {with_error(noise, found)}, a new z_sem by "
            f"{with_error(meaning, found)}, {meaning.value / noise.value:.1f} times as much "
            f"({', '.join(filter(None, (metric_label(metric, found.known), counted([noise, meaning]))))})"
        )
    return (SAID, f"{'. '.join(texts)}.") if texts else (NOTHING, "Nothing could be varied.")


def _memorisation(records: list[Record], found: Merged) -> tuple[str, str]:
    """Whether samples are nearer to the training images than new images are."""
    names = with_stand_ins(("nn_ratio_inception", "nn_ratio_pixels"), found.known)
    medians = [r for r in records if r.setting == "median"]
    metric = next((name for name in names if any(r.metric == name for r in medians)), "")
    if not metric:
        return NOTHING, "No system could be measured."
    ratios = [r for r in medians if r.metric == metric]
    texts = [f"{r.system} {with_error(r, found)} ({_nearness(r)})" for r in ratios]
    label = metric_label(metric, found.known)
    return SAID, (
        f"The distance of samples to the nearest training image, over that of new images "
        f"({', '.join(filter(None, (label, 'median', counted(ratios))))}): {'; '.join(texts)}."
    )


def _nearness(record: Record) -> str:
    """A ratio in words: new images have 1."""
    if record.ci_low is None or record.ci_high is None or record.value is None:
        return "no interval is known"
    if record.ci_high < 1:
        return "nearer than new images: a sign of memorising"
    return "farther than new images" if record.ci_low > 1 else "as far as new images, within noise"


def _cost(records: list[Record], found: Merged) -> tuple[str, str]:
    totals = (r for r in records if r.metric == "parameters" and r.setting == "total")
    sizes = [f"{r.system} {_millions(r.value or 0)}" for r in totals if not r.reference]
    said = [f"Parameters: {'; '.join(sizes)}."] if sizes else []
    said += _speeds(found)
    return (SAID, " ".join(said)) if said else (NOTHING, "Nothing was counted.")


def _millions(count: float) -> str:
    return f"{count / 1e6:.1f} million" if count >= 1e5 else f"{count:,.0f}"


def _speeds(found: Merged) -> list[str]:
    """Decoded images per second, at the largest T timed for each system."""
    times = (r for r in found.records if r.metric == "images_per_second" and not r.reference)
    each = [
        f"{r.system} {value_text(r, found.known)}{f' at T = {r.steps}' if r.steps else ''}"
        for r in times
        if r.setting == "decode" and is_measured(r)
    ]
    return [f"Images decoded in a second on this machine: {'; '.join(each)}."] if each else []


def _fewshot(records: list[Record], found: Merged) -> tuple[str, str]:
    """In how many classes each system is nearest, and the comparison with equally many images of
    all classes (naive) and of the class.
    """
    metric = headline_metric(found, "table3_fewshot_fid", records)
    distances = [r for r in records if r.metric == metric]
    settings = list(dict.fromkeys(r.setting for r in distances if not r.reference))
    contests = [contest([r for r in distances if r.setting == s], found) for s in settings]
    held = [one for one in contests if one is not None]
    if not held:
        return NOTHING, "No system could be measured."
    kind, text = _wins(held, found) if any(one.others for one in held) else _alone(held, found)
    naive = _gaps_to(NAIVE, held, found)
    if 2 * sum(gap.behind < 0 and not gap.within_noise for gap in naive) > len(naive):
        kind = BELOW_NAIVE
    more = _against_naive(naive) + _against_real(held, found)
    more += dict.fromkeys(text for one in held for text in apart(distances, one, found))
    return kind, " ".join([text, *more])


def _alone(held: Sequence[Contest], found: Merged) -> tuple[str, str]:
    values = [one.best for one in held]
    low, high = (f(values, key=lambda r: r.value or 0) for f in (min, max))
    label, n = metric_label(low.metric, found.known), counted(values)
    ends = [f"{with_error(r, found)} ({r.setting})" for r in (low, high)]
    return ALONE, (
        f"{low.system} has {label} from {' to '.join(ends)}{n and ', '}{n}; no other system was measured."
    )


def _wins(held: Sequence[Contest], found: Merged) -> tuple[str, str]:
    values = [one.best for one in held]
    label = ", ".join(filter(None, (metric_label(values[0].metric, found.known), counted(values))))
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


def _against_real(held: Sequence[Contest], found: Merged) -> list[str]:
    """The distances of as many real images of the class, and in how many classes samples cannot be
    told apart from these.
    """
    gaps = _gaps_to(OF_CLASS, held, found)
    if not gaps:
        return []
    ordered = sorted((gap.record for gap in gaps), key=lambda r: r.value or 0)
    ends = dict.fromkeys(value_text(r, found.known) for r in (ordered[0], ordered[-1]))
    said = f"As many real images of the class have {' to '.join(ends)}"
    if all(gap.noise is not None for gap in gaps):
        level = sum(gap.within_noise for gap in gaps)
        said += f", and samples are within noise of these in {level} of {len(gaps)}"
    return [f"{said}."]


def _against_naive(gaps: Sequence[Gap]) -> list[str]:
    """In how many classes samples are nearer to the real images of the class than equally many
    images of all classes are, or farther from them if that is so in more classes.
    """
    nearer, farther = (sum(sign * gap.behind > 0 for gap in gaps) for sign in (1, -1))
    words, count = ("Worse", farther) if farther > nearer else ("Nearer to the class", nearer)
    said = f"{words} than as many of all images (naive) in {count} of {len(gaps)}"
    return [f"{said}{_within_noise(gaps)}."] if gaps else []


def _gaps_to(scale: str, held: Sequence[Contest], found: Merged) -> list[Gap]:
    """How far the rows of real images called `scale` are behind the best of each contest."""
    return [
        gap_between(one.best, real, found)
        for one in held
        for real in one.scale
        if scale_name(real.system) == scale
    ]


def _within_noise(gaps: Sequence[Gap]) -> str:
    level = sum(gap.within_noise for gap in gaps)
    return f"; {level} of the {len(gaps)} are within noise" if level else ""


DESCRIBED: dict[str, Callable[[list[Record], Merged], tuple[str, str]]] = {
    "appendix_g_identity": _identity,
    "figure3_variation": _variation,
    "appendix_c_memorisation": _memorisation,
    "section5.5_cost": _cost,
    "table3_fewshot_fid": _fewshot,
}
