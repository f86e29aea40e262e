"""Untrusted files: checked before they are opened, and limited in size before they are read."""

import os
import socket
from pathlib import Path

import pytest

from diffae.system.errors import UserError
from diffae.system.files import amount, cache_root, file_size, read_file, read_text


def test_a_file_and_a_link_to_it_are_read(tmp_path):
    (tmp_path / "a").write_bytes(b"\0\xff content")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for name in ("a", "b"):
        assert read_file(tmp_path / name, 10) == b"\0\xff content"
        assert file_size(tmp_path / name) == 10


def test_one_byte_too_many_is_refused_before_it_is_read(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    with pytest.raises(UserError, match=r"/a: 5 bytes, and at most 4 are read"):
        read_file(tmp_path / "a", 4)
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(2**42)  # 4 TB of holes: read, it would not fit
    with pytest.raises(UserError, match=r"/huge: 4,398,046,511,104 bytes"):
        read_text(tmp_path / "huge")


def test_pipes_folders_and_devices_are_not_opened(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)
        server.bind("socket")
    for path, kind in {
        tmp_path / "pipe": "a pipe",
        tmp_path / "link": "a pipe",
        tmp_path: "a folder",
        tmp_path / "socket": "a socket",
        Path("/dev/zero"): "a device",
    }.items():
        with pytest.raises(UserError) as error:
            read_file(path, 10)
        assert str(error.value) == f"{path}: {kind}, not a file"


def test_what_is_not_there_or_may_not_be_read_is_one_line(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    for path, reason in {
        tmp_path / "nothing": "no such file",
        tmp_path / "dangling": "no such file",
        tmp_path / "loop": "too many levels of symbolic links",
        tmp_path / ("x" * 300): "file name too long",
        Path("a\0b"): "embedded null ",  # byte, or since Python 3.13 character in path
    }.items():
        with pytest.raises(UserError) as error:
            read_file(path, 10)
        assert reason in str(error.value) and "\n" not in str(error.value)


def test_text_has_a_mark_or_none_and_is_utf8(tmp_path):
    path = tmp_path / "a.txt"
    for data, text in {b"\xef\xbb\xbfa\r\nb": "a\r\nb", "é".encode(): "é", b"": ""}.items():
        path.write_bytes(data)
        assert read_text(path) == text
    path.write_bytes(b"abc\xff")
    with pytest.raises(UserError, match=r"a\.txt: byte 3 is not UTF-8 text"):
        read_text(path)


# ----------------------------------------------------------------------------------------------
# The cache folder


@pytest.mark.parametrize(
    ("setting", "folder"),
    [(None, "{home}/.cache/diffae"), ("", "{home}/.cache/diffae"), ("~/x", "{home}/x"), ("y", "y")],
)
def test_the_cache_is_where_a_shell_would_put_it(monkeypatch, tmp_path, setting, folder):
    """Empty made `./store`, and `~/x` a folder called `~`."""
    monkeypatch.setenv("HOME", str(tmp_path))
    if setting is None:
        monkeypatch.delenv("DIFFAE_CACHE", raising=False)
    else:
        monkeypatch.setenv("DIFFAE_CACHE", setting)
    assert str(cache_root()) == folder.format(home=tmp_path)


def test_without_a_home_the_cache_must_be_named(monkeypatch):
    monkeypatch.setenv("DIFFAE_CACHE", "~nobody-of-this-name/x")
    with pytest.raises(UserError, match="no home folder here; set DIFFAE_CACHE"):
        cache_root()


@pytest.mark.parametrize(
    "size, text",
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (2_340_000, "2.3 MB"), (10**12, "1000.0 GB")],
)  # fmt: skip
def test_bytes_are_told_in_a_unit_of_which_there_is_one(size, text):
    assert amount(size) == text
