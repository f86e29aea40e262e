"""Numbers of the codes alone, and how encoder and decoder follow what is done to the image."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from benchmarks.core.images import Selection
from benchmarks.metrics.codes.data import Codes, LabelColumns
from benchmarks.metrics.codes.errors import undefined
from benchmarks.metrics.codes.number import FEWEST
from benchmarks.metrics.latent import estimate_equivariance
from benchmarks.plugin import Arrays, Cell, Context, Measurement, Record, System
from benchmarks.systems.protocol.base import STOCHASTIC, Code
from benchmarks.systems.protocol.parts import tensors
from benchmarks.tasks.latent.moves import Codes as MovedCodes
from benchmarks.tasks.latent.panel import CAPTION, COLUMNS, panel
from benchmarks.tasks.shared.stored_estimates import plain_record
from diffae.system.errors import UserError
from reports.records.estimate import Estimate

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
    parts = tensors(context.codes.semantic(system, images))

    def reduce() -> Iterator[Record]:
        panels: dict[str, Tensor] = {}
        for number, part in enumerate(parts, 1):
            setting = f"{number}, {part.shape[2]} px" if len(parts) > 1 and part.ndim == 4 else ""
            shape = " x ".join(map(str, part.shape[1:]))
            cell = Cell(context, SPACE, system, setting=setting, fields={"codes": shape})
            if not part.is_floating_point():
                yield from (cell.record(name, undefined(TOKENS)) for name in names)
                continue
            codes = _codes(images, part)
            for name in names:
                yield plain_record(cell, name, codes, images)
            if context.pictures is None or len(panels) == MOST_SHOWN or len(images) < FEWEST:
                continue
            with suppress(UserError):  # that all codes are the same, as the records say
                panels[setting or "code"] = panel(codes)
        if panels:
            heads, title = tuple(panels) if len(panels) > 1 else (), "the space of codes"
            drawn: dict[str, Any] = {"rows": heads, "columns": COLUMNS, "caption": CAPTION}
            Cell(context, SPACE, system).draw(
                "latent_space-{}", title, list(panels.values()), **drawn
            )

    return Measurement([], reduce)


def _codes(images: Selection, part: Tensor) -> Codes:
    """One tensor of the codes of images, with what is known of them."""
    shape = tuple(part.shape[1:])
    data = images.dataset
    return Codes(
        part.flatten(1).double().numpy(),
        LabelColumns(*data.factors(images.order)),
        persons=None if data.identities is None else data.identities[images.order],
        shape=(shape[0], shape[1], shape[2]) if len(shape) == 3 else None,
        data=data.fingerprint,
        images=images.order,
    )


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
    encoded = [name for name, reason in reasons.items() if not reason]
    decoded = [name for name, reason in of_decoder.items() if not reason]
    cell = Cell(at.context, FOLLOWS, at, split=images.split, n=len(images), fields={"shift": "to the right"})  # fmt: skip
    move = partial(_moved, coarsest)

    def compute(positions: np.ndarray) -> Arrays:
        x, unmoved = images.seen_by(system).batch(positions), codes.unmoved(positions)
        arrays: Arrays = {}
        for name in encoded:
            of_image = tensors(system.encode_semantic(move(name, x, 1.0)))
            pairs = [(a, move(name, b, side / b.shape[-1])) for a, b in zip(of_image, tensors(unmoved), strict=True)]  # fmt: skip
            arrays |= _compared(f"encoder, {name}", name, pairs)
        image = at.system.decode(Code(unmoved), at.T) if decoded else x
        for name in decoded:
            moved = [move(name, part, side / part.shape[-1]) for part in tensors(unmoved)]
            code = Code(moved[0] if isinstance(unmoved, Tensor) else tuple(moved))
            pairs = [(system.decode(code, at.T), move(name, image, 1.0))]
            arrays |= _compared(f"decoder, {name}", name, pairs, round(coarsest))
        return arrays

    def reduce(*computed: Arrays) -> Iterator[Record]:
        for network, moves in sides.items():
            for name, reason in moves.items():
                setting = f"{network}, {name}"
                equivariance = Estimate(None, why=reason)
                if not reason:
                    moved, expected = (computed[0][f"{setting} {x}"] for x in ("moved", "expected"))
                    estimates = estimate_equivariance(moved, expected, images.units)
                    equivariance = estimates["equivariance"]
                yield cell.record("equivariance", equivariance, setting=setting)

    title = "moved images, encoded; and moved codes, decoded"
    computation = cell.computation("equivariance", title, images, compute)
    return Measurement([computation] if encoded or decoded else [], reduce)


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
    title: str, move: str, pairs: Sequence[tuple[Tensor, Tensor]], border: int = 1
) -> Arrays:
    """Pairs as they are compared, each N x d in one row: of shifts without the border of all maps."""

    def flat(maps: Tensor) -> Tensor:
        shifts = maps.ndim == 4 and move in (CELL, PIXEL)
        inside = maps[..., border:-border, border:-border] if shifts else maps
        return inside.cpu().float().flatten(1)

    moved, expected = (torch.cat(list(map(flat, side)), dim=1) for side in zip(*pairs, strict=True))
    return {f"{title} moved": moved.numpy(), f"{title} expected": expected.numpy()}
