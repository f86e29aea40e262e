"""The images that a system reconstructs worst, which a mean does not show."""

import numpy as np
import torch

from benchmarks.core.context import Context
from benchmarks.core.images import save_sheet
from benchmarks.core.selection import Selection
from benchmarks.core.store import CHUNK, Arrays
from benchmarks.systems import parts
from benchmarks.systems.base import Code, System
from diffae.sheet import Sheet

WORST = 4  # decoded once more for the picture
BY = "ssim"
NOTED = {"ssim": "SSIM {:.3f}", "mse": "MSE {:.2g}"}


def save_worst(
    context: Context, system: System, selection: Selection, steps: int | None, scores: Arrays
) -> None:
    """Draw the images of the lowest SSIM, the worst first, with their scores under them."""
    if context.pictures is None:
        return
    found = np.argsort(scores[BY], kind="stable")[:WORST]

    def compute() -> Arrays:
        code = _codes(context, system, selection, found, steps or 1)
        return {"images": context.shown(system.decode(code, steps or 1).cpu()).numpy()}

    key = context.codes.key("worst", system, selection) | {"steps": steps, "images": found.tolist()}
    decoded = torch.from_numpy(context.store.once(key, compute)["images"])
    notes = [", ".join(f.format(scores[name][p]) for name, f in NOTED.items()) for p in found]
    sheet = Sheet(
        f"{system.title}: the worst reconstructions",
        [selection.batch(found), decoded],
        rows=("input", "reconstruction"),
        columns=[context.dataset.name_of(int(i)).split("/")[-1] for i in selection.order[found]],
        caption=f"Those of the lowest SSIM of {len(selection):,} images, the worst first.",
        notes=[[""] * len(found), notes],
        about={"benchmark": "reconstruction", "system": system.title, "steps": steps},
    )
    save_sheet(context.picture(f"reconstruction-worst-{system.name}.png"), sheet)


def _codes(
    context: Context, system: System, selection: Selection, positions: np.ndarray, steps: int
) -> Code:
    """The full codes of single images, from their chunks in the store."""
    found = [_code(context, system, selection, int(p), steps) for p in positions]
    semantic = [code.semantic for code in found if code.semantic is not None]
    x_T = [code.x_T for code in found if code.x_T is not None]
    return Code(parts.join(semantic) if semantic else None, torch.cat(x_T) if x_T else None)


def _code(
    context: Context, system: System, selection: Selection, position: int, steps: int
) -> Code:
    start = position - position % CHUNK
    chunk = np.arange(start, min(start + CHUNK, len(selection)))
    code = context.code(system, selection, chunk, steps)
    one = slice(position - start, position - start + 1)
    return Code(
        None if code.semantic is None else parts.index(code.semantic, one),
        None if code.x_T is None else code.x_T[one],
    )
