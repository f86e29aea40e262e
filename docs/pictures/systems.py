"""Draw the reconstructions of all systems of a run, one below the other.

python docs/pictures/systems.py runs/RUN docs/results/all-systems/reconstructions.png
"""

import sys
from pathlib import Path

from compose import row

from diffae.sheet import Sheet, write
from reports.page.sheets import read_sheet

NAMES = "diffae ddim nvae vqvae2 vqgan d2c stylegan2-wplus stylegan2-w pixels-pca".split()


def main(run: Path, out: Path) -> None:
    paths = [run / "pictures" / f"reconstruction-{name}.png" for name in NAMES]
    titles = [read_sheet(path).title.removesuffix(": reconstruction") for path in paths]
    images = [row(paths[0], 0)[1], *(row(path, 1)[1] for path in paths)]
    caption = "None chosen. DiffAE and DDIM at T = 100, with x_T inverted."
    title = "Held-out portraits and their reconstructions"
    write(out, Sheet(title, images, rows=("input", *titles), caption=caption))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
