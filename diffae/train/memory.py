"""What a training step keeps in memory for its gradient, counted by the tensors that autograd saves."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def activation_bytes(network: nn.Module, loss: Callable[[], Tensor]) -> int:
    """Bytes of the tensors that the graph of `loss()` keeps, each storage once, without the weights of `network`.

    Of a scalar loss of one batch. What a kernel takes besides, while it runs, is not in it.
    """
    weights = {p.untyped_storage().data_ptr() for p in (*network.parameters(), *network.buffers())}
    kept: dict[int, int] = {}

    def keep(saved: Tensor) -> Tensor:
        storage = saved.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return saved

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        value = loss()
        assert value.ndim == 0
        return sum(kept.values())
