"""The files of StyleGAN2's generators, and the generator in each.

    .pt     rosinality's PyTorch port: torch.save, the generator under `g_ema`
    .pkl    stylegan2-ada-pytorch: a pickle, the generator under `G_ema`
    .pkl    TensorFlow (stylegan2, stylegan2-ada): a pickle of three networks, the averaged generator the third

All three hold the same tensors (names.py), and state more or less about the network. No code in any
of them is run (nvidia_pickle.py).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.systems.protocol.contract import brief
from benchmarks.systems.shared import containers
from benchmarks.systems.stylegan2 import names as stylegan2_names
from benchmarks.systems.stylegan2 import nvidia_pickle
from benchmarks.systems.stylegan2.names import Names, Theirs
from benchmarks.systems.stylegan2.network import FIR, START, Generator, StyleGAN2Config, fir_filter
from benchmarks.systems.stylegan2.nvidia_pickle import Network, Persistent
from diffae.checkpoints.checkpoint import LARGEST, check_state
from diffae.checkpoints.torch_file import Arguments
from diffae.checkpoints.torch_file_legacy import is_legacy
from diffae.diffusion import noise
from diffae.system.errors import UserError

WANTED = "a StyleGAN2 generator"
MOST = 64  # layers of a mapping, or of a synthesis
OWN = "the file's own"
SEEDED = "seed 0"  # the noise maps of a file that has none
ESTIMATED = "mean of 10,000"  # the average w of a file that has none

State = dict[str, Tensor]
Stated = Mapping[str, Any]  # what a file states about its network beside the tensors, by name


@dataclass(frozen=True)
class Found:
    """The configuration of a generator, its tensors, and the origin of its noise maps and average w.

    An average that is ESTIMATED is 0 among the tensors.
    """

    config: StyleGAN2Config
    state: State
    noise_maps: str = OWN
    w_avg: str = OWN


def read(path: Path) -> Found:
    """The generator in a file of any of the three kinds.

    Raises UserError in one line with the path: which kind of file it is instead, what of the
    network is not supported here, or which tensors are missing, left over, misshapen or not finite,
    under their names in the file.
    """
    if not path.is_file() or is_legacy(path) or not nvidia_pickle.is_pickle(path):
        return _read_rosinality(path)
    content = nvidia_pickle.read_pickle(path)
    if isinstance(content, dict) and isinstance(content.get("G_ema"), Persistent):
        return _read_pytorch(content["G_ema"], path)
    if isinstance(content, tuple | list) and content and isinstance(content[-1], Network):
        return _read_tensorflow(content[-1], path)
    raise UserError(f"{path}: not {WANTED}: a pickle, but neither with G_ema nor of (G, D, Gs)")


# ----------------------------------------------------------------------------------------------
# rosinality


def _read_rosinality(path: Path) -> Found:
    with containers.opened(path) as file:
        content = containers.entries(file.content)
        if not containers.entries(content.get("g_ema")):
            containers.refuse_other_kind(file.content, path, "stylegan2-w", "g_ema")
        stated = _stated_by_training(content, path)
        average = {"latent_avg": content["latent_avg"]} if "latent_avg" in content else {}
        tensors = containers.take(file, content["g_ema"] | average, path)
    tensors = _without_filters(tensors, r"\.(blur|upsample)\.kernel", 4 * fir_filter(), path)
    levels = 2 + _highest(tensors, r"to_rgbs\.(\d+)\.", path)
    names = stylegan2_names.rosinality(levels, _highest(tensors, r"style\.(\d+)\.", path))
    if any(name.startswith("noises.") for name in tensors):
        return _found(tensors, names, stated, path)
    return _found(tensors | seeded_noise(levels), names, stated, path, SEEDED)


def _stated_by_training(content: Mapping[str, Any], path: Path) -> Stated:
    """What the arguments of a training state; converted files have none."""
    args = content.get("args")
    if args is not None and not isinstance(args, Arguments):
        raise UserError(f"{path}: its args are {brief(args)}, not the arguments of a training")
    values = {} if args is None else args.values
    if (kind := values.get("arch", "stylegan2")) != "stylegan2":
        raise UserError(f"{path}: not {WANTED}: its arch is {brief(kind)}")
    return {"image_size": values.get("size")}


def seeded_noise(levels: int) -> State:
    """Noise maps under rosinality's names.

    The public file has none, though its layers have learned to use some: these are the same in
    every run.
    """
    return {
        stylegan2_names.rosinality_noise(k): noise.normal(0, "stylegan2 noise", [k], (1, s, s))
        for k, (_, s) in enumerate(stylegan2_names.layers(levels))
    }


# ----------------------------------------------------------------------------------------------
# stylegan2-ada-pytorch, TensorFlow

# Settings that tensors do not show, with the only values that the network here supports.
ONLY: dict[str, tuple[Any, ...]] = {
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


def _read_pytorch(module: Persistent, path: Path) -> Found:
    settings = containers.part(module.state, "_init_kwargs", path)
    mapping = containers.part(settings, "mapping_kwargs", path)
    synthesis = containers.part(settings, "synthesis_kwargs", path)
    stored = module.tensors(path)
    _refuse_other_generator(module, stored, path)
    for some in (settings, mapping, synthesis):
        _refuse_other_settings(some, path)
    tensors = {name: tensor.read(path) for name, tensor in stored.items()}
    tensors = _without_filters(tensors, r"\.resample_filter", fir_filter(), path)
    levels = _levels(tensors, r"synthesis\.b(\d+)\.", path)
    layers = 1 + _highest(tensors, r"mapping\.fc(\d+)\.", path)
    names = {ours: Theirs(ours) for ours in stylegan2_names.rosinality(levels, layers)}
    stated = synthesis | mapping | {"image_size": settings.get("img_resolution")}
    return _found(tensors, names, stated, path)


def _refuse_other_generator(module: Persistent, tensors: Iterable[str], path: Path) -> None:
    names = set(tensors)
    if any(name.startswith("synthesis.b4.") for name in names):
        return
    alias_free = any(re.match(r"synthesis\.L\d+_", name) for name in names)
    what = "a StyleGAN3 (alias-free)" if alias_free else f"another {module.class_name:.40}"
    raise UserError(f"{path}: not {WANTED}: it looks like {what}")


def _read_tensorflow(network: Network, path: Path) -> Found:
    settings = containers.part(network.state, "static_kwargs", path)
    tensors = network.tensors(path)
    tensors.pop("lod", None)
    if not any(name.startswith("synthesis/4x4/") for name in tensors):
        some = ", ".join(sorted(tensors)[:4]) or "nothing by name"
        raise UserError(f"{path}: not {WANTED}: the last of its networks holds {some:.200}")
    _refuse_other_settings(settings, path)
    levels = _levels(tensors, r"synthesis/(\d+)x\1/", path)
    layers = 1 + _highest(tensors, r"mapping/Dense(\d+)/", path)
    stated = settings | {
        "image_size": settings.get("resolution"),
        "lr_multiplier": settings.get("mapping_lrmul"),
    }
    return _found(tensors, stylegan2_names.tensorflow(levels, layers), stated, path)


def _refuse_other_settings(settings: Mapping[str, Any], path: Path) -> None:
    for name, allowed in ONLY.items():
        if name in settings and settings[name] not in allowed:
            raise UserError(
                f"{path}: a StyleGAN2 that cannot be computed here: its {name} is "
                f"{brief(settings[name])}, not {allowed[0]!r}"
            )


# ----------------------------------------------------------------------------------------------
# All three


def _found(
    tensors: State, names: Names, stated: Stated, path: Path, noise_maps: str = OWN
) -> Found:
    """The generator of the tensors of a file, whose names there are `names`."""
    state = {ours: it.change(tensors[it.name]) for ours, it in names.items() if it.name in tensors}
    config = _config(state, stated, path)
    estimated = "mapping.w_avg" not in state
    if estimated:
        state["mapping.w_avg"] = torch.zeros(config.w_dim)
    with torch.device("meta"):
        generator = Generator(config)
    known = {it.name for it in names.values()}
    extra = {name: tensor for name, tensor in tensors.items() if name not in known}
    theirs, expected = (
        {names[k].name if k in names else k: tensor for k, tensor in some.items()}
        for some in (state | extra, generator.state_dict())
    )
    check_state(theirs, expected, str(path))  # like `containers.give`, but with the file's names
    state = {name: tensor.contiguous() for name, tensor in state.items()}
    return Found(config, state, noise_maps, ESTIMATED if estimated else OWN)


def _config(state: State, stated: Stated, path: Path) -> StyleGAN2Config:
    """The configuration of the tensors: those that do not fit it are refused afterwards.

    Raises UserError if the file states another one.
    """
    sides = sorted({int(k.split(".")[1][1:]) for k in state if k.startswith("synthesis.b")})
    if stated.get("image_size") not in (None, sides[-1]):
        raise UserError(
            f"{path}: its tensors end at {sides[-1]} px, but it says that its images have "
            f"{brief(stated['image_size'])}"
        )
    last = _highest(state, r"mapping\.fc(\d+)\.", path)
    return StyleGAN2Config(
        channels=tuple(_size(state, f"synthesis.b{side}.torgb.weight", 1) for side in sides),
        z_dim=_size(state, "mapping.fc0.weight", 1),
        w_dim=_size(state, "synthesis.b4.conv1.affine.weight", 1),
        mapping_layers=last + 1,
        mapping_width=_size(state, "mapping.fc0.weight", 0),
        lr_multiplier=_number(stated, "lr_multiplier", 0.01, path),
        conv_clamp=_number(stated, "conv_clamp", 0.0, path),
    )


def _size(state: State, name: str, axis: int) -> int:
    """The length of an axis of a tensor; 1 if the tensor or the axis is missing."""
    shape = state[name].shape if name in state else ()
    return shape[axis] if len(shape) > axis else 1


def _number(stated: Stated, name: str, default: float, path: Path) -> float:
    if (value := stated.get(name)) is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < LARGEST:
        raise UserError(f"{path}: {name}: {brief(value)} is not a positive number")
    return float(value)


def _highest(names: Iterable[str], pattern: str, path: Path, most: int = MOST) -> int:
    """The highest number in names that begin with `pattern`.

    Raises UserError if there is none, or if it is absurd.
    """
    found = [int(match[1]) for name in names if (match := re.match(pattern, name[:80]))]
    if not found:
        words = re.sub(r"\(.*?\)|\\\d", "N", pattern).replace("\\", "")
        raise UserError(f"{path}: not {WANTED}: no tensor is called {words}...")
    if max(found) > most:
        raise UserError(f"{path}: not {WANTED}: it has {max(found):,} layers")
    return max(found)


def _levels(names: Iterable[str], pattern: str, path: Path) -> int:
    """Resolutions from 4 px up to the highest in the names of blocks."""
    side = _highest(names, pattern, path, START << MOST)
    sides = [START << level for level in range(MOST)]
    if side not in sides:
        raise UserError(f"{path}: not {WANTED}: it has a layer of {side} px")
    return 1 + sides.index(side)


def _without_filters(tensors: State, pattern: str, expected: Tensor, path: Path) -> State:
    """The tensors without the resampling filters, which are constants.

    Raises UserError if these are unusual.
    """
    filters = [name for name in tensors if re.search(pattern + "$", name)]
    for name in filters:
        found = tensors[name].float()
        if found.shape != expected.shape or not torch.allclose(found, expected, atol=1e-5):
            raise UserError(f"{path}: {name} is not the filter {FIR} in both directions")
    return {name: tensor for name, tensor in tensors.items() if name not in filters}
