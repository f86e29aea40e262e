import numpy as np
import pytest
from factor_codes import first_part, labelled

from benchmarks.metrics.codes.data import Codes

MIXED = [[1, 0.3, 0, 0], [0, 1, 0.2, 0], [0.1, 0, 1, 0]]


@pytest.fixture(scope="session")
def dlib_codes() -> Codes:
    """180 codes of 4 numbers, of which one is noise, of 3 factors of 3 classes; 100 are fitted on.

    disentanglement_lib's golden values are of these arrays.
    """
    random = np.random.default_rng(0)
    y = np.stack([random.integers(3, size=180) for _ in range(3)], axis=1)
    z = (y - 1) @ np.array(MIXED) + 0.3 * random.standard_normal((180, 4))
    return labelled(z, y, split=first_part(100, 180))
