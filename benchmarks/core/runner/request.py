"""The options of a run. This module does not import PyTorch, so that a wrong command line is
reported quickly.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.core import suites
from benchmarks.core.profiles import Profile, ProfileChoice
from benchmarks.core.registry import chosen
from benchmarks.metrics.protocols import edits, schema
from benchmarks.runtime import choices
from benchmarks.runtime.choices import BatchSize, CommonOptions, NetworkChoice, TaskOptions, names
from diffae.data.transforms import CROPS, Transform
from diffae.system import cli
from diffae.system.errors import UserError
from diffae.system.settings import Values, given_options, option, options_of, switch


def _path_as_text(text: str) -> str:
    return str(cli.path(text))


def _images_at_once(text: str) -> BatchSize:
    return text if text == choices.AUTO else cli.positive(text)


@dataclass(frozen=True, kw_only=True)
class Options(TaskOptions, CommonOptions):
    """The options of a run; two runs with equal options are the same run."""

    benchmarks: tuple[str, ...]
    profile: Profile
    systems: tuple[str, ...] = ()
    checkpoints: dict[str, str] = field(default_factory=dict)
    networks: NetworkChoice = NetworkChoice()
    arguments: tuple[str, ...] = ()  # of the command
    transform: Values = field(default_factory=dict)  # the options of `Transform`
    data: str | None = option("data set (default: the procedural portraits)", type=_path_as_text)
    crop: str | None = option("crop of --data (default: the format's own)", choices=CROPS)
    verify_data: bool = switch("hash all files of --data again, even if unchanged")
    out: Path | None = option("run folder (default: runs/DATA-PROFILE-ID)", type=cli.path)
    save_images: bool = switch("keep inputs and reconstructions of Table 1 as PNG, in images/")
    _save_codes = "keep the codes that probes read, with labels, as DIR/NAME.npz for each system, for `measure`"
    save_codes: Path | None = option(_save_codes, type=cli.path, metavar="DIR")
    _seed = "seed of the order of images, of noise and of labelled examples (default: 0)"
    seed: int = option(_seed, 0, type=cli.natural)
    _precision = "numeric precision of the systems' networks (default: float32, with TF32 off); metrics: always float32"
    precision: str = option(_precision, "float32", choices=choices.PRECISIONS)
    _batch_size = (
        "images that a network is given at once (default: 64, on a CPU 65,536 pixels, as 64 images of 32 px have); "
        "auto: what fits on a GPU; no number depends on it"
    )
    batch_size: BatchSize = option(_batch_size, type=_images_at_once, metavar=f"N|{choices.AUTO}")
    _protocol = (
        f"measure reconstructions also as other evaluation codes do: {', '.join(schema.names())}; or edits: "
        f"{', '.join(edits.names())}"
    )
    protocol: tuple[str, ...] = option(_protocol, (), type=names, metavar="NAME|FILE.toml,...")
    fresh: bool = switch("compute everything again, whatever the store holds")
    dry_run: bool = switch("say what would be computed, and compute nothing")

    def __post_init__(self) -> None:
        of_reconstruction = {
            "--protocol, --explain: are": self.protocols,
            "--keep: is": self.keep,
            "--native: is": self.native,
        }
        for flag, given in of_reconstruction.items():
            if given and "reconstruction" not in self.benchmarks:
                raise UserError(f"{flag} of reconstruction, which is not asked for")
        of_one_size = {
            "--save-images": self.save_images,
            "--keep": self.keep,
            "--protocol": self.protocols,
        }
        for flag, given in of_one_size.items():
            if given and self.native:
                raise UserError(f"{flag}: is of images of one size; leave it out, or --native")
        if self.edit_protocols and "edits" not in self.benchmarks:
            name = self.edit_protocols[0]
            raise UserError(f"--protocol: {name} is of edits, which is not asked for")

    @property
    def cropped(self) -> str | None:
        """How the images of `data` are cropped, None as usual for its format: as asked for, else as
        the one protocol does that is asked for.
        """
        if self.crop is not None or len(self.protocols) != 1 or self.protocols[0] == schema.PLAIN:
            return self.crop
        return schema.named(self.protocols[0]).pixels.crop


KINDS = (Options, ProfileChoice, NetworkChoice, Transform)
PROTOCOLS = {"reconstruction": schema.names, "edits": edits.names}  # by benchmark
OPTIONS = {name: option for kind in KINDS for name, option in options_of(kind).items()}


def options_for(tasks: Sequence[str], values: Values, **more: Any) -> Options:
    """The options of a run of benchmarks, or of a suite, `tasks`.

    `values` are those of the options that are given, `more` other fields. Raises UserError.
    """
    if suite := suites.find(tasks):
        suite.refuse(OPTIONS[name] for name in values)
        values = {**values, **suite.options}
        more["suite"] = suite.about
    benchmarks = tuple(suite.content["benchmarks"]) if suite else chosen(tasks)
    networks = NetworkChoice(**given_options(NetworkChoice, values))
    if networks.weights_dir is not None and not networks.weights_dir.is_dir():
        raise UserError(f"--weights-dir {networks.weights_dir}: no such folder")
    profile = ProfileChoice(**given_options(ProfileChoice, values)).profile_of(benchmarks)
    kinds = {name: _kind_of(name, benchmarks) for name in values.get("protocol", ())}
    of_images, of_edits = (
        tuple(name for name in kinds if kinds[name] == kind) for kind in PROTOCOLS
    )
    return Options(
        benchmarks=benchmarks,
        profile=profile.limited(values["limit"]) if "limit" in values else profile,
        networks=networks,
        transform=given_options(Transform, values),
        protocols=schema.asked(of_images, values.get("explain", False)),
        edit_protocols=edits.LIBRARY.asked(of_edits, False),
        **given_options(Options, values),
        **more,
    )


def _kind_of(protocol: str, benchmarks: Sequence[str]) -> str:
    """The benchmark of a protocol: one that has its name and is measured.

    A file, or an unknown name, is of the first that is measured.
    """
    measured = [kind for kind in PROTOCOLS if kind in benchmarks] or [*PROTOCOLS]
    return next((kind for kind in measured if protocol in PROTOCOLS[kind]()), measured[0])
