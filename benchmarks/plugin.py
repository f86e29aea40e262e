"""All that a package of your own needs to add a system, a benchmark, a metric or a table.

    A system          System, Code, Part; SystemFailed and NotAvailable say why it cannot do something
    A benchmark       Benchmark, and what its `run` is given: Context, Selection, Arrays (what is kept in the store)
      what it yields  Measurement: Computations (arrays, computed by chunk) and how they become numbers; Cell: where
                      the numbers belong and what decides them; Solved: a system with its solver and T
      its settings    Count, Number, Steps, Split, Solver, InvertingSolver: the types of the fields of its `sizes`
      its numbers     Record, Row; Taken: solver and steps behind a number; Uncertainty: its error
      its plan        of one that yields rows itself: Work, Calls, and the work that benchmarks share: codes,
                      semantic_codes, new_images, real_features
    A metric          MetricInfo (`Metric` in reports.records.metrics), Margin, HIGHER, LOWER
    A table           TableSpec
    A data set        open_dataset, open_portraits; UserError is one line for the person at the command line

They are registered by the entry points `diffae.systems` and `diffae.benchmarks`; `examples/` has a
package of each.
"""

from benchmarks.core.benchmark import Benchmark
from benchmarks.core.context import Context, Row
from benchmarks.core.images import Selection
from benchmarks.core.measurement import Cell, Measurement, Solved
from benchmarks.core.plan import (
    Calls,
    Work,
    codes,
    network_calls,
    new_images,
    real_features,
    semantic_codes,
)
from benchmarks.core.sizes import Count, InvertingSolver, Number, Solver, Split, Steps
from benchmarks.core.solving import Taken
from benchmarks.core.store import Arrays, Computation
from benchmarks.metrics import Margin, MetricInfo
from benchmarks.runtime.errors import NotAvailable, SystemFailed
from benchmarks.systems.protocol.base import Code, System
from benchmarks.systems.protocol.parts import Part
from diffae.data import open_dataset, open_portraits
from diffae.system.errors import UserError
from reports.records.record import HIGHER, LOWER, Record
from reports.records.specs import TableSpec
from reports.records.uncertainty import Uncertainty

__all__ = [
    "HIGHER",
    "LOWER",
    "Arrays",
    "Benchmark",
    "Calls",
    "Cell",
    "Code",
    "Computation",
    "Context",
    "Count",
    "InvertingSolver",
    "Margin",
    "Measurement",
    "MetricInfo",
    "NotAvailable",
    "Number",
    "Part",
    "Record",
    "Row",
    "Selection",
    "Solved",
    "Solver",
    "Split",
    "Steps",
    "System",
    "SystemFailed",
    "TableSpec",
    "Taken",
    "Uncertainty",
    "UserError",
    "Work",
    "codes",
    "network_calls",
    "new_images",
    "open_dataset",
    "open_portraits",
    "real_features",
    "semantic_codes",
]
