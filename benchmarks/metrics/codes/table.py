"""All metrics of codes by name.

estimate = measure("auroc", codes, named("plain"), seed=0)
estimate.value, estimate.stderr
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from time import perf_counter

import numpy as np

from benchmarks.metrics.codes import axes, dci, votes
from benchmarks.metrics.codes.data import Codes, LabelColumns, taken
from benchmarks.metrics.codes.errors import LISTED, undefined
from benchmarks.metrics.codes.number import FEWEST, CodeGroup
from benchmarks.metrics.codes.schema import NUMBERS, CodeProtocol, section_of
from benchmarks.metrics.protocols.library import Value
from diffae.system.cli import did_you_mean
from diffae.system.errors import UserError
from probes.scale import SMALL, held, spread
from reports.records.estimate import Estimate
from reports.records.reading import few

__all__ = ["NUMBERS", "estimates", "fields", "measure", "seconds", "shared_by"]

Notes = tuple[str, ...]
LEAST, MOST = 1e-6, 1e12  # the largest deviation of codes in the units of which a number is
WIDEST = 64  # numbers of a code
SOME = 4  # dimensions that the time is measured on
FEWER = 10  # times fewer votes


def fields(name: str, protocol: CodeProtocol) -> Mapping[str, Value]:
    """All that a metric depends on under a protocol, by "section.field"."""
    sections = {"codes": protocol.codes, section_of(name): protocol.section(name)}
    each = [
        (f"{title}.{field}", x) for title, s in sections.items() for field, x in vars(s).items()
    ]
    return dict(each)


def shared_by(names: Iterable[str]) -> list[list[str]]:
    """These metrics in lists of those that share their work."""
    lists: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        lists.setdefault(NUMBERS[name].metrics, []).append(name)
    return list(lists.values())


def measure(name: str, codes: Codes, protocol: CodeProtocol, seed: int) -> Estimate:
    """A metric of codes under a protocol. Raises UserError as `estimates`, and if it is undefined."""
    if name not in NUMBERS:
        raise UserError(f"no number of codes {name!r}{did_you_mean(name, NUMBERS)}")
    estimate = estimates([name], codes, protocol, seed)[name]
    if estimate.value is None:
        raise UserError(estimate.why)
    return estimate


def estimates(
    names: Iterable[str], codes: Codes, protocol: CodeProtocol, seed: int
) -> dict[str, Estimate]:
    """Metrics of codes under a protocol; those that share their work are computed together.

    One that is undefined for these codes or labels says why. Raises UserError if the protocol does
    not define a metric.
    """
    each: dict[str, Estimate] = {}
    for together in shared_by(names):
        for name in together:
            protocol.section(name)
        each |= _of_group(together, codes, protocol, seed)
    return each


def _of_group(
    names: list[str], codes: Codes, protocol: CodeProtocol, seed: int
) -> dict[str, Estimate]:
    """Metrics of one group."""
    try:
        codes, notes = prepared(names[0], codes, protocol, seed)
    except UserError as error:
        return {name: undefined(f"{name}: {error}") for name in names}
    try:
        computed = NUMBERS[names[0]].estimate(codes, protocol.section(names[0]), seed)
    except UserError as error:
        return dict.fromkeys(names, undefined(str(error)))
    by_name = {name: computed[name] for name in names}
    for name, estimate in by_name.items():
        if estimate.value is not None and np.isfinite(estimate.value):
            by_name[name] = replace(estimate, notes=(*notes, *estimate.notes))
        elif estimate.value is not None:
            are = f"not defined for these codes and labels: it is {estimate.value}"
            by_name[name] = undefined(f"{name}: {are}")
    return by_name


def prepared(name: str, codes: Codes, protocol: CodeProtocol, seed: int) -> tuple[Codes, Notes]:
    """The codes and labels that a metric takes, and notes of what it leaves out.

    Raises UserError for fewer than 50 rows, and for labels that are missing, of another kind, or not
    in the combinations that it needs.
    """
    if len(codes.values) < FEWEST:
        raise UserError(f"needs at least {FEWEST} rows, not {len(codes.values)}")
    labels, left_out = _labels(NUMBERS[name], codes.labels)
    codes = replace(codes, values=np.ascontiguousarray(codes.values, float), labels=labels)
    choices = replace(protocol.codes, constant="kept") if NUMBERS[name].channels else protocol.codes
    codes, notes = taken(codes, choices, seed)
    if not codes.values.shape[1]:
        raise UserError("every dimension of the codes is constant")
    codes, in_units = _held(name, codes, protocol)
    return codes, (*left_out, *notes, *in_units)


def _held(name: str, codes: Codes, protocol: CodeProtocol) -> tuple[Codes, Notes]:
    """The codes at a scale that float32 holds; a note where a number is in units of small codes.

    By the choices of `plain` a number does not depend on the scale. By others it may, so that the codes
    stay as they are. Raises UserError for those that float32 would lose, and for tiny and huge ones.
    """
    group = NUMBERS[name]
    count = codes.shape[0] if group.channels and codes.shape else codes.values.shape[1]
    maps = codes.values.reshape(len(codes.values), count, -1)
    if protocol.section(name) == group.section():
        values = held(maps, common=group.one_scale).reshape(codes.values.shape)
        return replace(codes, values=values), ()
    lost, deviations, _ = spread(maps)
    remedy = "standardise the codes, or take the protocol plain"
    if lost.any():
        raise UserError(f"float32 loses {lost.sum()} of {count} dimensions; {remedy}")
    if deviations.any() and not LEAST <= (largest := deviations.max()) <= MOST:
        raise UserError(f"in units of codes of a deviation of {largest:.2g}; {remedy}")
    small = np.sum((deviations > 0) & (deviations < SMALL))
    note = f"{small} of {count} dimensions have deviations under {SMALL:g}"
    return codes, (f"{note}, which may count as none",) if small else ()


def _labels(group: CodeGroup, labels: LabelColumns | None) -> tuple[LabelColumns | None, Notes]:
    """The labels that a number takes, and notes of those that it leaves out."""
    if not group.kinds:
        return None, ()
    wanted = " or ".join(group.kinds)
    if labels is None or not labels.names:
        raise UserError(f"needs labels ({wanted})")
    fit = labels.of_kind(*group.kinds)
    if not fit:
        have = " or ".join(dict.fromkeys(labels.kinds))
        raise UserError(f"needs labels that are {wanted}; these are {have}")
    varied = [k for k in fit if np.ptp(labels.values[:, k]) > 0]
    same = [labels.names[k] for k in fit if k not in varied]
    if not varied:
        raise UserError(f"every image has the same label of {same[0]}")
    kept = labels.of(varied)
    if group.combinations:
        _check_combinations(kept)
    others = [label for k, label in enumerate(labels.names) if k not in fit]
    left_out = {"labels of another kind left out": others, "labels with one value left out": same}
    notes = (f"{why}: {', '.join(few(names, LISTED))}" for why, names in left_out.items() if names)
    return kept, tuple(notes)


def _check_combinations(labels: LabelColumns) -> None:
    """Raise UserError unless each combination of the labels' values occurs."""
    count = len(np.unique(labels.values, axis=0))
    wanted = np.prod([len(np.unique(column)) for column in labels.values.T], dtype=float)
    if count < wanted:
        occur = f"{count:,} of {wanted:,.0f} occur"
        raise UserError(f"needs images of each combination of the labels, of which {occur}")


# ----------------------------------------------------------------------------------------------
# How long metrics take that are bound to axes. They are computed for codes of at most WIDEST numbers, and
# of longer ones where they are asked for by name.


def seconds(name: str, codes: Codes, protocol: CodeProtocol, seed: int) -> float:
    """About how many seconds a metric bound to axes takes, measured on few dimensions or votes; so long
    take those that share its work, too. Raises UserError where it is undefined.
    """
    from sklearn import feature_selection, linear_model, svm  # noqa: F401, before the clock starts

    codes, _ = prepared(name, codes, protocol, seed)
    section, part = protocol.section(name), codes
    if isinstance(section, dci.Dci):
        return dci.seconds(codes, section, seed)
    if isinstance(section, votes.Votes):
        train, test = (count // FEWER or 1 for count in (section.train, section.test))
        share = FEWER * section.tables
        section = replace(section, tables=1, train=train, test=test)
    else:
        part = replace(codes, values=codes.values[:, :SOME])
        share = codes.values.shape[1] / part.values.shape[1]
        if isinstance(section, axes.Concepts):
            section = replace(section, concepts=0)
    start = perf_counter()
    with suppress(UserError):  # that these dimensions have no number
        NUMBERS[name].estimate(part, section, seed)
    return (perf_counter() - start) * share
