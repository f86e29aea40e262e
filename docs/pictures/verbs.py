"""Make the pictures of docs/pictures.md, with the command that the page describes.

python docs/pictures/verbs.py docs/pictures
"""

import contextlib
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from skimage import data

from diffae.data import portraits
from diffae.images.__main__ import main as images

PEOPLE = {"ada": 40_092, "ben": 40_144, "cleo": 40_149}  # of the splits valid and test
FACE = (150, 0, 300, 150)  # of skimage's astronaut (NASA, Eileen Collins; public domain)
THREE = "ada.png ben.png cleo.png"
VERBS = {
    "reconstruct": f"reconstruct {THREE} face.png",
    "vary": f"vary {THREE}",
    "interpolate": "interpolate ada.png ben.png",
    "edit": f"edit {THREE} --attribute Male --strength -0.4,-0.2,0,0.2,0.4",
    "edit-two": f"edit {THREE} --attribute Eyeglasses=0.4 --attribute Young=-0.3",
    "photograph": "edit face.png --attribute Smiling --strength 0,0.2,0.4",
    "sample": "sample --count 16",
    "sample-class": "sample-class --attribute Male --count 8",
}


def write_inputs() -> None:
    """Write the input files of the verbs into the current folder."""
    for name, index in PEOPLE.items():
        pixels = portraits.render(portraits.portrait(0, index), 256)
        Image.fromarray(pixels).save(f"{name}.png")
    Image.fromarray(data.astronaut()).crop(FACE).save("face.png")


def main(out: Path) -> None:
    out = out.resolve()
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        write_inputs()
        for name, line in VERBS.items():
            images([*line.split(), "--out", name])
            shutil.copyfile(Path(name, "sheet.png"), out / f"verb-{name}.png")
        shutil.copyfile("interpolate/ada-ben.gif", out / "verb-interpolate.gif")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
