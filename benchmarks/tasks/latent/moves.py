"""Codes that are moved, and what is decoded from them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.images import Selection, preview, semantic_of
from benchmarks.core.job import NO_CALLS
from benchmarks.metrics import latent
from benchmarks.plugin import Arrays, Calls, Job, Place, Variant
from benchmarks.systems.protocol import parts
from benchmarks.systems.protocol.base import Code, has_own, parts_of
from benchmarks.systems.protocol.parts import Semantic
from diffae.diffusion import noise

PREVIEW = 6

UNMOVED = "as encoded"


@dataclass(frozen=True)
class Move:
    """A change of the codes of images.

    moved     from positions, the codes of these images and the arrays of `takes` to the moved codes
    takes     the codes of training images, if it needs them; of moves that are decoded together all do or none
    calls     of networks, for one code
    refused   why these codes cannot be moved so; "" if they can
    directed  whether it needs directions of codes, which a code of norm 0 has not
    """

    moved: Callable[..., Semantic]
    takes: Sequence[Job] = ()
    calls: Calls = NO_CALLS
    refused: str = ""
    directed: bool = False


@dataclass(frozen=True)
class MovedCodes:
    """The semantic codes of images and of training images, and how they are moved.

    `of_images` are those of `images`, and maybe of more.
    """

    variant: Variant
    images: Selection
    training: Selection
    of_images: Job
    of_training: Job

    @classmethod
    def of(cls, variant: Variant, images: Selection, training: Selection) -> "MovedCodes":
        semantic = partial(variant.context.codes.semantic, variant.system)
        return cls(variant, images, training, semantic(images), semantic(training))

    def first(self, count: int) -> "MovedCodes":
        """The same of the first images."""
        return replace(self, images=replace(self.images, order=self.images.order[:count]))

    def unmoved(self) -> Move:
        return Move(lambda positions, codes: codes)

    def halfway(self, spherical: bool) -> Move:
        """To the middle between each code and one of its nearest among those of training images."""

        def middles(positions: np.ndarray, codes: Tensor, training: Tensor) -> Tensor:
            candidates = training[latent.nearest(codes, training, spherical)]
            u = [source.random() for source in self._sources("latent neighbour", positions)]
            other = latent.drawn(codes, candidates, torch.tensor(u))
            return latent.halfway(codes, other, spherical)

        least = latent.CANDIDATES
        return self._by_training(middles, least, f", iFID needs {least} candidates", spherical)

    def noised(self, level: float) -> Move:
        """With normal noise of `level` times the standard deviation of each number."""

        def noisy(positions: np.ndarray, codes: Tensor, training: Tensor) -> Tensor:
            indices = self.images.order[positions].tolist()
            seed = self.variant.context.seed
            eps = noise.normal(seed, "latent noise", indices, codes.shape[1:])
            return codes + level * training.std(0) * eps

        return self._by_training(noisy)

    def rounded(self, bits: int) -> Move:
        """With 2^bits values for each number."""

        def coarse(_: np.ndarray, codes: Tensor, training: Tensor) -> Tensor:
            return latent.quantised(codes, training.mean(0), training.std(0), bits)

        return self._by_training(coarse)

    def _by_training(
        self,
        change: Callable[[np.ndarray, Tensor, Tensor], Tensor],
        least: int = 2,
        why: str = ": a deviation needs two",
        directed: bool = False,
    ) -> Move:
        """A `change` of codes as vectors of numbers, N x d, that depends on those of training images, M x d;
        `why` says what it needs `least` so many of these for.
        """

        def moved(positions: np.ndarray, codes: Semantic, training: Arrays) -> Semantic:
            others = parts.flat(semantic_of(training))
            return parts.shaped(change(positions, parts.flat(codes), others), codes)

        refused, count = "", len(self.training)
        if parts.has_tokens(parts_of(self.variant.system)):
            refused = parts.NOTHING_BETWEEN
        elif count < least:
            refused = f"{count} training images{why}"
        return Move(moved, [self.of_training], refused=refused, directed=directed)

    def perturbed(self, share: float, neighbours: int) -> Move:
        """With a `share` of the tokens replaced by one of the codes nearest to the encoder's output."""
        system, sizes = self.variant.system, list(self.variant.system.codebooks.values())
        refused = ""
        if not sizes:
            refused = "its code has no tokens"
        elif not has_own(system, "encode_ranked"):
            refused = "pFID is defined for one codebook whose nearest codes are known"
        elif neighbours > sizes[0]:
            refused = f"the codebook has {sizes[0]} codes"

        def moved(positions: np.ndarray, codes: Semantic) -> Semantic:
            (tokens,) = system.tokens(Code(codes))
            shape, ranks = tuple(tokens.shape[1:]), []
            for source in self._sources("latent tokens", positions):
                replaced = source.random(shape) < share
                ranks.append(np.where(replaced, source.integers(neighbours, size=shape), 0))
            seen = self.images.seen_by(system).batch(positions)
            return system.encode_ranked(seen, torch.from_numpy(np.stack(ranks)))

        return Move(moved, calls=Calls(encoder=1), refused=refused)

    def _sources(self, purpose: str, positions: np.ndarray) -> Iterator[np.random.Generator]:
        """The random numbers of each image."""
        for index in self.images.order[positions]:
            yield noise.generator(self.variant.context.seed, purpose, int(index))


def _without_direction(codes: Sequence[Arrays]) -> str:
    norms = torch.cat([parts.flat(semantic_of(arrays)).norm(dim=1) for arrays in codes])
    nothing = int((norms == 0).sum())
    return f"{nothing} codes have norm 0, and so no direction" if nothing else ""


@dataclass(frozen=True)
class MovedImages:
    """What is decoded from codes after each of some moves, by name.

    Each image has the x_T of its index. `score` takes the images of moved codes and those of the codes as
    they are; the fields of `place` are all that it depends on. `scoring` are its calls.
    """

    place: Place
    codes: MovedCodes
    moves: Mapping[str, Move]
    score: Callable[[Tensor, Tensor], Arrays]
    scoring: Calls

    @cached_property
    def possible(self) -> dict[str, Move]:
        """The moves that are possible with these codes."""
        return {name: move for name, move in self.moves.items() if not move.refused}

    @property
    def jobs(self) -> list[Job]:
        """The jobs whose arrays `by_move` and `draw` take; none if no move is possible.

        The first has the scores of images after each move: "MOVE SCORE", [N, ...]. "preview" has the first
        images, each followed by what is decoded from its code as it is and from the moved ones.
        """
        moves, codes = self.possible.values(), self.codes
        if not moves:
            return []
        decoding = codes.variant.decoding.times(len({UNMOVED, *self.possible}))
        calls = self.scoring.times(len(moves)) + decoding
        scored = self.place.job(
            "latent",
            f"{len(moves)} moves of codes",
            codes.images,
            self._compute,
            rows_of=[codes.of_images],
            takes=list(dict.fromkeys(job for move in moves for job in move.takes)),
            calls=sum((move.calls for move in moves), calls),
            moves=list(self.possible),
        )
        is_directed = any(move.directed for move in moves)
        return [scored, *([codes.of_images, codes.of_training] if is_directed else [])]

    def _compute(self, positions: np.ndarray, codes: Arrays, *training: Arrays) -> Arrays:
        semantic, arrays = semantic_of(codes), Arrays()
        images = {UNMOVED: self._decoded(positions, semantic)}
        for name, move in self.possible.items():
            if name != UNMOVED:
                moved = move.moved(positions, semantic, *training)
                images[name] = self._decoded(positions, moved)
            for metric, scores in self.score(images[name], images[UNMOVED]).items():
                arrays[f"{name} {metric}"] = scores
        rows = torch.stack([self.codes.images.batch(positions), *images.values()], 1)
        return arrays | {"preview": preview(positions, rows, PREVIEW)}

    def _decoded(self, positions: np.ndarray, codes: Semantic) -> Tensor:
        variant, indices = self.codes.variant, self.codes.images.order[positions].tolist()
        return variant.decode(variant.random(codes, indices))

    def by_move(self, place: Place, *arrays: Arrays) -> Iterator[tuple[str, Place, str]]:
        """The name and the place of each move, and why it has no numbers or "", from the arrays of `jobs`."""
        for name, move in self.moves.items():
            why = move.refused or (_without_direction(arrays[1:]) if move.directed else "")
            yield name, place.also(move=name).at(setting=name), why

    def draw(self, *arrays: Arrays) -> None:
        """Draw a sheet of the first images, from the arrays of `jobs`."""
        if arrays:
            self.place.draw(
                f"{self.place.table}-{{}}",
                "moved codes",
                torch.from_numpy(arrays[0]["preview"]).unbind(),
                columns=("input", UNMOVED, *(name for name in self.possible if name != UNMOVED)),
                caption="What is decoded from the codes of the first test images after each move.",
            )
