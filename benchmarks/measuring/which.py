"""Which protocols print given numbers of two folders: `--which psnr=27.43,ssim=0.912 A B`."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.measuring.by_protocol import every_protocol, on_pairs
from benchmarks.measuring.images import reading
from benchmarks.measuring.request import Numbers, Request
from benchmarks.metrics import METRICS
from benchmarks.metrics.protocols import schema
from benchmarks.metrics.protocols.explain import C, Explained
from benchmarks.metrics.protocols.schema import ImageProtocol
from reports.records.estimate import t_quantile

ACROSS = "not comparable across samples"


@dataclass(frozen=True)
class Compared:
    """The number of a protocol beside the printed one.

    `text` has as many digits as are printed, and `miss` is the difference by the largest that fits.
    There is no text if they cannot be compared, for a `reason`.
    """

    protocol: str
    metric: str
    text: str = ""
    miss: float = 0.0
    reason: str = ""


def compared(explained: Explained[C], number: str, of: int | None = None) -> Compared:
    """Two numbers fit if they are at most half a unit of the last printed digit apart.

    If `number` was printed for `of` other images of the same distribution, half of the 95 % interval
    of the difference is added: Student's t times the standard error here, of n images, times
    sqrt(1 + n / of).
    """
    name, metric, here = explained.case.protocol.name, explained.case.metric, explained.estimate
    if here.value is None:
        return Compared(name, metric, reason=here.why)
    decimals = len(number.partition(".")[2])
    tolerance = 0.5 * 10.0**-decimals
    if of is not None:
        assert here.n is not None
        if METRICS[metric].depends_on_n and of != here.n:
            why = f"{ACROSS}: it depends on n ({of:,} there, {here.n:,} here)"
            return Compared(name, metric, reason=why)
        if here.error is None:
            return Compared(name, metric, reason=f"{ACROSS}: it has no standard error here")
        df = min(here.error.df, here.n - 1)
        tolerance += t_quantile(0.975, df) * here.error.stderr * math.sqrt(1 + here.n / of)
    miss = abs(here.value - float(number)) / (tolerance * (1 + 1e-9))  # exactly half fits too
    return Compared(name, metric, f"{here.value:.{decimals}f}", miss)


def which_pairs(request: Request, numbers: Numbers) -> list[str]:
    """The lines on the protocols by which the pairs of A and B have these numbers.

    They were printed for the same images, or for as many others as --of says.
    """
    protocols = every_protocol(request)
    pairs, arrays = on_pairs(protocols, request, metrics=tuple(numbers))
    comparisons = [
        compared(explained, numbers[explained.case.metric], request.of)
        for explained in pairs.numbers(arrays)
    ]
    return [*reading(request), *answer(comparisons, numbers, protocols)]


def answer(
    comparisons: Sequence[Compared], numbers: Numbers, protocols: Sequence[ImageProtocol]
) -> list[str]:
    """What fits, or is nearest; what is excluded; what prints the same; then what could not be
    compared, what a protocol does not print, and references that are not A.

    The nearest print most of the metrics; of these the fewest numbers do not fit, and then the worst
    of them is the nearest.
    """
    rows: dict[str, list[Compared]] = {protocol.name: [] for protocol in protocols}
    texts: dict[str, dict[str, str]] = {protocol.name: {} for protocol in protocols}
    for x in comparisons:
        rows[x.protocol].append(x)
        texts[x.protocol][x.metric] = x.text
    measured = [name for name in rows if any(texts[name].values())]

    def alone(name: str) -> str:
        metrics = [metric for metric, text in texts[name].items() if text]
        return "" if len(metrics) == len(numbers) else f" by {', '.join(metrics)} alone"

    def alike(name: str) -> str:
        return ", ".join(other for other in measured if texts[other] == texts[name])

    def distance(name: str) -> tuple[int, int, float]:
        misses = [x.miss for x in rows[name]]
        return -len(misses), sum(miss > 1 for miss in misses), max(misses)

    fits = sorted((name for name in measured if distance(name)[1] == 0), key=alone)
    lines = _lines(("fits", name, alone(name)) for name in fits) or ["none compared"]
    if measured and not fits:
        nearest = min(measured, key=distance)
        values = ", ".join(f"{metric} {text}" for metric, text in texts[nearest].items() if text)
        lines = ["none fits", f"nearest {alike(nearest)}: {values}"]
    for x in comparisons:
        if x.miss > 1:
            values = f"{numbers[x.metric]}, here {x.text}"
            lines.append(f"excluded {x.protocol} by {x.metric}: {values}")
    sets = (f"alike {alike(name)}{alone(name)}" for name in measured if ", " in alike(name))
    lines += dict.fromkeys(sets)
    whys = (
        (f"not compared {x.metric} of", x.protocol, f": {x.reason}")
        for x in comparisons
        if x.reason
    )
    lacks = {name: ", ".join(x for x in numbers if x not in texts[name]) for name in rows}
    lines += _lines([*whys, *(("not printed by", x, f": {y}") for x, y in lacks.items() if y)])
    for protocol in protocols:
        name, rfid = protocol.name, protocol.rfid
        if texts[name].get("rfid") and rfid and rfid.reference != schema.RFid.reference:
            lines.append(f"rfid of {name} is against {rfid.reference}, here against A")
    return lines


def _lines(parts: Iterable[tuple[str, str, str]]) -> list[str]:
    """Lines of (before, name, after); those that differ in the name alone are one line."""
    groups: dict[tuple[str, str], list[str]] = {}
    for before, name, after in parts:
        groups.setdefault((before, after), []).append(name)
    return [f"{before} {', '.join(names)}{after}" for (before, after), names in groups.items()]
