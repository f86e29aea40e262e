"""What a protocol of reconstruction metrics consists of, and its file.

    protocol = named("llamagen")
    protocol.ssim.range                     "2"
    protocol.sources["ssim.range"]          "FoundationVision/LlamaGen@5a50452 .../reconstruction_vq_ddp.py l.146 in main"

A protocol is a TOML file with a section for each metric that it defines. Every field is a pair: the
value, and where its code says so. The source is a line of the file that `code` names, or a file and
line of the same repository. Those that ship name the function too.
"""

from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from benchmarks.metrics.protocols.library import FOLDERS, Head, Library, Value
from benchmarks.metrics.protocols.library import PLAIN as PLAIN
from diffae.system.settings import Range, settings_of

FOLDER = FOLDERS["images"]

Scaling = Literal["x / 127.5 - 1", "x / 255", "(x / 255 - 0.5) / 0.5", "ImageNet's mean and std"]
Rounding = Literal["none", "half up", "half to even", "truncated"]
Rounded = Literal["both", "reconstruction"]
Trunk = Literal["alexnet", "vgg16"]
Batch = Annotated[int, Range(1, 65_536)]


@dataclass(frozen=True)
class Pixels:
    """How images get to a network and back.

    crop        how an image of a data set becomes square, as --crop names it; a folder that is
                measured holds crops already
    scaling     the numbers that stand for pixels x of 0 to 255, in float32, so that a level of an
                image that is scaled, scaled back and truncated may fall by one. "x / 127.5 - 1" is
                NumPy's: computed in float64, then rounded once
    posterior   which code of a posterior distribution is decoded
    """

    crop: str = "center"
    scaling: Scaling = "x / 127.5 - 1"
    posterior: Literal["mean", "sample"] = "mean"


@dataclass(frozen=True)
class RFid:
    """The Frechet distance between reconstructions and a reference.

    reference   the images on the other side; "the same crops": the originals of the reconstructions
    rounding    from the scaled numbers to 8 bits
    rounded     which of the two sides it is applied to
    resize      how images get to Inception's 299 px: "pytorch-fid": bilinear, half-pixel centres, no
                antialiasing; "tensorflow": TensorFlow 1's bilinear, without half-pixel centres;
                "clean-fid": Pillow's bicubic on float channels, antialiased; "antialiased":
                torch's bilinear with antialiasing
    dtype       of Inception's computation
    """

    reference: Literal[
        "the same crops", "uncropped images", "training images", "ADM's statistics"
    ] = "the same crops"
    rounding: Rounding = "half to even"
    rounded: Rounded = "both"
    resize: Literal["pytorch-fid", "tensorflow", "clean-fid", "antialiased"] = "pytorch-fid"
    dtype: Literal["float32", "float64"] = "float32"


@dataclass(frozen=True)
class Psnr:
    """PSNR at peak 1 of pixels in [0, 1].

    of            what has one mean squared error: an image, a batch, or all images together
    error         "halved": of pixels mapped to [0, 1] once more, (x + 1) / 2, which adds 6.02 dB
    equal_images  the PSNR of equal images: "100 dB" if errors below 1e-10 count as 1e-10, or if
                  1e-10 is added to each error
    batch         images of a batch; a mean over images is that of the means of batches
    """

    rounding: Rounding = "none"
    rounded: Rounded = "both"
    of: Literal["image", "batch", "all"] = "image"
    error: Literal["of pixels in [0, 1]", "halved"] = "of pixels in [0, 1]"
    equal_images: Literal["infinite", "100 dB", "100 dB, 1e-10 added"] = "infinite"
    batch: Batch = 1


@dataclass(frozen=True)
class Ssim:
    """SSIM, averaged over windows and channels.

    pixels      the numbers that it is computed of: their mean enters it, so that it is another
                number in [-1, 1]
    clamped     whether what a decoder gives beyond them is cut off
    window      weights of the local moments: an 11 x 11 Gaussian of sigma 1.5, or 7 x 7 equal ones
    padding     of the image: zeros, its reflection, or none ("valid": windows inside the image)
    range       the number that the stabilising constants are multiples of; "of the batch": the
                larger of the two sides' largest minus smallest pixel (no number where that is 0)
    covariance  divided by the number of a window's pixels ("population"), or by one less
    batch       as for PSNR; for a run with the range "of the batch" a divisor of 64
    """

    rounding: Rounding = "none"
    rounded: Rounded = "both"
    pixels: Literal["[0, 1]", "[-1, 1]"] = "[0, 1]"
    clamped: bool = True
    window: Literal["gaussian 11", "uniform 7"] = "gaussian 11"
    padding: Literal["zero", "reflect", "valid"] = "zero"
    range: Literal["1", "2", "of the batch"] = "1"
    covariance: Literal["population", "sample"] = "population"
    batch: Batch = 1


@dataclass(frozen=True)
class Lpips:
    """LPIPS v0.1 of pixels in [-1, 1].

    trunk    the network
    clamped  whether what a decoder gives beyond [-1, 1] is cut off
    batch    as for PSNR
    """

    rounding: Rounding = "none"
    rounded: Rounded = "both"
    trunk: Trunk = "alexnet"
    clamped: bool = True
    batch: Batch = 1


MetricSection = RFid | Psnr | Ssim | Lpips
SECTIONS: dict[str, type] = {
    "pixels": Pixels,
    "rfid": RFid,
    "psnr": Psnr,
    "ssim": Ssim,
    "lpips": Lpips,
}
METRICS = ("rfid", "psnr", "ssim", "lpips")


@dataclass(frozen=True)
class ImageProtocol(Head):
    """A protocol. A metric is None if the evaluation code does not compute it."""

    pixels: Pixels = field(default_factory=Pixels)
    rfid: RFid | None = None
    psnr: Psnr | None = None
    ssim: Ssim | None = None
    lpips: Lpips | None = None

    def section(self, metric: str) -> MetricSection:
        """The section of a metric that the protocol defines."""
        section: MetricSection | None = getattr(self, metric)
        assert section is not None, f"{self.name} defines no {metric}"
        return section

    def is_clamped(self, metric: str) -> bool:
        """Whether what a decoder gives is cut to [-1, 1] for a metric that the protocol defines."""
        section = self.section(metric)
        return section.clamped if isinstance(section, Ssim | Lpips) else True

    def describe(self, metric: str) -> dict[str, Value]:
        """Every field that the metric depends on, by "section.field"."""
        sections = {"pixels": self.pixels, metric: getattr(self, metric)}
        fields: dict[str, Value] = {}
        for name, section in sections.items():
            if section is not None:
                keys = settings_of(type(section))
                fields |= {f"{name}.{key}": getattr(section, key) for key in keys}
        return fields

    def changed(self, name: str, value: Value) -> "ImageProtocol":
        """This protocol with another value of the field "section.field"."""
        section, _, key = name.partition(".")
        return replace(self, **{section: replace(getattr(self, section), **{key: value})})


LIBRARY = Library("images", SECTIONS, lambda sections, **head: ImageProtocol(**head, **sections))
names, named, read, asked = LIBRARY.names, LIBRARY.named, LIBRARY.read, LIBRARY.asked
