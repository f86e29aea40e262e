"""Untrusted images: unusual ones are read correctly, malicious ones are refused in one line."""

import errno
import os
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from data_files import refuses, write_tar, write_zip
from in_process import signals_kept
from PIL import Image
from refusal import refusal

from diffae.data import open_dataset
from diffae.data.__main__ import main
from diffae.data.transforms import Transform, decode
from diffae.system import cli
from diffae.system.cli import printable
from diffae.system.errors import UserError

RED, GREEN = (255, 0, 0), (0, 255, 0)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, colour, rows, *more):
    """A PNG to the letter of the format: what Pillow would not write."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    end = (chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join([chunk(b"IHDR", header), *more, *end])


def write_images(folder, names=("a.png", "b.png", "c.png")):
    folder.mkdir(parents=True, exist_ok=True)
    for value, name in enumerate(names):
        Image.new("RGB", (16, 16), (10 * value, 0, 0)).save(folder / name, format="PNG")
    return folder


def seen(path):
    """The pixels that a model of 16 px would see of an image."""
    return Transform(16).apply(decode(path), str(path))


# ----------------------------------------------------------------------------------------------
# Odd, and read


@pytest.mark.parametrize(
    ("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)], ids=["grey", "rgb", "la", "rgba"]
)
def test_16_bit_of_every_kind_is_scaled_not_clipped(tmp_path, colour, channels):
    values = np.array([0, 257, 256, 0x8000, 0xFEFE, 0xFFFF], ">u2")
    rows = np.repeat(values[:, None], channels, axis=1)
    if colour in (4, 6):
        rows[:, -1] = 0xFFFF
    (tmp_path / "deep.png").write_bytes(png(6, 1, 16, colour, b"\0" + rows.tobytes()))
    pixels = np.asarray(decode(tmp_path / "deep.png"))
    tolerance = 1 if channels > 1 else 0
    np.testing.assert_allclose(pixels[0, :, 0], [0, 1, 1, 128, 254, 255], atol=tolerance)
    assert (pixels == pixels[..., :1]).all()


def test_the_transparent_grey_of_a_16_bit_image_becomes_white(tmp_path):
    rows = b"\0" + np.array([0, 0x80FF, 0x8100], ">u2").tobytes()
    transparent = chunk(b"tRNS", struct.pack(">H", 0x80FF))
    (tmp_path / "a.png").write_bytes(png(3, 1, 16, 0, rows, transparent))
    np.testing.assert_array_equal(np.asarray(decode(tmp_path / "a.png"))[0, :, 0], [0, 255, 128])


@pytest.mark.parametrize("suffix", ["png", "webp", "gif", "mpo"])
def test_of_an_animation_the_first_frame_is_seen(tmp_path, suffix):
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, GREEN)]
    options = {"lossless": True} if suffix == "webp" else {}
    written = tmp_path / f"moving.{suffix}"
    frames[0].save(written, save_all=True, append_images=frames[1:], **options)
    path = written.rename(written.with_suffix(".jpg" if suffix == "mpo" else ".png"))
    np.testing.assert_allclose(seen(path), np.broadcast_to(RED, (16, 16, 3)), atol=1)


ODD_NAMES = ["två\nrader.png", "\x1b[2J.png", "絵 1.png", "=1+1,'\"|<script>.png", "a\r.png"]


def test_any_name_that_a_file_can_have_is_read(tmp_path):
    folder = write_images(tmp_path / "odd", ODD_NAMES)
    Image.new("RGB", (16, 16)).save(os.fsencode(folder) + b"/\xff\xfe.png")  # no Unicode at all
    data = open_dataset(folder, 16)
    assert len(data) == 6 and len(data.fingerprint) == 64
    np.testing.assert_array_equal(
        np.sort(data.load_all(range(6))[:, 0, 0, 0]), [0, 0, 10, 20, 30, 40]
    )


def test_a_full_disk_under_an_odd_name_is_one_line(capsys):
    def write(_):
        raise OSError(errno.ENOSPC, "No space left on device", "two\nlines.csv")

    assert "two\\nlines.csv" in refusal(write, capsys)


@pytest.mark.parametrize("name", [b"two\nlines.png", b"\x1b[2J.png", b"\xff\xfe.png"])
def test_a_bad_file_of_any_name_is_one_line(tmp_path, capsys, name):
    write_images(tmp_path / "odd")
    with open(os.fsencode(tmp_path / "odd") + b"/" + name, "wb"):
        pass
    line = refusal(main, capsys, "check", tmp_path / "odd")
    assert f"/{printable(os.fsdecode(name))}: cannot read this image" in line
    assert line[:-1].isprintable()


def test_a_data_sets_name_is_one_line(tmp_path, capsys):
    write_images(tmp_path / "two\nlines\x1b[2J")
    assert open_dataset(tmp_path / "two\nlines\x1b[2J", 16).name == "two\\nlines\\x1b[2J"
    main(["check", str(tmp_path / "two\nlines\x1b[2J")])
    assert "\x1b" not in capsys.readouterr().out


def test_copies_are_kept_and_counted(tmp_path, capsys):
    folder = write_images(tmp_path / "set")
    for name in ("d.png", "e.png"):
        (folder / name).write_bytes((folder / "a.png").read_bytes())
    (folder / "f.png").symlink_to(folder / "b.png")
    assert len(open_dataset(folder, 16)) == 6
    main(["check", str(folder), "--size", "16"])
    assert "copies       3 of these have the pixels of an earlier one" in capsys.readouterr().out


# ----------------------------------------------------------------------------------------------
# Hostile, and refused


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\nshowpage\n%%EOF\n"
HOSTILE = {
    "program.png": (lambda tmp: POSTSCRIPT, "none of PNG, JPEG"),
    "bomb.png": (
        lambda tmp: png(20_000, 20_000, 1, 0, bytes(2501 * 20_000)),  # in 50 kB
        r"400000000 pixels\) exceeds limit",
    ),
    "strip.png": (
        lambda tmp: png(1, 2_000_000, 1, 0, bytes(4_000_000)),
        r"strip.png: takes .* of memory",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_image_is_one_line(tmp_path, capsys, name):
    content, message = HOSTILE[name]
    folder = write_images(tmp_path / "set")
    (folder / name).write_bytes(content(tmp_path))
    line = refusal(main, capsys, "check", folder, "--size", "1024")
    assert line.startswith(f"error: {folder / name}: ")
    with pytest.raises(UserError, match=message):
        open_dataset(folder, 1024).load_all(range(4))
    assert line.endswith(("remove it\n", "or more memory\n"))


def test_a_named_pipe_is_refused_not_waited_for(tmp_path, capsys):
    folder = write_images(tmp_path / "set")
    os.mkfifo(folder / "pipe.png")
    line = refusal(main, capsys, "check", folder)
    assert f"{folder / 'pipe.png'}: a pipe, not a file" in line


@pytest.mark.parametrize(
    ("size", "said", "message"),
    [
        (1000, 1 << 31, "takes .* of memory|cannot read this image"),
        (50_000_000, 1000, "damaged .*CRC"),
    ],
)
def test_an_entry_that_unpacks_to_gigabytes_or_to_more_than_it_says(tmp_path, size, said, message):
    entries = [("a.png", bytes(size))]
    path = write_zip(tmp_path / "a.zip", entries, zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    directory = content.rindex(b"PK\1\2")
    content[directory + 24 : directory + 28] = struct.pack("<I", said)
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"^{path}, entry a\.png: ({message})"):
        open_dataset(path, 16).images([0])


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_in_a_zip_file_is_refused(tmp_path, capsys):
    content = write_images(tmp_path / "set") / "a.png"
    path = write_zip(tmp_path / "a.zip", [("a.png", content.read_bytes())] * 2)
    assert f"{path}: entry a.png is listed 2 times" in refusal(main, capsys, "check", path)


# ----------------------------------------------------------------------------------------------
# Pictures of other formats under a name that is read


@pytest.mark.parametrize(
    "content", ["AVIF", "TIFF", "ICO", b"\0\0\0\x18ftypheic\0\0\0\0mif1" + bytes(64)]
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_picture_of_another_format_is_refused(tmp_path, capsys, content, packed):
    """Whatever its name says."""
    folder = write_images(tmp_path / "set")
    path = folder / "phone.jpg"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        Image.new("RGB", (32, 32)).save(path, format=content)
    if packed:
        entries = [(file.name, file.read_bytes()) for file in sorted(folder.iterdir())]
        folder = write_zip(tmp_path / "set.zip", entries)
    line = refusal(main, capsys, "check", folder)
    assert (
        "phone.jpg: cannot read this image (damaged, or none of PNG, JPEG, WEBP, BMP, GIF)" in line
    )


def test_pillow_warns_of_nothing(tmp_path, capsys, recwarn):
    """An image of 100 million pixels is read, and what Pillow thinks of that is no line of ours."""
    folder = write_images(tmp_path / "set")
    (folder / "large.png").write_bytes(png(10_000, 10_000, 1, 0, bytes(1251 * 10_000)))
    with signals_kept(), pytest.raises(SystemExit) as ended:
        cli.run(lambda: main(["check", str(folder), "--size", "16"]))
    assert ended.value.code == 0 and not recwarn.list
    assert "Warning" not in capsys.readouterr().err


# ----------------------------------------------------------------------------------------------
# Folders without permission


@pytest.fixture
def nobody():
    """As another user, for whom permissions count: root may read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


def test_a_folder_without_permission_is_named_itself(capsys, nobody):
    """`CelebA-HQ-img` was blamed, which nobody had spoken of."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o000)
        line = refusal(main, capsys, "check", folder)
        assert line == f"error: {folder}: no permission to read this folder\n"
        os.chmod(folder, 0o700)


def test_a_folder_beside_shards_that_cannot_be_listed(nobody, monkeypatch):
    """Such as the `lost+found` of a disk; in a folder of images it is refused, as images may be there."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        monkeypatch.setenv("DIFFAE_CACHE", str(folder / "cache"))
        shard = write_tar(folder / "a.tar", [("a.png", png(1, 1, 8, 2, b"\0\xff\0\0"))])
        (folder / "lost+found").mkdir(0o000)
        data = open_dataset(folder, 16)
        assert len(data) == 1 and data.left_out == ("1 folder that cannot be listed",)
        shard.unlink()
        refuses(folder, r"lost\+found: cannot list this folder \(Permission denied\)", 16)
        (folder / "lost+found").chmod(0o700)
