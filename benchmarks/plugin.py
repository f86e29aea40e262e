"""All that a package of your own needs to add a system, a benchmark, a metric or a table.

    A system          System, Code, Part; NotAvailable says why it cannot do something
    A benchmark       Benchmark, and what its `run` is given: Context
      what it yields  Variant: a system with its solver and T, whose `scores` are a Measurement of means over
                      images. Others are Jobs (Arrays, computed by chunk, and the Calls of networks that they take)
                      and the numbers made of them; Place: where a number belongs and what decides it;
                      code_of: the codes among the Arrays of a job
      its settings    Count, Steps: types of the fields of its `sizes` (the others are in benchmarks.core.sizes)
      its numbers     Estimate: a value and its error
    A metric          MetricInfo (`Metric` in reports.records.metric), Margin, HIGHER, LOWER
    A table           TableSpec
    For all           open_portraits: images to try it with; UserError: one line for the person at the command line

They are registered by the entry points `diffae.systems` and `diffae.benchmarks`; `examples/` has a
package of each.
"""

from benchmarks.core.benchmark import Benchmark as Benchmark
from benchmarks.core.context import Context as Context
from benchmarks.core.images import code_of as code_of
from benchmarks.core.job import Arrays as Arrays
from benchmarks.core.job import Calls as Calls
from benchmarks.core.job import Job as Job
from benchmarks.core.measurement import Measurement as Measurement
from benchmarks.core.measurement import Place as Place
from benchmarks.core.measurement import Variant as Variant
from benchmarks.core.sizes import Count as Count
from benchmarks.core.sizes import Steps as Steps
from benchmarks.metrics import Margin as Margin
from benchmarks.metrics import MetricInfo as MetricInfo
from benchmarks.runtime.errors import NotAvailable as NotAvailable
from benchmarks.systems.protocol.base import Code as Code
from benchmarks.systems.protocol.base import System as System
from benchmarks.systems.protocol.parts import Part as Part
from diffae.data import open_portraits as open_portraits
from diffae.system.errors import UserError as UserError
from reports.records.estimate import Estimate as Estimate
from reports.records.record import HIGHER as HIGHER
from reports.records.record import LOWER as LOWER
from reports.records.specs import TableSpec as TableSpec

__all__ = sorted(name for name in vars() if not name.startswith("__"))
