"""`benchmarks.measure` against the programs and packages that define the metrics, on the same PNG files.

What is not measured between two folders is held to its reference elsewhere: AUROC, AP and DeLong's
standard errors in tests/probes/test_scores.py, PPL in test_metrics_path_length.py.
"""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import lpips
import numpy as np
import piq
import pytest
import torch
import torchvision
from insightface.model_zoo import get_model
from metric_weights import alexnet, write_onnx, write_random_weights
from PIL import Image
from skimage import data

from benchmarks.measure import main
from benchmarks.metrics.frechet import Moments, read_statistics
from diffae.errors import UserError

COUNT = 12


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[Path, Path]:
    """Crops of photographs, and the same with noise: 64 px PNG."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    sources = (data.astronaut(), data.chelsea(), data.coffee())
    for i in range(COUNT):
        photo = sources[i % len(sources)]
        y, x = (int(rng.integers(0, size - 64)) for size in photo.shape[:2])
        crop = photo[y : y + 64, x : x + 64]
        noisy = np.clip(crop + rng.normal(0, 20, crop.shape), 0, 255).astype(np.uint8)
        for name, image in (("a", crop), ("b", noisy)):
            (root / name).mkdir(exist_ok=True)
            Image.fromarray(image).save(root / name / f"{i:03}.png")
    return root / "a", root / "b"


@pytest.fixture(scope="module")
def weights_dir(tmp_path_factory) -> Path:
    """Seeded random weights in torch.hub's layout; the folder serves as --weights-dir as well."""
    folder = write_random_weights(tmp_path_factory.mktemp("home") / "hub" / "checkpoints")
    write_onnx(folder / "w600k_r50.onnx")
    return folder


@pytest.fixture
def measure(capsys, weights_dir):
    def run(metric: str, *paths: Path, allow: bool = True) -> float:
        flags = ["--allow-unknown-weights"] if allow else []
        main([metric, *map(str, paths), "--weights-dir", str(weights_dir), *flags])
        name, value = capsys.readouterr().out.splitlines()[-1].split(" ")
        assert name == metric
        return float(value)

    return run


def load(folder: Path) -> torch.Tensor:
    """float64 N x 3 x 64 x 64 in [0, 1]."""
    images = [np.asarray(Image.open(path)) for path in sorted(folder.iterdir())]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).double() / 255


def test_fid_is_pytorch_fid_s(measure, folders, weights_dir):
    command = [sys.executable, "-m", "pytorch_fid", *map(str, folders)]
    command += ["--device", "cpu", "--num-workers", "0", "--batch-size", "4"]
    environment = os.environ | {"TORCH_HOME": str(weights_dir.parents[1])}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    if "unexpected keyword argument" in result.stderr:
        pytest.skip("pytorch-fid does not work with this SciPy")
    theirs = float(result.stdout.split()[-1])
    assert theirs > 1
    assert measure("fid", *folders) == pytest.approx(theirs, rel=1e-3)


def test_fid_of_statistics_is_fid_of_their_images(measure, folders, tmp_path):
    a, b = folders
    main_value = measure("fd_effnet", a, b)
    assert main_value > 0
    statistics = tmp_path / "a.npz"
    main(["fd_effnet", str(a), "--save", str(statistics)])
    assert read_statistics(statistics).n == COUNT
    assert measure("fd_effnet", statistics, b) == pytest.approx(main_value, rel=1e-6)
    assert measure("fd_effnet", b, statistics) == pytest.approx(main_value, rel=1e-6)


def test_statistics_of_another_network_are_refused(folders, tmp_path):
    features = torch.randn(5, 7, dtype=torch.float64)
    moments = Moments.from_features(features)
    np.savez(tmp_path / "other.npz", mu=moments.mean, sigma=moments.covariance())
    with pytest.raises(UserError, match=r"other\.npz: statistics of 7 features"):
        main(["fd_effnet", str(tmp_path / "other.npz"), str(folders[0])])


def test_the_network_of_fid_is_named_and_a_singular_covariance_is_told(folders, capsys):
    main(["fd_effnet", *map(str, folders)])
    output = capsys.readouterr()
    assert "network: efficientnet-lite0" in output.out
    assert "12 images for 1280 dimensions" in output.err


def test_lpips_is_lpips_s(measure, folders, weights_dir):
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore", UserWarning)
        patch.setattr(torchvision.models, "alexnet", lambda pretrained: alexnet(weights_dir))
        theirs = lpips.LPIPS(net="alex", verbose=False)
    a, b = (load(folder).float() * 2 - 1 for folder in folders)
    with torch.inference_mode():
        expected = float(theirs(a, b).double().mean())
    assert measure("lpips", *folders) == pytest.approx(expected, rel=1e-5)


def test_ssim_valid_is_piq_s(measure, folders):
    a, b = map(load, folders)
    expected = float(piq.ssim(a, b, data_range=1.0, downsample=False))
    assert measure("ssim_valid", *folders) == pytest.approx(expected, abs=1e-5)


def test_ssim_is_its_definition(measure, folders):
    """11 x 11 Gaussian, sigma 1.5, zero padding, a direct convolution in float64."""
    x = torch.arange(11, dtype=torch.float64) - 5
    line = torch.exp(-(x**2) / (2 * 1.5**2))
    window = (line[:, None] * line / line.sum() ** 2).expand(3, 1, 11, 11)

    def local(images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(images, window, padding=5, groups=3)

    a, b = map(load, folders)
    ma, mb = local(a), local(b)
    va, vb, vab = local(a * a) - ma**2, local(b * b) - mb**2, local(a * b) - ma * mb
    top = (2 * ma * mb + 1e-4) * (2 * vab + 9e-4)
    expected = float((top / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4))).mean())
    assert measure("ssim", *folders) == pytest.approx(expected, abs=1e-5)
    assert abs(expected - measure("ssim_valid", *folders)) > 1e-3  # the two must not be mixed up


def test_mse_and_psnr_are_their_definitions(measure, folders):
    a, b = map(load, folders)
    errors = (a - b).square().flatten(1).mean(1)
    assert measure("mse", *folders) == pytest.approx(float(errors.mean()), rel=1e-5)
    expected = float((-10 * errors.log10()).mean())
    assert measure("psnr", *folders) == pytest.approx(expected, rel=1e-5)
    assert measure("mse", folders[0], folders[0]) == 0


def test_identity_is_insightface_s(measure, tmp_path, weights_dir):
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
    assert measure("identity", tmp_path / "a", tmp_path / "b") == pytest.approx(
        float(cosines.mean()), abs=1e-5
    )


# ----------------------------------------------------------------------------------------------
# What is refused


@pytest.mark.parametrize("metric", ["fid", "lpips", "identity"])
def test_unknown_weights_need_a_flag(measure, folders, metric):
    with pytest.raises(UserError, match="--allow-unknown-weights"):
        measure(metric, *folders, allow=False)


@pytest.mark.parametrize("metric", ["fid", "lpips", "identity"])
def test_a_missing_weight_is_never_replaced(folders, tmp_path, monkeypatch, metric):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UserError, match="is missing: get it from"):
        main([metric, *map(str, folders)])


def test_pairs_must_be_pairs(folders, tmp_path):
    a, b = folders
    (tmp_path / "c").mkdir()
    for path in list(b.iterdir())[1:]:
        (tmp_path / "c" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(UserError, match="c: no image named"):
        main(["ssim", str(a), str(tmp_path / "c")])
    missing = next(p for p in sorted(a.iterdir()) if not (tmp_path / "c" / p.name).exists())
    Image.new("RGB", (32, 64)).save(tmp_path / "c" / missing.name)
    with pytest.raises(UserError, match=r"of another size than .* \(64 x 64 and 32 x 64\)"):
        main(["ssim", str(a), str(tmp_path / "c")])


def test_bad_input_is_one_line_and_exit_2(folders, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for arguments, message in (
        (["ssin", *folders], "did you mean ssim"),
        (["ssim", folders[0]], "needs two folders"),
        (["ssim", folders[0], empty], "no images in this folder"),
        (["ssim", folders[0], tmp_path / "nowhere"], "no such folder"),
        (["ssim", *folders, "--save", tmp_path / "x.npz"], "--save: ssim compares pairs"),
    ):
        command = [sys.executable, "-m", "benchmarks.measure", *map(str, arguments)]
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 2 and message in result.stderr
        assert result.stderr.count("\n") == 1 and not result.stdout
