"""The command lines of the verbs. This module does not need PyTorch."""

import re
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from diffae.data.transforms import CROPS
from diffae.diffusion.scheme import find
from diffae.networks.config import NUM_TIMESTEPS
from diffae.system import cli
from diffae.system.errors import UserError, naming, pip_install

# The quality of the paper's DDIM with T = 100, in seconds on a CPU (`diffae-bench docs solvers`).
STEPS, SOLVER = 10, "fast"
STRENGTH = 0.3  # of an edit: the authors' in manipulate.ipynb
POOL = 20_000  # latents that are drawn for a class, at most
SHOTS = 50  # labelled images of each class: Table 3, "binary"
RULES = ("threshold", "probability")  # of acceptance
MOST = 10_000  # pictures or variations that one command makes
ASK = "?"  # stands for an attribute's name
MOST_STRIP = 100  # strengths side by side
LARGEST_STRENGTH = 100.0

Group = Callable[[cli.Parser], object]  # adds some options

few = cli.between(1, MOST)


def strength(text: str) -> float:
    """The type of --strength: a finite number such as -0.3."""
    with suppress(ValueError):
        if abs(float(text)) <= LARGEST_STRENGTH:
            return float(text)
    raise ArgumentTypeError(f"{text!r:.40} is not a strength, such as 0.3 or -0.2")


def strengths(text: str) -> tuple[float, ...]:
    """The type of --strip: strengths separated by commas."""
    if text.count(",") >= MOST_STRIP:
        raise ArgumentTypeError(f"{text.count(',') + 1:,} strengths; give at most {MOST_STRIP}")
    return tuple(strength(word) for word in text.split(","))


@cli.argument
def solver(text: str) -> str:
    find(text)
    return text


def attribute(text: str) -> str:
    """The type of --attribute: NAME, or NAME=STRENGTH."""
    if not text.partition("=")[0].strip():
        raise ArgumentTypeError("a name is missing")
    return text.strip()


def with_strength(text: str, known: Collection[str] = ()) -> tuple[str, float | None]:
    """An --attribute as its name and its own strength, if any; a `known` name may have "=" in it.

    Raises UserError.
    """
    name, equals, value = text.rpartition("=")
    if text in known or not equals:
        return text, None
    with naming("--attribute", ArgumentTypeError):
        return name.strip(), strength(value)


# ----------------------------------------------------------------------------------------------
# Options of several verbs


def _model(parser: cli.Parser) -> None:
    ckpt = "a checkpoint of ours, the authors' last.ckpt, hf://OWNER/NAME, or a packaged name (default: portraits)"
    parser.add_argument("--ckpt", type=cli.word, default="portraits", help=ckpt)
    device = "cpu, cuda or cuda:N (default: a GPU if there is one)"
    parser.add_argument("--device", type=cli.device, help=device)
    parser.add_argument("--batch-size", type=few, default=16, help="images at once (default: 16)")
    json = "print one JSON object of what was made"
    parser.add_argument("--json", action="store_true", help=json)


def _way(parser: cli.Parser) -> None:
    steps = f"of each direction (default: {STEPS})"
    parser.add_argument("--steps", type=cli.between(1, NUM_TIMESTEPS), default=STEPS, help=steps)
    by = f"ddim is the paper's (default: {SOLVER}; `diffae-bench docs solvers`)"
    parser.add_argument("--solver", type=solver, default=SOLVER, help=by)
    large = "write each pixel as N x N (default: 1, the model's own size)"
    parser.add_argument("--enlarge", type=cli.between(1, 64), default=1, metavar="N", help=large)


def _pictures(parser: cli.Parser, nargs: str | int = "+") -> None:
    files, crop = "files and folders of images", "how a picture is made square (default: center)"
    parser.add_argument("pictures", type=cli.word, nargs=nargs, metavar="PICTURE", help=files)
    parser.add_argument("--crop", choices=CROPS, default="center", help=crop)
    where = parser.add_mutually_exclusive_group()
    finds = f"find the face of each picture and align it as FFHQ's ({pip_install('faces')})"
    where.add_argument("--align", action="store_true", help=finds)
    known = "five points of each face, in the form of CelebA's list_landmarks_celeba.txt: faces are aligned as FFHQ's"
    where.add_argument("--landmarks", type=cli.path, metavar="FILE", help=known)
    points = "the same for one picture: left eye, right eye, nose, corners of the mouth"
    where.add_argument("--points", type=cli.word, metavar="X1,Y1,...", help=points)


def _classifier(parser: cli.Parser) -> None:
    beside = "default: the one beside the checkpoint"
    parser.add_argument("--classifier", type=cli.path, metavar="FILE", help=beside)
    having = "learn the attribute from your own pictures that have it ..."
    parser.add_argument("--with", dest="having", type=cli.path, metavar="FOLDER", help=having)
    lacking = "... and pictures that have not"
    parser.add_argument("--without", dest="lacking", type=cli.path, metavar="FOLDER", help=lacking)
    keep = "keep the one that was used"
    parser.add_argument("--save-classifier", type=cli.path, metavar="FILE", help=keep)


def _data(parser: cli.Parser) -> None:
    labelled = "labelled data, as CelebA's (default: the portraits, for the packaged model)"
    parser.add_argument("--data", type=cli.path, metavar="PATH", help=labelled)


def _seed(parser: cli.Parser) -> None:
    parser.add_argument("--seed", type=cli.natural, default=0, help="of the noise (default: 0)")


def _count(default: int, what: str, least: int = 1) -> Group:
    kind, words = cli.between(least, MOST), f"{what} (default: {default})"
    return lambda parser: parser.add_argument("--count", type=kind, default=default, help=words)


def _edits(parser: cli.Parser) -> None:
    several = f"give it several times for several at once; '{ASK}' lists them"
    given: dict[str, Any] = {"type": attribute, "metavar": "NAME[=STRENGTH]", "help": several}
    parser.add_argument("--attribute", action="append", default=[], **given)
    others = f"of attributes without their own (default: {STRENGTH}; negative: away)"
    parser.add_argument("--strength", type=strength, help=others)
    every = "every one of these strengths, side by side"
    parser.add_argument("--strip", type=strengths, metavar="S,S,...", help=every)


def _class(parser: cli.Parser) -> None:
    name = f"the class; '{ASK}' lists them"
    parser.add_argument("--attribute", required=True, metavar="NAME", help=name)
    parser.add_argument("--absent", action="store_true", help="the class of those that have it not")
    shots = f"labelled images of the class to learn from (default: {SHOTS})"
    parser.add_argument("--shots", type=cli.positive, help=shots)
    pu = "beside them images without labels (PU), not as many that have it not"
    parser.add_argument("--unlabelled", action="store_true", help=pu)
    accept = f"default: {RULES[0]} (p > 0.5)"
    parser.add_argument("--accept", choices=RULES, default=RULES[0], help=accept)
    tried = f"samples tried at most (default: {POOL:,})"
    parser.add_argument("--pool", type=cli.positive, default=POOL, help=tried)


# ----------------------------------------------------------------------------------------------
# The verbs


@dataclass(frozen=True)
class Verb:
    """A verb: its one-line help, its own options, and what --out is."""

    line: str
    options: tuple[Group, ...]
    out: str = "folder to make: a PNG a picture and a contact sheet"


_SAMPLES = (_count(16, "pictures"), _seed, _way)
VERBS: Mapping[str, Verb] = {
    "reconstruct": Verb("pictures through the model and back", (_pictures, _way)),
    "vary": Verb(
        "the same content, other details: x_T drawn anew",
        (_pictures, _count(4, "variations of each"), _seed, _way),
    ),
    "interpolate": Verb(
        "from picture A to picture B: a strip and a GIF",
        (
            partial(_pictures, nargs=2),
            _count(9, "pictures of the strip, both ends too", least=2),
            _way,
        ),
    ),
    "edit": Verb(
        "attributes changed: --attribute Smiling --strength 0.3",
        (_pictures, _edits, _classifier, _way),
    ),
    "sample": Verb("new pictures, of nobody", _SAMPLES),
    "sample-class": Verb(
        "new pictures of a class that a few labels describe: --attribute Male --shots 50",
        (_class, _data, _classifier, *_SAMPLES),
    ),
    "learn": Verb(
        "the classifier of a checkpoint, from labelled images: --data celeba/ --out FILE",
        (_data, _seed),
        out="file to write, .safetensors; classifier.safetensors beside a checkpoint is found by itself",
    ),
}


def usage() -> str:
    prog = cli.prog("diffae.images")
    lines = "\n".join(f"  {name:13} {verb.line}" for name, verb in VERBS.items())
    return f"""usage: {prog} VERB ...; {prog} VERB --help tells more

{lines}

for example: {prog} edit me.jpg --attribute Smiling --strength 0.3 --out smiling"""


def parse(verb: str, arguments: list[str]) -> Namespace:
    """Parse the options of a verb.

    Raises UserError for an unknown verb or flag, or options that exclude each other.
    """
    if verb not in VERBS:
        raise UserError(f"unknown verb {verb!r:.40}{cli.did_you_mean(verb, VERBS)}")
    parser = cli.Parser(f"{cli.prog('diffae.images')} {verb}", VERBS[verb].line)
    parser._negative_number_matcher = re.compile(r"-[0-9.]")  # `--strip -0.3,0` is no flag
    for add in VERBS[verb].options:
        add(parser)
    parser.add_argument("--out", type=cli.path, required=True, help=VERBS[verb].out)
    _model(parser)
    asks = ASK in arguments or f"--attribute={ASK}" in arguments
    if asks:  # needs no pictures, and writes nothing
        for action in parser._actions:
            action.required, action.nargs = False, "*" if action.nargs == "+" else action.nargs
    args = parser.parse(arguments)
    args.verb, args.asks = verb, asks
    if not asks:
        _check(args)
    return args


def _check(args: Namespace) -> None:
    options = vars(args)
    having, lacking = options.get("having"), options.get("lacking")
    if (having is None) != (lacking is None):
        raise UserError("--with and --without: one is given without the other; both are needed")
    if having is not None and args.classifier is not None:
        raise UserError("--classifier and --with: a direction comes from the one or the other")
    if having is not None and isinstance(args.attribute, list) and len(args.attribute) > 1:
        raise UserError("--attribute: --with and --without teach one attribute, not several")
    if options.get("attribute") == [] and having is None:
        raise UserError("--attribute: say what to change, such as --attribute Smiling")
    if options.get("strip") and args.strength is not None:
        raise UserError("--strength and --strip: one strength or several, not both")
    if args.verb == "sample-class" and (having or args.classifier):
        for flag in ("shots", "data", "unlabelled"):
            if options[flag]:
                raise UserError(f"--{flag}: belongs to labelled data, but a classifier is given")
