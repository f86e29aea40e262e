"""Look at a data set, or make one: see USAGE."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from diffae.data import check, find_reader, open_dataset
from diffae.data.portraits import write_dataset
from diffae.data.prepare import prepare
from diffae.data.prepared import own_side
from diffae.data.transforms import CROPS
from diffae.system import cli
from diffae.system.errors import UserError
from diffae.system.files import Target, refuse_outputs

DEFAULT_SIZE, LARGEST_SIZE = 64, 1024
WORKERS = "processes (default: all CPUs)"
USAGE = """Look at a data set, or make one.

{prog} check PATH [--size 64] [--crop d2c] [--sheet FILE.png]
{prog} prepare SRC OUT --size 128 [--crop d2c] [--workers N] [--strict]
{prog} portraits --out DIR --count N [--size 64]"""


def main(arguments: list[str] | None = None) -> None:
    arguments = sys.argv[1:] if arguments is None else arguments
    command, *rest = arguments or ["--help"]
    if command in ("-h", "--help"):
        print(USAGE.format(prog=cli.prog("diffae.data")))  # no docstring: python -OO has none
    elif command in COMMANDS:
        COMMANDS[command](rest)
    else:
        raise UserError(f"unknown command {command!r}{cli.did_you_mean(command, COMMANDS)}")


def check_dataset(arguments: list[str]) -> None:
    """Print the format of a data set, decode a sample, and read all files: status 2 if one is damaged."""
    parser = _parser("check", check_dataset)
    add = parser.add_argument
    add("path", type=cli.path, help="folder or zip file, as for --data")
    side = "side of the images in px (default: 64, or that of a prepared copy)"
    add("--size", type=cli.positive, help=side)
    add("--crop", choices=CROPS, help="default: the format's own")
    add("--sheet", type=cli.path, help="PNG file to write: 64 images as models see them")
    args = parser.parse(arguments)
    size = args.size or own_side(args.path) or DEFAULT_SIZE
    if size > LARGEST_SIZE:
        raise UserError(f"--size {size}: many images are held at once; use {LARGEST_SIZE} or less")
    refuse_outputs([Target("--sheet", args.sheet, check.is_sheet)], [args.path])
    data = open_dataset(args.path, size, args.crop)
    for line in check.describe(data, find_reader(args.path).title):
        print(line, flush=True)
    indices = check.sample_indices(len(data))
    pixels = data.load_all(indices)
    print(check.row("decoded", f"{len(indices)} of {len(data)} images, none damaged"))
    print(check.row("copies", check.describe_copies(pixels)), flush=True)
    print(check.row("odd files", data.survey.note or "none"))  # every file is read for these two
    print(check.row("fingerprint", data.fingerprint), flush=True)
    if args.sheet is not None:
        check.save_sheet(args.sheet, data, indices)
        print(check.row("sheet", str(args.sheet)))


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
    add("--workers", type=cli.positive, default=os.cpu_count(), help=WORKERS)
    add("--strict", action="store_true", help="a damaged image is an error, not left out")
    args = parser.parse(arguments)
    data = open_dataset(args.source, args.size, args.crop)
    header = prepare(data, args.out, args.workers, args.strict)
    for line in check.describe_prepared(header):
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
    add("--workers", type=cli.positive, default=os.cpu_count(), help=WORKERS)
    args = parser.parse(arguments)
    refuse_outputs([Target("--out", args.out, Path.is_dir)], ())
    write_dataset(args.out, args.count, args.size, args.seed, args.workers)
    print(args.out)


def _parser(command: str, does: Callable[[list[str]], None]) -> cli.Parser:
    return cli.Parser(f"{cli.prog('diffae.data')} {command}", does.__doc__)


COMMANDS = {"check": check_dataset, "prepare": prepare_copy, "portraits": make_portraits}

if __name__ == "__main__":
    cli.run(main)
