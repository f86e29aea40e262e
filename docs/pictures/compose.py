"""The README's picture, put together from the pictures of a run of the packaged models.

python docs/pictures/compose.py runs/RUN docs/pictures/overview.png

The PNG's text chunk `made of` names what it is made of, so that a test can tell a stale one: the model's fingerprint and
the SHA-256 of this script.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffae.checkpoints.checkpoint import open_checkpoint
from diffae.sheet import Sheet, write
from reports.page.sheets import read_sheet

EDITED = "Male"
ROWS = (
    ("held-out portraits", "reconstruction-diffae.png", 0),
    ("decoded from z_sem and x_T", "reconstruction-diffae.png", 1),
    ("from z_sem alone, x_T random", "reconstruction-diffae.png", 2),
    (f"{EDITED} edited, {{}}: towards it, or away from it", f"edit-diffae-{EDITED}.png", -1),
    ("new samples", "samples-diffae-10.png", 0),
)


def row(path: Path, index: int) -> tuple[str, Tensor]:
    """One row of a sheet: its head, and its images n x 3 x S x S in [-1, 1]."""
    sheet = read_sheet(path)
    index %= len(sheet.lengths)
    cells = [np.asarray(sheet.cell(index, column)) for column in range(sheet.lengths[index])]
    images = torch.from_numpy(np.stack(cells)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return (sheet.rows[index] if sheet.rows else ""), images


def made_of() -> str:
    """What decides the picture, but for the run."""
    script = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    return f"portraits {open_checkpoint('portraits').fingerprint()}, compose.py {script}"


def main(run: Path, out: Path) -> None:
    settings = json.loads((run / "run.json").read_text())["settings"]
    model, profile = str(settings["weights"].get("diffae")), settings["profile"]["name"]
    if model not in made_of() or profile != "quick":
        raise SystemExit(f"{run}: no run of the packaged model with profile quick")
    rows = [(label, *row(run / "pictures" / name, index)) for label, name, index in ROWS]
    labels = [label.format(head) for label, head, _ in rows]
    sheet = Sheet("The packaged diffusion autoencoder", [images for *_, images in rows], labels)
    write(out, sheet, {"made of": made_of()})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
