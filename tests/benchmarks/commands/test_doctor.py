"""Reports on metric weights, by `doctor` and at the start of a run."""

from dataclasses import replace
from importlib.metadata import version

import pytest
from metric_weights import write_onnx

import diffae
from benchmarks import run, systems, weights
from benchmarks.commands import doctor, running
from benchmarks.core.runner.evaluation import Evaluation
from reports.records.metrics import DLIB


@pytest.fixture(autouse=True)
def empty_hub(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def test_every_weight_has_its_source_hash_licence_and_place(tmp_path, capsys):
    run.main(["doctor", "--weights-dir", str(tmp_path)])
    out = capsys.readouterr().out
    assert out.startswith(f"diffae-bench {diffae.__version__}, torch {version('torch')}, Python 3.")
    printed = " ".join(out.split())
    for weight in weights.KNOWN.values():
        files = [text for file in weight.files for text in (file.filename, file.sha256)]
        assert all(text in printed for text in (weight.published_at, weight.licence, *files))
    assert "no GPU that PyTorch finds" in out or "cuda:0: " in out
    assert f"put a file of them into {tmp_path} or into {weights.folder()}" in printed
    assert "here: " in printed  # the network that ships as a package


def test_a_weight_that_is_here_changes_what_is_reported(tmp_path):
    path = write_onnx(tmp_path / weights.KNOWN["arcface"].files[-1].filename)
    report = doctor.weights_report(tmp_path)
    assert "  identity: arcface, logit_change" in report
    unknown = f"arcface: not the published file: {path} (needs --allow-unknown-weights)"
    assert unknown in report


def test_dlib_serves_photographs_beside_the_portraits_own(tmp_path, monkeypatch):
    """Whatever package reads the file: here one that is always installed."""
    entry = replace(weights.KNOWN[DLIB], reader="numpy")
    monkeypatch.setitem(weights.KNOWN, DLIB, entry)
    (tmp_path / entry.files[0].filename).write_bytes(b"")
    expected = "  identity: id_portraits, id_dlib, logit_change; not arcface: arcface is missing"
    assert expected in doctor.weights_report(tmp_path)


def test_systems_know_what_their_checkpoints_were_trained_on():
    assert systems.load("diffae").trained_on.preset == "portraits"
    assert systems.load("ddim").trained_on.preset == "portraits-ddim"
    assert systems.load("dummy-perfect").trained_on is None


def test_a_network_beside_that_of_fid_is_in_place_of_nothing(context, capsys):
    [network] = context.networks.features
    fid = replace(network, metric_name="fid", network="inception")
    context.networks.features = (fid, network)
    running.announce(Evaluation(context, []), ["reconstruction"])
    said = capsys.readouterr().err
    assert ", fid, fd_effnet" in said and "in place of FID" not in said


def test_images_without_labels_are_told_once(context, capsys):
    context.dataset = replace(context.dataset, attributes=None, attribute_names=())
    running.announce(Evaluation(context, []), ["reconstruction", "probes", "identity", "cost"])
    said = capsys.readouterr().err
    assert "no labels, which probes need; measured: reconstruction, identity, cost" in said
