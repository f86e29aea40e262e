"""How much memory is free, and whether what a file announces fits into it."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

from diffae.system.errors import UserError
from diffae.system.files import amount

SMALL = 1 << 24  # bytes that are not worth a question
SHARE = 0.5  # of the free memory, the most that a single file may take
CONTROL_GROUPS = Path("/sys/fs/cgroup")
LIMITS = ("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")


def fits(size: int, name: object) -> None:
    """Raise UserError, naming the file, if `size` bytes are more than a share of the free memory."""
    if size > SMALL and size > SHARE * (free := free_memory()):
        held = (
            f"takes {amount(size)} of memory, and at most half of the free {amount(free)} is used"
        )
        raise UserError(f"{name}: {held}; give a smaller file, or more memory")


def free_memory() -> int:
    """Bytes that this process may still allocate, by the machine, control groups and `ulimit -v`."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:  # another system than Linux
        free, pages = [os.sysconf("SC_PHYS_PAGES") * resource.getpagesize()], 0
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    own = [] if limit == resource.RLIM_INFINITY else [limit - pages * resource.getpagesize()]
    return max(0, min([*free, *own, *_free_in_control_groups()]))


def _free_in_control_groups() -> Iterator[int]:
    """What each group that this process is in may still allocate; files in memory can be dropped."""
    try:
        groups = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return
    for _, controllers, name in groups:
        second = controllers == "memory"  # of the older version, where memory has a tree of its own
        if controllers and not second:
            continue
        root = CONTROL_GROUPS / controllers
        own = root / name.lstrip("/")
        for folder in (own, *own.parents):
            if not folder.is_relative_to(root):
                break
            try:
                limit, used = (int((folder / file).read_text()) for file in LIMITS[second])
                rows = dict(map(str.split, (folder / "memory.stat").read_text().splitlines()))
            except (OSError, ValueError):  # no such group within a container, or "max"
                continue
            yield limit - used + int(rows.get("total_inactive_file", rows.get("inactive_file", 0)))
