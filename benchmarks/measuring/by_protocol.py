"""Metrics under the protocols of other evaluation codes: `--protocol` and `--explain`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.measuring.images import are_pairs, batches, pairs_of, reading
from benchmarks.measuring.request import SECTIONS, Answer, Request, answer_of, described, refusal
from benchmarks.measuring.sets import IMAGES_OF_SETS, ImageSet, frechet_of, read_set
from benchmarks.metrics import METRICS
from benchmarks.metrics.networks.features import FeatureNetwork
from benchmarks.metrics.protocols import schema
from benchmarks.metrics.protocols.cases import (
    MADE,
    ORIGINAL,
    Arrays,
    ImageCase,
    network_of,
    together,
)
from benchmarks.metrics.protocols.explain import C, Explained, OnPairs
from benchmarks.metrics.protocols.schema import ImageProtocol
from diffae.system.cli import did_you_mean
from diffae.system.errors import UserError
from diffae.system.files import writing
from diffae.system.progress import shown
from diffae.system.whole import write_whole
from reports.page import protocols
from reports.page.protocols import Line, Section
from reports.tables.numbers import number_text
from reports.tables.output import made_whole

AT_ONCE = 1 << 19  # pixels of a side that a CPU is given at a time: more only take more memory
EXPLAIN = "benchmarks.measure --explain"  # what a folder is said to be made by
TABLE, MARKDOWN = "protocols.csv", "protocols.md"


# ----------------------------------------------------------------------------------------------
# One protocol


def measure_by_protocols(metrics: Sequence[str], request: Request) -> Iterator[Answer]:
    """The answers on metrics under each protocol that --protocol names."""
    protocols = list(map(schema.named, schema.asked(request.protocol, False)))
    for metric, protocol in product(metrics, protocols):
        try:
            yield _measure_by(protocol, metric, request)
        except UserError as error:
            yield refusal([metric], error)


def _measure_by(protocol: ImageProtocol, metric: str, request: Request) -> Answer:
    """The answer on a metric under a protocol. Raises UserError if it cannot be measured."""
    section = SECTIONS.get(metric, metric)
    if section not in schema.METRICS:
        raise UserError(f"no protocol defines it{did_you_mean(section, schema.METRICS)}")
    if getattr(protocol, section) is None:
        raise UserError(f"the protocol {protocol.name} has none")
    case = ImageCase(section, protocol)
    network = network_of(case, request.networks)
    unit = "pairs"
    if metric == "fid" and not are_pairs(request):
        unit = IMAGES_OF_SETS
        a, b = _sets_of(case, request)
        images, estimate = f"images: {a} and {b}", frechet_of(a, b)
    else:
        pairs, arrays = on_pairs([protocol], request, metrics=(section,))
        (explained,) = pairs.numbers(arrays)
        estimate = explained.estimate
        if estimate.value is None:
            raise UserError(estimate.why)
        images = f"pairs: {estimate.n}"
    fields = "; ".join(f"{name} {value}" for name, value in case.fields.items())
    about = [f"protocol {protocol.name}, {protocol.code}: {fields}"]
    if network is not None:
        about.append(f"measured by: {described(network)}")
    return answer_of(metric, estimate, [*about, *reading(request, unit)], [images])


def _sets_of(case: ImageCase, request: Request) -> tuple[ImageSet, ImageSet]:
    """A, which does not hold the originals of B, and B as the protocol's network sees them."""
    network = network_of(case, request.networks)
    assert isinstance(network, FeatureNetwork)

    def read_side(path: Path, side: str) -> ImageSet:
        def prepare(images: Tensor) -> Tensor:
            return network.prepare(case.pixels(images, side))

        return read_set(path, replace(network, prepare=prepare), False, request)

    a, b = request.pair
    return read_side(a, ORIGINAL), read_side(b, MADE)


# ----------------------------------------------------------------------------------------------
# All protocols


@dataclass(frozen=True)
class Explanation:
    """Metrics by protocol; their title, and lines for a terminal."""

    title: str
    lines: Sequence[str]
    sections: Sequence[Section]


def explain_pairs(request: Request) -> Explanation:
    """Every metric under every protocol on the pairs of A and B, with the causes of differences."""
    pairs, arrays = on_pairs(every_protocol(request), request, explains=True)
    title = "metrics by protocol"
    watched = partial(shown, title=title, unit="numbers", total=len(pairs.cases))
    numbers = pairs.numbers(arrays, watched=watched)
    count = max(map(len, arrays.values()), default=0)
    (a, b), lines = request.pair, reading(request)
    sections = []
    for metric in schema.METRICS:
        of_metric = [number for number in numbers if number.case.metric == metric]
        sections.append(section(metric, count, of_metric))
    return Explanation(f"{b.name} against {a.name}, by protocol", lines, sections)


def section(
    metric: str, count: int, numbers: Sequence[Explained[C]], units: str = "pairs"
) -> Section:
    """One metric: protocols whose numbers and causes look the same share a line, the first is ours."""
    lines: dict[tuple[object, ...], Line] = {}
    missing: dict[str, tuple[str, ...]] = {}
    for explained in sorted(numbers, key=_place):
        name, number = explained.case.protocol.name, explained.estimate
        if number.value is None:
            missing[number.why] = (*missing.get(number.why, ()), name)
            continue
        causes = tuple((cause.text, cause.difference) for cause in explained.visible_causes)
        looks = number_text(number.value, metric), tuple(text for text, _ in causes)
        cells = number.value, number.stderr, explained.difference, causes, explained.left_out
        line = lines.get(looks) or Line((), *cells)
        each = (*line.each, Line((name,), *cells))
        lines[looks] = replace(line, protocols=(*line.protocols, name), each=each)
    reasons = tuple((names, why) for why, names in missing.items())
    return Section(metric, count, tuple(lines.values()), reasons, units)


def _place(explained: Explained[C]) -> tuple[bool, float, str]:
    """Ours first, then by the size of the difference, then by name."""
    name, digits = explained.case.protocol.name, METRICS[explained.case.metric].digits
    return name != schema.PLAIN, -round(abs(explained.difference or 0.0), digits), name


def write(folder: Path, explanation: Explanation) -> list[Path]:
    """Write the tables of an explanation; return their paths.

    Raises UserError if the folder holds anything but an earlier explanation.
    """
    sections = explanation.sections
    files = {
        TABLE: protocols.table(sections),
        MARKDOWN: protocols.markdown(explanation.title, sections),
    }
    with writing(folder, "choose another --out"), made_whole(folder, EXPLAIN) as made:
        for name, content in files.items():
            write_whole(made / name, content.encode())
    return [folder / name for name in files]


# ----------------------------------------------------------------------------------------------
# Shared


def every_protocol(request: Request) -> list[ImageProtocol]:
    """The protocols that ship, and that of --protocol."""
    return list(map(schema.named, schema.LIBRARY.asked(request.protocol, True)))


def on_pairs(
    protocols: Sequence[ImageProtocol],
    request: Request,
    explains: bool = False,
    metrics: Sequence[str] = schema.METRICS,
) -> tuple[OnPairs, Arrays]:
    """What protocols measure on the pairs of A and B, and the arrays of all pairs.

    Raises UserError if they are not all of one size: evaluation codes stack them.
    """
    _, pairs = pairs_of(request)
    first = next(pairs)
    height, width = first.shape[-2:]
    on = OnPairs(protocols, request.networks, (height, width), explains, metrics)
    parts: dict[str, list[NDArray]] = {}
    few = request.batch_size if request.device != "cpu" else max(AT_ONCE // (height * width), 1)
    size = together(on.cases, min(request.batch_size, few))
    for batch in batches(chain([first], pairs), size) if on.cases else ():
        if batch.shape[-2:] != first.shape[-2:]:
            sizes = " and ".join(f"{s[1]} x {s[0]}" for s in (first.shape[-2:], batch.shape[-2:]))
            remedy = "protocols are of images of one size; crop them first"
            raise UserError(f"{request.a}: images of {sizes}: {remedy}")
        originals, made = batch.unbind(1)
        for name, array in on.compute(made, made, originals).items():
            parts.setdefault(name, []).append(array)
    return on, {name: np.concatenate(arrays) for name, arrays in parts.items()}
