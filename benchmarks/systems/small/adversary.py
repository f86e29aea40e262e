"""The critics of VQ-GAN: a perceptual distance that is cheap enough to train by, and a discriminator of patches.

Esser et al., "Taming transformers for high-resolution image synthesis", 2021, Section 3.1; the discriminator is pix2pix's (Isola
et al., 2017).
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from benchmarks.metrics import weights
from benchmarks.metrics.features import resize
from benchmarks.metrics.perceptual import effnet_distance, normalised_distance
from reports.metrics import EFFNET

SEEN_AT = 32  # px; the metric looks at 128 px, which takes sixteen times as long


class Eye:
    """EfficientNet-lite0's distance between images N x 3 x S x S in [-1, 1], with gradients: the mean over images."""

    def __init__(self, device: torch.device | str):
        path = weights.load_path(EFFNET, None, allow_unknown=False)
        self.network = effnet_distance(path, torch.device(device)).module.network

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        with torch.autocast(
            a.device.type, enabled=False
        ):  # its depthwise convolutions are faster so
            with torch.no_grad():
                sought = self._stages(b.float())
            pairs = zip(self._stages(a.float()), sought, strict=True)
            return torch.stack([normalised_distance(*pair) for pair in pairs]).mean()

    def _stages(self, images: Tensor) -> list[Tensor]:
        large = resize(images, SEEN_AT).contiguous(memory_format=torch.channels_last)
        return self.network.forward_intermediates(large, intermediates_only=True)  # type: ignore[operator, union-attr]


class Patches(nn.Sequential):
    """A number for each patch of an image, high where it is real: two halvings of the side, groups instead of batch norms."""

    def __init__(self, channels: int):
        super().__init__(
            nn.Conv2d(3, channels, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(channels, 2 * channels, 4, 2, 1, bias=False),
            nn.GroupNorm(8, 2 * channels),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * channels, 4 * channels, 4, 1, 1, bias=False),
            nn.GroupNorm(8, 4 * channels),
            nn.LeakyReLU(0.2),
            nn.Conv2d(4 * channels, 1, 4, 1, 1),
        )

    def without_learning(self, images: Tensor) -> Tensor:
        """The same numbers, with gradients to the images only."""
        state = {name: value.detach() for name, value in self.named_parameters()}
        return functional_call(self, state, (images,))


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's loss: 1/2 (relu(1 - real) + relu(1 + fake))."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())


def balanced(
    image: Tensor, last: Tensor, reconstruction: Tensor, adversarial: Tensor, weight: float
) -> Tensor:
    """A scalar with the value and the gradient of `reconstruction` + w `adversarial`, both of `image`, where

        w = weight |d reconstruction / d last| / (|d adversarial / d last| + 1e-4)

    (eq. 7) with `last` the weights of the last layer. The gradients of the two losses are taken once, with respect
    to the image.
    """
    by_loss = [
        torch.autograd.grad(loss, image, retain_graph=True)[0]
        for loss in (reconstruction, adversarial)
    ]
    sizes = [
        torch.autograd.grad(image, last, grad, retain_graph=True)[0].float().norm()
        for grad in by_loss
    ]
    w = weight * (sizes[0] / (sizes[1] + 1e-4)).clamp(max=1e4)
    grad = (by_loss[0] + w.to(by_loss[0]) * by_loss[1]).detach()
    value = (reconstruction + w * adversarial).detach()
    towards = (image * grad).sum()
    return value + towards - towards.detach()
