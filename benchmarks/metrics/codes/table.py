"""All numbers of codes by name.

found = measure("auroc", codes, named("plain"), seed=0)
found.value, found.stderr
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.metrics.codes.data import Codes, Found, Labels, taken
from benchmarks.metrics.codes.errors import LISTED
from benchmarks.metrics.codes.number import FEWEST, Number
from benchmarks.metrics.codes.schema import NUMBERS, Protocol, section_of
from diffae.system.cli import did_you_mean
from diffae.system.errors import UserError
from probes.scale import SMALL, held, spread
from reports.records.reading import few

__all__ = ["NUMBERS", "Number", "fields", "measure"]


Notes = tuple[str, ...]
LEAST, MOST = 1e-6, 1e12  # the largest deviation of codes in the units of which a number is


def fields(name: str, protocol: Protocol) -> Mapping[str, Any]:
    """All that a number depends on under a protocol, by "section.field"."""
    sections = {"codes": protocol.codes, section_of(name): protocol.section(name)}
    each = [(f"{one}.{field}", x) for one, s in sections.items() for field, x in vars(s).items()]
    return dict(each)


def measure(name: str, codes: Codes, protocol: Protocol, seed: int) -> Found:
    """A number of codes under a protocol. Raises UserError as `prepared` does."""
    codes, notes = prepared(name, codes, protocol, seed)
    found = NUMBERS[name].compute(codes, protocol.section(name), seed)
    if not np.isfinite(found.value):
        raise UserError(f"{name}: not defined for these codes and labels: it is {found.value}")
    return replace(found, notes=(*notes, *found.notes))


def prepared(name: str, codes: Codes, protocol: Protocol, seed: int) -> tuple[Codes, Notes]:
    """The codes and labels that a number takes, and notes of what it leaves out.

    Raises UserError for a number that the protocol does not define, for fewer than 50 rows, and for
    labels that are missing, of another kind, or not in the combinations that it needs.
    """
    if name not in NUMBERS:
        raise UserError(f"no number of codes {name!r}{did_you_mean(name, NUMBERS)}")
    protocol.section(name)
    if len(codes.values) < FEWEST:
        raise UserError(f"{name}: needs at least {FEWEST} rows, not {len(codes.values)}")
    labels, left_out = _labels(name, NUMBERS[name], codes.labels)
    codes = replace(codes, values=np.ascontiguousarray(codes.values, float), labels=labels)
    how = replace(protocol.codes, constant="kept") if NUMBERS[name].channels else protocol.codes
    codes, notes = taken(codes, how, seed)
    if not codes.values.shape[1]:
        raise UserError(f"{name}: every dimension of the codes is constant")
    codes, in_units = _held(name, codes, protocol)
    return codes, (*left_out, *notes, *in_units)


def _held(name: str, codes: Codes, protocol: Protocol) -> tuple[Codes, Notes]:
    """The codes at a scale that float32 holds; a note where a number is in units of small codes.

    By the choices of `plain` a number does not depend on the scale. By others it may, so that the codes
    stay as they are. Raises UserError for those that float32 would lose, and for tiny and huge ones.
    """
    number = NUMBERS[name]
    count = codes.shape[0] if number.channels and codes.shape else codes.values.shape[1]
    maps = codes.values.reshape(len(codes.values), count, -1)
    if protocol.section(name) == number.section():
        values = held(maps, common=number.one_scale).reshape(codes.values.shape)
        return replace(codes, values=values), ()
    lost, deviations, _ = spread(maps)
    remedy = "standardise the codes, or take the protocol plain"
    if lost.any():
        raise UserError(f"{name}: float32 loses {lost.sum()} of {count} dimensions; {remedy}")
    if deviations.any() and not LEAST <= (largest := deviations.max()) <= MOST:
        raise UserError(f"{name}: in units of codes of a deviation of {largest:.2g}; {remedy}")
    small = np.sum((deviations > 0) & (deviations < SMALL))
    note = f"{small} of {count} dimensions have deviations under {SMALL:g}"
    return codes, (f"{note}, which may count as none",) if small else ()


def _labels(name: str, number: Number, labels: Labels | None) -> tuple[Labels | None, Notes]:
    """The labels that a number takes, and notes of those that it leaves out."""
    if not number.kinds:
        return None, ()
    wanted = " or ".join(number.kinds)
    if labels is None or not labels.names:
        raise UserError(f"{name}: needs labels ({wanted})")
    fit = labels.of_kind(*number.kinds)
    if not fit:
        have = " or ".join(dict.fromkeys(labels.kinds))
        raise UserError(f"{name}: needs labels that are {wanted}; these are {have}")
    varied = [k for k in fit if np.ptp(labels.values[:, k]) > 0]
    same = [labels.names[k] for k in fit if k not in varied]
    if not varied:
        raise UserError(f"{name}: every image has the same label of {same[0]}")
    kept = labels.of(varied)
    if number.combinations:
        _check_combinations(name, kept)
    others = [one for k, one in enumerate(labels.names) if k not in fit]
    left_out = {"labels of another kind left out": others, "labels with one value left out": same}
    notes = (f"{why}: {', '.join(few(some, LISTED))}" for why, some in left_out.items() if some)
    return kept, tuple(notes)


def _check_combinations(name: str, labels: Labels) -> None:
    """Raise UserError unless each combination of the labels' values occurs."""
    there = len(np.unique(labels.values, axis=0))
    wanted = np.prod([len(np.unique(column)) for column in labels.values.T], dtype=float)
    if there < wanted:
        occur = f"{there:,} of {wanted:,.0f} occur"
        raise UserError(f"{name}: needs images of each combination of the labels, of which {occur}")
