"""Networks whose features Frechet distances are computed on.

They are in `inception.py` (the one of FID), below (EfficientNet-lite0, the stand-in without
Inception's weights) and in `vision_transformers.py` (DINOv2 and CLIP). Distances over the features
of different networks have different scales and names (`reports.records.metrics`).

Images enter as uint8, as if read from files: a distance to a data set of files is only fair after
the same rounding. Protocols that do not round give floats to Inception, which takes both.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from benchmarks import weights
from benchmarks.metrics.pixel import resize
from benchmarks.runtime.calling import Batches
from diffae.networks.nn import without_weights
from diffae.system.errors import UserError
from reports.records.metrics import EFFNET, seen_through

CPU_BATCH = 16  # more images at once do not fit the cache and take half as long again


@dataclass(frozen=True)
class FeatureNetwork:
    """Maps images to features: uint8 N x 3 x H x W -> [N, dim] in `dtype` on `device`.

    `takes` are the types of images: floats are in [0, 255] too. `prepare` makes the input of
    `module` of them: resized to `input_size` px and scaled, as
    the network's authors do. `network` is the name of its weights, `published` whether they are the
    published ones. A distance over these features is only reported under `metric_name`.
    `position_embedding` says how that of a transformer was made to fit `input_size`, if it was.
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
    prepare: Callable[[Tensor], Tensor]
    published: bool = True
    position_embedding: str = ""
    dtype: torch.dtype = torch.float32
    takes: tuple[torch.dtype, ...] = (torch.uint8,)
    batches: Batches = field(default_factory=Batches, compare=False)

    @property
    def takes_floats(self) -> bool:
        """Whether images need not be rounded to 8 bits, nor lie in [0, 255]."""
        return torch.float32 in self.takes

    @property
    def array(self) -> str:
        """The name of its features among the arrays of a chunk of the store."""
        return f"features.{self.network}"

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        if images.dtype not in self.takes:
            raise TypeError(f"{self.network} takes {self.takes} images, not {images.dtype}")
        at_once = CPU_BATCH if self.device.type == "cpu" else max(len(images), 1)

        def features(place: slice) -> Tensor:
            parts = images[place].to(self.device).split(at_once)
            return torch.cat([self.module(self.prepare(part).to(self.device)) for part in parts])

        return torch.cat(self.batches.each(self.metric_name, len(images), features))

    def describe(self) -> dict[str, str | int]:
        """The protocol's description: two distances are comparable only if all of it is equal."""
        embedding = self.position_embedding
        return {
            "feature_network": self.name,
            "feature_sha256": self.sha256,
            "feature_dim": self.dim,
            "feature_input_size": self.input_size,
            "feature_resize": self.resize,
            "feature_dtype": str(self.dtype).removeprefix("torch."),
            **({"feature_position_embedding": embedding} if embedding else {}),
            **weights.unpublished("feature", self.published),
        }


def from_zero_to_one(images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Images in [0, 255] -> in [0, 1], with the memory layout that convolutions are fastest in."""
    return images.to(dtype).div(255).contiguous(memory_format=torch.channels_last)


def frozen(module: nn.Module, device: torch.device) -> nn.Module:
    """The module for evaluation on `device`, with the memory layout that convolutions are fastest in."""
    module = module.eval().requires_grad_(False).to(device)
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def without_batch_norms(network: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Fold each batch norm of `network` into the convolution before it: the same function in fewer passes.

    `network` itself is changed and frozen in evaluation mode. That a norm is applied to what is
    registered before it holds for Inception-v3 and for timm's EfficientNets (a test compares their
    features). Folding is done in float64 and rounded once, to `dtype`.
    """
    network.eval().requires_grad_(False).double()
    for module in list(network.modules()):
        for (conv_name, conv), (norm_name, norm) in pairwise(list(module.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
                # what remains of a norm: timm's contain an activation
                setattr(module, norm_name, getattr(norm, "act", nn.Identity()))
    return network.to(dtype)


# ----------------------------------------------------------------------------------------------
# EfficientNet-lite0 trained on ImageNet, the stand-in without Inception's and AlexNet's weights. It ships as a package. Its
# distances have a different scale and name and must not be read as FID

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

    with without_weights():
        network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    theirs, ours = list(weights.read_state(path).values()), network.state_dict()
    if [value.shape for value in theirs] != [value.shape for value in ours.values()]:
        raise UserError(
            f"{path}: not the weights of EfficientNet-lite0: number or shapes of tensors differ"
        )
    network.load_state_dict(dict(zip(ours, theirs, strict=True)), assign=True)
    return network
