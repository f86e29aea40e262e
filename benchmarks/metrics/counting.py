"""Counts of what a computation costs: operations, network calls, time and memory."""

import math
import platform
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from torch import nn

from benchmarks.metrics.group import Group
from diffae.networks.counting import flops as flops
from diffae.system.allocation import give_back
from reports.records.estimate import Estimate

Work = Callable[[], object]

METHODS = ("forward", "encode", "decode")  # a call of one of them is a call of the network
SHORTEST = 1e-9  # seconds, of what a coarse clock sees no time pass in: rates are divided by it
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def parameters(networks: Iterable[nn.Module]) -> int:
    """Number of parameters of all networks together; shared ones count once, buffers do not count."""
    return sum(parameter.numel() for parameter in nn.ModuleList(networks).parameters())


def network_calls(work: Work, networks: Iterable[nn.Module]) -> int:
    """Number of calls of one of `networks` during `work`.

    A network of which only parts are called, as `net.decoder(code)`, counts as often as the part
    that is called most often.
    """
    with ExitStack() as stack:
        counts = [stack.enter_context(_calls_from_outside(network)) for network in networks]
        work()
    return sum(max(calls.values(), default=0) for calls in counts)


@contextmanager
def _calls_from_outside(network: nn.Module) -> Iterator[Counter[nn.Module]]:
    """Count, within the block, the calls of a network and of its parts that none of them makes.

    Hooks would not see `encode` and `decode`, so each method is replaced by one that counts.
    """
    calls: Counter[nn.Module] = Counter()
    is_inside = False

    def counting_in(part: nn.Module, method: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            nonlocal is_inside
            if is_inside:
                return method(*args, **kwargs)
            calls[part] += 1
            is_inside = True
            try:
                return method(*args, **kwargs)
            finally:
                is_inside = False

        return call

    with ExitStack() as stack:
        for part in network.modules():
            for name in METHODS:
                method = getattr(part, name, None)
                if callable(method) and not isinstance(method, nn.Module):
                    stack.callback(_restore, vars(part), name, vars(part).get(name))
                    vars(part)[name] = counting_in(part, method)
        yield calls


def _restore(attributes: dict[str, object], name: str, original: object) -> None:
    del attributes[name]
    if original is not None:  # the module had a method of its own beside that of its class
        attributes[name] = original


def median_seconds(work: Work, repeats: int, device: torch.device) -> float:
    """Median wall time of `repeats` runs, after one that is not counted."""
    return statistics.median([_seconds(work, device) for _ in range(repeats + 1)][1:])


def _seconds(work: Work, device: torch.device) -> float:
    _synchronize(device)
    start = time.perf_counter()
    work()
    _synchronize(device)
    return max(time.perf_counter() - start, SHORTEST)


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory(work: Work, device: torch.device) -> float:
    """Peak MiB during `work`.

    Allocated on a GPU, else resident in the whole process (Linux; nan elsewhere).
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        work()
        return torch.cuda.max_memory_allocated(device) / 2**20
    give_back()
    try:
        _CLEAR.write_text("5")  # resets the high-water mark, see proc(5)
        work()
        line = next(x for x in _STATUS.read_text().splitlines() if x.startswith("VmHWM"))
    except (OSError, StopIteration):
        return float("nan")
    return int(line.split()[1]) / 2**10


def device_name(device: torch.device) -> str:
    """Name of the GPU or the processor, as the machine gives it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def estimates(counts: Mapping[str, float], n: int) -> dict[str, Estimate]:
    """Each count, time or size for n images, without an error; nan is one that could not be measured."""
    missing = Estimate(None, n=n, why="not measured on this platform")
    return {
        metric: Estimate(count, n=n) if math.isfinite(count) else missing
        for metric, count in counts.items()
    }


GROUPS = (
    Group(("parameters",), "a system", estimates),
    Group(("gflops",), "a system", estimates),
    Group(("network_calls",), "a system", estimates),
    Group(("images_per_second", "peak_memory"), "a system", estimates),
)
