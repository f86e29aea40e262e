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
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

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

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

WEIGHTS = "model.safetensors"

C = TypeVar("C", bound="DataclassInstance")
N = TypeVar("N", bound=nn.Module)


def is_folder(path: Path) -> bool:
    """Whether `path` is such a folder, judged by file names."""
    return (path / CONFIG).is_file() and (path / WEIGHTS).is_file()


def shipped(system: str, title: str, example: str) -> Path:
    """The folder of the small version that ships with the package.

    Raises NotAvailable, saying which file to give, if there is none.
    """
    folder = PACKAGED / system.partition("-")[0]
    if not is_folder(folder):
        hint = f"give one: --ckpt {system}={example}"
        raise NotAvailable(f"no {title} ships with this package; {hint}")
    return folder


def write(
    network: nn.Module, system: str, config: C, folder: Path, dtype: torch.dtype = torch.float16
) -> None:
    """Write configuration and weights, each file whole or not at all."""
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
    values = read_json(path)
    owner = values.pop("system", None)
    if owner != system:
        hint = f"say --ckpt {owner}={folder}"
        raise UserError(f"{path}: is of system {owner!r}, not {system!r}; {hint}")
    names = {field.name for field in fields(kind)}
    if odd := sorted(names ^ values.keys()):
        raise UserError(f"{path}: fields missing or not known: {', '.join(odd)}")
    config = kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    check(config, f"{path}: ")
    return config


def fingerprint(folder: Path) -> str:
    """SHA-256 of weights and configuration, under which results are stored."""
    digest = hashlib.sha256((folder / CONFIG).read_bytes())
    digest.update(sha256(folder / WEIGHTS).encode())
    return digest.hexdigest()


# ----------------------------------------------------------------------------------------------
# Systems whose weights come from the authors' file, a folder of our format, or the package


class Opened(System, Generic[C, N]):
    """Base class of systems whose weights come from a file.

    C is the dataclass of the network's configuration, `config_class`, and N the network's class,
    `network`. `choices` are the options; `choices_of_ours` are those with different defaults for a
    folder of our format. `example` is the name of a file of the authors. A subclass reads the authors'
    file (`_read`) and sets the fields that follow from the configuration (`_set_sizes`).
    """

    choices: ClassVar[Choices] = {}
    choices_of_ours: ClassVar[Choices] = {}
    example: ClassVar[str]
    config_class: type[C]
    network: type[N]

    def __init__(self, path: str | Path | None, device: torch.device):
        place, self.options = read_address(path, self.choices)
        self.source = place or shipped(self.name, self.title, self.example)
        self.device = device
        if is_folder(self.source):
            _, self.options = read_address(path, {**self.choices, **self.choices_of_ours})
            config = read_config(self.source, self.name.partition("-")[0], self.config_class)
            file, digest = self.source / WEIGHTS, fingerprint(self.source)
            tensors = read_tensors(file)
        else:
            config, tensors = self._read(self.source)
            file, digest = self.source, sha256(self.source)
        with without_weights():
            self.model = self._build(config)
        containers.give(self.model, tensors, file)
        self.fingerprint = "-".join((digest, *self.options.values()))
        self.trained_on = trained_on.read(self.source)
        self._set_sizes(config)
        self.model.to(device)

    def _read(self, path: Path) -> tuple[C, dict[str, Tensor]]:
        """The configuration and the tensors of the authors' file, under the network's names."""
        raise NotImplementedError

    def _build(self, config: C) -> N:
        return self.network(config)

    def _set_sizes(self, config: C) -> None:
        """Set the fields that follow from the configuration."""
        raise NotImplementedError

    def networks(self) -> dict[str, nn.Module]:
        return {self.title: self.model}
