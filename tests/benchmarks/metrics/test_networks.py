"""Feature networks and perceptual distances against the libraries that define them.

The published weights are not available in tests: loading is tested with random ones under the
published names.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from reference_metrics import lpips_package
from skimage import data
from torchvision.transforms.functional import gaussian_blur

from benchmarks import weights
from benchmarks.metrics.networks import perceptual
from benchmarks.metrics.networks.chosen import MetricNetworks
from benchmarks.metrics.networks.features import effnet_lite0
from benchmarks.metrics.networks.perceptual import (
    normalised_distance,
)
from benchmarks.metrics.pixel import resize
from benchmarks.runtime.choices import NetworkChoice
from diffae.system.errors import UserError
from reports.records.metrics import seen_through

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("light_vgg16")


@pytest.fixture
def hub(weights_dir, monkeypatch) -> Path:
    """torch.hub's cache with random weights under the published names."""
    monkeypatch.setenv("TORCH_HOME", str(weights_dir.parents[1]))
    return weights_dir


def networks(
    weights_dir: Path | None = None, allow_unknown: bool = False, dataset: str = "celeba"
) -> MetricNetworks:
    choice = NetworkChoice(weights_dir=weights_dir, allow_unknown_weights=allow_unknown)
    return MetricNetworks(choice, CPU, dataset=dataset)


@pytest.fixture(scope="module")
def photographs() -> torch.Tensor:
    """Crops of real photographs, uint8 8 x 3 x 64 x 64."""
    crops = [torch.from_numpy(data.astronaut()[y : y + 64, 180:244]) for y in range(0, 512, 64)]
    return torch.stack(crops).permute(0, 3, 1, 2).contiguous()


def signed(images: torch.Tensor) -> torch.Tensor:
    return images.float() / 127.5 - 1


def test_unknown_weights_are_recorded(hub):
    features = networks(None, True).features[0].describe()
    assert features["feature_sha256"] == weights.sha256(
        hub / weights.KNOWN["inception"].files[-1].filename
    )
    assert "--allow-unknown-weights" in features["feature_weights"]
    perceptual = networks(None, True).perceptual.describe()
    assert "--allow-unknown-weights" in perceptual["perceptual_weights"]


def test_published_weights_need_no_remark(empty):
    assert "feature_weights" not in networks().features[0].describe()
    assert "perceptual_weights" not in networks().perceptual.describe()


@pytest.mark.parametrize("name", ["inception", "alexnet", "efficientnet-lite0"])
def test_weights_of_another_network_are_refused(empty, name):
    torch.save({"a": torch.zeros(2)}, empty / weights.KNOWN[name].files[-1].filename)
    with pytest.raises(UserError, match=weights.KNOWN[name].files[-1].filename):
        getattr(networks(empty, True), "perceptual" if name == "alexnet" else "features")


def test_without_inception_the_features_bear_another_name(empty, photographs):
    network = networks().features[0]
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
    found = networks().features[0](photographs)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("net", "few"), [("alex", False), ("vgg", False), ("alex", True)])
def test_lpips_is_the_lpips_package_s(hub, photographs, net, few, monkeypatch):
    if few:  # what is done for images that are large
        monkeypatch.setattr(perceptual, "AT_ONCE", 1)
        monkeypatch.setattr(perceptual, "LARGE", 0)
    distance = networks(None, True).perceptual
    assert distance.metric_name == "lpips"
    if net == "vgg":
        distance = networks(None, True).path_distance
        assert distance.metric_name == "lpips_vgg"
    two = photographs[:2]
    a, b = signed(two), signed(gaussian_blur(two, 9, 2.0))
    with torch.inference_mode():
        expected = lpips_package(net, hub)(a, b).flatten()
    assert distance(a, b).shape == (2,) and (expected > 0).all()
    distance = replace(distance, module=distance.module.float(), dtype=torch.float32)
    torch.testing.assert_close(distance(a, b), expected)
    assert torch.equal(distance(a, a), torch.zeros(2))
    wide = distance.in_float64()(a, b)
    assert wide.dtype == torch.float64 and wide.tolist() == pytest.approx(expected.tolist(), 1e-4)


def test_path_lengths_bear_the_name_of_their_distance(empty, weights_dir):
    """PPL is VGG16's; where its weights are not, the column says whose it is."""
    assert seen_through("ppl", networks(empty).path_distance.network) == "ppl_effnet"
    shutil.copy(weights_dir / weights.KNOWN["alexnet"].files[-1].filename, empty)
    assert seen_through("ppl", networks(empty, True).path_distance.network) == "ppl_alex"
    shutil.copy(weights_dir / weights.KNOWN["vgg16"].files[-1].filename, empty)
    with pytest.raises(UserError, match="vgg16.*--allow-unknown-weights"):
        _ = networks(empty).path_distance
    assert seen_through("ppl", networks(empty, True).path_distance.network) == "ppl"


def test_stand_ins_alone_leave_out_what_is_there(hub):
    """All published names are in `hub`, ArcFace's too."""
    usual, alone = (
        MetricNetworks(
            NetworkChoice(stand_ins=only, allow_unknown_weights=True), CPU, dataset="portraits"
        )
        for only in (False, True)
    )
    for networks, names in (
        (usual, ["lpips", "lpips_vgg", "fid", "arcface"]),
        (alone, ["pd_effnet", "pd_effnet", "fd_effnet", "id_portraits"]),
    ):
        found = networks.perceptual, networks.path_distance, networks.features[0], networks.face
        assert [network.metric_name for network in found] == names
    described = alone.describe()
    assert described["stand_ins"] and described["vgg16"] is None
    assert described != usual.describe()


def test_normalised_distance_of_orthogonal_features():
    a, b = torch.zeros(1, 4, 3, 3), torch.zeros(1, 4, 3, 3)
    a[:, 0], b[:, 1] = 5.0, 0.1
    torch.testing.assert_close(normalised_distance(a, b), torch.tensor([2.0]))
    torch.testing.assert_close(normalised_distance(a, -a), torch.tensor([4.0]))
    torch.testing.assert_close(normalised_distance(a, 7 * a), torch.tensor([0.0]))


def test_pd_effnet_grows_with_blur_and_noise(empty, photographs):
    images, pd_effnet = signed(photographs), networks().perceptual
    assert pd_effnet.metric_name == "pd_effnet"
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    blurred = torch.stack([pd_effnet(images, gaussian_blur(images, 9, s)) for s in (0.5, 1, 2)])
    noisy = torch.stack(
        [pd_effnet(images, (images + s * noise).clamp(-1, 1)) for s in (0.03, 0.1, 0.3)]
    )
    assert (blurred.diff(dim=0) > 0).all()
    assert (noisy.diff(dim=0) > 0).all()


def test_images_that_several_are_compared_with_are_seen_once(monkeypatch):
    """The same numbers as alone, and a batch that differs in one pixel is another one."""
    distance, seen = (
        MetricNetworks(NetworkChoice(stand_ins=True), torch.device("cpu"), dataset="").perceptual,
        [],
    )
    stages = type(distance.module).stages
    monkeypatch.setattr(
        type(distance.module), "stages", lambda self, x: seen.append(len(x)) or stages(self, x)
    )
    generator = torch.Generator().manual_seed(0)
    a, b, c = torch.rand(3, 4, 3, 32, 32, generator=generator).mul(2).sub(1)
    first, second = distance(a, c), distance(b, c)
    assert len(seen) == 3
    other = c.clone()
    other[2, 1, 5, 5] = -other[2, 1, 5, 5]
    third = distance(a, other)
    assert len(seen) == 5 and third[2] != first[2]
    torch.testing.assert_close(distance(a, c), first, rtol=0, atol=0)
    torch.testing.assert_close(distance(b, c), second, rtol=0, atol=0)
