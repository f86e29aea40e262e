"""Causes of differences between protocols sum to the difference, whatever pairs there are."""

import math
import re
from dataclasses import replace
from functools import cached_property
from itertools import permutations
from typing import Literal, get_args, get_origin

import numpy as np
import pytest
import torch

from benchmarks.metrics.codes import schema as codes_schema
from benchmarks.metrics.networks.chosen import Networks
from benchmarks.metrics.networks.perceptual import PerceptualDistance
from benchmarks.metrics.protocols import schema
from benchmarks.metrics.protocols.cases import MADE, ORIGINAL, Case, compute, together
from benchmarks.metrics.protocols.explain import Explained, OnPairs, in_words, steps
from benchmarks.metrics.protocols.schema import named
from benchmarks.runtime.choices import NetworkChoice
from diffae.system.settings import settings_of

N = 11
EQUAL = (0, 4)  # the pairs whose images are equal
EVERY = list(map(named, schema.names()))


NETWORKS = Networks(NetworkChoice(), torch.device("cpu"))


class Whole(OnPairs):
    """As if all weights were here; what the networks compute is drawn."""

    def lacking(self, case: Case) -> str:
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
        plain = found[metric, schema.PLAIN].found.value
        if one.left_out:
            assert metric == "psnr" and not np.isfinite([plain, one.found.value]).all()
        else:
            assert one.found.value - plain == pytest.approx(one.difference, abs=1e-10)


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
    assert with_equal["psnr", "plain"].found.value == math.inf
    assert with_equal["psnr", "rae"].found.value == pytest.approx(
        np.mean([100] * 2 + [alone["psnr", "rae"].found.value] * (N - 2)), abs=1e-9
    )


def test_what_makes_a_number_finite_is_told_first(with_equal):
    told = {name: with_equal["psnr", name].told for name in ("rae", "torchmetrics-1.8", "vtp")}
    assert told["rae"][0].text.endswith("equal images as infinite (no longer infinite)")
    assert told["torchmetrics-1.8"][0].text.startswith("one error for all images instead of")
    assert not told["vtp"]  # it reads pixels by other numbers, which changes no digit


# What each value of a field is called, written a second time.
SAID = {
    "scaling": {
        "x / 127.5 - 1": "pixels as x / 127.5 - 1",
        "x / 255": "pixels as x / 255",
        "(x / 255 - 0.5) / 0.5": "pixels as (x / 255 - 0.5) / 0.5",
        "ImageNet's mean and std": "pixels by ImageNet's mean and standard deviation",
    },
    "rounding": {
        "none": "no rounding to 8 bits",
        "half up": "rounding to 8 bits, halves up",
        "half to even": "rounding to 8 bits, halves to even",
        "truncated": "truncation to 8 bits",
    },
    "rounded": {
        "both": "rounding both sides",
        "reconstruction": "rounding the reconstruction alone",
    },
    "resize": {
        "pytorch-fid": "bilinear resizing",
        "tensorflow": "TensorFlow 1's resizing",
        "clean-fid": "clean-fid's bicubic resizing with antialiasing",
        "antialiased": "bilinear resizing with antialiasing",
    },
    "dtype": {"float32": "Inception in float32", "float64": "Inception in float64"},
    "of": {
        "image": "one error for each image",
        "batch": "one error for each batch",
        "all": "one error for all images",
    },
    "error": {"of pixels in [0, 1]": "errors of pixels in [0, 1]", "halved": "halved errors"},
    "equal_images": {
        "infinite": "equal images as infinite",
        "100 dB": "equal images as 100 dB",
        "100 dB, 1e-10 added": "1e-10 added to each error, equal images as 100 dB",
    },
    "pixels": {"[0, 1]": "pixels in [0, 1]", "[-1, 1]": "pixels in [-1, 1]"},
    "clamped": {True: "clamped pixels", False: "pixels as decoded, not clamped"},
    "window": {
        "gaussian 11": "an 11 x 11 Gaussian window",
        "uniform 7": "a 7 x 7 uniform window",
    },
    "padding": {
        "zero": "zero padding",
        "reflect": "reflected padding",
        "valid": "windows inside the image",
    },
    "range": {"1": "range 1", "2": "range 2", "of the batch": "the range of the batch"},
    "covariance": {"population": "population covariance", "sample": "sample covariance"},
    "trunk": {"alexnet": "AlexNet", "vgg16": "VGG16"},
    "batch": {1: "a mean over images", 8: "a mean over batches of 8"},
}


def values_of(hint) -> set:
    """The values of a field: its literals, both truth values, or two sizes of a batch."""
    if get_origin(hint) is Literal:
        return set(get_args(hint))
    return {True, False} if hint is bool else {1, 8}


@pytest.mark.parametrize("metric", schema.METRICS)
def test_a_cause_names_the_new_value_and_then_the_old_one(metric):
    """Of every field that how a metric is computed depends on, each value for each other."""
    plain = named(schema.PLAIN)
    for name in Case(metric, plain).fields:
        section, field = name.split(".")
        assert values_of(settings_of(schema.SECTIONS[section])[field]) == SAID[field].keys(), name
        for old, new in permutations(SAID[field], 2):
            before, after = (
                replace(plain, **{section: replace(getattr(plain, section), **{field: value})})
                for value in (old, new)
            )
            (step,) = steps(Case(metric, before), after)
            assert str(step) == f"{SAID[field][new]} instead of {SAID[field][old]}", name


def test_each_value_of_a_field_has_words_of_its_own():
    """Of codes' protocols too; no field is called by its bare name, and no number stands for none or all."""
    said = {}
    for name in codes_schema.names():
        for section, values in codes_schema.named(name).sections.items():
            for field, value in vars(values).items():
                said.setdefault(f"{section}.{field}", {})[value] = in_words(
                    f"{section}.{field}", value
                )
    for field, words in said.items():
        assert len({*words.values()}) == len(words), field
        for value, text in words.items():
            assert isinstance(value, str) or text != f"{field.partition('.')[2]} {value}"
            assert not re.search(r"(?<![\d.])(0|0\.0|1,?000,?000,?000)(?![\d.])", text), text


def test_of_equal_pairs_alone_no_difference_is_known(images):
    same = explained(arrays_of(images[1], images[1]))
    rae = same["psnr", "rae"]
    assert rae.found.value == pytest.approx(100) and (rae.difference, rae.left_out) == (None, N)
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
    assert np.isfinite(found["psnr", "plain"].found.value)
    assert found["psnr", "seed-voken"].found.value == math.inf
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
