"""Read files of `torch.save` without running any code in them.

PyTorch's reader with `weights_only=True` builds tensors, numbers and containers of them, and refuses
every other name in a file. The files of trainings have such names: the class of a callback, or the
`argparse.Namespace` of the settings. Here each of them becomes a `StandIn`.

Tensors of a zip archive, the format since PyTorch 1.6, stay on disk until they are used.
"""

import pickletools
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffae.system.errors import UserError, reason, refuse_duplicates

LEGACY_PICKLES = 4  # of a file before PyTorch 1.6; the fourth is the object, and storages follow


class StandIn:
    """Replaces a class or function that a file names. It takes any arguments and does nothing.

    `values` are the attributes of the object in the file, such as the settings of a training.
    """

    values: Mapping[str, Any] = {}

    def __init__(self, *_: Any): ...

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.values = {str(name): value for name, value in state.items()}


def load(path: Path) -> Any:
    """The object in a file of `torch.save`, old or new.

    Raises UserError, naming the path, if it is of another format or damaged.
    """
    with reading(path):
        is_zip = zipfile.is_zipfile(path)
        if is_zip:
            _check_zip(path)
            names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        else:
            names = _names_in_legacy_file(path)
        with torch.serialization.safe_globals([(StandIn, name) for name in names]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)


def in_memory(state: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict in memory of their own.

    The rounding of a kernel may depend on the alignment of the weights, which is arbitrary in a file.
    Raises UserError naming the first entry that is not a tensor, or is larger than its storage.
    """
    for name, value in state.items():
        is_plain = isinstance(value, Tensor) and value.is_cpu and value.layout == torch.strided
        if not is_plain:
            raise UserError(f"{path}: holds {name:.80}, which is not a tensor")
        if value.nbytes > value.untyped_storage().nbytes():
            raise UserError(f"{path}: damaged: {name:.80} is larger than its storage")
    return {name: tensor.detach().clone() for name, tensor in state.items()}


@contextmanager
def reading(path: Path) -> Iterator[None]:
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
        # PyTorch replaces the error of its reader by advice on how to run the code in the file.
        why = reason(error.__context__ or error)
        raise UserError(
            f"{path}: damaged, cut short or of another format; download it again ({why:.200})"
        ) from None


def _check_zip(path: Path) -> None:
    """Refuse a compressed or damaged archive: PyTorch does not check a file that it maps."""
    with zipfile.ZipFile(path) as archive:
        refuse_duplicates(archive.namelist(), path, "entry")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise UserError(f"{path}: a compressed archive; torch.save writes none")
        if damaged := archive.testzip():
            raise UserError(f"{path}: damaged: bad CRC-32 of {damaged}; download it again")


def _names_in_legacy_file(path: Path) -> list[str]:
    with open(path, "rb") as file:
        opcodes = [op for _ in range(LEGACY_PICKLES) for op in pickletools.genops(file)]
    return [str(name).replace(" ", ".") for op, name, _ in opcodes if op.name == "GLOBAL"]
