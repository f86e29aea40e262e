"""Systems with weights from the authors' file, from a folder of this project, or with the package."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from benchmarks.systems.protocol.base import System
from benchmarks.systems.shared import containers, folder
from benchmarks.systems.shared.address import Choices, read_address
from diffae.checkpoints import trained_on


class Opened(System):
    """Base class of systems with a network from a file.

    `choices` are its options, `example` a file of the authors', `config_class` the network's
    dataclass. A subclass counts the numbers of its code from the configuration (`_count`), makes
    the network (`_build`), and reads the authors' file (`_read`).
    """

    choices: ClassVar[Choices] = {}
    example: ClassVar[str]
    config_class: ClassVar[type]

    def __init__(self, path: str | Path | None, device: torch.device):
        address = read_address(path, self.choices)
        self.options, self.device = address.options, device
        self.source = address.path or folder.shipped(self.name, self.title, self.example)
        config: Any
        tensors: Mapping[str, Tensor]
        if folder.is_folder(self.source):
            config = folder.read_config(self.source, self.name, self.config_class)
            tensors, digest = folder.read_weights(self.source), folder.fingerprint(self.source)
            file = self.source / folder.WEIGHTS
        else:
            config, tensors = self._read(self.source)
            file, digest = self.source, containers.sha256(self.source)
        with torch.device("meta"):  # no memory for weights: those of the file come in their place
            self.model: Any = self._build(config)
        containers.give(self.model, tensors, file)
        self.model.to(device)
        self.fingerprint = "-".join((digest, *self.options.values()))
        self.trained_on = trained_on.read(self.source)
        self._count(config)

    def _read(self, path: Path) -> tuple[Any, Mapping[str, Tensor]]:
        """The configuration and the tensors of the authors' file, under the network's names."""
        raise NotImplementedError

    def _build(self, config: Any) -> nn.Module:
        raise NotImplementedError

    def _count(self, config: Any) -> None:
        """Set the fields that follow from the configuration."""
        raise NotImplementedError
