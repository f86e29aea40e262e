"""The command line `python -m diffae.data`: look at a data set, or make one. USAGE lists the commands."""

import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from diffae.data import find_reader, open_dataset
from diffae.data.dataset import KINDS, Dataset
from diffae.data.pairs import pairs_of
from diffae.data.partition import SPLITS
from diffae.data.portraits import write_dataset
from diffae.data.prepare import prepare
from diffae.data.prepared import HEADER, Header, PreparedTransform, own_side
from diffae.data.tables import alike_labels
from diffae.data.transforms import CROPS, DECODING_ERRORS, Transform
from diffae.system import cli
from diffae.system.errors import UserError, once
from diffae.system.files import OutputPath, refuse_outputs, writing
from diffae.system.free_memory import fits
from diffae.system.settings import add_options, given_options

DEFAULT_SIZE = 64
WORKERS = "processes (default: all CPUs)"
USAGE = """Look at a data set, or make one.

{prog} check PATH [--size 64] [--crop d2c] [--sheet FILE.png]
{prog} prepare SRC OUT --size 128 [--crop d2c] [--workers N] [--strict]
{prog} portraits --out DIR --count N [--size 64] [--factors [turn=5,Smiling=2]]"""


def main(arguments: list[str] | None = None) -> None:
    arguments = sys.argv[1:] if arguments is None else arguments
    command, *rest = arguments or ["--help"]
    if command in ("-h", "--help"):
        print(USAGE.format(prog=cli.prog("diffae.data")))  # python -OO removes docstrings
    elif command in COMMANDS:
        COMMANDS[command](rest)
    else:
        raise UserError(f"unknown command {command!r}{cli.did_you_mean(command, COMMANDS)}")


def check_dataset(arguments: list[str]) -> None:
    """Print the format of a data set, decode a sample, and read all files. The status is 2 if one is damaged."""
    parser = _parser("check", check_dataset)
    add = parser.add_argument
    add("path", type=cli.path, help="folder or zip file, as for --data")
    side = "side of the images in px (default: 64, or that of a prepared copy)"
    add("--size", type=cli.positive, help=side)
    add("--crop", choices=CROPS, help="default: the format's own")
    add_options(parser, Transform)
    add("--sheet", type=cli.path, help="PNG file to write: 64 images as models see them")
    args = parser.parse(arguments)
    size = args.size or own_side(args.path) or DEFAULT_SIZE
    refuse_outputs([OutputPath("--sheet", args.sheet, is_sheet)], [args.path])
    options = given_options(Transform, vars(args))
    data = open_dataset(args.path, size, args.crop).changed_by(options)
    for line in describe(data, find_reader(args.path).title):
        print(line, flush=True)
    indices = sample_indices(len(data))
    fits(3 * len(indices) * size**2, f"--size {size}: {len(indices)} images of this size")
    pixels = data.load_all(indices)
    data.refuse_unreadable()
    print(row("decoded", f"{len(indices)} of {len(data)} images, none damaged"))
    print(row("copies", describe_copies(pixels)), flush=True)
    smaller = (
        "not known" if data.enlarged is None else f"{data.enlarged.sum():,} smaller than {size} px"
    )
    print(row("enlarged", smaller))
    print(row("odd files", data.survey.note or "none"))  # every file is read for these three
    print(row("fingerprint", data.fingerprint), flush=True)
    if args.sheet is not None:
        save_sheet(args.sheet, data, indices)
        print(row("sheet", str(args.sheet)))


def prepare_copy(arguments: list[str]) -> None:
    """Copy a data set to one file of squares of one size: --data takes it, without decoding and resizing.

    At its own size the copy gives the numbers of the data set itself, to the bit. A damaged image is left out and named.
    """
    parser = _parser("prepare", prepare_copy)
    add = parser.add_argument
    add("source", metavar="SRC", type=cli.path, help="data set, as for --data")
    add("out", metavar="OUT", type=cli.path, help="folder to write")
    add("--size", type=cli.positive, required=True, help="side of the images in px")
    add("--crop", choices=CROPS, help="default: the format's own")
    add_options(parser, Transform)
    add("--workers", type=cli.positive, default=os.cpu_count(), help=WORKERS)
    add("--strict", action="store_true", help="a damaged image is an error, not left out")
    args = parser.parse(arguments)
    options = given_options(Transform, vars(args))
    data = open_dataset(args.source, args.size, args.crop).changed_by(options)
    header = prepare(data, args.out, args.workers, args.strict)
    for line in describe_prepared(header):
        print(line)
    print(args.out)


def make_portraits(arguments: list[str]) -> None:
    """Write procedural portraits in CelebA's layout."""
    parser = _parser("portraits", make_portraits)
    add = parser.add_argument
    add("--out", type=cli.path, required=True, help="folder to write, in CelebA's layout")
    add("--count", type=cli.positive, required=True, help="number of pictures")
    add("--size", type=cli.positive, default=64, help="side of the pictures in px (default: 64)")
    add("--seed", type=cli.natural, default=0, help="of the faces (default: 0)")
    factors = "independent factors, in labels.csv: each of a person of its own; with NAME=LEVELS in all combinations"
    add("--factors", nargs="?", const="", metavar="NAME=LEVELS,...", help=factors)
    add("--workers", type=cli.positive, default=os.cpu_count(), help=WORKERS)
    args = parser.parse(arguments)
    refuse_outputs([OutputPath("--out", args.out, Path.is_dir)], ())
    levels = None if args.factors is None else levels_of(args.factors)
    write_dataset(args.out, args.count, args.size, args.seed, args.workers, levels)
    print(args.out)


def levels_of(text: str) -> dict[str, int]:
    """The levels of factors in a text such as "turn=5,Smiling=2". Raises UserError for other texts."""
    parts = [part.partition("=") for part in text.split(",") if text]
    if not all(name and count.isdecimal() and len(count) < 10 for name, _, count in parts):
        raise UserError(f"--factors {text:.80}: takes NAME=LEVELS,..., such as turn=5,Smiling=2")
    return once("--factors", ((name, int(count)) for name, _, count in parts))


def _parser(command: str, does: Callable[[list[str]], None]) -> cli.Parser:
    return cli.Parser(f"{cli.prog('diffae.data')} {command}", does.__doc__)


COMMANDS = {"check": check_dataset, "prepare": prepare_copy, "portraits": make_portraits}


# ----------------------------------------------------------------------------------------------
# The reports of `check` and `prepare`, and a contact sheet


DECODED = 256
SHEET_SIDE = 8
SEED = 0
LABEL_WIDTH = 13
NAMED = 10  # damaged images whose names are printed, at most
LINE_WIDTH = 100
LABELS = "none; labels are read from class folders, labels.csv and CelebA's files (`diffae-bench docs data`)"
LISTED = 40  # attributes that are all printed, at most; CelebA has 40
MARK = "sheet"  # the name of a text in the PNG file


def describe(data: Dataset, format_title: str) -> Iterator[str]:
    """Lines of text about a data set. The first image is read."""
    yield row("format", format_title)
    yield row("name", data.name)
    yield row("images", str(len(data)))
    width, height = data.source.read(0).size
    yield row("first image", f"{width} x {height}")
    yield row("left out", "; ".join(data.left_out) or "nothing")
    yield row("crop", describe_crop(data.transform))
    if (table := data.columns) is not None:
        columns = (describe_column(name, table[name]) for name in table.dtype.names or ())
        yield row("columns", ", ".join(columns))
    yield row("attributes", describe_attributes(data))
    if note := alike_labels(data.attribute_names):
        yield row("", note)
    for name in () if data.truth is None else data.truth.attributes:
        on, off = (len(pairs_of(data, name, on, len(data), SEED, "all")) for on in (True, False))
        yield row("pairs", f"{name}: {on} on, {off} off")
    yield row("identities", describe_identities(data))
    yield row("partition", data.partition_source)
    yield row("splits", ", ".join(f"{split} {len(data.indices(split))}" for split in SPLITS))


def describe_prepared(header: Header) -> Iterator[str]:
    """Lines of text on the images that `prepare` copied, and on those that it left out."""
    yield row("copied", f"{header.images:,} of {header.of:,} images, {header.side} x {header.side}")
    yield row("crop", header.transform.crop)
    yield row("skipped", f"{len(header.skipped):,} damaged" if header.skipped else "nothing")
    for name, why in list(header.skipped.items())[:NAMED]:
        yield row("", f"{name}: {why}")
    if len(header.skipped) > NAMED:
        yield row("", f"and {len(header.skipped) - NAMED:,} more, all named in {HEADER}")
    yield row("enlarged", f"{header.enlarged:,} smaller than {header.side} px")
    yield row("left out", "; ".join(header.left_out) or "nothing")
    yield row("fingerprint", header.survey.fingerprint)


def describe_column(name: str, column: np.ndarray) -> str:
    """The name of a column of labels, its kind, and the number of classes or ordered values."""
    kind = KINDS[column.dtype.kind]
    if kind in ("classes", "ordered"):
        kind += f", {len(np.unique(column))}"
    return f"{name} ({kind})"


def describe_crop(transform: Transform) -> str:
    steps = [transform.crop]
    if transform.pad_to:
        steps.insert(0, f"padded to {transform.pad_to}")
    sizes = [transform.image_size]
    if isinstance(transform, PreparedTransform) and transform.prepared != transform.image_size:
        sizes.insert(0, transform.prepared)
    return ", ".join([*steps, *(f"then {size} x {size}" for size in sizes)])


def row(label: str, text: str) -> str:
    indent = " " * LABEL_WIDTH
    wrapped = textwrap.wrap(text, LINE_WIDTH, initial_indent=indent, subsequent_indent=indent)
    return label.ljust(LABEL_WIDTH) + "\n".join(wrapped)[LABEL_WIDTH:]


def describe_attributes(data: Dataset) -> str:
    """The number of attributes, and the share of images with each; of many, the rarest and commonest."""
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
    """The number of people, and the number of those who are in more than one split."""
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
    """Up to 256 of the indices below `count`, int64, ascending. They are the same every time."""
    return np.sort(np.random.default_rng(SEED).permutation(count)[:DECODED])


def is_sheet(path: Path) -> bool:
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return MARK in image.info
    except DECODING_ERRORS:
        return False


def save_sheet(path: Path, data: Dataset, indices: np.ndarray) -> None:
    """Write a sheet of 64 of these images, evenly spread, eight per row, as a model sees them."""
    from diffae import sheet  # imported here, since it needs PyTorch

    spread = np.linspace(0, len(indices) - 1, min(len(indices), SHEET_SIDE**2))
    images = data.batch(indices[spread.round().astype(int)]).split(SHEET_SIDE)
    with writing(path, "or choose another --sheet"):
        sheet.write(path, sheet.Sheet(data.name, images, about={"images": len(data)}))


if __name__ == "__main__":
    cli.run(main)
