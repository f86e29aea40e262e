"""Files of NVlabs' layout with weights filled by the parity file's recipe."""

import argparse
import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from official_files import adam
from parity_files import fill, parity, shapes


def state(name: str) -> dict[str, torch.Tensor]:
    """A network's tensors; one with two names is one tensor."""
    found = {key: fill(key, shape) for key, shape in shapes(name).items()}
    return {key: found[key.replace(".weight_normalized", ".weight")] for key in found}


def tiny_arguments() -> dict[str, Any]:
    return json.loads(str(parity("nvae_tiny64")["args"]))


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
