"""The store: nothing is computed twice, nothing is half written, and any division of work gives the same."""

import numpy as np
import pytest

from benchmarks.store import CHUNK, Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def squares(log):
    def compute(positions):
        log.append((int(positions[0]), int(positions[-1]) + 1))
        return {"square": positions.astype(np.float64) ** 2}

    return compute


def test_positions_come_back_in_order(store):
    values = store.array({"work": "test"}, 3 * CHUNK + 5, squares([]), "square")
    assert np.array_equal(values, np.arange(3 * CHUNK + 5.0) ** 2)


def test_nothing_is_computed_twice(store):
    log = []
    for _ in range(2):
        store.array({"work": "test"}, 2 * CHUNK, squares(log), "square")
    assert log == [(0, CHUNK), (CHUNK, 2 * CHUNK)]
    store.array({"work": "test"}, 3 * CHUNK, squares(log), "square")  # more of the same
    assert log[2:] == [(2 * CHUNK, 3 * CHUNK)]


def test_another_key_is_other_work(store):
    log = []
    store.array({"work": "test", "steps": 10}, 4, squares(log), "square")
    store.array({"work": "test", "steps": 20}, 4, squares(log), "square")
    assert len(log) == 2


def test_work_that_failed_leaves_what_was_finished(store):
    log = []

    def fails(positions):
        if positions[0] > 0:
            raise RuntimeError("power cut")
        return squares(log)(positions)

    with pytest.raises(RuntimeError):
        store.array({"work": "test"}, 2 * CHUNK, fails, "square")
    values = store.array({"work": "test"}, 2 * CHUNK, squares(log), "square")
    assert log == [(0, CHUNK), (CHUNK, 2 * CHUNK)]
    assert len(values) == 2 * CHUNK


def test_a_file_that_was_not_finished_is_not_read(store, tmp_path):
    store.array({"work": "test"}, 4, squares([]), "square")
    file = next(tmp_path.rglob("*.npz"))
    file.rename(file.with_suffix(".123.partial"))
    log = []
    store.array({"work": "test"}, 4, squares(log), "square")
    assert log == [(0, 4)]
