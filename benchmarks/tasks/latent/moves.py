"""Codes that are moved, and what is decoded from them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.images import Selection, preview, semantic_of
from benchmarks.metrics import latent
from benchmarks.plugin import Arrays, Calls, Job, Place, Variant
from benchmarks.systems.protocol import parts
from benchmarks.systems.protocol.base import Code, has_own, parts_of
from benchmarks.systems.protocol.parts import Semantic
from diffae.diffusion import noise

PREVIEW = 6

UNMOVED = "as encoded"

Score = Callable[[Tensor, Tensor], Arrays]


@dataclass(frozen=True)
class Move:
    """A change of the codes of images.

    moved      from positions, the codes of these images and the arrays of `takes` to the moved codes
    takes      jobs whose arrays it needs
    calls      of networks, for one code
    refused    why these codes cannot be moved so; "" if they can
    undefined  why not, or "", from the arrays of the jobs `depends`, where only these tell
    """

    moved: Callable[..., Semantic]
    takes: Sequence[Job] = ()
    calls: Calls = field(default_factory=Calls)
    refused: str = ""
    undefined: Callable[..., str] = lambda *arrays: ""
    depends: Sequence[Job] = ()


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

    @cached_property
    def moments(self) -> Job:
        """Mean and standard deviation of each number over the training images."""

        def compute(_: np.ndarray, training: Arrays) -> Arrays:
            codes = parts.flat(semantic_of(training))
            return {"mean": codes.mean(0).numpy(), "deviation": codes.std(0).numpy()}

        title = "moments of codes"
        return Job("latent moments", title, {}, None, compute, takes=[self.of_training])

    def first(self, count: int) -> "MovedCodes":
        """The same of the first images."""
        return replace(self, images=replace(self.images, order=self.images.order[:count]))

    def unmoved(self) -> Move:
        return Move(lambda positions, codes: codes)

    def halfway(self, spherical: bool) -> Move:
        """To the middle between each code and one of its nearest among those of training images."""
        refused = self._lacks(latent.CANDIDATES, f", iFID needs {latent.CANDIDATES} candidates")

        def middles(positions: np.ndarray, codes: Tensor, training: Arrays) -> Tensor:
            others = parts.flat(semantic_of(training))
            candidates = others[latent.nearest(codes, others, spherical)]
            u = [source.random() for source in self._sources("latent neighbour", positions)]
            other = latent.drawn(codes, candidates, torch.tensor(u))
            return latent.halfway(codes, other, spherical)

        move = Move(partial(_of_numbers, middles), [self.of_training], refused=refused)
        if refused or not spherical:
            return move
        depends = [self.of_images, self.of_training]
        return replace(move, undefined=_without_direction, depends=depends)

    def noised(self, level: float) -> Move:
        """With normal noise of `level` times the standard deviation of each number."""

        def noisy(positions: np.ndarray, codes: Tensor, moments: Arrays) -> Tensor:
            indices = self.images.order[positions].tolist()
            seed = self.variant.context.seed
            eps = noise.normal(seed, "latent noise", indices, codes.shape[1:])
            return codes + level * torch.from_numpy(moments["deviation"]) * eps

        return self._by_moments(noisy)

    def rounded(self, bits: int) -> Move:
        """With 2^bits values for each number."""

        def coarse(_: np.ndarray, codes: Tensor, moments: Arrays) -> Tensor:
            mean, deviation = (torch.from_numpy(moments[name]) for name in ("mean", "deviation"))
            return latent.quantised(codes, mean, deviation, bits)

        return self._by_moments(coarse)

    def _by_moments(self, change: Callable[[np.ndarray, Tensor, Arrays], Tensor]) -> Move:
        refused = self._lacks(2, ": a deviation needs two")
        return Move(partial(_of_numbers, change), [self.moments], refused=refused)

    def _lacks(self, training: int, what_for: str) -> str:
        """Why codes cannot be moved by those of so many training images, or ""."""
        if parts.has_tokens(parts_of(self.variant.system)):
            return parts.NOTHING_BETWEEN
        count = len(self.training)
        return f"{count} training images{what_for}" if count < training else ""

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


def _of_numbers(
    change: Callable[..., Tensor], positions: np.ndarray, codes: Semantic, *taken: Arrays
) -> Semantic:
    """The codes after a change of codes as vectors of numbers, N x d."""
    return parts.shaped(change(positions, parts.flat(codes), *taken), codes)


def _without_direction(*codes: Arrays) -> str:
    norms = torch.cat([parts.flat(semantic_of(arrays)).norm(dim=1) for arrays in codes])
    nothing = int((norms == 0).sum())
    return f"{nothing} codes have norm 0, and so no direction" if nothing else ""


@dataclass(frozen=True)
class MovedImages:
    """What is decoded from codes after each of some moves, by name.

    Each image has the x_T of its index. `score` takes the images of moved codes and those of the codes as
    they are; `scoring` are its calls, and `decides` what it depends on beyond the fields of the place.
    """

    place: Place
    codes: MovedCodes
    moves: Mapping[str, Move]
    score: Score
    scoring: Calls
    decides: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def possible(self) -> dict[str, Move]:
        """The moves that are possible with these codes."""
        return {name: move for name, move in self.moves.items() if not move.refused}

    @cached_property
    def takes(self) -> tuple[Job, ...]:
        return tuple(dict.fromkeys(job for move in self.possible.values() for job in move.takes))

    @cached_property
    def depends(self) -> tuple[Job, ...]:
        return tuple(dict.fromkeys(job for move in self.possible.values() for job in move.depends))

    @property
    def jobs(self) -> list[Job]:
        """The jobs whose arrays `numbers_of` takes."""
        return [self._job, *self.depends] if self.possible else []

    @cached_property
    def _job(self) -> Job:
        """The scores of images after each move: "MOVE SCORE", [N, ...]. "preview" has the first images, each
        followed by what is decoded from its code as it is and from the moved ones.
        """
        decoding, calls = self.codes.variant.decoding, self.scoring.times(len(self.possible))
        for move in self.possible.values():
            calls += move.calls
        return self.place.job(
            "latent",
            f"{len(self.possible)} moves of codes",
            self.codes.images,
            self._compute,
            rows_of=[self.codes.of_images],
            takes=self.takes,
            calls=calls + decoding.times(len({UNMOVED, *self.possible})),
            moves=list(self.possible),
            **self.decides,
        )

    def _compute(self, positions: np.ndarray, codes: Arrays, *taken: Arrays) -> Arrays:
        semantic, arrays_of = semantic_of(codes), dict(zip(self.takes, taken, strict=True))
        unmoved = self._decoded(positions, semantic)
        rows, arrays = [self.codes.images.batch(positions), unmoved], Arrays()
        for name, move in self.possible.items():
            if name != UNMOVED:
                given = [arrays_of[job] for job in move.takes]
                rows.append(self._decoded(positions, move.moved(positions, semantic, *given)))
            scores = self.score(unmoved if name == UNMOVED else rows[-1], unmoved)
            arrays |= {f"{name} {score_name}": values for score_name, values in scores.items()}
        return arrays | {"preview": preview(positions, torch.stack(rows, 1), PREVIEW)}

    def _decoded(self, positions: np.ndarray, codes: Semantic) -> Tensor:
        variant, indices = self.codes.variant, self.codes.images.order[positions].tolist()
        return variant.decode(variant.random(codes, indices))

    def by_move(self, place: Place, *arrays: Arrays) -> Iterator[tuple[Place, str, Arrays]]:
        """The place of each move, why it has no numbers or "", and its scores, from the arrays of `jobs`."""
        scores, *others = arrays or [{}]
        depends = dict(zip(self.depends, others, strict=True))
        for name, move in self.moves.items():
            start, at = f"{name} ", place.also(move=name).at(setting=name)
            why = move.refused or move.undefined(*(depends[job] for job in move.depends))
            kept = {
                key.removeprefix(start): a for key, a in scores.items() if key.startswith(start)
            }
            yield at, why, kept

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
