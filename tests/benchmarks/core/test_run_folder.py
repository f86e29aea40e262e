"""Run folders: which runs may write to one, what is kept in it, and what is never changed.

The runs are in this process, with systems of known results.
"""

import json
import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from dummies import Constant
from interleaving import interleaved

import diffae
from benchmarks import run
from benchmarks.core.job import Job
from benchmarks.core.runner import run_folder
from benchmarks.core.store import Store
from benchmarks.runtime import provenance
from diffae.system.errors import Terminated, UserError
from diffae.system.files import foreign, open_lock
from reports.page.head import facts
from reports.records.record import read_records
from reports.records.run_folder import read_run
from reports.tables.build import read

pytestmark = pytest.mark.usefixtures("no_effnet")


@pytest.fixture
def arguments(patches, tmp_path, monkeypatch):
    """A run of a second, in a store and a folder of its own."""
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    sizes = ["--set", "reconstruction.images=4", "--set", "data.fit_images=40"]
    return [
        "reconstruction", "--systems", "dummy-constant", "--profile", "smoke", *sizes,
        "--data", str(patches.root), "--out", str(tmp_path / "run"),
    ]  # fmt: skip


def note(out: Path) -> dict:
    return json.loads((out / "run.json").read_text())


# ----------------------------------------------------------------------------------------------
# What run.json says


def test_run_json_says_where_the_numbers_come_from(arguments, tmp_path, monkeypatch):
    looks = []

    def a_minute_on(zone) -> datetime:
        looks.append(datetime(2026, 1, 1, 8, len(looks), tzinfo=zone))
        return looks[-1]

    monkeypatch.setattr(provenance, "datetime", SimpleNamespace(now=a_minute_on))
    run.main(arguments)
    said = note(tmp_path / "run")
    assert said["arguments"] == arguments
    assert said["device"].startswith("cpu: ") and said["precision"] == "float32"
    started, ended = (datetime.fromisoformat(said[name]) for name in ("started", "ended"))
    assert started == looks[0] and ended in looks[1:]
    assert said["complete"] is True
    assert torch.__version__.startswith(said["versions"]["torch"])  # +cu132 is the build's
    assert said["versions"]["diffae-bench"] == diffae.__version__


def test_all_commands_that_worked_on_a_run_count_for_how_long_it_took(
    arguments, tmp_path, monkeypatch
):
    """Killed after eight minutes, then finished from the store in 16 s; measured afresh in 30 s,
    that alone counts.
    """
    out, kept = tmp_path / "run", run_folder.Recorder.finish

    def command(start, end, *more, finish=kept):
        times = iter([start])
        monkeypatch.setattr(provenance, "now", lambda: f"2026-01-02T{next(times, end)}+00:00")
        monkeypatch.setattr(run_folder.Recorder, "finish", finish)
        try:
            run.main([*arguments, *more])
        except Terminated:
            return None
        return dict(facts(read([out])))["Measured"]

    def killed(folder):
        raise Terminated("killed")

    assert command("10:00:00", "10:08:00", finish=killed) is None
    assert command("11:00:00", "11:00:16") == "2026-01-02 10:00 UTC, in 8 min over 2 commands"
    assert command("12:00:00", "12:00:30", "--fresh") == "2026-01-02 12:00 UTC, in 30 s"


def test_a_page_that_cannot_be_written_loses_no_number(arguments, tmp_path):
    run.main(arguments)
    numbers = (tmp_path / "run/records.csv").read_bytes()
    (tmp_path / "run/report.html").unlink()
    (tmp_path / "run/report.html").mkdir()
    with pytest.raises(UserError, match="report.html: Is a directory; move the folder away"):
        run.main(arguments)
    assert (tmp_path / "run/records.csv").read_bytes() == numbers
    assert note(tmp_path / "run")["complete"] is True


def test_a_run_that_did_not_end_is_not_complete(arguments, tmp_path, monkeypatch):
    run.main(arguments)
    records = (tmp_path / "run" / "records.csv").read_bytes()
    benchmark = run_folder.Recorder.benchmark

    @contextmanager
    def killed(self, name):
        with benchmark(self, name):
            yield
        raise Terminated

    with monkeypatch.context() as patch, pytest.raises(Terminated):
        patch.setattr(run_folder.Recorder, "benchmark", killed)
        run.main(arguments)
    said = note(tmp_path / "run")
    assert said["complete"] is False and "ended" not in said and said["protocols"]
    run.main(arguments)
    assert note(tmp_path / "run")["complete"] is True
    assert (tmp_path / "run" / "records.csv").read_bytes() == records


def test_an_interrupted_run_has_all_files_of_what_was_measured(arguments, tmp_path, monkeypatch):
    """The benchmark that it was in has rows of the first system alone."""

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Constant, "decode", interrupted)
    arguments[arguments.index("dummy-constant")] = "dummy-perfect,dummy-constant"
    with pytest.raises(KeyboardInterrupt):
        run.main(arguments)
    out = tmp_path / "run"
    rows = read_records(out / "records.csv")
    assert "dummy: perfect" in {row.system for row in rows if row.metric == "ssim"}
    kept = read_run(out, finished=False)
    assert len(kept.rows) == len(rows) and any(row.estimate.influences for row in kept.rows)
    for name in ("samples.csv", "tables/table1_reconstruction.md", "tables/overview.csv"):
        assert "dummy: perfect" in (out / name).read_text()


def git(folder, *command):
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    return subprocess.run(
        ["git", "-C", folder, *who, *command], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_commit_of_a_checkout_and_whether_it_was_changed(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "a.py").write_text("1")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "-qm", "one")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert provenance.checkout(tmp_path) == {"commit": head, "dirty": False}
    (tmp_path / "a.py").write_text("2")
    assert provenance.checkout(tmp_path) == {"commit": head, "dirty": True}
    (tmp_path / "site-packages").mkdir()  # an environment inside somebody's project
    assert provenance.checkout(tmp_path / "site-packages") == {"commit": None, "dirty": None}


def test_a_checkout_without_git_has_no_commit(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", "/nowhere")
    assert provenance.checkout(tmp_path) == {"commit": None, "dirty": None}


# ----------------------------------------------------------------------------------------------
# Another run's folder


def test_other_weights_behind_the_same_path_are_another_run(
    arguments, tmp_path, monkeypatch, capsys
):
    run.main(arguments)
    files = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    written_over = lambda self, path, device: setattr(self, "fingerprint", "other weights")  # noqa: E731
    monkeypatch.setattr(Constant, "__init__", written_over)
    capsys.readouterr()
    line = refused(arguments, capsys)
    assert "holds a different run (its weights (dummy-constant) differ)" in line
    assert files == {path: path.read_bytes() for path in files}


def refused(arguments, capsys) -> str:
    """The last line of a command that is refused after it has said what it is about to do."""
    with pytest.raises(UserError) as error:
        run.main(arguments)
    capsys.readouterr()
    return str(error.value)


@pytest.mark.usefixtures("capable")
def test_whatever_decides_numbers_makes_another_run(arguments, patches, tmp_path, capsys):
    """Every option of the command that is no place, no speed and no picture."""
    folder = tmp_path / "others"
    shutil.copytree(patches.root, folder)
    (folder / "000.png").unlink()
    changed = {
        "data": ("data", str(folder)),
        "crop": ("crop", "adm"),
        "seed": ("seed", "1"),
        "precision": ("precision", "bfloat16"),
        "protocol": ("protocols", "plain"),
        "limit": ("profile", "3"),
        "set": ("profile", "reconstruction.images=5"),
        "systems": ("systems", "dummy-perfect"),
        "stand-ins": ("metric_networks",),
        "explain": ("protocols",),
        "profile": ("profile", "quick"),
    }
    run.main(arguments)
    for option, (name, *value) in changed.items():
        line = refused([*without(arguments, f"--{option}"), f"--{option}", *value], capsys)
        assert re.search(rf"holds a different run \(its (\w+.*, )?{name}\b", line), line


def without(arguments, flag):
    """The arguments without a flag and its values."""
    pairs = zip(["", *arguments], arguments, strict=False)
    return [word for before, word in pairs if flag not in (before, word)]


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "null",
        "{}",
        '{"settings": 1}',
        '{"settings": {}}',
        '{"settings"',
        "[" * 100_000,
        "\xff",
    ],
)
def test_a_run_json_that_is_none_is_one_line(content, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(content, encoding="latin-1")
    with pytest.raises(UserError, match=r"run\.json: (damaged: not |of no schema|byte 0 is not)"):
        run_folder.claim(tmp_path / "run", {"seed": 0})


# ----------------------------------------------------------------------------------------------
# What this software did not make


def claimed(out: Path) -> None:
    """`out` as a killed run leaves it."""
    run_folder.claim(out, {"seed": 0}).close()
    (out / "run.json").write_text('{"schema": 1, "settings": {"seed": 0}}')


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("movie.mkv.partial", "hours of download"),
        ("records.csv.partial", "not ours for sure"),
        ("lock", "the combination"),
        ("notes.txt", ""),
    ],
)
def test_a_folder_with_anything_else_is_refused_and_left_alone(name, content, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / name).write_text(content)
    with pytest.raises(UserError, match="exists and is not a run folder"):
        run_folder.claim(out, {"seed": 0})
    assert [path.name for path in out.iterdir()] == [name]
    assert (out / name).read_text() == content


def test_only_our_own_leftovers_are_removed(tmp_path):
    out = tmp_path / "run"
    claimed(out)
    (out / "pictures").mkdir()
    (out / "mine").mkdir()
    ours = [out / "records.csv.0a1b2c3d.partial", out / "pictures" / "a.png.00000000.partial"]
    theirs = [out / "movie.mkv.partial", out / "mine" / "a.00000000.partial", out / "a.12.partial"]
    for path in ours + theirs:
        path.write_text("x")
    run_folder.claim(out, {"seed": 0}).close()
    assert not any(path.exists() for path in ours)
    assert all(path.exists() for path in theirs)


def test_a_folder_of_a_run_that_was_killed_before_it_had_begun_is_taken(tmp_path):
    (tmp_path / "lock").touch()
    (tmp_path / "run.json.0a1b2c3d.partial").write_text("{")
    run_folder.claim(tmp_path, {"seed": 0}).close()


def test_a_lock_that_is_a_link_does_not_empty_its_target(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    claimed(tmp_path / "run")
    (tmp_path / "run" / "lock").unlink()
    (tmp_path / "run" / "lock").symlink_to(tmp_path / "thesis.tex")
    with pytest.raises(UserError, match=r"run/lock: not a plain file"):
        run_folder.claim(tmp_path / "run", {"seed": 0})
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_lock_is_never_written_to(tmp_path):
    (tmp_path / "lock").write_text("something of somebody's")
    open_lock(tmp_path / "lock").close()
    assert (tmp_path / "lock").read_text() == "something of somebody's"
    assert foreign(tmp_path)


@pytest.mark.parametrize("seed", [0, 1])
def test_another_run_may_begin_and_end_at_any_moment(seed, tmp_path):
    """It is resumed if it is the same. Of two others one is refused."""

    def other(out):
        run_folder.claim(out, {"seed": seed}).close()
        (out / "run.json").write_text(json.dumps({"schema": 1, "settings": {"seed": seed}}))

    def ours(out):
        run_folder.claim(out, {"seed": 0}).close()

    allowed = "another process is running" + "|holds a different run" * seed
    for ends in interleaved(tmp_path, run_folder.claim, ours, other):
        errors = [str(end) for end in ends if end]
        assert seed <= len(errors) <= 1 and all(re.search(allowed, error) for error in errors)


@pytest.mark.parametrize("name", ["lock", "records.csv", "influences.npz", "run.json", "tables"])
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_another_kind_of_file_under_one_of_our_names_is_one_line(name, make, tmp_path):
    if (name, make) == ("tables", os.mkdir):
        return
    out = tmp_path / "run"
    claimed(out)
    (out / name).unlink(missing_ok=True)
    make(out / name)
    with pytest.raises(UserError, match=f"run/{name}: (not a|a folder, not|a pipe, not)"):
        run_folder.claim(out, {"seed": 0})


@pytest.mark.parametrize(
    ("cache", "message"),
    [
        ("/proc/x", "/proc/x"),
        ("FILE/x", "Not a directory; give a folder"),
        ("x" * 300, "File name too long; give a shorter name"),
    ],
)
def test_a_cache_that_cannot_be_made_is_one_line(cache, message, arguments, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("DIFFAE_CACHE", cache.replace("FILE", str(tmp_path / "file")))
    with pytest.raises(UserError) as error:
        run.main(arguments)
    line = str(error.value)
    assert message in line and "set DIFFAE_CACHE to another folder" in line, line


def test_a_name_that_is_too_long_is_one_line(tmp_path):
    with pytest.raises(UserError, match="File name too long; give a shorter name"):
        run_folder.claim(tmp_path / ("x" * 300), {"seed": 0})


def test_a_store_in_somebody_elses_folder_removes_nothing_of_theirs(tmp_path):
    ours = tmp_path / f"code-{'0a' * 12}" / "00000000-00000064.npz.0a1b2c3d.partial"
    theirs = [tmp_path / "x" / "a.0a1b2c3d.partial", ours.parent / "movie.mkv.partial"]
    for path in (ours, *theirs):
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    Store(tmp_path).sweep()
    assert not ours.exists() and all(path.exists() for path in theirs)


# ----------------------------------------------------------------------------------------------
# --fresh


def counting(log, offset):
    def compute(positions):
        log.append((int(positions[0]), int(positions[-1]) + 1))
        return {"x": positions + offset}

    return compute


def test_a_fresh_store_takes_nothing_that_was_there(tmp_path):
    log = []

    def read(store, offset):
        return store.read(Job("test", "", {}, 100, counting(log, offset)))["x"]

    read(Store(tmp_path), 0.0)
    store = Store(tmp_path, fresh=True)
    for _ in range(2):  # once in a run
        assert np.array_equal(read(store, 0.5), np.arange(100) + 0.5)
    assert log == [(0, 64), (64, 100)] * 2
    assert np.array_equal(read(Store(tmp_path), 7.0), np.arange(100) + 0.5)
    fresh = Store(tmp_path, fresh=True)
    for number in (3, 4):
        single = Job("test", "", {}, None, lambda _, number=number: {"x": np.array(number)})
        assert fresh.read(single)["x"] == 3


def test_a_fresh_run_does_not_believe_the_store(arguments, tmp_path, monkeypatch):
    run.main(arguments)
    before = (tmp_path / "run" / "records.csv").read_bytes()
    monkeypatch.setattr(
        Constant, "decode", lambda self, code, steps=1: torch.ones(len(code.semantic), 3, 32, 32)
    )
    run.main(arguments)
    assert (tmp_path / "run" / "records.csv").read_bytes() == before  # what a stale store does
    run.main([*arguments, "--fresh"])
    assert (tmp_path / "run" / "records.csv").read_bytes() != before
