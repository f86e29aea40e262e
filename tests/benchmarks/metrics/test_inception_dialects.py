"""Inception's input as the codes make it that protocols name, against each of them."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pytorch_fid.inception import InceptionV3
from torch import nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.interpolate_compat_tensorflow import (
    interpolate_bilinear_2d_like_tensorflow1x as of_tensorflow,
)
from torchmetrics.image.fid import NoTrainInceptionV3

from benchmarks.metrics.networks import inception as module
from benchmarks.metrics.networks.features import FeatureNetwork
from benchmarks.metrics.networks.inception import RESIZES, inception
from benchmarks.weights import KNOWN

CPU = torch.device("cpu")
TYPES = {"float32": torch.float32, "float64": torch.float64}

# Of clean-fid 0.1.35's `build_resizer("clean")`: mean, and the pixels at (0, 0), (150, 77), (298, 298).
CLEAN_FID = {
    (24, 20): (
        127.3239366155259,
        (0.0, 0.0, 0.0),
        (113.9234848022461, 65.11502075195312, 150.1769256591797),
        (14.470795631408691, 255.0, 196.58929443359375),
    ),
    (400, 350): (
        127.48798588626029,
        (10.770345687866211, 26.364578247070312, 48.791542053222656),
        (62.41795349121094, 154.10206604003906, 99.77305603027344),
        (116.38468933105469, 104.1360855102539, 155.0050506591797),
    ),
}


def image(height: int, width: int) -> torch.Tensor:
    """uint8 1 x 3 x H x W without symmetries."""
    i, j, c = np.indices((height, width, 3))
    pixels = ((37 * i * i + 91 * j + 53 * c * i) % 256).astype(np.uint8)
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]


# ----------------------------------------------------------------------------------------------
# Its input


class Small(nn.Module):
    """In the place of Inception: a network that gives its input back."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.ones(1, 1, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images * self.one


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """Inception by its resize and type, whose features are the input of the network."""
    monkeypatch.setattr(module, "_fid_inception_v3", Small)
    torch.save(Small().state_dict(), path := tmp_path / "small.pth")

    def network(*dialect: str) -> FeatureNetwork:
        return inception(path, CPU, *dialect)

    return network


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


SIZES = [(24, 20), (400, 350), (299, 299)]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("size", SIZES)
def test_pytorch_fid_s_input(prepared, size, dtype):
    """Of files, and of floats as SEED-Voken gives them to it."""
    theirs = InceptionV3.__new__(InceptionV3)
    nn.Module.__init__(theirs)
    theirs.__dict__ |= {"resize_input": True, "normalize_input": True}
    theirs.__dict__ |= {"output_blocks": [0], "last_needed_block": 0, "blocks": [nn.Identity()]}
    files = image(*size)
    for images in (files, files.float() + torch.linspace(-0.4, 0.4, size[1])):
        close(prepared("pytorch-fid", dtype)(images), theirs(images.to(TYPES[dtype]) / 255)[0])


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("size", SIZES)
def test_torch_fidelity_s_input(prepared, size, dtype):
    images = image(*size)
    expected = (of_tensorflow(images.to(TYPES[dtype]), (299, 299), align_corners=False) - 128) / 128
    close(prepared("tensorflow", dtype)(images), expected)


@pytest.mark.parametrize("size", CLEAN_FID)
def test_clean_fid_s_input(prepared, size):
    for dtype in TYPES:
        found = prepared("clean-fid", dtype)(image(*size))[0].double() * 128 + 128
        mean, *pixels = CLEAN_FID[size]
        assert found.mean().item() == pytest.approx(mean, abs=1e-4)
        at = torch.stack([found[:, 0, 0], found[:, 150, 77], found[:, 298, 298]])
        close(at / 255, torch.tensor(pixels).double() / 255)


def test_torchmetrics_s_input(prepared):
    images = image(400, 20)
    resized = F.interpolate(images.float(), (299, 299), mode="bilinear", antialias=True)
    close(prepared("antialiased")(images), (resized - 128) / 128)


def test_the_dialects_differ_by_half_a_level_without_resizing(prepared):
    """And by nothing else: pytorch-fid's is (x - 127.5) / 127.5."""
    images = image(299, 299)
    level = images.float()
    for resize in RESIZES:
        expected = level / 127.5 - 1 if resize == "pytorch-fid" else (level - 128) / 128
        close(prepared(resize)(images), expected)


def test_descriptions(prepared):
    """That of pytorch-fid in float32 is the one without a protocol."""
    plain = prepared().describe()
    assert plain["feature_resize"] == "bilinear, no antialiasing"
    assert plain["feature_dtype"] == "float32"
    described = set()
    for resize in RESIZES:
        for dtype in TYPES:
            network = prepared(resize, dtype)
            assert network.module.one.dtype == network.dtype == TYPES[dtype]
            described.add(tuple(network.describe().items()))
    assert len(described) == 8 and tuple(plain.items()) in described


# ----------------------------------------------------------------------------------------------
# Its features


@pytest.fixture(scope="module")
def path(weights_dir):
    return weights_dir / KNOWN["inception"].files[-1].filename


def features_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected.double(), rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_pytorch_fid_s_features(path, weights_dir, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(weights_dir.parents[1]))
    theirs = InceptionV3([3]).eval().double()
    images = torch.cat([image(24, 20), image(24, 20).flip(3)])
    with torch.inference_mode():
        expected = theirs(images.double() / 255)[0].flatten(1)
    features_close(inception(path, CPU, dtype="float64")(images), expected)


@pytest.mark.slow
def test_torch_fidelity_s_features(path):
    theirs = FeatureExtractorInceptionV3(
        "inception-v3-compat",
        ["2048"],
        feature_extractor_weights_path=str(path),
        feature_extractor_internal_dtype="float64",
    )
    images = torch.cat([image(24, 20), image(24, 20).flip(2)])
    features_close(inception(path, CPU, "tensorflow", "float64")(images), theirs(images)[0])


@pytest.mark.slow
def test_torchmetrics_s_features(path):
    theirs = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(path), antialias=True)
    theirs._dtype = torch.float64
    images = image(320, 24)
    expected = theirs.double()(images)
    features_close(inception(path, CPU, "antialiased", "float64")(images), expected)
