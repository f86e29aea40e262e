"""Who is best by the headline of a benchmark: at which setting each system is taken, and what is told of it.

The terminal, the page, the board, `tables/differences.md` and `Results.summary` all print
what these functions and ranking.py decide, so that they name the same settings, values and differences.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from reports.records.metrics import Metrics, with_stand_ins
from reports.records.reading import grouped
from reports.records.record import NEITHER, Record
from reports.records.specs import TableSpec
from reports.tables import ranking
from reports.tables.ranking import CODE, Gap

# ----------------------------------------------------------------------------------------------
# Settings


def headlines(spec: TableSpec, chosen: Sequence[Record], metrics: Metrics) -> list[Record]:
    """The records of a table that the overview repeats."""
    names = with_stand_ins(spec.headline, metrics)
    if not names:
        return []
    measured = {r.system for r in chosen if r.value is not None}
    # A system that could not run at all has a headline, by whichever metric its row names.
    ours = (
        r
        for r in ranking.at_largest_steps(chosen)
        if r.metric in ("", *names) or (not r.setting and r.system not in measured)
    )
    repeated = [r for r in ours if not r.setting or r.setting.startswith(spec.headline_settings)]
    return ranking.of_like_n(repeated, metrics)


def first_metric(records: Iterable[Record], wanted: Iterable[str], metrics: Metrics) -> str:
    """The first of `wanted`, or of its stand-ins, that was measured; empty if none was."""
    measured = {record.metric for record in records}
    names = with_stand_ins(filter(None, wanted), metrics)
    return next((name for name in names if name in measured), "")


def of_headline(spec: TableSpec, records: Iterable[Record], metrics: Metrics) -> list[Record]:
    """The measured records of a table's headline metrics, in the first of its headline settings that
    its first metric was measured in.

    A setting such as "Male " begins the names of several strengths of an edit: the largest.
    """
    names = with_stand_ins(spec.headline, metrics)
    shown = [r for r in records if r.metric in names and ranking.is_measured(r)]
    first = first_metric(shown, spec.headline, metrics)
    settings = dict.fromkeys(r.setting for r in shown if r.metric == first)
    for wanted in spec.headline_settings:
        if not wanted:
            return shown
        named = [wanted] if wanted in settings else [s for s in settings if s.startswith(wanted)]
        if named:
            largest = max(named, key=_strength)
            return [r for r in shown if r.setting == largest]
    return shown


def _strength(setting: str) -> float:
    """0.3 of the setting "Male 0.3"; 0 if the setting is not an edit."""
    try:
        return float(setting.rpartition(" ")[2])
    except ValueError:
        return 0.0


def told_together(
    overview: Iterable[Record], specs: Iterable[TableSpec], metrics: Metrics
) -> list[list[Record]]:
    """The numbers of each headline metric, in the order of the specs and of their headlines.

    All numbers of a system in one table are taken at the setting at which that of the first metric is,
    where it has them.
    """
    measured = grouped(filter(ranking.is_measured, overview), lambda r: (r.table, r.metric))
    columns: list[list[Record]] = []
    for spec in specs:
        settings: dict[str, str] = {}
        for metric in with_stand_ins(spec.headline, metrics):
            records = measured.get((spec.source, metric), [])
            at = {(r.system, r.setting): r for r in records}
            column = []
            for own in ranking.own_best(of_headline(spec, records, metrics)):
                setting = settings.setdefault(own.system, own.setting)
                column.append(at.get((own.system, setting), own))
            columns.append(column)
    return list(filter(None, columns))


# ----------------------------------------------------------------------------------------------
# The headline of a benchmark


@dataclass(frozen=True)
class Contest:
    """The best of several systems, each at its own best setting, and the others by their distance
    from it.

    `group` says what the codes of all of them hold: CODE or WITH_NOISE (`ranking.by_code`).
    `of_other_n` are not ranked: their metric depends on n, and their n differs. `scale` has each
    reference once.
    """

    best: Record
    others: tuple[Gap, ...]
    scale: tuple[Record, ...] = ()
    of_other_n: tuple[Record, ...] = ()
    group: str = CODE

    @property
    def bold(self) -> list[Record]:
        """The numbers in bold: the best and those that are not clearly behind it; none if no system is."""
        return ranking.not_behind(self.best, self.others)

    @property
    def systems(self) -> list[Record]:
        """The best number of each system that is ranked, the best first."""
        return [self.best, *(gap.record for gap in self.others)]


def contests_of(records: Iterable[Record], metrics: Metrics) -> list[Contest]:
    """The contest of each group of these records of one metric, the main one first (`ranking.by_code`).

    Within a group, a metric that depends on n is compared within one n only: that of most systems, or
    the largest. There is no contest where no system has a value and a better direction.
    """
    measured = [r for r in records if ranking.is_measured(r) and r.direction != NEITHER]
    groups = ranking.by_code(r for r in measured if not r.contest and not r.reference)
    return [_contest(name, groups, measured, metrics) for name in groups]


def _contest(
    group: str,
    groups: Mapping[str, Sequence[Record]],
    measured: Sequence[Record],
    metrics: Metrics,
) -> Contest:
    rivals = groups[group]
    counts = Counter(n for n, _ in {(ranking.comparable_n(r, metrics), r.system) for r in rivals})
    n = max(counts, key=lambda n: (counts[n], n or 0))
    ours = ranking.own_best(r for r in rivals if ranking.comparable_n(r, metrics) == n)
    best, gaps = ranking.ranked(ours, metrics)
    systems = [best, *(gap.record for gap in gaps)]
    of_other_n = ranking.own_best(_without(systems, rivals))
    references = (r for r in measured if r.reference and not r.contest)
    like = [r for r in references if ranking.comparable_n(r, metrics) == n]
    return Contest(
        best,
        tuple(gaps),
        tuple(_at_setting_of(best, like)),
        tuple(of_other_n),
        group,
    )


def _without(taken: Iterable[Record], records: Iterable[Record]) -> list[Record]:
    """The records of other systems than those of `taken`."""
    systems = {r.system for r in taken}
    return [r for r in records if r.system not in systems]


def _at_setting_of(best: Record, references: Sequence[Record]) -> Iterator[Record]:
    """Each reference once: at the best system's setting if it has that, else at its own best."""
    for system in dict.fromkeys(r.system for r in references):
        ours = [r for r in references if r.system == system]
        yield from ranking.own_best([r for r in ours if r.setting == best.setting] or ours)


@dataclass(frozen=True)
class Headline:
    """The headline of a benchmark, from the first of its tables that has one: the numbers that are `shown`,
    which are those of its headline metrics at one setting, and the `contests` of each metric that has
    one, the main one first.
    """

    spec: TableSpec
    benchmark: str
    shown: tuple[Record, ...]
    contests: tuple[list[Contest], ...]


def headlined(
    specs: Iterable[TableSpec], records: Sequence[Record], metrics: Metrics
) -> Iterator[Headline]:
    """The headline of each benchmark that has one, at the largest T of each system."""
    seen = set[str]()
    for spec in specs:
        ours = ranking.at_largest_steps(ranking.choose(spec, records))
        if not ours or not spec.headline or ours[0].benchmark in seen:
            continue
        seen.add(ours[0].benchmark)
        shown = of_headline(spec, ours, metrics)
        names = with_stand_ins(spec.headline, metrics)
        held = (contests_of((r for r in shown if r.metric == name), metrics) for name in names)
        yield Headline(spec, ours[0].benchmark, tuple(shown), tuple(filter(None, held)))
