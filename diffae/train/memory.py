"""What a training step keeps in memory for its gradient, counted by the tensors that autograd saves."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def activation_bytes(network: nn.Module, loss: Callable[[], Tensor]) -> int:
    """Bytes of the tensors that the graph of `loss()` keeps, each storage once, without the weights of `network`.

    Of a scalar loss of one batch. What a kernel takes besides, while it runs, is not in it. Tensors without numbers
    (`torch._subclasses.FakeTensorMode`) count as real ones would.
    """
    weights = {_identity(p) for p in (*network.parameters(), *network.buffers())}
    kept: dict[int, int] = {}

    def keep(saved: Tensor) -> Tensor:
        if (identity := _identity(saved)) not in weights:
            kept[identity] = saved.untyped_storage().nbytes()
        return saved

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        value = loss()
        assert value.ndim == 0
        return sum(kept.values())


def _identity(tensor: Tensor) -> int:
    """Of a tensor's storage, also where it has no address."""
    return tensor.untyped_storage()._cdata
