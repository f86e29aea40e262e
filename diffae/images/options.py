"""The command lines of the verbs. Nothing here needs PyTorch."""

import argparse
import itertools
import math
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from diffae import cli
from diffae.config import NUM_TIMESTEPS
from diffae.data.transforms import CROPS
from diffae.errors import UserError
from diffae.images.defaults import POOL, RULES, SHOTS, SOLVER, STEPS, STRENGTH
from diffae.sampling.scheme import find

MOST = 10_000  # pictures or variations that one command makes
ASK = "?"  # in the place of an attribute's name
MOST_STRIP = 100  # strengths side by side
LARGEST_STRENGTH = 100.0
LARGEST_PIXEL = 64
TAKING_LISTS = ("--strength", "--strip", "--points", "--attribute")


def strength(text: str) -> float:
    """The type of --strength: a finite number such as -0.3."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= LARGEST_STRENGTH:
        raise ArgumentTypeError(f"{text!r:.40} is not a strength, such as 0.3 or -0.2")
    return value


def strengths(text: str) -> tuple[float, ...]:
    """The type of --strip: strengths between commas."""
    if text.count(",") >= MOST_STRIP:
        raise ArgumentTypeError(f"{text.count(',') + 1:,} strengths; give at most {MOST_STRIP}")
    return tuple(strength(word) for word in text.split(","))


def steps(text: str) -> int:
    value = cli.positive(text)
    if value > NUM_TIMESTEPS:
        raise ArgumentTypeError(f"must be at most {NUM_TIMESTEPS}, not {value}")
    return value


def few(text: str) -> int:
    """A number of pictures."""
    value = cli.positive(text)
    if value > MOST:
        raise ArgumentTypeError(f"must be at most {MOST:,}, not {value:,}")
    return value


def several(text: str) -> int:
    """A number of pictures from one to another."""
    value = few(text)
    if value < 2:
        raise ArgumentTypeError(f"must be at least 2, both ends, not {value}")
    return value


def enlargement(text: str) -> int:
    value = cli.positive(text)
    if value > LARGEST_PIXEL:
        raise ArgumentTypeError(f"must be at most {LARGEST_PIXEL}, not {value}")
    return value


def solver(text: str) -> str:
    try:
        find(text)
    except UserError as error:
        raise ArgumentTypeError(str(error)) from None
    return text


def attribute(text: str) -> tuple[str, float | None]:
    """The type of --attribute: NAME, or NAME=STRENGTH."""
    name, equals, value = text.rpartition("=") if "=" in text else (text, "", "")
    if not name.strip():
        raise ArgumentTypeError("a name is missing")
    return name.strip(), strength(value) if equals else None


# ----------------------------------------------------------------------------------------------
# What several verbs share


def _model(parser: cli.Parser, out: str) -> None:
    parser.add_argument("--out", type=cli.path, required=True, help=out)
    parser.add_argument(
        "--ckpt",
        type=cli.word,
        default="portraits",
        help="a checkpoint of ours, the authors' last.ckpt, or a packaged name (default: portraits)",
    )
    parser.add_argument(
        "--device", type=cli.device, help="cpu, cuda or cuda:N (default: a GPU if there is one)"
    )
    parser.add_argument("--batch-size", type=few, default=16, help="images at once (default: 16)")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object of what was made"
    )


def _way(parser: cli.Parser) -> None:
    parser.add_argument(
        "--steps", type=steps, default=STEPS, help=f"of each direction (default: {STEPS})"
    )
    parser.add_argument(
        "--solver",
        type=solver,
        default=SOLVER,
        help=f"ddim is the paper's (default: {SOLVER}; `diffae-bench docs solvers`)",
    )
    parser.add_argument(
        "--enlarge",
        type=enlargement,
        default=1,
        metavar="N",
        help="write each pixel as N x N (default: 1, the model's own size)",
    )


def _pictures(parser: cli.Parser, metavar: str = "PICTURE", nargs: str | int = "+") -> None:
    parser.add_argument(
        "pictures", type=cli.word, nargs=nargs, metavar=metavar, help="files and folders of images"
    )
    parser.add_argument(
        "--crop",
        choices=CROPS,
        default="center",
        help="how a picture is made square (default: center)",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--landmarks",
        type=cli.path,
        metavar="FILE",
        help="five points of each face, in the form of CelebA's list_landmarks_celeba.txt: faces are aligned as FFHQ's",
    )
    where.add_argument(
        "--points",
        type=cli.word,
        metavar="X1,Y1,...",
        help="the same for one picture: left eye, right eye, nose, corners of the mouth",
    )


def _direction(parser: cli.Parser) -> None:
    parser.add_argument(
        "--classifier", type=cli.path, metavar="FILE", help="default: the one beside the checkpoint"
    )
    parser.add_argument(
        "--with",
        dest="having",
        type=cli.path,
        metavar="FOLDER",
        help="learn the attribute from your own pictures that have it ...",
    )
    parser.add_argument(
        "--without",
        dest="lacking",
        type=cli.path,
        metavar="FOLDER",
        help="... and pictures that have not",
    )
    parser.add_argument(
        "--save-classifier", type=cli.path, metavar="FILE", help="keep the one that was used"
    )


def _seed(parser: cli.Parser) -> None:
    parser.add_argument("--seed", type=cli.natural, default=0, help="of the noise (default: 0)")


# ----------------------------------------------------------------------------------------------
# The verbs


def _reconstruct(parser: cli.Parser) -> None:
    _pictures(parser)
    _way(parser)


def _vary(parser: cli.Parser) -> None:
    _pictures(parser)
    parser.add_argument("--count", type=few, default=4, help="variations of each (default: 4)")
    _seed(parser)
    _way(parser)


def _interpolate(parser: cli.Parser) -> None:
    _pictures(parser, nargs=2)
    parser.add_argument(
        "--count", type=several, default=9, help="pictures of the strip (default: 9)"
    )
    _way(parser)


def _edit(parser: cli.Parser) -> None:
    _pictures(parser)
    parser.add_argument(
        "--attribute",
        type=attribute,
        action="append",
        default=[],
        metavar="NAME[=STRENGTH]",
        help="give it several times for several at once; '?' lists them",
    )
    parser.add_argument(
        "--strength",
        type=strength,
        help=f"of attributes without their own (default: {STRENGTH}; negative: away)",
    )
    parser.add_argument(
        "--strip",
        type=strengths,
        metavar="S,S,...",
        help="every one of these strengths, side by side",
    )
    _direction(parser)
    _way(parser)


def _sample(parser: cli.Parser) -> None:
    parser.add_argument("--count", type=few, default=16, help="pictures (default: 16)")
    _seed(parser)
    _way(parser)


def _sample_class(parser: cli.Parser) -> None:
    parser.add_argument(
        "--attribute", required=True, metavar="NAME", help=f"the class; '{ASK}' lists them"
    )
    parser.add_argument("--absent", action="store_true", help="the class of those that have it not")
    parser.add_argument(
        "--shots",
        type=cli.positive,
        help=f"labelled images of the class to learn from (default: {SHOTS})",
    )
    parser.add_argument(
        "--unlabelled",
        action="store_true",
        help="beside them images without labels (PU), not as many that have it not",
    )
    parser.add_argument(
        "--data",
        type=cli.path,
        metavar="PATH",
        help="labelled data, as CelebA's (default: the portraits, for the packaged model)",
    )
    parser.add_argument(
        "--accept", choices=RULES, default=RULES[0], help=f"default: {RULES[0]} (p > 0.5)"
    )
    parser.add_argument(
        "--pool", type=cli.positive, default=POOL, help=f"samples tried at most (default: {POOL:,})"
    )
    _direction(parser)
    _sample(parser)


def _learn(parser: cli.Parser) -> None:
    parser.add_argument(
        "--data",
        type=cli.path,
        metavar="PATH",
        help="labelled data, as CelebA's (default: the portraits, for the packaged model)",
    )
    _seed(parser)


@dataclass(frozen=True)
class Verb:
    """What a verb does, in a line; its own options; and what --out is."""

    line: str
    options: Callable[[cli.Parser], None]
    out: str = "folder to make: a PNG a picture and a contact sheet"


VERBS: Mapping[str, Verb] = {
    "reconstruct": Verb("pictures through the model and back", _reconstruct),
    "vary": Verb("the same content, other details: x_T drawn anew", _vary),
    "interpolate": Verb("from picture A to picture B: a strip and a GIF", _interpolate),
    "edit": Verb("attributes changed: --attribute Smiling --strength 0.3", _edit),
    "sample": Verb("new pictures, of nobody", _sample),
    "sample-class": Verb(
        "new pictures of a class that a few labels describe: --attribute Male --shots 50",
        _sample_class,
    ),
    "learn": Verb(
        "the classifier of a checkpoint, from labelled images: --data celeba/ --out FILE",
        _learn,
        out="file to write, .safetensors; classifier.safetensors beside a checkpoint is found by itself",
    ),
}


def usage() -> str:
    prog = cli.prog("diffae.images")
    lines = (f"  {name:13} {verb.line}" for name, verb in VERBS.items())
    return "\n".join(
        [
            f"usage: {prog} VERB ...; {prog} VERB --help tells more",
            "",
            *lines,
            "",
            f"for example: {prog} edit me.jpg --attribute Smiling --strength 0.3 --out smiling",
        ]
    )


def parse(verb: str, arguments: list[str]) -> Namespace:
    """The options of a verb. Raises UserError for an unknown verb or flag, and what does not go together."""
    if verb not in VERBS:
        raise UserError(f"unknown verb {verb!r:.40}{cli.did_you_mean(verb, VERBS)}")
    parser = cli.Parser(f"{cli.prog('diffae.images')} {verb}", VERBS[verb].line)
    VERBS[verb].options(parser)
    _model(parser, VERBS[verb].out)
    asks = _asks(arguments)
    if asks:  # which needs no pictures, and writes nothing
        for action in parser._actions:
            action.required, action.nargs = False, "*" if action.nargs == "+" else action.nargs
    args = parser.parse(_joined(arguments))
    args.verb, args.asks = verb, asks
    if not asks:
        _check(args)
    return args


def _asks(arguments: Sequence[str]) -> bool:
    """Whether the question is which attributes there are: --attribute '?'."""
    return any(
        word == f"--attribute={ASK}" or pair == ("--attribute", ASK)
        for word, pair in zip(arguments, itertools.pairwise([*arguments, ""]), strict=True)
    )


def _joined(arguments: list[str]) -> list[str]:
    """`--strip -0.3,0` as `--strip=-0.3,0`, which argparse would take for a flag."""
    words: list[str] = []
    for word in arguments:
        if (
            words
            and words[-1] in TAKING_LISTS
            and word[:1] == "-"
            and word[1:2] in set(".0123456789")
        ):
            words[-1] += f"={word}"
        else:
            words.append(word)
    return words


def _check(args: argparse.Namespace) -> None:
    options = vars(args)
    having, lacking = options.get("having"), options.get("lacking")
    if (having is None) != (lacking is None):
        raise UserError("--with and --without: one is given without the other; both are needed")
    if having is not None and options.get("classifier") is not None:
        raise UserError("--classifier and --with: a direction comes from the one or the other")
    if having is not None and isinstance(args.attribute, list) and len(args.attribute) > 1:
        raise UserError("--attribute: --with and --without teach one attribute, not several")
    if options.get("attribute") == [] and having is None:
        raise UserError("--attribute: say what to change, such as --attribute Smiling")
    if options.get("strip") and args.strength is not None:
        raise UserError("--strength and --strip: one strength or several, not both")
    if args.verb == "sample-class" and (having or args.classifier):
        given = {"--shots": args.shots, "--data": args.data, "--unlabelled": args.unlabelled}
        if which := next((flag for flag, value in given.items() if value), None):
            raise UserError(
                f"{which}: belongs to labelled data, and the classifier is given already"
            )
    if options.get("points") and (len(args.pictures) > 1):
        raise UserError("--points: for one picture; give --landmarks FILE for several")
