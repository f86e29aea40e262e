"""Checkpoints of this project for systems other than DiffAE and DDIM: a folder of three files.

config.json         {"system": "vqvae2", ...the fields of the network's configuration}
model.safetensors   its weights, float16 or float32
training.json       what it was trained on (diffae.checkpoints.trained_on)

`Opened` is the base of the systems that read them.
"""

import hashlib
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from benchmarks.runtime.errors import NotAvailable
from benchmarks.systems.protocol.base import System
from benchmarks.systems.shared import containers
from benchmarks.systems.shared.recognised import CONFIG, PACKAGED, Choices, read_address, read_json
from diffae.checkpoints import trained_on
from diffae.checkpoints.checkpoint import read_tensors, write_tensors
from diffae.networks.nn import without_weights
from diffae.system.errors import UserError
from diffae.system.files import sha256
from diffae.system.settings import check
from diffae.system.whole import write_whole

WEIGHTS = "model.safetensors"

C = TypeVar("C")


def is_folder(path: Path) -> bool:
    """Whether `path` is such a folder, judged by file names."""
    return (path / CONFIG).is_file() and (path / WEIGHTS).is_file()


def shipped(system: str, title: str, example: str) -> Path:
    """The folder of the small version that ships with the package.

    Raises NotAvailable, saying which file to give, if there is none.
    """
    found = PACKAGED / system.partition("-")[0]
    if not is_folder(found):
        hint = f"give one: --ckpt {system}={example}"
        raise NotAvailable(f"no {title} ships with this package; {hint}")
    return found


def write(
    network: nn.Module, system: str, config: Any, folder: Path, dtype: torch.dtype = torch.float16
) -> None:
    """Write configuration (a dataclass) and weights, each file whole or not at all."""
    state = network.state_dict()
    for name in [name for name in state if name.endswith("num_batches_tracked")]:
        del state[name]
    state = {k: v.cpu().to(dtype) if v.is_floating_point() else v for k, v in state.items()}
    text = json.dumps({"system": system, **asdict(config)}, indent=2) + "\n"
    write_whole(folder / CONFIG, text.encode())
    write_tensors(state, folder / WEIGHTS)


def read_config(folder: Path, system: str, kind: type[C]) -> C:
    """The configuration of a folder, a dataclass `kind`.

    Raises UserError, naming the file and the field, if it is not one of `system`.
    """
    path = folder / CONFIG
    found = read_json(path)
    theirs = found.pop("system", None)
    if theirs != system:
        hint = f"say --ckpt {theirs}={folder}"
        raise UserError(f"{path}: is of system {theirs!r}, not {system!r}; {hint}")
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if odd := sorted(known ^ found.keys()):
        raise UserError(f"{path}: fields missing or not known: {', '.join(odd)}")
    config = kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in found.items()})
    check(config, f"{path}: ")
    return config


def fingerprint(folder: Path) -> str:
    """SHA-256 of weights and configuration, under which results are stored."""
    digest = hashlib.sha256((folder / CONFIG).read_bytes())
    digest.update(sha256(folder / WEIGHTS).encode())
    return digest.hexdigest()


# ----------------------------------------------------------------------------------------------
# Systems whose weights come from the authors' file, a folder of our format, or the package


class Opened(System):
    """Base class of systems whose weights come from a file.

    `choices` are its options; `choices_of_ours` are those with different defaults for a folder of
    our format. `example` is the name of a file of the authors, `config_class` the dataclass of the
    network's configuration, `network` the network's class. A subclass reads the authors' file
    (`_read`) and sets the fields that follow from the configuration (`_set_sizes`).
    """

    choices: ClassVar[Choices] = {}
    choices_of_ours: ClassVar[Choices] = {}
    example: ClassVar[str]
    config_class: ClassVar[type]
    network: ClassVar[type[nn.Module]]

    def __init__(self, path: str | Path | None, device: torch.device):
        place, self.options = read_address(path, self.choices)
        self.source = place or shipped(self.name, self.title, self.example)
        self.device = device
        config: Any
        if is_folder(self.source):
            _, self.options = read_address(path, {**self.choices, **self.choices_of_ours})
            config = read_config(self.source, self.name.partition("-")[0], self.config_class)
            file, digest = self.source / WEIGHTS, fingerprint(self.source)
            tensors = read_tensors(file)
        else:
            config, tensors = self._read(self.source)
            file, digest = self.source, sha256(self.source)
        with without_weights():
            self.model: Any = self._build(config)
        containers.give(self.model, tensors, file)
        self.fingerprint = "-".join((digest, *self.options.values()))
        self.trained_on = trained_on.read(self.source)
        self._set_sizes(config)
        self.model.to(device)

    def _read(self, path: Path) -> tuple[Any, dict[str, Tensor]]:
        """The configuration and the tensors of the authors' file, under the network's names."""
        raise NotImplementedError

    def _build(self, config: Any) -> nn.Module:
        return self.network(config)

    def _set_sizes(self, config: Any) -> None:
        """Set the fields that follow from the configuration."""
        raise NotImplementedError

    def networks(self) -> dict[str, nn.Module]:
        return {self.title: self.model}
