"""What a system must say of itself, read once and checked.

Nothing that a system says reaches a table, a file's name or the store before it has been through here.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from benchmarks.runtime.errors import SystemFailed
from benchmarks.systems import parts
from benchmarks.systems.base import (
    ENCODE,
    IN_WORDS,
    SAMPLE,
    SAMPLE_LATENTS,
    SEMANTIC,
    STOCHASTIC,
    System,
)
from benchmarks.systems.parts import Part
from diffae.cli import did_you_mean
from diffae.sampling.scheme import Scheme
from diffae.trained_on import TrainedOn

LONGEST = 200  # characters of a title or a fingerprint
LARGEST = 2**31  # numbers in a code, pixels of a side: beyond, something else was meant
FLAGS = ("iterative", "computes_in_float64", "reference", "learns_from_data")

# The methods of which a system must have written one of its own to be capable of something: that of the same name, but for
METHODS = {
    ENCODE: ("encode", "encode_semantic", "encode_stochastic"),
    SEMANTIC: ("encode_semantic",),
    STOCHASTIC: ("encode_stochastic", "encode"),
    SAMPLE: ("sample", "sample_latents"),
}

# Fields that may be None, or are of a class of these, which a message names so.
OF_CLASS = {
    "trained_on": (TrainedOn, "diffae.trained_on.TrainedOn"),
    "solver": (Scheme, "diffae.sampling.scheme.Scheme"),
    "live": (nn.Module, "torch.nn.Module"),
}


def read_fields(system: System, name: str) -> dict[str, Any]:
    """The fields of `system` by name, checked; see `System` for what they mean. Raises SystemFailed, naming the field,
    where one is missing or of a wrong kind."""
    read = _Reader(system, name)
    capabilities = read.capabilities()
    latent_dim = read.whole("latent_dim", 1)
    semantic_parts = read.semantic_parts(capabilities)
    fields = {
        "capabilities": capabilities,
        "image_size": read.image_size(capabilities),
        "stride": None if system.stride is None else read.whole("stride", 1),
        "latent_dim": latent_dim,
        "semantic_dim": read.semantic_dim(capabilities, latent_dim, semantic_parts),
        "semantic_parts": semantic_parts,
        "code_bits": read.code_bits(semantic_parts),
        "describe": read.description(),
        **{field: read.text(field) for field in ("title", "fingerprint")},
        **{field: read.flag(field) for field in FLAGS},
        **{field: read.of_class(field) for field in OF_CLASS},
    }
    read.check_methods(capabilities)
    return fields


class _Reader:
    """Reads the fields of one system; every message names it and the field."""

    def __init__(self, system: System, name: str):
        self.system, self.name = system, name

    def get(self, field: str) -> Any:
        if not hasattr(self.system, field):
            raise self.wrong(field, "is missing")
        return getattr(self.system, field)

    def wrong(self, field: str, reason: str) -> SystemFailed:
        return SystemFailed.at(self.name, field, reason)

    def text(self, field: str) -> str:
        value = self.get(field)
        if not isinstance(value, str):
            raise self.wrong(field, f"must be text, not {kind(value)}")
        if not is_line(value):
            raise self.wrong(
                field,
                f"must be one printable line of 1 to {LONGEST} characters, not {brief(value)}",
            )
        return value

    def flag(self, field: str) -> bool:
        value = self.get(field)
        if not isinstance(value, bool):
            raise self.wrong(field, f"must be True or False, not {brief(value)}")
        return value

    def whole(self, field: str, least: int) -> int:
        value = self.get(field)
        if isinstance(value, np.integer):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value < LARGEST:
            raise self.wrong(field, f"must be a whole number from {least}, not {brief(value)}")
        return value

    def capabilities(self) -> frozenset[str]:
        """A set of known words; a list or tuple of them will do."""
        value = self.get("capabilities")
        if not isinstance(value, (frozenset, set, list, tuple)):
            raise self.wrong("capabilities", f"must be a set of words, not {kind(value)}")
        for word in value:
            if not isinstance(word, str) or word not in IN_WORDS:
                hint = did_you_mean(str(word)[:LONGEST], IN_WORDS)
                raise self.wrong("capabilities", f"unknown: {brief(word)}{hint}")
        if not value:
            raise self.wrong("capabilities", f"there are none; there are: {', '.join(IN_WORDS)}")
        return frozenset(value)

    def image_size(self, capabilities: frozenset[str]) -> int | None:
        if self.get("image_size") is not None:
            return self.whole("image_size", 1)
        if STOCHASTIC in capabilities and not self.overrides("random_x_T"):
            raise self.wrong(
                "image_size", "must be a whole number where x_T is drawn at random, not None"
            )
        return None

    def semantic_parts(self, capabilities: frozenset[str]) -> tuple[Part, ...] | None:
        value = self.get("semantic_parts")
        if value is None:
            return None
        if not isinstance(value, tuple | list) or not all(isinstance(p, Part) for p in value):
            raise self.wrong("semantic_parts", f"must be a tuple of Part, not {kind(value)}")
        if not value:
            raise self.wrong("semantic_parts", "there are none; None is a vector")
        if not {SEMANTIC, SAMPLE_LATENTS} & capabilities:
            raise self.wrong("semantic_parts", f"are given, but {SEMANTIC!r} is no capability")
        return tuple(value)

    def code_bits(self, semantic_parts: tuple[Part, ...] | None) -> float | None:
        """What the system says, or what its tokens have."""
        value = self.get("code_bits")
        if value is None:
            return parts.bits(semantic_parts) if semantic_parts else None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < LARGEST:
            raise self.wrong("code_bits", f"must be a positive number or None, not {brief(value)}")
        return float(value)

    def semantic_dim(
        self,
        capabilities: frozenset[str],
        latent_dim: int,
        semantic_parts: tuple[Part, ...] | None,
    ) -> int:
        """Without x_T the semantic part is the whole code, and need not be counted twice; nor need parts be."""
        count = self.whole("semantic_dim", 0)
        counted = parts.numbers(semantic_parts) if semantic_parts else None
        if counted is not None and count not in (0, counted):
            raise self.wrong("semantic_dim", f"is {count}, but semantic_parts have {counted}")
        count = counted or count
        if SEMANTIC not in capabilities:
            if count and SAMPLE_LATENTS not in capabilities:
                raise self.wrong("semantic_dim", f"is {count}, but {SEMANTIC!r} is no capability")
            if not count and SAMPLE_LATENTS in capabilities:
                raise self.wrong("semantic_dim", f"must say how large what is sampled is: {count}")
            return count
        if not count and STOCHASTIC not in capabilities:
            return latent_dim
        if STOCHASTIC not in capabilities and counted not in (None, latent_dim):
            raise self.wrong("latent_dim", f"is {latent_dim}, but semantic_parts have {counted}")
        if not 1 <= count <= latent_dim:
            raise self.wrong(
                "semantic_dim", f"must be from 1 to latent_dim {latent_dim}, not {count}"
            )
        return count

    def of_class(self, field: str) -> Any:
        value, (wanted, words) = self.get(field), OF_CLASS[field]
        if value is not None and not isinstance(value, wanted):
            raise self.wrong(field, f"must be a {words}, not {kind(value)}")
        return value

    def description(self) -> dict[str, Any]:
        """What `describe` says: plain values by name."""
        value = self.system.describe()
        plain = isinstance(value, Mapping) and all(
            isinstance(k, str) and isinstance(v, str | int | float | None) for k, v in value.items()
        )
        if not plain:
            raise self.wrong("describe", "must return texts and numbers by name")
        return dict(value)

    def check_methods(self, capabilities: frozenset[str]) -> None:
        for capability in sorted(capabilities):
            methods = METHODS.get(capability, (capability,))
            if not any(self.overrides(method) for method in methods):
                reason = f"{capability!r} is claimed, but there is no method {' or '.join(methods)}"
                raise self.wrong("capabilities", reason)

    def overrides(self, method: str) -> bool:
        return getattr(type(self.system), method, None) is not getattr(System, method)


def is_line(text: str) -> bool:
    """Whether a text can be a title or a fingerprint: one printable line that is neither empty nor too long."""
    return bool(text.strip()) and text.isprintable() and len(text) <= LONGEST


def kind(value: object) -> str:
    """What a value is, for a message."""
    return "None" if value is None else type(value).__name__


def brief(value: object) -> str:
    """A value itself, on one line and short."""
    text = ascii(value) if isinstance(value, str | int | float | bool | None) else kind(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
