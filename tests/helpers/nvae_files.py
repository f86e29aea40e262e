"""Files of NVlabs' layout with weights filled by the parity file's recipe."""

import argparse
import gzip
import json
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from official_files import adam

DATA = Path(__file__).parents[1] / "data" / "systems"


def shapes(name: str) -> dict[str, tuple[int, ...]]:
    """The tensors of a published network: name -> shape."""
    lines = gzip.decompress((DATA / f"{name}.keys.gz").read_bytes()).decode().splitlines()
    found = (line.split("\t") for line in lines)
    return {key: tuple(int(n) for n in shape.strip("()").split(",") if n) for key, shape in found}


def normal(name: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)


def fill(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Values by the parity file's recipe, from name and shape alone; a second name has the first's."""
    if name.endswith("num_batches_tracked"):
        return torch.zeros((), dtype=torch.long)
    name = name.replace(".weight_normalized", ".weight")
    v = normal(name, shape)
    if name.endswith(".running_var"):
        v = 1 + 0.1 * np.abs(v)
    elif len(shape) >= 2 and not name.endswith(".log_weight_norm"):
        v = v / np.sqrt(np.prod(shape[1:]))
    else:
        v = 1 + 0.1 * v if name.endswith("weight") else 0.1 * v
    return torch.from_numpy(v.astype(np.float32))


def state(name: str) -> dict[str, torch.Tensor]:
    """A network's tensors; one with two names is one tensor."""
    found = {key: fill(key, shape) for key, shape in shapes(name).items()}
    return {key: found[key.replace(".weight_normalized", ".weight")] for key in found}


def tiny_arguments() -> dict[str, Any]:
    return json.loads(str(np.load(DATA / "nvae_tiny64.npz")["args"]))


def checkpoint(state: dict[str, torch.Tensor], arguments: dict[str, Any] | None) -> dict[str, Any]:
    """A checkpoint as NVlabs' trainer saves it, with the optimiser's moments and averages of two
    weights only.
    """
    optimizer = adam(state)
    for kept in optimizer["state"].values():
        kept["ema"] = kept["exp_avg"] + 1
    optimizer["param_groups"][0]["lr"] = np.float64(0.01)
    content: dict[str, Any] = {
        "epoch": 90,
        "state_dict": OrderedDict(state),
        "optimizer": optimizer,
        "global_step": 1,
        "args": None if arguments is None else argparse.Namespace(**arguments),
        "arch_instance": {"normal_enc": ["res_bnswish", "res_bnswish"]},
        "scheduler": {"T_max": 90, "last_epoch": 89, "base_lrs": [0.01]},
        "grad_scalar": {"scale": 1024.0, "_growth_tracker": 3},
    }
    return {name: value for name, value in content.items() if value is not None}


def write(path: Path, state: dict[str, torch.Tensor], arguments: dict[str, Any] | None) -> Path:
    torch.save(checkpoint(state, arguments), path)
    return path
