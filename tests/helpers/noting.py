"""A store that notes what has which key, so that a key with two meanings is found wherever it is used."""

import json
from pathlib import Path

import numpy as np

from benchmarks.core.job import Arrays
from benchmarks.core.store import MemoryStore

OF_THE_MACHINE = "times"  # the work whose numbers no key decides


class Noting(MemoryStore):
    """A store that compares what is computed with all that had its key before, in whichever run.

    With `again` it computes what it is asked for again, too.
    """

    known: dict[Path, Arrays] = {}
    keys: list[dict] = []
    folders: dict[str, dict] = {}  # the key of each folder
    again = False

    def __init__(self):
        super().__init__()
        self._here = set()

    def chunks(self, job):
        self._forget(job)
        return super().chunks(job)

    def _rows(self, job, start, stop):
        self._forget(job)
        return super()._rows(job, start, stop)

    def _forget(self, job):
        if self.again:
            self._here = {path for path in self._here if path.parent.name != job.folder}

    def _has(self, path):
        return path in self._here

    def _put(self, path, arrays, key):
        super()._put(path, arrays, key)
        self._here.add(path)
        self.keys.append(key)
        self.folders[path.parent.name] = key
        before = self.known.setdefault(path, dict(arrays))
        if key["work"] != OF_THE_MACHINE:
            told = f"two computations have the key {json.dumps(key, indent=1)}"
            assert before.keys() == arrays.keys(), told
            for name, array in before.items():
                np.testing.assert_array_equal(array, arrays[name], err_msg=f"{name}: {told}")
