"""Draw what an edit is compared with, for docs/edits.md: drawn portraits, edited by the packaged model.

python docs/pictures/edits.py docs/pictures/edits.png

The PNG's text chunk `made of` names the model and this script, so that a test can tell a stale picture.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.metrics.edits import number_of
from benchmarks.tasks.edits.decoded import sums_of
from diffae import DiffusionAutoencoder, images
from diffae.checkpoints.checkpoint import open_checkpoint
from diffae.data import open_portraits
from diffae.data.pairs import pairs_of
from diffae.sheet import Sheet, write

# The attribute that is added, the portrait among those without it, and the strength.
EDITS = (("Eyeglasses", 0, 0.6), ("Male", 1, 0.8))
COLUMNS = ("x", "x'", "r(x)", "r(x')", "y", "D*", "D")


def row(
    model: DiffusionAutoencoder, attribute: str, place: int, strength: float
) -> tuple[Tensor, str]:
    """The images of COLUMNS, n x 3 x S x S in [-1, 1], differences at half contrast; and the numbers of the edit."""
    data = open_portraits(640, model.image_size)
    pairs = pairs_of(data, attribute, True, place + 1, 0, "test")
    x, changed = data.batch(pairs.before)[place:], pairs.after(np.array([place]))
    code = images.encode(model, x)
    before, truth = (
        images.decode(model, code),
        images.decode(model, code._replace(z=model.encode(changed))),
    )
    y = images.edit(model, x, {attribute: strength})
    sums = sums_of(x, changed, before, truth, y)
    numbers = f"dose {number_of('dose', sums):.1f}, off target {number_of('off_target', sums):.0%}"
    shown = [x, changed, before, truth, y, (truth - before) / 2, (y - before) / 2]
    return torch.cat(shown), numbers


def made_of() -> str:
    """What decides the picture."""
    script = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    return f"portraits {open_checkpoint('portraits').fingerprint()}, edits.py {script}"


def main(out: Path) -> None:
    model = DiffusionAutoencoder.from_pretrained("portraits")
    rows, numbers = zip(*(row(model, *edit) for edit in EDITS), strict=True)
    labels = [
        f"{attribute} added: {text}" for (attribute, *_), text in zip(EDITS, numbers, strict=True)
    ]
    write(out, Sheet("An edit beside the truth", rows, labels, COLUMNS), {"made of": made_of()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
