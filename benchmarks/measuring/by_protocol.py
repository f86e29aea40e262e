"""Metrics under the protocols of other evaluation codes: `--protocol` and `--explain`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.measuring.asked import Asked, described
from benchmarks.measuring.images import are_pairs, batches, pairs_of, reading
from benchmarks.measuring.sets import frechet_of, read_set, value_of
from benchmarks.metrics import METRICS
from benchmarks.metrics.protocols import schema
from benchmarks.metrics.protocols.cases import (
    MADE,
    ORIGINAL,
    Arrays,
    ImageCase,
    network_of,
    together,
)
from benchmarks.metrics.protocols.explain import Explained, OnPairs
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
NAMES = {"fid": "rfid"}  # the command's name of a metric: the protocols'
PAGE, PICTURE, TABLE, MARKDOWN = (f"protocols.{suffix}" for suffix in ("html", "png", "csv", "md"))


# ----------------------------------------------------------------------------------------------
# One protocol


def measure_by(protocol: ImageProtocol, metric: str, asked: Asked) -> list[str]:
    """The lines of a metric under a protocol. Raises UserError if it cannot be measured."""
    section = NAMES.get(metric, metric)
    if section not in schema.METRICS:
        raise UserError(f"no protocol defines it{did_you_mean(section, schema.METRICS)}")
    if getattr(protocol, section) is None:
        raise UserError(f"the protocol {protocol.name} has none")
    case = ImageCase(section, protocol)
    network = network_of(case, asked.networks)
    if section == "rfid" and not are_pairs(asked):
        if asked.limit is not None:
            raise UserError("--limit: A and B are no pairs")
        images, value = _of_sets(case, asked)
    else:
        pairs, arrays = on_pairs([protocol], asked, metrics=(section,))
        (explained,) = pairs.numbers(arrays)
        number = explained.estimate
        if number.value is None:
            raise UserError(number.why)
        error = "" if number.stderr is None else f", standard error {number.stderr:.3g}"
        images, value = f"pairs: {number.n}{error}", number.value
    fields = "; ".join(f"{name} {value}" for name, value in case.fields.items())
    lines = [f"protocol {protocol.name}, {protocol.code}: {fields}"]
    if network is not None:
        lines.append(f"measured by: {described(network)}")
    return [*lines, *reading(asked), images, f"{metric} {value:.8g}"]


def _of_sets(case: ImageCase, asked: Asked) -> tuple[str, float]:
    """The Frechet distance of B to a reference A that does not hold its originals."""
    network, sides = network_of(case, asked.networks), []
    for path, side in zip(asked.pair, (ORIGINAL, MADE), strict=True):

        def see(images: Tensor, side: str = side) -> Tensor:
            """The network's input of uint8 images, as the protocol's code makes it."""
            return network.prepare(case.pixels(images, side))

        sides.append(read_set(path, replace(network, prepare=see), False, asked))
    return f"images: {sides[0]} and {sides[1]}", value_of(frechet_of(*sides))


# ----------------------------------------------------------------------------------------------
# All protocols


@dataclass(frozen=True)
class Explanation:
    """Metrics by protocol; the title and the facts of their page, and lines for a terminal."""

    title: str
    facts: Sequence[tuple[str, str]]
    lines: Sequence[str]
    sections: Sequence[Section]


def explain_pairs(asked: Asked) -> Explanation:
    """Every metric under every protocol on the pairs of A and B, with the causes of differences."""
    pairs, arrays = on_pairs(every_protocol(asked), asked, explains=True)
    title = "metrics by protocol"
    watched = partial(shown, title=title, unit="numbers", total=len(pairs.cases))
    numbers = pairs.numbers(arrays, watched=watched)
    count = max(map(len, arrays.values()), default=0)
    (a, b), lines = asked.pair, reading(asked)
    facts = [("A, the originals", str(a)), ("B, the reconstructions", str(b))]
    facts += [("images", line) for line in lines]
    sections = []
    for metric in schema.METRICS:
        of_metric = [number for number in numbers if number.case.metric == metric]
        sections.append(section(metric, count, of_metric))
    return Explanation(f"{b.name} against {a.name}, by protocol", facts, lines, sections)


def section(
    metric: str, count: int, numbers: Sequence[Explained[Any]], units: str = "pairs"
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


def _place(explained: Explained[Any]) -> tuple[bool, float, str]:
    """Ours first, then by the size of the difference, then by name."""
    name, digits = explained.case.protocol.name, METRICS[explained.case.metric].digits
    return name != schema.PLAIN, -round(abs(explained.difference or 0.0), digits), name


def write(folder: Path, explanation: Explanation) -> list[Path]:
    """Write the page, the picture and the tables of an explanation; return their paths.

    Raises UserError if the folder holds anything but an earlier explanation.
    """
    title, sections = explanation.title, explanation.sections
    files = {PAGE: protocols.page(title, explanation.facts, sections).encode()}
    files |= {PICTURE: protocols.picture(title, sections)}
    files |= {TABLE: protocols.table(sections).encode()}
    files |= {MARKDOWN: protocols.markdown(sections).encode()}
    with writing(folder, "choose another --out"), made_whole(folder, EXPLAIN) as made:
        for name, content in files.items():
            write_whole(made / name, content)
    return [folder / name for name in files]


# ----------------------------------------------------------------------------------------------
# Shared


def every_protocol(asked: Asked) -> list[ImageProtocol]:
    """The protocols that ship, and that of --protocol."""
    return list(map(schema.named, schema.LIBRARY.asked(asked.protocol, True)))


def on_pairs(
    protocols: Sequence[ImageProtocol],
    asked: Asked,
    explains: bool = False,
    metrics: Sequence[str] = schema.METRICS,
) -> tuple[OnPairs, Arrays]:
    """What protocols measure on the pairs of A and B, and the arrays of all pairs.

    Raises UserError if they are not all of one size: evaluation codes stack them.
    """
    _, pairs = pairs_of(asked)
    first = next(pairs)
    height, width = first.shape[-2:]
    on = OnPairs(protocols, asked.networks, (height, width), explains, metrics)
    parts: dict[str, list[NDArray]] = {}
    few = asked.batch_size if asked.device != "cpu" else max(AT_ONCE // (height * width), 1)
    size = together(on.cases, min(asked.batch_size, few))
    for batch in batches(chain([first], pairs), size) if on.cases else ():
        if batch.shape[-2:] != first.shape[-2:]:
            sizes = " and ".join(f"{s[1]} x {s[0]}" for s in (first.shape[-2:], batch.shape[-2:]))
            remedy = "protocols are of images of one size; crop them first"
            raise UserError(f"{asked.a}: images of {sizes}: {remedy}")
        originals, made = batch.unbind(1)
        for name, array in on.compute(made, made, originals).items():
            parts.setdefault(name, []).append(array)
    return on, {name: np.concatenate(arrays) for name, arrays in parts.items()}
