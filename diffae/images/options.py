"""The command lines of the verbs. This module does not need PyTorch."""

import re
from argparse import ArgumentTypeError, Namespace
from collections.abc import Collection
from contextlib import suppress

from diffae.data.transforms import CROPS
from diffae.diffusion.scheme import find
from diffae.networks.config import NUM_TIMESTEPS
from diffae.system import cli
from diffae.system.errors import UserError, naming, pip_install

# The quality of the paper's DDIM with T = 100, in seconds on a CPU (`diffae-bench docs solvers`).
STEPS, SOLVER = 10, "fast"
STRENGTH = 0.3  # of an edit: the authors' in manipulate.ipynb
MOST = 10_000  # pictures or variations that one command makes
LARGEST_STRENGTH = 100.0

few = cli.between(1, MOST)


def strength(text: str) -> float:
    """The type of --strength: a finite number such as -0.3."""
    with suppress(ValueError):
        if abs(float(text)) <= LARGEST_STRENGTH:
            return float(text)
    raise ArgumentTypeError(f"{text!r:.40} is not a strength, such as 0.3 or -0.2")


def strengths(text: str) -> tuple[float, ...]:
    """The type of --strip: strengths separated by commas."""
    return tuple(strength(word) for word in text.split(","))


@cli.argument
def solver(text: str) -> str:
    find(text)
    return text


def with_strength(text: str, names: Collection[str] = ()) -> tuple[str, float | None]:
    """An --attribute as its name and its own strength, if it has one.

    One of `names` is taken as a whole, since names may have "=" in them. Raises UserError.
    """
    name, equals, value = text.rpartition("=")
    if text in names or not equals:
        return text, None
    with naming("--attribute", ArgumentTypeError):
        return name.strip(), strength(value)


# ----------------------------------------------------------------------------------------------
# Options of several verbs


def _pictures(parser: cli.Parser, nargs: str | int) -> None:
    add, files = parser.add_argument, "files and folders of images"
    add("pictures", type=cli.word, nargs=nargs, metavar="PICTURE", help=files)
    crop = "how a picture is made square (default: center); d2c takes the face of an aligned image of CelebA"
    add("--crop", choices=CROPS, default="center", help=crop)
    align = f"find the face of each picture and align it as FFHQ's ({pip_install('faces')})"
    add("--align", action="store_true", help=align)


def _edits(parser: cli.Parser) -> None:
    name, several = "NAME[=STRENGTH]", "give it several times for several at once"
    parser.add_argument(
        "--attribute", type=cli.word, action="append", required=True, metavar=name, help=several
    )
    add = parser.add_mutually_exclusive_group().add_argument
    others = f"of attributes without their own (default: {STRENGTH}; negative: away)"
    add("--strength", type=strength, help=others)
    every = "every one of these strengths, side by side"
    add("--strip", type=strengths, metavar="S,S,...", help=every)


def _classifier(parser: cli.Parser) -> None:
    source = parser.add_mutually_exclusive_group()
    beside = "default: the one beside the checkpoint"
    source.add_argument("--classifier", type=cli.path, metavar="FILE", help=beside)
    having = "learn the attribute from your own pictures that have it ..."
    source.add_argument("--with", dest="having", type=cli.path, metavar="FOLDER", help=having)
    lacking = "... and pictures that have not"
    parser.add_argument("--without", dest="lacking", type=cli.path, metavar="FOLDER", help=lacking)
    save = "keep the one that was used"
    parser.add_argument("--save-classifier", type=cli.path, metavar="FILE", help=save)


def _decoding(parser: cli.Parser) -> None:
    add, steps = parser.add_argument, cli.between(1, NUM_TIMESTEPS)
    add("--steps", type=steps, default=STEPS, help=f"of each direction (default: {STEPS})")
    by = f"ddim is the paper's (default: {SOLVER}; `diffae-bench docs solvers`)"
    add("--solver", type=solver, default=SOLVER, help=by)


def _model(parser: cli.Parser) -> None:
    add = parser.add_argument
    ckpt = "a checkpoint of ours, the authors' last.ckpt, hf://OWNER/NAME, or a packaged name (default: portraits)"
    add("--ckpt", type=cli.word, default="portraits", help=ckpt)
    add("--device", type=cli.device, help="cpu, cuda or cuda:N (default: a GPU if there is one)")
    add("--batch-size", type=few, default=16, help="images at once (default: 16)")
    add("--json", action="store_true", help="print one JSON object of what was made")


# ----------------------------------------------------------------------------------------------
# The verbs


VERBS = {
    "reconstruct": "pictures through the model and back",
    "vary": "the same content, other details: x_T drawn anew",
    "interpolate": "from picture A to picture B: a strip and a GIF",
    "edit": "attributes changed: --attribute Smiling --strength 0.3",
    "sample": "new pictures, of nobody",
    "sample-class": "new pictures that have an attribute: --attribute Male",
    "learn": "the classifier of a checkpoint, from labelled images: --data celeba/ --out FILE",
}
# How many pictures a verb takes.
PICTURES: dict[str, str | int] = {"reconstruct": "+", "vary": "+", "interpolate": 2, "edit": "+"}
COUNTS = {
    "vary": (4, "variations of each"),
    "interpolate": (9, "pictures of the strip, both ends too"),
    "sample": (16, "pictures"),
    "sample-class": (16, "pictures"),
}


def usage() -> str:
    prog = cli.prog("diffae.images")
    lines = "\n".join(f"  {verb:13} {line}" for verb, line in VERBS.items())
    return f"""usage: {prog} VERB ...; {prog} VERB --help tells more

{lines}

for example: {prog} edit me.jpg --attribute Smiling --strength 0.3 --out smiling"""


def parse(verb: str, arguments: list[str]) -> Namespace:
    """Parse the options of a verb.

    Raises UserError for an unknown verb or flag, or options that exclude each other.
    """
    if verb not in VERBS:
        raise UserError(f"unknown verb {verb!r:.40}{cli.did_you_mean(verb, VERBS)}")
    parser = cli.Parser(f"{cli.prog('diffae.images')} {verb}", VERBS[verb])
    parser._negative_number_matcher = re.compile(r"-[0-9.]")  # `--strip -0.3,0` is no flag
    _add_options(verb, parser)
    args = parser.parse(arguments)
    args.verb = verb
    if verb in ("edit", "sample-class") and (args.having is None) != (args.lacking is None):
        raise UserError("--with and --without: one is given without the other; both are needed")
    if verb == "edit" and args.having is not None and len(args.attribute) > 1:
        raise UserError("--attribute: --with and --without teach one attribute, not several")
    return args


def _add_options(verb: str, parser: cli.Parser) -> None:
    add, out = parser.add_argument, "folder to make: a PNG a picture and a contact sheet"
    if verb in PICTURES:
        _pictures(parser, PICTURES[verb])
    if verb == "edit":
        _edits(parser)
    if verb == "sample-class":
        add("--attribute", type=cli.word, required=True, metavar="NAME", help="the class")
        add("--absent", action="store_true", help="the class of those that have it not")
    if verb in ("edit", "sample-class"):
        _classifier(parser)
    if verb in COUNTS:
        default, counted = COUNTS[verb]
        count = cli.between(2 if verb == "interpolate" else 1, MOST)
        add("--count", type=count, default=default, help=f"{counted} (default: {default})")
    if verb == "learn":
        add("--data", type=cli.path, required=True, metavar="PATH", help="as CelebA's, with labels")
        out = "file to write; classifier.safetensors beside a checkpoint is found by itself"
    if verb in ("vary", "sample", "sample-class", "learn"):
        add("--seed", type=cli.natural, default=0, help="of the noise (default: 0)")
    if verb != "learn":
        _decoding(parser)
    add("--out", type=cli.path, required=True, help=out)
    _model(parser)
