"""Data sets in several processes.

Every format is read alike in forked and in spawned processes, also while another process reads it;
and the helper processes of `distributed.mapped` answer any program, and end with it.
"""

import os
import pickle
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_files import write_files, write_lmdb, write_tar, write_zip
from photo_tiles import encoded

from diffae.data import dataset, open_dataset
from diffae.data.prepare import prepare
from diffae.system.distributed import mapped
from diffae.system.errors import UserError
from diffae.system.files import file_size

COUNT = 24


FILES = {f"{index:02d}.png": encoded(index, 64, 64) for index in range(COUNT)}


def as_folder(path):
    return write_files(path, FILES.items())


def as_zip(path):
    return write_zip(path, FILES.items())


def as_lmdb(path):
    images = {f"64-{index:05d}": content for index, content in enumerate(FILES.values())}
    return write_lmdb(path, images, COUNT)


def as_copy(path):
    prepare(open_dataset(as_folder(path.with_name("source")), 64), path)
    return path


def as_shards(path):
    return write_tar(path / "0.tar", FILES.items()).parent


def as_parquet(path):
    column = [{"bytes": content, "path": None} for content in FILES.values()]
    pq.write_table(pa.table({"image": column}), path.with_suffix(".parquet"), row_group_size=5)
    return path.with_suffix(".parquet")


MAKERS = [as_folder, as_zip, as_lmdb, as_copy, as_shards, as_parquet]


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Each open here, and read from already."""
    root = tmp_path_factory.mktemp("formats")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFAE_CACHE", str(root / "cache"))
        sets = [open_dataset(make(root / make.__name__), 32) for make in MAKERS]
    return [(data, data.images(range(COUNT))) for data in sets]


_forked = []


def read_forked(which, seed):
    return read(_forked[which], seed)


def read(data, seed):
    """All images, several times, in an order of the process's own."""
    order = np.random.default_rng(seed).permutation(np.tile(np.arange(COUNT), 5))
    return order, data.images(order)


def test_forked_processes_read_at_once(opened):
    """Of a file that was opened before the fork all would share one place in it."""
    _forked[:] = [data for data, _ in opened]
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        for which, (_, expected) in enumerate(opened):
            for order, images in pool.map(read_forked, [which] * 4, range(4)):
                np.testing.assert_array_equal(images, expected[order])


def test_a_data_set_can_be_sent_to_a_process(opened):
    for data, expected in opened:
        sent = pickle.loads(pickle.dumps(data))
        assert len(pickle.dumps(data)) < 20_000, data.name
        order, images = read(sent, 0)
        np.testing.assert_array_equal(images, expected[order])


def test_threads_read_what_one_thread_reads(opened, monkeypatch):
    monkeypatch.setattr(dataset, "WORKERS", 8)
    monkeypatch.setattr(dataset, "CHUNK", 3)
    monkeypatch.setattr(dataset, "KEPT", 0)  # each image is read each time
    for data, expected in opened:
        order = np.random.default_rng(0).permutation(np.tile(np.arange(COUNT), 20))
        np.testing.assert_array_equal(replace(data).load_all(order), expected[order])


# ----------------------------------------------------------------------------------------------
# Helpers

PROGRAM = """
from diffae.system.distributed import mapped
with mapped(abs, range(-3, 0), 2, "died") as found: print(*found)

"""


@pytest.mark.parametrize("how", ["script", "standard input", "interactive", "-c"])
def test_a_program_without_a_main_guard_has_helpers(how, tmp_path):
    """None of them runs the program again, which Python's own pools do where they find its file."""
    (tmp_path / "script.py").write_text(PROGRAM)
    given = {
        "script": [tmp_path / "script.py"],
        "standard input": ["-"],
        "interactive": ["-i"],
        "-c": ["-c", PROGRAM],
    }
    command = [sys.executable, *given[how]]
    done = subprocess.run(command, input=PROGRAM, capture_output=True, text=True)
    assert done.stdout == "3 2 1\n", done.stderr


def test_what_helpers_raise_is_raised_and_what_they_print_is_no_answer(tmp_path, capfd):
    (tmp_path / "here").write_bytes(b"12345")
    paths = [tmp_path / "here", tmp_path / "gone", tmp_path / "here"]
    with pytest.raises(UserError, match="gone: no such file"), mapped(file_size, paths, 2, "") as a:
        assert next(a) == 5
        next(a)
    with pytest.raises(FileNotFoundError), mapped(os.stat, paths[1:], 2, "died") as found:
        next(found)  # which names the file, and is not taken for the end of a helper
    with mapped(print, ["a line"], 2, "died") as found:
        assert list(found) == [None]
    assert capfd.readouterr().err == "a line\n"


def test_a_helper_that_dies_is_one_line():
    with pytest.raises(UserError, match="^make memory free$"):
        with mapped(os._exit, [1, 1], 2, "make memory free") as found:
            list(found)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_helpers_hear_no_signal_and_end_with_their_parent(number):
    """The signal goes to the whole group, as a terminal's Ctrl-C and a scheduler's SIGTERM do."""
    program = (
        "import signal, time\nfrom diffae.system.distributed import mapped\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a job in the background ignores it
        "with mapped(abs, [-1, -2], 2, 'died') as found:\n"
        "    print(*found, flush=True)\n    time.sleep(60)\n"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, **pipes, start_new_session=True) as process:
        assert process.stdout.readline() == "1 2\n"
        os.killpg(process.pid, number)
        _, errors = process.communicate(timeout=30)  # until the helpers, too, have let go of it
    assert process.returncode == -number
    assert errors.count("Traceback") == (number == signal.SIGINT)  # the parent's alone
