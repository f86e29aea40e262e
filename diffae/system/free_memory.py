"""The free memory, and whether the content of a file fits into it."""

import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from diffae.system.errors import UserError
from diffae.system.files import amount

SMALL = 1 << 26  # bytes that always fit
PROC, CONTROL_GROUPS = Path("/proc"), Path("/sys/fs/cgroup")
# The files of a control group with its limit and its use, for version 2 and version 1 of control groups.
LIMITS = ("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")


def fits(size: int, name: Path | str) -> None:
    """Raise UserError, naming the file, if `size` bytes are more than half of the free memory."""
    if size > SMALL and 2 * size > (free := free_memory()):
        held = f"takes {amount(size)} of memory, more than half of the {amount(free)} that are free"
        raise UserError(f"{name}: {held}; give a smaller file, or more memory")


def free_memory() -> int:
    """Bytes that this process may still allocate: the least that the machine, its control groups and `ulimit -v` allow."""
    page, (limit, _) = resource.getpagesize(), resource.getrlimit(resource.RLIMIT_AS)
    free = [os.sysconf("SC_PHYS_PAGES") * page, *_free_in_control_groups()]
    if PROC.exists():  # on Linux
        rows = dict(line.split(":", 1) for line in (PROC / "meminfo").read_text().splitlines())
        free.append(int(rows["MemAvailable"].split()[0]) * 1024)
        taken = int((PROC / "self/statm").read_text().split()[0]) * page
        free += [] if limit == resource.RLIM_INFINITY else [limit - taken]
    return max(0, min(free))


def _free_in_control_groups() -> Iterator[int]:
    """Bytes that each control group of this process may still allocate; cached files count as free."""
    groups = PROC / "self/cgroup"  # of lines such as "0::/user" and "4:memory:/user"
    for line in groups.read_text().splitlines() if groups.exists() else []:
        _, controller, name = line.split(":", 2)
        own = CONTROL_GROUPS / controller / name.strip("/")
        for folder in (own, *own.parents):
            for limit, used in LIMITS:
                with suppress(OSError, ValueError):  # no group of this container, or "max"
                    free = int((folder / limit).read_text()) - int((folder / used).read_text())
                    stat = (folder / "memory.stat").read_text()
                    yield free + int(stat.rpartition("inactive_file ")[2].split()[0])
