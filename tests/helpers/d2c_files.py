"""Files of D2C's layout with weights filled by the parity file's recipe."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import parity_files
import torch

from benchmarks.systems.d2c.network import D2C, D2CConfig

SMALL = D2CConfig(
    channels=8,
    pre=(1,),
    enc=(2, 1),
    dec=(1, 2),
    post=(0,),
    latent_channels=4,
    mixtures=10,
    squeeze=True,
    bits=5,
    latent_side=16,
    unet_channels=32,
    unet_mult=(1, 2),
    unet_blocks=1,
    unet_attends=(1, 0),
)


def fill(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Values by the recipe for a name within its part; the deviations of codes are positive."""
    if name == "std":
        return torch.from_numpy(1 + 0.1 * np.abs(parity_files.normal(name, shape))).float()
    return parity_files.fill(name, shape)


def empty(config: D2CConfig) -> D2C:
    """A network without allocated weights."""
    with torch.device("meta"):
        return D2C(config)


def network(config: D2CConfig) -> dict[str, dict[str, torch.Tensor]]:
    """The tensors of a network by part, under the recipe's names."""
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in empty(config).state_dict().items():
        part, _, inner = name.partition(".")
        inner = f"encoder_q.{inner}" if part == "autoencoder" else inner
        parts.setdefault(part, {})[inner] = fill(inner, tuple(tensor.shape))
    return parts


def checkpoint(parts: dict[str, dict[str, torch.Tensor]]) -> dict[str, Any]:
    """The authors' published file: also with the momentum encoder, its queue, the head and the
    second names.
    """
    encoder = dict(parts["autoencoder"])
    plain = {n for n in encoder if n.endswith(".weight") and encoder[n].ndim == 4}
    plain = {n for n in plain if f"{n.removesuffix('weight')}log_weight_norm" not in encoder}
    encoder |= {n.replace(".weight", ".weight_normalized"): encoder[n] for n in plain}
    head = {f"encoder_q.fc.{i}.{n}": torch.zeros(2) for i in (0, 2) for n in ("weight", "bias")}
    momentum = {  # of other values: each tensor one number broadcast
        n.replace("encoder_q.", "encoder_k."): t.new_ones(()).expand(t.shape)
        for n, t in (encoder | head).items()
    }
    queue = {"queue": torch.zeros(2, 3), "queue_ptr": torch.zeros(1, dtype=torch.long)}
    whole = OrderedDict(queue | encoder | head | momentum)
    return parts | {"autoencoder": whole}


def write(path: Path, parts: dict[str, dict[str, torch.Tensor]]) -> Path:
    torch.save(checkpoint(parts), path)
    return path
