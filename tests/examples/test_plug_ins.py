"""The example packages: docs/plugins.md quotes them, and they work as described there."""

import os
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import in_process
import pytest
import torch
from plug_ins import offer
from safetensors.torch import save_file

from benchmarks import systems
from benchmarks.commands.planned import collect
from benchmarks.core.context import Context
from benchmarks.core.profiles import PROFILES
from benchmarks.core.registry import REGISTRY
from benchmarks.core.runner.evaluation import rows
from benchmarks.core.store import Store
from benchmarks.metrics import METRICS
from benchmarks.run import main
from diffae.data import open_dataset
from diffae.data.portraits import write_dataset
from reports.records.record import read_records

ROOT = Path(__file__).parents[2]
SYSTEM, BENCHMARK = ROOT / "examples" / "system_plugin", ROOT / "examples" / "benchmark_plugin"
GROUPS = ("diffae.systems", "diffae.benchmarks")


@pytest.fixture
def installed(monkeypatch):
    """The example packages as if installed: the entry points of their pyproject.toml."""
    offers = {}
    for folder in (SYSTEM, BENCHMARK):
        monkeypatch.syspath_prepend(str(folder))
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        offers |= project["entry-points"]
    assert set(offers) == set(GROUPS)
    for group, entries in offers.items():
        offer(monkeypatch, group, entries)
    known = dict(METRICS)
    yield offers
    for name in set(METRICS) - set(known):
        del METRICS[name]
    for name in [name for name in sys.modules if name.startswith(("my_vae", "colour_"))]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def portraits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "portraits"
    write_dataset(folder, 120, 32, workers=1)
    return folder


def test_the_page_has_the_files_of_the_examples():
    page = (ROOT / "docs" / "plugins.md").read_text()
    for kind, file in (
        ("python", SYSTEM / "my_vae" / "__init__.py"),
        ("toml", BENCHMARK / "pyproject.toml"),
        ("python", BENCHMARK / "colour_error.py"),
    ):
        assert f"```{kind}\n{file.read_text()}```\n" in page
    project = (SYSTEM / "pyproject.toml").read_text()
    start = project.index("[project.entry-points")
    entry = project[start : project.index("\n\n", start) + 1]
    assert textwrap.indent(entry, "    ") in page


def test_the_examples_run(installed, portraits, tmp_path):
    from my_vae.train import train

    dataset = open_dataset(portraits, 32)
    net = train(dataset.batch(dataset.indices("train")), steps=5, batch=16)
    save_file(net.state_dict(), tmp_path / "weights.safetensors")
    page = (ROOT / "docs" / "plugins.md").read_text()
    (colour,) = re.findall(r"^    python -m benchmarks.run (colour .*)$", page, re.M)
    result = in_process.command(
        main, "reconstruction", "probes", *colour.split(), "--data", portraits,
        "--systems", "my-vae", "--ckpt", "my-vae=weights.safetensors",
        "--out", tmp_path / "run", cache=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    records = read_records(tmp_path / "run" / "records.csv")
    found = {(r.system, r.metric, r.setting): r.value for r in records}
    assert found["My VAE", "latent_dim", ""] == 64
    assert 0 < found["My VAE", "ssim", ""] < 1
    assert 0 < found["My VAE", "auroc", "mean"] < 1
    assert 0 < found["My VAE", "colour_error", ""] < found["My VAE", "colour_worst", ""] < 1
    assert {r.n for r in records if r.metric == "colour_error"} == {9}
    assert (tmp_path / "run" / "tables" / "colour_error.md").exists()


def test_help_of_the_training_does_nothing(tmp_path):
    """It drew 10,000 portraits, and wrote a file named --help."""
    words = [sys.executable, SYSTEM / "my_vae" / "train.py", "--help"]
    paths = os.pathsep.join(map(str, (ROOT, SYSTEM)))
    known = os.environ | {"PYTHONPATH": paths, "DIFFAE_CACHE": str(tmp_path / "cache")}
    ended = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=known)
    assert ended.returncode == 0 and ended.stdout.startswith(
        "usage: python -m my_vae.train [-h] out"
    )
    assert not list(tmp_path.iterdir())


def test_without_weights_it_says_so_in_one_line(installed, portraits, tmp_path):
    result = in_process.command(
        main, "reconstruction", "--systems", "my-vae", "--data", portraits, cache=tmp_path
    )
    assert result.returncode == 2
    assert result.stderr == ("error: my-vae has no weights of its own: give --ckpt my-vae=PATH\n")


def test_list_knows_them_and_dry_run_what_the_benchmark_computes(installed, portraits, tmp_path):
    listed = in_process.command(main, "list", cache=tmp_path)
    assert "  my-vae            My VAE: one line for `list`\n" in listed.stdout
    assert "  colour            how far the mean colour moves\n" in listed.stdout
    context = _context(portraits, tmp_path)
    perfect = systems.load("dummies:Perfect")
    planned, refused = collect(context, ("colour",), [perfect])
    assert [(p.job.title, p.job.count) for p in planned] == [("z_sem of test", 16), ("decode", 16)]
    assert not refused
    made = rows(REGISTRY.get("colour"), context, [perfect])
    values = {row.metric: row.value for row in made}
    assert values == pytest.approx({"colour_error": 0, "colour_worst": 0}, abs=1e-6)


def _context(portraits: Path, tmp_path: Path) -> Context:
    return Context(
        dataset=open_dataset(portraits, 32),
        profile=PROFILES["smoke"],
        seed=0,
        device=torch.device("cpu"),
        store=Store(tmp_path / "store"),
        pictures=tmp_path,
    )
