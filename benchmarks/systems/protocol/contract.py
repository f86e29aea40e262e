"""The fields of a system, read once and checked.

No field of a system reaches a table, a file's name or the store before it has been checked here.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, TypeVar

from torch import nn

from benchmarks.systems.protocol import base, parts
from benchmarks.systems.protocol.base import IN_WORDS, Range, System
from benchmarks.systems.protocol.parts import Part
from diffae.checkpoints.trained_on import TrainedOn
from diffae.diffusion.scheme import Scheme
from diffae.system.cli import did_you_mean
from diffae.system.errors import UserError, shown, whole

T = TypeVar("T")

LONGEST = 200  # characters of a title or a fingerprint
LARGEST = 2**31  # numbers in a code, pixels of a side: larger values are mistakes

Fields = dict[str, Any]  # by name
Check = Callable[[Any, str], Any]  # takes a value and its field's name, returns the value to use


def is_line(text: str) -> bool:
    """Whether a text can be a title or a fingerprint: one printable line, not empty and not too long."""
    return bool(text.strip()) and text.isprintable() and len(text) <= LONGEST


def line(value: object, name: str) -> str:
    """A title or a fingerprint."""
    if isinstance(value, str) and is_line(value):
        return value
    words = f"one printable line of 1 to {LONGEST} characters"
    raise UserError(f"{name} must be {words}, not {shown(value)}")


def range_of_images(value: object, name: str) -> Range:
    """The lowest and the highest value of an image."""
    if isinstance(value, tuple | list) and len(value) == 2:
        low, high = value
        are_numbers = all(isinstance(bound, int | float) for bound in value)
        are_bounds = are_numbers and -LARGEST < low < high < LARGEST
        # float32 must tell 8-bit values apart
        if are_bounds and high - low >= max(1e-30, abs(low) / 2**12, abs(high) / 2**12):
            return float(low), float(high)
    words = "two numbers, the lowest and the highest value of an image, not too close for float32"
    raise UserError(f"{name} must be {words}, not {shown(value)}")


def _whole_from(least: int) -> Check:
    return lambda value, name: whole(value, name, least, LARGEST)


def _of_class(wanted: type[T]) -> Check:
    def check(value: T, name: str) -> T:
        if not isinstance(value, wanted):
            raise UserError(f"{name} must be a {wanted.__name__}, not {shown(value)}")
        return value

    return check


def _or_none(check: Check) -> Check:
    return lambda value, name: None if value is None else check(value, name)


def _parts(value: Sequence[Part], name: str) -> tuple[Part, ...]:
    if not value or not all(isinstance(part, Part) for part in value):
        raise UserError(f"{name} must be a tuple of one Part or more, not {shown(value)}")
    return tuple(value)


def _bits(value: float, name: str) -> float:
    if not 0 < float(value) < LARGEST:
        raise UserError(f"{name} must be a positive number, not {shown(value)}")
    return value


def _lengths(value: Iterable[int], name: str) -> tuple[int, ...]:
    return tuple(sorted(whole(length, name, 1, LARGEST) for length in value))


def _capabilities(value: Collection[str], name: str) -> frozenset[str]:
    for word in value:
        if word not in IN_WORDS:
            hint = did_you_mean(str(word)[:LONGEST], IN_WORDS)
            raise UserError(f"{name}: unknown: {shown(word)}{hint}")
    if not value:
        raise UserError(f"{name} must not be empty; there are: {', '.join(IN_WORDS)}")
    return frozenset(value)


CHECKS: dict[str, Check] = {
    "capabilities": _capabilities,
    "title": line,
    "fingerprint": line,
    "latent_dim": _whole_from(0),
    "semantic_dim": _whole_from(0),
    "image_size": _or_none(_whole_from(1)),
    "stride": _or_none(_whole_from(1)),
    "semantic_parts": _or_none(_parts),
    "code_bits": _or_none(_bits),
    "lengths": _or_none(_lengths),
    "range": _or_none(range_of_images),
    **dict.fromkeys(("iterative", "computes_in_float64", "reference", "random"), _of_class(bool)),
    "trained_on": _or_none(_of_class(TrainedOn)),
    "solver": _or_none(_of_class(Scheme)),
    "live": _or_none(_of_class(nn.Module)),
}


def read_fields(system: System) -> Fields:
    """The fields of `system` by name, checked; `System` explains them.

    Raises UserError, naming the field, if one is of a wrong type or contradicts another.
    """
    fields = {name: check(getattr(system, name), name) for name, check in CHECKS.items()}
    made_of = fields["semantic_parts"] or ()
    if not fields["latent_dim"]:
        made_of = _at_image_size(fields)
        fields["latent_dim"] = _latent_dim(fields, made_of)
    fields["semantic_dim"] = _semantic_dim(fields, made_of)
    if fields["code_bits"] is None and made_of:
        fields["code_bits"] = parts.bits(made_of)
    if fields["lengths"]:
        most = parts.length(fields["semantic_parts"] or (Part((fields["semantic_dim"],)),))
        if most is None or fields["lengths"][-1] > most:
            reason = "a code that is one tensor and at least so long"
            raise UserError(f"lengths {fields['lengths']} need {reason}")
    fields["describe"] = dict(system.describe())
    if not all(isinstance(v, str | int | float | None) for v in fields["describe"].values()):
        raise UserError("describe must return texts and numbers by name")
    return fields


def _at_image_size(fields: Fields) -> tuple[Part, ...]:
    """The `semantic_parts` of an image of `image_size`, as far as it and `stride` are set."""
    made_of, side, stride = fields["semantic_parts"] or (), fields["image_size"], fields["stride"]
    if side is None or stride is None:
        return made_of
    return tuple(part.at(side, side, stride) for part in made_of)


def _latent_dim(fields: Fields, made_of: Sequence[Part]) -> int:
    """`latent_dim`, where a system does not set it: the numbers of its parts and of x_T."""
    count = parts.numbers(made_of) or fields["semantic_dim"]
    if base.STOCHASTIC in fields["capabilities"]:
        count += 3 * (fields["image_size"] or 0) ** 2
    if not count:
        free = "if an axis of a Part is None, also image_size and stride"
        raise UserError(f"latent_dim is missing: set it, or semantic_parts ({free})")
    return count


def _semantic_dim(fields: Fields, made_of: Sequence[Part]) -> int:
    """`semantic_dim`, which a system need not set in two cases.

    Without x_T it is `latent_dim`; with `semantic_parts` it is counted.
    """
    capabilities, latent_dim = fields["capabilities"], fields["latent_dim"]
    if not {base.SEMANTIC, base.SAMPLE_LATENTS} & capabilities:
        return 0
    count = parts.numbers(made_of) or fields["semantic_dim"]
    if not count and base.STOCHASTIC not in capabilities:
        return latent_dim
    if not 1 <= count <= latent_dim:
        raise UserError(f"semantic_dim must be from 1 to latent_dim {latent_dim}, not {count}")
    return count


def kind(value: object) -> str:
    """The type of a value, for a message."""
    return "None" if value is None else type(value).__name__
