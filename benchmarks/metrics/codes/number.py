"""A number of codes, as the modules of numbers declare them in a dict NUMBERS."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.metrics.codes.data import Codes, Found, Kind

FEWEST = 50  # rows


@dataclass(frozen=True)
class Number:
    """A number of codes.

    section       the dataclass of all choices that it depends on; its defaults are those of `plain`
    compute       of codes with their labels, a section and a seed
    kinds         of labels that it takes; `compute` sees these columns alone. () if it needs none
    combinations  whether it needs rows of every combination of the labels' values
    channels      whether it takes whole maps, and leaves out constant channels itself
    one_scale     whether dimensions are compared by their scale
    """

    section: type
    compute: Callable[[Codes, Any, int], Found]
    kinds: tuple[Kind, ...] = ()
    combinations: bool = False
    channels: bool = False
    one_scale: bool = False


def section_name(kind: type) -> str:
    """The name of a section in files: "factor_vae" of a class FactorVae."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
