"""Make glibc's allocator keep freed memory.

Every layer of a network frees and allocates the same tens of megabytes; memory that is returned to
the system between two layers has to be cleared by it again. `diffae-bench docs scale` says how much
this saves. Only commands do so, never a library in another program's process; without glibc nothing
happens.
"""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # see mallopt(3)
_LARGEST_OF_HEAP = 32 << 20  # the most that glibc takes; larger pieces have pages of their own
_KEPT = (1 << 31) - 1  # bytes at the end of the heap


def keep_freed_memory() -> None:
    """From now on, this process keeps up to 2 GiB of freed memory."""
    if (libc := _glibc()) is not None:
        libc.mallopt(_MMAP_THRESHOLD, _LARGEST_OF_HEAP)
        libc.mallopt(_TRIM_THRESHOLD, _KEPT)


def give_back() -> None:
    """Return freed memory to the system now, so that this process holds only what it needs."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
