"""Imitations of the three kinds of files of StyleGAN2, with weights by the parity files' recipe.

The authors' modules that a pickle names are put into sys.modules while it is written, and are gone
when it is read.
"""

import pickle
import sys
import types
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from parity_files import normal, shapes
from torch import Tensor

TINY = {
    "z_dim": 512,
    "c_dim": 0,
    "w_dim": 512,
    "img_resolution": 32,
    "img_channels": 3,
    "mapping_kwargs": {"num_layers": 8},
    "synthesis_kwargs": {"channel_base": 512, "channel_max": 64},
}

State = dict[str, Tensor]


def fill(name: str, shape: tuple[int, ...]) -> Tensor:
    """Values by the recipe, from name and shape alone."""
    value = normal(name, shape)
    if name.startswith("mapping.fc"):
        value = value / 0.01 if name.endswith("weight") else 0.1 * value / 0.01
    elif name.endswith("affine.bias"):
        value = 1 + 0.1 * value
    elif name.endswith((".bias", ".noise_strength", ".w_avg")):
        value = 0.1 * value
    return torch.from_numpy(np.asarray(value, np.float32))


def state(keys: str = "tiny32", w_dim: int = 512) -> State:
    """A generator under the names of stylegan2-ada-pytorch, without the filters.

    `w_dim` in place of 512.
    """
    found = {
        k: tuple(w_dim if n == 512 else n for n in s)
        for k, s in shapes(f"stylegan2_{keys}").items()
    }
    return {name: fill(name, s) for name, s in found.items() if not name.endswith("_filter")}


def resample_filter() -> Tensor:
    return torch.outer(*2 * [torch.tensor([1.0, 3.0, 3.0, 1.0])]) / 64


# ----------------------------------------------------------------------------------------------
# rosinality


def rosinality(tensors: State) -> tuple[State, Tensor]:
    """`g_ema` and `latent_avg`, by the table of names in reverse."""
    found: State = {}
    for name, tensor in tensors.items():
        parts = name.split(".")
        if parts[0] == "mapping":
            if parts[1] != "w_avg":
                found[f"style.{int(parts[1][2:]) + 1}.{parts[2]}"] = tensor
            continue
        j = int(np.log2(int(parts[1][1:]))) - 3  # of the block: 0 at 8 px
        theirs = {
            "conv0": f"convs.{2 * j}",
            "conv1": "conv1" if j < 0 else f"convs.{2 * j + 1}",
            "torgb": "to_rgb1" if j < 0 else f"to_rgbs.{j}",
            "const": "",
        }[parts[2]]
        rest = ".".join(parts[3:])
        if parts[2] == "const":
            found["input.input"] = tensor[None]
        elif rest == "weight":
            found[f"{theirs}.conv.weight"] = tensor[None]
        elif rest.startswith("affine."):
            found[f"{theirs}.conv.modulation.{parts[4]}"] = tensor
        elif rest == "noise_strength":
            found[f"{theirs}.noise.weight"] = tensor[None]
        elif rest == "noise_const":
            number = 0 if j < 0 else 2 * j + 1 + (parts[2] == "conv1")
            found[f"noises.noise_{number}"] = tensor[None, None]
        else:
            colours = parts[2] == "torgb"
            found[f"{theirs}.bias" if colours else f"{theirs}.activate.bias"] = (
                tensor[None, :, None, None] if colours else tensor
            )
        if parts[2] == "conv0":
            found[f"{theirs}.conv.blur.kernel"] = 4 * resample_filter()
        if parts[2] == "torgb" and j >= 0:
            found[f"{theirs}.upsample.kernel"] = 4 * resample_filter()
    return found, tensors["mapping.w_avg"]


def write_rosinality(path: Path, tensors: State, average: bool = True, **more: Any) -> Path:
    """Write a file as a training does: `g`, the generator that `g_ema` averages, comes first."""
    g_ema, latent_avg = rosinality(tensors)
    g = {k: v if k.endswith(".kernel") else v + 0.01 for k, v in g_ema.items()}
    content = {"g": OrderedDict(g), "g_ema": OrderedDict(g_ema)}
    content |= {"latent_avg": latent_avg} if average else {}
    torch.save(content | more, path)
    return path


# ----------------------------------------------------------------------------------------------
# stylegan2-ada-pytorch

SOURCE = "raise SystemExit('the source in the file was run')\n"


def write_pytorch(
    path: Path, tensors: State, settings: dict[str, Any] = TINY, protocol: int = 4, **more: Any
) -> Path:
    """Write a pickle of `G_ema` and `more`, in which every module is a persistent object with its
    source.
    """
    with pytest.MonkeyPatch.context() as patch:
        easy_dict = _modules(patch)["dnnlib.util"].EasyDict
        persistence = sys.modules["torch_utils.persistence"]
        content = {
            "training_set_kwargs": easy_dict(class_name="training.dataset.ImageFolderDataset"),
            "G": _Module(persistence, {}),
            "D": None,
            "G_ema": _module(persistence, tensors, easy_dict(settings)),
            "augment_pipe": _Module(persistence, {"p": np.float64(0.5), "names": {"a"}}),
        }
        path.write_bytes(pickle.dumps(content | more, protocol=protocol))
    return path


class _Module:
    """A persistent object: `state` is its `__dict__`."""

    def __init__(self, persistence: types.ModuleType, state: dict[str, Any], name: str = "Module"):
        self.persistence, self.state, self.name = persistence, state, name

    def __reduce__(self) -> tuple[Any, ...]:
        meta = {"type": "class", "version": 6, "module_src": SOURCE, "class_name": self.name}
        return self.persistence._reconstruct_persistent_obj, (meta | {"state": self.state},)


def _module(persistence: types.ModuleType, tensors: State, settings: Any = None) -> _Module:
    """A module of its tensors, with children named by the parts of the tensors' names."""
    own = {name: tensor for name, tensor in tensors.items() if "." not in name}
    buffers = {k: v for k, v in own.items() if k in ("w_avg", "noise_const")}
    if "noise_const" in buffers:
        buffers["resample_filter"] = resample_filter()
    children: dict[str, State] = {}
    for name, tensor in tensors.items():
        head, dot, rest = name.partition(".")
        if dot:
            children.setdefault(head, {})[rest] = tensor
    parameters = {k: torch.nn.Parameter(v) for k, v in own.items() if k not in buffers}
    state = {
        "training": False,
        "_parameters": OrderedDict(parameters),
        "_buffers": OrderedDict(buffers),
        "_forward_hooks": OrderedDict(),
        "_modules": OrderedDict((k, _module(persistence, v)) for k, v in children.items()),
        "_init_args": (),
        "_init_kwargs": settings if settings is not None else {},
    }
    return _Module(persistence, state, "Generator" if settings is not None else "Layer")


# ----------------------------------------------------------------------------------------------
# TensorFlow


def tensorflow(tensors: State) -> dict[str, np.ndarray]:
    """The variables of Gs, by the table of names in reverse."""
    found: dict[str, np.ndarray] = {}
    for name, tensor in tensors.items():
        array, parts = tensor.numpy(), name.split(".")
        if name == "mapping.w_avg":
            found["dlatent_avg"] = array
        elif parts[0] == "mapping":
            found[f"mapping/Dense{parts[1][2:]}/{parts[2]}"] = array.T
        elif parts[2] == "const":
            found["synthesis/4x4/Const/const"] = array[None]
        else:
            side = int(parts[1][1:])
            conv1 = "Conv" if side == 4 else "Conv1"
            kind = {"conv0": "Conv0_up", "conv1": conv1, "torgb": "ToRGB"}[parts[2]]
            place, rest = f"synthesis/{side}x{side}/{kind}", ".".join(parts[3:])
            if rest == "weight":
                flip = array[:, :, ::-1, ::-1] if parts[2] == "conv0" else array
                found[f"{place}/weight"] = flip.transpose(2, 3, 1, 0)
            elif rest == "noise_const":
                number = 2 * int(np.log2(side)) - (5 if parts[2] == "conv0" else 4)
                found[f"synthesis/noise{number}"] = array[None, None]
            elif rest == "affine.weight":
                found[f"{place}/mod_weight"] = array.T
            elif rest == "affine.bias":
                found[f"{place}/mod_bias"] = array - 1
            else:
                found[f"{place}/{rest}"] = array
    return found


def write_tensorflow(
    path: Path, tensors: State, settings: dict[str, Any] | None = None, protocol: int = 4
) -> Path:
    """Write a pickle of (G, D, Gs), the first two without variables."""
    arrays = {k: np.array(v) for k, v in tensorflow(tensors).items()}
    arrays["lod"] = np.float32(0)  # type: ignore[assignment]
    with pytest.MonkeyPatch.context() as patch:
        network = _modules(patch)["dnnlib.tflib.network"].Network
        others = [network({}, {}, {}), network({}, {}, {})]
        parts = {part: network(_under(part, arrays), {}, {}) for part in ("mapping", "synthesis")}
        own = {k: v for k, v in arrays.items() if "/" not in k}
        own_settings = {"resolution": 32, "num_channels": 3, "label_size": 0}
        last = network(own, parts, own_settings | (settings or {}))
        path.write_bytes(pickle.dumps((*others, last), protocol=protocol))
    return path


def _under(part: str, arrays: dict[str, Any]) -> dict[str, Any]:
    return {k.removeprefix(f"{part}/"): v for k, v in arrays.items() if k.startswith(f"{part}/")}


def _modules(patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Provide modules with the names of the authors' packages, until `patch` is undone."""
    names = ("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util", "dnnlib.tflib")
    found: dict[str, Any] = {}
    for name in (*names, "dnnlib.tflib.network"):
        found[name] = types.ModuleType(name)
        patch.setitem(sys.modules, name, found[name])

    class EasyDict(dict):  # type: ignore[type-arg]
        pass

    class Network:
        def __init__(self, variables: Any, components: Any, settings: Any):
            self.variables, self.components, self.settings = variables, components, settings

        def __getstate__(self) -> dict[str, Any]:
            return {
                "version": 4,
                "name": "Gs",
                "static_kwargs": found["dnnlib.util"].EasyDict(self.settings),
                "components": found["dnnlib.util"].EasyDict(self.components),
                "build_module_src": SOURCE,
                "build_func_name": "G_main",
                "variables": list(self.variables.items()),
            }

    def _reconstruct_persistent_obj(meta: Any) -> Any:
        raise AssertionError("their code was run")

    _give(found["dnnlib.util"], EasyDict)
    _give(found["dnnlib.tflib.network"], Network)
    _give(found["torch_utils.persistence"], _reconstruct_persistent_obj)
    return found


def _give(module: types.ModuleType, thing: Any) -> None:
    thing.__module__, thing.__qualname__ = module.__name__, thing.__name__
    setattr(module, thing.__name__, thing)


def channels_of(image_size: int, channel_base: int, channel_max: int) -> tuple[int, ...]:
    """A published network's channels at 4, 8, ... px: `channel_base` divided by the side, at most
    `channel_max`.
    """
    sides = [4 << level for level in range(image_size.bit_length() - 2)]
    return tuple(min(channel_base // side, channel_max) for side in sides)
