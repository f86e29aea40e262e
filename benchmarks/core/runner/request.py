"""The options of a run. This module does not import PyTorch, so that a wrong command line is
reported quickly.
"""

from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.core.profiles import Profile
from benchmarks.metrics.protocols import schema
from benchmarks.runtime import choices
from benchmarks.runtime.choices import BatchSize, NetworkChoice, TaskOptions, option, switch
from diffae.data.transforms import CROPS
from diffae.system import cli
from diffae.system.errors import UserError


def _path_as_text(text: str) -> str:
    return str(cli.path(text))


def _batch_size(text: str) -> BatchSize:
    return text if text == choices.AUTO else cli.positive(text)


@dataclass(frozen=True, kw_only=True)
class Options(TaskOptions):
    """The options of a run; two runs with equal options are the same run."""

    benchmarks: tuple[str, ...]
    profile: Profile
    device: str
    systems: tuple[str, ...] = ()
    checkpoints: dict[str, str] = field(default_factory=dict)
    networks: NetworkChoice = NetworkChoice()
    arguments: tuple[str, ...] = ()  # of the command
    data: str | None = option("data set (default: the procedural portraits)", type=_path_as_text)
    crop: str | None = option("crop of --data (default: the format's own)", choices=CROPS)
    verify_data: bool = switch("hash all files of --data again, even if unchanged")
    out: Path | None = option("run folder (default: runs/DATA-PROFILE-ID)", type=cli.path)
    save_images: bool = switch(
        "keep the reconstructions of Table 1 and their inputs as PNG, in images/ of the run folder"
    )
    save_codes: Path | None = option(
        "keep the codes that probes read, with labels, as DIR/NAME.npz for each system, for `measure`",
        type=cli.path,
        metavar="DIR",
    )
    seed: int = option(
        "seed of the order of images, of noise and of labelled examples (default: 0)",
        0,
        type=cli.natural,
    )
    precision: str = option(
        "numeric precision of the systems' networks (default: float32, with TF32 off); metrics: always float32",
        "float32",
        choices=choices.PRECISIONS,
    )
    batch_size: BatchSize = option(
        "images that a network is given at once (default: 64); auto: what fits on a GPU; no number depends on it",
        type=_batch_size,
        metavar=f"N|{choices.AUTO}",
    )
    fresh: bool = switch("compute everything again, whatever the store holds")
    dry_run: bool = switch("say what would be computed, and compute nothing")

    def __post_init__(self) -> None:
        if self.protocols and "reconstruction" not in self.benchmarks:
            raise UserError("--protocol, --explain: are of reconstruction, which is not asked for")
        if self.keep and "reconstruction" not in self.benchmarks:
            raise UserError("--keep: is of reconstruction, which is not asked for")
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
