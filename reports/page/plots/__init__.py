"""The plots of the page, by benchmark. A plot is left out if there is nothing to draw."""

from collections.abc import Callable, Iterator

from reports.page.plots.data import Plot
from reports.page.plots.dots import by_attribute, by_class, nearest, path_length, samples
from reports.page.plots.edits import identity
from reports.page.plots.lines import (
    by_calls,
    by_cost,
    by_size,
    by_steps,
    over_t,
    robustness,
    samples_by_steps,
)
from reports.tables.merging import Merged

OF: dict[str, tuple[Callable[[Merged], Iterator[Plot]], ...]] = {
    "reconstruction": (by_steps, by_calls, by_size, by_cost),
    "probes": (by_attribute,),
    "fewshot": (by_class,),
    "unconditional": (samples_by_steps, samples),
    "interpolation": (path_length,),
    "identity": (identity,),
    "latent": (robustness,),
    "denoising": (over_t,),
    "memorisation": (nearest,),
}


def plots_of(benchmark: str, found: Merged) -> list[Plot]:
    """The plots of one benchmark."""
    return [plot for draw in OF.get(benchmark, ()) for plot in draw(found)]
