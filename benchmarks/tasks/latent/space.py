"""Numbers of the codes alone, and how encoder and decoder follow what is done to the image."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
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
from benchmarks.plugin import Arrays, Calls, Context, Measurement, Place, System
from benchmarks.systems.protocol.base import STOCHASTIC, Code, parts_of
from benchmarks.systems.protocol.parts import Semantic, each, has_tokens, tensors
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
    """Numbers of the codes of training images, or of test images where there are no others; of each map of
    a code that has several.
    """
    split = "train" if len(context.dataset.indices("train")) else "test"
    note = "" if split == "train" else "of test images: the data has no training images"
    images, kinds = context.select(split, count), parts_of(system)
    semantic = context.codes.semantic(system, images)
    all_maps = CodesOfJobs([semantic], images_of(images.dataset, images.order), split=images.split)
    maps = [replace(all_maps, make=partial(of_map, number)) for number in range(len(kinds))]
    jobs = [
        plain_job(context, name, maps[number], map=number)
        for number, part in enumerate(kinds)
        for name in names
        if part.codebook is None
    ]

    def numbers(codes: Arrays, *arrays: Arrays) -> Numbers:
        estimates, panels = map(estimates_of, arrays), dict[str, Tensor]()
        for number, part in enumerate(tensors(semantic_of(codes))):
            several = len(kinds) > 1 and part.ndim == 4
            setting = f"{number + 1}, {part.shape[2]} px" if several else ""
            shape = " x ".join(map(str, part.shape[1:]))
            place = Place(
                context, SPACE, system, setting=setting, fields={"codes": shape}, note=note
            )
            if kinds[number].codebook is not None:
                yield from place.missing(names, TOKENS)
                continue
            for name in names:
                yield from plain_numbers(place, name, next(estimates)[name], maps[number])
            if context.pictures is not None and len(panels) < MOST_SHOWN and len(images) >= FEWEST:
                with suppress(UserError):  # that all codes are the same, as the records say
                    panels[setting or "code"] = panel(of_map(number, all_maps.images, codes))
        if panels:
            Place(context, SPACE, system).draw(
                "latent_space-{}",
                "the space of codes",
                list(panels.values()),
                rows=tuple(panels) if len(panels) > 1 else (),
                columns=COLUMNS,
                caption=CAPTION,
            )

    return Measurement([semantic, *jobs], numbers)


def of_map(number: int, images: Codes, codes: Arrays) -> Codes:
    """One tensor of the codes of images, with what is known of these."""
    part = tensors(semantic_of(codes))[number]
    shape = tuple(part.shape[1:])
    only = replace(images, values=part.flatten(1).double().numpy())
    return replace(only, shape=(shape[0], shape[1], shape[2])) if len(shape) == 3 else only


# ----------------------------------------------------------------------------------------------
# Equivariance


ENCODER, DECODER = "encoder", "decoder"
KINDS = ("moved", "expected")
Moves = Sequence[tuple[str, str]]  # of a network
FLIP, TURN, CELL, PIXEL, HALF = "flip", "quarter turn", "one cell", "one pixel", "half size"
MOVES = (FLIP, TURN, CELL, PIXEL, HALF)


def followed(codes: MovedCodes) -> Measurement:
    """How the encoder follows a move of the image, and the decoder one of the code.

    A vector has no places: it should stay as it is. A shift repeats the places at the border, and those
    that it brings in are left out of the comparison.
    """
    variant, images = codes.variant, codes.images
    reasons = _reasons(variant.system, images)
    possible = [move for move, why in reasons.items() if not why]
    place = Place(variant.context, FOLLOWS, variant, fields={"shift": "to the right"})
    place = place.at(split=images.split, n=len(images))

    def numbers(*arrays: Arrays) -> Numbers:
        has_cells = not arrays or f"{ENCODER}, {CELL} moved" in arrays[0]
        for (network, name), reason in reasons.items():
            at = place.at(setting=f"{network}, {name}")
            why = reason if has_cells or name != CELL else NO_CELLS
            if why:
                yield from at.missing(["equivariance"], why)
            else:
                moved, expected = (arrays[0][f"{at.setting} {k}"] for k in KINDS)
                yield from at.numbers(estimate_equivariance(moved, expected, images.units))

    networks = [network for network, _ in possible]
    decodes = networks.count(DECODER) + (DECODER in networks)
    job = place.job(
        "equivariance",
        "moved images, encoded; and moved codes, decoded",
        images,
        partial(_follow, codes, possible),
        rows_of=[codes.of_images],
        calls=variant.decoding.times(decodes) + Calls(encoder=networks.count(ENCODER)),
    )
    return Measurement([replace(job, at_most=True)] if possible else [], numbers)


def _reasons(system: System, images: Selection) -> dict[tuple[str, str], str]:
    """Why each network cannot be compared after each move, or "". Whether cells are of whole pixels is only
    known from codes.
    """
    kinds, side = parts_of(system), images.seen_by(system).dataset.image_size
    moves = dict.fromkeys(MOVES, TOKENS if has_tokens(kinds) else "")
    if system.stride is None or side // 2 % system.stride:
        moves[HALF] = moves[HALF] or f"it takes images of {side} px only"
    decodes = "its code has no places" if any(len(part.shape) != 3 for part in kinds) else ""
    if STOCHASTIC in system.capabilities:
        decodes = decodes or "x_T would have to move too"
    reasons = {(ENCODER, name): why for name, why in moves.items()}
    return reasons | {(DECODER, name): moves[name] or decodes for name in moves if name != PIXEL}


def _follow(moved: MovedCodes, possible: Moves, positions: np.ndarray, codes: Arrays) -> Arrays:
    """What is compared after each move: "NETWORK, MOVE moved" and "NETWORK, MOVE expected", N x d.

    Not after a shift by a cell where cells are not of whole pixels.
    """
    system, T = moved.variant.system, moved.variant.T
    images, unmoved = moved.images.seen_by(system), semantic_of(codes)
    x, side = images.batch(positions), images.dataset.image_size
    coarsest = max((side / z.shape[2] for z in tensors(unmoved) if z.ndim == 4), default=0.0)
    decodes = DECODER in [network for network, _ in possible]
    decoded = system.decode(Code(unmoved), T) if decodes else x
    arrays: Arrays = {}
    for network, name in possible:
        if name == CELL and (not coarsest or coarsest % 1):
            continue
        move = partial(_moved, name, coarsest, side)
        moved_code = each(move, unmoved)
        if network == ENCODER:
            pair, border = (system.encode_semantic(move(x)), moved_code), 1
        else:
            pair, border = (system.decode(Code(moved_code), T), move(decoded)), round(coarsest)
        for kind, maps in zip(KINDS, pair, strict=True):
            arrays[f"{network}, {name} {kind}"] = _compared(name, maps, border)
    return arrays


def _moved(name: str, coarsest: float, side: int, maps: Tensor) -> Tensor:
    """Images of this `side`, or maps of them, N x C x H x W, after a move; vectors stay as they are."""
    pixels = side / maps.shape[-1]  # of a place
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


def _compared(name: str, maps: Semantic, border: int = 1) -> np.ndarray:
    """All of a code as it is compared after a move, N x d: of shifted maps without the border."""
    kept = slice(border, -border) if name in (CELL, PIXEL) else slice(None)
    inside = [x[..., kept, kept] if x.ndim == 4 else x for x in tensors(maps)]
    return torch.cat([x.cpu().float().flatten(1) for x in inside], dim=1).numpy()
