"""The report of `python -m diffae.data check` on a data set, and a contact sheet."""

import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from diffae.data.dataset import SPLITS, Dataset
from diffae.data.prepared import HEADER, Header, PreparedTransform
from diffae.data.transforms import DECODING_ERRORS, Transform
from diffae.system.files import writing

DECODED = 256
SHEET_SIDE = 8
SEED = 0
LABEL_WIDTH = 13
NAMED = 10  # damaged images that a copy is without, at most
LINE_WIDTH = 100
LABELS = "none; labels are read from class folders, and from files in CelebA's layout (`diffae-bench docs data`)"
LISTED = 40  # attributes, at most: CelebA's
MARK = "sheet"  # a text in the PNG file


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


def is_sheet(path: Path) -> bool:
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return MARK in image.info
    except DECODING_ERRORS:
        return False


def save_sheet(path: Path, data: Dataset, indices: np.ndarray) -> None:
    """Write a sheet of 64 of these images, evenly spread, eight per row, as a model sees them."""
    from diffae import sheet  # here, since it needs PyTorch

    spread = np.linspace(0, len(indices) - 1, min(len(indices), SHEET_SIDE**2))
    images = data.batch(indices[spread.round().astype(int)]).split(SHEET_SIDE)
    with writing(path, "or choose another --sheet"):
        sheet.write(path, sheet.Sheet(data.name, images, about={"images": len(data)}))
