"""glibc's allocator, told to keep what is freed: every layer of a network frees and asks for the same tens of megabytes, and
memory that goes back to the system between two layers is cleared by it again. `diffae-bench docs scale` says what that is worth.

Only a command does so, never a library in somebody else's process; where there is no glibc, nothing happens.
"""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # see mallopt(3)
_LARGEST_OF_HEAP = 32 << 20  # the most that glibc takes; larger pieces have pages of their own
_KEPT = (1 << 31) - 1  # bytes at the end of the heap


def keep_freed_memory() -> None:
    """From now on, this process keeps up to 2 GiB of what it frees."""
    if (libc := _glibc()) is not None:
        libc.mallopt(_MMAP_THRESHOLD, _LARGEST_OF_HEAP)
        libc.mallopt(_TRIM_THRESHOLD, _KEPT)


def give_back() -> None:
    """Give what is freed back to the system now, so that what this process holds is what it needs."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
