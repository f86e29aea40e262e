"""Codes that were moved, and what is decoded from them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.context import Context
from benchmarks.core.selection import Selection
from benchmarks.core.store import Arrays
from benchmarks.metrics import latent
from benchmarks.runtime.errors import NotAvailable
from benchmarks.systems.protocol import parts
from benchmarks.systems.protocol.base import Code, System, has_own
from benchmarks.systems.protocol.parts import Semantic
from benchmarks.tasks.shared.samples import decode_latents
from diffae.diffusion import noise

PREVIEW = 6

# Positions in the selection -> the codes of these images.
Move = Callable[[np.ndarray], Semantic]


@dataclass(frozen=True)
class Codes:
    """The semantic codes of images and of training images, and how they are moved.

    `of_images` and `of_training` belong to `images` and `training`. A code that cannot be moved in
    a way raises NotAvailable with the reason.
    """

    context: Context
    system: System
    images: Selection
    training: Selection
    of_images: Semantic = field(repr=False)
    of_training: Semantic = field(repr=False)

    @classmethod
    def of(
        cls, context: Context, system: System, images: Selection, training: Selection
    ) -> "Codes":
        found = (context.codes.semantic(system, one) for one in (images, training))
        return cls(context, system, images, training, *found)

    def first(self, count: int) -> "Codes":
        """The same of the first images."""
        return replace(self, images=replace(self.images, order=self.images.order[:count]))

    def unmoved(self, positions: np.ndarray) -> Semantic:
        return parts.index(self.of_images, positions)

    def halfway(self, spherical: bool) -> Move:
        """To the middle between each code and one of its nearest among those of training images."""
        codes, training = self._numbers, self._training_numbers
        if len(training) < latent.CANDIDATES:
            raise NotAvailable(
                f"{len(training)} training images, iFID needs {latent.CANDIDATES} candidates"
            )
        nothing = sum(
            int((norms == 0).sum()) for norms in (codes.norm(dim=1), training.norm(dim=1))
        )
        if spherical and nothing:
            raise NotAvailable(f"{nothing} codes have norm 0, and so no direction")
        nearest = latent.nearest(codes, training, spherical)

        def moved(positions: np.ndarray) -> Semantic:
            own = codes[positions]
            other = latent.drawn(own, training[nearest[positions]], self._uniform(positions))
            middle = latent.halfway(own, other, spherical)
            return parts.shaped(middle, self.unmoved(positions))

        return moved

    def noised(self, level: float) -> Move:
        """With normal noise of `level` times the standard deviation of each number."""
        codes, (_, deviation) = self._numbers, self._moments

        def moved(positions: np.ndarray) -> Semantic:
            indices = self.images.order[positions].tolist()
            eps = noise.normal(self.context.seed, "latent noise", indices, codes.shape[1:])
            found = codes[positions] + level * deviation * eps
            return parts.shaped(found, self.unmoved(positions))

        return moved

    def rounded(self, bits: int) -> Move:
        """With 2^bits values for each number."""
        codes, moments = self._numbers, self._moments

        def moved(positions: np.ndarray) -> Semantic:
            found = latent.quantised(codes[positions], *moments, bits)
            return parts.shaped(found, self.unmoved(positions))

        return moved

    def perturbed(self, share: float, neighbours: int) -> Move:
        """With a `share` of the tokens replaced by one of the codes nearest to the encoder's output."""
        if not self.system.codebooks:
            raise NotAvailable("its code has no tokens")
        if not has_own(self.system, "encode_ranked"):
            raise NotAvailable("pFID is defined for one codebook whose nearest codes are known")
        (size,) = self.system.codebooks.values()
        if neighbours > size:
            raise NotAvailable(f"the codebook has {size} codes")
        seen = self.images.seen_by(self.system)

        def moved(positions: np.ndarray) -> Semantic:
            (tokens,) = self.system.tokens(Code(self.unmoved(positions)))
            ranks = [
                self._ranks(int(index), tokens.shape[1:], share, neighbours)
                for index in self.images.order[positions]
            ]
            return self.system.encode_ranked(seen.batch(positions), torch.stack(ranks))

        return moved

    def _ranks(self, index: int, shape: Sequence[int], share: float, neighbours: int) -> Tensor:
        source = noise.generator(self.context.seed, "latent tokens", index)
        replaced = source.random(tuple(shape)) < share
        return torch.from_numpy(np.where(replaced, source.integers(neighbours, size=shape), 0))

    def _uniform(self, positions: np.ndarray) -> Tensor:
        draws = [
            noise.generator(self.context.seed, "latent neighbour", int(index)).random()
            for index in self.images.order[positions]
        ]
        return torch.tensor(draws)

    @cached_property
    def _numbers(self) -> Tensor:
        return parts.flat(self.of_images)

    @cached_property
    def _training_numbers(self) -> Tensor:
        return parts.flat(self.of_training)

    @cached_property
    def _moments(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each number over the training images."""
        training = self._training_numbers
        if len(training) < 2:
            raise NotAvailable(f"{len(training)} training images: a deviation needs two")
        return training.mean(0), training.std(0)


def decoded(
    codes: Codes,
    moves: Mapping[str, Move],
    steps: int | None,
    score: Callable[[Tensor, Tensor], Arrays],
    described: Mapping[str, Any],
) -> Arrays:
    """The scores of what is decoded from the codes after each of `moves`: "MOVE SCORE", [N, ...].

    Each image has the x_T of its index. `score` takes the images of moved codes and those of the
    codes as they are; `described` is what moves and scores depend on. "preview" has the first
    images, each followed by what is decoded from its code as it is and from the moved ones.
    """
    context, system, images = codes.context, codes.system, codes.images
    key = context.codes.key("latent", system, images) | {
        "training": codes.training.key | {"n": len(codes.training)},
        "moves": list(moves),
        "steps": steps,
        "seed": context.seed,
        **described,
    }

    def compute(positions: np.ndarray) -> Arrays:
        indices = images.order[positions].tolist()

        def made(move: Move) -> Tensor:
            return decode_latents(context, system, move(positions), indices, steps)

        unmoved = made(codes.unmoved)
        found: Arrays = {}
        rows = [images.batch(positions), unmoved]
        for name, move in moves.items():
            if move != codes.unmoved:
                rows.append(made(move))
            scores = score(unmoved if move == codes.unmoved else rows[-1], unmoved)
            found |= {f"{name} {of}": values for of, values in scores.items()}
        first = PREVIEW if positions[0] == 0 else 0
        return found | {"preview": torch.stack(rows, 1)[:first].numpy()}

    return context.store.arrays(key, len(images), compute)
