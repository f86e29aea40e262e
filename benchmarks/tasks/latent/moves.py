"""Codes that were moved, and what is decoded from them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.images import Selection, preview
from benchmarks.metrics import latent
from benchmarks.plugin import Arrays, Cell, Computation, NotAvailable, Solved
from benchmarks.systems.protocol import parts
from benchmarks.systems.protocol.base import Code, has_own, parts_of
from benchmarks.systems.protocol.parts import Semantic, tensors
from diffae.diffusion import noise

PREVIEW = 6

UNMOVED = "as encoded"

# Positions in the selection -> the codes of these images.
Move = Callable[[np.ndarray], Semantic]
Score = Callable[[Tensor, Tensor], Arrays]


@dataclass(frozen=True)
class Codes:
    """The semantic codes of images and of training images, and how they are moved.

    `of_images` and `of_training` belong to `images` and `training`. A code that cannot be moved in
    a way raises NotAvailable with the reason.
    """

    at: Solved
    images: Selection
    training: Selection
    of_images: Semantic = field(repr=False)
    of_training: Semantic = field(repr=False)

    @classmethod
    def of(cls, at: Solved, images: Selection, training: Selection) -> "Codes":
        of_images, of_training = (
            at.context.codes.semantic(at.system, s) for s in (images, training)
        )
        return cls(at, images, training, of_images, of_training)

    def first(self, count: int) -> "Codes":
        """The same of the first images."""
        return replace(self, images=replace(self.images, order=self.images.order[:count]))

    def unmoved(self, positions: np.ndarray) -> Semantic:
        return parts.index(self.of_images, positions)

    def halfway(self, spherical: bool) -> Move:
        """To the middle between each code and one of its nearest among those of training images."""
        self._need(latent.CANDIDATES, f", iFID needs {latent.CANDIDATES} candidates")
        nearest, nothing = self._neighbours(spherical)
        if spherical and nothing:
            raise NotAvailable(f"{nothing} codes have norm 0, and so no direction")

        def moved(codes: Tensor, positions: np.ndarray) -> Tensor:
            near = nearest[positions]
            candidates = parts.flat(parts.index(self.of_training, near.flatten()))
            candidates = candidates.reshape(*near.shape, -1)
            u = [source.random() for source in self._sources("latent neighbour", positions)]
            other = latent.drawn(codes, candidates, torch.tensor(u))
            return latent.halfway(codes, other, spherical)

        return self._of_numbers(moved)

    def noised(self, level: float) -> Move:
        """With normal noise of `level` times the standard deviation of each number."""
        _, deviation = self._moments()

        def moved(codes: Tensor, positions: np.ndarray) -> Tensor:
            indices = self.images.order[positions].tolist()
            eps = noise.normal(self.at.context.seed, "latent noise", indices, codes.shape[1:])
            return codes + level * deviation * eps

        return self._of_numbers(moved)

    def rounded(self, bits: int) -> Move:
        """With 2^bits values for each number."""
        moments = self._moments()
        return self._of_numbers(lambda codes, _: latent.quantised(codes, *moments, bits))

    def _of_numbers(self, moved: Callable[[Tensor, np.ndarray], Tensor]) -> Move:
        """A move of codes as vectors of numbers, N x d at these positions."""

        def move(positions: np.ndarray) -> Semantic:
            codes = self.unmoved(positions)
            return parts.shaped(moved(parts.flat(codes), positions), codes)

        return move

    def perturbed(self, share: float, neighbours: int) -> Move:
        """With a `share` of the tokens replaced by one of the codes nearest to the encoder's output."""
        if not self.at.system.codebooks:
            raise NotAvailable("its code has no tokens")
        if not has_own(self.at.system, "encode_ranked"):
            raise NotAvailable("pFID is defined for one codebook whose nearest codes are known")
        (size,) = self.at.system.codebooks.values()
        if neighbours > size:
            raise NotAvailable(f"the codebook has {size} codes")
        seen = self.images.seen_by(self.at.system)

        def moved(positions: np.ndarray) -> Semantic:
            (tokens,) = self.at.system.tokens(Code(self.unmoved(positions)))
            shape, ranks = tuple(tokens.shape[1:]), []
            for source in self._sources("latent tokens", positions):
                replaced = source.random(shape) < share
                ranks.append(np.where(replaced, source.integers(neighbours, size=shape), 0))
            chosen = torch.from_numpy(np.stack(ranks))
            return self.at.system.encode_ranked(seen.batch(positions), chosen)

        return moved

    def _sources(self, purpose: str, positions: np.ndarray) -> Iterator[np.random.Generator]:
        """The random numbers of each image."""
        for index in self.images.order[positions]:
            yield noise.generator(self.at.context.seed, purpose, int(index))

    def _need(self, training: int, what_for: str) -> None:
        if parts.has_tokens(parts_of(self.at.system)):
            raise NotAvailable(parts.NOTHING_BETWEEN)
        if len(self.training) < training:
            raise NotAvailable(f"{len(self.training)} training images{what_for}")

    def _neighbours(self, spherical: bool) -> tuple[Tensor, int]:
        """The nearest training codes of each code, N x k, and how many codes have norm 0."""
        count, candidates = len(tensors(self.of_images)[0]), latent.CANDIDATES

        def compute() -> Arrays:
            codes, training = parts.flat(self.of_images), parts.flat(self.of_training)
            nothing = sum(int((vectors.norm(dim=1) == 0).sum()) for vectors in (codes, training))
            nearest = latent.nearest(codes, training, spherical).numpy()
            return {"nearest": nearest, "nothing": np.array(nothing)}

        unfitted = {"nearest": np.zeros((count, candidates), np.int64), "nothing": np.array(0)}
        arrays = self._once("latent neighbours", compute, unfitted, n=count, spherical=spherical)
        return torch.from_numpy(arrays["nearest"]), int(arrays["nothing"])

    def _moments(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each number over the training images."""
        self._need(2, ": a deviation needs two")

        def compute() -> Arrays:
            training = parts.flat(self.of_training)
            return {"mean": training.mean(0).numpy(), "deviation": training.std(0).numpy()}

        code = parts.flat(parts.index(self.of_training, slice(0, 1)))[0].numpy()
        arrays = self._once("latent moments", compute, {"mean": code, "deviation": code})
        return torch.from_numpy(arrays["mean"]), torch.from_numpy(arrays["deviation"])

    def _once(self, work: str, compute: Callable[[], Arrays], none: Arrays, **more: Any) -> Arrays:
        """What all codes together decide, from the store; a dry run, which computes none, takes `none`."""
        key = self.at.context.codes.key(work, self.at.system, self.images) | more
        key |= {"training": self.training.key | {"n": len(self.training)}}
        return self.at.context.store.once(key, compute, lambda: none)


def decoded(
    cell: Cell, codes: Codes, moves: Mapping[str, Move], score: Score, **more: Any
) -> Computation:
    """The scores of what is decoded from the codes after each of `moves`: "MOVE SCORE", [N, ...].

    Each image has the x_T of its index. `score` takes the images of moved codes and those of the
    codes as they are; `more` is what it depends on beyond the fields of the cell. "preview" has the
    first images, each followed by what is decoded from its code as it is and from the moved ones.
    """
    at, images = codes.at, codes.images

    def compute(positions: np.ndarray) -> Arrays:
        indices = images.order[positions].tolist()

        def made(moved: Semantic) -> Tensor:
            return at.decode(at.random(moved, indices))

        unmoved = made(codes.unmoved(positions))
        arrays: Arrays = {}
        rows = [images.batch(positions), unmoved]
        for name, move in moves.items():
            if name != UNMOVED:
                rows.append(made(move(positions)))
            scores = score(unmoved if name == UNMOVED else rows[-1], unmoved)
            arrays |= {f"{name} {score}": values for score, values in scores.items()}
        return arrays | {"preview": preview(positions, torch.stack(rows, 1), PREVIEW)}

    training = codes.training.key | {"n": len(codes.training)}
    given = {"training_images": training, "moves": list(moves), **more}
    title = f"{len(moves)} moves of codes"
    return cell.computation("latent", title, images, compute, **given)
