"""Specification of a table: plain data, which a benchmark defines and a run folder keeps."""

import re
from dataclasses import dataclass

from reports.records.record import COLUMNS

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # of a file
SMOOTHNESS = "smoothness of the codes"  # an aspect that tables of two benchmarks have numbers of


@dataclass(frozen=True)
class TableSpec:
    """One table: its records, and which of their fields name its rows and columns.

    `source` is the records' `table` (default: `name`); `settings` are the only settings shown (none
    given: all) except `without_settings`; with `largest_steps`, each system is shown at its largest
    T. `metrics` orders the metrics (others follow), `panels` makes a block of each,
    `setting_header` is the heading of their settings. The overview repeats the metrics of
    `headline` whose setting begins with one of `headline_settings`. A metric's name also selects
    its stand-ins. Tables are sorted by `order`; those with the same order follow the order of their
    benchmarks.

    The page takes from it, too: `plots`, pairs of a metric and what it is drawn against ("steps",
    "calls", "setting", "system", "operations", or a metric of the same row; None: its first metric
    with a better direction, against what tells its rows and columns apart); `aspects` of what a system keeps, each a name, a
    metric and patterns of its setting (`reports.page.aspects`); and metrics that are told `beside`
    the headline.

    Raises ValueError if no table can be made from it.
    """

    name: str
    title: str
    caption: str
    source: str = ""
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    panels: bool = False
    setting_header: str = "setting"
    largest_steps: bool = False
    settings: tuple[str, ...] = ()
    without_settings: tuple[str, ...] = ()
    headline: tuple[str, ...] = ()
    headline_settings: tuple[str, ...] = ("",)
    order: int = 1000
    plots: tuple[tuple[str, str], ...] | None = None
    aspects: tuple[tuple[str, str, str], ...] = ()
    beside: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"a table cannot be called {self.name[:100]!r}")
        object.__setattr__(self, "source", self.source or self.name)
        keys = [*self.rows, *self.columns, *["metric"] * self.panels]
        if len(set(keys)) < len(keys):
            raise ValueError(f"table {self.name}: a field names its rows or columns twice")
        if unknown := [key for key in keys if key not in COLUMNS]:
            raise ValueError(f"table {self.name}: no record has a {unknown[0][:100]!r}")
        for key in ("system", "metric"):
            if key not in keys:
                raise ValueError(
                    f"table {self.name}: neither its rows nor its columns name the {key}"
                )

    def shows(self, setting: str) -> bool:
        """Whether the table has rows of this setting."""
        return (
            not self.settings or setting in self.settings
        ) and setting not in self.without_settings
