"""Codes in a file: a representation of which neither the encoder nor a decoder is here."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.runtime import npz
from benchmarks.runtime.errors import NotAvailable
from benchmarks.systems.protocol.base import System
from benchmarks.systems.protocol.parts import Part
from diffae.data import Dataset
from diffae.data.names import Names
from diffae.system.errors import UserError
from diffae.system.files import sha256


class CodesFile(System):
    """Codes in an npz file, as `--save-codes` writes them: `codes` [n, ...], and `files` [n], their images

    Without `files` they must be those of all images of the data set, in its order.
    """

    capabilities = frozenset({"semantic"})

    def __init__(self, file: str, path: str | Path | None, device: torch.device):
        if path is not None:
            raise UserError(f"--ckpt codes:{file}={path}: the codes themselves are in {file}")
        if not file:
            raise UserError("codes: needs the file of the codes: codes:FILE.npz")
        self.file, self.device, names = Path(file), device, npz.names(Path(file))
        if "codes" not in names:
            raise UserError(f"{file}: has no array `codes`, but {', '.join(sorted(names))}")
        codes = npz.array(self.file, "codes")
        if codes.ndim < 2 or codes.dtype.kind not in "fiu" or not np.isfinite(codes).all():
            raise UserError(
                f"{file}: `codes` must be finite numbers [n, ...]: {codes.dtype} {codes.shape}"
            )
        self.codes = torch.from_numpy(codes.astype(np.float32))
        self.by_name, files = "files" in names, list[str]()
        if self.by_name:
            files = list(map(str, npz.array(self.file, "files").tolist()))
            if len(files) != len(codes) or len({*files}) != len(files):
                n = f"{len(files):,} names in `files`, {len({*files}):,} of them different"
                raise UserError(f"{file}: {len(codes):,} codes, and {n}")
        self.known = Names(files)
        self.title = self.file.stem
        self.name = "codes-" + re.sub(r"[^A-Za-z0-9._-]", "-", self.file.stem)
        self.latent_dim = self.codes[0].numel()
        if codes.ndim > 2:
            self.semantic_parts = (Part(tuple(codes.shape[1:])),)
        self.fingerprint = f"codes-{sha256(self.file)}"

    def describe(self) -> Mapping[str, Any]:
        return {"codes": "from a file, by " + ("name" if self.by_name else "order")}

    def codes_of(self, indices: Sequence[int], dataset: Dataset) -> Tensor:
        """The codes of these images. Raises NotAvailable where the file has none, or several, of one."""
        if not self.by_name:
            if len(self.codes) != len(dataset):
                n = f"{len(self.codes):,} codes, and {dataset.name} has {len(dataset):,} images"
                raise NotAvailable(f"{self.file}: {n}; give the images' names in an array `files`")
            return self.codes[list(indices)]
        places = [self.known.places(dataset.name_of(int(index))) for index in indices]
        for index, found in zip(indices, places, strict=True):
            if len(found) != 1:
                what = "several codes" if found else "no code"
                raise NotAvailable(f"{self.file}: has {what} of {dataset.name_of(int(index))}")
        return self.codes[[place for [place] in places]]
