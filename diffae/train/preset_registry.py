"""Parts of the harness that a training uses: presets of other systems, options of an evaluation.

This package does not import the harness (`benchmarks`): an entry is "module:attribute", imported
when it is needed. Command, data, state and resume are the same for these presets as for DiffAE's
and DDIM's.
"""

from pathlib import Path
from pkgutil import resolve_name
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from diffae.system.cli import did_you_mean
from diffae.system.errors import UserError
from diffae.train.images import Source
from diffae.train.presets import PRESETS, Preset
from diffae.train.types import Outcome, Run


class OtherPreset(Protocol):
    """A preset of another system; see `presets.Preset` for what the fields mean."""

    settable: ClassVar[tuple[str, ...]]
    optional: ClassVar[tuple[str, ...]]

    @property
    def name(self) -> str: ...
    @property
    def image_size(self) -> int: ...
    @property
    def portraits(self) -> int: ...
    @property
    def data_hint(self) -> str: ...
    @property
    def split(self) -> str: ...
    @property
    def expect(self) -> str: ...
    @property
    def decides(self) -> dict[str, Any]: ...

    def without(self, stage: str) -> "OtherPreset": ...

    def sized(self, count: int) -> "OtherPreset": ...

    def train(
        self, images: np.ndarray | Source, out: Path, run: Run, device: str
    ) -> dict[str, Outcome]: ...


AnyPreset = Preset | OtherPreset


class RegisteredPreset(NamedTuple):
    """The location of a preset ("module:attribute") and its one-line description."""

    target: str
    line: str


OTHER_PRESETS: dict[str, RegisteredPreset] = {
    "nvae-portraits": RegisteredPreset(
        "benchmarks.systems.nvae.training:PRESET",
        "the packaged NVAE: five groups at two scales, 32 px",
    ),
    "d2c-portraits": RegisteredPreset(
        "benchmarks.systems.d2c.training:PRESET",
        "the packaged D2C: codes of 8 x 8 x 8 and their DDIM, 32 px",
    ),
    "vqvae2-portraits": RegisteredPreset(
        "benchmarks.systems.vqvae2.training:PRESET",
        "the packaged VQ-VAE-2: maps of 4 x 4 and 8 x 8 codes, 32 px",
    ),
    "vqgan-portraits": RegisteredPreset(
        "benchmarks.systems.vqgan.training:PRESET",
        "the packaged VQ-GAN: a map of 8 x 8 codes, 32 px",
    ),
    "stylegan2-portraits": RegisteredPreset(
        "benchmarks.systems.stylegan2.training:PRESET",
        "the packaged StyleGAN2, for W and W+: 512 numbers in w, 32 px",
    ),
}


# Parses the words after `python -m benchmarks.run`; raises UserError where it refuses them.
EVALUATION_OPTIONS = "benchmarks.commands.options:parse"


def find_preset(name: str) -> AnyPreset:
    """The preset of that name. Raises UserError, with the nearest name, if there is none."""
    if name in PRESETS:
        return PRESETS[name]
    if name not in OTHER_PRESETS:
        raise UserError(f"unknown preset {name!r}{did_you_mean(name, [*PRESETS, *OTHER_PRESETS])}")
    found: OtherPreset = resolve_name(OTHER_PRESETS[name].target)
    return found
