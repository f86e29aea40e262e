"""From an image file to square RGB pixels.

The authors of DiffAE train with torchvision's `Resize` (bilinear, antialiased) and `CenterCrop`, and
for CelebA64 with the crop of D2C. Other evaluations use other crops (`CROPS`). The choice changes
published numbers, so `Transform.describe()` is part of the protocol.
"""

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from diffae.system.cli import positive
from diffae.system.errors import UserError, needed
from diffae.system.files import read_file
from diffae.system.free_memory import fits
from diffae.system.settings import Values, changed_options, option, options_of

ALIGNED_CELEBA = (178, 218)
D2C_BOX = (25, 57, 153, 185)
SMALLEST_SIZE, LARGEST_SIZE = 8, 4096
LARGEST_IMAGE = 1 << 28  # bytes of an image file, since a small archive may unpack to any size
PER_PIXEL = 20  # bytes of memory for each pixel while an image is decoded or resized
# Formats that are decoded, whatever the suffix of a file. Pillow would also run Ghostscript on PostScript.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

DECODING_ERRORS = (
    OSError,
    SyntaxError,  # Pillow raises it for a broken PNG
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


@dataclass(frozen=True)
class Transform:
    """Pad, crop and resize any image to `image_size` x `image_size` pixels.

    `pad_to` puts the image in the middle of a black square of that many pixels. `crop` is one of
    `CROPS`. "d2c" resizes the 128 x 128 face of a 178 x 218 aligned CelebA image (Sinha et al.,
    NeurIPS 2021), and "none" an image that is square already. All others resize the shorter side to
    `image_size` and cut out the middle. An image that has the right size is not resampled.

    Other fields are options (`diffae.system.settings.option`) of every command that opens data for an
    evaluation. They change the pixels in `apply`, or the images that there are in `Dataset.changed_by`, and
    are described where they are not the default.
    """

    image_size: int
    crop: str = "center"
    pad_to: int | None = None
    smallest: int | None = option(
        "leave out images whose shorter side is smaller than N px", type=positive, metavar="N"
    )

    def __post_init__(self) -> None:
        if self.crop not in CROPS:
            raise UserError(f"crop {self.crop!r} is unknown; choose {', '.join(CROPS)}")
        if not SMALLEST_SIZE <= self.image_size <= LARGEST_SIZE:
            raise UserError(f"image size {self.image_size}: use {SMALLEST_SIZE} to {LARGEST_SIZE}")

    def apply(self, image: Image.Image, where: str) -> np.ndarray:
        """The RGB image as uint8 S x S x 3. Raises a `UserError` that names `where` if it cannot be cut."""
        if self.pad_to is not None:
            image = pad(image, self.pad_to)
        if self.crop == "d2c":
            require(image.size == ALIGNED_CELEBA, image, where, "crop d2c needs 178 x 218")
            image = image.crop(D2C_BOX)
        elif self.crop == "none":
            require(image.width == image.height, image, where, "crop none needs square images")
        # The longer side of a strip, such as 1 x 1,000,000, becomes much longer than `image_size`.
        fits(PER_PIXEL * self.image_size**2 * max(image.size) // min(image.size), where)
        return CROPS[self.crop].cut(image, self.image_size)

    def native_side(self, width: int, height: int) -> int:
        """Side in px of the square that is cut out of an image of this size, before resizing."""
        if self.crop == "d2c":
            left, top, right, bottom = D2C_BOX
            return min(right - left, bottom - top)
        return max(min(width, height), self.pad_to or 0)

    @cached_property
    def options(self) -> Values:
        """The options that are not the default."""
        return changed_options(Transform, self)

    def describe(self) -> dict[str, str | int | bool | None]:
        """All that two runs must share to use the same pixels: every field, and the resampler.

        An option is there only if it is not the default, so that a new one changes no description.
        """
        crop, absent = CROPS[self.crop], OPTIONS.keys() - self.options.keys()
        values = {name: value for name, value in asdict(self).items() if name not in absent}
        resampling = dict(filter=crop.filter, resampler=crop.resampler, antialias=crop.antialias)
        return {**values, **resampling}

    def changed_by(self, options: Values) -> Self:
        """A copy with other values of some options."""
        return replace(self, **options)


OPTIONS = options_of(Transform)


def require(fits: bool, image: Image.Image, where: str, requirement: str) -> None:
    if not fits:
        size = f"{image.width} x {image.height}"
        raise UserError(f"{where}: {requirement}, this image is {size}; try crop center")


def pad(image: Image.Image, size: int) -> Image.Image:
    """The image in the middle of a black square of `size` pixels."""
    square = Image.new("RGB", (size, size))
    square.paste(image, ((size - image.width) // 2, (size - image.height) // 2))
    return square


def decode(path: Path) -> Image.Image:
    """Read an image file as upright 8-bit RGB; of an animation, the first frame.

    Raises a `UserError` that names the file if it is damaged.
    """
    return _open(read_file(path, LARGEST_IMAGE), str(path), to_rgb)


def decode_plainly(path: Path) -> Image.Image:
    """Read an image as pytorch-fid does, with Pillow's conversion to RGB.

    It drops alpha, clips 16-bit grey and ignores the orientation.
    """
    return _open(read_file(path, LARGEST_IMAGE), str(path), lambda image: image.convert("RGB"))


def decode_bytes(content: bytes, where: str) -> Image.Image:
    """As `decode`, from the bytes of an image file. Messages begin with `where`."""
    return _open(content, where, to_rgb)


def _open(content: bytes, where: str, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Decode an image file and `convert` the image. Raises a `UserError` that names `where`."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            per_pixel = 2 * PER_PIXEL if image.mode[0] == "I" else PER_PIXEL  # "I" is 16-bit grey
            fits(per_pixel * image.width * image.height, where)
            image.load()
            return convert(image)
    except DECODING_ERRORS as error:
        raise UserError(f"{where}: cannot read this image ({reason(error)}); remove it") from error


def reason(error: Exception) -> str:
    """Pillow's message without the path, which the caller adds."""
    if isinstance(error, UnidentifiedImageError):
        return f"damaged, or none of {', '.join(FORMATS)}"
    return getattr(error, "strerror", None) or str(error)


def to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB, turned by its EXIF orientation, with transparency on white.

    `ImageOps.exif_transpose` also rewrites the other tags, and fails if one of them is damaged.
    """
    method = UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    image = image if method is None else image.transpose(method)
    if image.mode.startswith("I"):
        image = narrow(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def narrow(image: Image.Image) -> Image.Image:
    """16-bit grey as 8 bits, divided by 257, with alpha if one grey is transparent.

    Pillow would clip the values and lose the alpha.
    """
    wide = np.asarray(image).astype(np.int64)
    grey = np.rint(wide / 257).clip(0, 255).astype(np.uint8)
    transparent = image.info.get("transparency")
    if transparent is None:
        return Image.fromarray(grey)
    alpha = np.where(wide == transparent, 0, 255).astype(np.uint8)
    return Image.fromarray(np.stack([grey, alpha], axis=-1))


# ----------------------------------------------------------------------------------------------
# Crops: the middle square of an RGB image, as public evaluation code cuts it
#
# Each function takes an image of any size and returns uint8 size x size x 3. They differ in the
# filter, which changes every metric of reconstruction. `CROPS` has their names for `--crop`.

BILINEAR, BICUBIC = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC


def center(image: Image.Image, size: int, resampling: Image.Resampling = BILINEAR) -> np.ndarray:
    """torchvision's `Resize(size)` and `CenterCrop(size)` of a PIL image: by default bilinear, antialiased."""
    return np.asarray(center_crop(resize_shorter_side(image, size, resampling), size))


def center_tensor(image: Image.Image, size: int, antialias: bool = True) -> np.ndarray:
    """torchvision's `ToTensor`, `Resize(size)` (bilinear) and `CenterCrop(size)`.

    Before torchvision 0.17 this resize had no antialiasing. This is the crop of
    hustvl/LightningDiT@2725fed, evaluate_tokenizer.py lines 59-61. The floats are rounded half up, as
    that script rounds its reference images. The inputs of its model are not rounded, and differ by
    1/510 at most.
    """
    from torchvision.transforms import functional as F

    resized = F.resize(F.to_tensor(image), [size], antialias=antialias)
    # The operations are in the script's order, which decides ties.
    scaled = (F.center_crop(resized, [size]) - 0.5) / 0.5 * 127.5 + 128
    return scaled.clamp(0, 255).byte().permute(1, 2, 0).numpy()


def adm(image: Image.Image, size: int) -> np.ndarray:
    """The crop of openai/guided-diffusion@22e0df8 (`center_crop_arr` of image_datasets.py).

    The image is halved by a box filter while its shorter side is at least 2 `size`, then resized with
    a bicubic filter. The longer side is rounded to the nearest pixel.
    """
    while min(image.size) >= 2 * size:
        image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
    scale = size / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), BICUBIC)
    return middle(np.asarray(image), size)


def opencv(image: Image.Image, size: int) -> np.ndarray:
    """albumentations' `SmallestMaxSize(size)` and `CenterCrop(size, size)`: bilinear, no antialiasing.

    This is the crop of CompVis/taming-transformers@3ba01b2, taming/data/base.py. `round` takes ties to
    the even number, as albumentations does. Raises UserError without OpenCV.
    """
    cv2 = needed("cv2", "crop cv2", "opencv-python-headless")
    scale = size / min(image.size)
    resized = (round(image.width * scale), round(image.height * scale))
    return middle(cv2.resize(np.asarray(image), resized, interpolation=cv2.INTER_LINEAR), size)


def resize_shorter_side(image: Image.Image, size: int, resampling: Image.Resampling) -> Image.Image:
    """torchvision's `Resize(size)`: the shorter side becomes `size`, the longer one is rounded down."""
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
    """The middle square of pixels H x W x 3. An odd margin is smaller at the top and the left."""
    top, left = ((side - size) // 2 for side in pixels.shape[:2])
    return pixels[top : top + size, left : left + size]


def crop_to_multiples(image: Image.Image, multiple: int) -> np.ndarray:
    """The middle of an image, as large as sides that are multiples allow, uint8 H x W x 3.

    An odd margin is smaller at the top and the left.
    """
    width, height = (side - side % multiple for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return np.asarray(image)[top : top + height, left : left + width]


class Crop(NamedTuple):
    """A crop, and the words for its resampling in protocols."""

    cut: Callable[[Image.Image, int], np.ndarray]
    filter: str = "bilinear"
    resampler: str = "PIL"
    antialias: bool = True


ON_FLOATS = "torchvision on floats, rounded half up"
CROPS = {
    "center": Crop(center),
    "d2c": Crop(center),  # of the face, which `Transform` has cut out
    "none": Crop(center),  # of an image that is square already
    # of bytedance/1d-tokenizer@942a96f (TiTok)
    "center-bicubic": Crop(partial(center, resampling=BICUBIC), "bicubic"),
    "center-tensor": Crop(center_tensor, resampler=ON_FLOATS),
    "center-tensor-aliased": Crop(
        partial(center_tensor, antialias=False), resampler=ON_FLOATS, antialias=False
    ),
    "adm": Crop(adm, "box halvings, then bicubic"),
    "cv2": Crop(opencv, resampler="OpenCV", antialias=False),
}
