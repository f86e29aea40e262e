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


class Stored(NamedTuple):
    """The name of a tensor in a file, and its conversion to the network's.

    A tensor of a wrong shape is converted into one that the network refuses too.
    """

    name: str
    change: Change = _as_it_is


def rosinality(ours: str) -> Stored:
    """The network's tensor `ours` in `g_ema`, or in `latent_avg` beside it."""
    part, place, *rest = ours.split(".")
    if ours == "mapping.w_avg":
        return Stored("latent_avg")
    if part == "mapping":
        return Stored(f"style.{int(place.removeprefix('fc')) + 1}.{rest[0]}")
    if rest[0] == "const":
        return Stored("input.input", _first)
    _, level, layer, number, tensor = _place(place, *rest)
    if tensor == "noise_const":
        return Stored(f"noises.noise_{number}", _first_of_first)
    if layer == "torgb":
        module = f"to_rgbs.{level - 1}" if level else "to_rgb1"
        bias = Stored("bias", Tensor.flatten)
    else:
        module = f"convs.{number - 1}" if number else "conv1"
        bias = Stored("activate.bias")
    stored = {
        "weight": Stored("conv.weight", _first),
        "affine.weight": Stored("conv.modulation.weight"),
        "affine.bias": Stored("conv.modulation.bias"),
        "noise_strength": Stored("noise.weight", _first),
        "bias": bias,
    }[tensor]
    return Stored(f"{module}.{stored.name}", stored.change)


def tensorflow(ours: str) -> Stored:
    """The network's tensor `ours` among the variables of Gs and of its components."""
    part, place, *rest = ours.split(".")
    if ours == "mapping.w_avg":
        return Stored("dlatent_avg")
    if part == "mapping":
        return Stored(f"mapping/Dense{place.removeprefix('fc')}/{rest[0]}", _transposed)
    if rest[0] == "const":
        return Stored("synthesis/4x4/Const/const", _first)
    side, level, layer, number, tensor = _place(place, *rest)
    if tensor == "noise_const":
        return Stored(f"synthesis/noise{number}", _first_of_first)
    kind = {"torgb": "ToRGB", "conv0": "Conv0_up", "conv1": "Conv1" if level else "Conv"}[layer]
    stored = {
        "weight": Stored("weight", _turned if layer == "conv0" else _outputs_first),
        "affine.weight": Stored("mod_weight", _transposed),
        "affine.bias": Stored("mod_bias", lambda bias: bias + 1),
    }.get(tensor, Stored(tensor))
    return Stored(f"synthesis/{side}x{side}/{kind}/{stored.name}", stored.change)


def _place(block: str, layer: str, *tensor: str) -> tuple[int, int, str, int, str]:
    """The place of a tensor whose name is "b16", "conv0" and so on.

    These are the side, its level, the layer, the layer's number among those that take noise, and the
    rest of the name.
    """
    side = int(block.removeprefix("b"))
    level = (side // START).bit_length() - 1
    return side, level, layer, 2 * level - (layer == "conv0"), ".".join(tensor)


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


def _turned(tensor: Tensor) -> Tensor:
    return _outputs_first(tensor).flip(-2, -1) if tensor.ndim == 4 else tensor
