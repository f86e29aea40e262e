"""What a metric computes, for readers: metrics.toml, beside the table of metrics.py.

EXPLAINED["auroc"].definition, .random      what it is, and its value for a random code
anchor("rfd_effnet")                        the heading on the page of metrics that explains it
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from diffae.system.files import read_toml
from reports.records.metrics import published_name


@dataclass(frozen=True)
class MetricText:
    """A `formula` of one line, and a `definition` in words. What is not known is "".

    `random` is the value for a random code, `cheat` what moves the number though the system is not better.
    """

    formula: str = ""
    definition: str = ""
    random: str = ""
    cheat: str = ""


@dataclass(frozen=True)
class MetricGroup:
    """Metrics of one kind, under one heading; `about` explains the symbols that they share."""

    title: str
    about: str
    metrics: Mapping[str, MetricText]


def _group(title: str, about: str = "", **metrics: dict[str, str]) -> MetricGroup:
    return MetricGroup(title, about, {name: MetricText(**texts) for name, texts in metrics.items()})


GROUPS = tuple(
    _group(**section) for section in read_toml(Path(__file__).with_name("metrics.toml")).values()
)
EXPLAINED = {name: text for group in GROUPS for name, text in group.metrics.items()}


def anchor(metric: str) -> str:
    """The heading on the page of metrics where a metric is explained; "" for those of plug-ins."""
    name = metric if metric in EXPLAINED else published_name(metric)
    return name if name in EXPLAINED else ""
