"""The README's picture, put together from the pictures of a run.

python docs/pictures/compose.py runs/RUN docs/pictures/overview.png
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

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


def main(run: Path, out: Path) -> None:
    rows = np.concatenate([row(run / "pictures" / name, index) for name, index in ROWS])
    around = ((0, PADDING), (0, PADDING), (0, 0))
    Image.fromarray(np.pad(rows, around, constant_values=255)).save(out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
