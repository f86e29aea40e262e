"""Files and folders are written whole or not at all, and nothing but a regular file is replaced."""

import errno
import multiprocessing
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from diffae.checkpoints.checkpoint import write_tensors
from diffae.system.errors import UserError
from diffae.system.files import writing
from diffae.system.whole import (
    PARTIAL,
    is_partial,
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


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, fault):
    (tmp_path / "a").write_bytes(OLD)
    with pytest.raises(fault), whole_file(tmp_path / "a") as partial:
        partial.write_bytes(NEW[:100])
        raise fault
    assert (tmp_path / "a").read_bytes() == OLD and names(tmp_path) == ["a"]


@pytest.mark.parametrize("umask_, made", [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_mode_of_any_and_a_replaced_one_keeps_its_own(tmp_path, umask_, made):
    os.umask(umask_)
    write_whole(tmp_path / "new", NEW)
    write_tensors({"x": torch.ones(2)}, tmp_path / "tensors")  # safetensors makes it 0600
    assert (mode(tmp_path / "new"), mode(tmp_path / "tensors")) == (made, made)
    (tmp_path / "secret").touch(0o600)
    write_whole(tmp_path / "secret", NEW)
    assert mode(tmp_path / "secret") == 0o600


@pytest.mark.parametrize("link", ["direct", "of a link", "dangling"])
def test_a_link_is_followed_and_its_target_replaced(tmp_path, link):
    (tmp_path / "to").mkdir()
    target = tmp_path / "to" / "target"
    if link != "dangling":
        target.write_bytes(OLD)
    (tmp_path / "direct").symlink_to("to/target")
    (tmp_path / "of a link").symlink_to("direct")
    (tmp_path / "dangling").symlink_to(target)
    with whole_file(tmp_path / link) as partial:
        assert partial.parent == target.parent  # which may be on another disk
        partial.write_bytes(NEW)
    assert (tmp_path / link).is_symlink() and target.read_bytes() == NEW
    assert names(tmp_path / "to") == ["target"] and not target.is_symlink()


def test_a_pipe_is_sent_the_whole_or_nothing_and_stays(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(ValueError, match="half"), whole_file(tmp_path / "pipe") as partial:
        partial.write_bytes(NEW[:100])
        raise ValueError("half")
    write_whole(tmp_path / "pipe", NEW[:1000])
    assert os.read(reader, 2000) == NEW[:1000] and names(tmp_path) == ["pipe"]
    os.close(reader)


def test_a_device_is_written_to_and_stays_one(tmp_path):
    try:
        os.mknod(tmp_path / "full", stat.S_IFCHR | 0o666, os.makedev(1, 7))
        (tmp_path / "full").write_bytes(b"")
    except PermissionError:
        pytest.skip("no devices can be made here")
    (tmp_path / "link").symlink_to("full")
    for name in ("full", "link"):
        with pytest.raises(UserError, match=f"{name}: No space left on device; make room"):
            with writing(tmp_path / name, ""):
                write_whole(tmp_path / name, NEW)
    assert names(tmp_path) == ["full", "link"] and (tmp_path / "link").is_symlink()
    assert stat.S_ISCHR((tmp_path / "full").stat().st_mode)


@pytest.mark.parametrize(
    "target, number",
    [(None, errno.EISDIR), ("a", errno.ELOOP), (".", errno.EISDIR), ("no/where", errno.ENOENT)],
)
def test_a_folder_and_a_link_that_leads_nowhere_are_errors(tmp_path, target, number):
    if target is None:
        (tmp_path / "a").mkdir()
    else:
        (tmp_path / "a").symlink_to(target)
    with pytest.raises(OSError) as error:
        write_whole(tmp_path / "a", NEW)
    assert error.value.errno == number and names(tmp_path) == ["a"]
    assert (tmp_path / "a").is_symlink() == (target is not None)


# ----------------------------------------------------------------------------------------------
# Folders


def test_a_folder_is_there_when_it_is_whole(tmp_path):
    out = tmp_path / "deep" / "out"
    with pytest.raises(ValueError, match="half"), whole_folder(out) as folder:
        (folder / "a").write_bytes(OLD)
        raise ValueError("half")
    assert names(out.parent) == []
    with whole_folder(out) as folder:
        assert PARTIAL.fullmatch(folder.name) and folder.parent == out.parent
        (folder / "a").write_bytes(OLD)
    assert names(out) == ["a"] and names(out.parent) == ["out"]
    assert mode(out) == 0o755


def test_a_folder_takes_the_place_of_an_empty_one_and_of_nothing_else(tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "link").symlink_to("taken")
    with whole_folder(tmp_path / "link") as folder:
        (folder / "a").write_bytes(OLD)
    assert names(tmp_path / "taken") == ["a"] and (tmp_path / "link").is_symlink()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(OLD)
    for name in ("taken", "pipe", "file"):
        with pytest.raises(OSError, match="not empty|Not a directory"):
            with whole_folder(tmp_path / name) as folder:
                (folder / "b").write_bytes(NEW)
    assert names(tmp_path) == ["file", "link", "pipe", "taken"]
    assert names(tmp_path / "taken") == ["a"]


# ----------------------------------------------------------------------------------------------
# Killed, and at once

KILLED = """
import sys, time
from pathlib import Path
from diffae.system.whole import whole_file, whole_folder
with whole_file(Path("file")) as file, whole_folder(Path("folder")) as folder:
    file.write_bytes(b"half of it")
    (folder / "a").write_bytes(b"half of it")
    print("written", flush=True)
    time.sleep(60)
"""


def test_a_kill_leaves_the_old_and_remainders_that_are_swept(tmp_path):
    (tmp_path / "file").write_bytes(OLD)
    (tmp_path / "movie.partial").write_bytes(b"of somebody")
    command = [sys.executable, "-S", "-c", KILLED]
    environment = {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, cwd=tmp_path, env=environment
    ) as process:
        assert process.stdout.readline() == b"written\n"
        process.kill()
    assert (tmp_path / "file").read_bytes() == OLD and not (tmp_path / "folder").exists()
    left = {path for path in tmp_path.iterdir() if PARTIAL.fullmatch(path.name)}
    assert len(left) == 2
    sweep(tmp_path.iterdir())
    assert names(tmp_path) == ["file", "movie.partial"]


def test_two_that_write_at_once_leave_the_content_of_one(tmp_path):
    def write_often(letter):
        for _ in range(50):
            write_whole(tmp_path / "a", letter * 100_000)

    fork = multiprocessing.get_context("fork")
    writers = [fork.Process(target=write_often, args=(letter,)) for letter in (b"x", b"y")]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        if (tmp_path / "a").exists():
            assert (tmp_path / "a").read_bytes() in (b"x" * 100_000, b"y" * 100_000)
    assert [writer.exitcode for writer in writers] == [0, 0] and names(tmp_path) == ["a"]


STREAMS = """
from pathlib import Path
from diffae.system.whole import write_whole
print("before")
write_whole(Path("/dev/stdout"), b"content\\n")
print("after")
"""


@pytest.mark.parametrize("to", ["", "> file", "| cat"])
def test_standard_output_is_written_to_in_order_wherever_it_goes(tmp_path, to):
    """To a file, too: it is not replaced under the program that writes to it."""
    command = ["bash", "-c", f'"$@" {to}', "bash", sys.executable, "-S", "-c", STREAMS]
    env = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env)
    output = (tmp_path / "file").read_text() if ">" in to else ended.stdout
    assert output == "before\ncontent\nafter\n", ended.stderr
