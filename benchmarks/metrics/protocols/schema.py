"""What a protocol of reconstruction metrics consists of, and its file.

    protocol = named("llamagen")
    protocol.ssim.range                     "2"
    protocol.sources["ssim.range"]          "FoundationVision/LlamaGen@5a50452 .../reconstruction_vq_ddp.py l.146 in main"

A protocol is a TOML file with a section for each metric that it defines. Every field is a pair: the
value, and where its code says so. The source is a line of the file that `code` names, or a file and
line of the same repository. Those that ship name the function too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from diffae.system.cli import did_you_mean
from diffae.system.errors import UserError
from diffae.system.files import read_toml
from diffae.system.settings import Range, checked, settings_of

FOLDER = Path(__file__).parents[2] / "protocols"
PLAIN = "plain"  # ours: what is measured without --protocol

Scaling = Literal["x / 127.5 - 1", "x / 255", "(x / 255 - 0.5) / 0.5", "ImageNet's mean and std"]
Rounding = Literal["none", "half up", "half to even", "truncated"]
Rounded = Literal["both", "reconstruction"]
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
    batch       as for PSNR
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
    trunk: Literal["alexnet", "vgg16"] = "alexnet"
    clamped: bool = True
    batch: Batch = 1


Kinds = dict[str, type]
SECTIONS: Kinds = {"pixels": Pixels, "rfid": RFid, "psnr": Psnr, "ssim": Ssim, "lpips": Lpips}
METRICS = ("rfid", "psnr", "ssim", "lpips")


@dataclass(frozen=True)
class Protocol:
    """A protocol. A metric is None if the evaluation code does not compute it.

    commit   of the repository that `code` names, in full
    read     the date on which its code was read there
    unread   what could not be read
    sources  where the code says so, by "section.field"
    """

    name: str
    title: str
    code: str
    pixels: Pixels = field(default_factory=Pixels)
    rfid: RFid | None = None
    psnr: Psnr | None = None
    ssim: Ssim | None = None
    lpips: Lpips | None = None
    note: str = ""
    commit: str = ""
    read: str = ""
    unread: str = ""
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def describe(self, metric: str) -> dict[str, Any]:
        """Every field that the metric depends on, by "section.field"."""
        sections = {"pixels": self.pixels, metric: getattr(self, metric)}
        defined = {name: one for name, one in sections.items() if one is not None}
        keys = [(name, key) for name, one in defined.items() for key in settings_of(type(one))]
        return {f"{name}.{key}": getattr(defined[name], key) for name, key in keys}


NEEDED = ("title", "code")
HEAD = (*NEEDED, "note", "commit", "read", "unread")


@cache
def names() -> tuple[str, ...]:
    """The protocols that ship with the package; ours first."""
    found = sorted(path.stem for path in FOLDER.glob("*.toml"))
    return (PLAIN, *(name for name in found if name != PLAIN))


def named(name: str) -> Protocol:
    """A protocol by its name, or by the path of a file of one's own.

    Raises UserError naming the file for an unknown name, section, field or value, and for a file
    that is called as one of ours: results name their protocol.
    """
    if name in names():
        return read(FOLDER / f"{name}.toml")
    if not name.endswith(".toml"):
        raise UserError(f"no protocol {name!r}{did_you_mean(name, names())}")
    if Path(name).stem in names():
        raise UserError(f"{name}: {Path(name).stem} is a protocol of ours; rename the file")
    return read(Path(name))


def asked(given: tuple[str, ...], explain: bool) -> tuple[str, ...]:
    """The names that are `given`; to explain, those of the package too, `plain` first.

    Raises UserError if one cannot be read, or if two files have one name.
    """
    files: dict[str, str] = {}
    for name in given:
        other = files.setdefault(named(name).name, name)
        if other != name:
            raise UserError(f"{name}: {other} is called {Path(name).stem} too; rename one")
    return tuple(dict.fromkeys((*names(), *given))) if explain else given


def read(path: Path) -> Protocol:
    """The protocol of a file. Raises UserError naming the file."""
    found = read_toml(path)
    if unknown := [key for key in found if key not in (*HEAD, *SECTIONS)]:
        near = did_you_mean(unknown[0], (*HEAD, *SECTIONS))
        raise UserError(f"{path}: no section {unknown[0]!r}{near}")
    head = {key: found.get(key, "") for key in HEAD}
    for key, text in head.items():
        if not isinstance(text, str) or not (text or key not in NEEDED):
            raise UserError(f"{path}: {key} must be a text")
    sources: dict[str, str] = {}
    known = [name for name in SECTIONS if name in found]
    sections = {name: _section(path, name, found[name], head["code"], sources) for name in known}
    return Protocol(path.stem, **head, **sections, sources=sources)


def _section(path: Path, name: str, given: Any, code: str, sources: dict[str, str]) -> Any:
    """A section of the file; its sources are added to `sources`."""
    kind = SECTIONS[name]
    hints, values = settings_of(kind), {}
    if not isinstance(given, dict):
        raise UserError(f"{path}: {name} must be a section")
    for key, pair in given.items():
        if key not in hints:
            raise UserError(f"{path}: {name} has no field {key!r}{did_you_mean(key, hints)}")
        if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], str)):
            raise UserError(f"{path}: {name}.{key} must be a pair: [value, source]")
        try:
            values[key] = checked(pair[0], hints[key])
        except ValueError as error:
            raise UserError(f"{path}: {name}.{key} {error}") from None
        sources[f"{name}.{key}"] = _source(code, pair[1])
    if missing := [f.name for f in fields(kind) if f.name not in given]:
        raise UserError(f"{path}: {name} lacks {missing[0]!r}: every field needs [value, source]")
    return kind(**values)


def _source(code: str, where: str) -> str:
    """Where a field is read: a line of the code's file, or a file and line of its repository."""
    repository = code.split(" ", 1)[0]
    return f"{code} {where}" if where.startswith("l.") else f"{repository} {where}".strip()
