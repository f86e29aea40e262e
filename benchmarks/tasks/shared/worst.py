"""The images that a system reconstructs worst, which a mean does not show."""

import numpy as np
import torch

from benchmarks.core.context import Context
from benchmarks.core.images import save_sheet
from benchmarks.core.selection import Selection
from benchmarks.core.store import CHUNK, Arrays
from benchmarks.systems.protocol.base import Code, System
from benchmarks.systems.protocol.checked import cut, join
from diffae.sheet import Sheet

WORST = 4  # decoded again for the picture
NOTED = {"ssim": "SSIM {:.3f}", "mse": "MSE {:.2g}"}


def save_worst(
    context: Context, system: System, selection: Selection, steps: int | None, scores: Arrays
) -> None:
    """Save a picture of the images of the lowest SSIM, the worst first, with their scores under them."""
    if context.pictures is None:
        return
    found = np.argsort(scores["ssim"], kind="stable")[:WORST]

    def compute() -> Arrays:
        code = join([_code(context, system, selection, int(p), steps or 1) for p in found])
        return {"images": context.resized(system.decode(code, steps or 1).cpu()).numpy()}

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


def _code(
    context: Context, system: System, selection: Selection, position: int, steps: int
) -> Code:
    """The full code of a single image, from its chunk in the store."""
    start = position - position % CHUNK
    chunk = np.arange(start, min(start + CHUNK, len(selection)))
    code = context.codes.full(system, selection, chunk, steps)
    return cut(code, slice(position - start, position - start + 1))
