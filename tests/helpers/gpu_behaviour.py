"""What the pretend GPU refuses, and what batches do that do not fit into its memory.

    PYTHONPATH=.:tests/helpers python -m pretend_gpu gpu_behaviour

prints a JSON object: `refused`, the beginning of the error of each kind of work that a GPU refuses,
and `halved`, for each error of memory, the batch sizes that were found and the largest difference
of a number from those computed at once.
"""

import json
from collections.abc import Callable
from dataclasses import replace

import torch
from memory_errors import OF_A_GPU
from pretend_gpu.tensor import Room
from tiny_preset import TINY
from torch.nn import functional as F

from benchmarks.runtime.batches import Batches
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
    system = checked.build("tiny", lambda path, device: DiffAESystem.of(model), None, GPU)
    images = torch.rand(IMAGES, 3, model.image_size, model.image_size) * 2 - 1
    expected = computed(system, images)
    Room.examples, found = ROOM, {}
    for name, Room.error in OF_A_GPU.items():
        system.batches = Batches.of("auto")
        difference = float((computed(system, images) - expected).abs().max())
        found[name] = {"found": system.batches.found, "difference": difference}
    return found


def computed(system: System, images: torch.Tensor) -> torch.Tensor:
    """All numbers of the images' codes and of what is decoded from them."""
    code = system.encode(images, STEPS)
    parts = (code.semantic, code.x_T, system.decode(code, STEPS))
    return torch.cat([part.flatten() for part in parts])


if __name__ == "__main__":
    print(json.dumps({"refused": refused(), "halved": halved()}))
