"""Every metric equals the program that defines it: one test for each row of this table.

    FID                           `python -m pytorch_fid A B` on the same PNG folders    1e-3 relative (slow; the fast test has
                                  pytorch-fid's features and a closed form)
    KID                           scikit-learn's kernel on pytorch-fid's features        1e-3 relative (test_kernel.py has torch-fidelity)
    LPIPS                         `lpips.LPIPS(net="alex")`                              1e-5
    ssim                          its definition by a direct convolution in float64      1e-5
    ssim_valid                    `piq.ssim(downsample=False)`                           1e-5
    PPL                           a linear decoder with a squared-error distance         1e-3
    identity                      insightface's `get_feat` on the same ONNX file         1e-5

AUROC, AP and DeLong's standard errors are in tests/probes/test_scores.py.

The published weights cannot be had in a test: seeded random ones stand under their names, in
torch.hub's cache and in --weights-dir.
"""

import sys
from pathlib import Path

import numpy as np
import piq
import pytest
import reference_metrics
import torch
from insightface.model_zoo import get_model
from PIL import Image
from pytorch_fid import fid_score
from pytorch_fid.inception import InceptionV3
from sklearn.metrics.pairwise import polynomial_kernel

from benchmarks.measure import main
from benchmarks.metrics.path_length import path_length

ALLOW = "--allow-unknown-weights"


@pytest.fixture(scope="module")
def their_inception(weights_dir) -> InceptionV3:
    """pytorch-fid's network with the seeded weights, which it looks for in torch.hub's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(weights_dir.parents[1]))
        return InceptionV3([3]).eval()


@pytest.fixture
def pytorch_fid(their_inception, scipy_of_pytorch_fid, monkeypatch, capsys):
    """`python -m pytorch_fid`, in this process and with its network built once."""
    monkeypatch.setattr(fid_score, "InceptionV3", network := lambda blocks: their_inception)
    network.BLOCK_INDEX_BY_DIM = InceptionV3.BLOCK_INDEX_BY_DIM

    def run(*paths: Path) -> float:
        flags = ["--device", "cpu", "--num-workers", "0", "--batch-size", "4"]
        monkeypatch.setattr(sys, "argv", ["pytorch_fid", *map(str, paths), *flags])
        fid_score.main()
        return float(capsys.readouterr().out.split()[-1])

    return run


def load(folder: Path) -> torch.Tensor:
    """float64 N x 3 x 64 x 64 in [0, 1]."""
    images = [np.asarray(Image.open(path)) for path in sorted(folder.iterdir())]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).double() / 255


@pytest.mark.slow  # its square root of a 2048 x 2048 matrix takes 20 s
def test_fid_is_pytorch_fid_s(measure, pytorch_fid, folders):
    theirs = pytorch_fid(*folders)
    assert theirs > 1
    assert measure("fid", *folders) == pytest.approx(theirs, rel=1e-3)


FEW = 3  # images, each of which costs two passes through Inception


@pytest.fixture(scope="module")
def few(folders, tmp_path_factory) -> list[Path]:
    """The first images of both folders."""
    root = tmp_path_factory.mktemp("few")
    for folder in folders:
        (root / folder.name).mkdir()
        for path in sorted(folder.iterdir())[:FEW]:
            (root / folder.name / path.name).symlink_to(path)
    return [root / folder.name for folder in folders]


@pytest.fixture(scope="module")
def their_features(their_inception, few):
    """Of both folders, 3 x 2048 each."""
    return [fid_score.get_activations(sorted(f.iterdir()), their_inception, 4) for f in few]


def test_fid_and_kid(their_features, few, weights_dir, capsys):
    """Of pytorch-fid's own features, in closed form."""
    main(["fid,kid", *map(str, few), "--weights-dir", str(weights_dir), ALLOW])
    lines = map(str.split, capsys.readouterr().out.splitlines())
    found = {words[0]: float(words[1]) for words in lines if words[0] in ("fid", "kid")}
    a, b = their_features
    within = [polynomial_kernel(x)[~np.eye(FEW, dtype=bool)].mean() for x in (a, b)]
    fid, kid = reference_metrics.frechet(a, b), sum(within) - 2 * polynomial_kernel(a, b).mean()
    assert fid > 1 and abs(kid) > 1e-3
    assert found == pytest.approx({"fid": fid, "kid": kid}, rel=1e-3)


def test_pytorch_fid_reads_our_statistics(their_features, few, weights_dir, tmp_path):
    statistics = tmp_path / "a.npz"
    words = ["--save", str(statistics), "--weights-dir", str(weights_dir), ALLOW]
    main(["fid", str(few[0]), *words])
    read = fid_score.compute_statistics_of_path(str(statistics), None, 4, 2048, "cpu", 0)
    computed = their_features[0].mean(0), np.cov(their_features[0], rowvar=False)
    for ours, their_own in zip(read, computed, strict=True):
        scale = np.abs(their_own).max()
        np.testing.assert_allclose(ours, their_own, rtol=1e-3, atol=1e-4 * scale)


def test_lpips(measure, folders, weights_dir):
    theirs = reference_metrics.lpips_package("alex", weights_dir)
    a, b = (load(folder).float() * 2 - 1 for folder in folders)
    with torch.inference_mode():
        expected = float(theirs(a, b).double().mean())
    assert expected > 0.01
    assert measure("lpips", *folders) == pytest.approx(expected, abs=1e-5)


def test_ssim(measure, folders):
    expected = float(reference_metrics.ssim(*map(load, folders)).mean())
    assert measure("ssim", *folders) == pytest.approx(expected, abs=1e-5)
    assert abs(expected - measure("ssim_valid", *folders)) > 1e-3  # the two must not be mixed up


def test_ssim_valid(measure, folders):
    a, b = map(load, folders)
    expected = float(piq.ssim(a, b, data_range=1.0, downsample=False))
    assert measure("ssim_valid", *folders) == pytest.approx(expected, abs=1e-5)


def test_ppl():
    """decode(z) = W z and d(x, y) = |x - y|^2 give |W (b - a)|^2 for every t and epsilon."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(10, 64, generator=generator) / 8
    a, b = torch.randn(2, 32, 64, generator=generator)
    t = torch.rand(32, generator=generator)
    lengths = path_length(
        lambda z: z @ weight.T, a, b, lambda x, y: (x - y).square().sum(1), t, 1e-4
    )
    expected = ((b - a) @ weight.T).square().sum(1).double()
    torch.testing.assert_close(lengths.mean(), expected.mean(), rtol=1e-3, atol=0)


def test_identity(measure, tmp_path, weights_dir):
    rng = np.random.default_rng(1)
    recogniser = get_model(str(weights_dir / "w600k_r50.onnx"), providers=["CPUExecutionProvider"])
    recogniser.prepare(ctx_id=-1)
    embeddings = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        faces = rng.integers(0, 256, (4, 112, 112, 3), dtype=np.uint8)
        for i, face in enumerate(faces):
            Image.fromarray(face).save(tmp_path / name / f"{i}.png")
        embeddings.append(recogniser.get_feat([face[:, :, ::-1] for face in faces]))
    a, b = embeddings
    cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    ours = measure("identity", tmp_path / "a", tmp_path / "b")
    assert ours == pytest.approx(float(cosines.mean()), abs=1e-5)
