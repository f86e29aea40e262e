"""Where autocast is on during an evaluation on the pretend GPU, and what it changes.

    PYTHONPATH=.:tests/helpers python -m pretend_gpu gpu_precision systems
    PYTHONPATH=.:tests/helpers python -m pretend_gpu gpu_precision benchmarks

prints a JSON object, by precision: of each registered system its numbers, or why it was refused; or
of each benchmark how often a network was called with and without autocast, by its package.
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


def of_systems(precision: str) -> dict[str, dict[str, Any]]:
    """The numbers of each system: of reconstructions where it makes some, else of probes."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        diffusers_models.save(Path(folder), "AutoencoderKL")
        for name in systems.REGISTRY.own:
            system = systems.load(name, folder if name == "diffusers" else None, "cuda")
            task = "reconstruction" if "decode" in system.capabilities else "probes"
            results = evaluate(system, task, precision=precision, **FEW)
            found[name] = {f"{r.setting} {r.steps} {r.metric}": r.value for r in results.rows}
            found[name]["refused"] = [row.note for row in results.failures]
            found[name]["networks"] = len(system.networks())
    return found


def of_benchmarks(precision: str) -> dict[str, dict[str, int]]:
    """Calls of networks in each benchmark of the packaged model: "diffae on", "timm off" ..."""
    found = {}
    for name in REGISTRY.own:
        calls: Counter[str] = Counter()
        with recorded(calls):
            evaluate("diffae", name, precision=precision, **FEW)
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
    work = {"systems": of_systems, "benchmarks": of_benchmarks}[sys.argv[1]]
    print(json.dumps({name: work(name) for name in ("float32", "bfloat16")}, indent=1))
