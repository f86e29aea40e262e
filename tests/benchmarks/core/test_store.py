"""The store: nothing is computed twice or half written, and any division of work is equal."""

import fcntl
import tracemalloc

import numpy as np
import pytest

from benchmarks.core.job import Job
from benchmarks.core.store import CHUNK, MemoryStore, Store
from benchmarks.runtime.errors import NotAvailable, SystemFailed
from diffae.system import distributed


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def job(count, compute, chunk=None, names=None, rows_of=(), takes=(), **decides):
    return Job("test", "", decides, count, compute, rows_of, takes, chunk=chunk, names=names)


def squares(log):
    def compute(positions):
        log.append((int(positions[0]), int(positions[-1]) + 1))
        return {"square": positions.astype(np.float64) ** 2}

    return compute


@pytest.mark.parametrize("rank", [0, 1])
def test_two_processes_share_parts_in_chunks_of_any_size(store, rank, monkeypatch):
    """Each computes every second chunk, and reads those of the other: here, computes them then."""
    monkeypatch.setattr(distributed, "rank", lambda: rank)
    monkeypatch.setattr(distributed, "world", lambda: 2)
    log = []
    found = store.read(job(10, squares(log), chunk=3))["square"]
    chunks = [(0, 3), (3, 6), (6, 9), (9, 10)]
    assert log == chunks[rank::2] + chunks[1 - rank :: 2]
    assert np.array_equal(found, np.arange(10.0) ** 2)


def test_arrays_are_joined_as_numpy_joins_them(store):
    """One row per position, and previews of the first few, in one chunk and in two."""

    def compute(positions):
        return {
            "row": np.stack([positions, positions + 0.5], axis=1),
            "preview": positions[positions < 5],
            "long preview": positions[positions < CHUNK + 5],
        }

    count = 3 * CHUNK + 5
    found = store.read(job(count, compute))
    chunks = list(store.chunks(job(count, compute)))
    assert set(found) == {"row", "preview", "long preview"}
    for name, array in found.items():
        expected = np.concatenate([chunk[name] for chunk in chunks])
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)
    assert set(store.read(job(count, compute, names=("row",)))) == {"row"}


def test_an_array_that_changes_on_the_way_is_an_error(store):
    """Its type does, or it has fewer rows than positions first, and then as many."""

    def compute(positions):
        late = positions[0] >= CHUNK
        return {
            "type": positions.astype(np.float64 if late else np.float32),
            "rows": positions[int(not late) :],
        }

    for name in ("type", "rows"):
        with pytest.raises(ValueError, match=f"{name}: "):
            store.read(job(2 * CHUNK, compute, names=(name,)))


def test_an_array_is_read_without_a_second_copy_of_it(store):
    """At the paper's size it is 400 MB, and several of them are read."""
    count = 40 * CHUNK

    def compute(positions):
        return {"row": np.ones((len(positions), 256), np.float32)}

    store.read(job(count, compute))
    tracemalloc.start()
    array = store.read(job(count, compute))["row"]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.3 * array.nbytes


def test_nothing_is_computed_twice(store):
    log = []
    for _ in range(2):
        store.read(job(2 * CHUNK, squares(log)))
    assert log == [(0, CHUNK), (CHUNK, 2 * CHUNK)]
    store.read(job(3 * CHUNK, squares(log)))["square"]  # more of the same
    assert log[2:] == [(2 * CHUNK, 3 * CHUNK)]


def test_work_that_failed_leaves_what_was_finished(store):
    log = []

    def fails(positions):
        if positions[0] > 0:
            raise RuntimeError("power cut")
        return squares(log)(positions)

    with pytest.raises(RuntimeError):
        store.read(job(2 * CHUNK, fails))
    values = store.read(job(2 * CHUNK, squares(log)))["square"]
    assert log == [(0, CHUNK), (CHUNK, 2 * CHUNK)]
    assert len(values) == 2 * CHUNK


@pytest.mark.parametrize("kind", [SystemFailed, NotAvailable])
def test_what_one_process_cannot_compute_every_process_raises_as_such(kind, store, monkeypatch):
    """The first to come to the barrier fails; the second, which has nothing to compute, is told."""
    come: list[str | None] = []

    def agree(trouble):
        come.append(trouble)
        return come[0]

    def fails(_):
        raise kind("mine: it cannot")

    monkeypatch.setattr(distributed, "agree", agree)
    for compute in (fails, squares([])):
        with pytest.raises(kind, match="^mine: it cannot$"):
            store.read(job(2, compute))
    assert len(come) == 2 and come[1] is None


def test_a_file_that_was_not_finished_is_not_read(store, tmp_path):
    store.read(job(4, squares([])))
    file = next(tmp_path.rglob("*.npz"))
    file.rename(file.with_suffix(".123.partial"))
    log = []
    store.read(job(4, squares(log)))
    assert log == [(0, 4)]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: b"",
        lambda data: bytes(len(data)),
        lambda data: b"PK\x03\x04 not an archive",
        lambda data: b"text",
    ],
)
def test_a_damaged_file_is_computed_anew(damage, store, tmp_path, capsys):
    log = []
    before = store.read(job(CHUNK + 1, squares(log)))["square"]
    path = next(tmp_path.rglob(f"00000000-{CHUNK:08d}.npz"))
    path.write_bytes(damage(path.read_bytes()))
    after = store.read(job(CHUNK + 1, squares(log)))["square"]
    assert log[2:] == [(0, CHUNK)]
    assert np.array_equal(before, after)
    assert capsys.readouterr().err.endswith(f"{path}: damaged, computing it again\n")
    store.read(job(CHUNK + 1, squares(log)))
    assert len(log) == 3


def rewritten(path, change):
    """Write the arrays of an npz file anew, changed."""
    with np.load(path) as file:
        arrays = change(dict(file))
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: {f"{name}s": array for name, array in arrays.items()},
        lambda arrays: {"squares": arrays.pop("square"), **arrays},
        lambda arrays: arrays | {"square": arrays["square"][:-1]},
        lambda arrays: arrays | {"square": arrays["square"].astype(str)},
        lambda arrays: arrays | {"more": np.zeros(2)},
        lambda arrays: {},
    ],
)
def test_a_file_with_other_arrays_is_computed_anew(change, store, tmp_path, capsys):
    log = []
    before = store.read(job(3, squares(log)))["square"]
    path = next(tmp_path.rglob("*.npz"))
    rewritten(path, change)
    assert np.array_equal(store.read(job(3, squares(log)))["square"], before)
    assert len(log) == 2 and f"{path}: damaged, computing it again" in capsys.readouterr().err


def test_a_file_of_another_key_is_computed_anew(store, tmp_path):
    """The same names and shapes: without a seal they would be numbers of other work."""
    log = []
    for steps in (10, 20):
        store.read(job(3, squares(log), steps=steps))
    one, other = tmp_path.rglob("*.npz")
    other.write_bytes(one.read_bytes())
    for steps in (10, 20):
        store.read(job(3, squares(log), steps=steps))
    assert len(log) == 3


def test_a_flipped_byte_is_noticed_wherever_it_is(store, tmp_path):
    """A power cut may damage any part of a file: no part of it is read as if nothing had happened."""
    log = []
    expected = store.read(job(3, squares(log)))["square"]
    path = next(tmp_path.rglob("*.npz"))
    data = path.read_bytes()
    for place in range(0, len(data), 3):  # no part of the file is shorter
        path.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        assert np.array_equal(store.read(job(3, squares(log)))["square"], expected)


def test_leftovers_are_swept_unless_another_run_is_at_work(store, tmp_path):
    store.read(job(4, squares([])))
    leftover = next(tmp_path.rglob("*.npz")).parent / "00000004-00000008.npz.0a1b2c3d.partial"
    leftover.touch()
    with open(tmp_path / "lock", "w+") as other:
        fcntl.flock(other, fcntl.LOCK_SH)  # what every run holds
        store.sweep()
        assert leftover.exists()
    store.sweep()
    assert not leftover.exists()
    assert len(list(tmp_path.rglob("*.npz"))) == 1


def test_a_store_in_memory_computes_nothing_twice_and_keeps_what_it_gave():
    store, log = MemoryStore(), []
    first = store.read(job(2 * CHUNK + 1, squares(log)))["square"]
    for chunk in store.chunks(job(2 * CHUNK + 1, squares(log))):
        chunk.pop("square")[:] = 0  # a reader who works on what he was given
    again = store.read(job(2 * CHUNK + 1, squares(log)))["square"]
    assert len(log) == 3 and np.array_equal(first, again)
    assert store.read(job(None, lambda _: {"x": np.array(2.0)}))["x"] == 2
    assert not store.root.exists()


# ----------------------------------------------------------------------------------------------
# Jobs that take the arrays of others


def test_a_job_is_given_the_rows_of_one_job_and_all_arrays_of_another(store):
    """Over three chunks: the roots at its positions, and in each chunk the sum of all."""
    count = 2 * CHUNK + 5
    rows = job(count, squares([]))
    total = job(None, lambda _, arrays: {"sum": arrays["square"].sum()}, takes=[rows])

    def compute(positions, squared, summed):
        return {"share": squared["square"] / summed["sum"], "at": positions}

    found = store.read(job(count, compute, rows_of=[rows], takes=[total]))
    expected = np.arange(float(count)) ** 2
    np.testing.assert_array_equal(found["share"], expected / expected.sum())
    np.testing.assert_array_equal(found["at"], np.arange(count))


def test_a_key_follows_from_the_inputs_and_of_whole_ones_from_their_number():
    def of(count, name="a", form="takes"):
        other = job(count, squares([]), name=name)
        return job(4, squares([]), **{form: [other]}).folder

    assert len({of(4), of(5), of(4, "b"), of(4, form="rows_of"), job(4, squares([])).folder}) == 5
    pairs = Job("test", "", {}, 2, squares([]), [job(4, squares([]), name="a")], rows_each=2)
    assert pairs.folder != of(4, form="rows_of")
    assert of(4, form="rows_of") == of(5, form="rows_of")  # more images reuse the rows of fewer


def test_what_several_jobs_take_is_read_once(store, monkeypatch):
    rows, reads = job(CHUNK, squares([])), []
    store.read(rows)
    get = Store._get
    monkeypatch.setattr(
        Store, "_get", lambda self, path: (reads.append(path.parent), get(self, path))[1]
    )
    takers = [job(None, lambda _, x: {"x": x["square"]}, takes=[rows], taker=k) for k in range(3)]
    assert len(store.read_all([*takers, rows])) == 4
    assert reads.count(store.root / rows.folder) == 1


def test_single_rows_are_read_of_their_chunks(store):
    log = []
    rows = job(2 * CHUNK + 3, squares(log))
    found = store.rows(rows, [2 * CHUNK + 1, 4])["square"]
    assert found.tolist() == [(2 * CHUNK + 1) ** 2, 16] and len(log) == 2
