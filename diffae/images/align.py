"""Crop and turn a face in a photograph as FFHQ's are, from five landmarks.

The recipe is that of the data set (Karras et al., 2019; `recreate_aligned_images` in
NVlabs/ffhq-dataset), which the authors of DiffAE apply to photographs too. It needs the centres of
the eyes and the corners of the mouth only. Theirs come from dlib's 68 landmarks; here the user
gives them, in CelebA's own file (`list_landmarks_celeba.txt`, for the images in the wild) or as
numbers.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from diffae.data.readers.label_files import read_rows
from diffae.system.errors import UserError

# Left eye, right eye, nose, left and right corner of the mouth, as they are seen in the picture: (x, y) in pixels each.
Points = np.ndarray
FIVE = (5, 2)
OVERSAMPLED = 4  # pixels that the turned square is drawn with, a side, for each of the result's


def square_of(points: Points) -> np.ndarray:
    """Corners [4, 2] of the face's square, in pixels: top left, bottom left, bottom right, top right.

    With e the vector from eye to eye and m that from the middle of the eyes to that of the mouth,
    the square's half side has the direction e - rot90(m) and the length max(2 |e|, 1.8 |m|); its
    centre is a tenth of m below the eyes.
    """
    left_eye, right_eye, _, left_mouth, right_mouth = points.astype(np.float64)
    eyes, mouth = (left_eye + right_eye) / 2, (left_mouth + right_mouth) / 2
    along, down = right_eye - left_eye, mouth - eyes
    x = along - down[::-1] * [-1, 1]
    x *= max(2.0 * np.hypot(*along), 1.8 * np.hypot(*down)) / np.hypot(*x)
    y = x[::-1] * [-1, 1]
    centre = eyes + 0.1 * down
    return np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y])


def aligned(image: Image.Image, points: Points, size: int, where: str) -> np.ndarray:
    """The face's square as uint8 size x size x 3; beyond the picture, its edge is repeated, mirrored.

    Raises UserError naming `where` for points that do not form a face within the picture.
    """
    _check(points, image, where)
    square = square_of(points)
    side = float(np.hypot(*(square[3] - square[0])))
    pad = _beyond(square, image.size)
    if max(pad) > 4 * max(image.size):
        raise UserError(f"{where}: the landmarks describe a face far larger than the picture")
    pixels = np.asarray(image)
    if max(pad):
        left, top, right, bottom = pad
        pixels = np.pad(pixels, ((top, bottom), (left, right), (0, 0)), mode="symmetric")
        square = square + np.array([left, top])
    drawn = min(max(OVERSAMPLED * size, size), max(size, round(side)))
    turned = Image.fromarray(pixels).transform(
        (drawn, drawn),
        Image.Transform.QUAD,
        tuple((square + 0.5).flatten()),
        Image.Resampling.BILINEAR,
    )
    return np.asarray(turned.resize((size, size), Image.Resampling.LANCZOS))


def _beyond(square: np.ndarray, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Pixels by which the square reaches beyond a picture: left, top, right, bottom."""
    low, high = np.floor(square.min(0)) - 1, np.ceil(square.max(0)) + 1
    width, height = size
    left, top, right, bottom = -low[0], -low[1], high[0] - width, high[1] - height
    return max(int(left), 0), max(int(top), 0), max(int(right), 0), max(int(bottom), 0)


def _check(points: Points, image: Image.Image, where: str) -> None:
    low, high = -np.array(image.size), 2 * np.array(image.size)
    eyes = np.hypot(*(points[1] - points[0]))
    mouth = np.hypot(*((points[3] + points[4] - points[0] - points[1]) / 2))
    if (points < low).any() or (points > high).any() or min(eyes, mouth) < 1:
        raise UserError(
            f"{where}: its landmarks are not those of a face in a picture of {image.width} x {image.height}; they are left eye, "
            "right eye, nose, left and right corner of the mouth, x y each"
        )


def five_points(text: str, where: str) -> Points:
    """Parse ten numbers, x y of each point, separated by commas or blanks.

    Raises UserError naming `where`.
    """
    try:
        numbers = [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        numbers = []
    if len(numbers) != 10 or not np.isfinite(numbers).all():
        raise UserError(f"{where}: five points are ten numbers, x1,y1,...,x5,y5, not {text!r:.60}")
    return np.array(numbers).reshape(FIVE)


def read_landmarks(path: Path) -> dict[str, Points]:
    """Five points by file name, from a file of CelebA's form.

    It has a count, a line of names, then NAME x1 y1 ... x5 y5 (or it is a .csv).
    """
    rows = read_rows(path)
    numbered = (len(row) == 11 and row[1].lstrip("-")[:1].isdecimal() for row in rows[:3])
    first = next((i for i, is_row in enumerate(numbered) if is_row), 0)
    found = {}
    for number, row in enumerate(rows[first:], start=first + 1):
        name, *values = row
        found[name] = five_points(" ".join(values), f"{path}: line {number}")
    if not found:
        raise UserError(f"{path}: no landmarks; each line is NAME x1 y1 ... x5 y5")
    return found
