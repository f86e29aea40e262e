"""The options of `python -m benchmarks.run`: read, checked, and turned into systems and data."""

import argparse
import re
import sys
from collections import Counter
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import torch

from benchmarks import REGISTRY, systems
from benchmarks.core.precision import PRECISIONS
from benchmarks.core.profiles import PROFILES, Profile, override
from benchmarks.core.store import ELSEWHERE, default_root
from benchmarks.metrics.weights import NotAvailable
from benchmarks.systems.base import System, SystemFailed
from diffae import checkpoint, cli, distributed
from diffae.config import AUTOENCODER
from diffae.data import Dataset, open_for_model, open_portraits
from diffae.data.portraits.planned import planned
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
    fresh: bool = False
    dry_run: bool = False
    verify_data: bool = False
    arguments: tuple[str, ...] = ()


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
        data=None if args.data is None else str(args.data),
        crop=args.crop,
        profile=profile,
        attributes=_attribute_names(args.attributes),
        seed=args.seed,
        device=args.device,
        weights_dir=args.weights_dir,
        allow_unknown_weights=args.allow_unknown_weights,
        out=args.out,
        precision=args.precision,
        fresh=args.fresh,
        dry_run=args.dry_run,
        verify_data=args.verify_data,
        arguments=tuple(sys.argv[1:] if arguments is None else arguments),
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
    add("--data", type=cli.path, help="data set (default: the procedural portraits)")
    add("--crop", choices=CROPS, help="how --data is cut to squares (default: the format's own)")
    add("--verify-data", action="store_true", help="read all of --data again, changed or not")
    add("--profile", default="quick", help=f"{', '.join(PROFILES)} (default: quick)")
    add("--out", type=cli.path, help="run folder (default: runs/DATA-PROFILE-ID)")
    add("--steps", type=_steps, metavar="10,20,...", help="T of Tables 1, 2 and 4")
    add(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change one setting of the profile, see benchmarks/core/profiles.py; may be repeated",
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
    add("--weights-dir", type=cli.path, help="folder of metric weights, see doctor")
    add("--fresh", action="store_true", help="compute everything anew, whatever the store holds")
    add("--dry-run", action="store_true", help="say what would be computed, and compute nothing")
    add("--allow-unknown-weights", action="store_true", help="use weights whose hash is not known")
    return parser


def _steps(text: str) -> tuple[int, ...]:
    try:
        steps = tuple(cli.whole_number(part) for part in text.split(","))
        for number in steps:
            timesteps(number)
    except (ValueError, UserError) as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None
    return tuple(sorted(set(steps)))


def _benchmark_names(what: list[str]) -> tuple[str, ...]:
    for name in what:
        if name != "all":
            REGISTRY.get(name)
    return tuple(REGISTRY.usable() if "all" in what else dict.fromkeys(what))


def _system_names(text: str | None) -> tuple[str, ...]:
    if text is None:
        return systems.DEFAULT
    if text == "all":
        return tuple(systems.REGISTRY.usable())
    names = _names(text)
    for name in names:
        systems.REGISTRY.get(name)
    if not names:
        raise UserError("--systems: names no system")
    return names


def _attribute_names(text: str | None) -> tuple[str, ...]:
    """The attributes to edit; none: those of the paper's that the data has."""
    names = _names(text or "")
    if text is not None and not names:
        raise UserError("--attributes: names no attribute")
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


Missing = dict[str, str | SystemFailed]  # by title: why a system is not there


def load_systems(options: Options) -> tuple[list[System], Missing]:
    """The systems asked for, and the reasons why others of them cannot be had in this run, or failed.

    A baseline that ships with the package does not stand in for one that was not given: with --ckpt for
    one system, a system without a checkpoint of its own is not run, and says so.
    """
    for key in options.checkpoints:
        if key.partition(":")[0] not in options.systems:
            raise UserError(f"--ckpt {key}=...: not among --systems")
    loaded: list[System] = []
    missing: Missing = {}
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
        try:
            loaded.append(systems.load(name, path, options.device))
        except (SystemFailed, NotAvailable) as reason:
            missing[name] = reason if isinstance(reason, SystemFailed) else str(reason)
    loaded += _further(options, missing)
    if not loaded:
        raise UserError("no system is left to run: " + "; ".join(map(str, missing.values())))
    names = [system.name for system in loaded], [*missing, *(system.title for system in loaded)]
    for name, count in chain(*(Counter(kind).items() for kind in names)):
        if count > 1:
            raise UserError(f"--ckpt: two systems would be called {name!r}; give another TITLE")
    return loaded, missing


def _further(options: Options, missing: Missing) -> list[System]:
    """Systems of `--ckpt SYSTEM:TITLE=PATH`: the same kind of model again, under a title of its own."""
    loaded = []
    for key, path in options.checkpoints.items():
        name, separator, title = key.partition(":")
        if separator:
            try:
                system = systems.load(name, path, options.device)
            except SystemFailed as failure:
                missing[title] = failure
                continue
            system.title = title
            system.name = _slug(title)
            loaded.append(system)
    return loaded


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def refuse_data_and_out_in_one(data: str | None, out: Path) -> None:
    """Raise UserError if one lies in the other: a run's pictures must not become its data."""
    if data is None:
        return
    inner, outer = (Path(path).resolve() for path in (data, out))
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise UserError(
            f"--out {out}: lies in --data {data} or around it, and a run's pictures must not become its data; "
            "choose an --out elsewhere"
        )


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
    if options.data is None and options.dry_run:
        dataset = planned(options.profile.portraits, size)
    elif options.data is None:
        with writing(default_root().parent, ELSEWHERE):
            dataset = open_portraits(options.profile.portraits, size)
    else:
        dataset = _open_folder(options.data, size, options.crop)
    for name in options.attributes:
        if name not in dataset.attribute_names:
            hint = cli.did_you_mean(name, dataset.attribute_names)
            raise UserError(f"--attributes: {dataset.name} has no attribute {name!r}{hint}")
    if options.verify_data and not options.dry_run and distributed.is_main():
        forget(dataset.source)
    return dataset


def _open_folder(path: str, size: int, crop: str | None) -> Dataset:
    dataset = open_for_model(path, size, crop)
    if not len(dataset.indices("test")):
        raise UserError(f"{path}: no images in the test split")
    return dataset
