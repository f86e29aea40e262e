"""The report of `python -m diffae.data check` on a data set, and a contact sheet."""

import io
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from diffae.data.dataset import SPLITS, Dataset
from diffae.data.prepared import HEADER, Header, PreparedTransform
from diffae.data.transforms import DECODING_ERRORS, Transform
from diffae.system.errors import UserError
from diffae.system.whole import write_whole

DECODED = 256
SHEET_SIDE = 8
SEED = 0
LABEL_WIDTH = 13
NAMED = 10  # damaged images that a copy is without, at most
LINE_WIDTH = 100
LABELS = "none; labels are read from class folders, and from files in CelebA's layout (`diffae-bench docs data`)"
LISTED = 40  # attributes, at most: CelebA's
MARK, MADE_BY = "Software", "python -m diffae.data check"


def describe(data: Dataset, format_title: str) -> Iterator[str]:
    """Lines of text about a data set; the first image is read for it."""
    yield row("format", format_title)
    yield row("name", data.name)
    yield row("images", str(len(data)))
    width, height = data.source.read(0).size
    yield row("first image", f"{width} x {height}")
    yield row("left out", "; ".join(data.left_out) or "nothing")
    yield row("crop", describe_crop(data.transform))
    yield row("attributes", describe_attributes(data))
    yield row("identities", describe_identities(data))
    yield row("partition", data.partition_source)
    yield row("splits", ", ".join(f"{split} {len(data.indices(split))}" for split in SPLITS))


def describe_prepared(header: Header) -> Iterator[str]:
    """Lines of text: what `prepare` copied, and what it left out and why."""
    yield row("copied", f"{header.images:,} of {header.of:,} images, {header.side} x {header.side}")
    yield row("crop", header.transform["crop"])
    yield row("skipped", f"{len(header.skipped):,} damaged" if header.skipped else "nothing")
    for name, why in list(header.skipped.items())[:NAMED]:
        yield row("", f"{name}: {why}")
    if len(header.skipped) > NAMED:
        yield row("", f"and {len(header.skipped) - NAMED:,} more, all named in {HEADER}")
    yield row("enlarged", f"{header.enlarged:,} smaller ones" if header.enlarged else "nothing")
    yield row("left out", "; ".join(header.left_out) or "nothing")
    yield row("fingerprint", header.survey["fingerprint"])


def describe_crop(transform: Transform) -> str:
    padded = f"padded to {transform.pad_to}, " if transform.pad_to else ""
    between = isinstance(transform, PreparedTransform) and transform.prepared
    sizes = dict.fromkeys([between or transform.image_size, transform.image_size])
    return f"{padded}{transform.crop}" + "".join(f", then {size} x {size}" for size in sizes)


def row(label: str, text: str) -> str:
    indent = " " * LABEL_WIDTH
    wrapped = textwrap.wrap(text, LINE_WIDTH, initial_indent=indent, subsequent_indent=indent)
    return label.ljust(LABEL_WIDTH) + "\n".join(wrapped)[LABEL_WIDTH:]


def describe_attributes(data: Dataset) -> str:
    """Their number, and the share of images that have each; of many, the rarest and the commonest."""
    names = data.attribute_names
    if data.attributes is not None:
        counts = data.attributes.sum(axis=0)
    elif data.classes is not None:
        counts = np.bincount(data.classes, minlength=len(names))
    else:
        return LABELS
    if len(names) <= LISTED:
        shares = zip(names, counts / len(data), strict=True)
        return f"{len(names)}: " + ", ".join(f"{name}={share:.3f}" for name, share in shares)
    ends = f"{len(names):,}, {names[0]} to {names[-1]}"
    few, many = int(counts.argmin()), int(counts.argmax())
    if counts[few] == counts[many]:
        return f"{ends}; {counts[few]:,} images of each"
    return f"{ends}; {counts[few]:,} images of {names[few]} to {counts[many]:,} of {names[many]}"


def describe_identities(data: Dataset) -> str:
    """The number of people, and of those who are in more than one split."""
    if data.identities is None:
        return "none"
    pairs = np.unique(np.stack([data.identities, data.partition]), axis=1)
    people, splits = np.unique(pairs[0], return_counts=True)
    return f"{len(people)}, {np.count_nonzero(splits > 1)} of them in more than one split"


def describe_copies(pixels: np.ndarray) -> str:
    """The number of images (uint8 N x S x S x 3) that repeat an earlier one.

    A copy may be in both the training and the test split.
    """
    copies = len(pixels) - len({image.tobytes() for image in pixels})
    return f"{copies} of these have the pixels of an earlier one" if copies else "none among these"


def sample_indices(count: int) -> np.ndarray:
    """Up to 256 indices of `count`, int64, ascending, the same ones every time."""
    return np.sort(np.random.default_rng(SEED).permutation(count)[:DECODED])


def contact_sheet(pixels: np.ndarray) -> Image.Image:
    """A sheet of 64 of uint8 N x S x S x 3, evenly spread, eight per row.

    White where there are fewer.
    """
    count, size = min(len(pixels), SHEET_SIDE**2), pixels.shape[1]
    rows = -(-count // SHEET_SIDE)
    cells = np.full((rows * SHEET_SIDE, size, size, 3), 255, np.uint8)
    cells[:count] = pixels[np.linspace(0, len(pixels) - 1, count).round().astype(int)]
    grid = cells.reshape(rows, SHEET_SIDE, size, size, 3).swapaxes(1, 2)
    return Image.fromarray(grid.reshape(rows * size, SHEET_SIDE * size, 3))


def is_sheet(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return image.info.get(MARK) == MADE_BY
    except DECODING_ERRORS:
        return False


def save_sheet(path: Path, pixels: np.ndarray) -> None:
    """Write the contact sheet, marked as one, so that the next may replace it."""
    content, mark = io.BytesIO(), PngInfo()
    mark.add_text(MARK, MADE_BY)
    contact_sheet(pixels).save(content, format="PNG", pnginfo=mark)
    try:
        write_whole(path, content.getvalue())
    except OSError as error:
        raise UserError(f"--sheet {path}: cannot write it ({error.strerror or error})") from error
