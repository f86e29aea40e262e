"""What is known of one metric, and of the loss that does not count. The table of all: metrics.py."""

import math
import re
from dataclasses import KW_ONLY, dataclass

from reports.records.record import HIGHER, LOWER, NEITHER

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")
MOST_DIGITS = 12


@dataclass(frozen=True)
class Margin:
    """A loss of up to this size does not matter: in the metric's unit, or as a fraction of the
    baseline's value.
    """

    size: float
    why: str = ""
    is_share: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.size < math.inf:
            raise ValueError("a margin is a finite number from 0 up")

    def at(self, value: float) -> float:
        """The margin in the metric's unit, for a baseline of `value`."""
        return self.size * abs(value) if self.is_share else self.size


@dataclass(frozen=True)
class Metric:
    """What a number of this metric means.

    `direction` says which direction is better (higher, lower, neither).

    `label` is its heading in tables if that is not its name; `digits` are the decimals of our
    numbers and `paper_digits` those of published ones if they differ; without digits numbers have
    four significant ones. A loss up to `margin` does not count. `network` names the pretrained
    weights that it uses, and `stands_in_for` the metric that it replaces, or stands beside, with
    another network than the published one; `only_on` the only data set that it is offered for, if there is just one. A metric that
    `depends_on_n` changes with the count of images, as a Frechet distance does: only numbers of one
    n are compared (`comparable_n`). An `unbiased` one is 0 for equal sets but for chance, and may be
    below 0. No number is below `least` or above `most`, where they are known. A number on neither side of
    `neutral`, such as 1 of a ratio, shows nothing. One that `is_exact` is counted, not estimated from
    images, and needs no error.
    """

    direction: str
    unit: str
    title: str
    reference: str
    _: KW_ONLY
    label: str = ""
    digits: int | None = None
    paper_digits: int | None = None
    margin: Margin | None = None
    network: str = ""
    stands_in_for: str = ""
    only_on: str = ""
    depends_on_n: bool = False
    unbiased: bool = False
    least: float | None = None
    most: float | None = None
    neutral: float | None = None
    is_exact: bool = False

    def __post_init__(self) -> None:
        if self.direction not in (HIGHER, LOWER, NEITHER):
            raise ValueError(f"direction {self.direction!r} is none of higher, lower, neither")
        for digits in (self.digits, self.paper_digits):
            if digits is not None and not 0 <= digits <= MOST_DIGITS:
                raise ValueError(f"digits are a number from 0 to {MOST_DIGITS}")
