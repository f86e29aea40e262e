"""Numbers of the codes alone, and how encoder and decoder follow what is done to the image."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from benchmarks.core.images import Selection
from benchmarks.metrics.codes.data import Codes
from benchmarks.metrics.codes.number import FEWEST
from benchmarks.metrics.latent import estimate_equivariance
from benchmarks.plugin import Arrays, Cell, Context, Measurement, Record, System
from benchmarks.systems.protocol.base import STOCHASTIC, Code
from benchmarks.systems.protocol.parts import tensors
from benchmarks.tasks.latent.moves import MovedCodes
from benchmarks.tasks.latent.panel import CAPTION, COLUMNS, panel
from benchmarks.tasks.shared.stored_estimates import codes_of, plain_record
from diffae.system.errors import UserError

SPACE, FOLLOWS = "latent_space", "latent_equivariance"
OfSpace = Literal[
    "viv", "viv_by_class", "code_fd", "epps_pulley", "sec_25", "sec_50", "lds", "cds", "rmsc", "twonn", "density_cv", "lnc"
]  # fmt: skip
SIX: tuple[OfSpace, ...] = ("viv", "code_fd", "sec_50", "lds", "twonn", "density_cv")
MOST_SHOWN = 6  # maps of a code
TOKENS = "its code consists of tokens"

# ----------------------------------------------------------------------------------------------
# Numbers of the codes


def of_space(context: Context, system: System, names: Sequence[OfSpace], count: int) -> Measurement:
    """Numbers of the codes of training images, of each map of a code that has several."""
    images = context.select("train", count)
    maps = tensors(context.codes.semantic(system, images))

    def reduce() -> Iterator[Record]:
        panels: dict[str, Tensor] = {}
        for number, part in enumerate(maps, 1):
            setting = f"{number}, {part.shape[2]} px" if len(maps) > 1 and part.ndim == 4 else ""
            shape = " x ".join(map(str, part.shape[1:]))
            cell = Cell(context, SPACE, system, setting=setting, fields={"codes": shape})
            if not part.is_floating_point():
                yield from cell.missing(names, TOKENS)
                continue
            codes = _codes(images, part)
            for name in names:
                yield plain_record(cell, name, codes, images)
            if context.pictures is None or len(panels) == MOST_SHOWN or len(images) < FEWEST:
                continue
            with suppress(UserError):  # that all codes are the same, as the records say
                panels[setting or "code"] = panel(codes)
        if panels:
            Cell(context, SPACE, system).draw(
                "latent_space-{}",
                "the space of codes",
                list(panels.values()),
                rows=tuple(panels) if len(panels) > 1 else (),
                columns=COLUMNS,
                caption=CAPTION,
            )

    return Measurement([], reduce)


def _codes(images: Selection, part: Tensor) -> Codes:
    """One tensor of the codes of images, with what is known of them."""
    shape = tuple(part.shape[1:])
    codes = codes_of(images.dataset, images.order, part.flatten(1).double().numpy())
    return replace(codes, shape=(shape[0], shape[1], shape[2])) if len(shape) == 3 else codes


# ----------------------------------------------------------------------------------------------
# Equivariance


FLIP, TURN, CELL, PIXEL, HALF = "flip", "quarter turn", "one cell", "one pixel", "half size"
MOVES = (FLIP, TURN, CELL, PIXEL, HALF)


def followed(codes: MovedCodes) -> Measurement:
    """How the encoder follows a move of the image, and the decoder one of the code.

    A vector has no places: it should stay as it is. A shift repeats the places at the border, and those
    that it brings in are left out of the comparison.
    """
    at, images = codes.at, codes.images
    system, side = at.system, images.seen_by(at.system).dataset.image_size
    maps = tensors(codes.of_images)
    reasons = dict.fromkeys(MOVES, "" if all(x.is_floating_point() for x in maps) else TOKENS)
    coarsest = max((side / x.shape[2] for x in maps if x.ndim == 4), default=0.0)
    if not coarsest or coarsest % 1:
        reasons[CELL] = reasons[CELL] or "its code has no cells of whole pixels"
    if system.stride is None or side // 2 % system.stride:
        reasons[HALF] = reasons[HALF] or f"it takes images of {side} px only"
    decodes = "its code has no places" if any(x.ndim != 4 for x in maps) else ""
    if STOCHASTIC in system.capabilities:
        decodes = decodes or "x_T would have to move too"
    of_decoder = {name: reason or decodes for name, reason in reasons.items() if name != PIXEL}
    sides = {"encoder": reasons, "decoder": of_decoder}
    cell = Cell(at.context, FOLLOWS, at, split=images.split, n=len(images), fields={"shift": "to the right"})  # fmt: skip
    move = partial(_moved, coarsest)

    def compute(positions: np.ndarray) -> Arrays:
        x, unmoved = images.seen_by(system).batch(positions), codes.unmoved(positions)
        arrays: Arrays = {}
        for name in (name for name, reason in reasons.items() if not reason):
            encoded = tensors(system.encode_semantic(move(name, x, 1.0)))
            expected = [move(name, z, side / z.shape[-1]) for z in tensors(unmoved)]
            arrays |= _compared(f"encoder, {name}", name, encoded, expected)
        decoded = at.system.decode(Code(unmoved), at.T) if not all(of_decoder.values()) else x
        for name in (name for name, reason in of_decoder.items() if not reason):
            moved = [move(name, z, side / z.shape[-1]) for z in tensors(unmoved)]
            code = Code(moved[0] if isinstance(unmoved, Tensor) else tuple(moved))
            pair = [system.decode(code, at.T)], [move(name, decoded, 1.0)]
            arrays |= _compared(f"decoder, {name}", name, *pair, round(coarsest))
        return arrays

    def reduce(*computed: Arrays) -> Iterator[Record]:
        for network, moves in sides.items():
            for name, reason in moves.items():
                setting = f"{network}, {name}"
                if reason:
                    yield from cell.missing(["equivariance"], reason, setting=setting)
                    continue
                moved, expected = (computed[0][f"{setting} {x}"] for x in ("moved", "expected"))
                estimates = estimate_equivariance(moved, expected, images.units)
                yield from cell.records(estimates, setting=setting)

    title = "moved images, encoded; and moved codes, decoded"
    wanted = [cell.computation("equivariance", title, images, compute)]
    refused = all(reason for moves in sides.values() for reason in moves.values())
    return Measurement([] if refused else wanted, reduce)


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
