"""Codes in a file: a representation without its encoder and without a decoder."""

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.runtime.errors import NotAvailable
from benchmarks.systems.protocol.base import System
from benchmarks.systems.protocol.parts import Part
from diffae.data import Dataset, npz
from diffae.data.names import Names, places_of_unnamed
from diffae.system.errors import UserError
from diffae.system.files import sha256
from probes.scale import held, spread


class CodesFile(System):
    """Codes in an npz file, as `--save-codes` writes them: `codes` [n, ...], and `files` [n], their images

    Without `files` they must be those of all images of the data set, in its order; files of images
    must then ascend by name, or count from 0 in this order.
    """

    capabilities = frozenset({"semantic"})

    def __init__(self, file: str, path: str | Path | None, device: torch.device):
        arrays = npz.names(Path(file)) if file and path is None else set()
        if "codes" not in arrays:
            raise UserError(f"codes:{file}: needs a file with an array `codes`: codes:FILE.npz")
        codes = npz.array(Path(file), "codes")
        numbers = codes.ndim > 1 and codes.size and codes.dtype.kind in "fiu"
        if not numbers or not np.isfinite(codes).all():
            actual = f"not {codes.dtype} {codes.shape}"
            raise UserError(f"{file}: `codes` must be finite numbers [n, ...], {actual}")
        files = [str(name) for name in npz.array(Path(file), "files")] if "files" in arrays else []
        if "files" in arrays and not len(files) == len({*files}) == len(codes):
            raise UserError(f"{file}: `files` must be {len(codes):,} different names of images")
        self.file, self.device, self.files = Path(file), device, files
        # Metrics of codes alone depend neither on where a dimension is centred nor on a common scale.
        channels = codes.shape[1] if codes.ndim == 4 else codes[0].size
        maps = held(codes.astype(np.float64).reshape(len(codes), channels, -1), common=True)
        if lost := spread(maps).lost.sum():
            why = f"float32 loses {lost} of {channels} dimensions beside the others"
            raise UserError(f"{file}: {why}; divide each by its standard deviation")
        self.codes, self.places = torch.from_numpy(maps).float(), Names(files).places
        self.codes = self.codes.reshape(codes.shape)
        self.title = self.file.stem
        self.name = "codes-" + re.sub(r"[^A-Za-z0-9._-]", "-", self.title)
        self.semantic_parts = (Part(tuple(codes.shape[1:])),) if codes.ndim > 2 else None
        self.latent_dim = self.codes[0].numel()
        self.fingerprint = f"codes-{sha256(self.file)}"
        self.remark = (
            "" if files else f"{self.file.name} has no names: its codes are taken in order"
        )

    def codes_of(self, indices: Sequence[int], dataset: Dataset) -> Tensor:
        """The codes of these images. Raises NotAvailable if the file has none or several for an image."""
        if not self.files:
            self._check_order(dataset)
            return self.codes[list(indices)]
        places = []
        for name in map(dataset.name_of, indices):
            places_of_image = self.places(name)
            if len(places_of_image) != 1:
                fault = "several codes" if places_of_image else "no code"
                raise NotAvailable(f"{self.file}: has {fault} of {name}")
            places += places_of_image
        return self.codes[places]

    def _check_order(self, dataset: Dataset) -> None:
        """Raise NotAvailable unless codes without names can be those of a data set, in its order."""
        remedy = "give the images' names in an array `files`"
        if len(self.codes) != len(dataset):
            n = f"{len(self.codes):,} codes, and {dataset.name} has {len(dataset):,} images"
            raise NotAvailable(f"{self.file}: {n}; {remedy}")
        if not in_order(dataset):
            why = f"has no names, and those of the images of {dataset.name} do not ascend"
            raise NotAvailable(f"{self.file}: {why}; {remedy}")


@lru_cache(maxsize=1)
def in_order(dataset: Dataset) -> bool:
    """Whether rows without names must be in the order of the images, as they are if these have numbers for names."""
    names = [dataset.name_of(index) for index in range(len(dataset))]
    if not any(re.search(r"\.\w+$", name) for name in names):
        return True
    places = places_of_unnamed(names)
    return places is not None and places[0] == list(range(len(names)))
