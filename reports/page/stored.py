"""Images as text, each of which the page holds once."""

import base64
import io
from dataclasses import dataclass, field

from PIL import Image, ImageOps

SHOWN, LARGE_SHOWN = 96, 128  # pixels: the displayed width of small and of large images, about
LOSSLESS = 64  # pixels: larger images lose a little, except those that must not
LARGEST = 512  # pixels: larger images are shrunk
QUALITY = 90


@dataclass
class PageImage:
    """An image as a data URL, and its `key` on the page."""

    key: int
    src: str
    is_placed: bool = False
    _is_written: bool = field(default=False, repr=False)

    def once(self) -> str:
        """The data URL at the first call, which is where the template writes it; then nothing."""
        first, self._is_written = not self._is_written, True
        return self.src if first else ""


class PageImages:
    """The images of a page. Equal ones are the same."""

    def __init__(self) -> None:
        self._stored: dict[tuple[bytes, tuple[int, int], bool], PageImage] = {}

    def add(self, image: Image.Image, exact: bool = False) -> PageImage:
        """Store an image as WebP, shrunk to `LARGEST`; without loss if it is small or must be `exact`."""
        if max(image.size) > LARGEST:
            image = ImageOps.contain(image, (LARGEST, LARGEST), Image.Resampling.LANCZOS)
        is_exact = exact or max(image.size) <= LOSSLESS
        pixels = (image.tobytes(), image.size, is_exact)
        if pixels not in self._stored:
            self._stored[pixels] = PageImage(len(self._stored), data_url(image, is_exact))
        return self._stored[pixels]


@dataclass
class ImageView:
    """An image as the template shows it. `whole` is the key of the image that a click shows, if there is
    more to see, and `whole_src` its data URL if it is nowhere else on the page.
    """

    stored: PageImage
    alt: str
    note: str
    width: int
    height: int
    whole: int | None
    whole_src: str = ""


def data_url(image: Image.Image, exact: bool) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=exact, quality=QUALITY, method=4)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def shown(stored: PageImage, image: Image.Image, alt: str, note: str = "") -> ImageView:
    """An image as the template shows it: small ones enlarged by a whole factor, large ones at most
    `LARGE_SHOWN` wide.
    """
    scale = max(1, round(SHOWN / image.width))
    width = min(image.width * scale, max(LARGE_SHOWN, SHOWN * scale))
    height = round(width * image.height / image.width)
    return ImageView(stored, alt, note, width, height, stored.key if image.width > width else None)
