"""Specification of a table: plain data, which a benchmark defines and a run folder keeps."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from reports.records.metrics import alternatives
from reports.records.reading import Fields
from reports.records.record import COLUMNS, Record

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # of a file
ENOUGH = 5  # images for each dimension of the features, on the smaller side
PUBLISHED = "paper"  # the profile in which the published metrics lead
SMOKE = "smoke"  # the profile that only shows that everything runs
KERNEL = {"fid": "kid"}  # by what a Frechet distance is replaced

Protocols = Mapping[str, Fields]


@dataclass(frozen=True)
class TableSpec:
    """One table: its records, and which of their fields name its rows and columns.

    `source` is the records' `table` (default: `name`); `settings` are the only settings shown (none
    given: all) except `without_settings`; with `largest_steps`, each system is shown at its largest
    T. Numbers of a column are compared where they agree in the fields `alike`, such as a setting
    that is a task of its own. `metrics` orders the metrics after those of the headline (others
    follow), `panels` makes a block of each, `setting_header` is the heading of their settings. The
    overview repeats the metrics of `headline` whose setting begins with one of `headline_settings`.
    A metric's name also selects its stand-ins. Tables are sorted by `order`; those with the same
    order follow the order of their benchmarks.

    The page takes from it, too: `plots`, pairs of a metric and what it is drawn against ("steps",
    "calls", "setting", "system", or a metric of the same row; None: its first metric
    with a better direction, against what tells its rows and columns apart).

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
    alike: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"a table cannot be called {self.name[:100]!r}")
        object.__setattr__(self, "source", self.source or self.name)
        keys = [*self.rows, *self.columns, *["metric"] * self.panels]
        if len(set(keys)) < len(keys):
            raise ValueError(f"table {self.name}: a field names its rows or columns twice")
        if unknown := [key for key in (*keys, *self.alike) if key not in COLUMNS]:
            raise ValueError(f"table {self.name}: no record has a {unknown[0][:100]!r}")
        if missing := [key for key in ("system", "metric") if key not in keys]:
            where = "neither its rows nor its columns"
            raise ValueError(f"table {self.name}: {where} name the {missing[0]}")

    @property
    def in_order(self) -> tuple[str, ...]:
        """The order in which metrics are shown: the headline's, then `metrics`."""
        return tuple(dict.fromkeys((*self.headline, *self.metrics)))

    def shows(self, setting: str) -> bool:
        """Whether the table has rows of this setting."""
        is_chosen = not self.settings or setting in self.settings
        return is_chosen and setting not in self.without_settings


# ----------------------------------------------------------------------------------------------
# The headline of tables with Frechet distances: at small n, the kernel distance of the same features
#
# A Frechet distance of n images in d dimensions is too high for every model, and mostly bias where n is
# a few times d. A kernel distance has no bias at any n.


def with_headlines(
    specs: Iterable[TableSpec], records: Sequence[Record], protocols: Protocols, profile: object
) -> tuple[TableSpec, ...]:
    """The `specs` of a run, each with the headline that suits its records.

    `protocols` are the records' by id, and `profile` is the built-in one that the run's was made
    from. A kernel distance that was measured takes the place of the Frechet distance if that of any
    system has fewer than `ENOUGH` images for each dimension, except in the profile `PUBLISHED`.
    """
    if profile == PUBLISHED:
        return tuple(specs)
    measured = [r for r in records if r.value is not None]
    made = []
    for spec in specs:
        ours = [r for r in measured if r.table == spec.source]
        made.append(replace(spec, headline=tuple(_led(m, ours, protocols) for m in spec.headline)))
    return tuple(made)


def _led(metric: str, measured: Sequence[Record], protocols: Protocols) -> str:
    """`metric`, or the kernel distance in its place."""
    rivals = [r for r in measured if not r.reference]
    kernel = KERNEL.get(metric)
    if kernel is None or not any(r.metric in alternatives(kernel) for r in rivals):
        return metric
    frechet = [r for r in rivals if r.metric in alternatives(metric)]
    few = any(_is_of_few(r, protocols.get(r.protocol, {})) for r in frechet)
    return kernel if few or not frechet else metric


def _is_of_few(record: Record, protocol: Fields) -> bool:
    """Whether a Frechet distance is one of so few images that it is mostly bias."""
    dim = protocol.get("feature_dim")
    sides = [n for n in (record.n, protocol.get("reference_n")) if type(n) is int]
    return type(dim) is int and min(sides, default=0) < ENOUGH * dim
