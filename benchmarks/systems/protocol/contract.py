"""The fields of a system, read once and checked.

No field of a system reaches a table, a file's name or the store before it has been checked here.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, TypeGuard

from torch import nn

from benchmarks.systems.protocol import base, parts
from benchmarks.systems.protocol.base import HERE, IN_WORDS, System
from benchmarks.systems.protocol.parts import LARGEST, Part
from benchmarks.systems.protocol.source import source_digest, state_digest
from diffae.checkpoints.trained_on import TrainedOn
from diffae.diffusion.scheme import Scheme
from diffae.system.errors import UserError, shown, whole

LONGEST = 200  # characters of a title or a fingerprint

Fields = dict[str, Any]  # by name
Check = Callable[[Any, str], Any]  # takes a value and its field's name, returns the value to use


def _must_be(
    wanted: str, is_right: Callable[[Any], bool], use: Callable[[Any], Any] | None = None
) -> Check:
    """The check that a value is right, which is then made what `use` makes of it."""

    def check(value: Any, name: str) -> Any:
        if not is_right(value):
            raise UserError(f"{name} must be {wanted}, not {shown(value)}")
        return value if use is None else use(value)

    return check


def _must_be_a(wanted: type) -> Check:
    return _must_be(f"a {wanted.__name__}", lambda value: isinstance(value, wanted))


def _whole_from(least: int) -> Check:
    return lambda value, name: whole(value, name, least, LARGEST)


def is_line(text: object) -> TypeGuard[str]:
    """Whether a value can be a title or a fingerprint: one printable line, not empty and not too long."""
    return (
        isinstance(text, str) and bool(text.strip()) and text.isprintable() and len(text) <= LONGEST
    )


def _is_range(value: object) -> bool:
    if not isinstance(value, tuple | list) or len(value) != 2:
        return False
    if not all(isinstance(bound, int | float) for bound in value):
        return False
    low, high = value
    least = max(1e-30, abs(low) / 2**12, abs(high) / 2**12)  # float32 must tell 8-bit values apart
    return -LARGEST < low < high < LARGEST and high - low >= least


def _are_capabilities(value: Collection[str]) -> bool:
    return bool(value) and set(value) <= IN_WORDS.keys()


def _are_parts(value: Sequence[Part]) -> bool:
    return bool(value) and all(isinstance(part, Part) for part in value)


def _lengths(value: Iterable[int], name: str) -> tuple[int, ...]:
    return tuple(sorted(whole(length, name, 1, LARGEST) for length in value))


line = _must_be(f"one printable line of 1 to {LONGEST} characters", is_line)
range_of_images = _must_be(
    "two numbers, the lowest and the highest value of an image, not too close for float32",
    _is_range,
    lambda value: (float(value[0]), float(value[1])),
)
DESCRIPTION = _must_be(
    "texts and numbers by name",
    lambda values: all(isinstance(value, str | int | float | None) for value in values.values()),
)
# A field may also be None where that is its default.
CHECKS: dict[str, Check] = {
    "capabilities": _must_be(f"some of {', '.join(IN_WORDS)}", _are_capabilities, frozenset),
    **dict.fromkeys(("title", "fingerprint"), line),
    **dict.fromkeys(("latent_dim", "semantic_dim"), _whole_from(0)),
    **dict.fromkeys(("image_size", "stride"), _whole_from(1)),
    "semantic_parts": _must_be("a tuple of one Part or more", _are_parts, tuple),
    "code_bits": _must_be("a positive number", lambda value: 0 < float(value) < LARGEST),
    "lengths": _lengths,
    "range": range_of_images,
    **dict.fromkeys(("iterative", "computes_in_float64", "reference", "random"), _must_be_a(bool)),
    "trained_on": _must_be_a(TrainedOn),
    "solver": _must_be_a(Scheme),
    "live": _must_be_a(nn.Module),
}


def read_field(system: System, name: str) -> Any:
    """A field of `system`, checked. Raises UserError, naming it, if it is of a wrong type."""
    value = getattr(system, name)
    is_default = value is None and getattr(System, name, "") is None
    return None if is_default else CHECKS[name](value, name)


def read_fields(system: System) -> Fields:
    """The fields of `system` by name, checked; `System` explains them.

    Raises UserError, naming the field, if one is of a wrong type or contradicts another.
    """
    fields = {name: read_field(system, name) for name in CHECKS}
    made_of, side, stride = fields["semantic_parts"] or (), fields["image_size"], fields["stride"]
    if not fields["latent_dim"] and side and stride:
        made_of = tuple(part.at(side, side, stride) for part in made_of)
    fields |= _sizes(fields, parts.numbers(made_of) or fields["semantic_dim"])
    if fields["code_bits"] is None and made_of:
        fields["code_bits"] = parts.bits(made_of)
    if fields["lengths"]:
        most = parts.length(fields["semantic_parts"] or (Part((fields["semantic_dim"],)),))
        if most is None or fields["lengths"][-1] > most:
            reason = "a code that is one tensor and at least so long"
            raise UserError(f"lengths {fields['lengths']} need {reason}")
    fields["fingerprint"] += _suffix(system, fields)
    fields["description"] = DESCRIPTION(dict(system.describe()), "describe")
    return fields


def _suffix(system: System, fields: Fields) -> str:
    """What the outputs depend on beside the weights: the source, a live model's state, and the range."""
    suffix, live, own = source_digest(type(system)), fields["live"], fields["range"] or HERE
    if live is not None:
        suffix += source_digest(type(live)) + state_digest(live)
    return suffix if own == HERE else f"{suffix}-range-{own[0]:g}-{own[1]:g}"


def _sizes(fields: Fields, semantic_dim: int) -> Fields:
    """`latent_dim` and `semantic_dim`, each of which may follow from the other, or from the parts."""
    has_x_T = base.STOCHASTIC in fields["capabilities"]
    of_x_T = 3 * (fields["image_size"] or 0) ** 2 if has_x_T else 0
    latent_dim = fields["latent_dim"] or semantic_dim + of_x_T
    if not latent_dim:
        free = "if an axis of a Part is None, also image_size and stride"
        raise UserError(f"latent_dim is missing: set it, or semantic_parts ({free})")
    if not {base.SEMANTIC, base.SAMPLE_LATENTS} & fields["capabilities"]:
        return {"latent_dim": latent_dim, "semantic_dim": 0}
    if not semantic_dim and not has_x_T:
        semantic_dim = latent_dim
    if not 1 <= semantic_dim <= latent_dim:
        wanted = f"from 1 to latent_dim {latent_dim}"
        raise UserError(f"semantic_dim must be {wanted}, not {semantic_dim}")
    return {"latent_dim": latent_dim, "semantic_dim": semantic_dim}


def kind(value: object) -> str:
    """The type of a value, for a message."""
    return "None" if value is None else type(value).__name__
