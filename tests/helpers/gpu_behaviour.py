"""What the pretend GPU refuses, and what batches do that do not fit into its memory.

    PYTHONPATH=.:tests/helpers python -m pretend_gpu gpu_behaviour

prints a JSON object: `refused`, the beginning of the error of each kind of work that a GPU refuses;
`halved`, for each error of memory, the batch sizes that were found and the largest difference of a
number from those computed at once; `cached`, MiB allocated and reserved as a tensor comes and goes;
`peak`, MiB that work is said to take; `seconds`, how long work is said to take; `products`, by
precision and device the type that a matrix product of a system has.
"""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import torch
from memory_errors import OF_A_GPU
from pretend_gpu.tensor import Room
from tiny_preset import TINY
from torch.nn import functional as F

from benchmarks.metrics import counting
from benchmarks.metrics.counting import peak_memory
from benchmarks.runtime.calling import Batches, calling
from benchmarks.runtime.choices import PRECISIONS
from benchmarks.runtime.precision import precision
from benchmarks.systems.diffusion import DiffAESystem
from benchmarks.systems.protocol import checked
from benchmarks.systems.protocol.base import System
from diffae.model import DiffusionAutoencoder

GPU = torch.device("cuda")
IMAGES, ROOM, STEPS = 8, 3, 2


def refused() -> dict[str, str]:
    here, there = torch.ones(2), torch.ones(2, device=GPU)
    whole, pixels = there[None].long(), torch.ones(1, 3, 4, 4, device=GPU).byte()
    return {
        "two devices": error_of(lambda: here + there),
        "an index on the GPU": error_of(lambda: here[there.long()]),
        "numpy": error_of(there.numpy),
        "a generator of the CPU": error_of(
            lambda: torch.rand(2, device=GPU, generator=torch.Generator())
        ),
        "a product of integers": error_of(lambda: whole @ whole.T),
        "resized bytes": error_of(lambda: F.interpolate(pixels, size=2, mode="bilinear")),
        "a second GPU": error_of(lambda: torch.ones(2, device="cuda:1")),
    }


def error_of(work: Callable[[], object]) -> str:
    try:
        work()
    except (RuntimeError, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    return "none"


def halved() -> dict[str, dict[str, object]]:
    """A tiny model's codes and images with room for three at once, against those of all eight."""
    torch.manual_seed(0)
    model = DiffusionAutoencoder(replace(TINY.model, dropout=0.0)).to(GPU)
    system = checked.build("tiny", lambda path, device: DiffAESystem.from_model(model), None, GPU)
    images = torch.rand(IMAGES, 3, model.image_size, model.image_size) * 2 - 1
    expected = computed(system, images)
    Room.examples, found = ROOM, {}
    for name, Room.error in OF_A_GPU.items():
        found[name] = outcome(system, images, expected)
    Room.examples, Room.error = None, OF_A_GPU["cublas"]
    Room.bytes = bytes_of(system, images)
    torch.zeros(Room.bytes - torch.cuda.memory_allocated(), dtype=torch.uint8, device=GPU)
    found["cached"] = outcome(system, images, expected)
    Room.bytes = None
    return found


def outcome(system: System, images: torch.Tensor, expected: torch.Tensor) -> dict[str, object]:
    system.batches = Batches.from_option("auto", torch.device("cuda"), 32)
    difference = float((computed(system, images) - expected).abs().max())
    return {"found": system.batches.fitting, "difference": difference}


def bytes_of(system: System, images: torch.Tensor) -> int:
    """The most that these images take at once, with a library's part of it."""
    torch.cuda.empty_cache()
    system.batches = Batches()
    computed(system, images)
    return 2 * torch.cuda.memory_reserved()


def computed(system: System, images: torch.Tensor) -> torch.Tensor:
    """All numbers of the images' codes and of what is decoded from them."""
    code = system.encode(images, STEPS)
    parts = (code.semantic, code.x_T, system.decode(code, STEPS))
    return torch.cat([part.flatten() for part in parts])


def cached() -> list[list[float]]:
    """After a tensor of 4 MiB was made, a view of it made, the first dropped, the view, and the cache."""
    torch.cuda.empty_cache()
    start, found = torch.cuda.memory_allocated(), []

    def note() -> None:
        now = (torch.cuda.memory_allocated(), torch.cuda.memory_reserved())
        found.append([(size - start) / 2**20 for size in now])

    tensor = torch.zeros(2**20, device=GPU)
    note()
    view = tensor[:10]
    del tensor
    note()
    del view
    note()
    torch.cuda.empty_cache()
    note()
    return found


def peak() -> float:
    """Of work that has 12 MiB at once, after other work had more."""
    del (before := [torch.zeros(2**23, device=GPU)])[:]

    def work() -> None:
        before.append(torch.zeros(2**20, device=GPU))
        before.append(before[0] + before[0])
        before[1] = before[1].add(1)

    start = torch.cuda.memory_allocated() / 2**20
    return peak_memory(work, GPU) - start


def seconds() -> float:
    """Of work that keeps the GPU busy for 50 seconds at first, then for 8, 3 and 4, begun while it is
    busy for 100 with other work.
    """
    now, busy, each = [0.0], [100.0], iter((50.0, 8.0, 3.0, 4.0))
    pretended = torch.cuda.synchronize

    def synchronize(device: object = None) -> None:
        now[0], busy[0] = now[0] + busy[0], 0.0

    def work() -> None:
        busy[0] += next(each)

    torch.cuda.synchronize = synchronize
    counting.time = SimpleNamespace(perf_counter=lambda: now[0])
    try:
        return counting.median_seconds(work, 3, GPU)
    finally:
        torch.cuda.synchronize, counting.time = pretended, time


def products() -> dict[str, dict[str, str]]:
    """A run on the CPU has a GPU beside it, too."""

    def of(device: torch.device) -> str:
        square = torch.ones(4, 4, device=device)
        found = calling("system", "decode", lambda: square @ square)
        return str(found.dtype).removeprefix("torch.")

    found = {}
    for name in PRECISIONS:
        with precision(name):
            found[name] = {str(device): of(device) for device in (torch.device("cpu"), GPU)}
    return found


def everything() -> dict[str, object]:
    parts = (refused, halved, cached, peak, seconds, products)
    return {part.__name__: part() for part in parts}


if __name__ == "__main__":
    print(json.dumps(everything()))
