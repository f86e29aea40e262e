"""Precision of networks: the requested one, whatever the process or PyTorch was set to before."""

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from dummies import Perfect
from runs import recorded

from benchmarks import evaluate, run, systems
from benchmarks.commands import running
from benchmarks.core.job import Job
from benchmarks.runtime.choices import PRECISIONS
from benchmarks.runtime.precision import full_precision, of_networks, precision
from diffae.networks import bfloat16
from diffae.system.errors import UserError
from reports.records.estimate import Error, Estimate, influences_on_mean
from reports.records.record import protocol_id


def tf32() -> dict[str, bool]:
    """What PyTorch would compute in TF32 now: by the old switches and, where there are any, by the new."""
    backends = torch.backends
    on = {
        "matrix products": backends.cuda.matmul.allow_tf32,
        "convolutions": backends.cudnn.allow_tf32,
    }
    if hasattr(backends.cuda.matmul, "fp32_precision"):
        switches = {"new matrix products": backends.cuda.matmul, "new cnn": backends.cudnn.conv}
        switches |= {"new rnn": backends.cudnn.rnn, "CPU": backends.mkldnn.matmul}
        on |= {name: switch.fp32_precision != "ieee" for name, switch in switches.items()}
    return on


def matmul() -> torch.dtype:
    """The dtype that the product of two float32 matrices comes out in."""
    return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype


@pytest.fixture
def careless():
    """A process that asked for speed before it called us."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    assert tf32()["matrix products"] and tf32()["convolutions"]
    yield
    torch.set_float32_matmul_precision(before)


def test_a_run_computes_in_float32_unless_told_otherwise(careless, monkeypatch):
    seen = []
    monkeypatch.setattr(running, "run", lambda options: seen.append((options.precision, tf32())))
    run.main(["probes"])
    ((name, switches),) = seen
    assert name == "float32" and not any(switches.values()), switches
    assert tf32()["matrix products"], "the process has its own settings back"


@pytest.mark.parametrize("name", PRECISIONS)
def test_only_systems_networks_compute_as_asked(name):
    with precision(name):
        assert not any(tf32().values()) and matmul() == torch.float32
        with of_networks():
            on = tf32()
            assert on["matrix products"] == on["convolutions"] == (name == "tf32")
            assert matmul() == (torch.bfloat16 if name == "bfloat16" else torch.float32)
            with full_precision(), of_networks():
                assert not any(tf32().values()) and matmul() == torch.float32
            assert tf32() == on
        assert not any(tf32().values())


def test_a_systems_networks_compute_as_asked_and_give_float32(patches):
    """On a CPU tf32 is float32, to the bit; bfloat16 has 8 bits, so codes agree to about a hundredth."""
    system, images = systems.load("diffae"), patches.batch(range(4))
    codes = {}
    for name in PRECISIONS:
        with precision(name):
            codes[name] = system.encode_semantic(images)
            assert codes[name].dtype == torch.float32
            with full_precision():
                assert torch.equal(system.encode_semantic(images), codes["float32"])
    assert torch.equal(codes["tf32"], codes["float32"])
    error = (codes["bfloat16"] - codes["float32"]).norm() / codes["float32"].norm()
    assert 1e-4 < error < 0.05, error


def test_autocast_around_a_run_does_not_reach_into_it():
    with torch.autocast("cpu", torch.bfloat16), precision("float32"):
        assert matmul() == torch.float32
        with of_networks():
            assert matmul() == torch.float32


def test_settings_come_back_after_an_error():
    before = tf32()
    with pytest.raises(ZeroDivisionError), precision("tf32"), of_networks():
        _ = 1 / 0
    assert tf32() == before
    with of_networks():
        assert not tf32()["matrix products"]


def switches():
    """All of PyTorch's settings of products, as words and truth values."""
    backends = torch.backends
    named = [backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn]
    named += [backends.mkldnn.matmul, backends.mkldnn.conv]
    words = [getattr(switch, "fp32_precision", None) for switch in named]
    return [torch.get_float32_matmul_precision(), backends.cudnn.allow_tf32, *words]


@pytest.mark.parametrize("asked", ["highest", "high", "medium"])
@pytest.mark.parametrize("name", PRECISIONS)
def test_the_callers_products_are_as_before(asked, name, careless):
    torch.set_float32_matmul_precision(asked)
    before = switches()
    with precision(name), of_networks():
        assert torch.get_float32_matmul_precision() == ("high" if name == "tf32" else "highest")
    assert switches() == before and before[0] == asked


@pytest.mark.skipif(
    not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="no such switch before 2.9"
)
def test_a_switch_that_was_set_alone_is_as_before():
    switch = torch.backends.cuda.matmul
    before, switch.fp32_precision = switch.fp32_precision, "tf32"
    try:
        with precision("float32"):
            assert switch.fp32_precision == "ieee"
        assert switch.fp32_precision == "tf32"
    finally:
        switch.fp32_precision = before


@pytest.mark.parametrize(
    ("value", "contradicts"), [("1", {"float32", "bfloat16"}), ("0", {"tf32"})]
)
def test_an_environment_that_overrides_the_precision_is_refused(
    value, contradicts, monkeypatch, capable
):
    monkeypatch.setattr(running, "run", lambda options: None)
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", value)
    for name in PRECISIONS:
        if name in contradicts:
            with pytest.raises(UserError, match=f"_OVERRIDE={value}: overrides --precision {name}"):
                run.main(["probes", "--precision", name])
        else:
            run.main(["probes", "--precision", name])


@pytest.mark.parametrize("ask", ["command", "dry run", "evaluate"])
def test_bfloat16_is_refused_where_it_would_be_emulated(ask, tmp_path, monkeypatch):
    """An older processor: in one line, with nothing opened, computed or written."""
    monkeypatch.setattr(bfloat16, "capabilities", lambda: {"avx2", "avx512_bw"})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    more = {
        "command": ["--precision", "bfloat16"],
        "dry run": ["--precision", "bfloat16", "--dry-run"],
    }
    line = "^--precision bfloat16: this processor has no instructions .*: use --precision float32$"
    with pytest.raises(UserError, match=line):
        if ask == "evaluate":
            evaluate("diffae", "probes", "nowhere", precision="bfloat16", device="cpu")
        else:
            run.main(["probes", "--data", "nowhere", "--device", "cpu", *more[ask]])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_bfloat16_is_refused_where_onednn_is_held_to_avx2(tmp_path):
    """In a process of its own, whose oneDNN really is."""
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.run", "probes", "--precision", "bfloat16"],
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2", "CUDA_VISIBLE_DEVICES": ""},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert ended.stderr.startswith("error: --precision bfloat16: ")
    if {"avx512_bf16", "amx_bf16"} & bfloat16.capabilities():
        assert "ONEDNN_MAX_CPU_ISA=AVX2 keeps oneDNN from" in ended.stderr


def test_precision_is_in_the_stores_key_and_in_the_protocol(context):
    keys, protocols = set(), set()
    for name in PRECISIONS:
        of_name = replace(context, precision=name)
        perfect = Perfect(None, torch.device("cpu"))
        keys.add(of_name.codes.full(perfect, context.select("test", 4), 1).folder)
        protocol = of_name.protocol()
        assert protocol["precision"] == name
        protocols.add(protocol_id(protocol))
    assert len(keys) == len(protocols) == 3


def test_the_seed_and_the_split_of_a_selection_are_in_the_stores_key(context):
    keys = set()
    for seed, split in ((0, "test"), (1, "test"), (0, "train"), (0, "all")):
        context.seed = seed
        decides = context.codes.decides(None, context.select(split, 4))
        keys.add(Job("code", "", decides, 4, dict).folder)
    assert len(keys) == 4


# ----------------------------------------------------------------------------------------------
# Numbers that are none


@pytest.mark.parametrize(
    ("value", "words"),
    [(math.nan, "not a number"), (math.inf, "infinite"), (-math.inf, "infinite")],
)
def test_a_value_that_is_not_finite_is_no_value_and_says_so(context, value, words):
    influences = influences_on_mean(np.arange(4.0), "images:a")
    estimate = Estimate(np.float64(value), influences, Error(0.1, 3), why="no truth", notes=("n",))
    row = recorded(context, "mse", estimate, note="only 4 images")
    assert (row.value, row.stderr, row.ci_low, row.ci_high) == (None, None, None, None)
    assert row.note == f"the value is {words}; only 4 images; no truth; n"
    assert not row.estimate.influences
