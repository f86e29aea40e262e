"""Files and folders are written whole or not at all, and nothing but a regular file is replaced."""

import errno
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from diffae.checkpoints.checkpoint import write_tensors
from diffae.system.errors import UserError
from diffae.system.files import writing
from diffae.system.whole import (
    PARTIAL,
    append,
    is_partial,
    scratch_folder,
    sweep,
    whole_file,
    whole_folder,
    write_new,
    write_whole,
)

ROOT = Path(__file__).parents[2]
OLD, NEW = b"a week of work\n", b"the new content\n" * 5000


@pytest.fixture(autouse=True)
def umask():
    """The usual one: a new file is for all to read and for its owner to write."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("has_links", [True, False])
def test_a_new_file_never_replaces_another(has_links, tmp_path, monkeypatch):
    """Also on a disk without hard links."""
    if not has_links:
        refused = OSError(errno.EPERM, "Operation not permitted")
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(refused))
    write_new(tmp_path / "a", NEW)
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "a", OLD)
    assert (tmp_path / "a").read_bytes() == NEW and names(tmp_path) == ["a"]


def test_the_old_file_is_there_until_the_new_one_is_whole(tmp_path):
    (tmp_path / "a").write_bytes(OLD)
    with whole_file(tmp_path / "a") as partial:
        partial.write_bytes(NEW[:100])
        assert (tmp_path / "a").read_bytes() == OLD
        assert is_partial(partial) and partial.parent == tmp_path
        partial.write_bytes(NEW)
    assert (tmp_path / "a").read_bytes() == NEW and names(tmp_path) == ["a"]


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "a").write_bytes(OLD)
    for fault in (ValueError, KeyboardInterrupt):
        with pytest.raises(fault), whole_file(tmp_path / "a") as partial:
            partial.write_bytes(NEW[:100])
            raise fault
    assert (tmp_path / "a").read_bytes() == OLD and names(tmp_path) == ["a"]


def test_other_files_that_look_like_partial_ones_are_left_alone(tmp_path):
    theirs = {f"a{end}": end.encode() for end in (".partial", ".tmp", ".0123abcd.partial", "~")}
    for name, content in theirs.items():
        (tmp_path / name).write_bytes(content)
    write_whole(tmp_path / "a", NEW)
    assert {name: (tmp_path / name).read_bytes() for name in theirs} == theirs


@pytest.mark.parametrize("umask_, made", [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_mode_of_any_and_a_replaced_one_keeps_its_own(tmp_path, umask_, made):
    os.umask(umask_)
    write_whole(tmp_path / "new", NEW)
    write_tensors({"x": torch.ones(2)}, tmp_path / "tensors")  # safetensors makes it 0600
    assert (mode(tmp_path / "new"), mode(tmp_path / "tensors")) == (made, made)
    (tmp_path / "secret").touch(0o600)
    write_whole(tmp_path / "secret", NEW)
    assert mode(tmp_path / "secret") == 0o600


def test_another_name_of_the_old_file_keeps_the_old_content(tmp_path):
    (tmp_path / "a").write_bytes(OLD)
    os.link(tmp_path / "a", tmp_path / "b")
    write_whole(tmp_path / "a", NEW)
    assert (tmp_path / "b").read_bytes() == OLD


# ----------------------------------------------------------------------------------------------
# What is replaced


def elsewhere(tmp_path):
    """A folder on another file system than `tmp_path`."""
    folder = Path("/dev/shm")
    if not os.access(folder, os.W_OK) or folder.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no other file system here")
    return folder / f"diffae-test-{os.getpid()}"


@pytest.mark.parametrize("there", ["beside", "dangling", "chain", "other file system"])
def test_a_link_is_followed_and_its_target_replaced(tmp_path, there):
    target = elsewhere(tmp_path) if there == "other file system" else tmp_path / "to" / "target"
    (tmp_path / "to").mkdir()
    if there != "dangling":
        target.write_bytes(OLD)
    (tmp_path / "middle").symlink_to(os.path.relpath(target, tmp_path))
    link = tmp_path / "link"
    link.symlink_to("middle" if there == "chain" else target)
    try:
        write_whole(link, NEW)
        assert link.is_symlink() and target.read_bytes() == NEW and not target.is_symlink()
        assert names(tmp_path) == ["link", "middle", "to"]
    finally:
        target.unlink()
    assert names(tmp_path / "to") == []


@pytest.mark.parametrize("size", [len(NEW), 0])
def test_a_pipe_is_sent_the_whole_and_stays(tmp_path, size):
    os.mkfifo(tmp_path / "pipe")
    got = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write_whole(tmp_path / "pipe", NEW[:size])
    reader.join(10)
    assert got == [NEW[:size]] and names(tmp_path) == ["pipe"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_pipe_is_sent_nothing_of_what_fails(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(ValueError, match="half"), whole_file(tmp_path / "pipe") as partial:
        partial.write_bytes(NEW[:100])
        raise ValueError("half")
    assert os.read(reader, 100) == b""
    os.close(reader)


@pytest.fixture
def device(tmp_path):
    """Private nodes: `null` takes everything, `full` nothing."""
    try:
        for name, minor in (("null", 3), ("full", 7)):
            os.mknod(tmp_path / name, stat.S_IFCHR | 0o666, os.makedev(1, minor))
        (tmp_path / "null").write_bytes(b"x")
    except PermissionError:
        pytest.skip("no devices can be made here")
    return tmp_path


def test_a_device_is_written_to_and_stays_one(device):
    write_whole(device / "null", NEW)
    (device / "link").symlink_to("null")
    write_whole(device / "link", NEW)
    with pytest.raises(UserError, match="full: No space left on device; make room"):
        with writing(device / "full", ""):
            write_whole(device / "full", NEW)
    assert names(device) == ["full", "link", "null"] and (device / "link").is_symlink()
    assert stat.S_ISCHR((device / "null").stat().st_mode)


@pytest.mark.parametrize(
    "make, number",
    [
        (Path.mkdir, errno.EISDIR),
        (lambda path: path.symlink_to(path), errno.ELOOP),
        (lambda path: path.symlink_to(path.parent), errno.EISDIR),
        (lambda path: path.symlink_to("no/where"), errno.ENOENT),
    ],
)
def test_a_folder_and_a_link_that_leads_nowhere_are_errors(tmp_path, make, number):
    make(tmp_path / "a")
    with pytest.raises(OSError) as error:
        write_whole(tmp_path / "a", NEW)
    assert error.value.errno == number and names(tmp_path) == ["a"]
    assert (tmp_path / "a").is_symlink() or (tmp_path / "a").is_dir()


# ----------------------------------------------------------------------------------------------
# Folders


def test_a_folder_is_there_when_it_is_whole(tmp_path):
    out = tmp_path / "deep" / "out"
    with pytest.raises(ValueError, match="half"), whole_folder(out) as folder:
        (folder / "a").write_bytes(OLD)
        raise ValueError("half")
    assert names(tmp_path) == []
    with whole_folder(out) as folder:
        assert PARTIAL.fullmatch(folder.name) and folder.parent == out.parent
        (folder / "a").write_bytes(OLD)
    assert names(out) == ["a"] and names(out.parent) == ["out"]
    assert mode(out) == 0o755


def test_a_folder_takes_the_place_of_an_empty_one_and_of_nothing_else(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    with whole_folder(tmp_path / "link") as folder:
        (folder / "a").write_bytes(OLD)
    assert names(tmp_path / "empty") == ["a"] and (tmp_path / "link").is_symlink()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(OLD)
    for name, number in (("empty", errno.ENOTEMPTY), ("pipe", 20), ("file", errno.ENOTDIR)):
        with pytest.raises(OSError) as error, whole_folder(tmp_path / name) as folder:
            (folder / "b").write_bytes(NEW)
        assert error.value.errno == number
    assert names(tmp_path) == ["empty", "file", "link", "pipe"]
    assert names(tmp_path / "empty") == ["a"]


# ----------------------------------------------------------------------------------------------
# Killed, and at once

KILLED = """
import sys, time
from pathlib import Path
from diffae.system.whole import whole_file, whole_folder
with {what}(Path(sys.argv[1])) as partial:
    target = partial / "b" if partial.is_dir() else partial
    target.write_bytes(b"half of it")
    print("written", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("what", ["whole_file", "whole_folder"])
def test_a_kill_leaves_the_old_and_a_remainder_that_is_known(tmp_path, what):
    out = tmp_path / "out"
    if what == "whole_file":
        out.write_bytes(OLD)
    (tmp_path / "movie.partial").write_bytes(b"of somebody")
    command = [sys.executable, "-S", "-c", KILLED.format(what=what), str(out)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env={"PYTHONPATH": str(ROOT)}
    ) as process:
        assert process.stdout.readline() == b"written\n"
        os.kill(process.pid, signal.SIGKILL)
    assert (out.read_bytes() == OLD) if what == "whole_file" else not out.exists()
    left = [path for path in tmp_path.iterdir() if PARTIAL.fullmatch(path.name)]
    assert len(left) == 1
    sweep(tmp_path.iterdir(), older=60)
    assert left[0].exists()  # somebody may be writing it
    sweep(tmp_path.iterdir())
    assert names(tmp_path) == ["movie.partial"] + ["out"] * (what == "whole_file")


def _write_often(path, letter):
    for _ in range(50):
        write_whole(path, letter * 100_000)


def test_two_that_write_at_once_leave_one_of_both(tmp_path):
    writers = [
        multiprocessing.get_context("fork").Process(
            target=_write_often, args=(tmp_path / "a", letter)
        )
        for letter in (b"x", b"y")
    ]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        if (tmp_path / "a").exists():
            assert (tmp_path / "a").read_bytes() in (b"x" * 100_000, b"y" * 100_000)
    assert [writer.exitcode for writer in writers] == [0, 0] and names(tmp_path) == ["a"]


def test_what_is_added_to_a_pipe_that_breaks_is_the_error_of_the_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    added = threading.Timer(0.2, os.close, [reader])
    added.start()
    with pytest.raises(BrokenPipeError):
        append(tmp_path / "pipe", b"x" * 1_000_000)
    added.join()


STREAMS = """
import sys
from pathlib import Path
from diffae.system.whole import write_whole
print("before")
write_whole(Path("/dev/{name}"), b"content\\n")
print("after")
"""


@pytest.mark.parametrize("to", ["", "> file", "| cat", "> link"])
def test_standard_output_is_written_to_in_order_wherever_it_goes(tmp_path, to):
    """To a file, too: it is not replaced under the program that writes to it."""
    (tmp_path / "link").symlink_to("file")
    code = STREAMS.format(name="stdout")
    command = ["bash", "-c", f'"$@" {to}', "bash", sys.executable, "-S", "-c", code]
    env = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env)
    said = (tmp_path / "file").read_text() if ">" in to else ended.stdout
    assert said == "before\ncontent\nafter\n", ended.stderr


def test_a_scratch_folder_that_was_moved_is_not_missed(tmp_path):
    with scratch_folder(tmp_path / "x" / "out") as folder:
        folder.rename(tmp_path / "kept")
    assert names(tmp_path) == ["kept"]
