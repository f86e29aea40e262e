"""Contexts of a run: a small one, one on a data set without files, and a quick distance for them."""

from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import torch

from benchmarks.core.context import Context
from benchmarks.core.profiles import PROFILES
from benchmarks.core.store import MemoryStore, Store
from diffae.data.fingerprint import Survey
from diffae.data.transforms import Transform


class NoDistance:
    """In place of a perceptual distance, which takes seconds and is tested elsewhere."""

    name = metric_name = "pd_effnet"
    network = "efficientnet-lite0"

    def describe(self):
        return {"perceptual": "none"}

    def __call__(self, a, b):
        return torch.zeros(len(a))


def small_context(dataset, folder: Path, changes=()) -> Context:
    """A context on the CPU, with profile `smoke` and other settings.

    Pictures are in `folder`. What is computed stays in memory; contexts of one folder share it.
    """
    profile, cpu = PROFILES["smoke"].changed_by(dict(changes)), torch.device("cpu")
    return Context(dataset, profile, 0, cpu, _store_of(folder), folder / "pictures")


@lru_cache(8)
def _store_of(folder: Path) -> MemoryStore:
    return MemoryStore()


def lone_context(images: int, store: Path = Path("nowhere")) -> Context:
    """A context of so many images named celeba-hq, 128 px, with profile quick."""
    facts = {
        "name": "celeba-hq",
        "fingerprint": "0",
        "partition_source": "",
        "survey": Survey("0", images),
        "attributes": None,
        "image_size": 128,
    }
    kind = type("Data", (SimpleNamespace,), {"__len__": lambda self: images})
    dataset = kind(transform=Transform(128, "center"), **facts)
    return Context(dataset, PROFILES["quick"], 0, torch.device("cpu"), Store(store), Path())
