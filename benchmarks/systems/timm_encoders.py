"""Any encoder of timm by its name, `timm:NAME`, with weights from a local file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.systems.protocol.base import System
from benchmarks.systems.shared import containers
from benchmarks.systems.shared.address import read_address
from diffae.system.cli import did_you_mean
from diffae.system.errors import UserError
from diffae.system.files import file_size


class TimmNamed(System):
    """An encoder of timm, whose code is what its classifier takes; published weights, from a file"""

    reference = True
    capabilities = frozenset({"semantic"})

    def __init__(self, model: str, path: str | Path | None, device: torch.device):
        import timm
        from timm.data import resolve_model_data_config

        if model not in (known := timm.list_models()):
            hint = did_you_mean(model, known)
            raise UserError(f"timm:{model}: timm has no model of that name{hint}")
        if path is None:
            raise UserError(f"timm:{model}: needs its weights: --ckpt timm:{model}=PATH")
        file = read_address(path, {}).path or Path(path)
        tensors = _tensors(file)  # before the network, which may take gigabytes
        network: Any = timm.create_model(model, pretrained=False)
        containers.give(network, tensors, file)
        network.reset_classifier(0)
        self.network, self.device = network.eval().to(device), device
        self.data = resolve_model_data_config(network)
        self.model, self.title, self.name = model, model, f"timm-{model}"
        self.latent_dim = int(network.num_features)
        self.fingerprint = f"timm-{model}-{containers.sha256(file)}"[:200]

    def describe(self) -> Mapping[str, Any]:
        return {"encoder": self.model, "input": self._side, "resized": "bilinear with antialiasing"}

    @property
    def _side(self) -> int:
        return int(self.data["input_size"][-1])

    def encode_semantic(self, images: Tensor) -> Tensor:
        """Features of images N x 3 x S x S in [-1, 1].

        Images are resized and normalised with the size, mean and deviation that the encoder was
        trained with.
        """
        x = (images.to(self.device) + 1) / 2
        x = F.interpolate(x, (self._side, self._side), mode="bilinear", antialias=True)
        mean, std = (x.new_tensor(self.data[key])[:, None, None] for key in ("mean", "std"))
        return self.network((x - mean) / std)

    def networks(self) -> dict[str, nn.Module]:
        return {"encoder": self.network}


def _tensors(path: Path) -> dict[str, Tensor]:
    """The weights of a safetensors or torch.save file, whose state dict may be nested under a name."""
    if path.suffix == ".safetensors":
        file_size(path)
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path}: not readable ({error})") from None
    with containers.opened(path) as file:
        content = containers.entries(file.content)
        state = content.get("state_dict", content.get("model", content))
        return containers.take(file, state, path)
