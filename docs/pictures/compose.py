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
from PIL import Image, PngImagePlugin

from diffae.checkpoint import open_checkpoint
from reports.sheets import read_sheet

SCALE, PADDING = 2, 2
ROWS = (
    ("reconstruction-diffae.png", 0),
    ("reconstruction-diffae.png", 1),
    ("reconstruction-diffae.png", 2),
    ("edit-diffae-Male.png", -1),
    ("samples-diffae-10.png", 0),
)


def row(path: Path, index: int) -> np.ndarray:
    """One row of a sheet, enlarged, on white."""
    sheet = read_sheet(path)
    index %= len(sheet.lengths)
    cells = [sheet.cell(index, column) for column in range(sheet.lengths[index])]
    around = ((PADDING, 0), (PADDING, 0), (0, 0))
    enlarged = [np.asarray(cell).repeat(SCALE, 0).repeat(SCALE, 1) for cell in cells]
    return np.concatenate([np.pad(c, around, constant_values=255) for c in enlarged], axis=1)


def made_of() -> str:
    """What decides the picture, but for the run."""
    script = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    return f"portraits {open_checkpoint('portraits').fingerprint()}, compose.py {script}"


def main(run: Path, out: Path) -> None:
    settings = json.loads((run / "run.json").read_text())["settings"]
    model, profile = str(settings["weights"].get("diffae")), settings["profile"]["name"]
    if model not in made_of() or profile != "quick":
        raise SystemExit(f"{run}: no run of the packaged model with profile quick")
    rows = np.concatenate([row(run / "pictures" / name, index) for name, index in ROWS])
    around = ((0, PADDING), (0, PADDING), (0, 0))
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("made of", made_of())
    Image.fromarray(np.pad(rows, around, constant_values=255)).save(out, pnginfo=chunks)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
