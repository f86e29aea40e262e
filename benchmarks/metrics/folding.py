"""Batch norms folded into the convolutions before them: the same function of an image, in fewer passes over memory."""

from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def without_batch_norms(network: nn.Module) -> nn.Module:
    """`network` itself, frozen in evaluation mode, each batch norm folded into the convolution registered before it.

    That a norm is applied to what is registered before it holds for Inception-v3 and for timm's EfficientNets (a
    test compares their features). It is folded in float64 and rounded once.
    """
    network.eval().requires_grad_(False).double()
    for module in list(network.modules()):
        for (conv_name, conv), (norm_name, norm) in pairwise(list(module.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(module, norm_name, _rest_of(norm))
    return network.float()


def _rest_of(norm: nn.BatchNorm2d) -> nn.Module:
    """timm's batch norms have an activation inside."""
    activation = getattr(norm, "act", None)
    return activation if isinstance(activation, nn.Module) else nn.Identity()
