"""What VQ-VAE-2 and VQ-GAN have in common: codes are maps of code vectors, chosen from a codebook.

The semantic code is the vectors, N x C x h x w, which is what the papers count and what has directions; their numbers
in the codebook are `indices`. A code that was moved or interpolated is decoded as it is, without looking for the
nearest codes again: between two codes there would be steps, and a small edit would be none.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from benchmarks.systems.base import DECODE, ENCODE, SEMANTIC, System
from benchmarks.systems.parts import POOLED, Part
from diffae.errors import UserError

AS_GIVEN = {
    "decoded": "code vectors as given, not quantised again",
    "codes_chosen_in": "float32",  # whatever --precision says
}


class Quantised(System):
    """A system of maps of code vectors; `source` is where its weights are from, for messages."""

    capabilities = frozenset({ENCODE, DECODE, SEMANTIC})
    stride: int
    source: Path

    def describe(self) -> Mapping[str, Any]:
        return AS_GIVEN

    def _fits(self, images: Tensor) -> Tensor:
        """The images. Raises UserError if their sides are no multiples of the stride."""
        if any(side % self.stride for side in images.shape[2:]):
            sides = " x ".join(map(str, images.shape[2:]))
            raise UserError(
                f"{self.source}: takes images whose side is a multiple of {self.stride}, not {sides}"
            )
        return images


def map_of(width: int) -> Part:
    """A map of any size of code vectors, read by their mean."""
    return Part((width, None, None), reading=POOLED)
