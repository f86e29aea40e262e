"""Reports on metric weights, by `doctor` and at the start of a run."""

from dataclasses import replace
from importlib.metadata import version

import pytest
from metric_weights import write_onnx

import diffae
from benchmarks import run, systems, weights
from benchmarks.commands import doctor, running
from benchmarks.core.runner.evaluation import Evaluation
from benchmarks.core.store import default_root
from benchmarks.systems import dummy
from diffae.checkpoints.trained_on import TrainedOn
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
    assert f"put one of them into {tmp_path} or into {weights.folder()}" in printed
    assert "here: " in printed  # the network that ships as a package


@pytest.mark.parametrize(
    "line",
    [
        "reconstruction: latent_dim, compression, code_bits, bits_per_pixel, rkd_effnet, rfd_effnet, "
        "precision_effnet, recall_effnet, ssim, ssim_valid, pd_effnet, mse, psnr, ms_ssim, worse_with_more, "
        "codebook_use, perplexity; not rkid, rfid, precision, recall: inception is missing; not lpips: alexnet is "
        "missing; not lpips_vgg: vgg16 is missing",
        "probes: auroc, top1, top5, ap, accuracy",
        "identity: id_portraits, logit_change, on the data set portraits only; "
        "not arcface: arcface is missing",
        "interpolation: ppl_effnet; not ppl: vgg16 is missing",
        "fewshot: kd_effnet, fd_effnet, fd_effnet_seed_std, acceptance_rate; not kid, fid, "
        "fid_seed_std: inception is missing; not cmmd: clip_vitl14_336 is missing",
        "memorisation: nn_effnet, nn_pixels, nn_ratio_effnet, nn_ratio_pixels; "
        "not nn_inception, nn_ratio_inception: inception is missing",
        "variation: diversity_effnet, pixel_std, seed_variance, seed_bias, calibration, psnr, psnr_of_mean; "
        "not diversity_lpips: alexnet is missing",
        "unconditional: kd_effnet, fd_effnet, precision_effnet, recall_effnet, density_effnet, "
        "coverage_effnet; not kid, fid, precision, recall, density, coverage: inception is missing; not "
        "cmmd: clip_vitl14_336 is missing",
        "denoising: mse, ssim",
    ],
)
def test_every_benchmark_says_what_it_will_and_will_not_report(line):
    assert f"  {line}" in doctor.weights_report(None)


@pytest.mark.parametrize(("size", "text"), [(0, "0 MB"), (3_400_000, "3 MB"), (3_600_000, "4 MB")])
def test_the_size_of_the_store_is_that_of_all_its_files(size, text, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    for name, share in (("a", 0.25), ("deep/er/b", 0.75)):
        path = default_root() / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(int(size * share)))
    run.main(["doctor"])
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"store: {default_root()} ({text}; may be deleted, set DIFFAE_CACHE to move it)"


def test_a_weight_that_is_here_changes_what_is_reported(tmp_path):
    path = write_onnx(tmp_path / weights.KNOWN["arcface"].files[-1].filename)
    report = doctor.weights_report(tmp_path)
    assert "  identity: arcface, logit_change" in report
    unknown = f"not the published file: {path} (needs --allow-unknown-weights)"
    assert f"    {unknown}" in report


def test_dlib_serves_photographs_beside_the_portraits_own(tmp_path, monkeypatch):
    """Whatever package reads the file: here one that is always installed."""
    entry = replace(weights.KNOWN[DLIB], reader="numpy")
    monkeypatch.setitem(weights.KNOWN, DLIB, entry)
    (tmp_path / entry.files[0].filename).write_bytes(b"")
    expected = "  identity: id_portraits, id_dlib, logit_change; not arcface: arcface is missing"
    assert expected in doctor.weights_report(tmp_path)


@pytest.mark.parametrize(("split", "said"), [("all", True), ("test", True), ("train", False)])
def test_evaluation_on_training_images_is_said(split, said, context, capsys):
    system = dummy.Perfect(None, context.device)
    system.trained_on = TrainedOn.describe("ffhq128", context.dataset, split, 0)
    running.announce_images(Evaluation(context, [system]))
    line = f"{system.title}: evaluated on images that this checkpoint was trained on ({split} of "
    assert (line in capsys.readouterr().err) == said


def test_evaluation_on_the_images_of_what_a_training_began_with_is_said(context, capsys):
    system = dummy.Perfect(None, context.device)
    before = TrainedOn.describe("ffhq128", context.dataset, "all", 0)
    system.trained_on = TrainedOn("new", "others", "all", 9, 0, fingerprint="others", before=before)
    running.announce_images(Evaluation(context, [system]))
    assert f"was trained on (all of {context.dataset.name})" in capsys.readouterr().err


def test_systems_know_what_their_checkpoints_were_trained_on():
    assert systems.load("diffae").trained_on.preset == "portraits"
    assert systems.load("ddim").trained_on.preset == "portraits-ddim"
    assert systems.load("dummy-perfect").trained_on is None


def test_a_run_says_in_few_lines_what_it_will_measure_by(context, capsys):
    running.announce(Evaluation(context, []), ["reconstruction", "probes"])
    said = capsys.readouterr().err
    assert "fd_effnet (in place of FID)" in said and "LPIPS" in said
    assert "identity" not in said and "id_portraits" not in said and "; split: " in said
    assert "missing metric weights: inception, alexnet, vgg16, arcface" in said and "doctor" in said
    assert "`python -m benchmarks.run weights NAME` fetches" in said
    assert len(said.splitlines()) <= 6
    context.choice = replace(context.choice, stand_ins=True)
    running.announce(Evaluation(context, []), ["reconstruction"])
    said = capsys.readouterr().err
    assert "metric weights: only those that packages hold (--stand-ins)" in said
    assert "missing" not in said


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
