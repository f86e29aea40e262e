"""Make the pictures of docs/pictures.md, with the command that the page describes.

python docs/pictures/verbs.py docs/pictures

It needs `pip install dlib-bin face-recognition-models`.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

from diffae.data import portraits
from diffae.images.__main__ import main as images

PEOPLE = {"ada": 40_092, "ben": 40_144, "cleo": 40_149}  # of the splits valid and test
FACE = (150, 0, 300, 150)  # of skimage's astronaut (NASA, Eileen Collins; public domain)


def inputs(folder: Path) -> dict[str, str]:
    """The input files of the verbs."""
    for name, index in PEOPLE.items():
        Image.fromarray(portraits.render(portraits.portrait(0, index), 256)).save(
            folder / f"{name}.png"
        )
    Image.fromarray(data.astronaut()).save(folder / "astronaut.png")
    Image.fromarray(np.asarray(data.astronaut())).crop(FACE).save(folder / "face.png")
    return {path.stem: str(path) for path in folder.iterdir()}


def verbs(at: dict[str, str]) -> dict[str, list[str]]:
    """The arguments of each picture, except --out."""
    people = [at[name] for name in PEOPLE]
    return {
        "reconstruct": ["reconstruct", *people, at["face"]],
        "vary": ["vary", *people],
        "interpolate": ["interpolate", at["ada"], at["ben"]],
        "edit": ["edit", *people, "--attribute", "Male", "--strip", "-0.4,-0.2,0,0.2,0.4"],
        "edit-two": ["edit", *people, "--attribute", "Eyeglasses=0.4", "--attribute", "Young=-0.3"],
        "photograph": ["edit", at["face"], "--attribute", "Smiling", "--strip", "0,0.2,0.4"],
        "aligned": [
            *("edit", at["astronaut"], "--align"),
            *("--attribute", "Eyeglasses", "--strip", "0,0.2,0.4"),
        ],
        "sample": ["sample", "--count", "16"],
        "sample-class": ["sample-class", "--attribute", "Male", "--count", "8"],
    }


def main(out: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        source, made = Path(scratch) / "in", Path(scratch) / "out"
        source.mkdir()
        for name, words in verbs(inputs(source)).items():
            images([*words, "--out", str(made / name)])
            shutil.copyfile(made / name / "sheet.png", out / f"verb-{name}.png")
        shutil.copyfile(made / "interpolate" / "ada-ben.gif", out / "verb-interpolate.gif")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
