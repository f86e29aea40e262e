"""Where autocast is on during an evaluation on the pretend GPU, and what it changes.

    PYTHONPATH=.:tests/helpers python -m pretend_gpu gpu_precision systems
    PYTHONPATH=.:tests/helpers python -m pretend_gpu gpu_precision benchmarks

prints a JSON object: for each registered system its numbers in float32 and in bfloat16, or for each
benchmark how often a network was called with and without autocast, by the package it is of.
"""

import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import diffusers_models
import torch
from torch import nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)

from benchmarks import evaluate, systems
from benchmarks.core.registry import REGISTRY

FEW = {"profile": "smoke", "limit": 2, "device": "cuda", "steps": 2, "stand_ins": True}


def of_systems() -> dict[str, dict[str, Any]]:
    """The numbers of each system by precision, and whether it has networks."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        diffusers_models.save(Path(folder), "AutoencoderKL")
        for name in systems.REGISTRY.own:
            path = folder if name == "diffusers" else None
            found[name] = {
                precision: numbers(systems.load(name, path, "cuda"), precision)
                for precision in ("float32", "bfloat16")
            }
    return found


def numbers(system: systems.System, precision: str) -> dict[str, float]:
    """Of reconstructions where it makes some, else of probes."""
    task = "reconstruction" if "decode" in system.capabilities else "probes"
    settings = {"reconstruction.images": 2} if task == "reconstruction" else {}
    results = evaluate(system, task, settings=settings, precision=precision, **FEW)
    assert not results.failures, results.failures
    return {
        f"{row.setting} {row.steps} {row.metric}": row.value
        for row in results.rows
        if row.value is not None
    }


# ----------------------------------------------------------------------------------------------


def of_benchmarks() -> dict[str, dict[str, int]]:
    """Calls of networks in bfloat16, by benchmark: "diffae on", "benchmarks off" ..."""
    found = {}
    for name in REGISTRY.own:
        calls: Counter[str] = Counter()
        with recorded(calls):
            evaluate(["diffae", "ddim"], name, precision="bfloat16", **FEW)
        found[name] = dict(calls)
    return found


class recorded:
    """Within it, the calls of modules that no other module made are counted, by package and autocast."""

    def __init__(self, calls: Counter[str]):
        self.calls, self.depth, self.hooks = calls, 0, []

    def __enter__(self) -> None:
        self.hooks = [
            register_module_forward_pre_hook(self.begins),
            register_module_forward_hook(self.ends, always_call=True),
        ]

    def __exit__(self, *_: object) -> None:
        for hook in self.hooks:
            hook.remove()

    def begins(self, module: nn.Module, _: object) -> None:
        if not self.depth:
            package = type(module).__module__.partition(".")[0]
            on = torch.is_autocast_enabled("cuda")
            self.calls[f"{package} {'on' if on else 'off'}"] += 1
        self.depth += 1

    def ends(self, *_: object) -> None:
        self.depth -= 1


if __name__ == "__main__":
    print(json.dumps({"systems": of_systems, "benchmarks": of_benchmarks}[sys.argv[1]](), indent=1))
