"""Training images: their source, and reading the next of them while a step is computed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from diffae.data import Dataset
from diffae.data.dataset import load_all
from diffae.diffusion.noise import Noise, uniforms
from diffae.system.cli import say
from diffae.system.errors import UserError

IN_MEMORY = 2**28  # bytes of pixels that are read once and kept; larger sets in every epoch
AHEAD = 4  # batches that each worker reads ahead
MOST_DAMAGED = 100  # images in a row; more mean a lost disk, not damaged images


class OnDisk:
    """Images of a data set that are read when they are needed; `order` lists those to train on.

    An unreadable one is a UserError. With `damaged`, the next readable one replaces it. The
    replacement depends on the files alone, so that a resumed training, in any number of processes,
    sees the same. `damaged` has the errors of those found so far, by position.
    """

    def __init__(self, dataset: Dataset, order: np.ndarray, damaged: dict[int, str] | None = None):
        self.dataset, self.order = dataset, order
        self._skips = damaged is not None
        self.damaged = {} if damaged is None else damaged
        self._told: set[int] = set()

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, indices: Sequence[int]) -> np.ndarray:
        """The images of these positions: uint8 N x S x S x 3."""
        try:
            return self.dataset.images(self.order[np.asarray(indices)])
        except UserError:
            if not self._skips:
                raise
            return np.concatenate([self._readable(index) for index in indices])

    def _readable(self, index: int) -> np.ndarray:
        candidates = [(index + i) % len(self) for i in range(min(MOST_DAMAGED, len(self)))]
        for at in candidates:
            try:
                return self.dataset.images(self.order[[at]])
            except UserError as error:
                self.damaged[at] = str(error)
        after = f"nor can any of the {len(candidates) - 1} images after it be read"
        raise UserError(f"{self.damaged[index]} ({after})")

    def tell(self, met: Mapping[int, str]) -> None:
        """Record damaged images that were found, here or by a worker, and print the new ones."""
        self.damaged.update(met)
        for index in sorted(met.keys() - self._told):
            say(f"skipped: {met[index]}")
        self._told |= met.keys()


Source = np.ndarray | OnDisk  # by position among the training images: uint8 N x S x S x 3


def source_of(dataset: Dataset, order: np.ndarray, damaged: dict[int, str] | None = None) -> Source:
    """Images to train on: in memory if they take at most IN_MEMORY, else read from disk."""
    size, count = dataset.image_size, len(order)
    source = OnDisk(dataset, order, damaged)
    if count * 3 * size**2 > IN_MEMORY:
        return source
    pixels = load_all(lambda part: source[range(count)[part]], count, size, dataset.name)
    source.tell(source.damaged)
    return pixels


class Images:
    """Training images, in batches in [-1, 1]: N x 3 x S x S.

    `workers` is the number of processes that read ahead.
    """

    def __init__(self, source: Source, flip: bool, device: str, workers: int = 0):
        self.source, self.flip, self.device = source, flip, torch.device(device)
        self.workers = workers if isinstance(source, OnDisk) else 0
        self._coming: Iterator[_Read] | None = None

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
            pixels, damaged = _Reader(self.source)[indices] if coming is None else next(coming)
        except RuntimeError as error:
            died = f"a process that reads images died ({str(error).splitlines()[0]:.120})"
            raise UserError(f"{died}; free some memory, or use fewer --workers") from None
        self.source.tell(damaged)
        if isinstance(pixels, UserError):
            raise pixels
        return pixels

    @contextmanager
    def ahead(self, orders: Iterable[Tensor]) -> Iterator[None]:
        """Within the block workers read what `batch` will be asked for, in this order."""
        workers: Any = None
        if isinstance(self.source, OnDisk) and self.workers:
            how: dict[str, Any] = {"num_workers": self.workers, "prefetch_factor": AHEAD}
            how |= {"batch_size": None, "pin_memory": self.device.type == "cuda"}
            workers = self._coming = iter(DataLoader(_Reader(self.source), sampler=orders, **how))
        try:
            yield
        finally:
            self._coming = None
            if workers is not None:  # after an error they would live, and hold the folder's lock
                workers._shutdown_workers()


# The result of reading: pixels, or the error to report; and damage so far.
_Read = tuple[Tensor | UserError, dict[int, str]]


class _Reader(TorchDataset[Any]):
    """Reads the images of a batch, in this process or in a worker."""

    def __init__(self, source: OnDisk):
        self.source = source

    def __getitem__(self, indices: Tensor) -> _Read:
        try:
            pixels: Tensor | UserError = torch.from_numpy(self.source[indices.tolist()])
        except UserError as error:
            pixels = error
        return pixels, self.source.damaged
