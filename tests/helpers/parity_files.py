"""The files in `tests/data/systems`: outputs of the authors' code, the names and shapes of their
tensors, and the recipe by which the weights behind both were filled.
"""

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

DATA = Path(__file__).parents[1] / "data" / "systems"


def parity(name: str) -> dict[str, Any]:
    """Outputs of the authors' code by name: tensors, and arrays of texts."""
    with np.load(DATA / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file}
    return {k: v if v.dtype.kind == "U" else torch.from_numpy(v) for k, v in arrays.items()}


def shapes(name: str) -> dict[str, tuple[int, ...]]:
    """A list of tensors: name -> shape."""
    packed = DATA / f"{name}.keys.gz"
    if packed.exists():
        text = gzip.decompress(packed.read_bytes()).decode()
    else:
        text = (DATA / f"keys_{name}.txt").read_text()
    rows = (line.split("\t") for line in text.splitlines() if not line.startswith("#"))
    return {key: tuple(int(n) for n in s.strip("()").split(",") if n) for key, s, *_ in rows}


def normal(name: str, shape: Sequence[int]) -> np.ndarray:
    """Normal numbers that depend on the name alone."""
    return np.random.default_rng(zlib.crc32(name.encode())).standard_normal(tuple(shape))


def fill(name: str, shape: Sequence[int]) -> torch.Tensor:
    """Values by the recipe, from name and shape alone; a second name has the first's."""
    if name.endswith("num_batches_tracked"):
        return torch.zeros((), dtype=torch.long)
    name = name.replace(".weight_normalized", ".weight")
    value = normal(name, shape)
    if name.endswith(".running_var"):
        value = 1 + 0.1 * np.abs(value)
    elif len(shape) >= 2 and not name.endswith(".log_weight_norm"):
        rounded = np.empty(shape, np.float32)  # of the large ones no copy is made
        np.divide(value, np.sqrt(np.prod(shape[1:])), out=rounded, casting="unsafe")
        return torch.from_numpy(rounded)
    else:
        value = 1 + 0.1 * value if name.endswith("weight") else 0.1 * value
    return torch.from_numpy(value.astype(np.float32))
