"""A dry run leaves no trace: no picture is drawn, no file is written."""

import re
from collections import Counter
from contextlib import closing
from dataclasses import fields, replace
from functools import partial
from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest
from colours import SquaredError
from dummies import Perfect
from in_process import signals_kept
from lone_context import small_context
from registered import every_benchmark
from small_systems import SMALL_SIZES

from benchmarks import evaluate, run, systems
from benchmarks.commands import dry_run, progress
from benchmarks.commands.planned import collect
from benchmarks.core.job import Calls
from benchmarks.core.profiles import PROFILES
from benchmarks.core.registry import REGISTRY
from benchmarks.core.runner.evaluation import Evaluation, rows
from benchmarks.core.runner.setup import DataSizes
from benchmarks.core.store import MemoryStore
from benchmarks.metrics.networks.faces import FaceEmbedding
from benchmarks.metrics.networks.features import FeatureNetwork
from benchmarks.runtime.choices import NetworkChoice
from benchmarks.systems.protocol.base import Code
from benchmarks.systems.protocol.checked import Checked
from benchmarks.systems.references import PixelsPCA
from diffae.data import open_dataset, open_portraits
from diffae.data.portraits import planned, write_dataset
from diffae.system import cli
from diffae.system.errors import UserError
from reports.tables.numbers import duration


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """An empty folder to work in, with the cache in it."""
    monkeypatch.setattr(dry_run, "_seconds", lambda context, call: 1.0)
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_dry_run_draws_no_portraits_and_writes_nothing(nowhere, capsys):
    arguments = ["reconstruction", "probes", "--systems", "dummy-perfect", "--profile", "smoke"]
    run.main([*arguments, "--set", "data.portraits=2000", "--dry-run", "--out", "run"])
    assert "data: portraits, 2,000 images, 32 px, crop center" in capsys.readouterr().out
    assert list(nowhere.iterdir()) == []


def test_a_dry_run_reads_the_first_image_of_a_folder_and_writes_nothing(nowhere, patches, capsys):
    sizes = ["--profile", "smoke", "--systems", "dummy-perfect", "--data", str(patches.root)]
    run.main(["reconstruction", *sizes, "--dry-run"])
    assert "150 images" in capsys.readouterr().out
    assert list(nowhere.iterdir()) == []


def test_a_dry_run_says_what_cannot_be_run(nowhere, patches, capsys):
    """Of data without attributes, and of a system that cannot do it; the rest is planned."""
    sizes = ["--profile", "smoke", "--systems", "dummy-perfect,dummy-constant"]
    run.main(
        ["probes", "denoising", "reconstruction", *sizes, "--data", str(patches.root), "--dry-run"]
    )
    out = capsys.readouterr().out
    assert re.findall(r"not run: (.*)", out) == [
        f"all systems: {patches.name} has no attributes (probes)",
        "dummy: perfect cannot predict an image from a noised one (denoising)",
    ]
    assert re.search(r"^denoising, dummy: constant\n(  .*\n)*  predict x_0 at t = ", out, re.M)
    assert "reconstruction, dummy: perfect\n  z_sem of test  " in out


def test_what_is_stored_takes_no_calls(nowhere, capsys):
    """Of drawn portraits too, whose files were too new for their fingerprint to be kept. A chunk that ends
    elsewhere is another.
    """
    settings = {"data.portraits": 60, "reconstruction.images": 16}

    def said(images):
        """Units, stored ones and calls of the decoder by job, and all calls."""
        sizes = ["--set=data.portraits=60", f"--set=reconstruction.images={images}"]
        words = ["reconstruction", "--systems", "dummy-perfect", "--profile", "smoke", "--dry-run"]
        run.main([*words, *sizes])
        out = capsys.readouterr().out
        jobs = re.findall(r"^  (\w.{54})(.{8})(.{0,8})(.{0,18})", out, re.M)
        (total,) = re.findall(r"^total: (.*) calls", out, re.M)
        return {name.strip(): tuple(map(str.strip, cells)) for name, *cells in jobs}, total

    evaluate("dummy-perfect", "reconstruction", profile="smoke", settings=settings, cache=True)
    whole = ("16", "16", "")
    assert said(16) == ({"z_sem of test": whole, "decode": whole, "features of test": whole}, "no")
    jobs, total = said(20)
    assert total == "encoder 20, decoder 20, features 40, perceptual 20"
    assert jobs["decode"] == ("20", "", "20") and jobs["z_sem of test"] == ("20", "", "")


# ----------------------------------------------------------------------------------------------
# The calls of a run

NETWORKS = {"encoder": "encoder", "UNet": "decoder", "latent DDIM": "latent"}  # of the systems
METRICS = {"features": FeatureNetwork, "perceptual": SquaredError, "face": FaceEmbedding}


@pytest.fixture(scope="module")
def narrow(untrained, no_effnet, short_fits):
    """The default systems with narrow networks, and the images that networks were given so far; pixels
    + PCA has none, so that its methods count as such.
    """
    calls = Counter[str]()
    checkpoints = {"ddim": untrained / "ddim"}
    loaded = [
        systems.load(name, checkpoints.get(name, untrained / "diffae")) for name in systems.DEFAULT
    ]

    def counting(name, method):
        def counted(self, first, *more, **options):
            calls[name] += len(first.semantic if isinstance(first, Code) else first)
            return method(self, first, *more, **options)

        return counted

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checked, "try_on", lambda *_: "")  # which calls them beside the benchmarks
        for name, kind in METRICS.items():
            patch.setattr(kind, "__call__", counting(name, kind.__call__))
        for name, method in (("encoder", "encode_semantic"), ("decoder", "decode")):
            patch.setattr(PixelsPCA, method, counting(name, getattr(PixelsPCA, method)))
        for system in loaded:
            for name, network in system.networks().items():
                forward = counting(NETWORKS[name], type(network).forward)
                patch.setattr(network, "forward", partial(forward, network))
        yield loaded, calls


@pytest.mark.parametrize("name", every_benchmark())
def test_jobs_declare_the_calls_of_a_run(name, narrow, tmp_path):
    """Of each network, in a run that finds nothing in its store; and none is left afterwards.

    Without a run folder no pictures are made.
    """
    loaded, calls = narrow
    portraits = open_portraits(PROFILES["smoke"].sizes(DataSizes).portraits, 32)
    context = replace(
        small_context(portraits, tmp_path, SMALL_SIZES),
        store=MemoryStore(),
        pictures=None,
        choice=NetworkChoice(stand_ins=True),
        networks=None,
    )
    evaluation = Evaluation(context, loaded)
    evaluation.fit()
    planned, _ = collect(context, [name], loaded)
    calls.clear()
    measured = list(rows(REGISTRY.get(name), context, loaded))
    assert any(row.value is not None for row in measured)
    for network in (field.name for field in fields(Calls)):
        calling = [work for work in planned if getattr(work.calls, network)]
        most, made = sum(getattr(work.calls, network) for work in calling), calls[network]
        assert made <= most if any(work.job.at_most for work in calling) else made == most, network
    again, _ = collect(context, [name], loaded)
    assert all(work.stored == work.units for work in again if not work.job.pairs)


def test_the_time_left_is_that_of_the_calls_that_are_left(context, monkeypatch, capsys):
    """40 images are noised to two times, a call each; what a system takes besides is worth 500."""
    now = [0.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    evaluation = SimpleNamespace(context=context, systems=[systems.load("ddim")])
    with closing(progress.CommandProgress(evaluation, ["denoising", "memorisation"])) as bar:
        first = 500 + 2 * 40
        assert bar.left["denoising", "DDIM"] == first
        bar.begins("denoising")
        now[0] += 30
        bar.ends("denoising", 30.2)
        share = first / bar.total
        left = 30 * (1 / share - 1)
        bar.begins("memorisation")
        bar.ends("memorisation", 1.2)
    said = capsys.readouterr().err.splitlines()
    assert said == [
        f"denoising: 30 s; {100 * share:.0f} % done, about {duration(left)} left",
        "memorisation: 1 s",
    ]


def test_a_log_has_lines_with_the_units_and_the_time_left(context, monkeypatch, capsys):
    """One time is computed, then the other; a chunk is what is computed last."""
    now, told = [0.0], Event()
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress, "LINE_SECONDS", 0)
    monkeypatch.setattr(progress.CommandProgress, "note", lambda bar, line: told.set())
    evaluation = SimpleNamespace(context=context, systems=[systems.load("ddim")])
    with closing(progress.CommandProgress(evaluation, ["denoising"])) as bar:
        assert told.wait(60)
        assert bar.line() == "systems: running"
        bar.begins("denoising")
        now[0] += 30
        work = list(bar.planned.values())[-1]
        context.store.read(work.job)
        share = 100 * 40 / 580
        left = f"; {share:.0f} % done, about {duration(30 * (100 - share) / share)} left"
        assert bar.line() == f"denoising: DDIM, {work.title} 40 of 40{left}"
        bar.begins("next")
        assert bar.line() == f"next: running{left}"
    assert not bar.thread.is_alive()
    monkeypatch.setattr(cli, "bar_is_seen", lambda: True)
    with closing(progress.CommandProgress(evaluation, ["denoising"])) as bar:
        assert not bar.thread.is_alive()


@pytest.mark.parametrize("broken", ["encode_semantic", "describe"])
def test_a_dry_run_of_what_fails_names_the_failure(broken, patches, monkeypatch, capsys):
    def fails(self, *given):
        raise RuntimeError("no kernel")

    monkeypatch.setattr(Perfect, broken, fails)
    arguments = (
        "reconstruction",
        "--systems",
        "dummy-perfect,dummy-constant",
        "--profile",
        "smoke",
    )
    with signals_kept(), pytest.raises(SystemExit) as ended:
        cli.run(lambda: run.main([*arguments, "--data", str(patches.root), "--dry-run"]))
    printed = capsys.readouterr()
    assert ended.value.code == 2
    assert re.search("^error: the run would fail: .*no kernel", printed.err, re.M)
    assert "reconstruction, dummy: constant" in printed.out


def test_planned_portraits_are_the_ones_that_would_be_drawn(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path))
    write_dataset(tmp_path / "drawn", 60, 32, workers=1)
    drawn, undrawn = open_dataset(tmp_path / "drawn", 32), planned(60, 32)
    assert undrawn.attribute_names == drawn.attribute_names
    for name in ("partition", "attributes", "identities"):
        assert np.array_equal(getattr(undrawn, name), getattr(drawn, name)), name
    assert planned(9, 32).name == open_portraits(9, 32).name
    for name in ("transform", "partition_source"):
        assert getattr(undrawn, name) == getattr(drawn, name), name
    with pytest.raises(UserError, match="not drawn"):
        undrawn.batch([3])
    assert undrawn.fingerprint == "not drawn"
