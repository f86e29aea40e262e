"""Metrics: one file each. What their names mean is in one table, `reports.records.metrics`, to which plug-ins add rows."""

from collections.abc import Mapping

from diffae.system.errors import UserError
from reports.records.metrics import METRICS, NAME, Margin
from reports.records.metrics import Metric as MetricInfo

__all__ = ["METRICS", "Margin", "MetricInfo", "register"]


def register(owner: str, infos: Mapping[str, MetricInfo]) -> None:
    """Make the metrics of a plug-in known. Raises UserError if one is known already and means something else."""
    for name, info in infos.items():
        if not isinstance(info, MetricInfo):
            raise UserError(f"{owner}: metric {name!r} needs a MetricInfo")
        if not NAME.fullmatch(name):
            raise UserError(f"{owner}: {name!r} cannot be a metric's name")
        if METRICS.get(name, info) != info:
            raise UserError(f"{owner}: there is a metric {name!r} already; choose another name")
    METRICS.update(infos)
