"""The harness: benchmarks of decodable representations.

From a shell, start with `python -m benchmarks.run --help`; from Python, with `benchmarks.evaluate`.

Nothing is imported here that takes time: `list` and `--help` answer from these lines.
"""

import importlib
from typing import TYPE_CHECKING, Any

from benchmarks.core import moved
from benchmarks.core.registry import Own, Registry

if TYPE_CHECKING:
    from benchmarks.api import evaluate, evaluate_iter
    from benchmarks.core.base import Benchmark
    from benchmarks.core.results import Results

__all__ = ["REGISTRY", "Results", "evaluate", "evaluate_iter"]

moved.install()

# Names of this package by the module that has them, imported when used.
LAZY = {
    "evaluate": "benchmarks.api",
    "evaluate_iter": "benchmarks.api",
    "Results": "benchmarks.core.results",
}


def __getattr__(name: str) -> Any:
    if name not in LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(LAZY[name]), name)


def _line(benchmark: "Benchmark") -> str:
    return f"{benchmark.title} ({benchmark.paper})"


REGISTRY = Registry(
    "benchmark",
    "diffae.benchmarks",
    {
        "reconstruction": Own(
            "benchmarks.tasks.reconstruction:BENCHMARK",
            "SSIM, perceptual distance and MSE by system and T (Tables 1 and 2)",
        ),
        "probes": Own(
            "benchmarks.tasks.probes:BENCHMARK",
            "AUROC, AP and accuracy of linear probes for every attribute (Section 5.3, Appendix E)",
        ),
        "identity": Own(
            "benchmarks.tasks.identity:BENCHMARK",
            "face similarity before and after an edit, by attribute and strength (Appendix G)",
        ),
        "interpolation": Own(
            "benchmarks.tasks.interpolation:BENCHMARK",
            "path length between the codes of two images, and strips of pictures (Fig. 4, Appendix F)",
        ),
        "fewshot": Own(
            "benchmarks.tasks.fewshot.fewshot:BENCHMARK",
            "Frechet distance of few-shot class-conditional samples by rejection (Table 3)",
        ),
        "unconditional": Own(
            "benchmarks.tasks.unconditional:BENCHMARK",
            "Frechet distance of new samples by T (Table 4)",
        ),
        "variation": Own(
            "benchmarks.tasks.variation:BENCHMARK",
            "how much of an image z_sem and x_T decide (Fig. 3)",
        ),
        "denoising": Own(
            "benchmarks.tasks.denoising:BENCHMARK",
            "predicted x_0 by t, with and without z_sem (Fig. 6)",
        ),
        "memorisation": Own(
            "benchmarks.tasks.memorisation:BENCHMARK",
            "nearest training images of samples and of held-out images (Appendix C)",
        ),
        "cost": Own(
            "benchmarks.tasks.cost:BENCHMARK",
            "parameters, operations, network calls, and times (Section 5.5)",
        ),
    },
    line=_line,
    accept="benchmarks.core.base:accepted",
)

# The settings of what several tasks share, by section of a profile; a task's own are `Benchmark.sizes`.
SHARED_SIZES = {
    "data": "benchmarks.core.setup:DataSizes",
    "samples": "benchmarks.tasks.shared.samples:Sizes",
}
SAMPLED_BY = ("unconditional", "memorisation")  # the benchmarks that look at `samples`
