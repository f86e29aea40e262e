"""Training images: their source, and reading the next of them while a step is computed."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from diffae.data import Dataset
from diffae.diffusion.noise import Noise, uniforms
from diffae.system.errors import UserError

IN_MEMORY = 2**28  # bytes of pixels that are read once and kept; larger sets in every epoch
AHEAD = 4  # batches that each worker reads ahead


class OnDisk(TorchDataset[Tensor | UserError]):
    """Images of a data set that are read when they are needed, in this process or in a worker.

    `order` lists those to train on.
    """

    def __init__(self, dataset: Dataset, order: np.ndarray):
        self.dataset, self.order = dataset, order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, indices: Tensor) -> Tensor | UserError:
        """The images of these positions, uint8 N x S x S x 3, or the error if one is unreadable.

        It is returned, since an exception of a worker would arrive with the worker's traceback.
        """
        try:
            return torch.from_numpy(self.dataset.images(self.order[indices.numpy()]))
        except UserError as error:
            return error


Source = np.ndarray | OnDisk  # by position among the training images: uint8 N x S x S x 3


def source_of(dataset: Dataset, order: np.ndarray) -> Source:
    """Images to train on: in memory if they take at most IN_MEMORY, else read from disk."""
    fits_memory = len(order) * 3 * dataset.image_size**2 <= IN_MEMORY
    return dataset.load_all(order) if fits_memory else OnDisk(dataset, order)


class Images:
    """Training images, in batches in [-1, 1]: N x 3 x S x S.

    `workers` is the number of processes that read ahead.
    """

    def __init__(self, source: Source, flip: bool, device: str, workers: int = 0):
        self.source, self.flip, self.device = source, flip, torch.device(device)
        self.workers = workers if isinstance(source, OnDisk) else 0
        self._coming: Iterator[Tensor | UserError] | None = None

    def __len__(self) -> int:
        return len(self.source)

    def batch(self, indices: Tensor, noise: Noise | None = None) -> Tensor:
        """The images of these positions, half of them mirrored if `flip` is set and noise is given."""
        pixels = self._pixels(indices).to(self.device, non_blocking=True)
        x = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
        if self.flip and noise is not None:
            mirrored = uniforms(noise, (len(x), 1, 1, 1)).to(x.device) < 0.5
            x = torch.where(mirrored, x.flip(-1), x)
        return x.contiguous(memory_format=torch.channels_last)

    def _pixels(self, indices: Tensor) -> Tensor:
        """Raises UserError if they cannot be read, or if a worker has died."""
        if isinstance(self.source, np.ndarray):
            return torch.from_numpy(self.source[indices.tolist()])
        try:
            coming = self._coming
            pixels = self.source[indices] if coming is None else next(coming)
        except RuntimeError as error:
            died = f"a process that reads images died ({str(error).splitlines()[0]:.120})"
            raise UserError(f"{died}; free some memory, or use fewer --workers") from None
        if isinstance(pixels, UserError):
            raise pixels
        return pixels

    @contextmanager
    def ahead(self, orders: Iterable[Tensor]) -> Iterator[None]:
        """Within the block, workers read ahead the batches of `orders`, in which `batch` must be called."""
        if not isinstance(self.source, OnDisk) or not self.workers:
            yield
            return
        loader = DataLoader(
            self.source,
            batch_size=None,
            sampler=orders,
            num_workers=self.workers,
            prefetch_factor=AHEAD,
            pin_memory=self.device.type == "cuda",
        )
        workers = self._coming = iter(loader)
        assert isinstance(workers, _MultiProcessingDataLoaderIter)
        try:
            yield
        finally:
            self._coming = None
            workers._shutdown_workers()  # after an error they would go on and keep the folder locked
