"""The options of a run as plain values. This module does not import PyTorch, so that a wrong
command line is reported quickly.
"""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.core.profiles import Profile
from benchmarks.metrics.protocols import schema
from benchmarks.runtime.choices import BatchSize, NetworkChoice
from diffae.system.errors import UserError


@dataclass(frozen=True)
class Options:
    """The options of a run; two runs with equal options are the same run."""

    benchmarks: tuple[str, ...]
    systems: tuple[str, ...]
    checkpoints: dict[str, str]
    data: str | None
    crop: str | None
    profile: Profile
    attributes: tuple[str, ...]
    seed: int
    device: str
    networks: NetworkChoice
    out: Path | None
    precision: str = "float32"
    batch_size: BatchSize = None
    fresh: bool = False
    dry_run: bool = False
    verify_data: bool = False
    save_images: bool = False
    protocols: tuple[str, ...] = ()
    explain: bool = False
    arguments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.protocols and "reconstruction" not in self.benchmarks:
            raise UserError("--protocol, --explain: are of reconstruction, which is not asked for")

    @property
    def cropped(self) -> str | None:
        """How the images of `data` are cropped, None as usual for its format: as asked for, else as
        the one protocol does that is asked for.
        """
        if self.crop is not None or len(self.protocols) != 1 or self.protocols[0] == schema.PLAIN:
            return self.crop
        return schema.named(self.protocols[0]).pixels.crop
