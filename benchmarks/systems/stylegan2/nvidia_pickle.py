"""Read the pickles of NVIDIA's StyleGANs without running any code in them.

Their own loaders run the source text that such a file carries. Here a pickle is data: dictionaries,
numbers, tensors and arrays of numbers; every other name in it becomes a `StandIn`, which does
nothing.

    PyTorch      {"G_ema": a `Persistent`, ...}: the attributes of a module, its children among them
    TensorFlow   (G, D, Gs): a `Network` each, with named arrays and components

The numbers of each tensor of a PyTorch pickle are a file of the old torch.save within it.
"""

import io
import pickle
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from benchmarks.systems.shared import containers
from diffae.checkpoints.torch_file import StandIn, reading

Shape = tuple[int, ...]
State = dict[str, Tensor]


def read_pickle(path: Path) -> Any:
    """The object in a pickle. Raises UserError, naming the path, if it cannot be loaded."""
    with reading(path), open(path, "rb") as file:
        return _GeneratorUnpickler(file).load()


# ----------------------------------------------------------------------------------------------
# The content of a pickle


class Persistent(StandIn):
    """An object of `torch_utils.persistence`, by its attributes. Its source is not kept."""

    def __init__(self, meta: Mapping[str, State]):
        self.values = containers.entries(meta.get("state"))

    def tensors(self) -> State:
        """Parameters and buffers by name, those of submodules included, named as in `state_dict`.

        Raises an error of any type if the attributes are not those of a module.
        """
        own = {**self.values["_parameters"], **self.values["_buffers"]}
        tensors = {name: tensor for name, tensor in own.items() if tensor is not None}
        for name, child in self.values["_modules"].items():
            if child is not None:
                tensors |= {f"{name}.{inner}": tensor for inner, tensor in child.tensors().items()}
        return tensors


class Network(StandIn):
    """A `dnnlib.tflib.network.Network`, by its attributes."""

    def tensors(self) -> State:
        """Its variables by name; those of components follow the component's name and a slash.

        Raises an error of any type if the attributes are not those of a module.
        """
        parts = {"": self} | {f"{name}/": part for name, part in self.values["components"].items()}
        return {
            f"{prefix}{name}": torch.tensor(np.array(_numbers(value), np.float32, order="C"))
            for prefix, network in parts.items()
            for name, value in network.values["variables"]
        }


def _numbers(value: "_Array | float") -> np.ndarray | float:
    return value.numbers if isinstance(value, _Array) else value


# ----------------------------------------------------------------------------------------------
# Stand-ins for the names in a pickle. Those of NumPy and PyTorch are not called themselves: a pickle
# may change the attributes of what it names.


class _EasyDict(dict):  # type: ignore[type-arg]
    """A `dnnlib.util.EasyDict`, whose attributes are its entries."""

    def __setstate__(self, _: State) -> None: ...


class _DType:
    """A `numpy.dtype` of numbers, from its code, such as f4, and its byte order.

    Others are refused, as are arrays of objects.
    """

    def __init__(self, code: str, *_: bool):
        if not re.fullmatch("f[248]|[iu][1248]|b1", code):
            raise pickle.UnpicklingError("an array of other things than numbers")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[int, Literal["<", ">", "=", "|"]]) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """A NumPy array, whose numbers are those of the pickle's bytes."""

    def __init__(self, *_: type | Shape | bytes): ...

    def __setstate__(self, state: tuple[int, Shape, _DType, bool, bytes]) -> None:
        _version, shape, stored, is_fortran, content = state
        self.numbers = np.frombuffer(content, stored.dtype).reshape(
            shape, order="F" if is_fortran else "C"
        )


def _scalar(stored: _DType, content: bytes) -> float:
    return float(np.frombuffer(content, stored.dtype)[0])


def _storage(content: bytes) -> torch.TypedStorage:
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _tensor(
    storage: torch.TypedStorage, offset: int, shape: Shape, stride: Shape, *_: bool | State
) -> Tensor:
    return torch.empty(0, dtype=storage.dtype).set_(storage, offset, shape, stride)


def _parameter(tensor: Tensor, *_: bool | State) -> Tensor:
    return tensor


_NAMES = {
    ("collections", "OrderedDict"): OrderedDict,
    ("dnnlib.util", "EasyDict"): _EasyDict,
    ("dnnlib.tflib.network", "Network"): Network,
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): Persistent,
    ("torch.storage", "_load_from_bytes"): _storage,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("numpy", "dtype"): _DType,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "scalar"): _scalar,
}


class _GeneratorUnpickler(pickle._Unpickler):
    # The unpickler in C makes room for as many objects as a file claims to memorise, and this opcode
    # for as many bytes as a file claims to hold.
    dispatch = {k: v for k, v in pickle._Unpickler.dispatch.items() if k != pickle.BYTEARRAY8[0]}

    def find_class(self, module: str, name: str) -> Any:
        return _NAMES.get((module, name), StandIn)
