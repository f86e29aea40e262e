"""The benchmarks by name: ours, one file each in `benchmarks/tasks`, and plug-ins'; and the tables of
theirs, which each benchmark brings. Benchmarks are imported on use, so that `list` is quick.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any

from benchmarks.runtime.registry import Own, Registry
from diffae.system.errors import UserError
from reports.records.specs import TableSpec

LINES = {
    "reconstruction": "SSIM, perceptual distance and MSE by system and T (Tables 1 and 2)",
    "probes": "AUROC, AP and accuracy of linear probes for every attribute (Section 5.3, Appendix E)",
    "representation": "what a code is good for: few labels, nearest codes, regression, rank; with axes: TAD, DCI, MIG",
    "identity": "face similarity before and after an edit, by attribute and strength (Appendix G)",
    "edits": "edits beside the truth, where it can be drawn: how far they go, what else they move, what codes hold",
    "interpolation": "path length between the codes of two images, and strips of pictures (Fig. 4, Appendix F)",
    "latent": "codes halfway to others, moved by noise, rounded, and their spectrum (iFID, pFID)",
    "fewshot": "kernel and Frechet distance of few-shot class-conditional samples by rejection (Table 3)",
    "unconditional": "kernel and Frechet distance of new samples by T (Table 4)",
    "variation": "how much of an image z_sem and x_T decide (Fig. 3)",
    "denoising": "predicted x_0 by t, with and without z_sem (Fig. 6)",
    "memorisation": "nearest training images of samples and of held-out images (Appendix C)",
    "cost": "parameters, operations, network calls, and times (Section 5.5)",
}
FOLDERS = ("edits", "fewshot", "latent", "reconstruction")  # benchmarks of several modules
# The settings of what several benchmarks share, by section of a profile; a benchmark's own are `Benchmark.sizes`.
SHARED_SIZES = {
    "data": "benchmarks.core.runner.setup:DataSizes",
    "samples": "benchmarks.tasks.shared.samples:Sizes",
}


def _own(name: str, line: str) -> Own:
    module = f"{name}.{name}" if name in FOLDERS else name
    return Own(f"benchmarks.tasks.{module}:BENCHMARK", line)


REGISTRY: Registry[Any] = Registry(
    "benchmark",
    "diffae.benchmarks",
    {name: _own(name, line) for name, line in LINES.items()},
    line=lambda benchmark: (
        f"{benchmark.title} ({benchmark.paper})" if benchmark.paper else benchmark.title
    ),
    accept="benchmarks.core.benchmark:accepted",
    beside="benchmarks.core.suites:names",
)


def chosen(names: Iterable[str]) -> tuple[str, ...]:
    """The benchmarks of these names, each once, or of "all". Raises UserError for an unknown name."""
    benchmarks = tuple(dict.fromkeys(names))
    for name in benchmarks:
        if name != "all":
            REGISTRY.require(name)
    return tuple(REGISTRY.usable()) if "all" in benchmarks else benchmarks


def specs(names: Iterable[str]) -> tuple[TableSpec, ...]:
    """The specs of these benchmarks. Raises UserError if two of them define a table of the same name."""
    owners: dict[str, str] = {}
    tables: list[TableSpec] = []
    for benchmark in names:
        for spec in REGISTRY.get(benchmark).tables:
            if (other := owners.setdefault(spec.name, benchmark)) != benchmark:
                both = f"benchmarks {other!r} and {benchmark!r} both"
                raise UserError(f"{both} define a table {spec.name!r}; run one of them")
            tables.append(spec)
    return tuple(tables)


@cache
def ours() -> frozenset[str]:
    """The names that no table of a plug-in may have."""
    taken = (name for spec in specs(REGISTRY.own) for name in (spec.name, spec.source))
    return frozenset({"overview", *taken})
