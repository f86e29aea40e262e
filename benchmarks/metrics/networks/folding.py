"""Folding of batch norms into the convolutions before them.

The function stays the same, in fewer passes over memory.
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def without_batch_norms(network: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Fold each batch norm of `network` into the convolution registered before it.

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
