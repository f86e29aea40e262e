"""The tensors of StyleGAN2's generator under the names of three code bases.

The network's own names (network.py) are those of stylegan2-ada-pytorch. rosinality's port uses
other names and keeps axes of length one. The TensorFlow code has the axes of its convolutions in
another order (height, width, inputs, outputs), its dense matrices transposed, the kernels of its
transposed convolutions rotated by 180 degrees, and leaves out the 1 that is added to every bias of
a style.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from benchmarks.systems.stylegan2.network import START

Change = Callable[[Tensor], Tensor]


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor


class Theirs(NamedTuple):
    """The name of a tensor in a file, and its conversion to the network's.

    A tensor of a wrong shape is converted into one that the network refuses too.
    """

    name: str
    change: Change = _as_it_is


Names = dict[str, Theirs]


def layers(levels: int) -> list[tuple[str, int]]:
    """The layers that take noise, in order, and their sides.

    `levels` is the number of resolutions from 4 px up.
    """
    found = [(f"synthesis.b{START}.conv1", START)]
    for side in _sides(levels)[1:]:
        found += [(f"synthesis.b{side}.conv{i}", side) for i in (0, 1)]
    return found


def _sides(levels: int) -> list[int]:
    return [START << level for level in range(levels)]


# ----------------------------------------------------------------------------------------------
# rosinality


def rosinality(levels: int, mapping_layers: int) -> Names:
    """The names in `g_ema` by the network's names, and `latent_avg` beside it."""
    names = {
        "mapping.w_avg": Theirs("latent_avg"),
        "synthesis.b4.const": Theirs("input.input", _first),
    }
    for i in range(mapping_layers):
        for kind in ("weight", "bias"):
            names[f"mapping.fc{i}.{kind}"] = Theirs(f"style.{i + 1}.{kind}")
    for number, (layer, _) in enumerate(layers(levels)):
        theirs = f"convs.{number - 1}" if number else "conv1"
        names |= _rosinality_convolution(layer, theirs)
        names[f"{layer}.bias"] = Theirs(f"{theirs}.activate.bias")
        names[f"{layer}.noise_strength"] = Theirs(f"{theirs}.noise.weight", _first)
        names[f"{layer}.noise_const"] = Theirs(rosinality_noise(number), _first_of_first)
    for level, side in enumerate(_sides(levels)):
        ours, theirs = f"synthesis.b{side}.torgb", f"to_rgbs.{level - 1}" if level else "to_rgb1"
        names |= _rosinality_convolution(ours, theirs)
        names[f"{ours}.bias"] = Theirs(f"{theirs}.bias", lambda bias: bias.flatten())
    return names


def rosinality_noise(number: int) -> str:
    return f"noises.noise_{number}"


def _rosinality_convolution(ours: str, theirs: str) -> Names:
    return {
        f"{ours}.weight": Theirs(f"{theirs}.conv.weight", _first),
        f"{ours}.affine.weight": Theirs(f"{theirs}.conv.modulation.weight"),
        f"{ours}.affine.bias": Theirs(f"{theirs}.conv.modulation.bias"),
    }


# ----------------------------------------------------------------------------------------------
# TensorFlow


def tensorflow(levels: int, mapping_layers: int) -> Names:
    """The names in Gs by the network's names.

    Gs has its own variables and, after a slash, those of its components.
    """
    names = {
        "mapping.w_avg": Theirs("dlatent_avg"),
        "synthesis.b4.const": Theirs("synthesis/4x4/Const/const", _first),
    }
    for i in range(mapping_layers):
        names[f"mapping.fc{i}.weight"] = Theirs(f"mapping/Dense{i}/weight", _transposed)
        names[f"mapping.fc{i}.bias"] = Theirs(f"mapping/Dense{i}/bias")
    for number, (layer, side) in enumerate(layers(levels)):
        kind, change = ("Conv1" if number else "Conv"), _outputs_first
        if layer.endswith("conv0"):
            kind, change = "Conv0_up", _turned_outputs_first
        theirs = f"synthesis/{side}x{side}/{kind}"
        names |= _tensorflow_convolution(layer, theirs, change)
        names[f"{layer}.noise_strength"] = Theirs(f"{theirs}/noise_strength")
        names[f"{layer}.noise_const"] = Theirs(f"synthesis/noise{number}", _first_of_first)
    for side in _sides(levels):
        theirs = f"synthesis/{side}x{side}/ToRGB"
        names |= _tensorflow_convolution(f"synthesis.b{side}.torgb", theirs, _outputs_first)
    return names


def _tensorflow_convolution(ours: str, theirs: str, weight: Change) -> Names:
    return {
        f"{ours}.weight": Theirs(f"{theirs}/weight", weight),
        f"{ours}.bias": Theirs(f"{theirs}/bias"),
        f"{ours}.affine.weight": Theirs(f"{theirs}/mod_weight", _transposed),
        f"{ours}.affine.bias": Theirs(f"{theirs}/mod_bias", lambda bias: bias + 1),
    }


# ----------------------------------------------------------------------------------------------
# Changes


def _first(tensor: Tensor) -> Tensor:
    """A tensor without its first axis if that has length one."""
    return tensor[0] if tensor.ndim and len(tensor) == 1 else tensor


def _first_of_first(tensor: Tensor) -> Tensor:
    return _first(_first(tensor))


def _transposed(tensor: Tensor) -> Tensor:
    return tensor.T if tensor.ndim == 2 else tensor


def _outputs_first(tensor: Tensor) -> Tensor:
    """Height, width, inputs, outputs -> outputs, inputs, height, width."""
    return tensor.permute(3, 2, 0, 1) if tensor.ndim == 4 else tensor


def _turned_outputs_first(tensor: Tensor) -> Tensor:
    return _outputs_first(tensor).flip(-2, -1) if tensor.ndim == 4 else tensor
