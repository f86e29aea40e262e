"""Causes of differences between protocols sum to the difference, whatever pairs there are."""

import math
from dataclasses import replace
from functools import cached_property

import numpy as np
import pytest
import torch

from benchmarks.metrics.networks.chosen import Networks
from benchmarks.metrics.networks.perceptual import PerceptualDistance
from benchmarks.metrics.protocols import schema
from benchmarks.metrics.protocols.cases import MADE, ORIGINAL, ImageCase, compute, together
from benchmarks.metrics.protocols.explain import Explained, OnPairs
from benchmarks.metrics.protocols.schema import named
from benchmarks.runtime.choices import NetworkChoice

N = 11
EQUAL = (0, 4)  # the pairs whose images are equal
EVERY = list(map(named, schema.names()))


NETWORKS = Networks(NetworkChoice(), torch.device("cpu"))


class Whole(OnPairs):
    """As if all weights were here; what the networks compute is drawn."""

    def lacking(self, case: ImageCase) -> str:
        return ""


WHOLE = Whole(EVERY, NETWORKS, (16, 16), explains=True)


@pytest.fixture(scope="module")
def images():
    """Reconstructions and originals, uint8 N x 3 x 16 x 16: unlike noise, two pairs are equal, and
    one differs by a level that is lost where pixels are truncated.
    """
    draw = np.random.default_rng(0)
    originals = draw.integers(0, 256, (N, 3, 4, 4)).repeat(4, 2).repeat(4, 3)
    noise = draw.normal(size=originals.shape) * np.linspace(5, 30, N)[:, None, None, None]
    made = (originals + noise).clip(0, 255).round()
    made[list(EQUAL)] = originals[list(EQUAL)]
    return torch.from_numpy(made.astype(np.uint8)), torch.from_numpy(originals.astype(np.uint8))


def arrays_of(made, originals):
    cases = WHOLE.cases
    arrays = compute([c for c in cases if c.metric in ("psnr", "ssim")], NETWORKS, made, originals)
    for case in cases:
        draw = np.random.default_rng(len(arrays))
        if case.metric == "lpips":
            arrays.setdefault(case.scores_key, draw.random(len(made)))
        if case.metric == "rfid":
            for side in (MADE, ORIGINAL):
                arrays.setdefault(case.features_key(side), draw.normal(size=(len(made), 3)))
    return arrays


def explained(arrays) -> dict[tuple[str, str], Explained]:
    return {(one.case.metric, one.case.protocol.name): one for one in WHOLE.numbers(arrays)}


@pytest.fixture(scope="module")
def with_equal(images):
    return explained(arrays_of(*images))


class Noting(torch.nn.Module):
    """In the place of LPIPS: notes the pixels that it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[bytes] = []

    def forward(self, a, b):
        self.seen.append(a.numpy().tobytes() + b.numpy().tobytes())
        return (a - b).abs().mean((1, 2, 3))


class TwoTrunks(Networks):
    @cached_property
    def of(self) -> dict[str, PerceptualDistance]:
        names = ("alexnet", "vgg16")
        return {n: PerceptualDistance(*[n] * 5, self.device, Noting()) for n in names}

    def perceptual_distance(self, name):
        return replace(self.of[name])  # another object at each call, as of networks with files


def test_a_trunk_sees_equal_pixels_once(images):
    """Whichever protocols make them; each score is that of its case alone."""
    cases = [case for case in WHOLE.cases if case.metric == "lpips"]
    together, alone = (TwoTrunks(NetworkChoice(), torch.device("cpu")) for _ in range(2))
    decoded = images[0].float() / 120 - 1  # beyond [-1, 1]
    for made, as_decoded in ((images[0], None), (decoded.clamp(-1, 1), decoded)):
        found = compute(cases, together, made, images[1], as_decoded)
        for case in cases:
            (expected,) = compute([case], alone, made, images[1], as_decoded).values()
            np.testing.assert_array_equal(found[case.scores_key], expected)
    for name in ("alexnet", "vgg16"):
        seen, of_each = (networks.of[name].module.seen for networks in (together, alone))
        assert len(seen) == len(set(of_each)) < len(of_each)


@pytest.mark.parametrize("order", [None, 0, 1], ids=["in order", "shuffled", "shuffled again"])
def test_causes_sum_to_the_difference_for_every_protocol(images, order):
    """Beside equal pairs too, and for pairs in any order, which changes batches."""
    places = np.arange(N) if order is None else np.random.default_rng(order).permutation(N)
    found = explained(arrays_of(*(side[torch.from_numpy(places)] for side in images)))
    assert {name for _, name in found} == set(schema.names())
    for (metric, name), one in found.items():
        total = math.fsum(cause.difference for cause in one.causes)
        assert total == pytest.approx(one.difference, abs=1e-10), (metric, name)
        plain = found[metric, schema.PLAIN].estimate.value
        if one.left_out:
            assert metric == "psnr" and not np.isfinite([plain, one.estimate.value]).all()
        else:
            assert one.estimate.value - plain == pytest.approx(one.difference, abs=1e-10)


def test_without_equal_pairs_are_the_numbers_of_the_others(images, with_equal):
    """Measured of the other pairs alone; the numbers themselves are of all."""
    kept = [i for i in range(N) if i not in EQUAL]
    alone = explained(arrays_of(*(side[kept] for side in images)))
    for (metric, name), one in with_equal.items():
        if metric == "psnr":
            other = alone[metric, name]
            assert (one.left_out, other.left_out) == (len(EQUAL), 0)
            assert one.difference == pytest.approx(other.difference, abs=1e-12)
            assert [c.difference for c in one.causes] == pytest.approx(
                [c.difference for c in other.causes], abs=1e-12
            )
    assert with_equal["psnr", "plain"].estimate.value == math.inf
    assert with_equal["psnr", "rae"].estimate.value == pytest.approx(
        np.mean([100] * 2 + [alone["psnr", "rae"].estimate.value] * (N - 2)), abs=1e-9
    )


def test_of_equal_pairs_alone_no_difference_is_known(images):
    same = explained(arrays_of(images[1], images[1]))
    rae = same["psnr", "rae"]
    assert rae.estimate.value == pytest.approx(100) and (rae.difference, rae.left_out) == (None, N)
    assert [cause.jumps for cause in rae.causes] == [True]
    assert same["psnr", "llamagen"].causes == ()
    assert same["ssim", "llamagen"].difference == pytest.approx(0, abs=1e-12)


def test_a_pair_that_one_code_makes_equal_is_left_out_of_its_line_alone(images):
    """Where x / 127.5 - 1 comes out below a whole number, truncation makes two levels one."""
    made, originals = (side[1:4].clone() for side in images)
    levels = ((torch.arange(256).double() / 127.5 - 1).float() + 1) / 2 * 255
    (same,) = torch.where(levels.floor().diff() == 0)
    made[0], originals[0] = int(same[0]), int(same[0]) + 1
    found = explained(arrays_of(made, originals))
    assert np.isfinite(found["psnr", "plain"].estimate.value)
    assert found["psnr", "seed-voken"].estimate.value == math.inf
    left_out = {name for (_, name), one in found.items() if one.left_out}
    assert "seed-voken" in left_out and "maskbit" not in left_out and "plain" not in left_out


def test_batches_of_a_protocol_are_whole_and_else_the_batch_is_the_one_asked_for():
    ssim = [case for case in WHOLE.cases if case.metric == "ssim"]
    assert together(ssim, 7) == 7
    of_six = [
        replace(c, protocol=replace(c.protocol, ssim=replace(c.protocol.ssim, batch=6)))
        for c in ssim
    ]
    assert [together(of_six, size) for size in (1, 6, 7, 32)] == [6, 6, 6, 30]
