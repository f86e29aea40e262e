"""Files of VQ-VAE-2 and VQ-GAN, with weights filled by the parity files' recipe."""

import sys
import types
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from official_files import adam, fill

from benchmarks.systems.vqgan.network import VQGANConfig, build, their_tensors

SYSTEMS = Path(__file__).parents[1] / "data" / "systems"


def parity(name: str) -> dict[str, torch.Tensor]:
    """Outputs of the authors' code, by name."""
    with np.load(SYSTEMS / f"{name}.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file}


def shapes(keys: str) -> dict[str, list[int]]:
    """A list of tensors: name -> shape."""
    lines = (SYSTEMS / f"{keys}.txt").read_text().splitlines()
    rows = (line.split("\t") for line in lines if not line.startswith("#"))
    return {name: [int(n) for n in shape.strip("()").split(",") if n] for name, shape, _ in rows}


def state(keys: str) -> dict[str, torch.Tensor]:
    """Every tensor of a list of names and shapes, filled by the recipe."""
    return {name: fill(name, shape) for name, shape in shapes(keys).items()}


def vqvae2(path: Path, **changed: torch.Tensor) -> Path:
    """`vqvae_560.pt` as PyTorch of 2020 wrote it."""
    torch.save(state("keys_vqvae2") | changed, path, _use_new_zipfile_serialization=False)
    return path


CONFIG = """\
model:
  base_learning_rate: 4.5e-06
  target: taming.models.vqgan.VQModel
  params:
    embed_dim: {embed_dim}
    n_embed: {n_embed}
    monitor: val/rec_loss
    ddconfig:
      double_z: false
      z_channels: {z_channels}
      resolution: {resolution}
      in_channels: 3
      out_ch: 3
      ch: {ch}
      ch_mult: {ch_mult}
      num_res_blocks: {num_res_blocks}
      attn_resolutions: {attn_resolutions}
      dropout: 0.0
    lossconfig:
      target: taming.modules.losses.vqperceptual.VQLPIPSWithDiscriminator
      params: {{disc_start: 0, disc_weight: 0.75}}
"""


def vqgan_yaml(config: VQGANConfig) -> str:
    """The yaml of a training of taming-transformers."""
    rows = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(config).items()}
    return CONFIG.format(**rows)


class ModelCheckpoint:
    """A replacement of Lightning's class, which is a key in its files."""


ModelCheckpoint.__module__ = "pytorch_lightning.callbacks.model_checkpoint"


def lightning(state: dict[str, Any], path: Path) -> Path:
    """A checkpoint as PyTorch-Lightning 1.0 writes it."""
    module = types.ModuleType(ModelCheckpoint.__module__)
    module.ModelCheckpoint = ModelCheckpoint  # type: ignore[attr-defined]
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {
        "epoch": 1,
        "global_step": 2,
        "pytorch-lightning_version": "1.0.8",
        "state_dict": state,
        "callbacks": {ModelCheckpoint: {"best_model_score": torch.zeros(())}},
        "optimizer_states": [adam(state), adam(state)],  # of the network and of its discriminator
        "lr_schedulers": [],
    }
    with pytest.MonkeyPatch.context() as patch:
        parts = module.__name__.split(".")
        for end in range(1, len(parts)):
            name = ".".join(parts[:end])
            patch.setitem(sys.modules, name, types.ModuleType(name))
        patch.setitem(sys.modules, module.__name__, module)
        torch.save(whole, path)
    return path


def of_the_loss() -> dict[str, torch.Tensor]:
    """Tensors that only a training needs: LPIPS and the discriminator, each one number broadcast."""
    entries = shapes("keys_vqgan_loss_entries")
    return {name: torch.ones(()).expand(shape) for name, shape in entries.items()}


def vqgan(path: Path, config: VQGANConfig, state: dict[str, Any]) -> Path:
    """Write `last.ckpt` and its yaml."""
    lightning(state | of_the_loss(), path)
    (path.parent / "model.yaml").write_text(vqgan_yaml(config))
    return path


def drawn(config: VQGANConfig, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights of a small VQ-GAN, by their names in taming-transformers."""
    torch.manual_seed(seed)
    network = build(config, "a test")
    network.quantize.embedding.weight.data.normal_()  # type: ignore[union-attr, operator]
    found = their_tensors(network, len(config.ch_mult))
    return {name: value.detach().clone() for name, value in found.items()}
