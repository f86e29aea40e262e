"""The command lines of the verbs. This module does not need PyTorch."""

import re
from argparse import Namespace
from collections.abc import Callable, Collection
from typing import Annotated

from diffae.data.transforms import CROPS
from diffae.networks.config import NUM_TIMESTEPS
from diffae.system import cli
from diffae.system.errors import UserError, naming
from diffae.system.settings import Range, typed

# The quality of the paper's DDIM with T = 100, in seconds on a CPU (`diffae-bench docs solvers`).
STEPS, SOLVER = 10, "fast"
STRENGTH = 0.3  # of an edit: the authors' in manipulate.ipynb
MOST = 10_000  # pictures or variations that one command makes
Strength = Annotated[float, Range(-100, 100)]


def strengths(text: str) -> tuple[float, ...]:
    """The strengths of edits, separated by commas. Raises ValueError."""
    return typed(text, tuple[Strength, ...])


def with_strength(text: str, names: Collection[str]) -> tuple[str, float | None]:
    """An --attribute as its name and its own strength, if it has one.

    One of `names` is taken as a whole, since names may have "=" in them. Raises UserError.
    """
    name, equals, value = text.rpartition("=")
    if text in names or not equals:
        return text, None
    with naming(f"--attribute {text}", ValueError):
        return name.strip(), typed(value, Strength)


# ----------------------------------------------------------------------------------------------
# Options of one verb or of several


def _pictures(parser: cli.Parser) -> None:
    add, files = parser.add_argument, "files and folders of images"
    add("pictures", type=cli.word, nargs="+", metavar="PICTURE", help=files)
    crop = "how a picture is made square (default: center); d2c takes the face of an aligned image of CelebA"
    add("--crop", choices=CROPS, default="center", help=crop)


def _edits(parser: cli.Parser) -> None:
    add, name = parser.add_argument, "NAME[=STRENGTH]"
    several = "give it several times for several at once"
    add("--attribute", type=cli.word, action="append", required=True, metavar=name, help=several)
    others = f"strength of attributes that have none of their own (default: {STRENGTH}; negative: less of it); several make a picture each"
    add("--strength", type=cli.argument(strengths), default=(), metavar="S[,S...]", help=others)


def _class(parser: cli.Parser) -> None:
    add = parser.add_argument
    add("--attribute", type=cli.word, required=True, metavar="NAME", help="the class")
    add("--absent", action="store_true", help="the class without the attribute")


def _classifier(parser: cli.Parser) -> None:
    beside = "default: the one beside the checkpoint"
    parser.add_argument("--classifier", type=cli.path, metavar="FILE", help=beside)


def _examples(parser: cli.Parser) -> None:
    add = parser.add_argument
    add("--data", type=cli.path, metavar="PATH", help="labelled images, such as CelebA")
    having = "or a folder of pictures that have an attribute, which is named after the folder, ..."
    add("--with", dest="having", type=cli.path, metavar="FOLDER", help=having)
    lacking = "... and a folder of pictures without it"
    add("--without", dest="lacking", type=cli.path, metavar="FOLDER", help=lacking)


def _count(default: int, counted: str, least: int = 1) -> Callable[[cli.Parser], None]:
    def add(parser: cli.Parser) -> None:
        count, help = cli.between(least, MOST), f"{counted} (default: {default})"
        parser.add_argument("--count", type=count, default=default, help=help)

    return add


def _seed(parser: cli.Parser) -> None:
    parser.add_argument("--seed", type=cli.natural, default=0, help="of the noise (default: 0)")


def _decoding(parser: cli.Parser) -> None:
    add, steps = parser.add_argument, cli.between(1, NUM_TIMESTEPS)
    add("--steps", type=steps, default=STEPS, help=f"of each direction (default: {STEPS})")
    by = f"ddim is the paper's (default: {SOLVER}; `diffae-bench docs solvers`)"
    add("--solver", type=cli.word, default=SOLVER, help=by)
    out = "folder to make: a PNG a picture and a contact sheet"
    add("--out", type=cli.path, required=True, help=out)


def _file(parser: cli.Parser) -> None:
    out = "file to write; classifier.safetensors beside a checkpoint is found by itself"
    parser.add_argument("--out", type=cli.path, required=True, help=out)


def _model(parser: cli.Parser) -> None:
    add = parser.add_argument
    ckpt = "a checkpoint of ours, the authors' last.ckpt, hf://OWNER/NAME, or a packaged name (default: portraits)"
    add("--ckpt", type=cli.word, default="portraits", help=ckpt)
    add("--device", type=cli.device, help="cpu, cuda or cuda:N (default: a GPU if there is one)")


# ----------------------------------------------------------------------------------------------
# The verbs

VERBS = {
    "reconstruct": "pictures through the model and back",
    "vary": "the same content, other details: x_T drawn anew",
    "interpolate": "from picture A to picture B, and a GIF",
    "edit": "attributes changed: --attribute Smiling --strength 0.3",
    "sample": "new pictures, of nobody",
    "sample-class": "new pictures that have an attribute: --attribute Male",
    "learn": "a classifier from labelled images or two folders: --data celeba/ --out FILE",
}
OPTIONS: dict[str, list[Callable[[cli.Parser], None]]] = {
    "reconstruct": [_pictures, _decoding],
    "vary": [_pictures, _count(4, "variations of each"), _seed, _decoding],
    "interpolate": [_pictures, _count(9, "pictures, both ends too", 2), _decoding],
    "edit": [_pictures, _edits, _classifier, _decoding],
    "sample": [_count(16, "pictures"), _seed, _decoding],
    "sample-class": [_class, _classifier, _count(16, "pictures"), _seed, _decoding],
    "learn": [_examples, _file],
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
    parser._negative_number_matcher = re.compile(r"-[0-9.]")  # `--strength -0.3,0` is no flag
    for add in OPTIONS[verb]:
        add(parser)
    _model(parser)
    args = parser.parse(arguments)
    args.verb = verb
    if verb == "learn":
        _check_examples(args)
    return args


def _check_examples(args: Namespace) -> None:
    """Raise UserError unless `learn` has labelled data or two folders."""
    if {args.having is not None, args.lacking is not None} != {args.data is None}:
        raise UserError("learn: give either --data, or --with and --without")
    if args.data is None and args.having.resolve() == args.lacking.resolve():
        raise UserError(f"--with, --without: both are {args.having}; give two folders")
