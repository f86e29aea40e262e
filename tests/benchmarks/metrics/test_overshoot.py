"""One rule for every metric: an image is first clamped to [-1, 1], as in a saved file.

White and an overshoot on white are the same picture, and so is a picture with an overshoot in its
highlights: each metric gives its perfect value.
"""

import pytest
import torch

from benchmarks.metrics.diversity import pixel_std, ring_distance
from benchmarks.metrics.networks.chosen import MetricNetworks
from benchmarks.metrics.networks.faces import PACKAGED, arcface, id_portraits
from benchmarks.metrics.networks.perceptual import effnet_distance, lpips_alexnet, lpips_vgg16
from benchmarks.metrics.path_length import path_length
from benchmarks.metrics.pixel import mse, psnr
from benchmarks.metrics.ssim import ssim, ssim_valid
from benchmarks.runtime.choices import NetworkChoice
from benchmarks.tasks.shared.samples import thumbnails
from benchmarks.weights import KNOWN, load_path
from diffae.eight_bit import to_uint8

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def seen_and_decoded() -> tuple[torch.Tensor, torch.Tensor]:
    """What a viewer sees of two decoded images, and what the decoder gave: plain white, and a
    bright ramp.
    """
    white = torch.full((1, 3, 40, 40), 1.5)
    ramp = torch.linspace(-1.4, 1.6, 40).expand(1, 3, 40, 40)
    decoded = torch.cat([white, ramp])
    return decoded.clamp(-1, 1), decoded


@pytest.fixture(scope="module")
def distances(weights_dir, light_vgg16):
    return {
        "lpips": lpips_alexnet(weights_dir / KNOWN["alexnet"].files[-1].filename, CPU),
        "lpips_vgg": lpips_vgg16(weights_dir / KNOWN["vgg16"].files[-1].filename, CPU),
        "pd_effnet": effnet_distance(load_path("efficientnet-lite0", None, False), CPU),
    }


@pytest.mark.parametrize(
    ("metric", "perfect"), [(mse, 0), (psnr, torch.inf), (ssim, 1), (ssim_valid, 1)]
)
def test_pixels(seen_and_decoded, metric, perfect):
    assert metric(*seen_and_decoded).tolist() == pytest.approx([perfect, perfect], abs=1e-6)


@pytest.mark.parametrize("name", ["lpips", "lpips_vgg", "pd_effnet"])
def test_perceptual_distances_and_path_length(distances, seen_and_decoded, name):
    """The path from one to the other changes nothing that can be seen, so its length is 0."""
    distance, (image, decoded) = distances[name], seen_and_decoded
    assert distance(image, decoded).tolist() == [0, 0]
    assert ring_distance(torch.stack([image, decoded]), distance).tolist() == [0, 0]
    white, brighter = decoded[:1], 2 * decoded[:1]
    length = path_length(lambda x: x, white, brighter, distance, torch.tensor([0.5]), 1e-2)
    assert length.tolist() == [0]


@pytest.mark.parametrize("name", ["arcface", "id_portraits"])
def test_identity(weights_dir, seen_and_decoded, name):
    embed = (
        arcface(weights_dir / KNOWN["arcface"].files[-1].filename, CPU)
        if name == "arcface"
        else id_portraits(PACKAGED, CPU)
    )
    image, decoded = map(embed, seen_and_decoded)
    assert torch.equal(image, decoded)
    assert torch.cosine_similarity(image, decoded).tolist() == pytest.approx([1, 1], abs=1e-6)


def test_features_and_thumbnails(empty, seen_and_decoded):
    network = MetricNetworks(NetworkChoice(), CPU, dataset="").features[0]
    image, decoded = seen_and_decoded
    assert torch.equal(network(to_uint8(image)), network(to_uint8(decoded)))
    assert (thumbnails(image) == thumbnails(decoded)).all()


def test_spread_of_draws(seen_and_decoded):
    assert pixel_std(torch.stack(seen_and_decoded)).tolist() == [0, 0]
