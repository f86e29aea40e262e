"""The options of a run as plain values. This module does not import PyTorch, so that a wrong
command line is reported quickly.
"""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.core.profiles import Profile
from benchmarks.runtime.choices import BatchSize, NetworkChoice


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
    arguments: tuple[str, ...] = ()
