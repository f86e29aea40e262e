"""Interpolation with systems of known path length, under the distance |a - b|^2.

With a linear decoder the z_sem part of a path moves at one speed, |W (b - a)|, and the x_T part at
that of the great circle, theta / sin(theta) |cos(t theta) b - cos((1 - t) theta) a|.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from colours import SquaredError
from lone_context import small_context
from PIL import Image
from scipy.stats import trim_mean
from scipy.stats.mstats import trimmed_stde
from torch import Tensor, nn

from benchmarks import systems
from benchmarks.core import store
from benchmarks.core.context import Context
from benchmarks.core.runner.evaluation import rows
from benchmarks.core.store import MemoryStore, Store
from benchmarks.metrics.path_length import (
    MEAN,
    MEDIAN,
    TRIMMED,
    estimate_path_length,
    within_percentiles,
)
from benchmarks.runtime.precision import precision
from benchmarks.systems.protocol import checked
from benchmarks.systems.protocol.base import DECODE, ENCODE, SEMANTIC, STOCHASTIC, Code, System
from benchmarks.tasks import interpolation
from benchmarks.tasks.interpolation import BENCHMARK, EPSILON, in_float64
from diffae import DiffusionAutoencoder
from diffae.data import open_dataset
from diffae.diffusion import noise

PAIRS, DIM = 6, 5
WEIGHT = torch.randn(DIM, 3 * 32 * 32, generator=torch.Generator().manual_seed(0)).double() / 2000
GAIN = 0.05


class Linear(System):
    """z_sem: 5 numbers of the image; x_T: a map of it. Decoded to W z + 0.05 x_T."""

    name, title, fingerprint = "linear", "linear", "linear-1"
    capabilities = frozenset({ENCODE, DECODE, SEMANTIC, STOCHASTIC})
    image_size, latent_dim, semantic_dim = 32, DIM + 3 * 32**2, DIM
    computes_in_float64 = True

    def encode_semantic(self, images):
        return 10 * images[:, 0, ::8, ::8].flatten(1)[:, :DIM]

    def encode_stochastic(self, images, semantic, steps):
        return images.roll(5, -1) * torch.linspace(0, 1, 32) + torch.linspace(-1, 1, 32)

    def decode(self, code, steps=100):
        flat = code.semantic @ WEIGHT.to(code.semantic.dtype)
        return flat.view(-1, 3, 32, 32) + GAIN * code.x_T


def run(context, system):
    return list(rows(BENCHMARK, context, [system]))


@pytest.fixture
def exact(context):
    """A context whose path distance is the squared error."""
    context.networks.path_distance = SquaredError()
    return replace(context, profile=context.profile.changed_by({"interpolation.pairs": PAIRS}))


def lengths_by_hand(context: Context, pairs: int = PAIRS) -> np.ndarray:
    images = context.select("test", 2 * pairs).batch(np.arange(2 * pairs))
    system = Linear()
    z = system.encode_semantic(images).double()
    x = system.encode_stochastic(images, z, 1).double().flatten(1)
    lengths = []
    for pair in range(pairs):
        a, b = x[2 * pair], x[2 * pair + 1]
        t = noise.generator(context.seed, "t", pair).random() * (1 - EPSILON) + EPSILON / 2
        theta = torch.acos(a @ b / a.norm() / b.norm())
        turn = torch.cos(t * theta) * b - torch.cos((1 - t) * theta) * a
        speed = (z[2 * pair + 1] - z[2 * pair]) @ WEIGHT + GAIN * theta / torch.sin(theta) * turn
        lengths.append(speed.square().sum().item())
    return np.array(lengths)


def test_images_that_do_not_change_have_no_path(exact):
    found = run(exact, systems.load("dummy-constant"))
    assert {row.value for row in found if "ppl" in row.metric or "path" in row.metric} == {0}


@pytest.mark.parametrize("chunk", [64, 4])
def test_path_length_of_a_linear_decoder(exact, monkeypatch, chunk):
    """Whether the pairs lie in one chunk or in two, whose images lie in three."""
    for module in (store, interpolation):
        monkeypatch.setattr(module, "CHUNK", chunk)
    expected = lengths_by_hand(exact)
    system = checked.Checked("linear", Linear(), torch.device("cpu"))
    found = {record.setting: record for record in run(exact, system)}
    assert {row.metric for row in found.values()} == {"ppl_effnet"}
    assert found["mean"].value == pytest.approx(expected.mean(), rel=1e-6)
    assert found["median"].value == pytest.approx(np.median(expected), rel=1e-6)
    assert found["trimmed mean"].value == pytest.approx(expected.mean(), rel=1e-6)
    assert found["mean"].stderr == pytest.approx(expected.std(ddof=1) / PAIRS**0.5, rel=1e-5)
    for setting, estimate in estimate_path_length(expected, "pairs").items():
        assert found[setting].stderr == pytest.approx(estimate.stderr, rel=1e-5)
    assert found["mean"].n == PAIRS and "so few pairs" in found["trimmed mean"].note


def test_each_number_says_of_how_many_pairs_it_is(tmp_path):
    """Of 105 pairs the trimmed mean leaves out one at either end, and the others none."""
    pairs, rng = 105, np.random.default_rng(0)
    (tmp_path / "test").mkdir()
    for index in range(2 * pairs):
        pixels = np.uint8(rng.integers(0, 256, (4, 4, 3))).repeat(8, 0).repeat(8, 1)
        Image.fromarray(pixels).save(tmp_path / "test" / f"{index}.png")
    context = small_context(
        open_dataset(tmp_path, 32), tmp_path / "run", {"interpolation.pairs": pairs}
    )
    context.networks.path_distance = SquaredError()
    expected = np.sort(lengths_by_hand(context, pairs))
    of = {"mean": expected, "trimmed mean": expected[1:-1]}
    found = {record.setting: record for record in run(context, Linear())}
    for setting, lengths in of.items():
        assert found[setting].n == len(lengths) and not found[setting].note
        assert found[setting].value == pytest.approx(lengths.mean(), rel=1e-6)
    assert found["median"].n == pairs


def test_pairs_have_the_same_length_however_many_are_decoded_together(exact, monkeypatch):
    """A GPU is given more of them at once than a CPU."""
    found = []
    for together in (1, 4, 64):
        monkeypatch.setattr(interpolation, "AT_ONCE", together)
        records = run(replace(exact, store=MemoryStore()), Linear())
        found.append([record.value for record in records])
    np.testing.assert_allclose(found[1:], 2 * found[:1], rtol=1e-9)


class Rounding(Linear):
    """Its networks' inputs are rounded as TF32 does it, to 10 bits, where the run's precision
    allows it.
    """

    computes_in_float64 = False

    def encode_semantic(self, images):
        return super().encode_semantic(as_allowed(images))

    def decode(self, code, steps=100):
        return super().decode(code.each(as_allowed), steps)


def as_allowed(values: Tensor) -> Tensor:
    if not torch.backends.cuda.matmul.allow_tf32:
        return values
    mantissa, exponent = torch.frexp(values)
    return torch.ldexp((mantissa * 2**11).round() / 2**11, exponent)


def test_precision_of_the_run_does_not_touch_path_length(exact, tmp_path):
    """On the old code, where nothing switched TF32 off, a path of this system was fifteen times as
    long (3.006 in place of 0.198).
    """
    expected = lengths_by_hand(exact).mean()
    found = {}
    for name in ("float32", "tf32"):
        with precision(name):
            system = checked.Checked("rounding", Rounding(), torch.device("cpu"))
            store = Store(
                tmp_path / name
            )  # or the second run would read what the first one computed
            first, *_ = run(replace(exact, precision=name, store=store), system)
        found[name] = first.value
        assert first.measured_by["precision"] == "float32"
        assert first.measured_by["decoding_dtype"] == "float32"
    assert found["tf32"] == found["float32"] == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("name", ["diffae", "ddim"])
def test_the_packaged_decoders_compute_in_float64(name):
    """In float32, a difference of 1e-8 is lost in the rounding of an image; in float64 it is
    doubled as it should.
    """
    system = systems.load(name)
    assert system.computes_in_float64
    x_T = noise.normal(0, "x_T", [0], (3, 32, 32)).double()
    semantic = torch.zeros(1, system.semantic_dim).double() if system.semantic_dim else None
    before = system.decode(Code(semantic, x_T), 1)
    with in_float64(system):
        images = [system.decode(Code(semantic, x_T + d * 1e-8), 1) for d in (0, 1, 2)]
        assert {image.dtype for image in images} == {torch.float64}
        one, two = (image - images[0] for image in images[1:])
    assert 1e-10 < one.norm() < 1e-5
    torch.testing.assert_close(two, 2 * one, rtol=1e-2, atol=1e-11)
    assert torch.equal(system.decode(Code(semantic, x_T), 1), before)
    assert all(p.dtype == torch.float32 for n in system.networks().values() for p in n.parameters())


def test_networks_are_float32_again_after_an_error():
    class Broken(Linear):
        net = nn.Linear(2, 2)

        def networks(self):
            return {"net": self.net}

    system = Broken()
    with pytest.raises(RuntimeError), in_float64(system):
        assert system.net.weight.dtype == torch.float64
        raise RuntimeError
    assert system.net.weight.dtype == torch.float32


@pytest.mark.parametrize(
    "halved", ["", "latent_net", "encoder latent_net", "unet encoder latent_net"]
)
def test_a_model_in_memory_is_as_before_whatever_the_types_of_its_networks(untrained, halved):
    """Only one of float32 alone is converted: the others would come back as float32."""
    model = DiffusionAutoencoder.from_pretrained(untrained / "diffae")
    for name in halved.split():
        getattr(model, name).bfloat16()
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    with in_float64(systems.as_system(model)):
        inside = {weight.dtype for weight in model.parameters()}
    assert (torch.float64 in inside) == (not halved)
    for name, weight in model.named_parameters():
        assert weight.dtype == before[name].dtype and torch.equal(weight, before[name]), name


# ----------------------------------------------------------------------------------------------
# Mean, trimmed mean and median


def stylegan(distances: np.ndarray) -> float:
    """metrics/perceptual_path_length.py of StyleGAN, in the words of today's numpy."""
    low = np.percentile(distances, 1, method="lower")
    high = np.percentile(distances, 99, method="higher")
    return float(np.mean(np.extract((low <= distances) & (distances <= high), distances)))


@pytest.mark.parametrize("n", [48, 101, 1000])
def test_trimmed_mean_is_the_usual_one(n):
    lengths = np.random.default_rng(n).lognormal(2, 1, n)
    estimate = estimate_path_length(lengths, "pairs:x")[TRIMMED]
    assert estimate.value == pytest.approx(stylegan(lengths), rel=1e-12)
    cut = (n - 1) // 100
    assert estimate.value == pytest.approx(trim_mean(lengths, cut / n), rel=1e-12)
    assert estimate.n == n - 2 * cut == within_percentiles(lengths).sum()
    assert bool(estimate.notes) == (cut == 0)


@pytest.mark.parametrize("n", [101, 1000])
def test_error_of_the_trimmed_mean_is_scipys(n):
    lengths = np.random.default_rng(n).lognormal(2, 1, n)
    cut = (n - 1) // 100 / n
    estimate = estimate_path_length(lengths, "pairs:x")[TRIMMED]
    assert estimate.stderr == pytest.approx(trimmed_stde(lengths, (cut, cut)), rel=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_the_median_of_fewer_than_four_pairs_has_no_error(n):
    """An interval of 95 % for it would reach beyond the shortest and the longest of them."""
    estimates = estimate_path_length(np.arange(1.0, n + 1), "pairs:x")
    median, mean = estimates[MEDIAN], estimates[MEAN]
    assert median.value == mean.value == (n + 1) / 2
    assert bool(median.influences) == (n == 4) and bool(mean.influences) == (n > 1)


@pytest.mark.parametrize("n", [48, 400])
@pytest.mark.parametrize("name", [MEAN, TRIMMED, MEDIAN])
def test_standard_errors_equal_the_spread_in_a_simulation(n, name):
    """Log-normal lengths, as skewed as DDIM's; the root mean square of 400 stated errors, which is
    what the spread estimates.
    """
    rng = np.random.default_rng(1)
    draws = [estimate_path_length(rng.lognormal(2, 0.8, n), "pairs:x")[name] for _ in range(400)]
    spread = np.std([estimate.value for estimate in draws], ddof=1)
    stated = np.sqrt(np.mean([estimate.stderr**2 for estimate in draws]))
    assert 0.85 < stated / spread < 1.25
