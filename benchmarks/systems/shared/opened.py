"""Systems whose weights come from the authors' file, a folder of our format, or the package."""

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from benchmarks.systems.protocol.base import System
from benchmarks.systems.shared import containers, folder
from benchmarks.systems.shared.address import Choices, read_address
from diffae.checkpoints import trained_on
from diffae.system.files import sha256


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
        self.source = place or folder.shipped(self.name, self.title, self.example)
        self.device = device
        config: Any
        if folder.is_folder(self.source):
            _, self.options = read_address(path, {**self.choices, **self.choices_of_ours})
            config = folder.read_config(self.source, self.name.partition("-")[0], self.config_class)
            file, digest = self.source / folder.WEIGHTS, folder.fingerprint(self.source)
            tensors = folder.read_safetensors(file)
        else:
            config, tensors = self._read(self.source)
            file, digest = self.source, sha256(self.source)
        with torch.device("meta"):  # no memory for weights: those of the file replace them
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
