"""The page `metrics`: what each metric is, which direction is better, its range, and how to cheat it."""

import re

from reports.records.explained import GROUPS, MetricGroup, MetricText, anchor
from reports.records.metric import Metric
from reports.records.metrics import METRICS, alternatives
from reports.records.record import NEITHER

# A reference to a work or a library. Others are formulas.
WORK = re.compile(r"\d{4}|paper|scikit-learn|torch\.")
HEAD = """# Metrics

This page defines every number that the package computes. [How a number and its error are
made](numbers.md) explains the errors, [Metric networks](networks.md) the networks, and
[Validation](results/validation.md#metrics) the independent source that tests compare each number with.

A metric is named after its network: without the published weights of Inception no number is called FID.
A metric that has the same definition with another network stands under the published one, with the
network in parentheses."""


def page() -> str:
    index = [f"- [{group.title}](#{_slug(group.title)}): {_names(group)}" for group in GROUPS]
    return "\n\n".join([HEAD, "\n".join(index), *map(_group, GROUPS)]) + "\n"


def _slug(title: str) -> str:
    return re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")


def _names(group: MetricGroup) -> str:
    return ", ".join(f"[`{name}`](#{name})" for name in group.metrics)


def _group(group: MetricGroup) -> str:
    sections = [_metric(name, text) for name, text in group.metrics.items()]
    about = [_escaped(group.about)] if group.about else []
    return "\n\n".join([f"## {group.title}", *about, *sections])


def _metric(name: str, text: MetricText) -> str:
    metric = METRICS[name]
    formula = [f"    {text.formula}"] if text.formula else []
    facts = {
        "Definition": _sentence(text.definition),
        "Better": _direction(metric),
        "Value for a random code": _sentence(text.random),
        "How to cheat or misread it": text.cheat,
        "Network": f"`{metric.network}`" if metric.network else "",
        "With other networks": _variants(name),
        "Source": f"{metric.reference}." if WORK.search(metric.reference) else "",
    }
    lines = [f"- **{fact}**: {_escaped(words)}" for fact, words in facts.items() if words]
    title = f"{_escaped(metric.title)}."
    return "\n\n".join([f"### `{name}`", title, *formula, "\n".join(lines)])


def _direction(metric: Metric) -> str:
    """Which direction is better, between which limits, and in which unit."""
    direction = "neither direction" if metric.direction == NEITHER else metric.direction
    limits = _limits(metric)
    range_of_values = f" Range: {limits}." if limits else ""
    unit = f" Unit: {metric.unit}." if metric.unit else ""
    return f"{direction}.{range_of_values}{unit}"


def _limits(metric: Metric) -> str:
    least, most = metric.least, metric.most
    if least is not None and most is not None:
        return f"{least:g} to {most:g}"
    if least is not None:
        return f"{least:g} or more"
    return f"{most:g} or less" if most is not None else ""


def _variants(name: str) -> str:
    """The same metric with other networks, but not those that are explained themselves."""
    others = [other for other in alternatives(name) if other != name and anchor(other) == name]
    return ", ".join(f"`{other}` (`{METRICS[other].network}`)" for other in others)


def _sentence(text: str) -> str:
    """Text with a full stop, and a capital letter unless it begins with a symbol."""
    is_word = text[:2].isalpha()
    start = text[:1].upper() if is_word else text[:1]
    return f"{start}{text[1:].rstrip('.')}." if text else ""


def _escaped(text: str) -> str:
    """Text in which a star, such as that of D*, is no mark of Markdown."""
    return text.replace("*", r"\*")
