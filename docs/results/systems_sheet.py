"""The reconstructions of all systems of a run, one below the other.

python docs/results/systems_sheet.py runs/RUN docs/results/all-systems/reconstructions.png
"""

import sys
from pathlib import Path

import numpy as np
import torch

from diffae.sheet import Sheet, write
from reports.sheets import ReadSheet, read_sheet

NAMES = "diffae ddim nvae vqvae2 vqgan d2c stylegan2-wplus stylegan2-w pixels-pca".split()


def row(sheet: ReadSheet, number: int) -> torch.Tensor:
    """The images of a row: n x 3 x S x S in [-1, 1]."""
    cells = [np.asarray(sheet.cell(number, column)) for column in range(sheet.lengths[number])]
    return torch.from_numpy(np.stack(cells)).permute(0, 3, 1, 2).float() / 127.5 - 1


def main(run: Path, out: Path) -> None:
    sheets = [read_sheet(run / "pictures" / f"reconstruction-{name}.png") for name in NAMES]
    titles = [sheet.title.removesuffix(": reconstruction") for sheet in sheets]
    images = [row(sheets[0], 0), *(row(sheet, 1) for sheet in sheets)]
    write(
        out,
        Sheet(
            "Held-out portraits and their reconstructions",
            images,
            rows=("input", *titles),
            caption="None chosen. DiffAE and DDIM at T = 100, with x_T inverted.",
        ),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
