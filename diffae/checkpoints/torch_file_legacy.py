"""Read files of `torch.save` from before PyTorch 1.6 without running anything in them.

Such a file has five pickles one after another (a magic number, a protocol number, properties of the
machine, the object, the keys of its storages), and then, in the order of the keys, each storage: a
count (int64) and its numbers. Files of 2020 have this form (rosinality's VQ-VAE-2), and so have the
tensors within NVIDIA's pickles.
"""

import io
import pickle
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, Any

from diffae.checkpoints import torch_file
from diffae.system.errors import UserError

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
COUNT = 8  # bytes of a storage's count


class LegacyTorchFile(torch_file.SavedFile):
    """A file of the old `torch.save`.

    `stream` may be an open file or bytes in memory (`io.BytesIO`), and stays open as long as
    tensors are read. Raises UserError, naming `path`, if it is not such a file or is damaged.
    """

    def __init__(self, path: Path, stream: IO[bytes] | None = None):
        self.path = path
        with torch_file.unpickling(path):
            self._stream = open(path, "rb") if stream is None else stream
            self._size = self._stream.seek(0, io.SEEK_END)
            self._stream.seek(0)
            data = io.BytesIO(self._stream.read(torch_file.MOST_PICKLE))
            if _first(data) != MAGIC or torch_file.Unpickler(data).load() != PROTOCOL:
                raise UserError(f"{path}: not a checkpoint of torch.save (or cut short)")
            torch_file.Unpickler(data).load()  # properties of the machine that wrote it
            reader = _Unpickler(data)
            self.content = reader.load()
            keys = torch_file.Unpickler(data).load()
            if not isinstance(keys, list) or {str(key) for key in keys} != reader.storages.keys():
                raise pickle.UnpicklingError("its storages are others than its tensors name")
            storages = [reader.storages[str(key)] for key in keys]
            self._places = self._find(data.tell(), storages)

    def _find(self, start: int, storages: list[torch_file.Storage]) -> dict[str, int]:
        """The offset in the stream of the numbers of each storage."""
        places = {}
        for storage in storages:
            self._stream.seek(start)
            count = int.from_bytes(self._stream.read(COUNT), "little", signed=True)
            if count != storage.numel:
                raise pickle.UnpicklingError(f"storage {storage.key} has {count} numbers")
            places[storage.key] = start + COUNT
            start += COUNT + storage.nbytes
        if start > self._size:
            raise pickle.UnpicklingError("it ends early")
        return places

    def _open(self, storage: torch_file.Storage) -> AbstractContextManager[IO[bytes]]:
        self._stream.seek(self._places[storage.key])
        return nullcontext(self._stream)

    def close(self) -> None:
        self._stream.close()


class _Unpickler(torch_file.Unpickler):
    """References have a sixth part here, a view into another storage, which PyTorch no longer writes."""

    def __init__(self, data: IO[bytes]):
        super().__init__(data)
        self.storages: dict[str, torch_file.Storage] = {}

    def persistent_load(self, pid: Any) -> Any:
        *reference, view = pid
        if view is not None:
            raise pickle.UnpicklingError("a storage that is a view of another")
        storage = super().persistent_load(reference)
        return self.storages.setdefault(storage.key, storage)


def open_torch_file(path: Path) -> torch_file.TorchFile | LegacyTorchFile:
    """Open a file of torch.save, old or new. Raises UserError if it is neither."""
    return LegacyTorchFile(path) if is_legacy(path) else torch_file.TorchFile(path)


def is_legacy(path: Path) -> bool:
    with torch_file.unpickling(path), open(path, "rb") as file:
        return _first(io.BytesIO(file.read(64))) == MAGIC


def _first(data: IO[bytes]) -> Any:
    """The first pickle of a file, if it has one."""
    try:
        return torch_file.Unpickler(data).load()
    except Exception:  # in any case, it is not the magic number
        return None
