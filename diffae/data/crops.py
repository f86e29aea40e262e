"""Crops: an RGB image as its middle square of `size` pixels, as public evaluation codes cut it.

Each function takes an image of any size and returns uint8 size x size x 3. They differ in the
filter, and so in every metric of reconstruction: `CROPS` names them for `--crop`.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from PIL import Image

from diffae.system.errors import needed

BILINEAR, BICUBIC = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC


def center(image: Image.Image, size: int) -> np.ndarray:
    """torchvision's `Resize(size)` and `CenterCrop(size)` of a PIL image: bilinear, antialiased."""
    return np.asarray(center_crop(resize_shorter_side(image, size, BILINEAR), size))


def center_bicubic(image: Image.Image, size: int) -> np.ndarray:
    """torchvision's `Resize(size, BICUBIC)` and `CenterCrop(size)` of a PIL image.

    The evaluation of bytedance/1d-tokenizer@942a96f (TiTok).
    """
    return np.asarray(center_crop(resize_shorter_side(image, size, BICUBIC), size))


def center_tensor(image: Image.Image, size: int, antialias: bool = True) -> np.ndarray:
    """torchvision's `ToTensor`, `Resize(size)` (bilinear) and `CenterCrop(size)`; before torchvision
    0.17 this resize had no antialiasing.

    hustvl/LightningDiT@2725fed evaluate_tokenizer.py lines 59-61. The floats are rounded half up,
    as that script rounds its reference images; its model sees them before rounding, which moves
    an input by 1/510 at most.
    """
    from torchvision.transforms import functional as F

    resized = F.resize(F.to_tensor(image), [size], antialias=antialias)
    scaled = (F.center_crop(resized, [size]) - 0.5) / 0.5 * 127.5 + 128  # in its order: ties count
    return scaled.clamp(0, 255).byte().permute(1, 2, 0).numpy()


def adm(image: Image.Image, size: int) -> np.ndarray:
    """The crop of openai/guided-diffusion@22e0df8 (`center_crop_arr` of image_datasets.py).

    Halved by a box filter while the shorter side is at least 2 `size`, then bicubic, with the
    longer side rounded to the nearest pixel.
    """
    while min(image.size) >= 2 * size:
        image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
    scale = size / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), BICUBIC)
    return middle(np.asarray(image), size)


def opencv(image: Image.Image, size: int) -> np.ndarray:
    """albumentations' `SmallestMaxSize(size)` and `CenterCrop(size, size)`: bilinear, no antialiasing.

    CompVis/taming-transformers@3ba01b2 taming/data/base.py; `round` takes ties to the even side,
    as albumentations does. Raises UserError without OpenCV.
    """
    cv2 = needed("cv2", "crop cv2", "opencv-python-headless")
    scale = size / min(image.size)
    resized = (round(image.width * scale), round(image.height * scale))
    return middle(cv2.resize(np.asarray(image), resized, interpolation=cv2.INTER_LINEAR), size)


def resize_shorter_side(image: Image.Image, size: int, resampling: Image.Resampling) -> Image.Image:
    """torchvision's `Resize(size)`: shorter side to `size`, the longer side rounded down."""
    shorter = min(image.size)
    width, height = (int(size * side / shorter) for side in image.size)
    if (width, height) == image.size:
        return image
    return image.resize((width, height), resampling)


def center_crop(image: Image.Image, size: int) -> Image.Image:
    """torchvision's `CenterCrop(size)`, for an image no smaller than that."""
    left, top = round((image.width - size) / 2), round((image.height - size) / 2)
    return image.crop((left, top, left + size, top + size))


def middle(pixels: np.ndarray, size: int) -> np.ndarray:
    """The middle square of pixels H x W x 3, an odd margin being smaller at the top and the left."""
    top, left = ((side - size) // 2 for side in pixels.shape[:2])
    return pixels[top : top + size, left : left + size]


class Crop(NamedTuple):
    """A crop and how it resamples, in words for protocols."""

    cut: Callable[[Image.Image, int], np.ndarray]
    filter: str = "bilinear"
    resampler: str = "PIL"
    antialias: bool = True


ON_FLOATS = "torchvision on floats, rounded half up"
CROPS = {
    "center": Crop(center),
    "d2c": Crop(center),  # of the face that `Transform` cuts out first
    "none": Crop(center),  # of an image that is square already
    "center-bicubic": Crop(center_bicubic, "bicubic"),
    "center-tensor": Crop(center_tensor, resampler=ON_FLOATS),
    "center-tensor-aliased": Crop(
        partial(center_tensor, antialias=False), resampler=ON_FLOATS, antialias=False
    ),
    "adm": Crop(adm, "box halvings, then bicubic"),
    "cv2": Crop(opencv, resampler="OpenCV", antialias=False),
}
