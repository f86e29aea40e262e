"""Commands write through one helper: an output may be a link, a pipe or a device, and what was
there before stays whole until the new content is.
"""

import contextlib
import io
import os
import resource
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from refusal import refusal
from runs import KEY, SSIM, change_notes, gate_run

from benchmarks import measure
from diffae import convert
from diffae.data import __main__ as data_command
from reports import compare, make

# A command's words, the output last.
SINGLE = {
    "gate as JUnit": (compare.main, "run run --junit"),
    "gate's page": (compare.main, "run run --page"),
    "table": (make.main, "run --table reconstruction --out"),
    "citations": (make.main, "run --cite --out"),
    "contact sheet": (data_command.main, "check images --size 8 --sheet"),
    "statistics": (measure.main, "fd_effnet images --save"),
}


@pytest.fixture
def ground(tmp_path, monkeypatch):
    """A folder with a finished run and three images."""
    monkeypatch.chdir(tmp_path)
    change_notes(gate_run(Path("run"), {KEY: SSIM}), ended="2026-01-01T00:00:00+00:00")
    Path("images").mkdir()
    for i in range(3):
        Image.fromarray(np.full((16, 16, 3), 80 * i, np.uint8)).save(f"images/{i}.png")
    return tmp_path


def write(case, path):
    main, words = SINGLE[case]
    main([*words.split(), str(path)])


def same(case, content, expected):
    """Equal bytes, but for the times in a zip's directory."""
    if case != "statistics":
        return content == expected
    a, b = np.load(io.BytesIO(content)), np.load(io.BytesIO(expected))
    return all(np.array_equal(a[name], b[name]) for name in ("mu", "sigma", "n"))


@pytest.mark.parametrize("case", SINGLE)
def test_an_output_may_be_a_link_a_pipe_or_a_device(case, ground):
    write(case, "plain")
    expected = Path("plain").read_bytes()
    Path("link").symlink_to("target")
    write(case, "link")
    assert Path("link").is_symlink() and same(case, Path("target").read_bytes(), expected)
    os.mkfifo("pipe")
    with ThreadPoolExecutor() as threads:
        sent = threads.submit(Path("pipe").read_bytes)
        write(case, "pipe")
        assert same(case, sent.result(10), expected)
    assert stat.S_ISFIFO(os.stat("pipe").st_mode)
    with contextlib.suppress(PermissionError):  # a private /dev/null, where one can be made
        os.mknod("null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        write(case, "null")
        assert stat.S_ISCHR(os.lstat("null").st_mode)
    assert not list(Path().glob("*.partial"))


@contextlib.contextmanager
def nearly_full(most):
    """A disk that takes no file of more than `most` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def contents():
    return {path: path.is_file() and path.read_bytes() for path in Path().rglob("*")}


@pytest.mark.parametrize("case", ["gate's page", "contact sheet", "statistics"])
def test_a_write_that_fails_leaves_what_was_there(case, ground, capsys):
    write(case, "plain")
    before = contents()
    main, words = SINGLE[case]
    with nearly_full(100):
        line = refusal(main, capsys, *words.split(), "plain")
    assert "plain: " in line and "File too large" in line and contents() == before


@pytest.mark.parametrize("source", ["portraits", "portraits-ddim"])
def test_a_conversion_touches_nothing_beside_its_folder(source, ground, capsys):
    """A folder OUT.partial may be anybody's."""
    Path("model.partial").mkdir()
    Path("model.partial/thesis.tex").write_text("a week of work")
    before = contents()
    with nearly_full(100):
        line = refusal(convert.main, capsys, source, "model")
    assert "model: File too large" in line and contents() == before
    convert.main([source, "model"])
    after = contents()
    assert {path: after[path] for path in before} == before
    assert {path.parts[0] for path in after.keys() - before.keys()} == {"model"}


def test_an_explanation_refuses_a_folder_that_it_did_not_make(ground, capsys):
    Path("theirs").mkdir()
    Path("theirs/protocols.md").write_text("a page of somebody's")
    make.main(["run", "--out", "tables"])
    before = contents()
    capsys.readouterr()
    for out, why in (("theirs", "not made by this command"), ("tables", "made by another command")):
        line = refusal(measure.main, capsys, "--explain", "images", "images", "--out", out)
        assert f"--out {out}: " in line and f"{why}; choose another" in line
        assert contents() == before
