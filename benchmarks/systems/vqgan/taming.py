"""The files of taming-transformers: the yaml of a training, and the first stage in its checkpoint."""

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from benchmarks.systems.shared import containers
from benchmarks.systems.vqgan.network import VQGANConfig
from diffae.system.errors import UserError, reason
from diffae.system.files import read_text

FIRST_STAGE = "first_stage_model."
CLASSES = (
    "VQModel",
    "VQNoDiscModel",
)  # one network; the second was trained without a discriminator
LARGEST_SIDE = 1024  # px of an image: four times the largest that it was published for
MOST = 1 << 20  # bytes of a yaml, and the largest number in one
DEFAULTS = {"resamp_with_conv": True, "double_z": False, "in_channels": 3, "out_ch": 3}


def read_first_stage(path: Path) -> dict[str, Tensor]:
    """The tensors of a VQ-GAN, from its own checkpoint or that of the transformer trained on it.

    Tensors that only training needs (`loss.`, the transformer) are not read. Raises UserError,
    naming the path.
    """
    with containers.opened(path) as file:
        content = containers.entries(file.content)
        state = containers.entries(content.get("state_dict", content))
        if any(name.startswith(FIRST_STAGE) for name in state):
            state = {
                name.removeprefix(FIRST_STAGE): value
                for name, value in state.items()
                if name.startswith(FIRST_STAGE)
            }
        if "quantize.proj.weight" in state or "quantize.embed.weight" in state:
            raise UserError(
                f"{path}: a VQ-GAN with a Gumbel quantiser (quantize.proj, quantize.embed), which is another "
                "network and not supported; give one with a nearest-code quantiser (f16)"
            )
        if "quantize.embedding.weight" not in state:
            lacks = "quantize.embedding.weight"
            containers.refuse_other_kind(file.content, path, "vqgan", lacks)
        found = {name: value for name, value in state.items() if not name.startswith("loss.")}
        return containers.take(file, found, path)


# ----------------------------------------------------------------------------------------------
# The yaml


def read_config(checkpoint: Path) -> VQGANConfig:
    """The configuration in the yaml that belongs to a checkpoint. Raises UserError, naming the path."""
    path = _yaml_of(checkpoint)
    model = _mapping(_parsed(path), "model", path)
    params = _mapping(model, "params", path)
    if "first_stage_config" in params:
        model = _mapping(params, "first_stage_config", path)
        params = _mapping(model, "params", path)
    target = model.get("target")
    if target is not None and str(target).rpartition(".")[2] not in CLASSES:
        raise UserError(
            f"{path}: {target!s:.80} is not supported: only taming-transformers' {' and '.join(CLASSES)}"
        )
    return _config(params, path)


def _yaml_of(checkpoint: Path) -> Path:
    """The yaml beside a checkpoint or in ../configs.

    Raises UserError if there is none, or several that differ.
    """
    folders = (checkpoint.parent, checkpoint.absolute().parent.parent / "configs")
    likelier_first = zip(*(_by_name(place, checkpoint.stem) for place in folders), strict=True)
    for found in chain.from_iterable(likelier_first):
        if len({path.read_bytes() for path in found}) > 1:
            names = ", ".join(path.name for path in found)
            raise UserError(
                f"{checkpoint}: several yaml files could be its configuration: {names} in {found[0].parent}; "
                "leave the right one, named model.yaml"
            )
        if found:
            return found[0]
    raise UserError(
        f"{checkpoint}: the yaml with its configuration is missing; put it beside the checkpoint as model.yaml, or "
        "in ../configs"
    )


def _by_name(folder: Path, stem: str) -> Iterator[list[Path]]:
    """The files of a folder that could be the configuration, the likelier ones first."""
    known = sorted(p for p in folder.glob("*.y*ml") if p.is_file() and "-lightning." not in p.name)
    yield [path for path in known if path.stem == stem]
    yield [path for path in known if path.stem == "model"]
    yield [path for path in known if path.stem.endswith("-project")]
    yield known


def _parsed(path: Path) -> Any:
    """The content of a yaml with plain values only. Raises UserError if it is invalid."""
    if path.stat().st_size > MOST:
        raise UserError(f"{path}: not a configuration: it has more than {MOST:,} bytes")
    try:
        return yaml.safe_load(read_text(path))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a yaml of plain values ({reason(error):.200})") from None


def _mapping(whole: Any, name: str, path: Path) -> Mapping[str, Any]:
    found = whole.get(name) if isinstance(whole, dict) else None
    if not isinstance(found, dict):
        raise UserError(f"{path}: no taming-transformers configuration: it has no {name!r}")
    return found


def _config(params: Mapping[str, Any], path: Path) -> VQGANConfig:
    network = _mapping(params, "ddconfig", path)
    if params.get("remap") is not None:
        raise UserError(f"{path}: remap is not supported")
    for name, only in DEFAULTS.items():
        if network.get(name, only) != only:
            raise UserError(f"{path}: {name}: {network[name]!r:.40} is not supported, only {only}")
    config = VQGANConfig(
        n_embed=_whole(params, "n_embed", path),
        embed_dim=_whole(params, "embed_dim", path),
        ch=_whole(network, "ch", path),
        ch_mult=_row(network, "ch_mult", path),
        num_res_blocks=_whole(network, "num_res_blocks", path),
        attn_resolutions=_row(network, "attn_resolutions", path),
        resolution=_whole(network, "resolution", path),
        z_channels=_whole(network, "z_channels", path),
    )
    _refuse_impossible(config, path)
    return config


def _refuse_impossible(config: VQGANConfig, path: Path) -> None:
    """Raise UserError for what diffusers' VQModel cannot represent, or for impossible sizes."""
    levels = len(config.ch_mult)
    if not 1 <= levels <= 8 or config.ch_mult[0] != 1:
        raise UserError(
            f"{path}: ch_mult: {list(config.ch_mult)[:8]} is not supported: 1 to 8 levels, the first of which is 1"
        )
    if config.ch % config.norm_groups or config.num_res_blocks > 16:
        raise UserError(
            f"{path}: ch must be a multiple of {config.norm_groups} and num_res_blocks at most 16"
        )
    if config.resolution % config.stride or config.resolution > LARGEST_SIDE:
        raise UserError(
            f"{path}: resolution must be a multiple of {config.stride}, and at most {LARGEST_SIDE:,}, not "
            f"{config.resolution:,}"
        )


def _row(params: Mapping[str, Any], name: str, path: Path) -> tuple[int, ...]:
    found = params.get(name)
    if not isinstance(found, list) or not all(_is_size(number) for number in found):
        raise UserError(f"{path}: {name} must be a list of whole numbers, not {found!r:.60}")
    return tuple(found)


def _whole(params: Mapping[str, Any], name: str, path: Path) -> int:
    found = params.get(name)
    if not _is_size(found):
        raise UserError(f"{path}: {name} must be a whole number from 1, not {found!r:.60}")
    return int(found)  # type: ignore[arg-type]


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST
