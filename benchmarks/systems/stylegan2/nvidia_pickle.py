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
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from benchmarks.systems.shared import containers
from diffae.checkpoints import torch_file
from diffae.checkpoints.torch_file import StoredTensor, inert, refuse_state
from diffae.checkpoints.torch_file_legacy import LegacyTorchFile
from diffae.system.errors import UserError

T = TypeVar("T")

MOST_STRUCTURE = (
    4 * torch_file.MOST_PICKLE
)  # bytes of a file that are not the numbers of its tensors
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
    """An object of `torch_utils.persistence`: the name of its class, and its attributes.

    Its source is not kept.
    """

    class_name: str
    state: dict[str, Any]

    __setstate__ = refuse_state

    def tensors(self, path: Path) -> "dict[str, NestedTensor]":
        """Parameters and buffers by name, those of submodules included, named as in `state_dict`.

        Raises UserError for one that is no tensor.
        """
        met = 0
        found: dict[str, NestedTensor] = {}
        waiting = [("", self)]
        while waiting:
            prefix, module = waiting.pop()
            met += 1
            if met > MOST_MODULES:
                raise UserError(f"{path}: damaged: modules within modules without end")
            for part in ("_parameters", "_buffers"):
                found |= _all_of(NestedTensor, module.state, part, prefix, path)
            children = _all_of(Persistent, module.state, "_modules", prefix, path)
            waiting += [(f"{name}.", child) for name, child in children.items()]
        return found


class Network:
    """A `dnnlib.tflib.network.Network`: its attributes."""

    state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.state = containers.entries(state)

    def tensors(self, path: Path) -> dict[str, Tensor]:
        """Its variables by name; those of components follow the component's name and a slash.

        Raises UserError for one that is neither an array nor a number.
        """
        found = self._variables("", path)
        for name, network in _all_of(Network, self.state, "components", "", path).items():
            found |= network._variables(f"{name}/", path)
        return found

    def _variables(self, prefix: str, path: Path) -> dict[str, Tensor]:
        pairs = self.state.get("variables") or ()
        if not isinstance(pairs, list | tuple) or not all(map(_is_named, pairs)):
            raise UserError(f"{path}: damaged: the variables of a network are no pairs with names")
        return {
            f"{prefix}{name}": _variable(value, f"{prefix}{name}", path) for name, value in pairs
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
        self.numbers = _as_array(raw, dtype, shape, fortran)

    def read(self) -> Tensor:
        """The array as a tensor."""
        native = self.numbers.dtype.newbyteorder("=")
        return torch.from_numpy(self.numbers.astype(native, order="C"))


def _all_of(
    kind: type[T], state: dict[str, Any], name: str, prefix: str, path: Path
) -> dict[str, T]:
    """The entries of a dictionary in `state`, by name after `prefix`, without those that are None.

    Raises UserError for one that is not of the kind.
    """
    found: dict[str, T] = {}
    for own, one in containers.part(state, name, path).items():
        if isinstance(one, kind):
            found[f"{prefix}{own}"] = one
        elif one is not None:  # None is how PyTorch says that a module has no such tensor
            raise UserError(f"{path}: holds {prefix}{own:.80}, which is not {WORDS[kind]}")
    return found


def _is_named(pair: Any) -> bool:
    return isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str)


def _variable(value: Any, name: str, path: Path) -> Tensor:
    if isinstance(value, Array):
        return value.read()
    if isinstance(value, int | float):
        return torch.tensor(float(value))
    raise UserError(f"{path}: holds {name:.80}, which is not a tensor")


WORDS: dict[type, str] = {NestedTensor: "a tensor", Persistent: "a module", Network: "a network"}


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


def _as_bytes(raw: Any) -> bytes:
    """Bytes from a text, as which Python 2 pickles contain them."""
    if not isinstance(raw, bytes | str):
        raise pickle.UnpicklingError("an array whose numbers are no bytes")
    return raw.encode("latin1") if isinstance(raw, str) else raw


def _as_array(raw: Any, dtype: Any, shape: Any, fortran: bool) -> np.ndarray:
    """An array over these bytes. NumPy raises ValueError if they are more or fewer than its shape needs."""
    kind = _numbers(dtype)
    return np.frombuffer(_as_bytes(raw), kind).reshape(shape, order="F" if fortran else "C")


@inert
def _persistent(meta: Any) -> Persistent:
    return Persistent(str(meta.get("class_name")), containers.entries(meta.get("state")))


@inert
def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> NestedTensor:
    if not isinstance(storage, bytes) or len(shape) != len(stride):
        raise pickle.UnpicklingError("a tensor without a storage or with other strides than sizes")
    return NestedTensor(storage, int(offset), torch.Size(shape), tuple(int(s) for s in stride))


@inert
def _frombuffer(raw: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> Array:
    """The function by which NumPy restores arrays in protocol 5."""
    found = Array()
    numbers = _as_array(raw, dtype, shape, order == "F")
    found.numbers = numbers if axes is None else numbers.transpose(axes)
    return found


@inert
def _scalar(dtype: Any, raw: Any) -> float:
    return np.frombuffer(_as_bytes(raw), _numbers(dtype), count=1)[0].item()


@inert
def _encode(text: Any, encoding: Any) -> bytes:
    """The function by which Python 3 restores bytes in the protocols of Python 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError("bytes in another encoding than Latin 1")
    return str(text).encode("latin1")


_KNOWN = {
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _persistent,
    ("torch.storage", "_load_from_bytes"): inert(lambda storage: storage),
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("dnnlib.tflib.network", "Network"): Network,
    ("dnnlib.util", "EasyDict"): _EasyDict,
    ("numpy", "dtype"): _DType,
    ("_codecs", "encode"): _encode,
}
for _numpy in ("numpy.core", "numpy._core"):
    _KNOWN |= {
        (f"{_numpy}.multiarray", "_reconstruct"): Array,
        (f"{_numpy}.multiarray", "scalar"): _scalar,
        (f"{_numpy}.numeric", "_frombuffer"): _frombuffer,
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
        self.encoding = "latin1"  # for texts of Python 2

    def find_class(self, module: str, name: str) -> Any:
        return _KNOWN.get((module, name)) or super().find_class(module, name)

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("a reference to something outside")

    def load_frame(self) -> None:
        """Count a frame: a piece of the pickle itself, of any length."""
        super().load_frame()  # type: ignore[misc]
        size = len(self._unframer.current_frame.getbuffer())  # type: ignore[attr-defined]
        self._reader.count(size if size >= BULK else 0)

    def load_bytearray8(self) -> None:
        """Load a bytearray as bytes, no more than the file has.

        Python's own method allocates as much memory as the pickle states.
        """
        (size,) = struct.unpack("<Q", self.read(8))  # type: ignore[attr-defined]
        self.append(self.read(size))  # type: ignore[attr-defined]

    dispatch[pickle.FRAME[0]] = load_frame  # type: ignore[assignment]
    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8  # type: ignore[assignment]
