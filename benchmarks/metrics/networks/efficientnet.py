"""EfficientNet-lite0 trained on ImageNet, the stand-in without Inception's and AlexNet's weights.

It ships as a package. Its distances have a different scale and name and must not be read as FID.
"""

from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks import weights
from benchmarks.metrics.networks.features import (
    FeatureNetwork,
    from_zero_to_one,
    frozen,
    without_batch_norms,
)
from benchmarks.metrics.pixel import resize
from diffae.system.errors import UserError
from reports.records.metrics import EFFNET, seen_through

# Every image is resized to this size: one size, one protocol. Half of the 224 px that it was trained
# at costs a third of the time, and small images would hold no more detail at 224 px.
EFFNET_SIZE, EFFNET_DIM = 128, 1280


def efficientnet_lite0(path: Path, device: torch.device) -> FeatureNetwork:
    """EfficientNet-lite0 with the weights of the file `path`: features before its classifier."""
    return _efficientnet_lite0(path, weights.sha256(path), device)


@cache  # `evaluate` may be called many times in a process
def _efficientnet_lite0(path: Path, sha256: str, device: torch.device) -> FeatureNetwork:
    network = effnet_lite0(path)
    network.reset_classifier(0)  # type: ignore[operator]
    return FeatureNetwork(
        name="efficientnet-lite0 (ImageNet-1k)",
        metric_name=seen_through("fid", EFFNET),
        network=EFFNET,
        dim=EFFNET_DIM,
        input_size=EFFNET_SIZE,
        resize="bilinear, antialiased",
        sha256=sha256,
        published=weights.is_published(path),
        device=device,
        module=frozen(without_batch_norms(network), device),
        prepare=_prepare,
    )


def _prepare(images: Tensor) -> Tensor:
    return 2 * resize(from_zero_to_one(images), EFFNET_SIZE) - 1


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
