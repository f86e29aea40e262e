"""Networks of the published shapes that cost little: Inception and the trunks of LPIPS with few layers.

Libraries build the published ones; `lighten` gives these in their place, and `write_light_weights`
writes their random weights under the published names.
"""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from benchmarks.weights import KNOWN

# For each slice of a trunk whose features lpips compares: its last layer, and its channels.
TRUNKS = {
    "alexnet": {1: 64, 4: 192, 7: 384, 9: 256, 11: 256},
    "vgg16": {3: 64, 8: 128, 15: 256, 22: 512, 29: 512},
}


class Inception(nn.Module):
    """299 px -> 2,048 features, with the name that the last layer of Inception-v3 has."""

    def __init__(self, *_, **__) -> None:
        super().__init__()
        self.filters = nn.Conv2d(3, 32, 13, 13)
        self.fc = nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = nn.functional.adaptive_avg_pool2d(self.filters(images).relu(), 8)
        return self.fc(found.flatten(1))


def trunk(name: str) -> nn.Sequential:
    """A convolution at the begin of each slice, a rectifier at its end, and nothing between."""
    layers: list[nn.Module] = []
    width = 3
    for last, channels in TRUNKS[name].items():
        size = 1 if layers else 4  # the pixels of a feature, which no other shares
        layers.append(nn.Conv2d(width, channels, size, size))
        layers += [nn.Identity() for _ in range(last - len(layers))] + [nn.ReLU()]
        width = channels
    return nn.Sequential(*layers)


def lighten(patch: pytest.MonkeyPatch) -> None:
    """Let torchvision and pytorch-fid build these networks."""
    patch.setattr("pytorch_fid.inception._inception_v3", Inception)
    for block in ("FIDInceptionA", "FIDInceptionC", "FIDInceptionE_1", "FIDInceptionE_2"):
        patch.setattr(f"pytorch_fid.inception.{block}", nn.Identity)
    for name in TRUNKS:
        light = SimpleNamespace(features=trunk(name))
        patch.setattr(f"torchvision.models.{name}", lambda pretrained=False, light=light: light)


def write_light_weights(folder: Path) -> Path:
    torch.manual_seed(0)
    folder.mkdir(parents=True)
    states = {"inception": Inception().state_dict()}
    for name in TRUNKS:
        states[name] = {f"features.{key}": x for key, x in trunk(name).state_dict().items()}
    for name, state in states.items():
        torch.save(state, folder / KNOWN[name].files[-1].filename)
    return folder
