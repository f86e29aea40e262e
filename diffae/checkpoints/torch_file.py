"""Read files of `torch.save` without running anything in them.

Such a file is a zip archive: a pickle that describes objects, and the bytes of each storage (before
PyTorch 1.6: five pickles, then the storages; see torch_file_legacy.py). A pickle may name any
function of any package to be called on loading. The unpickler here knows tensors, ordered
dictionaries and the attributes of an `argparse.Namespace`, and nothing else: every other name
becomes a stand-in that takes anything and does nothing. Tensors stay on disk until they are asked
for.

It is the unpickler of the standard library in Python: the one in C allocates as much memory as a
file claims to memorise, 1 GB for a file of 139 bytes. A released file of the authors takes a tenth
of a second.
"""

import io
import pickle
import zipfile
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from diffae.system.errors import UserError, reason

Function = TypeVar("Function", bound=Callable[..., Any])

_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


MOST_PICKLE = 1 << 23  # bytes; their content may take about seventy times as much memory


def refuse_state(*_: Any) -> None:
    """Refuse a pickle that sets attributes of a tensor it has built, as no file of torch.save does."""
    raise pickle.UnpicklingError("it changes a tensor after building it")


@dataclass(frozen=True)
class Storage:
    key: str
    dtype: torch.dtype
    numel: int

    __setstate__ = refuse_state

    @property
    def nbytes(self) -> int:
        return self.numel * self.dtype.itemsize


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that is still on disk."""

    storage: Storage
    offset: int
    shape: torch.Size
    stride: tuple[int, ...]

    __setstate__ = refuse_state


class _StandIn:
    """Replaces every class and function that is not needed: takes anything, does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> "_StandIn":
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None: ...
    def __call__(self, *_: Any, **__: Any) -> "_StandIn":
        return self

    def __setstate__(self, _: Any) -> None: ...
    def __setitem__(self, _: Any, __: Any) -> None: ...
    def append(self, _: Any) -> None: ...
    def extend(self, _: Any) -> None: ...
    def add(self, _: Any) -> None: ...


class Arguments(_StandIn):
    """Replaces an `argparse.Namespace` of a training's settings: its attributes by name."""

    values: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise pickle.UnpicklingError("settings of a training that are no dictionary")
        self.values = {str(name): value for name, value in state.items()}


class Unpickler(pickle._Unpickler):
    # The one opcode that allocates as much memory as a file asks for; torch.save never writes it.
    dispatch = {k: v for k, v in pickle._Unpickler.dispatch.items() if k != pickle.BYTEARRAY8[0]}

    def __init__(self, data: IO[bytes]):
        super().__init__(data)
        self._stand_ins: dict[tuple[str, str], type] = {}

    def find_class(self, module: str, name: str) -> Any:
        known: dict[tuple[str, str], Any] = {
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
            ("torch._utils", "_rebuild_parameter"): inert(lambda tensor, *_: tensor),
            ("collections", "OrderedDict"): OrderedDict,
            ("argparse", "Namespace"): Arguments,
        }
        if (module, name) in known:
            return known[module, name]
        if module in ("torch", "torch.storage") and name in _DTYPES:
            return _DTYPES[name]
        if (module, name) not in self._stand_ins:
            title = name.rpartition(".")[2] or "unnamed"
            self._stand_ins[module, name] = type(title, (_StandIn,), {})
        return self._stand_ins[module, name]

    def persistent_load(self, pid: Any) -> Storage:
        kind, dtype, key, _device, numel = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype) or "/" in str(key):
            raise pickle.UnpicklingError(f"unknown reference {pid!r:.100}")
        return Storage(str(key), dtype, int(numel))


def inert(function: Function) -> Function:
    """`function` for a pickle, which cannot set its attributes, such as its defaults."""
    function.__setstate__ = refuse_state  # type: ignore[attr-defined]
    return function


@inert
def _rebuild_tensor(storage: Any, offset: int, shape: Any, stride: Any, *_: Any) -> StoredTensor:
    if not isinstance(storage, Storage) or len(shape) != len(stride):
        raise pickle.UnpicklingError("a tensor without a storage or with other strides than sizes")
    return StoredTensor(storage, int(offset), torch.Size(shape), tuple(int(s) for s in stride))


@contextmanager
def unpickling(path: Path) -> Iterator[None]:
    """Turn any error in the block into a UserError that names `path`.

    A damaged pickle can raise anything.
    """
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path}: not readable ({error.strerror or error})") from None
    except Exception as error:
        raise UserError(f"{path}: damaged: its pickle does not load ({reason(error)})") from None


class SavedFile(ABC):
    """A file of `torch.save` opened for reading.

    `content` is its object, with tensors still on disk.
    """

    path: Path
    content: Any
    _last: tuple[Storage, Tensor] | None = None

    def read(self, tensor: StoredTensor) -> Tensor:
        """Read a tensor into memory of its own, in its own dtype.

        Raises UserError if the file is inconsistent.
        """
        storage, numel = tensor.storage, tensor.shape.numel()
        steps = zip(tensor.shape, tensor.stride, strict=True)
        last = tensor.offset + sum((n - 1) * s for n, s in steps)
        sane = min((*tensor.shape, *tensor.stride, tensor.offset)) >= 0
        if not sane or numel > storage.numel or (numel and last >= storage.numel):
            raise UserError(f"{self.path}: damaged: a tensor is larger than its storage")
        if self._last is None or self._last[0] != storage:  # those of one come in a row
            self._last = storage, self._read_storage(storage)
        return self._last[1].as_strided(tensor.shape, tensor.stride, tensor.offset).clone()

    def _read_storage(self, storage: Storage) -> Tensor:
        try:
            with self._open(storage) as file:
                # torch's own memory: how a kernel rounds may depend on how its weights are aligned.
                data = torch.empty(storage.nbytes, dtype=torch.uint8)
                fill(data.numpy(), file)
        except (KeyError, OSError, zipfile.BadZipFile, EOFError) as error:
            what = f"storage {storage.key} does not read ({error})"
            raise UserError(f"{self.path}: damaged: {what}") from None
        return data.view(storage.dtype)

    @abstractmethod
    def _open(self, storage: Storage) -> AbstractContextManager[IO[bytes]]:
        """The offset of the bytes of a storage, after checking that the file has that many."""

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class TorchFile(SavedFile):
    """A zip archive, as `torch.save` writes since PyTorch 1.6."""

    def __init__(self, path: Path):
        self.path = path
        with unpickling(path):
            try:
                self._zip = zipfile.ZipFile(path)
            except zipfile.BadZipFile:
                raise UserError(
                    f"{path}: not a checkpoint of torch.save (or cut short): it is not a zip archive; "
                    "download it again"
                ) from None
            names = self._zip.namelist()
            names = [n for n in names if n.count("/") == 1 and n.endswith("/data.pkl")]
            if len(names) != 1:
                raise UserError(f"{path}: a zip archive, but not one that torch.save wrote")
            self._folder = names[0].removesuffix("data.pkl")
            info = self._plain(names[0])
            if info.file_size > MOST_PICKLE:
                raise UserError(f"{path}: its pickle has {info.file_size:,} bytes, too many")
            self.content = Unpickler(io.BytesIO(self._zip.read(info))).load()

    def _plain(self, name: str) -> zipfile.ZipInfo:
        """The entry `name`, which torch.save never compresses: it cannot be larger than the file."""
        info = self._zip.getinfo(name)
        stored = info.compress_type == zipfile.ZIP_STORED and info.file_size == info.compress_size
        if not stored or info.file_size > self.path.stat().st_size:
            raise UserError(f"{self.path}: damaged: {name} does not hold plain bytes")
        return info

    def _open(self, storage: Storage) -> IO[bytes]:
        info = self._plain(f"{self._folder}data/{storage.key}")
        if info.file_size != storage.nbytes:
            raise UserError(f"{self.path}: damaged: {info.filename} has an odd length")
        return self._zip.open(info)

    def close(self) -> None:
        self._zip.close()


_PIECE = 1 << 22


def fill(target: np.ndarray, file: IO[bytes]) -> None:
    """Read as many bytes of a file as `target` holds, piece by piece."""
    done = 0
    while piece := file.read(min(_PIECE, len(target) - done)):
        target[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
        done += len(piece)
    if done != len(target):
        raise EOFError("it ends early")
