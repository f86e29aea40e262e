"""Where a run comes from: the code, the command, the machine and the time, for run.json."""

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import diffae
from diffae.system import distributed

PACKAGES = "torch torchvision timm scikit-learn scipy numpy pandas lpips".split()
SECONDS_FOR_GIT = 10


def describe(
    arguments: Sequence[str], device: torch.device, batch_size: int | str
) -> dict[str, Any]:
    """The command's arguments, the code's commit, versions, and what it runs on."""
    return {
        "arguments": list(arguments),
        **checkout(Path(diffae.__file__).parents[1]),
        "versions": {"diffae-bench": diffae.__version__}
        | {name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "device": _device(device),
        "processes": distributed.world(),
        "threads": torch.get_num_threads(),
        "batch_size": batch_size,
    }


def now() -> str:
    """The time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def checkout(root: Path) -> dict[str, Any]:
    """`commit` of the checkout at `root`, and whether files were changed since (`dirty`); both None
    elsewhere.

    An installed package lies in no checkout of its own, even if a project around it has one.
    """
    if not (root / ".git").exists():
        return {"commit": None, "dirty": None}
    commit, changed = _git(root, "rev-parse", "HEAD"), _git(root, "status", "--porcelain")
    return {"commit": commit, "dirty": None if changed is None else bool(changed)}


def _git(root: Path, *command: str) -> str | None:
    """What git answers, None if it does not."""
    environment = {name: value for name, value in os.environ.items() if name[:4] != "GIT_"}
    words = ["git", "-C", str(root), "--no-optional-locks", *command]
    run = partial(subprocess.check_output, text=True, stderr=subprocess.DEVNULL)
    try:
        return run(words, env=environment, timeout=SECONDS_FOR_GIT).strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _device(device: torch.device) -> str:
    if device.type == "cuda":
        capability = "{}.{}".format(*torch.cuda.get_device_capability(device))
        return f"{device}: {torch.cuda.get_device_name(device)}, capability {capability}"
    return f"{device}: {platform.processor() or platform.machine()}, {os.cpu_count()} logical cores"
