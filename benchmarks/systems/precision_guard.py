"""Check, before a system is measured, that its results in the run's precision are close to those in
float32.

A few test images are encoded, and their codes decoded, in both precisions: with the fewest and with
the most steps that the run's tasks ask for (few, because a long step makes the most of an error; many,
because errors may add up). A system whose images or codes differ by more than `LIMITS` is not measured.

In bfloat16, on a CPU with AMX and at T from 2 to 100, images of the packaged models move by up to 1.3
grey levels, semantic codes by 0.7 % of how far the codes of different images are apart, and x_T by 7 %
(where an image is flat, inversion amplifies small differences).
"""

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from benchmarks.runtime.errors import SystemFailed
from benchmarks.runtime.precision import precision
from benchmarks.systems.protocol import base
from benchmarks.systems.protocol.base import Code, System
from benchmarks.systems.protocol.parts import Semantic, tensors

EXACT = "float32"
IMAGES = 4
LEVELS = 127.5  # grey levels of 8 bits in a unit of [-1, 1]
# Of codes, as a share of their size: codes that are nearer to each other count as the same code.
LEAST_SPREAD = 0.01
# Images: root mean square of the worst one in grey levels (4 is a PSNR of 36 dB). Codes: as a share of
# how far those of different images are apart; of tokens the share that changes.
LIMITS = {"images": 4.0, "semantic codes": 0.05, "x_T": 0.2}

Outputs = Mapping[str, Semantic]


def failure(
    system: System,
    images: Tensor,
    seed: int,
    device: torch.device,
    precision_name: str,
    all_steps: Sequence[int],
) -> str | None:
    """Why `system` is not to be measured in this precision: with a T of `all_steps`, which count for a system
    that takes steps, its results of these images are too far from float32. None if they are near.
    """
    outputs = partial(_outputs, system, images, seed, device)
    for steps in all_steps if system.iterative else [1]:
        try:
            exact = outputs(steps, EXACT)
            other = outputs(steps, precision_name)
        except SystemFailed:  # the benchmarks report it
            return None
        for kind, moved in differences(exact, other).items():
            if moved > LIMITS[kind]:
                at = f" at T = {steps}" if system.iterative else ""
                unit = "grey levels" if kind == "images" else "of their spread"
                reason = f"deviates from float32{at}: {kind} by {moved:.2g} {unit}"
                remedy = f"(at most {LIMITS[kind]:g}); use --precision float32"
                return str(SystemFailed.at(system.name, precision_name, f"{reason} {remedy}"))
    return None


def _outputs(
    system: System, images: Tensor, seed: int, device: torch.device, steps: int, name: str
) -> Outputs:
    """Codes and images in precision `name`; each begins with the same state of PyTorch's generator."""
    devices = [device] if device.type == "cuda" else []
    with precision(name), torch.random.fork_rng(devices):
        code = any_code(system, images, steps, seed)
        outputs = {"semantic codes": code.semantic, "x_T": code.x_T}
        if base.DECODE in system.capabilities:
            outputs["images"] = system.decode(code, steps)
        elif base.SAMPLE in system.capabilities:
            outputs["images"] = system.sample(range(len(images)), seed, steps)
    return {kind: output for kind, output in outputs.items() if output is not None}


def any_code(system: System, images: Tensor, steps: int, seed: int) -> Code:
    """A code to decode: that of the images where the system can encode them fully, else one made
    from the parts it has.
    """
    can, indices = system.capabilities, range(len(images))
    if base.ENCODE in can:
        return system.encode(images, steps)
    semantic: Semantic | None = None
    if base.SEMANTIC in can:
        semantic = system.encode_semantic(images)
    elif base.SAMPLE_LATENTS in can:
        semantic = system.sample_latents(indices, seed, steps)
    return Code(semantic, system.random_x_T(indices, seed) if base.STOCHASTIC in can else None)


def differences(exact: Outputs, other: Outputs) -> dict[str, float]:
    """How far `other` is from `exact`, by the names and in the units of `LIMITS`."""
    moved: dict[str, float] = {}
    for kind in exact:
        apart = _grey_levels if kind == "images" else _share_of_spread
        pairs = zip(tensors(exact[kind]), tensors(other[kind]), strict=True)
        moved[kind] = max(apart(a, b) for a, b in pairs)
    return moved


def _grey_levels(a: Tensor, b: Tensor) -> float:
    return LEVELS * float((a.double() - b.double()).square().flatten(1).mean(1).max().sqrt())


def _share_of_spread(a: Tensor, b: Tensor) -> float:
    """How far `b` [N, ...] is from `a`, as a share of how far the N of `a` are from their mean."""
    if not a.is_floating_point():
        return float((a != b).double().mean())
    a, b = a.double(), b.double()
    size, moved = float(a.norm()), float((a - b).norm())
    spread = float((a - a.mean(0)).norm()) if len(a) > 1 else size
    scale = max(spread, LEAST_SPREAD * size)
    return moved / scale if scale else float(moved > 0)
