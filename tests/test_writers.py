"""Commands write through one helper: an output may be a link, a pipe or a device, and what was
there before stays whole until the new content is.
"""

import ast
import contextlib
import os
import re
import resource
import stat
import threading
from pathlib import Path

import numpy as np
import pytest
from gate_runs import KEY, SSIM, write_run
from PIL import Image
from refusal import refusal
from run_folders import change_notes

from benchmarks import measure
from diffae import convert
from diffae.data import __main__ as data_command
from reports import compare, make

ROOT = Path(__file__).parents[1]

# ----------------------------------------------------------------------------------------------
# Outputs that are no regular files

# A command's words, the output last.
SINGLE = {
    "gate as JUnit": (compare.main, "run run --junit"),
    "gate's page": (compare.main, "run run --page"),
    "gate as JSON": (compare.main, "run run --json"),
    "table": (make.main, "run --table reconstruction --out"),
    "citations": (make.main, "run --cite --out"),
    "contact sheet": (data_command.main, "check images --size 8 --sheet"),
    "statistics": (measure.main, "fd_effnet images --save"),
}


@pytest.fixture
def ground(tmp_path, monkeypatch):
    """A folder with a finished run and three images."""
    monkeypatch.chdir(tmp_path)
    change_notes(write_run(Path("run"), {KEY: SSIM}), ended="2026-01-01T00:00:00+00:00")
    Path("images").mkdir()
    for i in range(3):
        Image.fromarray(np.full((16, 16, 3), 80 * i, np.uint8)).save(f"images/{i}.png")
    return tmp_path


def write(case, path):
    main, words = SINGLE[case]
    main([*words.split(), str(path)])


def same(case, found, expected):
    """Equal bytes, but for the times in a zip's directory."""
    if case != "statistics":
        return found == expected
    Path("found.npz").write_bytes(found)
    Path("expected.npz").write_bytes(expected)
    with np.load("found.npz") as a, np.load("expected.npz") as b:
        return all(np.array_equal(a[name], b[name]) for name in ("mu", "sigma", "n"))


@contextlib.contextmanager
def reading(path):
    """The bytes that are sent to a pipe."""
    got = bytearray()
    reader = threading.Thread(target=lambda: got.extend(Path(path).read_bytes()))
    reader.start()
    yield got
    reader.join(10)


@pytest.mark.parametrize("case", SINGLE)
def test_an_output_may_be_a_link_a_pipe_or_a_device(case, ground):
    write(case, "plain")
    expected = Path("plain").read_bytes()
    Path("target").touch()
    for link, target in (("link", "target"), ("dangling", "new")):
        Path(link).symlink_to(target)
        write(case, link)
        assert Path(link).is_symlink() and not Path(target).is_symlink()
        assert same(case, Path(target).read_bytes(), expected)
    os.mkfifo("pipe")
    with reading("pipe") as got:
        write(case, "pipe")
    assert same(case, bytes(got), expected) and stat.S_ISFIFO(os.stat("pipe").st_mode)
    with contextlib.suppress(PermissionError):  # a private /dev/null, where one can be made
        os.mknod("null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        write(case, "null")
        assert stat.S_ISCHR(os.lstat("null").st_mode)
    assert not list(Path().glob("*.partial"))


# ----------------------------------------------------------------------------------------------
# Files of others, and of before


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


@pytest.mark.parametrize("case", ["gate's page", "gate as JSON", "contact sheet", "statistics"])
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
    Path("theirs/protocols.html").write_text("a page of somebody's")
    make.main(["run", "--out", "tables"])
    before = contents()
    capsys.readouterr()
    for out, why in (("theirs", "not made by this command"), ("tables", "made by another command")):
        line = refusal(measure.main, capsys, "--explain", "images", "images", "--out", out)
        assert f"--out {out}: " in line and f"{why}; choose another" in line
        assert contents() == before


# ----------------------------------------------------------------------------------------------
# Every writer

HELPER = "diffae/system/whole.py"
PACKAGES = ("benchmarks", "diffae", "probes", "reports")
# What writes, moves or removes: as a method of a path, as a function of os or shutil, and of libraries.
METHODS = set(
    "write_text write_bytes touch chmod rename unlink rmdir symlink_to hardlink_to".split()
)
FUNCTIONS = set(
    "chmod copy copy2 copyfile copyfileobj copytree dup2 fdopen ftruncate link mkfifo mknod move remove "
    "removedirs rename renames replace rmdir rmtree symlink truncate unlink".split()
)
LIBRARIES = set(
    "save savez savez_compressed savetxt save_file tofile savefig imsave to_csv to_parquet to_pickle dump "
    "memmap open_memmap extractall SummaryWriter FileHandler mkdtemp mkstemp NamedTemporaryFile "
    "TemporaryDirectory TemporaryFile".split()
)
NAMES = METHODS | FUNCTIONS | LIBRARIES | {"open", "ZipFile"}
OURS = "a function of these packages, which calls the helper"
COPY = "the folder of an unfinished copy, under its lock: pixels at their places, from several processes"
PARTIAL = "a partial file of the helper, or a file in such a folder"
STREAM = "a standard stream, or a pipe between processes"
TEMPORARY = "a new folder among the system's temporary ones"
# The calls outside the helper, and what they write to.
EXPLAINED = {
    "benchmarks/api.py: saved_codes.save(asked, evaluation)": OURS,
    "benchmarks/commands/running.py: saved_codes.save(options, evaluation)": OURS,
    "benchmarks/commands/saved_codes.py: np.savez((buffer := io.BytesIO()), codes=np.concatenate(codes), **about)": "bytes, which are returned",
    "benchmarks/measuring/codes.py: table.rename(columns=dict.fromkeys(WHO, PERSONS))": "columns of a table in memory",
    "benchmarks/commands/train_identity.py: save(network, arguments.out)": OURS,
    "benchmarks/metrics/counting.py: _CLEAR.write_text('5')": "a switch of the kernel, in /proc",
    "benchmarks/weights/sources.py: safetensors.numpy.save(found)": "bytes, which are returned",
    "benchmarks/weights/fetch.py: open(partial, 'w+b')": PARTIAL,
    "diffae/checkpoints/checkpoint.py: save_file(here, partial, notes)": PARTIAL,
    "diffae/data/fingerprint.py: path.unlink()": "a survey in our cache, which is made again",
    "diffae/data/prepare.py: (out / UNFINISHED).touch()": COPY,
    "diffae/data/prepare.py: (out / UNFINISHED).unlink(missing_ok=True)": COPY,
    "diffae/data/prepare.py: unfinished.open('wb')": PARTIAL,
    "diffae/images/run.py: found.save(args.out)": OURS,
    "diffae/images/run.py: work.classifier.save(args.save_classifier)": OURS,
    "diffae/model.py: checkpoint.save(self, self.config, folder, dtype)": OURS,
    "diffae/system/cli.py: os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())": STREAM,
    "diffae/system/cli.py: os.open(os.devnull, os.O_WRONLY)": STREAM,
    "diffae/system/distributed.py: os.dup2(2, 1)": STREAM,
    "diffae/system/files.py: os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)": "opens to read",
    "diffae/system/files.py: os.fdopen(os.open(path, flags, 438), 'r+')": "a lock, which stays empty",
    "diffae/system/files.py: os.open(path, flags, 438)": "a lock, which stays empty",
    "diffae/train/callbacks/evaluations.py: open(log, 'wb')": PARTIAL,
    "diffae/train/trainer.py: state.save(path, state.State(tensors, *progress), identity, self.steps.keep)": OURS,
    "diffae/train/trainer.py: training.save(path, run.identity)": OURS,
    "reports/action.py: tempfile.mkdtemp()": TEMPORARY,
    "reports/tables/make_files.py: tempfile.TemporaryDirectory()": TEMPORARY,
    "reports/tables/output.py: (out / name).unlink(missing_ok=True)": "a file that the same command made, by its SHA-256",
}  # fmt: skip


def writes(call, buffers):
    """Whether a call may write to a file; `buffers` are names of files in memory."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if name not in NAMES:
        return False
    where = ast.unparse(call.func).rpartition(".")[0]
    first = ast.unparse(call.args[0]) if call.args else ""
    if name == "open" or name == "ZipFile":
        given = [*call.args, *(k.value for k in call.keywords if k.arg in ("mode", "flags"))]
        modes = [str(g.value) for g in given if isinstance(g, ast.Constant)]
        flags = any(re.match(r".*(O_WRONLY|O_RDWR|flags)", ast.unparse(g)) for g in given)
        return flags or any(re.fullmatch("[rbtU]*[wax+][rwaxbt+]*", mode) for mode in modes)
    if where in ("os", "shutil"):
        return name in FUNCTIONS
    if name == "replace":  # of a path; that of a text takes two
        return len(call.args) == 1 and not call.keywords
    if name == "to_csv":
        return bool(call.args)
    return name in METHODS or (name in LIBRARIES and first not in buffers)


def writers():
    """Each call outside the helper that may write, as "file: call"."""
    words = re.compile(rf"\b({'|'.join(NAMES)})\(")
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        name, text = path.relative_to(ROOT).as_posix(), path.read_text()
        if name == HELPER or not words.search(text):
            continue
        memory = re.findall(r"(\w+)(?:, \w+)* = io\.(?:Bytes|String)IO\(", text)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and writes(node, memory):
                yield f"{name}: {ast.unparse(node)}"


def test_every_writer_is_the_helper_or_is_explained():
    """(TensorBoard, W&B, pip and pdflatex write files of their own, in folders that are given to them.)"""
    assert set(writers()) == EXPLAINED.keys()
