"""Networks whose features Frechet distances are computed on.

- Inception-v3 of Heusel et al., 2017, in pytorch-fid's port, with pytorch-fid's own preprocessing: `fid`.
- EfficientNet-lite0 trained on ImageNet, the stand-in without Inception's weights, as it ships as a package. Its
  distances have a different scale and name (`reports.records.metrics`) and must not be read as FID.

Images enter as uint8, as if read from files: a distance to a data set of files is only fair after
the same rounding.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.metrics import weights
from benchmarks.metrics.folding import without_batch_norms
from benchmarks.runtime.batches import Batches
from diffae.system.errors import UserError
from reports.records.metrics import EFFNET, seen_through

INCEPTION_SIZE, INCEPTION_DIM = 299, 2048

# Every image is resized to this size for EfficientNet-lite0: one size, one protocol.
# Half of the 224 px that it was trained at costs a third of the time, and small images would hold
# no more detail at 224 px.
EFFNET_SIZE, EFFNET_DIM = 128, 1280

CPU_BATCH = 16  # more images at once do not fit the cache and take half as long again


@dataclass(frozen=True)
class FeatureNetwork:
    """Maps images to features: uint8 N x 3 x H x W -> float32 [N, dim] on `device`.

    `network` is the name of its weights. A distance over these features is only reported under
    `metric_name`.
    """

    name: str
    metric_name: str
    network: str
    dim: int
    input_size: int
    resize: str
    sha256: str
    device: torch.device
    module: nn.Module
    batches: Batches = field(default_factory=Batches, compare=False)

    @torch.no_grad()
    def __call__(self, images_uint8: Tensor) -> Tensor:
        if images_uint8.dtype != torch.uint8:
            raise TypeError(f"feature networks take uint8 images, not {images_uint8.dtype}")
        at_once = CPU_BATCH if self.device.type == "cpu" else max(len(images_uint8), 1)

        def features(place: slice) -> Tensor:
            images = images_uint8[place].to(self.device).float().div(255)
            images = images.contiguous(memory_format=torch.channels_last)
            return torch.cat([self.module(part) for part in images.split(at_once)])

        return torch.cat(self.batches.each(self.metric_name, len(images_uint8), features))

    def describe(self) -> dict[str, str | int]:
        """The protocol's description: two distances are comparable only if all of it is equal."""
        return {
            "feature_network": self.name,
            "feature_sha256": self.sha256,
            "feature_dim": self.dim,
            "feature_input_size": self.input_size,
            "feature_resize": self.resize,
            "feature_dtype": "float32",
            **weights.unpublished("feature", self.sha256),
        }


class _Prepared(nn.Module):
    """A network of images in [-1, 1], for images in [0, 1], which `prepare` resizes."""

    def __init__(self, network: nn.Module, prepare: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.prepare = network, prepare

    def forward(self, images: Tensor) -> Tensor:
        return self.network(2 * self.prepare(images) - 1)


def inception(path: Path, device: torch.device) -> FeatureNetwork:
    """The FID network with the weights of the file `path`: features of the last pooling layer.

    Images are resized to 299 px, bilinear without antialiasing, as in pytorch-fid.
    """
    network = _fid_inception_v3()
    try:
        network.load_state_dict(weights.read_state(path))
    except (RuntimeError, TypeError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise UserError(f"{path}: not the weights of FID's Inception-v3: {first_line}") from None
    network.fc = nn.Identity()
    prepare = partial(
        F.interpolate, size=(INCEPTION_SIZE, INCEPTION_SIZE), mode="bilinear", align_corners=False
    )
    return FeatureNetwork(
        name="inception-v3 (pytorch-fid)",
        metric_name=seen_through("fid", "inception"),
        network="inception",
        dim=INCEPTION_DIM,
        input_size=INCEPTION_SIZE,
        resize="bilinear, no antialiasing",
        sha256=weights.sha256(path),
        device=device,
        module=frozen(_Prepared(without_batch_norms(network), prepare), device),
    )


def _fid_inception_v3() -> nn.Module:
    """torchvision's Inception-v3 with pytorch-fid's blocks: `fid_inception_v3` without download."""
    from pytorch_fid.inception import (
        FIDInceptionA,
        FIDInceptionC,
        FIDInceptionE_1,
        FIDInceptionE_2,
        _inception_v3,
    )

    network = _inception_v3(num_classes=1008, aux_logits=False, weights=None)
    network.Mixed_5b = FIDInceptionA(192, pool_features=32)
    network.Mixed_5c = FIDInceptionA(256, pool_features=64)
    network.Mixed_5d = FIDInceptionA(288, pool_features=64)
    network.Mixed_6b = FIDInceptionC(768, channels_7x7=128)
    network.Mixed_6c = FIDInceptionC(768, channels_7x7=160)
    network.Mixed_6d = FIDInceptionC(768, channels_7x7=160)
    network.Mixed_6e = FIDInceptionC(768, channels_7x7=192)
    network.Mixed_7b = FIDInceptionE_1(1280)
    network.Mixed_7c = FIDInceptionE_2(2048)
    return network


@cache  # `evaluate` may be called many times in a process
def efficientnet_lite0(path: Path, device: torch.device) -> FeatureNetwork:
    """EfficientNet-lite0 with the weights of the file `path`: features before its classifier."""
    network = effnet_lite0(path)
    network.reset_classifier(0)  # type: ignore[operator]
    prepare = partial(resize, size=EFFNET_SIZE)
    return FeatureNetwork(
        name="efficientnet-lite0 (ImageNet-1k)",
        metric_name=seen_through("fid", EFFNET),
        network=EFFNET,
        dim=EFFNET_DIM,
        input_size=EFFNET_SIZE,
        resize="bilinear, antialiased",
        sha256=weights.sha256(path),
        device=device,
        module=frozen(_Prepared(without_batch_norms(network), prepare), device),
    )


def effnet_lite0(path: Path) -> nn.Module:
    """timm's EfficientNet-lite0, classifier included, with the weights of the file `path`.

    It takes images in [-1, 1]. The file comes from a different implementation: its names differ, its
    order does not.
    """
    import timm

    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    theirs, ours = list(weights.read_state(path).values()), network.state_dict()
    if [value.shape for value in theirs] != [value.shape for value in ours.values()]:
        raise UserError(
            f"{path}: not the weights of EfficientNet-lite0: number or shapes of tensors differ"
        )
    network.load_state_dict(dict(zip(ours, theirs, strict=True)))
    return network


def resize(images: Tensor, size: int) -> Tensor:
    """Square images resized to `size` px: bilinear, antialiased; unchanged if they have that size."""
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(
        images, size=(size, size), mode="bilinear", align_corners=False, antialias=True
    )


def frozen(module: nn.Module, device: torch.device) -> nn.Module:
    """The module for evaluation on `device`, with the memory layout that convolutions are fastest in."""
    module = module.eval().requires_grad_(False).to(device)
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
