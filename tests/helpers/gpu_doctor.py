"""`doctor --gpu` with a tiny model, on a pretend GPU that is sound or faulty.

    PYTHONPATH=.:tests/helpers python -m pretend_gpu gpu_doctor sound|faulty FOLDER

prints the block and exits with its status. On both, convolutions differ from call to call unless
they are told to be deterministic: on the sound one where gradients are recorded, by rounding; on
the faulty one always, by up to a tenth. That one has no bfloat16, and memory for three images.
"""

import itertools
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from pretend_gpu.tensor import Room
from tiny_preset import TINY
from tiny_training import untrained
from torch import Tensor
from torch.nn import functional as F

from benchmarks.commands import doctor_gpu
from diffae.train.presets import PRESETS

CROWD, ROOM = 8, 4  # images that are decoded at once, and those that fit into a part of the memory
MODEL = replace(TINY.model, image_size=16, dropout=0.0)


def main(kind: str, folder: Path) -> int:
    sound = kind == "sound"
    PRESETS["tiny"] = replace(TINY, model=MODEL)
    sizes = doctor_gpu.Sizes(
        str(untrained(folder, MODEL)), 3, 1, CROWD, "tiny", (2,) if sound else (2, 4), 8
    )
    F.conv2d = unsteady(F.conv2d, 1e-6 if sound else 0.1, while_training=sound)
    if sound:
        torch.cuda.set_per_process_memory_fraction = allow
    else:
        Room.examples = 3
        torch.cuda.is_bf16_supported = lambda including_emulation=True: False
    status = doctor_gpu.examine(torch.device("cuda"), sizes)
    print("memory:", "all" if Room.examples is None else Room.examples)
    return status


def unsteady(conv: Callable[..., Tensor], by: float, while_training: bool) -> Callable[..., Tensor]:
    """`conv` whose results on the GPU are too large, the next one by less."""
    calls = itertools.count(1)

    def found(x: Tensor, *rest: object) -> Tensor:
        steady = while_training and (
            torch.are_deterministic_algorithms_enabled() or not torch.is_grad_enabled()
        )
        return conv(x, *rest) * (1 if steady or not x.is_cuda else 1 + by / next(calls) ** 0.1)

    return found


def allow(share: float, device: torch.device) -> None:
    """In place of `torch.cuda.set_per_process_memory_fraction`."""
    Room.examples = None if share == 1 else ROOM


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
