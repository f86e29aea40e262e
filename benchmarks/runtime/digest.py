"""A hash of arrays, for keys of work that depends on them."""

import hashlib

import numpy as np


def digest(*arrays: np.ndarray) -> str:
    """SHA-256 of the content of an array, or of its parts, in hex."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()
