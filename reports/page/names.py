"""The names of metrics on the page, with what each means: shown on hover and on focus."""

from collections.abc import Iterable
from dataclasses import dataclass

from reports.records.metrics import Metrics
from reports.records.record import NEITHER, Record
from reports.tables.numbers import metric_label

REFERENCE = "More: diffae-bench docs metrics"


@dataclass(frozen=True)
class Name:
    """A text in which `name` is that of a metric, and what is said `about` it; both may be empty."""

    before: str
    name: str = ""
    after: str = ""
    about: str = ""


def name_in(text: str, metric: str, metrics: Metrics) -> Name:
    """Find the name of `metric` in `text`, such as a column's header."""
    about = about_metric(metric, metrics)
    for name in (metric_label(metric, metrics), metric):
        before, separator, after = text.partition(name)
        if about and separator:
            return Name(before, name, after, about)
    return Name(text)


def name_of_records(text: str, records: Iterable[Record], metrics: Metrics) -> Name:
    """The same for the metric that all `records` have; without one the text is plain."""
    shared = {record.metric for record in records}
    return name_in(text, shared.pop(), metrics) if len(shared) == 1 else Name(text)


def about_metric(metric: str, metrics: Metrics) -> str:
    """What a metric is, which direction is better, its range, and where more is said."""
    row = metrics.get(metric)
    if row is None:
        return ""
    better = (
        "neither direction is better" if row.direction == NEITHER else f"{row.direction} is better"
    )
    ends = ["" if end is None else f"{end:g}" for end in (row.least, row.most)]
    extent = {
        (True, True): "from {} to {}",
        (True, False): "from {} up",
        (False, True): "up to {1}",
    }
    words = extent.get((bool(ends[0]), bool(ends[1])), "").format(*ends)
    unit = f"in {row.unit}" if row.unit else ""
    return f"{row.title}: {', '.join(filter(None, (better, words, unit)))}. {REFERENCE}."
