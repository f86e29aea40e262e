"""How much memory is free, and whether what a file announces fits into it."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

from diffae.system.errors import UserError
from diffae.system.files import amount

SMALL = 1 << 24  # bytes that always fit
CONTROL_GROUPS = Path("/sys/fs/cgroup")
# The files of a control group with its limit and what is used, by the version of control groups.
LIMITS = {"": ("memory.max", "memory.current")}
LIMITS["memory"] = ("memory.limit_in_bytes", "memory.usage_in_bytes")


def fits(size: int, name: object) -> None:
    """Raise UserError, naming the file, if `size` bytes are more than half of the free memory."""
    if size > SMALL and 2 * size > (free := free_memory()):
        held = f"takes {amount(size)} of memory, more than half of the {amount(free)} that are free"
        raise UserError(f"{name}: {held}; give a smaller file, or more memory")


def free_memory() -> int:
    """Bytes that this process may still allocate, by the machine, control groups and `ulimit -v`."""
    free = [*_free_in_control_groups()]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free += [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:  # another system than Linux
        free, taken = [os.sysconf("SC_PHYS_PAGES") * resource.getpagesize()], 0
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return max(0, min([*free, *([limit - taken] if limit != resource.RLIM_INFINITY else [])]))


def _free_in_control_groups() -> Iterator[int]:
    """What each group that this process is in may still allocate; files in memory can be dropped."""
    groups = Path("/proc/self/cgroup")
    for line in groups.read_text().splitlines() if groups.exists() else []:
        _, version, name = line.split(":", 2)
        if version not in LIMITS:
            continue
        own = CONTROL_GROUPS / version / name.lstrip("/")
        for folder in (own, *own.parents):
            try:
                limit, used = (int((folder / file).read_text()) for file in LIMITS[version])
                rows = dict(map(str.split, (folder / "memory.stat").read_text().splitlines()))
            except (OSError, ValueError):  # no group of this container, or "max"
                continue
            yield limit - used + int(rows.get("total_inactive_file") or rows["inactive_file"])
