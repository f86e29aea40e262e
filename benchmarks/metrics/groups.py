"""The groups of all families: how each metric of the table `reports.records.metrics` is computed.

    group_of("kd_effnet").metrics       ("kid",): a stand-in is computed as the metric it stands in for
    group_of("kd_effnet").needs         "features of two sets"

A new metric is declared in the `GROUPS` of the module that computes it, and in that table.
"""

from benchmarks.metrics import (
    codebooks,
    counting,
    diversity,
    edits,
    latent,
    nearest,
    pairs,
    path_length,
)
from benchmarks.metrics.codes import probes
from benchmarks.metrics.codes.invariant import curves
from benchmarks.metrics.codes.schema import NUMBERS
from benchmarks.metrics.group import Group, Needs
from benchmarks.metrics.sets import groups as sets
from benchmarks.metrics.sets import means
from reports.records.metrics import METRICS, SHIPPED, published_name

OF_SYSTEMS = (*codebooks.GROUPS, *counting.GROUPS, *diversity.GROUPS, *path_length.GROUPS)
OF_IMAGES = (*pairs.GROUPS, *sets.GROUPS, *means.GROUPS, *nearest.GROUPS)
OF_CODES = (*dict.fromkeys(NUMBERS.values()), *probes.GROUPS, *curves.GROUPS, *latent.GROUPS)

GROUPS: tuple[Group, ...] = (*OF_IMAGES, *OF_CODES, *edits.GROUPS, *OF_SYSTEMS)
_BY_METRIC = {metric: group for group in GROUPS for metric in group.metrics}


def group_of(metric: str) -> Group:
    """The group that computes a metric, or the metric that it stands in for. Raises KeyError if none does."""
    return _BY_METRIC[published_name(metric)]


def metrics_of(needs: Needs) -> tuple[str, ...]:
    """Our metrics, and their stand-ins, whose groups are given these inputs."""
    return tuple(name for name in METRICS if name in SHIPPED and group_of(name).needs == needs)
