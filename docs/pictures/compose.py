"""The README's picture, put together from the pictures of a run.

python docs/pictures/compose.py runs/RUN docs/pictures/overview.png
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

COLUMNS, PADDING = 8, 2
ROWS = (
    ("reconstruction-diffae.png", 0),
    ("reconstruction-diffae.png", 1),
    ("reconstruction-diffae-random.png", 1),
    ("edit-diffae-Male.png", -1),
    ("samples-diffae-10.png", 0),
)


def row(path: Path, index: int) -> np.ndarray:
    """One row of a sheet of eight columns."""
    sheet = np.asarray(Image.open(path).convert("RGB"))
    side = (sheet.shape[1] - PADDING) // COLUMNS
    rows = (sheet.shape[0] - PADDING) // side
    top = (index % rows) * side
    return sheet[top : top + side + PADDING]


def main(run: Path, out: Path) -> None:
    sheet = np.concatenate([row(run / "pictures" / name, index) for name, index in ROWS])
    Image.fromarray(sheet).save(out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
