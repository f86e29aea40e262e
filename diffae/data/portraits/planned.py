"""Portraits that are not drawn: labels only, for commands that only count."""

from pathlib import Path
from typing import NoReturn

import numpy as np

from diffae.data.dataset import Dataset
from diffae.data.portraits.attributes import ATTRIBUTES, portrait
from diffae.data.readers.celeba import PARTITION_FILE
from diffae.data.transforms import Transform
from diffae.system.errors import UserError


def planned(count: int, image_size: int, seed: int = 0) -> Dataset:
    """The data set that `open_portraits` would draw and open. Reading an image raises UserError."""
    portraits = [portrait(seed, index) for index in range(count)]
    return Dataset(
        name="portraits",
        root=Path("portraits"),
        source=_Undrawn(range(count)),
        transform=Transform(image_size),
        partition=np.array([p.partition for p in portraits], np.int8),
        partition_source=PARTITION_FILE,
        attribute_names=tuple(ATTRIBUTES),
        attributes=np.array([[p.attributes[name] for name in ATTRIBUTES] for p in portraits]),
        identities=np.array([p.identity + 1 for p in portraits], np.int64),
    )


class _Undrawn(tuple[int, ...]):
    """Images that do not exist."""

    def read(self, index: int = 0) -> NoReturn:
        raise UserError("these portraits are not drawn")

    where = files = look = read
