"""Pretrained weights of the networks that metrics use: which there are, where they lie, and how they
are fetched.

Nothing is fetched but by `python -m benchmarks.run weights`.
"""

from benchmarks.weights.files import (
    Found,
    find,
    find_file,
    folder,
    how_to_get,
    hub_folder,
    is_published,
    load_path,
    read_state,
    sha256,
    tensors_sha256,
    unpublished,
)
from benchmarks.weights.known import KNOWN, Weight, WeightFile

__all__ = [
    "KNOWN",
    "Found",
    "Weight",
    "WeightFile",
    "find",
    "find_file",
    "folder",
    "how_to_get",
    "hub_folder",
    "is_published",
    "load_path",
    "read_state",
    "sha256",
    "tensors_sha256",
    "unpublished",
]
