"""The one place that knows about several processes (started by torchrun).

Work is divided by index and results meet as files, so all that is needed is a rank, a world and a barrier. They
use the key-value store that torchrun keeps and exchange no tensors: a process that ends leaves nobody hanging in
a collective, on CPU and GPU alike. Without torchrun there is one process, and every function answers at once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from diffae.errors import UserError

if TYPE_CHECKING:
    import torch.distributed as dist

FAILED = "failed"
LONGEST_NAP = 0.02  # seconds between two looks at a barrier


class Stopped(Exception):
    """Another process of this run has failed and said why."""


@dataclass
class _Group:
    store: dist.Store
    rank: int
    world: int
    barriers: int = 0


_group: _Group | None = None


def init() -> None:
    """Join the processes that torchrun describes in the environment, if there are any."""
    global _group
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or _group is not None:
        return
    import torch
    from torch.distributed.rendezvous import rendezvous

    _group = _Group(*next(rendezvous("env://")))
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))


def rank() -> int:
    return 0 if _group is None else _group.rank


def world() -> int:
    return 1 if _group is None else _group.world


def is_main() -> bool:
    return rank() == 0


def barrier() -> None:
    """Wait for all processes. Raises Stopped if one of them has failed."""
    if _group is None:
        return
    _group.barriers += 1
    name, nap = f"barrier {_group.barriers}", 0.001
    with _launcher_alive():
        arrived = _group.store.add(name, 1)
    while arrived < _group.world:
        check()
        time.sleep(nap)  # in Python, so that a signal is obeyed at once
        nap = min(2 * nap, LONGEST_NAP)
        with _launcher_alive():
            arrived = _group.store.add(name, 0)


def check() -> None:
    """Raise Stopped if another process has failed: to be called now and then in long work."""
    if _group is not None:
        with _launcher_alive():
            failed = _group.store.check([FAILED])
        if failed:
            raise Stopped


@contextmanager
def _launcher_alive() -> Iterator[None]:
    try:
        yield
    except RuntimeError:  # what the store raises when nobody answers
        raise UserError("the launcher has ended; run the same command again to go on") from None


def fail() -> bool:
    """Stop the others at their next barrier. True for the first to do so: its reason is worth printing."""
    if _group is None:
        return True
    try:
        return _group.store.add(FAILED, 1) == 1
    except RuntimeError:
        return is_main()


@contextmanager
def main_first() -> Iterator[None]:
    """Let the first process through the block before the others, so that they find what it made."""
    if not is_main():
        barrier()
    yield
    if is_main():
        barrier()
