"""Prepared copies: the data set's own pixels, even after a kill, and refused if they differ."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from data_files import refuses, write_idx, write_rows, write_zip
from interleaving import interleaved
from photo_tiles import encoded, tile
from PIL import Image
from refusal import refusal, refused_file

from diffae.checkpoints.trained_on import TrainedOn
from diffae.data import __main__ as command
from diffae.data import open_dataset, open_for_model, prepared
from diffae.data import prepare as module
from diffae.data.prepare import prepare
from diffae.data.prepared import HEADER, LABELS, NAMES, PIXELS, UNFINISHED
from diffae.system.errors import UserError

COUNT = 10


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    for index in range(COUNT):
        tile(index, 50 + index, 48).save(tmp_path / "photos" / "deep" / f"{index}.png")
    return tmp_path / "photos"


def celeba(path):
    """178 x 218 as JPEG, with attributes, a partition and identities."""
    (path / "img_align_celeba").mkdir(parents=True)
    names = [f"{index + 1:06d}.jpg" for index in range(COUNT)]
    for index, name in enumerate(names):
        tile(index, 178, 218).save(path / "img_align_celeba" / name)
    attributes = [f"{n} {(-1) ** i} 1" for i, n in enumerate(names)]
    write_rows(path / "list_attr_celeba.txt", [COUNT, "Male Young", *attributes])
    write_rows(path / "list_eval_partition.txt", [f"{n} {i % 3}" for i, n in enumerate(names)])
    write_rows(path / "identity_CelebA.txt", [f"{n} {i // 2}" for i, n in enumerate(names)])
    return path


def idx(path):
    grey = np.stack([np.asarray(tile(i, 28, 28).convert("L")) for i in range(COUNT)])
    return write_idx(path, train=(grey, np.arange(COUNT)), t10k=(grey, np.arange(COUNT)))


def zipped(path):
    entries = ((f"a/{index}.png", encoded(index)) for index in range(COUNT))
    return write_zip(path / "faces.zip", entries)


def contents(out):
    return {path.name: path.read_bytes() for path in out.iterdir()}


# ---------------------------------------------------------------------------------------------
# the same data set


@pytest.mark.parametrize(
    "make, size, crop", [(celeba, 64, "d2c"), (celeba, 64, "center"), (idx, 32, None), (zipped, 32, None)]
)  # fmt: skip
def test_a_copy_is_its_data_set(tmp_path, make, size, crop):
    path = make(tmp_path / "source")
    data, out = open_dataset(path, size, crop), tmp_path / "copy"
    prepare(data, out)
    copy = open_for_model(out, size)
    np.testing.assert_array_equal(copy.images(range(len(copy))), data.images(range(len(data))))
    for field in ("partition", "attributes", "identities"):
        np.testing.assert_array_equal(getattr(copy, field), getattr(data, field))
    for field in ("name", "attribute_names", "partition_source", "left_out"):
        assert getattr(copy, field) == getattr(data, field)
    assert copy.transform.describe() == data.transform.describe()
    assert copy.survey == data.survey
    every = range(len(data))
    assert [copy.name_of(i) for i in every] == [data.name_of(i) for i in every]
    # What NumPy maps, without any of this code.
    np.testing.assert_array_equal(np.load(out / PIXELS, mmap_mode="r"), data.images(every))


def test_what_was_trained_on_a_copy_is_known_on_the_data_set(folder, copied):
    trained = TrainedOn.describe("small", open_dataset(copied, 32), "train", 0)
    data = open_dataset(folder, 32)
    assert trained.saw(data, "train") and not trained.saw(data, "test")


def test_a_smaller_size_is_another_protocol(folder, copied):
    """Resampled twice: as Pillow scales the squares of the copy, and not the files."""
    data, copy = open_dataset(folder, 32), open_dataset(copied, 16)
    twice = [
        np.asarray(Image.fromarray(square).resize((16, 16), Image.Resampling.BILINEAR))
        for square in data.images(range(COUNT))
    ]
    np.testing.assert_array_equal(copy.images(range(COUNT)), twice)
    assert copy.transform.describe() == data.at(16).transform.describe() | {"prepared": 32}
    assert copy.at(32).transform.describe() == data.transform.describe()
    assert not np.array_equal(copy.images([0]), data.at(16).images([0]))


def test_what_a_copy_cannot_give_is_refused(copied, tmp_path, capsys):
    too_large = "a copy of 32 px gives no images of 64 px; .*--size 64"
    refuses(copied, f"copy: {too_large}", 64)
    with pytest.raises(UserError, match=too_large):
        open_dataset(copied, 32).at(64)
    with pytest.raises(UserError, match=r"were cut with crop center; leave out --crop d2c"):
        open_dataset(copied, 32, "d2c")
    with pytest.raises(IndexError):
        open_dataset(copied, 32).images([COUNT])
    line = refusal(command.main, capsys, "prepare", copied, tmp_path / "again", "--size", 16)
    assert "a prepared copy already; give what it was made of" in line


# ---------------------------------------------------------------------------------------------
# damaged images


@pytest.fixture
def damaged(folder):
    for index in (0, 4):
        os.truncate(folder / "deep" / f"{index}.png", 200)
    return folder


@pytest.fixture
def copied(folder, tmp_path):
    """A copy of the folder's images at 32 px."""
    prepare(open_dataset(folder, 32), tmp_path / "copy")
    return tmp_path / "copy"


def test_damaged_images_are_left_out_and_named(damaged, tmp_path, capsys):
    out = tmp_path / "copy"
    command.main(["prepare", str(damaged), str(out), "--size", "32", "--workers", "1"])
    told = capsys.readouterr().out
    assert "8 of 10 images, 32 x 32" in told and "deep/4.png: cannot read this image" in told
    data, copy = open_dataset(damaged, 32), open_dataset(out, 32)
    kept = [1, 2, 3, 5, 6, 7, 8, 9]
    np.testing.assert_array_equal(copy.images(range(8)), data.images(kept))
    np.testing.assert_array_equal(copy.partition, data.partition[kept])
    np.testing.assert_array_equal(np.load(out / PIXELS), data.images(kept))
    assert [copy.name_of(i) for i in range(8)] == [data.name_of(i) for i in kept]
    assert copy.name == "photos-subset" and copy.fingerprint != data.fingerprint
    assert copy.left_out == ("2 damaged images that the copy is without: deep/0.png, deep/4.png",)


def test_strict_refuses_a_damaged_image_and_goes_on_when_it_is_mended(damaged, tmp_path, capsys):
    words = ["prepare", str(damaged), str(tmp_path / "copy"), "--size", "32", "--workers", "1"]
    line = refusal(command.main, capsys, *words, "--strict")
    assert f"{damaged}/deep/0.png: cannot read this image" in line
    for index in (0, 4):
        tile(index).save(damaged / "deep" / f"{index}.png")
    command.main([*words, "--strict"])
    data, copy = open_dataset(damaged, 32), open_dataset(tmp_path / "copy", 32)
    np.testing.assert_array_equal(copy.images(range(10)), data.images(range(10)))


def test_strict_refuses_a_finished_copy_that_left_images_out(damaged, copied, capsys):
    words = ["prepare", str(damaged), str(copied), "--size", "32", "--workers", "1"]
    line = refusal(command.main, capsys, *words, "--strict")
    assert f"{copied}: without deep/0.png (cannot read this image" in line
    command.main(words)  # found finished


def test_a_damaged_entry_of_a_zip_file_is_left_out(tmp_path):
    """Its bytes cannot be had, so that the file as such has no fingerprint; the copy has."""
    path = zipped(tmp_path / "source")
    content = bytearray(path.read_bytes())
    offset = content.index(b"a/3.png") - 30  # of its local header
    content[offset + 200] ^= 255
    path.write_bytes(content)
    header = prepare(open_dataset(path, 32), tmp_path / "copy")
    assert list(header.skipped) == ["entry a/3.png"] and "CRC" in header.skipped["entry a/3.png"]
    assert len(open_dataset(tmp_path / "copy", 32).fingerprint) == 64


def test_nothing_but_damaged_images(folder, tmp_path):
    for path in (folder / "deep").iterdir():
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"/deep/0\.png: cannot read this image"):
        prepare(open_dataset(folder, 32), tmp_path / "copy")


def test_images_that_were_enlarged_are_counted(folder, tmp_path):
    tile(0, 20, 30).save(folder / "deep" / "7.png")
    assert prepare(open_dataset(folder, 32), tmp_path / "copy").enlarged == 1


# ---------------------------------------------------------------------------------------------
# interruptions


class Killed(BaseException):
    pass


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 3)


@pytest.fixture(params=["whole", "damaged"])
def source(request, folder):
    return request.getfixturevalue("damaged") if request.param == "damaged" else folder


def kill_at(monkeypatch, moment):
    """Raise `Killed` before the file operation number `moment`, whichever it is; True once it came
    to that.
    """
    count, reached = iter(range(10_000)), []

    def counted(real):
        def call(*args, **kwargs):
            if next(count) == moment:
                reached.append(True)
                raise Killed
            return real(*args, **kwargs)

        return call

    monkeypatch.setattr(module, "write_whole", counted(module.write_whole))
    monkeypatch.setattr(os, "replace", counted(os.replace))
    monkeypatch.setattr(os, "fsync", counted(os.fsync))
    monkeypatch.setattr(module, "_copied", counted(module._copied))
    return reached


def test_a_kill_at_any_moment_costs_nothing_but_time(source, tmp_path, small_chunks, monkeypatch):
    """Before every read, write and rename of a whole copy; what is left is never taken for a copy."""
    data = open_dataset(source, 32)
    prepare(data, tmp_path / "whole")
    expected = contents(tmp_path / "whole")
    assert expected.keys() == {"lock", HEADER, LABELS, NAMES, PIXELS}
    for moment in range(1000):
        out = tmp_path / f"copy{moment}"
        with monkeypatch.context() as patch:
            reached = kill_at(patch, moment)
            try:
                prepare(open_dataset(source, 32), out)
            except Killed:
                pass
        if not reached:
            assert moment > 8
            break
        if not (out / HEADER).exists() and (out / UNFINISHED).exists():
            refuses(out, "a copy that is not finished; run its `prepare`", 32)
        prepare(open_dataset(source, 32), out)
        assert contents(out) == expected
        shutil.rmtree(out)


def test_what_was_copied_is_not_copied_again(folder, copied, monkeypatch):
    monkeypatch.setattr(module, "_copy", None)
    before = contents(copied)
    prepare(open_dataset(folder, 32), copied)
    assert contents(copied) == before


@pytest.mark.parametrize("change", ["written to", "added", "taken out"])
def test_data_that_changes_under_the_run_makes_no_copy(folder, tmp_path, monkeypatch, change):
    real = module._copied

    def call(*job):
        if change == "taken out":
            (folder / "deep" / "9.png").unlink()
        else:
            tile(30).save(folder / "deep" / ("2.png" if change == "written to" else "x.png"))
        return real(*job)

    monkeypatch.setattr(module, "_copied", call)
    with pytest.raises(UserError, match=r"photos: its files changed meanwhile|cannot read"):
        prepare(open_dataset(folder, 32), tmp_path / "copy")
    assert not (tmp_path / "copy" / HEADER).exists()


@pytest.mark.slow
def test_killed_processes_leave_none_behind_and_lose_nothing(tmp_path):
    """SIGKILL of the command at random moments, with two processes that read; the copy is that of
    one run.
    """
    source = tmp_path / "photos"
    source.mkdir()
    for index in range(1000):
        if index < 10:
            tile(index, 500, 360).save(source / f"{index:04d}.png")
        else:
            os.link(source / f"{index % 10:04d}.png", source / f"{index:04d}.png")
    prepare(open_dataset(source, 48), tmp_path / "whole")
    words = [sys.executable, "-m", "diffae.data", "prepare", str(source), str(tmp_path / "copy")]
    words += ["--size", "48", "--workers", "2"]
    draws, kills = np.random.default_rng(0), 0
    while not (tmp_path / "copy" / HEADER).exists():
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(draws.uniform(0.6, 2) if kills < 6 else 300)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
    assert kills
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    assert contents(tmp_path / "copy") == contents(tmp_path / "whole")
    time.sleep(1)
    ours = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            ours += [words] if str(tmp_path).encode() in (words := path.read_bytes()) else []
    assert not ours


def test_processes_write_what_one_writes(damaged, tmp_path, small_chunks):
    prepare(open_dataset(damaged, 32), tmp_path / "one")
    prepare(open_dataset(damaged, 32), tmp_path / "two", workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


# ---------------------------------------------------------------------------------------------
# refusals


def test_places_that_are_refused(folder, tmp_path, capsys):
    words = ["--size", 32, "--workers", 1]
    line = refusal(command.main, capsys, "prepare", folder, folder / "copy", *words)
    assert f"copy: is inside {folder}, which must not change" in line
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    line = refusal(command.main, capsys, "prepare", folder, tmp_path / "mine", *words)
    assert "mine: exists and holds something else; choose another folder" in line
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
    line = refusal(command.main, capsys, "prepare", folder, tmp_path / "copy", "--size", 64)
    assert f"{folder}: images of 48 px would be enlarged; use --size 48" in line
    assert not (tmp_path / "copy").exists()


def test_another_copy_in_the_same_folder_is_refused(folder, copied):
    with pytest.raises(UserError, match="a copy of other data, or at another size or crop"):
        prepare(open_dataset(folder, 16), copied)
    tile(20).save(folder / "deep" / "0.png")
    with pytest.raises(UserError, match="a copy of other data"):
        prepare(open_dataset(folder, 32), copied)


@pytest.mark.parametrize("name", [HEADER, LABELS, NAMES, PIXELS])
@pytest.mark.parametrize("how", ["a byte", "cut short", "gone"])
def test_a_damaged_copy_is_named(copied, name, how):
    path = copied / name
    content = bytearray(path.read_bytes())
    if how == "a byte":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif how == "cut short":
        path.write_bytes(content[:-10])
    else:
        path.unlink()
    if (name, how) == (HEADER, "gone"):
        assert not prepared.is_prepared(copied)  # nothing says that this was a copy
        return
    refused_file(lambda _: open_dataset(copied, 32).fingerprint, path)  # every byte is read


def test_a_copy_that_is_cut_short_under_the_run_is_an_error(copied):
    """With a mapped file it would be the end of the process."""
    copy = open_dataset(copied, 32)
    copy.images([0])
    os.truncate(copied / PIXELS, 5000)
    with pytest.raises(UserError, match=r"pixels\.npy: ends before image 9; prepare it again"):
        copy.images([0, 9])


def test_a_header_that_is_not_sealed_or_of_another_version_is_refused(copied):
    path = copied / HEADER
    whole = json.loads(path.read_text())
    content, more = whole["content"], {"mirrored": True}
    others = [content | more, content | {"version": 2}]
    others += [{k: v for k, v in content.items() if k != "state"}]
    for other in others:
        path.write_bytes(prepared.sealed(other))
        refuses(copied, rf"^{path}: written by a different version", 32)
    path.write_text(json.dumps(whole | {"content": content | {"images": 9}}))
    refuses(copied, "damaged, or not ours", 32)


def test_a_full_disk_is_one_line(folder, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 30_719))
        with pytest.raises(
            UserError, match=r"copy: 30\.7 kB are needed, and 30\.7 kB are free; make"
        ):
            prepare(open_dataset(folder, 32), tmp_path / "copy")
    monkeypatch.setattr(module, "_copied", refuse)
    with pytest.raises(UserError, match=r"copy: No space left on device; make room or choose"):
        prepare(open_dataset(folder, 32), tmp_path / "copy")


def test_check_looks_at_a_copy_at_its_own_size(copied, capsys):
    command.main(["check", str(copied)])
    told = capsys.readouterr().out
    assert "prepared copy" in told and "center, then 32 x 32" in told


def test_a_copy_is_recognised_while_another_process_finishes_it(tmp_path):
    def begun(out):
        out.mkdir(parents=True)
        (out / UNFINISHED).touch()
        return prepared.is_prepared(out)

    def finished(out):
        (out / HEADER).touch()
        (out / UNFINISHED).unlink(missing_ok=True)

    places = [*interleaved(tmp_path, prepared.is_prepared, begun, finished)]
    assert places and all(ends == [True, None] for ends in places)
