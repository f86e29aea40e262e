"""Files of VQ-VAE-2 and VQ-GAN, with weights filled by the parity files' recipe."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from official_files import adam, save_with_callbacks
from parity_files import fill, shapes

from benchmarks.systems.vqgan.network import VQGANConfig, build, their_tensors


def state(name: str) -> dict[str, torch.Tensor]:
    """Every tensor of a list of names and shapes, filled by the recipe."""
    return {key: fill(key, shape) for key, shape in shapes(name).items()}


def vqvae2(path: Path, **changed: torch.Tensor | None) -> Path:
    """`vqvae_560.pt` as PyTorch of 2020 wrote it; a tensor that is None is left out."""
    kept = {name: value for name, value in (state("vqvae2") | changed).items() if value is not None}
    torch.save(kept, path, _use_new_zipfile_serialization=False)
    return path


SMALL = VQGANConfig(
    n_embed=64,
    embed_dim=4,
    ch=32,
    ch_mult=(1, 2, 2),
    num_res_blocks=1,
    attn_resolutions=(16, 8),
    resolution=32,
    z_channels=6,
)
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


def lightning(state: dict[str, Any], path: Path) -> Path:
    """A checkpoint as PyTorch-Lightning 1.0 writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {
        "epoch": 1,
        "global_step": 2,
        "pytorch-lightning_version": "1.0.8",
        "state_dict": state,
        "optimizer_states": [adam(state), adam(state)],  # of the network and of its discriminator
        "lr_schedulers": [],
    }
    return save_with_callbacks(path, whole, {})


def vqgan(path: Path, config: VQGANConfig, state: dict[str, Any]) -> Path:
    """Write `last.ckpt`, with the tensors that only a training needs, and its yaml.

    Those are LPIPS and the discriminator, each tensor one number broadcast.
    """
    of_the_loss = {n: torch.ones(()).expand(s) for n, s in shapes("vqgan_loss_entries").items()}
    lightning(state | of_the_loss, path)
    (path.parent / "model.yaml").write_text(vqgan_yaml(config))
    return path


def drawn(config: VQGANConfig, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights of a small VQ-GAN, by their names in taming-transformers."""
    torch.manual_seed(seed)
    network = build(config, "a test")
    network.quantize.embedding.weight.data.normal_()  # type: ignore[union-attr, operator]
    found = their_tensors(network, len(config.ch_mult))
    return {name: value.detach().clone() for name, value in found.items()}
