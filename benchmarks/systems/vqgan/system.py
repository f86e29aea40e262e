"""VQ-GAN as a system: taming-transformers' `last.ckpt` with its yaml, or a folder of this project."""

import glob
import math
from collections.abc import Mapping
from dataclasses import fields
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.runtime.errors import NotAvailable
from benchmarks.systems.protocol.base import Code, needed
from benchmarks.systems.shared import containers, folder, library
from benchmarks.systems.shared.folder import Opened
from benchmarks.systems.shared.quantised import OneCodebook, Quantised, map_of
from benchmarks.systems.vqgan.network import VQGANConfig, build, our_tensors, their_tensors
from diffae.checkpoints.checkpoint import check_state
from diffae.checkpoints.torch_file import in_memory
from diffae.networks.nn import without_weights
from diffae.system.errors import UserError
from diffae.system.plain_yaml import read_yaml
from diffae.system.settings import check

Settings = Mapping[str, Any]  # a part of a yaml, not yet checked
FIRST_STAGE = "first_stage_model."
CLASSES = ("VQModel", "VQNoDiscModel")  # one network; the second had no discriminator in training
MOST = 1 << 20  # bytes of a yaml
ONLY_SUPPORTED = {
    "resamp_with_conv": True,
    "double_z": False,
    "in_channels": 3,
    "out_ch": 3,
    "give_pre_end": False,  # ends before the last convolution
    "tanh_out": False,  # these three are of latent-diffusion's copy of the network
    "use_linear_attn": False,
    "attn_type": "vanilla",
}


class VQGANSystem(Opened[VQGANConfig, Any], OneCodebook, Quantised):
    """VQ-GAN: a map of codes from one codebook (taming-transformers' checkpoints)"""

    name, title = "vqgan", "VQ-GAN"

    choices, example, config_class = {}, "last.ckpt", VQGANConfig

    def __init__(self, path: str | Path | None, device: torch.device):
        if path is None and not library.is_installed():
            raise NotAvailable(library.MISSING)
        super().__init__(path, device)

    def _read(self, path: Path) -> tuple[VQGANConfig, dict[str, Tensor]]:
        """The configuration and the tensors; errors name tensors as the file does."""
        state, config = read_first_stage(path), read_config(path)
        with without_weights():
            network = self._build(config)
        levels = len(config.ch_mult)
        check_state(state, their_tensors(network, levels), str(path))
        return config, our_tensors(state, list(network.state_dict()), levels)

    def _build(self, config: VQGANConfig) -> nn.Module:
        return build(config, str(self.source))

    def _set_sizes(self, config: VQGANConfig) -> None:
        """Count as the paper does: the numbers of the map of vectors, at the size of training."""
        if not folder.is_folder(self.source):
            # The tensors show the whole configuration except the level of attention and the image size.
            self.fingerprint += f"-{config.resolution}"
        self.image_size, self.stride = config.resolution, config.stride
        places = (self.image_size // self.stride) ** 2
        self.latent_dim = places * config.embed_dim
        self.code_bits = places * math.log2(config.n_embed)
        self.semantic_parts = (map_of(config.embed_dim),)

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        vectors = needed(code.semantic, "map of code vectors").to(self.device)
        return self.cut(self.model.decode(vectors, force_not_quantize=True).sample)


# ----------------------------------------------------------------------------------------------
# The checkpoints of taming-transformers


def read_first_stage(path: Path) -> dict[str, Tensor]:
    """The tensors of a VQ-GAN, from its own checkpoint or that of the transformer trained on it.

    Tensors that only training needs (`loss.`, the transformer) are not read. Raises UserError,
    naming the path.
    """
    content = containers.read(path)
    named = containers.entries(content)
    state = containers.entries(named.get("state_dict", named))
    if any(name.startswith(FIRST_STAGE) for name in state):
        state = {
            name.removeprefix(FIRST_STAGE): value
            for name, value in state.items()
            if name.startswith(FIRST_STAGE)
        }
    if "quantize.proj.weight" in state or "quantize.embed.weight" in state:
        raise UserError(
            f"{path}: a VQ-GAN with a Gumbel quantiser (quantize.proj, quantize.embed), which is a different "
            "network and not supported; give one with a nearest-code quantiser (f16)"
        )
    if "quantize.embedding.weight" not in state:
        containers.refuse_other_kind(content, path, "vqgan", "quantize.embedding.weight")
    kept = {name: value for name, value in state.items() if not name.startswith("loss.")}
    return in_memory(kept, path)


# ----------------------------------------------------------------------------------------------
# The yaml


def read_config(checkpoint: Path) -> VQGANConfig:
    """The configuration in the yaml that belongs to a checkpoint. Raises UserError, naming the path."""
    path = _yaml_of(checkpoint)
    model = _mapping(read_yaml(path, MOST), "model", path)
    params = _mapping(model, "params", path)
    if "first_stage_config" in params:
        model = _mapping(params, "first_stage_config", path)
        params = _mapping(model, "params", path)
    target = model.get("target")
    if target is not None and str(target).rpartition(".")[2] not in CLASSES:
        supported = f"only taming-transformers' {' and '.join(CLASSES)}"
        raise UserError(f"{path}: {target!s:.80} is not supported: {supported}")
    return _config(params, path)


def _yaml_of(checkpoint: Path) -> Path:
    """The yaml beside a checkpoint or in ../configs.

    Raises UserError if there is none, or several that differ.
    """
    folders = (checkpoint.parent, checkpoint.absolute().parent.parent / "configs")
    own = f"{glob.escape(checkpoint.stem)}.y*ml"
    for pattern, place in product((own, "model.y*ml", "*-project.y*ml", "*.y*ml"), folders):
        paths = sorted(path for path in place.glob(pattern) if path.is_file())
        paths = [path for path in paths if "-lightning." not in path.name]
        if len({path.read_bytes() for path in paths}) > 1:
            names = ", ".join(path.name for path in paths)
            raise UserError(
                f"{checkpoint}: several yaml files could be its configuration: {names} in {place}; "
                "leave the right one, named model.yaml"
            )
        if paths:
            return paths[0]
    raise UserError(
        f"{checkpoint}: the yaml with its configuration is missing; put it beside the checkpoint as model.yaml, or "
        "in ../configs"
    )


def _mapping(content: object, name: str, path: Path) -> Settings:
    """The mapping of entry `name`. Raises UserError, naming the path, if there is none."""
    entry = content.get(name) if isinstance(content, dict) else None
    if not isinstance(entry, dict):
        raise UserError(f"{path}: not a taming-transformers configuration: it has no {name!r}")
    return entry


def _config(params: Settings, path: Path) -> VQGANConfig:
    network = _mapping(params, "ddconfig", path)
    if params.get("remap") is not None:
        raise UserError(f"{path}: remap is not supported")
    for name, only in ONLY_SUPPORTED.items():
        if network.get(name, only) != only:
            raise UserError(f"{path}: {name}: {network[name]!r:.40} is not supported, only {only}")
    given = {**params, **network}
    named = [field.name for field in fields(VQGANConfig) if field.name != "norm_groups"]
    if missing := [name for name in named if name not in given]:
        raise UserError(f"{path}: has no {', '.join(missing)}")
    values = {name: given[name] for name in named}
    rows = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    config = VQGANConfig(**values | rows)
    check(config, f"{path}: ")
    # diffusers' VQModel cannot represent the others.
    if config.ch_mult[:1] != (1,) or len(config.ch_mult) > 8:
        raise UserError(f"{path}: ch_mult must be 1 to 8 numbers, the first of which is 1")
    if config.ch % config.norm_groups or config.resolution % config.stride:
        raise UserError(
            f"{path}: ch must be a multiple of {config.norm_groups}, resolution of {config.stride}"
        )
    return config
