"""The options of `python -m benchmarks.run`: read, checked, and turned into systems and data."""

import argparse
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks import REGISTRY, systems
from benchmarks.precision import PRECISIONS
from benchmarks.profiles import PROFILES, Profile, override
from benchmarks.store import ELSEWHERE, default_root
from benchmarks.systems.base import System
from diffae import checkpoint, cli, distributed
from diffae.config import AUTOENCODER
from diffae.data import Dataset, open_for_model, open_portraits
from diffae.data.survey import forget
from diffae.data.transforms import CROPS
from diffae.diffusion import timesteps
from diffae.errors import UserError
from diffae.files import writing


@dataclass(frozen=True)
class Options:
    """What was asked for, by value: two runs with equal options are the same run."""

    benchmarks: tuple[str, ...]
    systems: tuple[str, ...]
    checkpoints: dict[str, str]
    data: str | None
    crop: str | None
    profile: Profile
    attributes: tuple[str, ...]
    seed: int
    device: str
    weights_dir: Path | None
    allow_unknown_weights: bool
    out: Path | None
    precision: str = "float32"
    dry_run: bool = False
    verify_data: bool = False


def parse(arguments: list[str] | None, description: str | None) -> Options:
    """Read the command line. Raises UserError naming the flag or name that is wrong."""
    args = _parser(description).parse(arguments)
    if args.profile not in PROFILES:
        raise UserError(
            f"unknown profile {args.profile!r}{cli.did_you_mean(args.profile, PROFILES)}"
        )
    profile = PROFILES[args.profile]
    if args.steps is not None:
        profile = replace(profile, steps=args.steps, fid_steps=args.steps, changed=("steps",))
    for text in args.set:
        profile = override(profile, text)
    if args.weights_dir is not None and not args.weights_dir.is_dir():
        raise UserError(f"--weights-dir {args.weights_dir}: no such folder")
    return Options(
        benchmarks=_benchmark_names(args.what),
        systems=_system_names(args.systems),
        checkpoints=_checkpoints(args.ckpt),
        data=str(args.data) if args.data else None,
        crop=args.crop,
        profile=profile,
        attributes=_names(args.attributes) if args.attributes else (),
        seed=args.seed,
        device=args.device,
        weights_dir=args.weights_dir,
        allow_unknown_weights=args.allow_unknown_weights,
        out=args.out,
        precision=args.precision,
        dry_run=args.dry_run,
        verify_data=args.verify_data,
    )


def _parser(description: str | None) -> cli.Parser:
    parser = cli.Parser("python -m benchmarks.run", description)
    add = parser.add_argument
    add("what", nargs="+", help="all, list, doctor, or benchmarks by name")
    add(
        "--ckpt",
        action="append",
        default=[],
        metavar="[SYSTEM[:TITLE]=]PATH",
        help="checkpoint of a system; without SYSTEM= it is found out; may be repeated, with a TITLE of its "
        "own for each further checkpoint of one system",
    )
    add("--systems", metavar="NAME,...|all", help=f"default: {','.join(systems.DEFAULT)}")
    add("--data", type=Path, help="data set (default: the procedural portraits)")
    add("--crop", choices=CROPS, help="how --data is cut to squares (default: the format's own)")
    add("--verify-data", action="store_true", help="read all of --data again, changed or not")
    add("--profile", default="quick", help=f"{', '.join(PROFILES)} (default: quick)")
    add("--out", type=Path, help="run folder (default: runs/DATA-PROFILE-ID)")
    add("--steps", type=_steps, metavar="10,20,...", help="T of Tables 1, 2 and 4")
    add(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change one setting of the profile, see benchmarks/profiles.py; may be repeated",
    )
    add("--attributes", metavar="NAME,...", help="attributes that `identity` edits")
    add("--seed", type=cli.natural, default=0)
    add("--device", type=cli.device, default="cuda" if torch.cuda.is_available() else "cpu")
    add(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="how exactly systems' networks compute (default: float32, with TF32 off); metrics: always float32",
    )
    add("--weights-dir", type=Path, help="folder of metric weights, see doctor")
    add("--dry-run", action="store_true", help="say what would be computed, and compute nothing")
    add("--allow-unknown-weights", action="store_true", help="use weights whose hash is not known")
    return parser


def _steps(text: str) -> tuple[int, ...]:
    try:
        steps = tuple(int(part) for part in text.split(","))
        for number in steps:
            timesteps(number)
    except (ValueError, UserError) as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None
    return tuple(sorted(set(steps)))


def _benchmark_names(what: list[str]) -> tuple[str, ...]:
    if "all" in what:
        return tuple(REGISTRY.names())
    for name in what:
        REGISTRY.get(name)
    return tuple(dict.fromkeys(what))


def _system_names(text: str | None) -> tuple[str, ...]:
    if text is None:
        return systems.DEFAULT
    if text == "all":
        return tuple(systems.REGISTRY.names())
    names = _names(text)
    for name in names:
        systems.REGISTRY.get(name)
    if not names:
        raise UserError("--systems: names no system")
    return names


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _checkpoints(texts: list[str]) -> dict[str, str]:
    """What --ckpt gave, by SYSTEM or SYSTEM:TITLE; two for one of them contradict each other."""
    checkpoints: dict[str, str] = {}
    for text in texts:
        name, path = _checkpoint(text)
        if name in checkpoints:
            raise UserError(
                f"--ckpt: two checkpoints for {name}, {checkpoints[name]} and {path}; "
                f"give the second a title: --ckpt {name.partition(':')[0]}:TITLE={path}"
            )
        checkpoints[name] = path
    return checkpoints


def _checkpoint(text: str) -> tuple[str, str]:
    """`SYSTEM=PATH`, `SYSTEM:TITLE=PATH`, or `PATH` of a checkpoint whose kind tells the system."""
    name, separator, path = text.partition("=")
    system, colon, title = name.partition(":")
    if separator and system in systems.REGISTRY.names():
        if not path or (colon and not (_slug(title) and title.isprintable())):
            raise UserError(f"--ckpt {text}: expected SYSTEM=PATH or SYSTEM:TITLE=PATH")
        return name, path
    config = checkpoint.open_checkpoint(text).config
    return ("diffae" if config.kind == AUTOENCODER else "ddim"), text


# ----------------------------------------------------------------------------------------------
# From options to objects


def load_systems(options: Options) -> tuple[list[System], dict[str, str]]:
    """The systems asked for, and the reasons why others of them cannot be had in this run.

    A baseline that ships with the package does not stand in for one that was not given: with --ckpt for
    one system, a system without a checkpoint of its own is not run, and says so.
    """
    for key in options.checkpoints:
        if key.partition(":")[0] not in options.systems:
            raise UserError(f"--ckpt {key}=...: not among --systems")
    loaded, missing = [], {}
    for name in options.systems:
        path = options.checkpoints.get(name)
        if path is None and any(key.startswith(f"{name}:") for key in options.checkpoints):
            continue
        if path is None and name == "diffae" and "ddim" in options.checkpoints:
            missing["DiffAE"] = "no checkpoint was given: add --ckpt diffae=PATH"
            continue
        if path is None and name == "ddim" and options.checkpoints:
            missing["DDIM"] = "no checkpoint was given: add --ckpt ddim=PATH"
            continue
        if path is None and name in ("pixels-pca", "random-encoder"):
            path = options.checkpoints.get("diffae")  # they take its size and shape
        loaded.append(systems.load(name, path, options.device))
    loaded += _further(options)
    if not loaded:
        raise UserError("no system is left to run: " + "; ".join(missing.values()))
    for name, count in Counter(system.name for system in loaded).items():
        if count > 1:
            raise UserError(f"--ckpt: two systems would be called {name!r}; give another TITLE")
    return loaded, missing


def _further(options: Options) -> list[System]:
    """Systems of `--ckpt SYSTEM:TITLE=PATH`: the same kind of model again, under a title of its own."""
    loaded = []
    for key, path in options.checkpoints.items():
        name, separator, title = key.partition(":")
        if separator:
            system = systems.load(name, path, options.device)
            system.title = title
            system.name = _slug(title)
            loaded.append(system)
    return loaded


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def open_data(options: Options, loaded: list[System]) -> Dataset:
    """The data set at the size of the systems, which must agree."""
    sizes: dict[int, str] = {}
    for system in loaded:
        if system.image_size is not None:
            sizes.setdefault(system.image_size, system.title)
    if len(sizes) > 1:
        texts = ", ".join(f"{title} {size} px" for size, title in sizes.items())
        raise UserError(f"the systems' checkpoints are of different sizes: {texts}")
    size = next(iter(sizes), 32)
    if options.data is None:
        with writing(default_root().parent, ELSEWHERE):
            dataset = open_portraits(options.profile.portraits, size)
    else:
        dataset = _open_folder(options.data, size, options.crop)
    for name in options.attributes:
        if name not in dataset.attribute_names:
            hint = cli.did_you_mean(name, dataset.attribute_names)
            raise UserError(f"--attributes: {dataset.name} has no attribute {name!r}{hint}")
    if options.verify_data and distributed.is_main():
        forget(dataset.source)
    _ = dataset.survey  # now, while the other processes wait: they find what this one kept
    return dataset


def _open_folder(path: str, size: int, crop: str | None) -> Dataset:
    dataset = open_for_model(path, size, crop)
    if not len(dataset.indices("test")):
        raise UserError(f"{path}: no images in the test split")
    return dataset
