"""Checkpoints: a folder with `model.safetensors` and `config.json`, or a file of the authors.

Nothing in either is ever executed.
"""

import hashlib
import json
import math
import os
import re
from collections.abc import Container, Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from diffae.checkpoints import hub, trained_on
from diffae.checkpoints.official import OfficialCheckpoint
from diffae.checkpoints.packaged import CONFIG, PACKAGED, packaged_names
from diffae.checkpoints.trained_on import NOTE, TrainedOn
from diffae.networks.config import ModelConfig, read_config
from diffae.system.errors import UserError, name_all
from diffae.system.files import file_size, sha256
from diffae.system.whole import whole_file, write_whole

WEIGHTS = "model.safetensors"
OFFICIAL = "last.ckpt"
FILES = (CONFIG, WEIGHTS, NOTE, "classifier.safetensors")  # of a folder of ours
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
LARGEST = 1e18  # of a weight: squares of ten times larger ones overflow float32
UNREAD = torch.empty(0)  # in place of a tensor that is not part of the model


class Folder:
    """A checkpoint of ours."""

    def __init__(self, path: Path):
        self.path = path
        self.config = read_config(path / CONFIG)

    def weights(self, expected: Iterable[str]) -> dict[str, Tensor]:
        """The tensors of the file by name. Those that are not `expected` are named but not read."""
        return read_tensors(self.path / WEIGHTS, set(expected))

    def fingerprint(self) -> str:
        """SHA-256 over configuration and weights: the key of cached results of this model."""
        digest = hashlib.sha256()
        for name in (CONFIG, WEIGHTS):
            digest.update(bytes.fromhex(sha256(self.path / name)))
        return digest.hexdigest()

    def trained_on(self) -> TrainedOn | None:
        """The record of its training, if it has one. Raises UserError if it is damaged."""
        return trained_on.read(self.path)


Checkpoint = Folder | OfficialCheckpoint


def open_checkpoint(path: str | Path) -> Checkpoint:
    """Open a checkpoint: our folder, the authors' `last.ckpt` (or its folder), or a packaged name.

    Each of the first two may be on the Hub: `hf://OWNER/NAME`, `hf://OWNER/NAME/last.ckpt` (hub.py).
    A bare name of a packaged model always means the packaged model, even if a folder of that name
    exists; `./portraits` is the folder. A `Path`, which drops the "./", is a folder if that holds a
    checkpoint. The configuration is read, the weights are not. Raises UserError.
    """
    path = hub.local(path)
    place = Path(path)
    if str(path) in packaged_names() and not (isinstance(path, Path) and _holds_checkpoint(place)):
        return Folder(PACKAGED / str(path))
    if place.name in (WEIGHTS, CONFIG):
        place = place.parent
    if _holds_checkpoint(place):
        return Folder(place)
    if (place / OFFICIAL).is_file():
        place = place / OFFICIAL
    if place.exists() and not place.is_dir():
        file_size(place)  # a pipe would block
        return OfficialCheckpoint(place)
    raise UserError(
        f"{path}: no such checkpoint: give a folder with {WEIGHTS} and {CONFIG}, the authors' {OFFICIAL}, or "
        f"the name of a packaged model ({', '.join(packaged_names())}){hub.hint(path)}"
    )


def _holds_checkpoint(folder: Path) -> bool:
    return all((folder / name).is_file() for name in (WEIGHTS, CONFIG))


def load_weights(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Load weights, in float32, into `model` (which may be on the meta device).

    Raises UserError naming the tensors that are missing, left over or invalid.
    """
    expected = model.state_dict()
    state = checkpoint.weights(expected)
    check_state(state, expected, str(checkpoint.path))
    model.load_state_dict({name: tensor.float() for name, tensor in state.items()}, assign=True)


def check_state(state: dict[str, Tensor], expected: dict[str, Tensor], source: str) -> None:
    """Raise UserError naming the tensors that are missing, left over, misshapen or not finite.

    A number too large for float32 counts as not finite; integer tensors are refused.
    """
    shared = state.keys() & expected.keys()
    floats = {name for name in shared if state[name].dtype in FLOATS}
    sizes = {name: _largest(state[name].float()) for name in floats}
    faults = {
        "missing": sorted(expected.keys() - state.keys()),
        "not part of the model": sorted(state.keys() - expected.keys()),
        "of a different shape": sorted(k for k in shared if state[k].shape != expected[k].shape),
        "of a dtype other than float16, bfloat16, float32 or float64": sorted(shared - floats),
        "not finite": sorted(k for k in floats if not math.isfinite(sizes[k])),
        f"of more than {LARGEST:g}, with which float32 cannot compute": sorted(
            k for k in floats if LARGEST < sizes[k] < math.inf
        ),
    }
    if text := name_all(faults):
        raise UserError(f"{source}: tensors {text}")


def _largest(tensor: Tensor) -> float:
    """The largest absolute value: NaN if any value is NaN, 0 for an empty tensor."""
    if not tensor.numel():
        return 0.0
    low, high = tensor.aminmax()  # one pass, without a copy
    return float(torch.maximum(-low, high))


def read_tensors(path: Path, wanted: Container[str] | None = None) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name, `UNREAD` for those that are not `wanted`.

    Raises UserError naming it.
    """
    try:
        with safe_open(path, "pt") as file:
            # Into memory that torch allocates: the rounding of a kernel may depend on the
            # alignment of its weights, which is arbitrary in a mapped file.
            return {
                name: file.get_tensor(name).clone() if wanted is None or name in wanted else UNREAD
                for name in file.keys()
            }
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not readable ({error}); download it again") from None


def write_tensors(
    tensors: dict[str, Tensor], path: Path, notes: dict[str, str] | None = None
) -> None:
    """Write a safetensors file, whole or not at all. Raises OSError.

    Tensors on a GPU are copied to the CPU first, so that the GPU needs no memory for it.
    """
    with whole_file(path) as partial:
        write_tensors_to(partial, tensors, notes)


def write_tensors_to(
    partial: Path, tensors: dict[str, Tensor], notes: dict[str, str] | None
) -> None:
    """Write a safetensors file to the partial file of a `whole_file`. Raises OSError."""
    here = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    try:
        save_file(here, partial, notes)
    except SafetensorError as error:  # the number of a disk error is in its text
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(partial)) from None


def save(model: nn.Module, config: ModelConfig, folder: Path, dtype: torch.dtype) -> None:
    """Write the two files of a checkpoint, the weights last."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(config.to_json(), indent=2) + "\n"
    write_whole(folder / CONFIG, text.encode())
    state = {name: tensor.cpu().to(dtype) for name, tensor in model.state_dict().items()}
    write_tensors(state, folder / WEIGHTS)
