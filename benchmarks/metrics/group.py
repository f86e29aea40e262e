"""How metrics are computed: the other half of the table `reports.records.metrics`."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from reports.records.estimate import Estimate

# What the function of a group is given.
Needs = Literal[
    "pairs of images",
    "scores of pairs at two lengths of the code",
    "features of two sets",
    "features of pairs",
    "codes",
    "codes and labels",
    "logits and labels",
    "edits",
    "images decoded from moved codes",
    "paths between codes",
    "nearest neighbours of samples",
    "few-shot samples",
    "a system",
]


@dataclass(frozen=True)
class Group:
    """Metrics that share their work, and so are computed together.

    metrics   their names in the table of metrics. A stand-in is the same metric through another
              network: it is not listed here, but found by its `stands_in_for`
    needs     what `estimate` is given
    estimate  the estimate of each metric by name, from the inputs that `needs` names and the units that
              they are of; what takes long is computed in parts (`sets.jackknife.InParts`)
    tables    the tables that show all of them
    """

    metrics: tuple[str, ...]
    needs: Needs
    estimate: Callable[..., Mapping[str, Estimate]]
    tables: tuple[str, ...] = field(default=(), kw_only=True)


def metrics_of_table(table: str, groups: Iterable[Group]) -> tuple[str, ...]:
    """The metrics of these groups that a table shows."""
    return tuple(metric for group in groups if table in group.tables for metric in group.metrics)
