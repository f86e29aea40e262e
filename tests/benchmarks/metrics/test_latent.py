"""Numbers of a space of codes, by their published formulas written out, and by closed forms."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from benchmarks.metrics import latent
from benchmarks.systems.shared import codebook
from diffae.system.errors import UserError


@pytest.fixture
def codes():
    source = torch.Generator().manual_seed(0)
    return torch.randn(7, 12, generator=source), torch.randn(40, 12, generator=source)


@pytest.mark.parametrize("spherical", [True, False])
def test_the_nearest_are_those_of_a_search_over_all(codes, spherical):
    ours, training = codes
    if spherical:
        cost = 1 - F.cosine_similarity(ours[:, None], training[None], dim=2)
    else:
        cost = torch.cdist(ours, training)
    found = latent.nearest(ours, training, spherical, 10)
    assert torch.equal(found, cost.argsort(dim=1)[:, :10])


def test_codes_at_equal_distances_are_taken_in_their_order(codes):
    ours = torch.ones(5, 12)
    training = torch.stack(
        [codes[1][0].roll(i) for i in range(12)]
    )  # their sums differ by rounding
    for spherical in (True, False):
        found = latent.nearest(ours, training, spherical, 12)
        assert torch.equal(found, torch.arange(12).expand(5, -1))


def test_a_neighbour_is_drawn_by_a_softmax_of_minus_the_mean_squared_difference():
    code = torch.tensor([[0.0, 0.0]]).expand(4000, -1)
    candidates = torch.tensor([[0.0, 1.0], [2.0, 0.0], [1.0, 1.0]])
    weights = np.exp([-0.5, -2.0, -1.0])
    uniform = (torch.arange(4000) + 0.5) / 4000
    found = latent.drawn(code, candidates.expand(4000, -1, -1), uniform)
    shares = [float((found == one).all(1).float().mean()) for one in candidates]
    assert shares == pytest.approx(list(weights / weights.sum()), abs=5e-4)
    assert torch.equal(latent.drawn(code[:1], candidates[None], torch.ones(1))[0], candidates[2])


def test_the_middle_is_on_the_great_circle_over_all_numbers_or_on_a_line(codes):
    a, b = codes[0], codes[1][:7]
    theta = torch.acos((F.normalize(a) * F.normalize(b)).sum(1, keepdim=True))
    expected = torch.sin(theta / 2) / torch.sin(theta) * (a + b)
    torch.testing.assert_close(latent.halfway(a, b, True), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(latent.halfway(a, b, False), (a + b) / 2)


def test_numbers_of_b_bits_have_two_to_the_b_values_over_three_deviations():
    codes = torch.linspace(-10, 14, 1001)[:, None]
    mean, deviation = torch.tensor([2.0]), torch.tensor([1.5])
    found = latent.quantised(codes, mean, deviation, 3)
    assert found.unique().numel() == 8
    assert (found.min(), found.max()) == (2 - 4.5, 2 + 4.5)
    inside = (codes - 2).abs() <= 4.5
    assert (found - codes)[inside].abs().max() <= 9 / 7 / 2 + 1e-5
    constant = latent.quantised(torch.full((2, 1), 5.0), torch.tensor([5.0]), torch.zeros(1), 2)
    assert torch.equal(constant, torch.full((2, 1), 5.0))


def dct_matrix(n: int) -> np.ndarray:
    """DCT-II, orthonormal: row k is c_k cos(pi k (2 x + 1) / (2 n))."""
    k, x = np.indices((n, n))
    return np.sqrt(np.where(k == 0, 1, 2) / n) * np.cos(math.pi * k * (2 * x + 1) / (2 * n))


def spectrum_written_out(maps: np.ndarray) -> np.ndarray:
    n, channels, height, width = maps.shape
    found = np.zeros((n, 16))
    for i in range(n):
        bands: list[list[float]] = [[] for _ in range(16)]
        power = np.zeros((height, width))
        for c in range(channels):
            one = maps[i, c] - maps[i, c].mean()
            power += (dct_matrix(height) @ one @ dct_matrix(width).T) ** 2 / channels
        power[0, 0] = 0
        largest = math.hypot(height - 1, width - 1)
        for u in range(height):
            for v in range(width):
                band = min(int(math.hypot(u, v) / largest * 16), 15)
                bands[band].append(power[u, v])
        found[i] = [math.log1p(sum(b) / max(len(b), 1)) for b in bands]
    return found / (found.sum(1, keepdims=True) + 1e-8)


@pytest.mark.parametrize("shape", [(3, 2, 8, 8), (2, 5, 4, 6), (1, 1, 32, 32)])
def test_a_spectrum_is_the_published_formula_s(shape):
    maps = np.random.default_rng(0).normal(size=shape) * 3 + 1
    np.testing.assert_allclose(latent.spectrum(maps), spectrum_written_out(maps), atol=1e-12)


@pytest.mark.parametrize("side", [4, 5, 9, 16, 17, 32, 33, 57, 64, 65, 113, 125])
def test_bands_are_those_of_the_published_code(side):
    """SpectrumMatching@2dc7340 utils_DCT.py l.197-202: only radii on an edge may fall into other bands than in float64."""
    yy, xx = torch.arange(side).view(side, 1).float(), torch.arange(side).view(1, side).float()
    rr = torch.sqrt(yy**2 + xx**2)
    expected = torch.floor(rr / rr.max().clamp_min(1.0) * 16).long().clamp(0, 15)
    assert np.array_equal(latent.bands(side, side), expected.numpy())
    exact = np.minimum(np.hypot(*np.indices((side, side))) / np.hypot(side - 1, side - 1) * 16, 15)
    on_edge = np.abs(exact - exact.round()) < 1e-5
    assert on_edge.mean() < 0.3
    assert np.array_equal(expected.numpy()[~on_edge], exact.astype(int)[~on_edge])
    if side % 2 == 0:
        assert np.array_equal(expected.numpy(), exact.astype(int))


def test_a_wave_has_all_of_its_power_in_its_band():
    row = dct_matrix(16)[5]
    shares = latent.spectrum(np.broadcast_to(row, (1, 1, 16, 16)))[0]
    band = int(5 / math.hypot(15, 15) * 16)
    assert shares[band] == pytest.approx(1, abs=1e-6) and shares.sum() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("size", [(8, 8), (16, 32), (32, 32), (32, 16), (64, 64)])
def test_the_divergence_of_the_blurred_small_image_itself_is_zero_and_of_others_the_formula_s(size):
    """Not blurred for maps that are 32 px high, whatever the images' size: `if hz == 32`, line 243."""
    source = torch.Generator().manual_seed(1)
    images = torch.rand(3, 3, 64, 64, generator=source) * 2 - 1
    taps = torch.exp(-(torch.arange(-3.0, 4) ** 2) / (2 * 1.2**2))
    kernel = torch.outer(taps, taps) / taps.sum() ** 2
    blurred = F.conv2d(images, kernel.expand(3, 1, 7, 7), padding=3, groups=3)
    seen = images if size[0] == 32 else blurred
    small = F.interpolate(seen, size, mode="bicubic", align_corners=False)
    assert latent.spectrum_divergence(images, small) == pytest.approx(np.zeros(3), abs=1e-9)
    maps = torch.randn(3, 4, *size, generator=source)
    p, q = (spectrum_written_out(x.double().numpy()) for x in (small, maps))
    expected = (p * np.log((p + 1e-8) / (q + 1e-8))).sum(1)
    assert latent.spectrum_divergence(images, maps) == pytest.approx(expected, rel=1e-5)


def test_the_code_of_a_rank_is_that_of_a_sorted_search():
    source = torch.Generator().manual_seed(2)
    maps, book = torch.randn(2, 3, 5, 4, generator=source), torch.randn(9, 3, generator=source)
    ranks = torch.randint(0, 6, (2, 5, 4), generator=source)
    order = torch.cdist(maps.movedim(1, -1).reshape(-1, 3), book).argsort(dim=1)
    expected = order.gather(1, ranks.reshape(-1, 1)).reshape(2, 5, 4)
    assert torch.equal(codebook.of_rank(maps, book, ranks), expected)
    assert torch.equal(
        codebook.of_rank(maps, book, torch.zeros_like(ranks)), codebook.nearest(maps, book)
    )
    with pytest.raises(UserError, match="no code of rank 9: the codebook has 9"):
        codebook.of_rank(maps, book, ranks + 9 - ranks)
