"""Common base of systems whose codes are maps: VQ-VAE-2, VQ-GAN, NVAE and the models of diffusers.

A quantised code is here the code vectors, N x C x h x w, which papers count and which have
directions; `indices` are their indices in the codebook. A code that was edited or interpolated is
decoded as it is, not quantised again: otherwise an interpolation would have steps, and a small edit
no effect.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from benchmarks.runtime.precision import full_precision
from benchmarks.systems.protocol.base import Code, Description, System, needed
from benchmarks.systems.protocol.parts import Part, Semantic, tensors
from benchmarks.systems.shared import codebook

AS_GIVEN = {
    "decoded": "code vectors as given, not quantised again",
    "codes_chosen_in": "float32",  # whatever --precision says
}
MOST_READ = 4096  # numbers of a map that a probe reads


class Maps(System):
    """A system whose code is maps.

    A probe reads a map as it is if it has at most `most_read` numbers. A larger map is averaged over
    a grid of equal cells: a linear classifier on 327,680 numbers cannot be fitted well, and the mean
    over all positions would lose where a feature is. An edit changes all positions of a cell alike.
    """

    capabilities = frozenset({"encode", "decode", "semantic"})
    stride: int
    most_read: int = MOST_READ

    def describe(self) -> Description:
        most = f"{self.most_read:,}"
        return {"read": f"means over as many equal cells as give no more than {most} numbers a map"}

    def read(self, semantic: Semantic) -> Tensor:
        means = [_cell_means(maps.float(), self.most_read) for maps in tensors(semantic)]
        return torch.cat(means, dim=1)

    def move(self, semantic: Semantic, delta: Tensor) -> Semantic:
        moved, start = [], 0
        for maps in tensors(semantic):
            cells, channels = cells_of(maps, self.most_read), maps.shape[1]
            of_maps = delta[:, start : start + channels * cells**2]
            of_cells = of_maps.reshape(-1, channels, cells, cells)
            moved.append(maps + _over_cells(of_cells, maps).to(maps))
            start += channels * cells**2
        return moved[0] if isinstance(semantic, Tensor) else tuple(moved)


class Quantised(Maps):
    """Maps of code vectors, chosen from a codebook"""

    def describe(self) -> Description:
        return {**super().describe(), **AS_GIVEN}


class OneCodebook(Maps):
    """One map of code vectors from one codebook: the quantiser of diffusers' VQModel, `model`"""

    model: Any
    device: torch.device

    @property
    def codebook(self) -> Tensor:
        """The code vectors: K x C."""
        return self.model.quantize.embedding.weight

    def indices(self, images: Tensor) -> Tensor:
        """Indices of the codes: N x h x w, int64."""
        with full_precision():  # lower precision chooses different codes
            return codebook.nearest(self._before(images), self.codebook)

    def _before(self, images: Tensor) -> Tensor:
        """The encoder's output, not yet quantised: N x C x h x w."""
        return self.model.encode(images.to(self.device, self.model.dtype)).latents

    def encode_ranked(self, images: Tensor, ranks: Tensor) -> Semantic:
        with full_precision():
            indices = codebook.of_rank(self._before(images), self.codebook, ranks.to(self.device))
        return codebook.look_up(indices, self.codebook).float()

    def decode_indices(self, indices: Tensor) -> Tensor:
        """Images from indices of codes."""
        return self.decode(Code(codebook.look_up(indices.to(self.device), self.codebook)))

    @property
    def codebooks(self) -> Mapping[str, int]:
        return {"codebook": len(self.codebook)}

    def tokens(self, code: Code) -> tuple[Tensor, ...]:
        vectors = needed(code.semantic, "map of code vectors").to(self.device)
        return (codebook.nearest(vectors, self.codebook),)

    def encode_semantic(self, images: Tensor) -> Tensor:
        return codebook.look_up(self.indices(images), self.codebook).float()


def map_of(width: int) -> Part:
    """The `Part` of a map of vectors of any size."""
    return Part((width, None, None))


def cells_of(maps: Tensor, most: int = MOST_READ) -> int:
    """Cells per side: the largest divisor of both sides with at most `most` numbers per map, or one."""
    channels, height, width = maps.shape[1:]
    whole = math.gcd(height, width)
    fit = [n for n in range(1, whole + 1) if whole % n == 0 and channels * n**2 <= most]
    return max(fit, default=1)


def _cell_means(maps: Tensor, most: int) -> Tensor:
    """The means over cells: N x C x h x w -> N x (C cells cells)."""
    cells = cells_of(maps, most)
    height, width = (side // cells for side in maps.shape[2:])
    return maps.unfold(2, height, height).unfold(3, width, width).mean((-2, -1)).flatten(1)


def _over_cells(cells: Tensor, maps: Tensor) -> Tensor:
    """Numbers of cells N x C x n x n, repeated over the positions of each cell of `maps`."""
    height, width = (side // cells.shape[2] for side in maps.shape[2:])
    return cells.repeat_interleave(height, 2).repeat_interleave(width, 3)
