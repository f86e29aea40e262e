"""A newcomer's folder of photographs: crops of the seven that ship in scikit-image and scikit-learn.

    pip install 'scikit-image>=0.24'
    python docs/results/small/photographs.py photographs

FOLDER/train has 500 crops of the left two thirds of each photograph, FOLDER/valid 50 and FOLDER/test 150 of the right third: no
pixel is in two of train and the others. Crops are 128 px, at places drawn with a seed, and overlap within their part, so that
they are fewer independent pictures than files. Photographs are cut in turns, as many crops of each but for one.

Astronaut (NASA), chelsea, coffee, rocket and motorcycle are in the public domain or under CC0; china.jpg and
flower.jpg are of danielbuechele and vultilion, CC BY 2.0.
"""

import argparse
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data
from sklearn.datasets import load_sample_images

SIDE = 128  # px of a crop
TRAINING = 2 / 3  # of a photograph's width
COUNTS = {"train": 500, "valid": 50, "test": 150}


def photographs() -> dict[str, np.ndarray]:
    """uint8 H x W x 3, by name."""
    ours = {name: getattr(data, name)() for name in ("astronaut", "chelsea", "coffee", "rocket")}
    samples = load_sample_images()
    theirs = {
        Path(name).stem: image
        for name, image in zip(samples.filenames, samples.images, strict=True)
    }
    return ours | {"motorcycle": data.stereo_motorcycle()[0]} | theirs


def part_of(photograph: np.ndarray, split: str) -> np.ndarray:
    """The columns for the crops of a split: left of the border for train, right of it for the others."""
    border = int(photograph.shape[1] * TRAINING)
    return photograph[:, :border] if split == "train" else photograph[:, border:]


def crops(split: str, count: int) -> Iterator[tuple[str, np.ndarray]]:
    """`count` squares of SIDE px and their names; the places are drawn with the split's name as the seed."""
    draw = np.random.default_rng(list(split.encode()))
    parts = {name: part_of(image, split) for name, image in photographs().items()}
    for number, name in enumerate(islice(cycle(parts), count)):
        top, left = (int(draw.integers(side - SIDE + 1)) for side in parts[name].shape[:2])
        yield f"{name}-{number:03d}", parts[name][top : top + SIDE, left : left + SIDE]


def write(folder: Path, counts: dict[str, int] = COUNTS) -> None:
    """Write crops as PNG into a folder for each split."""
    for split, count in counts.items():
        (folder / split).mkdir(parents=True)
        for name, square in crops(split, count):
            Image.fromarray(square).save(folder / split / f"{name}.png")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="a folder that is not there yet")
    write(parser.parse_args().folder)


if __name__ == "__main__":
    main()
