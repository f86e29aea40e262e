"""Several processes: those that torchrun starts, and helper processes (`mapped`).

No other module deals with them.

Under torchrun work is divided by index and results are exchanged as files, so that only a rank, a
world size and a barrier are needed. They use torchrun's key-value store and exchange no tensors: a
process that ends leaves no other hanging in a collective, on CPU and GPU alike. Without torchrun
there is one process, and every function returns at once.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import get_context, parent_process
from threading import Thread
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from diffae.system.errors import UserError
from diffae.system.signals import importing

if TYPE_CHECKING:
    import torch
    import torch.distributed as dist

FAILED = "failed"
PATIENCE = "DIFFAE_RENDEZVOUS_SECONDS"  # how long to wait for the other processes to start
DEFAULT_PATIENCE = 300
# Seconds; PyTorch's own wait must not end while Python does: the process would abort.
LONGEST_ENDING = 60
LONGEST_NAP = 0.02  # seconds between two looks at a barrier

T = TypeVar("T")
U = TypeVar("U")


class Stopped(Exception):
    """Another process of this run has failed and reported why."""


@dataclass
class _Group:
    store: dist.Store
    rank: int
    world: int
    barriers: int = 0


_group: _Group | None = None


def init() -> None:
    """Join the processes that torchrun describes in the environment, if there are any.

    Raises UserError if the description is invalid, or if they do not all join within
    $DIFFAE_RENDEZVOUS_SECONDS.
    """
    global _group
    world = _number("WORLD_SIZE", 1, default=1)
    if world < 2 or _group is not None:
        return
    rank, patience = _number("RANK", 0), _number(PATIENCE, 1, default=DEFAULT_PATIENCE)
    if rank >= world:
        raise UserError(f"RANK={rank}: of WORLD_SIZE={world} the last rank is {world - 1}")
    with importing():
        from torch.distributed.rendezvous import rendezvous

    joined: Future[_Group] = Future()

    def join() -> None:
        longer = timedelta(seconds=patience + LONGEST_ENDING)
        try:
            joined.set_result(_Group(*next(rendezvous("env://", timeout=longer))))
        except Exception as error:
            joined.set_exception(error)

    Thread(target=join, daemon=True).start()  # so that this thread handles signals
    try:
        _group = joined.result(patience)
    except TimeoutError:
        reason = f"within {patience} s ({PATIENCE})"
    except Exception as error:
        reason = f"({error})".splitlines()[0]
    else:
        return
    who = f"RANK={rank}: {world} processes"
    raise UserError(f"{who} did not meet {reason}; start all of them, or use torchrun")


def take_gpu(device: str) -> None:
    """Make "cuda" this process's own GPU, that of its LOCAL_RANK, if there are several processes.

    `device` is that of the command. Raises UserError for "cuda:N", which all processes would share,
    and if this machine has more processes than GPUs.
    """
    if _group is None or device == "cpu":
        return
    import torch

    if device != "cuda":
        raise UserError(f"--device {device}: every process needs a GPU of its own; use cuda")
    number, count = _number("LOCAL_RANK", 0, default=_group.rank), torch.cuda.device_count()
    if number >= count:
        more = "start one process for each GPU, or use --device cpu"
        raise UserError(f"LOCAL_RANK={number}: {count} GPUs on this machine; {more}")
    torch.cuda.set_device(number)


def _number(name: str, least: int, default: int | None = None) -> int:
    """An integer from the environment."""
    text = os.environ.get(name, "" if default is None else str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) >= least):
        given = f"{name}={text}" if name in os.environ else f"{name} is not set"
        raise UserError(f"{given}: must be a whole number from {least}, as torchrun sets it")
    return int(text)


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
        time.sleep(nap)  # in Python, so that a signal is handled at once
        nap = min(2 * nap, LONGEST_NAP)
        with _launcher_alive():
            arrived = _group.store.add(name, 0)


def process_group(device: torch.device) -> None:
    """PyTorch's process group of these processes, to exchange tensors: nccl between GPUs, else gloo."""
    import torch.distributed as dist

    if _group is None or dist.is_initialized():
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    store = dist.PrefixStore("tensors", _group.store)
    dist.init_process_group(backend, store=store, rank=_group.rank, world_size=_group.world)


def agree(trouble: str | None) -> str | None:
    """A barrier at which every process learns of the trouble of one, which must stop none of them."""
    if _group is None:
        return trouble
    name = f"trouble {_group.barriers + 1}"
    if trouble is not None:
        with _launcher_alive():
            _group.store.set(name, trouble)
    barrier()
    with _launcher_alive():
        return _group.store.get(name).decode() if _group.store.check([name]) else None


def check() -> None:
    """Raise Stopped if another process has failed.

    Call it from time to time during long work.
    """
    if _group is not None:
        with _launcher_alive():
            failed = _group.store.check([FAILED])
        if failed:
            raise Stopped


@contextmanager
def _launcher_alive() -> Iterator[None]:
    try:
        yield
    except RuntimeError:  # raised by the store if the connection is lost
        raise UserError("the launcher has ended; run the same command again to resume") from None


def fail() -> bool:
    """Stop the other processes at their next barrier.

    True for the first process that fails: it prints the reason.
    """
    if _group is None:
        return True
    try:
        return _group.store.add(FAILED, 1) == 1
    except RuntimeError:
        return is_main()


@contextmanager
def main_first() -> Iterator[None]:
    """Let the first process run the block before the others, so that they find its results."""
    if not is_main():
        barrier()
    yield
    if is_main():
        barrier()


# ----------------------------------------------------------------------------------------------
# Helpers of one process


AHEAD = 2  # calls of each helper that are submitted before their results are taken
AnyFunction = Callable[[Any], Any]
_function: AnyFunction  # the function that this helper process calls


@contextmanager
def mapped(
    function: Callable[[T], U], arguments: Iterable[T], workers: int, died: str
) -> Iterator[Iterator[U]]:
    """`map(function, arguments)` in `workers` helper processes, or in this process if that is 1.

    The function must be importable, as pickle requires, and is sent to each helper once; its errors
    are raised here. If a helper dies, UserError(died) is raised. Helpers receive no signals and end
    with this process.
    """
    if workers == 1:
        yield map(function, arguments)
        return
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin, (function,))

    def values() -> Iterator[U]:
        waiting: deque[Future[U]] = deque()
        for argument in arguments:
            with _starting_helpers():
                waiting.append(pool.submit(_call, argument))
            if len(waiting) > AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    try:
        yield values()
    except BrokenProcessPool:
        raise UserError(died) from None
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _starting_helpers() -> Iterator[None]:
    """Within the block, new processes ignore signals and do not import the caller's script.

    They would run the script again if it has no main guard.
    """
    main = sys.modules["__main__"]
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _begin(function: AnyFunction) -> None:
    global _function
    _function = function
    os.dup2(2, 1)  # what the function prints is not part of the command's output
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent_process().join()  # type: ignore[union-attr]
    os._exit(1)


def _call(argument: Any) -> Any:
    return _function(argument)
