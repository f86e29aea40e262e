"""The fields of a system, read once and checked.

No field of a system reaches a table, a file's name or the store before it has been checked here.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from benchmarks.runtime.errors import SystemFailed
from benchmarks.systems.protocol import base, parts
from benchmarks.systems.protocol.base import IN_WORDS, System
from benchmarks.systems.protocol.parts import Part
from diffae.checkpoints.trained_on import TrainedOn
from diffae.diffusion.scheme import Scheme
from diffae.system.cli import did_you_mean

LONGEST = 200  # characters of a title or a fingerprint
LARGEST = 2**31  # numbers in a code, pixels of a side: larger values are mistakes

# For each capability, the methods of which a system must override at least one. A capability that is not listed needs the
# method of its own name.
METHODS = {
    base.ENCODE: ("encode", "encode_semantic", "encode_stochastic"),
    base.SEMANTIC: ("encode_semantic", "codes_of"),
    base.STOCHASTIC: ("encode_stochastic", "encode"),
    base.SAMPLE: ("sample", "sample_latents"),
}


def is_line(text: object) -> bool:
    """Whether a value can be a title or a fingerprint: one printable line, not empty and not too long."""
    if not isinstance(text, str):
        return False
    return bool(text.strip()) and text.isprintable() and len(text) <= LONGEST


def _is_number(value: object, least: float) -> bool:
    number = isinstance(value, int | float | np.integer) and not isinstance(value, bool)
    return number and least <= value < LARGEST  # type: ignore[operator]


class Rule(NamedTuple):
    """A rule for a field: a check of its value, the requirement in words, and whether it may be None."""

    holds: Callable[[Any], bool]
    words: str
    or_none: bool = False


def _whole(least: int, or_none: bool = False) -> Rule:
    words = f"a whole number from {least}"
    return Rule(lambda x: not isinstance(x, float) and _is_number(x, least), words, or_none)


def _of_class(wanted: type, words: str) -> Rule:
    return Rule(lambda value: isinstance(value, wanted), words, or_none=True)


def _are_parts(value: Any) -> bool:
    several = isinstance(value, tuple | list) and len(value) > 0
    return several and all(isinstance(one, Part) for one in value)


def _is_range(value: Any) -> bool:
    pair = isinstance(value, tuple | list) and len(value) == 2
    return pair and all(_is_number(one, -LARGEST) for one in value) and value[0] < value[1]


def _are_lengths(value: Any) -> bool:
    several = isinstance(value, tuple | list) and len(value) > 0
    whole = several and all(_whole(1).holds(one) for one in value)
    return whole and all(a < b for a, b in pairwise(value))


LINE = Rule(is_line, f"one printable line of 1 to {LONGEST} characters")
RANGE = Rule(_is_range, "two numbers, the lowest and the highest value of an image", or_none=True)
FLAG = Rule(lambda value: isinstance(value, bool), "True or False")
FLAGS = ("iterative", "computes_in_float64", "reference", "random", "learns_from_data")
RULES = {
    "capabilities": Rule(lambda x: isinstance(x, frozenset | set | list | tuple), "a set of words"),
    "title": LINE,
    "fingerprint": Rule(is_line, f"{LINE.words}, such as the SHA-256 of the file of its weights"),
    "latent_dim": _whole(1),
    "semantic_dim": _whole(0),
    **dict.fromkeys(FLAGS, FLAG),
    "image_size": _whole(1, or_none=True),
    "stride": _whole(1, or_none=True),
    "semantic_parts": Rule(_are_parts, "a tuple of one Part or more", or_none=True),
    "code_bits": Rule(lambda value: value != 0 and _is_number(value, 0), "a positive number", True),
    "lengths": Rule(_are_lengths, "ascending whole numbers from 1", or_none=True),
    "range": RANGE,
    "trained_on": _of_class(TrainedOn, "a diffae.checkpoints.trained_on.TrainedOn"),
    "solver": _of_class(Scheme, "a diffae.diffusion.scheme.Scheme"),
    "live": _of_class(nn.Module, "a torch.nn.Module"),
}


def read_fields(system: System, name: str) -> dict[str, Any]:
    """The fields of `system` by name, checked; `System` explains them.

    Raises SystemFailed, naming the field, if one is missing, of a wrong type, or contradicts
    another.
    """
    wrong = partial(SystemFailed.at, name)
    found: dict[str, Any] = {}
    for field, rule in RULES.items():
        if not hasattr(system, field):
            raise wrong(field, f"is missing; set it to {rule.words}")
        found[field] = value = getattr(system, field)
        if not (value is None and rule.or_none) and not rule.holds(value):
            or_none = " or None" if rule.or_none else ""
            raise wrong(field, f"must be {rule.words}{or_none}, not {brief(value)}")
        if isinstance(value, np.integer):
            found[field] = int(value)
    found["capabilities"] = _capabilities(system, found["capabilities"], wrong)
    if found["semantic_parts"] is not None:
        found["semantic_parts"] = tuple(found["semantic_parts"])
        if found["code_bits"] is None:
            found["code_bits"] = parts.bits(found["semantic_parts"])
    draws = base.STOCHASTIC in found["capabilities"] and not _overrides(system, "random_x_T")
    if found["image_size"] is None and draws:
        raise wrong("image_size", "must be a whole number if x_T is drawn at random, not None")
    found["semantic_dim"] = _semantic_dim(found, wrong)
    if found["lengths"] is not None:
        found["lengths"] = _lengths(system, found, wrong)
    if found["range"] is not None:
        found["range"] = (float(found["range"][0]), float(found["range"][1]))
    value = system.describe()
    if not isinstance(value, Mapping) or not all(
        isinstance(k, str) and isinstance(v, str | int | float | None) for k, v in value.items()
    ):
        raise wrong("describe", "must return texts and numbers by name")
    return found | {"describe": dict(value)}


Wrong = Callable[[str, str], SystemFailed]


def _capabilities(system: System, value: Iterable[Any], wrong: Wrong) -> frozenset[str]:
    """The capabilities: known words, each with its method."""
    for word in value:
        if not isinstance(word, str) or word not in IN_WORDS:
            hint = did_you_mean(str(word)[:LONGEST], IN_WORDS)
            raise wrong("capabilities", f"unknown: {brief(word)}{hint}")
    if not value:
        raise wrong("capabilities", f"must not be empty; there are: {', '.join(IN_WORDS)}")
    for word in sorted(value):
        methods = METHODS.get(word, (word,))
        if not any(_overrides(system, method) for method in methods):
            reason = f"{word!r} is claimed, but there is no method {' or '.join(methods)}"
            raise wrong("capabilities", reason)
    return frozenset(value)


def _semantic_dim(found: Mapping[str, Any], wrong: Wrong) -> int:
    """`semantic_dim`, which a system need not set in two cases.

    Without x_T it is `latent_dim`; with `semantic_parts` it is counted.
    """
    capabilities, latent_dim = found["capabilities"], found["latent_dim"]
    counted = parts.numbers(found["semantic_parts"] or ())
    count = counted or found["semantic_dim"]
    if found["semantic_dim"] not in (0, count):
        said = found["semantic_dim"]
        raise wrong("semantic_dim", f"is {said}, but semantic_parts have {counted}")
    if not {base.SEMANTIC, base.SAMPLE_LATENTS} & capabilities:
        return 0
    if not count and base.STOCHASTIC not in capabilities:
        return latent_dim
    if not 1 <= count <= latent_dim:
        raise wrong("semantic_dim", f"must be from 1 to latent_dim {latent_dim}, not {count}")
    return count


def _lengths(system: System, found: Mapping[str, Any], wrong: Wrong) -> tuple[int, ...]:
    """`lengths`, none of which is more than the code has."""
    of_vector = (Part((found["semantic_dim"],)),) if found["semantic_dim"] else ()
    most = parts.length(found["semantic_parts"] or of_vector)
    if most is None:
        raise wrong("lengths", "are of a semantic code that is one tensor of a known length")
    if found["lengths"][-1] > most:
        raise wrong(
            "lengths", f"must be at most {most}, as long as the code is, not {found['lengths'][-1]}"
        )
    if not takes_keep(system.decode):
        raise wrong("lengths", "need a method decode(code, steps, keep)")
    return tuple(map(int, found["lengths"]))


def takes_keep(decode: Callable[..., object]) -> bool:
    """Whether a `decode` can be told how much of a code to decode; not if it has no signature."""
    try:
        return "keep" in inspect.signature(decode).parameters
    except ValueError:  # of TorchScript
        return False


def _overrides(system: System, method: str) -> bool:
    return getattr(type(system), method, None) is not getattr(System, method)


def kind(value: object) -> str:
    """The type of a value, for a message."""
    return "None" if value is None else type(value).__name__


def brief(value: object) -> str:
    """A value in short form on one line."""
    text = ascii(value) if isinstance(value, str | int | float | bool | None) else kind(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
