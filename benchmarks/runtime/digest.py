"""A hash of arrays, for keys of work that depends on them."""

import hashlib

import numpy as np


def digest(*arrays: np.ndarray) -> str:
    """SHA-256 of the content of an array, or of its parts, in hex."""
    sha256 = hashlib.sha256()
    for array in arrays:
        sha256.update(np.ascontiguousarray(array).data)
    return sha256.hexdigest()
