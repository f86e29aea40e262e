"""Metrics of codes, as each module declares them in GROUPS."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np

from benchmarks.metrics.codes.data import Codes, Kind
from benchmarks.metrics.group import Group, Needs
from reports.records.estimate import Error, Estimate, Influence, Scores

S = TypeVar("S")  # the section of a protocol that metrics depend on
FEWEST = 50  # rows
REPRESENTATION = "representation"  # the table of metrics that do not depend on the axes of a code


@dataclass(frozen=True)
class NoChoices:
    """The section of metrics that depend on no choices."""


@dataclass(frozen=True)
class CodeGroup(Group):
    """Metrics of codes that share their work and the section of a protocol.

    `estimate` takes codes with their labels, a section and a seed.

    section       the dataclass of all choices that they depend on; its defaults are those of `plain`
    kinds         of labels that they take; `estimate` sees these columns alone. () if they need none
    combinations  whether they need rows of every combination of the labels' values
    channels      whether they take whole maps, and leave out constant channels themselves
    one_scale     whether dimensions are compared by their scale
    is_scored     whether they are of the rows that are scored, so that a record names their split
    error_over    what their error is over, if not over the images or persons
    """

    section: type = NoChoices
    kinds: tuple[Kind, ...] = ()
    combinations: bool = False
    channels: bool = False
    one_scale: bool = False
    is_scored: bool = False
    error_over: str = ""


def several(
    metrics: tuple[str, ...],
    estimate: Callable[[Codes, S, int], Mapping[str, Estimate]],
    section: type[S],
    kinds: tuple[Kind, ...] = (),
    **traits: Any,
) -> CodeGroup:
    """The group of metrics that share their work; `traits` are further fields of the group."""
    needs: Needs = "codes and labels" if kinds else "codes"
    return CodeGroup(metrics, needs, estimate, section, kinds, **traits)


def single(
    metric: str,
    estimate: Callable[[Codes, S, int], Estimate],
    section: type[S],
    kinds: tuple[Kind, ...] = (),
    **traits: Any,
) -> CodeGroup:
    """The group of a metric that shares its work with no other."""

    def alone(codes: Codes, choices: S, seed: int) -> dict[str, Estimate]:
        return {metric: estimate(codes, choices, seed)}

    return several((metric,), alone, section, kinds, **traits)


def by_metric(groups: Iterable[CodeGroup]) -> dict[str, CodeGroup]:
    """The group of each metric."""
    return {metric: group for group in groups for metric in group.metrics}


def section_name(kind: type) -> str:
    """The name of a section in files: "factor_vae" of a class FactorVae."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


# ----------------------------------------------------------------------------------------------
# Estimates as text, for the store


def json_of_estimates(estimates: Mapping[str, Estimate]) -> str:
    """Estimates as JSON, from which `estimates_of_json` makes the same ones, to the bit."""
    plain = {name: asdict(estimate) for name, estimate in estimates.items()}
    return json.dumps(plain, default=np.ndarray.tolist)


def estimates_of_json(text: str) -> dict[str, Estimate]:
    """The estimates that `json_of_estimates` made a text of."""
    estimates = {}
    for name, fields in json.loads(text).items():
        influences = (Influence(x["units"], np.array(x["values"])) for x in fields["influences"])
        error, scores = fields["error"], fields["scores"]
        estimates[name] = Estimate(
            fields["value"],
            tuple(influences),
            Error(**error) if error else None,
            fields["n"],
            Scores(np.array(scores["images"]), np.array(scores["values"])) if scores else None,
            fields["why"],
            tuple(fields["notes"]),
        )
    return estimates
