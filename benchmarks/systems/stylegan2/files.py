"""The files of StyleGAN2's generators, and the generator in each.

    .pt     rosinality's PyTorch port: torch.save, the generator under `g_ema`
    .pkl    stylegan2-ada-pytorch: a pickle, the generator under `G_ema`
    .pkl    TensorFlow (stylegan2, stylegan2-ada): a pickle of three networks, the averaged generator the third

All three hold the same tensors (names.py), and state more or less about the network. No code in any
of them is run (nvidia_pickle.py).
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.systems.protocol.contract import brief
from benchmarks.systems.shared import containers, inversion
from benchmarks.systems.stylegan2 import names as stylegan2_names
from benchmarks.systems.stylegan2.names import Names, Theirs
from benchmarks.systems.stylegan2.network import (
    FIR,
    START,
    Generator,
    StyleGAN2Config,
    fir_filter,
)
from benchmarks.systems.stylegan2.nvidia_pickle import (
    Array,
    Network,
    Persistent,
    is_pickle,
    read_pickle,
)
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


@dataclass(frozen=True)
class Found:
    """A generator with its weights, and the origin of its noise maps and its average w."""

    generator: Generator
    noise_maps: str = OWN
    w_avg: str = OWN


class Stated(NamedTuple):
    """What a file states about its network beside the tensors, if anything."""

    image_size: Any = None
    conv_clamp: Any = None
    lr_multiplier: Any = None


def read(path: Path) -> Found:
    """The generator in a file of any of the three kinds, on the CPU.

    Raises UserError in one line with the path: which kind of file it is instead, what of the
    network is not supported here, or which tensors are missing, left over, misshapen or not finite,
    under their names in the file.
    """
    if not path.is_file() or is_legacy(path) or not is_pickle(path):
        return _read_rosinality(path)
    content = read_pickle(path)
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
    levels = 2 + _layers(tensors, r"to_rgbs\.(\d+)\.", path)
    has_noise = any(name.startswith("noises.") for name in tensors)
    if not has_noise:
        tensors |= seeded_noise(levels)
    names = stylegan2_names.rosinality(levels, _layers(tensors, r"style\.(\d+)\.", path))
    generator = _generator(tensors, names, stated, path, may_lack_average=True)
    return Found(
        generator, OWN if has_noise else SEEDED, OWN if "latent_avg" in content else ESTIMATED
    )


def _stated_by_training(content: Mapping[str, Any], path: Path) -> Stated:
    """The arguments of a training; converted files have none."""
    args = content.get("args")
    values = args.values if isinstance(args, Arguments) else {}
    if (kind := values.get("arch", "stylegan2")) != "stylegan2":
        raise UserError(f"{path}: not {WANTED}: its arch is {brief(kind)}")
    return Stated(values.get("size"))


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
    settings = module.settings()
    mapping = containers.entries(settings.get("mapping_kwargs"))
    synthesis = containers.entries(settings.get("synthesis_kwargs"))
    stored = module.tensors(path)
    _refuse_other_generator(module, stored, path)
    for some in (settings, mapping, synthesis):
        _refuse_other_settings(some, path)
    tensors = {name: tensor.read(path) for name, tensor in stored.items()}
    tensors = _without_filters(tensors, r"\.resample_filter", fir_filter(), path)
    levels = _levels(tensors, r"synthesis\.b(\d+)\.", path)
    layers = 1 + _layers(tensors, r"mapping\.fc(\d+)\.", path)
    names = {ours: Theirs(ours) for ours in stylegan2_names.rosinality(levels, layers)}
    stated = Stated(
        settings.get("img_resolution"), synthesis.get("conv_clamp"), mapping.get("lr_multiplier")
    )
    return Found(_generator(tensors, names, stated, path))


def _refuse_other_generator(module: Persistent, tensors: Iterable[str], path: Path) -> None:
    names = set(tensors)
    if any(name.startswith("synthesis.b4.") for name in names):
        return
    alias_free = any(re.match(r"synthesis\.L\d+_", name) for name in names)
    what = "a StyleGAN3 (alias-free)" if alias_free else f"another {module.class_name:.40}"
    raise UserError(f"{path}: not {WANTED}: it looks like {what}")


def _read_tensorflow(network: Network, path: Path) -> Found:
    settings = network.settings()
    tensors = {
        name: value.read() if isinstance(value, Array) else torch.tensor(float(value))
        for name, value in network.variables().items()
        if isinstance(value, Array | float) and name != "lod"
    }
    if not any(name.startswith("synthesis/4x4/") for name in tensors):
        some = ", ".join(sorted(tensors)[:4]) or "nothing by name"
        raise UserError(f"{path}: not {WANTED}: the last of its networks holds {some:.200}")
    _refuse_other_settings(settings, path)
    levels = _levels(tensors, r"synthesis/(\d+)x\1/", path)
    layers = 1 + _layers(tensors, r"mapping/Dense(\d+)/", path)
    names = stylegan2_names.tensorflow(levels, layers)
    stated = Stated(
        settings.get("resolution"), settings.get("conv_clamp"), settings.get("mapping_lrmul")
    )
    return Found(_generator(tensors, names, stated, path))


def _refuse_other_settings(settings: Mapping[str, Any], path: Path) -> None:
    for name, allowed in ONLY.items():
        if name in settings and settings[name] not in allowed:
            raise UserError(
                f"{path}: a StyleGAN2 that cannot be computed here: its {name} is "
                f"{brief(settings[name])}, not {allowed[0]!r}"
            )


# ----------------------------------------------------------------------------------------------
# All three


def _generator(
    tensors: State, names: Names, stated: Stated, path: Path, may_lack_average: bool = False
) -> Generator:
    """The generator from the tensors of a file, whose names there are `names`."""
    state = {ours: it.change(tensors[it.name]) for ours, it in names.items() if it.name in tensors}
    config = _config(state, stated, path)
    estimated = may_lack_average and "mapping.w_avg" not in state
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
    containers.give(generator, {k: v.contiguous() for k, v in state.items()}, path)
    if estimated:
        generator.mapping.w_avg.copy_(inversion.statistics(generator.mapping).average)
    return generator


def _config(state: State, stated: Stated, path: Path) -> StyleGAN2Config:
    """The configuration of the tensors. Raises UserError if the file states another one."""
    sides = sorted({int(k.split(".")[1][1:]) for k in state if k.startswith("synthesis.b")})
    if stated.image_size not in (None, sides[-1]):
        raise UserError(
            f"{path}: its tensors end at {sides[-1]} px, but it says that its images have "
            f"{brief(stated.image_size)}"
        )
    last = _layers(state, r"mapping\.fc(\d+)\.", path)
    width = _size(state, ("mapping.fc0.weight", 0), ("mapping.fc0.bias", 0))
    ends = [(f"mapping.fc{last}.{kind}", 0) for kind in ("weight", "bias")]
    return StyleGAN2Config(
        channels=tuple(_channels(state, side) for side in sides),
        z_dim=_size(state, ("mapping.fc0.weight", 1)),
        w_dim=_size(state, *ends, ("synthesis.b4.conv1.affine.weight", 1)),
        mapping_layers=last + 1,
        mapping_width=width,
        lr_multiplier=_number(stated.lr_multiplier, 0.01, "lr_multiplier", path),
        conv_clamp=_number(stated.conv_clamp, 0.0, "conv_clamp", path),
    )


def _channels(state: State, side: int) -> int:
    block = f"synthesis.b{side}"
    return _size(
        state,
        (f"{block}.conv1.weight", 0),
        (f"{block}.conv1.weight", 1),
        (f"{block}.conv1.bias", 0),
        (f"{block}.torgb.weight", 1),
    )


def _size(state: State, *places: tuple[str, int]) -> int:
    """A size by majority of some tensors, each with the axis that shows it: the others are misshapen."""
    sizes = Counter(
        state[name].shape[axis]
        for name, axis in places
        if name in state and state[name].ndim > axis
    )
    return sizes.most_common(1)[0][0] if sizes else 1


def _number(value: Any, default: float, name: str, path: Path) -> float:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < LARGEST:
        raise UserError(f"{path}: {name}: {brief(value)} is no positive number")
    return float(value)


def _highest(names: Iterable[str], pattern: str, path: Path) -> int:
    """The highest number in names that begin with `pattern`. Raises UserError if there is none."""
    found = [int(match[1]) for name in names if (match := re.match(pattern, name[:80]))]
    if not found:
        words = re.sub(r"\(.*?\)|\\\d", "N", pattern).replace("\\", "")
        raise UserError(f"{path}: not {WANTED}: no tensor is called {words}...")
    return max(found)


def _layers(names: Iterable[str], pattern: str, path: Path) -> int:
    """The same for layers. Raises UserError if the number is absurd."""
    if (last := _highest(names, pattern, path)) > MOST:
        raise UserError(f"{path}: not {WANTED}: it has {last} layers")
    return last


def _levels(names: Iterable[str], pattern: str, path: Path) -> int:
    """Resolutions from 4 px up to the highest in the names of blocks."""
    side = _highest(names, pattern, path)
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
            raise UserError(f"{path}: {name} is another filter than {FIR} in both directions")
    return {name: tensor for name, tensor in tensors.items() if name not in filters}
