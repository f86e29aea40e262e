"""Numbers of the codes alone, and how encoder and decoder follow what is done to the image."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from benchmarks.core.images import Selection, semantic_of
from benchmarks.core.measurement import Numbers
from benchmarks.metrics.codes.data import Codes
from benchmarks.metrics.codes.number import FEWEST
from benchmarks.metrics.latent import estimate_equivariance
from benchmarks.plugin import Arrays, Calls, Context, Job, Measurement, Place, System
from benchmarks.systems.protocol.base import STOCHASTIC, Code, parts_of
from benchmarks.systems.protocol.parts import has_tokens, tensors
from benchmarks.tasks.latent.moves import MovedCodes
from benchmarks.tasks.latent.panel import CAPTION, COLUMNS, panel
from benchmarks.tasks.shared.stored_estimates import (
    CodesOfJobs,
    estimates_of,
    images_of,
    plain_job,
    plain_numbers,
)
from diffae.system.errors import UserError

SPACE, FOLLOWS = "latent_space", "latent_equivariance"
OfSpace = Literal[
    "viv", "viv_by_class", "code_fd", "epps_pulley", "sec_25", "sec_50", "lds", "cds", "rmsc", "twonn", "density_cv", "lnc"
]  # fmt: skip
SIX: tuple[OfSpace, ...] = ("viv", "code_fd", "sec_50", "lds", "twonn", "density_cv")
MOST_SHOWN = 6  # maps of a code
TOKENS, NO_CELLS = "its code consists of tokens", "its code has no cells of whole pixels"

# ----------------------------------------------------------------------------------------------
# Numbers of the codes


def of_space(context: Context, system: System, names: Sequence[OfSpace], count: int) -> Measurement:
    """Numbers of the codes of training images, of each map of a code that has several."""
    images, kinds = context.select("train", count), parts_of(system)
    semantic, known = (
        context.codes.semantic(system, images),
        images_of(images.dataset, images.order),
    )
    jobs = {
        (number, name): plain_job(
            context,
            name,
            CodesOfJobs([semantic], known, partial(of_map, number), {"map": number}),
        )
        for number, part in enumerate(kinds)
        for name in names
        if part.codebook is None
    }

    def numbers(codes: Arrays, *arrays: Arrays) -> Numbers:
        estimates = dict(zip(jobs, map(estimates_of, arrays), strict=True))
        panels: dict[str, Tensor] = {}
        for number, part in enumerate(tensors(semantic_of(codes))):
            several = len(kinds) > 1 and part.ndim == 4
            setting = f"{number + 1}, {part.shape[2]} px" if several else ""
            shape = " x ".join(map(str, part.shape[1:]))
            place = Place(context, SPACE, system, setting=setting, fields={"codes": shape})
            if kinds[number].codebook is not None:
                yield from place.missing(names, TOKENS)
                continue
            for name in names:
                yield from plain_numbers(place, name, estimates[number, name][name], images)
            if context.pictures is None or len(panels) == MOST_SHOWN or len(images) < FEWEST:
                continue
            with suppress(UserError):  # that all codes are the same, as the records say
                panels[setting or "code"] = panel(of_map(number, known, codes))
        if panels:
            Place(context, SPACE, system).draw(
                "latent_space-{}",
                "the space of codes",
                list(panels.values()),
                rows=tuple(panels) if len(panels) > 1 else (),
                columns=COLUMNS,
                caption=CAPTION,
            )

    return Measurement([semantic, *jobs.values()], numbers)


def of_map(number: int, images: Codes, codes: Arrays) -> Codes:
    """One tensor of the codes of images, with what is known of these."""
    part = tensors(semantic_of(codes))[number]
    shape = tuple(part.shape[1:])
    only = replace(images, values=part.flatten(1).double().numpy())
    return replace(only, shape=(shape[0], shape[1], shape[2])) if len(shape) == 3 else only


# ----------------------------------------------------------------------------------------------
# Equivariance


FLIP, TURN, CELL, PIXEL, HALF = "flip", "quarter turn", "one cell", "one pixel", "half size"
MOVES = (FLIP, TURN, CELL, PIXEL, HALF)


def followed(codes: MovedCodes) -> Measurement:
    """How the encoder follows a move of the image, and the decoder one of the code.

    A vector has no places: it should stay as it is. A shift repeats the places at the border, and those
    that it brings in are left out of the comparison.
    """
    equivariance = Equivariance(codes)
    possible = [*equivariance.possible("encoder"), *equivariance.possible("decoder")]
    return Measurement([equivariance.job] if possible else [], equivariance.numbers)


@dataclass(frozen=True)
class Equivariance:
    """The moved images and codes that are compared, and why some moves are not possible."""

    codes: MovedCodes

    @property
    def system(self) -> System:
        return self.codes.variant.system

    @property
    def images(self) -> Selection:
        """The images at the size of the system."""
        return self.codes.images.seen_by(self.system)

    @property
    def side(self) -> int:
        return self.images.dataset.image_size

    @cached_property
    def reasons(self) -> dict[str, dict[str, str]]:
        """Why each move is not possible, or "", by network."""
        system, kinds = self.system, parts_of(self.system)
        moves = dict.fromkeys(MOVES, TOKENS if has_tokens(kinds) else "")
        coarsest = self._coarsest(part.shape[1] for part in kinds if len(part.shape) == 3)
        if not coarsest or coarsest % 1:
            moves[CELL] = moves[CELL] or NO_CELLS
        if system.stride is None or self.side // 2 % system.stride:
            moves[HALF] = moves[HALF] or f"it takes images of {self.side} px only"
        decodes = "its code has no places" if any(len(part.shape) != 3 for part in kinds) else ""
        if STOCHASTIC in system.capabilities:
            decodes = decodes or "x_T would have to move too"
        of_decoder = {name: why or decodes for name, why in moves.items() if name != PIXEL}
        return {"encoder": moves, "decoder": of_decoder}

    def possible(self, network: str) -> list[str]:
        """The moves that are possible, as far as the shapes of the codes are known."""
        return [name for name, why in self.reasons[network].items() if not why]

    def _coarsest(self, heights: Iterable[int | None]) -> float:
        """The pixels of a cell of the map with fewest, 0 without maps; a height may not be known yet."""
        return max((self.side / (height or 1) for height in heights), default=0.0)

    @cached_property
    def place(self) -> Place:
        variant, images, fields = self.codes.variant, self.codes.images, {"shift": "to the right"}
        place = Place(variant.context, FOLLOWS, variant, split=images.split, fields=fields)
        return place.at(n=len(images))

    @property
    def job(self) -> Job:
        encoded, moved = len(self.possible("encoder")), len(self.possible("decoder"))
        decoding = self.codes.variant.decoding.times(moved + 1 if moved else 0)
        title = "moved images, encoded; and moved codes, decoded"
        job = self.place.job(
            "equivariance",
            title,
            self.codes.images,
            self._compute,
            rows_of=[self.codes.of_images],
            calls=decoding + Calls(encoder=encoded),
        )
        return replace(job, at_most=any(None in part.shape for part in parts_of(self.system)))

    def _compute(self, positions: np.ndarray, codes: Arrays) -> Arrays:
        """What is compared: "NETWORK, MOVE moved" and "NETWORK, MOVE expected", N x d."""
        system, T, side = self.system, self.codes.variant.T, self.side
        x, unmoved = self.images.batch(positions), semantic_of(codes)
        maps = tensors(unmoved)
        coarsest = self._coarsest(z.shape[2] for z in maps if z.ndim == 4)
        move, without = partial(_moved, coarsest), {CELL} if coarsest % 1 else set()
        arrays: Arrays = {}
        for name in [name for name in self.possible("encoder") if name not in without]:
            encoded = tensors(system.encode_semantic(move(name, x, 1.0)))
            expected = [move(name, z, side / z.shape[-1]) for z in maps]
            arrays |= _compared(f"encoder, {name}", name, encoded, expected)
        of_decoder = [name for name in self.possible("decoder") if name not in without]
        decoded = system.decode(Code(unmoved), T) if of_decoder else x
        for name in of_decoder:
            moved = [move(name, z, side / z.shape[-1]) for z in maps]
            code = Code(moved[0] if isinstance(unmoved, Tensor) else tuple(moved))
            pair = [system.decode(code, T)], [move(name, decoded, 1.0)]
            arrays |= _compared(f"decoder, {name}", name, *pair, round(coarsest))
        return arrays

    def numbers(self, *arrays: Arrays) -> Numbers:
        """A number for each network and move, or the reason."""
        for network, moves in self.reasons.items():
            for name, why in moves.items():
                place = self.place.at(setting=f"{network}, {name}")
                names = [f"{place.setting} {kind}" for kind in ("moved", "expected")]
                if why or names[0] not in arrays[0]:
                    yield from place.missing(["equivariance"], why or NO_CELLS)
                    continue
                moved, expected = (arrays[0][key] for key in names)
                units = self.codes.images.units
                yield from place.numbers(estimate_equivariance(moved, expected, units))


def _moved(coarsest: float, name: str, maps: Tensor, pixels: float) -> Tensor:
    """Images or maps N x C x H x W, whose places have so many `pixels`; vectors stay as they are."""
    if maps.ndim != 4 or (name == PIXEL and pixels > 1):
        return maps
    if name == FLIP:
        return maps.flip(-1)
    if name == TURN:
        return maps.rot90(1, (-2, -1))
    if name == HALF:
        return avg_pool2d(maps, 2)
    by = round(coarsest / pixels) if name == CELL else 1
    return pad(maps, (by, 0, 0, 0), mode="replicate")[..., :-by]


def _compared(
    setting: str,
    move: str,
    moved: Sequence[Tensor],
    expected: Sequence[Tensor],
    border: int = 1,
) -> Arrays:
    """Maps as they are compared, N x d for all of a code: of shifts without the border."""

    def flat(maps: Sequence[Tensor]) -> np.ndarray:
        if move in (CELL, PIXEL):
            inside = slice(border, -border)
            maps = [x[..., inside, inside] if x.ndim == 4 else x for x in maps]
        return torch.cat([x.cpu().float().flatten(1) for x in maps], dim=1).numpy()

    return {f"{setting} moved": flat(moved), f"{setting} expected": flat(expected)}
