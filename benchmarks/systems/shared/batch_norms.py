"""Statistics of batch norms after a training.

They are those of its averaged weights, with which no step has been computed.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from diffae.train.images import Images

BATCH, BATCHES = 128, 64


@torch.no_grad()
def settle(network: nn.Module, show: Callable[[Tensor], object], data: Images) -> None:
    """Set the statistics of every batch norm of `network` to their mean over batches.

    `show` passes the batches through it: the first 8,192 training images, or all of fewer. Leaves
    the network in evaluation mode.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over batches
    network.train()
    for batch in _batches(data):
        show(batch)
    network.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _batches(data: Images) -> Iterator[Tensor]:
    """Whole batches, or the only one."""
    whole = max(1, len(data) // BATCH)
    for i in range(min(whole, BATCHES)):
        yield data.batch(torch.arange(i * BATCH, min((i + 1) * BATCH, len(data))))
