"""The state of a training on disk: safetensors, written whole or not at all.

The newest two states are kept. If the newest is unreadable or its checksum does
not match, because a disk or a copy has damaged it, the previous one is used.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from diffae.checkpoints.checkpoint import write_tensors_to
from diffae.system.cli import say
from diffae.system.errors import UserError
from diffae.system.whole import whole_file

DIGEST = "sha256"  # of a state, in the metadata of its file
PREVIOUS = ".previous"  # at the end of the name of the previous state


@dataclass(frozen=True)
class State:
    """The content of a file: tensors by name, the progress of the training, and its duration."""

    tensors: dict[str, Tensor]
    step: int
    skipped: int
    precision: str
    seconds: float


class _Damaged(Exception):
    """A file that is not the state of a training, or not as it was written."""


def save(path: Path, state: State, identity: str) -> None:
    """Save `state` as the newest, and keep the previous one.

    Raises UserError if the disk is full or cannot be written.
    """
    progress = {name: str(value) for name, value in vars(state).items() if name != "tensors"}
    notes = {**progress, "identity": identity}
    notes[DIGEST] = digest(state.tensors, notes)
    try:
        with whole_file(path) as partial:
            write_tensors_to(partial, state.tensors, notes)
            if path.exists():
                path.replace(previous(path))
    except (OSError, SafetensorError) as error:
        remedy = "make room, then run the same command again to resume"
        raise UserError(f"{path.parent}: cannot save ({error}); {remedy}") from None


def load(path: Path, identity: str) -> State | None:
    """The newest state that is whole, or None if there is none.

    Raises UserError if it belongs to a different training, or if both states are damaged.
    """
    states = [place for place in (path, previous(path)) if place.exists()]
    for place in states:
        try:
            return _read(place, identity)
        except _Damaged as error:
            say(f"{place}: damaged ({error}); looking for the state before it")
    if states:
        raise UserError(f"{path}: damaged, as are all before it; remove them to start from scratch")
    return None


def step_on_disk(path: Path) -> int:
    """The step of the newest state that can be read, without reading its tensors.

    It is 0 if there is none. If the states are damaged, `load` reports it.
    """
    for place in (path, previous(path)):
        try:
            with safe_open(place, "pt") as file:
                return int((file.metadata() or {})["step"])
        except (OSError, SafetensorError, ValueError, KeyError):
            continue
    return 0


def previous(path: Path) -> Path:
    """The path of the state that was the newest before that of `path`."""
    return path.with_name(path.name + PREVIOUS)


def digest(tensors: dict[str, Tensor], notes: dict[str, str]) -> str:
    """The SHA-256 of a state: safetensors has no checksum of its own."""
    sha = hashlib.sha256(json.dumps(notes, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def _read(path: Path, identity: str) -> State:
    try:
        with safe_open(path, "pt") as file:
            notes = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        if notes.pop(DIGEST) != digest(tensors, notes):
            raise _Damaged("the checksum does not match")
        if notes["identity"] != identity:
            raise UserError(f"{path}: belongs to a different training; choose another --out")
        numbers = int(notes["step"]), int(notes["skipped"])
        return State(tensors, *numbers, notes["precision"], float(notes["seconds"]))
    except (OSError, SafetensorError, ValueError) as error:
        raise _Damaged(str(error)) from None
    except KeyError as error:
        raise _Damaged(f"field {error} is missing") from None
