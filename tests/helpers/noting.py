"""A store that notes what has which key, so that a key with two meanings is found wherever it is used."""

import json
from pathlib import Path

import numpy as np

from benchmarks.core.store import Arrays, Computation, MemoryStore

OF_THE_MACHINE = "times"  # the work whose numbers no key decides


class Noting(MemoryStore):
    """A store that compares what is computed with all that had its key before, in whichever run.

    With `again` it computes what it is asked for again, too.
    """

    known: dict[Path, Arrays] = {}
    keys: list[dict] = []
    again = False

    def __init__(self):
        super().__init__()
        self._here = set()

    def chunks(self, of):
        self._forget(of.key)
        return super().chunks(of)

    def stretch(self, of, start):
        self._forget(of.key)
        return super().stretch(of, start)

    def once(self, key, *how):
        self._forget(key)
        return super().once(key, *how)

    def _forget(self, key):
        if self.again:
            folder = Computation("", key, 1, dict).folder
            self._here = {one for one in self._here if one.parent.name != folder}

    def _has(self, path):
        return path in self._here

    def _put(self, path, arrays, key):
        super()._put(path, arrays, key)
        self._here.add(path)
        self.keys.append(key)
        before = self.known.setdefault(path, dict(arrays))
        if key["work"] != OF_THE_MACHINE:
            told = f"two computations have the key {json.dumps(key, indent=1)}"
            assert before.keys() == arrays.keys(), told
            for name, array in before.items():
                np.testing.assert_array_equal(array, arrays[name], err_msg=f"{name}: {told}")
