"""Metrics, one file each.

The table `reports.records.metrics` explains their names; plug-ins add rows to it.
"""

from collections.abc import Mapping

from diffae.system.errors import UserError
from reports.records.metric import NAME, Margin
from reports.records.metric import Metric as MetricInfo
from reports.records.metrics import METRICS

__all__ = ["METRICS", "Margin", "MetricInfo", "register"]


def register(owner: str, infos: Mapping[str, MetricInfo]) -> None:
    """Register the metrics of a plug-in.

    Raises UserError if a name is that of a metric with a different meaning.
    """
    for name, info in infos.items():
        if not isinstance(info, MetricInfo):
            raise UserError(f"{owner}: metric {name!r} needs a MetricInfo")
        if not NAME.fullmatch(name):
            raise UserError(f"{owner}: {name!r} cannot be a metric's name")
        if METRICS.get(name, info) != info:
            raise UserError(f"{owner}: there is a metric {name!r} already; choose another name")
    METRICS.update(infos)
