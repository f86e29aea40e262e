"""Feature networks and perceptual distances against the libraries that define them.

The published weights cannot be had in a test: the loading is tested with random ones under the
published names.
"""

import shutil
import warnings
from pathlib import Path

import lpips
import pytest
import torch
import torchvision
from metric_weights import alexnet, vgg16, vgg16_without_classifier, write_random_weights
from skimage import data
from torchvision.transforms.functional import gaussian_blur

from benchmarks.metrics import weights
from benchmarks.metrics.features import (
    effnet_lite0,
    feature_network,
    resize,
)
from benchmarks.metrics.frechet import Moments, frechet_distance
from benchmarks.metrics.perceptual import (
    normalised_distance,
    path_distance,
    perceptual_distance,
)
from diffae.errors import UserError
from reports.metrics import seen_through

CPU = torch.device("cpu")


@pytest.fixture(autouse=True, scope="module")
def light_vgg16():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torchvision.models, "vgg16", vgg16_without_classifier)
        yield


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """torch.hub's cache with random weights under the published names."""
    home = tmp_path_factory.mktemp("torch")
    checkpoints = write_random_weights(home / "hub" / "checkpoints")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(home))
        yield checkpoints


@pytest.fixture
def empty(tmp_path, monkeypatch) -> Path:
    """A machine without Inception's and AlexNet's weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def photographs() -> torch.Tensor:
    """Crops of real photographs, uint8 8 x 3 x 64 x 64."""
    crops = [torch.from_numpy(data.astronaut()[y : y + 64, 180:244]) for y in range(0, 512, 64)]
    return torch.stack(crops).permute(0, 3, 1, 2).contiguous()


def signed(images: torch.Tensor) -> torch.Tensor:
    return images.float() / 127.5 - 1


def test_unknown_weights_are_recorded(hub):
    features = feature_network(None, allow_unknown=True, device=CPU).describe()
    assert features["feature_sha256"] == weights.sha256(hub / weights.KNOWN["inception"].filename)
    assert "--allow-unknown-weights" in features["feature_weights"]
    perceptual = perceptual_distance(None, allow_unknown=True, device=CPU).describe()
    assert "--allow-unknown-weights" in perceptual["perceptual_weights"]


def test_published_weights_need_no_remark(empty):
    assert "feature_weights" not in feature_network(None, False, CPU).describe()
    assert "perceptual_weights" not in perceptual_distance(None, False, CPU).describe()


def test_unknown_weights_are_refused_and_never_replaced_by_another_network(hub):
    with pytest.raises(UserError, match="pt_inception.*--allow-unknown-weights"):
        feature_network(None, allow_unknown=False, device=CPU)
    with pytest.raises(UserError, match="alexnet.*--allow-unknown-weights"):
        perceptual_distance(None, allow_unknown=False, device=CPU)


@pytest.mark.parametrize("name", ["inception", "alexnet", "efficientnet-lite0"])
def test_weights_of_another_network_are_refused(empty, name):
    torch.save({"a": torch.zeros(2)}, empty / weights.KNOWN[name].filename)
    load = perceptual_distance if name == "alexnet" else feature_network
    with pytest.raises(UserError, match=weights.KNOWN[name].filename):
        load(empty, allow_unknown=True, device=CPU)


def test_without_inception_the_features_bear_another_name(empty, photographs):
    network = feature_network(None, allow_unknown=False, device=CPU)
    assert network.metric_name == "fd_effnet"
    features = network(photographs)
    assert features.shape == (8, 1280) and features.dtype == torch.float32
    assert torch.equal(features, network(photographs))


def test_effnet_knows_its_photographs(empty):
    """The same weights say what is in a picture: ImageNet class 285, Egyptian cat."""
    path = weights.load_path("efficientnet-lite0", None, allow_unknown=False)
    cat = torch.from_numpy(data.chelsea()[:, 75:375]).permute(2, 0, 1)[None]
    with torch.inference_mode():
        logits = effnet_lite0(path).eval()(resize(signed(cat), 224))
    assert logits.argmax().item() == 285


def test_effnet_features_are_timm_s_of_images_in_minus_one_to_one(empty, photographs):
    """What timm's own network pools of the images at 128 px, normalised as its configuration says."""
    network = effnet_lite0(weights.load_path("efficientnet-lite0", None, allow_unknown=False))
    mean, std = (
        torch.tensor(network.pretrained_cfg[name])[:, None, None] for name in ("mean", "std")
    )
    images = (resize(photographs / 255, 128) - mean) / std
    with torch.inference_mode():
        expected = network.eval().forward_features(images).mean((2, 3))
    found = feature_network(None, allow_unknown=False, device=CPU)(photographs)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_fd_effnet_grows_with_blur(empty, photographs):
    network = feature_network(None, allow_unknown=False, device=CPU)
    reference = Moments.from_features(network(photographs))
    distances = [
        frechet_distance(
            Moments.from_features(network(gaussian_blur(photographs, 9, sigma))), reference
        )
        for sigma in (0.1, 0.7, 2.0)
    ]
    assert distances[0] < distances[1] < distances[2]


def test_feature_networks_take_uint8_only(empty, photographs):
    with pytest.raises(TypeError, match="uint8"):
        feature_network(None, allow_unknown=False, device=CPU)(photographs.float())


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_lpips_is_the_lpips_package_s(hub, photographs, net):
    name, load = {"alex": ("alexnet", alexnet), "vgg": ("vgg16", vgg16)}[net]
    distance = perceptual_distance(None, allow_unknown=True, device=CPU)
    assert distance.metric_name == "lpips"
    if net == "vgg":
        distance = path_distance(None, allow_unknown=True, at_hand=distance)
        assert distance.metric_name == "lpips_vgg"
        assert distance.describe()["perceptual_sha256"] == weights.sha256(
            hub / weights.KNOWN["vgg16"].filename
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torchvision.models, name, lambda pretrained: load(hub))
            theirs = lpips.LPIPS(net=net, verbose=False)
    a, b = signed(photographs), signed(gaussian_blur(photographs, 9, 2.0))
    with torch.inference_mode():
        expected = theirs(a, b).flatten()
    assert distance(a, b).shape == (8,) and (expected > 0).all()
    torch.testing.assert_close(distance(a, b), expected)
    assert torch.equal(distance(a, a), torch.zeros(8))
    wide = distance.in_float64()(a, b)
    assert wide.dtype == torch.float64 and wide.tolist() == pytest.approx(expected.tolist(), 1e-4)


def test_path_lengths_bear_the_name_of_their_distance(empty, hub):
    """PPL is VGG16's; where its weights are not, the column says whose it is."""
    at_hand = perceptual_distance(empty, allow_unknown=False, device=CPU)
    assert path_distance(empty, allow_unknown=False, at_hand=at_hand) is at_hand
    assert seen_through("ppl", at_hand.network) == "ppl_effnet"
    shutil.copy(hub / weights.KNOWN["alexnet"].filename, empty)
    at_hand = perceptual_distance(empty, allow_unknown=True, device=CPU)
    assert seen_through("ppl", at_hand.network) == "ppl_alex"
    shutil.copy(hub / weights.KNOWN["vgg16"].filename, empty)
    with pytest.raises(UserError, match="vgg16.*--allow-unknown-weights"):
        path_distance(empty, allow_unknown=False, at_hand=at_hand)
    found = path_distance(empty, allow_unknown=True, at_hand=at_hand)
    assert seen_through("ppl", found.network) == "ppl"


@pytest.fixture
def pd_effnet(empty):
    distance = perceptual_distance(None, allow_unknown=False, device=CPU)
    assert distance.metric_name == "pd_effnet"
    return distance


def test_normalised_distance_of_orthogonal_features():
    a, b = torch.zeros(1, 4, 3, 3), torch.zeros(1, 4, 3, 3)
    a[:, 0], b[:, 1] = 5.0, 0.1
    torch.testing.assert_close(normalised_distance(a, b), torch.tensor([2.0]))
    torch.testing.assert_close(normalised_distance(a, -a), torch.tensor([4.0]))
    torch.testing.assert_close(normalised_distance(a, 7 * a), torch.tensor([0.0]))


def test_pd_effnet_is_zero_on_equal_images(pd_effnet, photographs):
    images = signed(photographs)
    assert torch.equal(pd_effnet(images, images), torch.zeros(8))


def test_pd_effnet_grows_with_blur_and_noise(pd_effnet, photographs):
    images = signed(photographs)
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    blurred = torch.stack([pd_effnet(images, gaussian_blur(images, 9, s)) for s in (0.5, 1, 2)])
    noisy = torch.stack(
        [pd_effnet(images, (images + s * noise).clamp(-1, 1)) for s in (0.03, 0.1, 0.3)]
    )
    assert (blurred.diff(dim=0) > 0).all()
    assert (noisy.diff(dim=0) > 0).all()
