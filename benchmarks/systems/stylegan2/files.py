"""The files of StyleGAN2's generators, and the generator in each.

    .pt     rosinality's PyTorch port: torch.save, the generator under `g_ema`
    .pkl    stylegan2-ada-pytorch: a pickle, the generator under `G_ema`
    .pkl    TensorFlow (stylegan2, stylegan2-ada): a pickle of three networks, the averaged generator the third

All three hold the same tensors (names.py), and state more or less about the network. No code in any
of them is run (nvidia_pickle.py).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.systems.shared import containers
from benchmarks.systems.stylegan2.names import Stored, rosinality, tensorflow
from benchmarks.systems.stylegan2.network import FIR, Generator, StyleGAN2Config
from benchmarks.systems.stylegan2.nvidia_pickle import Network, Persistent, read_pickle
from diffae.checkpoints.checkpoint import check_state
from diffae.checkpoints.torch_file import StandIn, in_memory, reading
from diffae.diffusion import noise
from diffae.networks.nn import without_weights
from diffae.system.errors import UserError, shown

MOST = 10  # resolutions, of which the last is 2,048 px, and layers of a mapping
OWN = "the file's own"
SEEDED = "seed 0"  # the noise maps of a file that has none
ESTIMATED = "mean of 10,000"  # the average w of a file that has none
# Constants of the network, which files hold too.
FILTERS = re.compile(r"\.(blur\.kernel|upsample\.kernel|resample_filter)$")

State = dict[str, Tensor]
Stated = Mapping[str, Any]  # the settings of the network that a file states beside the tensors


@dataclass(frozen=True)
class StoredGenerator:
    """The configuration of a generator, its tensors, and the origin of its noise maps and average w.

    An average that is ESTIMATED is 0 among the tensors.
    """

    config: StyleGAN2Config
    state: State
    noise_maps: str
    w_avg: str


def read(path: Path) -> StoredGenerator:
    """The generator in a file of any of the three kinds.

    Raises UserError in one line with the path: which kind of file it is instead, which setting of
    the network is not supported, or which tensors are missing, left over, misshapen or not finite,
    by their names in the file.
    """
    if not containers.is_of_nvidia(path):
        return _read_rosinality(path)
    content = read_pickle(path)
    with reading(path):  # a value of any type may stand where the authors' code has a dictionary
        if isinstance(content, dict) and isinstance(content.get("G_ema"), Persistent):
            return _read_pytorch(content["G_ema"], path)
        if isinstance(content, tuple | list) and content and isinstance(content[-1], Network):
            return _read_tensorflow(content[-1], path)
    content_kind = "a pickle, but neither with G_ema nor of (G, D, Gs)"
    raise UserError(f"{path}: not a StyleGAN2 generator: {content_kind}")


def _read_rosinality(path: Path) -> StoredGenerator:
    content = containers.read(path)
    named = containers.entries(content)
    g_ema = containers.entries(named.get("g_ema"))
    if not g_ema:
        containers.refuse_other_kind(content, path, "stylegan2-w", "g_ema")
    average = {"latent_avg": named["latent_avg"]} if "latent_avg" in named else {}
    tensors = in_memory(g_ema | average, path)
    args = named.get("args")  # of a training; converted files have none
    stated = {"arch": args.values.get("arch")} if isinstance(args, StandIn) else {}
    patterns = r"(to_rgb1|to_rgbs\.\d+)\.", r"style\.(\d+)\."
    return _generator(tensors, rosinality, *patterns, stated, path)


def _read_pytorch(module: Persistent, path: Path) -> StoredGenerator:
    settings = module.values.get("_init_kwargs") or {}
    parts = (settings.get("mapping_kwargs") or {}, settings.get("synthesis_kwargs") or {})
    for part in parts:
        _refuse_other_settings(part, path)
    tensors = in_memory(module.tensors(), path)
    patterns = r"synthesis\.b(\d+)\.", r"mapping\.fc(\d+)\."
    return _generator(tensors, Stored, *patterns, settings | parts[0] | parts[1], path)


def _read_tensorflow(network: Network, path: Path) -> StoredGenerator:
    tensors = network.tensors()
    tensors.pop("lod", None)
    stated = network.values.get("static_kwargs") or {}
    stated = stated | {"lr_multiplier": stated.get("mapping_lrmul")}
    patterns = r"synthesis/(\d+)x\1/", r"mapping/Dense(\d+)/"
    return _generator(tensors, tensorflow, *patterns, stated, path)


# Settings that the tensors do not show, with the only values that this network supports.
ONLY: dict[str, tuple[str | int | list[float] | tuple[float, ...] | None, ...]] = {
    "arch": ("stylegan2", None),
    "architecture": ("skip",),
    "activation": ("lrelu",),
    "nonlinearity": ("lrelu",),
    "mapping_nonlinearity": ("lrelu",),
    "resample_filter": (list(FIR), FIR),
    "resample_kernel": (list(FIR), FIR),
    "use_noise": (True,),
    "normalize_latents": (True,),
    "img_channels": (3,),
    "num_channels": (3,),
    "c_dim": (0,),
    "label_size": (0,),
}


def _refuse_other_settings(settings: Stated, path: Path) -> None:
    for name, allowed in ONLY.items():
        if name in settings and settings[name] not in allowed:
            raise UserError(
                f"{path}: a StyleGAN2 that cannot be computed here: its {name} is "
                f"{shown(settings[name])}, not {allowed[0]!r}"
            )


def _generator(
    tensors: State,
    locate: Callable[[str], Stored],
    resolution: str,
    layer: str,
    stated: Stated,
    path: Path,
) -> StoredGenerator:
    """The generator of the tensors of a file, in which `locate` finds a tensor by the network's name.

    The patterns `resolution` and `layer` match its resolutions and the layers of its mapping.
    """
    _refuse_other_settings(stated, path)
    tensors = {name: tensor for name, tensor in tensors.items() if not FILTERS.search(name)}
    levels, layers = _count(tensors, resolution, path), _count(tensors, layer, path)
    names = list(_empty(StyleGAN2Config((1,) * levels, mapping_layers=layers)))
    places = {name: locate(name) for name in names}
    state = {
        name: place.change(tensors[place.name])
        for name, place in places.items()
        if place.name in tensors
    }
    config = _config(state, levels, layers, stated)
    noise_maps, w_avg = OWN, OWN
    if not any(name.endswith(".noise_const") for name in state):
        noise_maps, state = SEEDED, state | _seeded_noise(names)
    if "mapping.w_avg" not in state:
        w_avg, state["mapping.w_avg"] = ESTIMATED, torch.zeros(config.w_dim)
    _check(state, tensors, config, places, path)
    state = {name: tensor.contiguous() for name, tensor in state.items()}
    return StoredGenerator(config, state, noise_maps, w_avg)


def _check(
    state: State, tensors: State, config: StyleGAN2Config, places: Mapping[str, Stored], path: Path
) -> None:
    """Raise UserError if the network's tensors are not as they should be, or the file has others too.

    The message has the names of the file.
    """

    def under_names_of_file(state: State) -> State:
        return {places[k].name if k in places else k: tensor for k, tensor in state.items()}

    used = {place.name for place in places.values()}
    extra = {name: tensor for name, tensor in tensors.items() if name not in used}
    expected = under_names_of_file(_empty(config))
    check_state(under_names_of_file(state | extra), expected, str(path))


def _count(names: Iterable[str], pattern: str, path: Path) -> int:
    """How many different texts the pattern's group matches. Raises UserError if none, or too many."""
    matches = (re.match(pattern, name[:80]) for name in names)
    count = len({match[1] for match in matches if match})
    if not 1 <= count <= MOST:
        first_names = ", ".join(sorted(names)[:4]) or "nothing by name"
        raise UserError(f"{path}: not a StyleGAN2 generator: it holds {first_names:.200}")
    return count


def _empty(config: StyleGAN2Config) -> State:
    """The tensors of a generator, without memory for them."""
    with without_weights():
        return Generator(config).state_dict()


def _seeded_noise(names: Iterable[str]) -> State:
    """Noise maps for a file that has none, the same in every run.

    rosinality's public file is one, though its layers have learned to use some.
    """
    layers = [name for name in names if name.endswith(".noise_const")]
    sides = [int(name.split(".")[1].removeprefix("b")) for name in layers]
    return {
        name: noise.normal(0, "stylegan2 noise", [k], (1, side, side))[0, 0]
        for k, (name, side) in enumerate(zip(layers, sides, strict=True))
    }


def _config(state: State, levels: int, layers: int, stated: Stated) -> StyleGAN2Config:
    """The configuration that the tensors show. Those that do not fit it are refused afterwards."""

    def size(name: str, axis: int) -> int:
        """The length of an axis of a tensor; 1 if the tensor or the axis is missing."""
        shape = state[name].shape if name in state else ()
        return shape[axis] if len(shape) > axis else 1

    sides = StyleGAN2Config((1,) * levels).resolutions
    return StyleGAN2Config(
        channels=tuple(size(f"synthesis.b{side}.torgb.weight", 1) for side in sides),
        z_dim=size("mapping.fc0.weight", 1),
        w_dim=size("synthesis.b4.conv1.affine.weight", 1),
        mapping_layers=layers,
        mapping_width=size("mapping.fc0.weight", 0),
        lr_multiplier=float(stated.get("lr_multiplier") or 0.01),
        conv_clamp=float(stated.get("conv_clamp") or 0.0),
    )
