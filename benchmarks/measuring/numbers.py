"""Numbers of codes: one by one, and all of them by every protocol."""

from collections.abc import Sequence
from functools import partial
from itertools import product

from benchmarks.measuring.asked import Asked, Noting
from benchmarks.measuring.by_protocol import Explanation, section
from benchmarks.measuring.codes import read
from benchmarks.metrics.codes import schema
from benchmarks.metrics.codes.cost import WIDEST, seconds
from benchmarks.metrics.codes.explain import explained
from benchmarks.metrics.codes.table import NUMBERS, fields, measure
from diffae.system import cli
from diffae.system.errors import UserError
from diffae.system.progress import shown
from reports.records.reading import field_text
from reports.tables.numbers import duration


def measure_codes(names: Sequence[str], asked: Asked, noting: Noting) -> dict[str, list[str]]:
    """The lines of some numbers of the codes of A, with the labels of B or of A.

    `noting(name)` is for a block that may find that a number cannot be measured. Raises UserError
    if a file or the protocol cannot be read.
    """
    every = list(map(schema.named, schema.asked(asked.protocol or (schema.PLAIN,), False)))
    codes, told = read(asked.a, asked.b)
    found, seed, d = dict[str, list[str]](), asked.seed or 0, codes.values.shape[1]
    for name, protocol in product(names, every):
        with noting(str(asked.b or asked.a)):
            if d > WIDEST and name in schema.BOUND_TO_AXES:
                takes = duration(seconds(name, codes, protocol, seed))
                cli.say(f"{name}: about {takes} for {d:,} dimensions")
            one = measure(name, codes, protocol, seed)
            error = "" if one.stderr is None else f", standard error {one.stderr:.3g}"
            over = f" over {one.over}" if error and one.over else ""
            how = "; ".join(
                f"{field} {field_text(field, value)}"
                for field, value in fields(name, protocol).items()
            )
            lines = [*told, f"protocol {protocol.name}, {protocol.code}: {how}", *one.notes]
            lines += [f"images: {one.n:,}{error}{over}", f"{name} {one.value:.8g}"]
            found[name] = [*found.get(name, []), *lines]
            told = []  # once
    return found


def explain_codes(asked: Asked) -> Explanation:
    """Every number of the codes of A by every protocol, with the causes of differences."""
    every = list(map(schema.named, schema.asked(asked.protocol, explain=True)))
    codes, told = read(asked.a, asked.b)
    watched = partial(shown, title="numbers by protocol", unit="numbers")
    wide = codes.values.shape[1] > WIDEST
    left_out = [name for name in NUMBERS if wide and name in schema.BOUND_TO_AXES]
    if left_out:
        told.append(f"left out of codes of over {WIDEST} numbers: {', '.join(left_out)}")
    found = list(explained(codes, every, asked.seed or 0, left_out, watched))
    if not any(one.number for one in found):
        raise UserError(f"{asked.b or asked.a}: {found[0].reason}")
    of = {name: [one for one in found if one.case.metric == name] for name in NUMBERS}
    facts = [(what, text) for what, _, text in (line.partition(": ") for line in told)]
    n = len(codes.values)
    sections = [section(name, n, some, "images") for name, some in of.items() if some]
    return Explanation(f"{asked.a.name}, by protocol", facts, told, sections)
