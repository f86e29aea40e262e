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
from benchmarks.metrics.protocols.cases import MADE, ORIGINAL, Arrays, Case, network_of, together
from benchmarks.metrics.protocols.explain import Explained, OnPairs
from benchmarks.metrics.protocols.schema import Protocol
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


def measure_by(protocol: Protocol, metric: str, asked: Asked) -> list[str]:
    """The lines of a metric under a protocol. Raises UserError if it cannot be measured."""
    section = NAMES.get(metric, metric)
    if section not in schema.METRICS:
        raise UserError(f"no protocol defines it{did_you_mean(section, schema.METRICS)}")
    if getattr(protocol, section) is None:
        raise UserError(f"the protocol {protocol.name} has none")
    case = Case(section, protocol)
    network = network_of(case, asked.networks)
    if section == "rfid" and not are_pairs(asked):
        if asked.limit is not None:
            raise UserError("--limit: A and B are no pairs")
        images, value = _of_sets(case, asked)
    else:
        of, arrays = on_pairs([protocol], asked, metrics=(section,))
        (one,) = of.numbers(arrays)
        if one.found is None:
            raise UserError(one.reason)
        found = one.found
        error = "" if found.stderr is None else f", standard error {found.stderr:.3g}"
        images, value = f"pairs: {found.n}{error}", found.value
    how = "; ".join(f"{name} {value}" for name, value in case.fields.items())
    seen = [] if network is None else [f"measured by: {described(network)}"]
    told = [f"protocol {protocol.name}, {protocol.code}: {how}", *seen, *reading(asked), images]
    return [*told, f"{metric} {value:.8g}"]


def _of_sets(case: Case, asked: Asked) -> tuple[str, float]:
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
    found = pairs.numbers(arrays, watched=watched)
    count = max(map(len, arrays.values()), default=0)
    of = {metric: [one for one in found if one.case.metric == metric] for metric in schema.METRICS}
    (a, b), lines = asked.pair, reading(asked)
    facts = [("A, the originals", str(a)), ("B, the reconstructions", str(b))]
    facts += [("images", line) for line in lines]
    sections = [section(metric, count, some) for metric, some in of.items()]
    return Explanation(f"{b.name} against {a.name}, by protocol", facts, lines, sections)


def section(
    metric: str, count: int, found: Sequence[Explained[Any, Any]], units: str = "pairs"
) -> Section:
    """One metric: protocols whose numbers and causes look the same share a line, the first is ours."""
    lines: dict[tuple[object, ...], Line] = {}
    missing: dict[str, tuple[str, ...]] = {}
    for one in sorted(found, key=_place):
        name = one.case.protocol.name
        if one.found is None:
            missing[one.reason] = (*missing.get(one.reason, ()), name)
            continue
        causes = tuple((cause.text, cause.difference) for cause in one.told)
        looks = number_text(one.found.value, metric), tuple(text for text, _ in causes)
        number = one.found.value, one.found.stderr, one.difference, causes, one.left_out
        line = lines.get(looks) or Line((), *number)
        each = (*line.each, Line((name,), *number))
        lines[looks] = replace(line, protocols=(*line.protocols, name), each=each)
    reasons = tuple((names, why) for why, names in missing.items())
    return Section(metric, count, tuple(lines.values()), reasons, units)


def _place(one: Explained[Any, Any]) -> tuple[bool, float, str]:
    """Ours first, then by the size of the difference, then by name."""
    name, digits = one.case.protocol.name, METRICS[one.case.metric].digits
    return name != schema.PLAIN, -round(abs(one.difference or 0.0), digits), name


def write(folder: Path, found: Explanation) -> list[Path]:
    """Write the page, the picture and the tables of an explanation; return their paths.

    Raises UserError if the folder holds anything but an earlier explanation.
    """
    title, sections = found.title, found.sections
    files = {PAGE: protocols.page(title, found.facts, sections).encode()}
    files |= {PICTURE: protocols.picture(title, sections)}
    files |= {TABLE: protocols.table(sections).encode()}
    files |= {MARKDOWN: protocols.markdown(sections).encode()}
    with writing(folder, "choose another --out"), made_whole(folder, EXPLAIN) as made:
        for name, content in files.items():
            write_whole(made / name, content)
    return [folder / name for name in files]


# ----------------------------------------------------------------------------------------------
# Shared


def every_protocol(asked: Asked) -> list[Protocol]:
    """The protocols that ship, and that of --protocol."""
    return list(map(schema.named, schema.LIBRARY.asked(asked.protocol, True)))


def on_pairs(protocols: Sequence[Protocol], asked: Asked, **how: Any) -> tuple[OnPairs, Arrays]:
    """What protocols measure on the pairs of A and B, and the arrays of all pairs.

    Raises UserError if they are not all of one size: evaluation codes stack them.
    """
    _, pairs = pairs_of(asked)
    first = next(pairs)
    height, width = first.shape[-2:]
    of = OnPairs(protocols, asked.networks, (height, width), **how)
    parts: dict[str, list[NDArray]] = {}
    few = asked.batch_size if asked.device != "cpu" else max(AT_ONCE // (height * width), 1)
    size = together(of.cases, min(asked.batch_size, few))
    for batch in batches(chain([first], pairs), size) if of.cases else ():
        if batch.shape[-2:] != first.shape[-2:]:
            sizes = " and ".join(f"{s[1]} x {s[0]}" for s in (first.shape[-2:], batch.shape[-2:]))
            remedy = "protocols are of images of one size; crop them first"
            raise UserError(f"{asked.a}: images of {sizes}: {remedy}")
        originals, made = batch.unbind(1)
        for name, array in of.compute(made, made, originals).items():
            parts.setdefault(name, []).append(array)
    return of, {name: np.concatenate(arrays) for name, arrays in parts.items()}
