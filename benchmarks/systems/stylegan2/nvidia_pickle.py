"""Read the pickles of NVIDIA's StyleGANs without running any code in them.

Their own loaders run the source text that such a file carries. Here a pickle is data: dictionaries,
numbers, tensors and arrays of numbers; every other name in it becomes a stand-in that does nothing
(diffae.checkpoints.torch_file).

    PyTorch      {"G_ema": a `Persistent`, ...}: the attributes of a module, its children among them
    TensorFlow   (G, D, Gs): a `Network` each, with named arrays and components

The tensors of the PyTorch pickles are files of the old torch.save within the pickle, opened when
they are read.
"""

import io
import mmap
import pickle
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.systems.shared import containers
from diffae.checkpoints import torch_file
from diffae.checkpoints.torch_file import StoredTensor, inert, refuse_state
from diffae.checkpoints.torch_file_legacy import LegacyTorchFile
from diffae.system.errors import UserError

MOST_STRUCTURE = 4 * torch_file.MOST_PICKLE  # bytes that are not the numbers of tensors
BULK = 1 << 16  # bytes: longer pieces are taken for such numbers
MOST_MODULES = 10_000  # in a network; one used twice counts twice


def is_pickle(path: Path) -> bool:
    """Whether a file begins like a pickle. Those of the old torch.save do too."""
    with open(path, "rb") as file:
        return file.read(1) == pickle.PROTO


def read_pickle(path: Path) -> Any:
    """The object in a pickle. Raises UserError, naming the path, if it cannot be loaded."""
    with torch_file.unpickling(path), open(path, "rb") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _Unpickler(content).load()


# ----------------------------------------------------------------------------------------------
# The content of a pickle


@dataclass
class Persistent:
    """An object of `torch_utils.persistence`, by its attributes. Its source is not kept."""

    state: dict[str, Any]

    __setstate__ = refuse_state

    def tensors(self) -> "dict[str, NestedTensor]":
        """Parameters and buffers by name, those of submodules included, named as in `state_dict`.

        Raises an error of any kind if a part of it is of another kind.
        """
        found: dict[str, NestedTensor] = {}
        waiting, met = [("", self)], 0
        while waiting:
            prefix, module = waiting.pop()
            met += 1
            if met > MOST_MODULES:
                raise pickle.UnpicklingError("modules within modules without end")
            own = {**module.state["_parameters"], **module.state["_buffers"]}
            found |= {f"{prefix}{name}": one for name, one in own.items() if one is not None}
            children = module.state["_modules"].items()
            waiting += [(f"{prefix}{name}.", one) for name, one in children if one is not None]
        return found


class Network:
    """A `dnnlib.tflib.network.Network`: its attributes."""

    state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.state = containers.entries(state)

    def tensors(self) -> dict[str, Tensor]:
        """Its variables by name; those of components follow the component's name and a slash.

        Raises an error of any kind if a part of it is of another kind.
        """
        parts = {"": self} | {f"{name}/": one for name, one in self.state["components"].items()}
        return {
            f"{prefix}{name}": value.read()
            if isinstance(value, Array)
            else torch.tensor(float(value))
            for prefix, network in parts.items()
            for name, value in network.state["variables"]
        }


@dataclass(frozen=True)
class NestedTensor:
    """A tensor, and the bytes of the torch.save file that contains its numbers."""

    storage: bytes
    offset: int
    shape: torch.Size
    stride: tuple[int, ...]

    __setstate__ = refuse_state

    def read(self, path: Path) -> Tensor:
        """The tensor in memory.

        Raises UserError, naming the path, if the nested file is invalid or contradicts it.
        """
        with LegacyTorchFile(path, io.BytesIO(self.storage)) as file:
            if not isinstance(file.content, torch_file.Storage):
                raise UserError(f"{path}: damaged: a tensor's numbers are no storage")
            return file.read(StoredTensor(file.content, self.offset, self.shape, self.stride))


class Array:
    """A NumPy array, whose numbers are those of the pickle's bytes until it is read."""

    numbers = np.zeros(0, np.float32)

    def __init__(self, *_: Any): ...

    def __setstate__(self, state: Any) -> None:
        _version, shape, dtype, fortran, raw = state
        kind = _numbers(dtype)
        flat = np.frombuffer(raw, kind)
        self.numbers = flat.reshape(shape, order="F" if fortran else "C")

    def read(self) -> Tensor:
        """The array as a tensor."""
        native = self.numbers.dtype.newbyteorder("=")
        return torch.from_numpy(self.numbers.astype(native, order="C"))


# ----------------------------------------------------------------------------------------------
# Stand-ins for the names in a pickle


class _EasyDict(dict):  # type: ignore[type-arg]
    """A `dnnlib.util.EasyDict`, whose attributes are its entries."""

    def __setstate__(self, _: Any) -> None: ...


class _DType:
    """A `numpy.dtype`: its code, such as f4, and its byte order."""

    def __init__(self, code: Any = "", *_: Any):
        self.code, self.order = str(code), "="

    def __setstate__(self, state: Any) -> None:
        self.order = str(state[1])


def _numbers(dtype: Any) -> np.dtype[Any]:
    """A dtype of numbers. Arrays of objects are refused, as their content would have to be unpickled."""
    if not isinstance(dtype, _DType) or not re.fullmatch("f[248]|[iu][1248]|b1", dtype.code):
        raise pickle.UnpicklingError("an array of other things than numbers")
    return np.dtype((">" if dtype.order == ">" else "<") + dtype.code)


@inert
def _persistent(meta: Any) -> Persistent:
    return Persistent(containers.entries(meta.get("state")))


@inert
def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> NestedTensor:
    if not isinstance(storage, bytes) or len(shape) != len(stride):
        raise pickle.UnpicklingError("a tensor without a storage or with other strides than sizes")
    return NestedTensor(storage, int(offset), torch.Size(shape), tuple(int(s) for s in stride))


@inert
def _scalar(dtype: Any, raw: Any) -> float:
    return np.frombuffer(raw, _numbers(dtype), count=1)[0].item()


_KNOWN = {
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _persistent,
    ("torch.storage", "_load_from_bytes"): inert(lambda storage: storage),
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("dnnlib.tflib.network", "Network"): Network,
    ("dnnlib.util", "EasyDict"): _EasyDict,
    ("numpy", "dtype"): _DType,
}
for _numpy in ("numpy.core", "numpy._core"):
    _KNOWN |= {
        (f"{_numpy}.multiarray", "_reconstruct"): Array,
        (f"{_numpy}.multiarray", "scalar"): _scalar,
    }


class _Reader:
    """A file that limits what is read of it.

    It refuses to be read on once more than MOST_STRUCTURE bytes are not the numbers of tensors.
    """

    def __init__(self, file: mmap.mmap):
        self._file, self._left = file, MOST_STRUCTURE

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.count(len(data) if len(data) < BULK else 0)
        return data

    def readline(self) -> bytes:
        data = self._file.readline()
        self.count(len(data))
        return data

    def count(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise pickle.UnpicklingError("it is larger than that of any model")


class _Unpickler(torch_file.Unpickler):
    dispatch = dict(torch_file.Unpickler.dispatch)

    def __init__(self, file: mmap.mmap):
        self._reader = _Reader(file)
        super().__init__(self._reader)  # type: ignore[arg-type]

    def find_class(self, module: str, name: str) -> Any:
        return _KNOWN.get((module, name)) or super().find_class(module, name)

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("a reference to something outside")

    def load_frame(self) -> None:
        """Count a frame: a piece of the pickle itself, of any length."""
        super().load_frame()  # type: ignore[misc]
        size = len(self._unframer.current_frame.getbuffer())  # type: ignore[attr-defined]
        self._reader.count(size if size >= BULK else 0)

    dispatch[pickle.FRAME[0]] = load_frame  # type: ignore[assignment]
