"""Files of the authors' layout, from `tests/data/keys`, with weights by the parity file's recipe."""

import subprocess
import sys
import types
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from parity_files import fill

from diffae.checkpoints.official import expected_shapes
from diffae.networks.config import ARCHITECTURES, ModelConfig

KEYS = Path(__file__).parents[1] / "data" / "keys"


def network(configuration: str) -> dict[str, torch.Tensor]:
    """A network's state dict under the authors' names; aliases are one tensor, as in their code."""
    state: dict[str, torch.Tensor] = {}
    for line in (KEYS / f"{configuration}.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        name, shape, _ = line.split("\t")
        if ".linear_emb." not in name:
            state[name] = fill(name, [int(n) for n in shape.strip("[]").split(",")])
    aliases = {n.replace(".cond_layers.1.", ".linear_emb."): t for n, t in state.items()}
    return aliases | state


def state_dict(configuration: str, image_size: int, complete: bool = False) -> dict[str, Any]:
    """The state_dict of a `last.ckpt`.

    Unless `complete`, its raw copy, which is never read, is one number broadcast.
    """
    ema = network(configuration)
    raw = {n: t + 1 if complete else torch.zeros(()).expand(t.shape) for n, t in ema.items()}
    state = {"x_T": torch.zeros(32, 3, image_size, image_size)}
    if configuration.endswith("_latent"):
        state |= {"conds_mean": torch.full((1, 512), 3.0), "conds_std": torch.full((1, 512), 2.0)}
    state |= {f"model.{n}": t for n, t in raw.items()}
    return state | {f"ema_model.{n}": t for n, t in ema.items()}


TINY = replace(
    ARCHITECTURES["celeba64d2c_autoenc_latent"],
    model_channels=32,
    channel_mult=(1, 2),
    encoder_channel_mult=(1, 2, 2),
    z_channels=64,
    image_size=32,
    latent=replace(ARCHITECTURES["celeba64d2c_autoenc_latent"].latent, hidden_channels=64),
)


def tiny_state(config: ModelConfig = TINY) -> dict[str, torch.Tensor]:
    """A small model's state_dict, as Lightning saves it."""
    state: dict[str, torch.Tensor] = {"x_T": torch.zeros(32, 3, 32, 32)}
    for seed, (name, shape) in enumerate(expected_shapes(config).items()):
        generator = torch.Generator().manual_seed(seed)
        state[name] = 0.1 * torch.randn(shape, generator=generator)
    for name in state:
        if ".linear_emb." in name:
            state[name] = state[name.replace(".linear_emb.", ".cond_layers.1.")]
    ema = {n: t for n, t in state.items() if n.startswith("ema_model.")}
    return state | {n.removeprefix("ema_"): t + 1 for n, t in ema.items()}


def adam(state: dict[str, Any]) -> dict[str, Any]:
    """The state of Adam as Lightning saves it, with moments of the first weights of a state dict only."""
    weights = [t for t in state.values() if isinstance(t, torch.Tensor) and t.ndim][:2]
    moments = {
        i: {"step": 7, "exp_avg": torch.full_like(t, 2), "exp_avg_sq": torch.full_like(t, 3)}
        for i, t in enumerate(weights)
    }
    group = {"lr": 1e-4, "betas": (0.9, 0.999), "amsgrad": False, "params": list(moments)}
    return {"state": moments, "param_groups": [group]}


class Payload:
    """Creates a folder when it is unpickled by a loader that trusts it."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return subprocess.call, (["mkdir", str(self.path)],)


def write_lightning(path: Path, state: dict[str, Any], **more: Any) -> Path:
    """Write a Lightning 1.4.5 checkpoint around a state dict."""
    state = OrderedDict(state)
    state._metadata = OrderedDict({"": {"version": 1}})  # type: ignore[attr-defined]
    content = {
        "epoch": 1,
        "global_step": 1_015_625,
        "pytorch-lightning_version": "1.4.5",
        "state_dict": state,
        "optimizer_states": [adam(state)],
        "native_amp_scaling_state": {"scale": 65536.0, "_growth_tracker": 3},
        "lr_schedulers": [],
        "hparams_name": "conf",
        "hyper_parameters": {"img_size": 128, "name": "x"},
        **more,
    }
    return save_with_callbacks(path, content, {"monitor": "loss"})


def save_with_callbacks(path: Path, content: dict[str, Any], kept: dict[str, Any]) -> Path:
    """Save `content` with the `callbacks` of Lightning, which has `kept` the best score.

    They are keyed by a class of a package that is gone by the time the file is read.
    """
    module = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    callback = type("ModelCheckpoint", (), {"__module__": module.__name__})
    module.ModelCheckpoint = callback  # type: ignore[attr-defined]
    callbacks = {callback: kept | {"best_model_score": torch.tensor(0.5)}}
    with pytest.MonkeyPatch.context() as patch:
        for package in ("pytorch_lightning", "pytorch_lightning.callbacks"):
            patch.setitem(sys.modules, package, types.ModuleType(package))
        patch.setitem(sys.modules, module.__name__, module)
        torch.save({"callbacks": callbacks} | content, path)
    return path
