"""Statistics of batch norms after a training.

They are those of its averaged weights, with which no step has been computed.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from diffae.train.images import Images

BATCH, BATCHES = 128, 64


class _Shown(nn.Module):
    def __init__(self, network: nn.Module, show: Callable[[Tensor], object]):
        super().__init__()
        self.network, self.show = network, show

    def forward(self, images: Tensor) -> object:
        return self.show(images)


def settle(network: nn.Module, show: Callable[[Tensor], object], data: Images) -> None:
    """Set the statistics of every batch norm of `network` to their mean over batches.

    `show` passes the batches through it: the first 8,192 training images in whole batches, or all
    of fewer. Leaves the network in evaluation mode.
    """
    whole = max(1, len(data) // BATCH)
    places = torch.arange(len(data)).split(BATCH)[: min(whole, BATCHES)]
    update_bn((data.batch(place) for place in places), _Shown(network, show))
    network.eval()
