"""What a training step keeps in memory for its gradient, counted by the tensors that autograd saves; and where it is too much."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from diffae.errors import UserError

# What a RuntimeError says where PyTorch's allocator on a CPU, oneDNN or cuBLAS got no memory.
REFUSED = (
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "could not create a memory",
    "ALLOC_FAILED",
)
AMOUNT = re.compile(r"ried to allocate ([\d.]+ \w+)")  # "13421772800 bytes", "2.00 GiB"


class TooLittleMemory(UserError):
    """Memory ran out, perhaps within an update of the weights: what is in memory is not to be saved."""


@contextmanager
def needing_memory(what: str, remedy: str) -> Iterator[None]:
    """Raise TooLittleMemory, saying what needed it and what to do, where the memory within does not suffice."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is a RuntimeError
        if not is_refusal(error):
            raise
        amount = AMOUNT.search(str(error))
        asked = f" ({amount[1]} more were asked for)" if amount else ""
        raise TooLittleMemory(f"{what}: too little memory{asked}; {remedy}") from None


def is_refusal(error: Exception) -> bool:
    """Whether an error says that there was too little memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in REFUSED)


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
