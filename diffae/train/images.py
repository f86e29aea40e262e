"""Training images: where they come from, and how the next of them are read while a step is computed."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from diffae.data import Dataset
from diffae.errors import UserError
from diffae.noise import Noise, uniforms

IN_MEMORY = (
    2**28
)  # bytes of pixels that are read once and kept; what is more is read again in every epoch
AHEAD = 4  # batches that each worker reads ahead


class Source(Protocol):
    """Images by position."""

    def __len__(self) -> int: ...

    def images(self, indices: Sequence[int]) -> np.ndarray:
        """uint8 N x S x S x 3."""


@dataclass(frozen=True)
class Memory:
    """Images that are in memory: uint8 N x S x S x 3."""

    pixels: np.ndarray

    def __len__(self) -> int:
        return len(self.pixels)

    def images(self, indices: Sequence[int]) -> np.ndarray:
        return self.pixels[np.asarray(indices)]


@dataclass(frozen=True)
class OnDisk:
    """Images of a data set that are read when they are needed; `order` are those to train on."""

    dataset: Dataset
    order: np.ndarray

    def __len__(self) -> int:
        return len(self.order)

    def images(self, indices: Sequence[int]) -> np.ndarray:
        return self.dataset.images(self.order[np.asarray(indices)])


def source_of(dataset: Dataset, order: np.ndarray) -> Source:
    """Images to train on: in memory if they take at most IN_MEMORY, else read from where they are."""
    if len(order) * 3 * dataset.image_size**2 <= IN_MEMORY:
        return Memory(dataset.load_all(order))
    return OnDisk(dataset, order)


class Images:
    """Training images, handed out as batches in [-1, 1]: N x 3 x S x S. `workers` are processes that read ahead."""

    def __init__(self, images: np.ndarray | Source, flip: bool, device: str, workers: int = 0):
        self.source: Source = Memory(images) if isinstance(images, np.ndarray) else images
        self.flip, self.device = flip, torch.device(device)
        self.workers = workers if isinstance(self.source, OnDisk) else 0
        self._coming: Iterator[Any] | None = None

    def __len__(self) -> int:
        return len(self.source)

    def batch(self, indices: Tensor, noise: Noise | None = None) -> Tensor:
        """The images of these positions, half of them mirrored where `flip` asks for it and noise is given."""
        pixels = self._pixels(indices).to(self.device, non_blocking=True)
        x = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
        if self.flip and noise is not None:
            mirrored = uniforms(noise, (len(x), 1, 1, 1)).to(x.device) < 0.5
            x = torch.where(mirrored, x.flip(-1), x)
        return x.contiguous(memory_format=torch.channels_last)

    def _pixels(self, indices: Tensor) -> Tensor:
        if self._coming is None:
            return torch.from_numpy(self.source.images(indices.tolist()))
        asked, pixels = next(self._coming)
        if isinstance(pixels, UserError):
            raise pixels
        if not torch.equal(asked, indices):
            raise RuntimeError("images were read in another order than they are asked for")
        return pixels

    @contextmanager
    def ahead(self, orders: Iterable[Tensor]) -> Iterator[None]:
        """Within it workers read what `batch` will be asked for, in this order."""
        if not self.workers:
            yield
            return
        loader = DataLoader(
            _Reading(self.source),
            batch_size=None,
            sampler=orders,
            num_workers=self.workers,
            prefetch_factor=AHEAD,
            pin_memory=self.device.type == "cuda",
        )
        self._coming = iter(loader)
        try:
            yield
        finally:
            self._coming = None


class _Reading(TorchDataset[Any]):
    """What a worker does: positions of a batch in, their pixels out, or the error that a person is to see."""

    def __init__(self, source: Source):
        self.source = source

    def __getitem__(self, indices: Tensor) -> tuple[Tensor, Tensor | UserError]:
        try:
            return indices, torch.from_numpy(self.source.images(indices.tolist()))
        except UserError as error:
            return indices, error
