"""Share a training step among processes, and split it into parts.

Gradients are averaged by PyTorch's DistributedDataParallel. A batch is as large as the preset says
for any number of processes: each takes an equal share of it, in parts of at most `micro_batch`
examples, whose gradients are added up.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from diffae.system import distributed
from diffae.system.errors import UserError


class _Step(nn.Module):
    """A loss as the forward pass of a module, as DistributedDataParallel requires."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, loss: Callable[[], Tensor]) -> Tensor:
        return loss()


class Sharing:
    """Divides a network's batches among the processes of this training.

    Raises UserError if a batch cannot be divided equally: the mean of the means would be wrong.
    """

    def __init__(self, network: nn.Module, batch_size: int, micro_batch: int | None = None):
        self.world, self.rank = distributed.world(), distributed.rank()
        if batch_size % self.world:
            raise UserError(f"batches of {batch_size} cannot be shared by {self.world} processes")
        self.share = batch_size // self.world
        self.part = min(micro_batch or self.share, self.share)
        self._device = next(network.parameters()).device
        self._step: nn.Module = _Step(network)
        if self.world > 1:
            distributed.process_group(self._device)
            own = [torch.cuda.current_device()] if self._device.type == "cuda" else None
            step = self._step
            self._step = DistributedDataParallel(step, device_ids=own, gradient_as_bucket_view=True)

    def parts(self) -> Iterator[slice]:
        """The parts of a batch that this process computes, one after the other."""
        first = self.rank * self.share
        for start in range(0, self.share, self.part):
            yield slice(first + start, first + min(start + self.part, self.share))

    def weight(self, part: slice) -> float:
        """The weight of a part's mean in the mean over this process's share."""
        return (part.stop - part.start) / self.share

    def step(self, loss: Callable[[], Tensor]) -> Tensor:
        return self._step(loss)

    def accumulating(self, part: slice) -> AbstractContextManager[None]:
        """Add up gradients within the block; only the last part averages over the processes."""
        if self.world == 1 or part.stop == (self.rank + 1) * self.share:
            return nullcontext()
        assert isinstance(self._step, DistributedDataParallel)
        return self._step.no_sync()

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a number over the processes, the same in each of them."""
        if self.world == 1:
            return value
        total = value.detach().float().clone()
        dist.all_reduce(total)
        return total / self.world

    def any(self, here: bool) -> bool:
        """Whether `here` is true in any of the processes. A single process does not wait for its GPU."""
        if self.world == 1:
            return here
        return bool(self.mean(torch.tensor(float(here), device=self._device)) > 0)


def gathered(own: Tensor, count: int) -> Tensor:
    """The rows that all processes computed, in their order: count x ...

    Process r has computed rows r, r + world, ..., which are its `own`.
    """
    world = distributed.world()
    if world == 1:
        return own
    distributed.process_group(own.device)
    most = -(-count // world)
    padded = own.new_zeros((most, *own.shape[1:]))
    padded[: len(own)] = own
    shares = [torch.empty_like(padded) for _ in range(world)]
    dist.all_gather(shares, padded)
    return torch.stack(shares, dim=1).flatten(0, 1)[:count]
