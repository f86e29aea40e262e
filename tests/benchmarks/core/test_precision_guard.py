"""The check of lower precisions: what it compares, what it refuses, and that a run goes on."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from lone_context import small_context

from benchmarks import evaluate, systems
from benchmarks.core.profiles import PROFILES
from benchmarks.core.runner.evaluation import Evaluation, fewest_and_most
from benchmarks.systems.precision_guard import IMAGES, LIMITS, differences
from benchmarks.systems.protocol.base import (
    DECODE,
    ENCODE,
    SAMPLE,
    SEMANTIC,
    STOCHASTIC,
    Code,
    System,
)
from benchmarks.systems.protocol.checked import Checked

CPU = torch.device("cpu")
SIZE = 3 * 32**2


class Plain(System):
    """Its code is the image, its decoder a product with the identity: exact in float32, rounded to
    8 bits in bfloat16.
    """

    name = fingerprint = "plain"
    title, capabilities = "Plain", frozenset({ENCODE, DECODE, SEMANTIC})
    image_size, latent_dim, iterative = 32, SIZE, True
    offset = 0.0

    def __init__(self):
        self.identity, self.decoded = torch.eye(SIZE), []

    def encode_semantic(self, images):
        return images.flatten(1)

    def encode_stochastic(self, images, semantic, steps):
        return images

    def decode(self, code, steps=100):
        self.decoded.append(steps)
        part = code.x_T.flatten(1).clamp(-1, 1) if code.semantic is None else code.semantic
        shifted = (part + self.offset) @ self.identity  # bfloat16 under autocast
        return (shifted.float() - self.offset).reshape(-1, 3, 32, 32)

    def sample(self, indices, seed, steps):
        return self.decode(Code(None, self.random_x_T(indices, seed)), steps)


class Cancelling(Plain):
    """A small difference of large numbers: bfloat16 has steps of 1 from 128 to 256."""

    name = fingerprint = "cancelling"
    title, offset = "Cancelling", 200.0


def inexact() -> torch.Tensor:
    """0 in float32, and not in bfloat16, as 0.3 is not a number of 8 bits."""
    return (torch.ones(1, 1) @ torch.full((1, 1), 0.3)).float() - 0.3


class Drifting(Plain):
    name = fingerprint = "drifting"

    def decode(self, code, steps=100):
        return super().decode(code, steps) + 20 * steps * inexact()


class Overflowing(Plain):
    name = fingerprint = "overflowing"

    def decode(self, code, steps=100):
        image = super().decode(code, steps)
        return image if inexact() == 0 else image / 0


class MovedCodes(Plain):
    name = fingerprint = "moved codes"

    def encode_semantic(self, images):
        return images.flatten(1) * (1 + 100 * inexact())


class Noisy(Plain):
    """Its noise is from PyTorch's generator."""

    name = fingerprint = "noisy"

    def encode_semantic(self, images):
        return images.flatten(1) + torch.randn(len(images), SIZE)


def refusal(context, system, tasks=("reconstruction",), precision="bfloat16") -> str:
    """Why a system is refused, "" where it is not."""
    run = Evaluation(replace(context, precision=precision), [Checked(system.name, system, CPU)])
    run.guard(tasks, lambda line: None)
    return str(run.missing.get(system.title, ""))


# ----------------------------------------------------------------------------------------------
# What is compared, by closed forms


def test_images_are_compared_by_the_worst_of_them_in_grey_levels(patches):
    images = patches.batch(range(4))
    moved = images.clone()
    moved[0] += 1 / 127.5
    moved[2, :, :16] += 4 / 127.5  # half of its pixels: 4 / sqrt(2)
    expected = pytest.approx(4 / 2**0.5, rel=1e-5)
    assert differences({"images": images}, {"images": moved}) == {"images": expected}


@pytest.mark.parametrize(
    ("exact", "other", "share"),
    [
        ([[1.0], [-1.0]], [[1.1], [-0.9]], 0.1),
        ([[11.0], [9.0]], [[11.1], [9.1]], 0.1),  # of their spread, not of their size
        ([[2.0]], [[1.0]], 0.5),  # one image has no spread
        ([[1.0], [1.0]], [[1.001], [1.001]], 0.1),  # nor have two that are one
        ([[0.0], [0.0]], [[0.0], [0.0]], 0.0),
        ([[0.0], [0.0]], [[0.0], [1e-9]], 1.0),
        ([[1, 2], [3, 4]], [[1, 2], [3, 5]], 0.25),  # tokens
    ],
)
def test_codes_are_compared_by_how_far_they_are_apart(exact, other, share):
    a, b = torch.tensor(exact), torch.tensor(other)
    for changed in (b, (a, b), (b, a)):  # of several parts the worst
        original = a if isinstance(changed, torch.Tensor) else (a, a)
        found = differences({"x_T": original}, {"x_T": changed})
        assert found == {"x_T": pytest.approx(share, rel=1e-4)}


def test_steps_are_the_fewest_and_the_most_that_the_tasks_ask_for():
    given = {"samples.steps": (10,), "reconstruction.steps": (20, 200, 50), "identity.steps": 5}
    profile = PROFILES["quick"].changed_by(given)
    assert fewest_and_most(profile, ["probes"]) == [10]  # those of samples, which tasks share
    assert fewest_and_most(profile, ["identity"]) == [5, 10]
    assert fewest_and_most(profile, ["reconstruction", "identity"]) == [5, 200]


# ----------------------------------------------------------------------------------------------
# Refusals


@pytest.mark.parametrize("precision", ["bfloat16", "tf32"])
def test_a_sound_system_passes(context, precision):
    system = Plain()
    assert refusal(context, system, precision=precision) == ""
    assert set(system.decoded) == {2, 4}
    before = torch.get_rng_state()
    assert refusal(context, Noisy(), precision=precision) == ""
    assert torch.equal(torch.get_rng_state(), before)


def test_a_system_that_bfloat16_breaks_is_refused_with_what_was_measured(context):
    images = context.select("test", IMAGES).batch(np.arange(IMAGES))
    rounded = (images - images.round()).square().flatten(1).mean(1).sqrt().max()
    levels = f"{127.5 * float(rounded):.2g}"
    assert refusal(context, Cancelling()) == (
        f"system 'cancelling', bfloat16: deviates from float32 at T = 2: images by {levels} grey levels "
        f"(at most {LIMITS['images']:g}); use --precision float32"
    )
    assert refusal(context, Cancelling(), precision="tf32") == "", "on a CPU it is float32"


@pytest.mark.parametrize(
    ("system", "words"),
    [
        (Drifting, "at T = 4: images by "),  # with many steps alone
        (MovedCodes, "at T = 1: semantic codes by "),
    ],
)
def test_what_bfloat16_breaks_is_named(context, system, words):
    context.profile = context.profile.changed_by({"reconstruction.steps": (1, 4)})
    assert words in refusal(context, system())


def test_in_float32_nothing_is_asked(context):
    system = Cancelling()
    assert refusal(context, system, precision="float32") == "" and system.decoded == []


@pytest.mark.parametrize(
    "capabilities", [{SAMPLE}, {DECODE, STOCHASTIC}, {ENCODE, DECODE, STOCHASTIC}]
)
def test_a_system_is_asked_for_what_it_can(capabilities, context):
    for kind, words in ((Plain, ""), (Cancelling, "images by ")):
        asked = type("Asked", (kind,), {"capabilities": frozenset(capabilities)})()
        given = refusal(context, asked)
        assert words in given and bool(words) == bool(given)


# ----------------------------------------------------------------------------------------------
# In a run


def test_a_run_goes_on_without_those_that_are_refused(patches, capable):
    models = {"broken": Cancelling(), "overflowing": Overflowing(), "sound": Plain()}
    results = evaluate(
        models, "reconstruction", patches, "smoke",
        precision="bfloat16", device="cpu", limit=4, cache=False,
    )  # fmt: skip
    assert {row.system for row in results.rows if row.value is not None} == {"sound"}
    reasons = {row.system: row.note for row in results.failures}
    assert "; use --precision float32" in reasons["broken"]
    assert "not finite" in reasons["overflowing"] and len(reasons) == 2


def test_the_packaged_models_pass(patches, tmp_path):
    context = small_context(patches, tmp_path, {})
    run = Evaluation(replace(context, precision="bfloat16"), [systems.load("ddim", None, CPU)])
    run.guard(["reconstruction"], lambda line: None)
    assert run.missing == {}
