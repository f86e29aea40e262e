"""All that a package of your own needs to add a system, a benchmark, a metric or a table.

    A system          System, Code, Part; SystemFailed and NotAvailable say why it cannot do something
    A benchmark       Benchmark, and what its `run` is given: Context, Selection, Arrays (what is kept in the store)
      what it yields  Measurement: Computations (arrays, computed by chunk) and how they become numbers; Cell: where
                      the numbers belong and what decides them; Solved: a system with its solver and T
      its settings    Count, Number, Steps, Split, Solver, InvertingSolver: the types of the fields of its `sizes`
      its numbers     Record: a row; Estimate: its value and error; Taken: solver and steps behind it
      its plan        of one that yields rows itself: Work, Calls, and the work that benchmarks share: codes,
                      semantic_codes, new_images, real_features
    A metric          MetricInfo (`Metric` in reports.records.metric), Margin, HIGHER, LOWER
    A table           TableSpec
    A data set        open_dataset, open_portraits; UserError is one line for the person at the command line

They are registered by the entry points `diffae.systems` and `diffae.benchmarks`; `examples/` has a
package of each.
"""

from benchmarks.core.benchmark import Benchmark as Benchmark
from benchmarks.core.context import Context as Context
from benchmarks.core.images import Selection as Selection
from benchmarks.core.measurement import Cell as Cell
from benchmarks.core.measurement import Measurement as Measurement
from benchmarks.core.measurement import Solved as Solved
from benchmarks.core.measurement import Taken as Taken
from benchmarks.core.plan import Calls as Calls
from benchmarks.core.plan import Work as Work
from benchmarks.core.plan import codes as codes
from benchmarks.core.plan import network_calls as network_calls
from benchmarks.core.plan import new_images as new_images
from benchmarks.core.plan import real_features as real_features
from benchmarks.core.plan import semantic_codes as semantic_codes
from benchmarks.core.sizes import Count as Count
from benchmarks.core.sizes import InvertingSolver as InvertingSolver
from benchmarks.core.sizes import Number as Number
from benchmarks.core.sizes import Solver as Solver
from benchmarks.core.sizes import Split as Split
from benchmarks.core.sizes import Steps as Steps
from benchmarks.core.store import Arrays as Arrays
from benchmarks.core.store import Computation as Computation
from benchmarks.metrics import Margin as Margin
from benchmarks.metrics import MetricInfo as MetricInfo
from benchmarks.runtime.errors import NotAvailable as NotAvailable
from benchmarks.runtime.errors import SystemFailed as SystemFailed
from benchmarks.systems.protocol.base import Code as Code
from benchmarks.systems.protocol.base import System as System
from benchmarks.systems.protocol.parts import Part as Part
from diffae.data import open_dataset as open_dataset
from diffae.data import open_portraits as open_portraits
from diffae.system.errors import UserError as UserError
from reports.records.estimate import Estimate as Estimate
from reports.records.record import HIGHER as HIGHER
from reports.records.record import LOWER as LOWER
from reports.records.record import Record as Record
from reports.records.specs import TableSpec as TableSpec

__all__ = sorted(name for name in vars() if not name.startswith("__"))
