"""Inversion of StyleGAN2: the authors' schedule, and codes independent of other images."""

import numpy as np
import pytest
import stylegan2_imitations as imitations
import torch
from parity_files import parity
from torch import Tensor
from torch.nn import functional as F

from benchmarks import systems, weights
from benchmarks.metrics import counting
from benchmarks.metrics.networks import perceptual
from benchmarks.systems.protocol.base import Code
from benchmarks.systems.stylegan2 import inversion
from benchmarks.systems.stylegan2.inversion import GROUP, Inversion, Statistics
from benchmarks.systems.stylegan2.network import Generator, StyleGAN2Config
from diffae.system.errors import UserError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def published():
    return parity("stylegan2_tiny32_projector")


@pytest.fixture(scope="module")
def tiny():
    with torch.device("meta"):
        generator = Generator(StyleGAN2Config((64, 64, 32, 16)))
    generator.load_state_dict(imitations.state(), assign=True)
    return generator.eval().requires_grad_(False)


def close(found, expected, atol: float = 1e-4) -> None:
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=0, atol=atol)


# ----------------------------------------------------------------------------------------------
# Against the authors' code


def test_statistics_of_w_are_the_authors(tiny, published):
    found = inversion.statistics(tiny.mapping)
    close(found.average, published["w_avg"][0, 0])
    close(found.spread, published["w_std"])


def test_the_learning_rate_and_the_noise_of_w_are_the_authors(published):
    spread = float(published["w_std"])
    close([inversion.learning_rate(i, 1000) for i in range(1000)], published["lr"], 1e-12)
    found = [inversion.noise_of_w(i, 1000, spread) for i in range(1000)]
    close(found, published["noise_scale"], 1e-6)


def test_the_penalty_of_noise_maps_is_the_authors(tiny, published):
    maps = {
        f"b{side}.conv{i}.noise_const": tiny.get_buffer(f"synthesis.b{side}.conv{i}.noise_const")
        for side in (4, 8, 16, 32)
        for i in (0, 1)
        if side > 4 or i
    }
    assert list(maps) == list(published["noise_reg_names"])
    batches = [torch.stack([one, torch.ones_like(one)])[:, None] for one in maps.values()]
    close(inversion.dependence(batches)[0], published["noise_reg"], 1e-6)
    for one, expected in zip(batches, published["noise_reg_values"], strict=True):
        close(inversion.dependence([one])[0], expected, 1e-6)


def test_normalised_maps_are_the_authors(tiny, published):
    found = tiny.synthesis.noise_maps()[-1].clone()[None, None]
    inversion.normalise([found])
    close(found[0, 0], published["noise_normalized_b32_conv1"], 1e-6)


@pytest.mark.parametrize(("layers", "name"), [(1, "grad_w"), (8, "grad_wplus")])
def test_mean_squared_error_and_its_gradient_are_the_authors(tiny, published, layers, name):
    w = published["w_avg"].repeat(1, layers, 1).requires_grad_()
    distance = inversion.find_loss("mse", CPU).to(published["target"])
    with torch.enable_grad():
        loss = distance(tiny.synthesis(w.expand(-1, 8, -1), tiny.synthesis.noise_maps()))
    close(loss.detach(), published["mse"])
    close(torch.autograd.grad(loss.sum(), w)[0], published[name])


# ----------------------------------------------------------------------------------------------
# Codes


@pytest.fixture(scope="module")
def small():
    """A generator whose images lie within [-1, 1] and show what w says."""
    torch.manual_seed(0)
    generator = Generator(StyleGAN2Config((16, 16), z_dim=16, w_dim=16, mapping_width=16))
    for layer in generator.synthesis.layers():
        layer.noise_strength.data.fill_(0.05)
    for block in generator.synthesis.blocks():
        block.torgb.weight.data.mul_(0.3)
    return generator.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def start(small):
    return inversion.statistics(small.mapping)


def made(generator: Generator, w: Tensor) -> Tensor:
    ws = w.expand(-1, generator.config.num_ws, -1)
    return generator.synthesis(ws, generator.synthesis.noise_maps())


MEAN_SQUARE = inversion.find_loss("mse", CPU)
NOTHING = inversion.InversionLoss("none", "", lambda target: lambda x: 0 * x.mean((1, 2, 3)))


@pytest.mark.parametrize("layers", [1, 4])
def test_a_code_is_found_again(small, start, layers):
    """Of an image that the generator made: W+ where its layers differ, W where they do not."""
    torch.manual_seed(1)
    w = small.mapping(torch.randn(2 * layers, 16)).reshape(2, layers, 16)
    images = made(small, w)
    found = made(small, Inversion(small, MEAN_SQUARE, start, layers, 120)(images))
    at_start = made(small, start.average.expand(2, 1, -1))
    before, after = ((x - images).square().mean((1, 2, 3)) for x in (at_start, found))
    assert (after < 0.1 * before).all()


def test_w_plus_comes_nearer_than_w(small, start):
    torch.manual_seed(2)
    images = F.interpolate(torch.randn(3, 3, 4, 4), size=8).tanh()
    errors = {}
    for layers in (1, 4):
        w = Inversion(small, MEAN_SQUARE, start, layers, 60)(images)
        assert w.shape == (3, layers, 16)
        errors[layers] = float((made(small, w) - images).square().mean())
    at_start = (made(small, start.average[None, None]) - images).square().mean()
    assert errors[4] < errors[1] < float(at_start)


@pytest.mark.parametrize("layers", [1, 4])
def test_a_code_is_the_same_whatever_is_encoded_beside_it(small, start, layers):
    """All groups are of one size. With AVX2 a convolution rounds by an image's place in it."""
    sizes = set()
    hook = small.synthesis.register_forward_pre_hook(lambda _, given: sizes.add(len(given[0])))
    torch.manual_seed(3)
    images = torch.rand(GROUP + 3, 3, 8, 8) * 2 - 1
    together = Inversion(small, MEAN_SQUARE, start, layers, 12)(images)
    for some in ([0], [9, 2, 10], list(range(10, 0, -1))):
        found = Inversion(small, MEAN_SQUARE, start, layers, 12)(images[some])
        torch.testing.assert_close(found, together[some], rtol=0, atol=1e-5)
    hook.remove()
    assert sizes == {GROUP}
    assert len({tuple(w.flatten().tolist()) for w in together}) == len(images)


def test_noise_is_an_image_s_own(small):
    images = torch.rand(2, 3, 8, 8)
    first, again, other = (inversion.generator_of(images[i]).standard_normal(4) for i in (0, 0, 1))
    assert (first == again).all() and (first != other).all()


def test_every_step_adds_noise_of_its_own_to_w(small, start):
    """Where nothing is to be gained, w stays the average: the rest is the noise of an image's generator."""
    seen: list[Tensor] = []
    hook = small.synthesis.register_forward_pre_hook(
        lambda _, given: seen.append(given[0][0, 0].detach())
    )
    images, steps = torch.zeros(1, 3, 8, 8), 8
    Inversion(small, NOTHING, start, 1, steps)(images)
    hook.remove()
    own = inversion.generator_of(images[0])
    for one in small.synthesis.noise_maps():
        own.standard_normal((1, *one.shape), dtype=np.float32)
    for step in range(6):  # there is none in the last quarter
        noise = torch.from_numpy(own.standard_normal((1, 16), dtype=np.float32))[0]
        scale = inversion.noise_of_w(step, steps, start.spread)
        close(seen[step], start.average + scale * noise, 1e-6)
    assert len(seen) == steps and torch.equal(seen[6], start.average)


def test_the_code_that_is_returned_is_without_the_noise_of_the_search(small, start):
    """Where nothing is to be gained, nothing moves, however much noise is added to w on the way."""
    found = Inversion(small, NOTHING, start, 1, 3)(torch.zeros(1, 3, 8, 8))
    assert torch.equal(found[0, 0], start.average)


def test_no_images_have_no_codes(small, start):
    found = Inversion(small, MEAN_SQUARE, start, 4, 5)(torch.zeros(0, 3, 8, 8))
    assert found.shape == (0, 4, 16)


def test_the_operations_of_a_search_can_be_counted(small, start):
    """As `cost` counts them: each step is a pass forward and, twice as dear at most, one backward."""
    images = torch.zeros(GROUP, 3, 8, 8)
    one = counting.flops(lambda: made(small, start.average.expand(GROUP, 4, -1)))
    found = counting.flops(lambda: Inversion(small, MEAN_SQUARE, start, 4, 3)(images))
    assert 3 * 1.5 * one < found < 3 * 3 * one


def test_a_weight_of_the_mean_squared_error_is_added(small, start):
    torch.manual_seed(4)
    images = F.interpolate(torch.randn(2, 3, 4, 4), size=8).tanh()
    still = Inversion(small, NOTHING, start, 1, 20)(images)
    moved = Inversion(small, NOTHING, start, 1, 20, mse=1.0)(images)
    error = [(made(small, w) - images).square().mean() for w in (still, moved)]
    assert error[1] < error[0]


# ----------------------------------------------------------------------------------------------
# Distances


def test_the_stand_in_is_the_harness_s_distance():
    torch.manual_seed(5)
    a, b = torch.rand(2, 2, 3, 32, 32) * 2 - 1
    expected = perceptual.effnet_distance(weights.load_path("efficientnet-lite0", None, False), CPU)
    found = inversion.find_loss("effnet", CPU)
    assert found.sha256 == expected.sha256
    close(found.to(a)(b), expected(a, b), 1e-6)


def test_lpips_is_what_its_package_gives(weights_dir, light_vgg16):
    path = weights_dir / weights.KNOWN["vgg16"].files[-1].filename
    torch.manual_seed(6)
    a, b = torch.rand(2, 2, 3, 32, 32) * 2 - 1
    expected = perceptual.lpips_vgg16(path, CPU)(a, b)
    close(inversion._of_lpips(path, CPU)(a)(b), expected, 1e-5)


def test_lpips_is_taken_where_its_weights_are(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    assert inversion.find_loss("auto", CPU).name == "effnet"
    (tmp_path / "checkpoints" / weights.KNOWN["vgg16"].files[-1].filename).write_bytes(b"other")
    with pytest.raises(UserError, match="the published one is"):
        inversion.find_loss("auto", CPU)
    monkeypatch.setattr(weights, "is_published", lambda *_: True)
    assert inversion.find_loss("auto", CPU).name == "lpips"


def test_large_images_are_averaged_to_256_px(monkeypatch):
    seen = []
    monkeypatch.setattr(inversion, "effnet_distance", lambda *_: _Watching(seen))
    image = torch.rand(1, 3, 512, 512)
    inversion._of_effnet(None, CPU)(image)(image)
    expected = F.avg_pool2d(image, 2)
    torch.testing.assert_close(seen[0], expected)
    torch.testing.assert_close(seen[1], expected)


class _Watching:
    def __init__(self, seen):
        self.module = self
        self.stages = lambda images: seen.append(images) or [images]


# ----------------------------------------------------------------------------------------------
# The systems


@pytest.fixture(scope="module")
def file(tmp_path_factory, small):
    path = tmp_path_factory.mktemp("stylegan2") / "network.pkl"
    return imitations.write_pytorch(path, small.state_dict(), {"synthesis_kwargs": {}})


def test_both_systems_encode(file, small):
    images = torch.rand(2, 3, 8, 8) * 2 - 1
    for name, shape in (("stylegan2-w", (2, 16)), ("stylegan2-wplus", (2, 4, 16))):
        system = systems.load(name, f"{file}#steps=5,distance=mse")
        code = system.encode(images)
        assert code.semantic.shape == shape
        assert len(shape) == 2 or not torch.equal(code.semantic[:, 0], code.semantic[:, 1])
        assert system.decode(code).shape == images.shape


def test_what_an_inversion_was_is_in_the_protocol_and_in_what_it_is_filed_under(file):
    found = {
        options: systems.load("stylegan2-w", f"{file}#{options}")
        for options in ("", "steps=20", "distance=mse", "mse=1")
    }
    assert len({system.fingerprint for system in found.values()}) == 4
    assert found[""].describe()["inversion"] == "projector, 1000 passes forward and backward"
    assert found[""].describe()["distance"] == "effnet"
    assert len(sha256 := found[""].describe()["distance_sha256"]) == 64
    assert sha256 in found[""].fingerprint
    assert found["steps=20"].describe()["steps"] == "20"


def test_encoding_goes_in_the_batches_of_the_run_and_gives_the_same(file):
    system = systems.load("stylegan2-wplus", f"{file}#steps=10,distance=mse")
    images = torch.rand(5, 3, 8, 8) * 2 - 1
    together = system.encode(images).semantic
    system.batches.size = 2
    assert torch.equal(system.encode(images).semantic, together)
    assert isinstance(Code(together), Code) and isinstance(system.inner._statistics, Statistics)
