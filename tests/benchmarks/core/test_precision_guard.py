"""The guard of lower precisions: what it measures and refuses, and that it runs once."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from lone_context import small_context

from benchmarks import evaluate, systems
from benchmarks.commands import dry_run
from benchmarks.core.profiles import PROFILES
from benchmarks.core.runner import precision_guard
from benchmarks.core.runner.evaluation import Evaluation
from benchmarks.core.runner.precision_guard import IMAGES, TOLERANCES, asked_of, deviations
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
        self.identity, self.decoded, self.threads = torch.eye(SIZE), [], set()

    def encode_semantic(self, images):
        return images.flatten(1)

    def decode(self, code, steps=100):
        self.decoded.append(steps)
        shifted = (code.semantic + self.offset) @ self.identity  # bfloat16 under autocast
        return (shifted.float() - self.offset).reshape(-1, 3, 32, 32)


class Cancelling(Plain):
    """The same, a small difference of large numbers: bfloat16 has steps of 1 from 128 to 256."""

    name = fingerprint = "cancelling"
    title, offset = "Cancelling", 200.0


def guarded(context, system, tasks=("reconstruction",), precision="bfloat16"):
    """The deviations of one system, and why it is refused, "" where it is not."""
    run = Evaluation(replace(context, precision=precision), [Checked(system.name, system, CPU)])
    run.guard(tasks, lambda line: None)
    return run.deviations.get(system.name), str(run.missing.get(system.title, ""))


# ----------------------------------------------------------------------------------------------
# What is compared, by closed forms


def test_images_are_compared_by_the_worst_of_them_in_grey_levels(patches):
    images = patches.batch(range(4))
    moved = images.clone()
    moved[0] += 1 / 127.5
    moved[2, :, :16] += 4 / 127.5  # half of its pixels: 4 / sqrt(2)
    found = deviations({"images": images}, {"images": moved}, images)
    assert found["images"] == pytest.approx(4 / 2**0.5, rel=1e-5)
    assert 0 < found["ssim"] < 1e-3


def test_an_image_that_is_far_off_may_move_by_the_same_share_of_its_error():
    """By 4 of 80 grey levels is by 1 of 20; an image that is nearer than 20 levels is not let off."""
    original = torch.zeros(2, 3, 8, 8)
    exact = torch.tensor([80.0, 10.0]).div(127.5).reshape(2, 1, 1, 1) * torch.ones(3, 8, 8)
    far, near = exact.clone(), exact.clone()
    far[0] += 4 / 127.5
    near[1] += 0.5 / 127.5
    for other, levels in ((far, 1.0), (near, 0.5)):
        found = deviations({"images": exact}, {"images": other}, original)
        assert found["images"] == pytest.approx(levels, rel=1e-4)
    assert deviations({"samples": exact}, {"samples": far}, original)["samples"] == pytest.approx(4)


def test_ssim_is_the_difference_of_the_means(patches):
    """One that is as far from the original as the other, elsewhere, has the same SSIM and differs
    in its pixels.
    """
    images = patches.batch(range(4))
    left, right = images.clone(), images.clone()
    left[..., :8] += 0.1
    right[..., 24:] += 0.1
    mirrored = torch.cat([images, images.flip(3)])
    found = deviations(
        {"images": torch.cat([left, right.flip(3)])},
        {"images": torch.cat([right, left.flip(3)])},
        mirrored,
    )
    assert found["images"] == pytest.approx(12.75 * 0.5**0.5, rel=1e-4)
    assert found["ssim"] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    ("exact", "other", "what", "share"),
    [
        ([[1.0], [-1.0]], [[1.1], [-0.9]], "semantic", 0.1),
        ([[11.0], [9.0]], [[11.1], [9.1]], "semantic", 0.1),  # of their spread, not of their size
        ([[2.0]], [[1.0]], "semantic", 0.5),  # one image has no spread
        ([[1.0], [1.0]], [[1.001], [1.001]], "semantic", 0.1),  # nor have two that are one
        ([[0.0], [0.0]], [[0.0], [0.0]], "semantic", 0.0),
        ([[0.0], [0.0]], [[0.0], [1e-9]], "semantic", 1.0),
        ([[1, 2], [3, 4]], [[1, 2], [3, 5]], "tokens", 0.25),
    ],
)
def test_codes_are_compared_by_how_far_they_are_apart(exact, other, what, share):
    a, b = torch.tensor(exact), torch.tensor(other)
    found = deviations({"semantic": a}, {"semantic": b}, torch.zeros(1))
    assert found == {what: pytest.approx(share, rel=1e-4)}
    levels = deviations({"semantic": (a, a)}, {"semantic": (a, b)}, torch.zeros(1))
    assert levels == found, "of several parts the worst"


def test_several_parts_are_compared_by_the_one_that_is_furthest_apart():
    one = torch.tensor([[1.0], [-1.0]])
    for moved in ((0.01, 0.1), (0.1, 0.01), (0.1, 0.0, 0.01)):
        exact, other = (one,) * len(moved), tuple(one + by for by in moved)
        found = deviations({"semantic": exact}, {"semantic": other}, torch.zeros(1))
        assert found["semantic"] == pytest.approx(0.1, rel=1e-4)


def test_steps_are_the_fewest_and_the_most_that_the_tasks_ask_for_of_a_solver():
    given = {
        "samples.solver": "fast",
        "samples.steps": (10,),
        "reconstruction.solver": "ddim",
        "reconstruction.beside": "fast",
        "reconstruction.beside_steps": (20,),
        "identity.solver": "fast",
        "identity.steps": 5,
    }
    profile = PROFILES["quick"].changed_by(given)
    assert asked_of(profile, ["probes"]) == [("fast", 10)]  # those of samples, which tasks share
    assert asked_of(profile, ["identity"]) == [("fast", 5), ("fast", 10)]
    asked = asked_of(profile, ["reconstruction"])
    assert sorted(asked) == [("ddim", 10), ("ddim", 100), ("fast", 10), ("fast", 20)]


def test_a_system_is_asked_with_every_solver_that_the_run_uses(context):
    """The baseline by two of them, one of which cannot invert; a system with one way has that alone."""
    context.profile = context.profile.changed_by(
        {"variation.solver": "heun", "variation.steps": 3, "samples.solver": "ddim"}
    )
    found, refused = guarded(context, systems.load("ddim", None, CPU).inner, ["variation"])
    assert refused == "" and {"T = 4, ddim", "T = 3, heun"} <= found.keys()
    assert len({of["images"] for of in found.values()}) == len(found)
    assert guarded(context, Plain(), ["variation"])[0].keys() == {"T = 4", "T = 3"}


# ----------------------------------------------------------------------------------------------
# Refusals


def test_a_sound_system_passes_and_its_deviation_is_known(context):
    """8 bits of a number: half a unit of the last is 2^-9 of it at most, 0.1 grey levels at
    mid-brightness.
    """
    found, refused = guarded(context, Plain())
    assert refused == "" and found.keys() == {"T = 2", "T = 4"}
    for of in found.values():
        assert of.keys() == {"images", "ssim", "semantic"}
        assert 0.02 < of["images"] < 127.5 / 2**9 and of["ssim"] < 1e-4
        assert of["semantic"] == 0, "its encoder multiplies nothing"


def test_a_system_that_bfloat16_breaks_is_refused_with_what_was_measured(context):
    found, refused = guarded(context, Cancelling())
    moved = found["T = 2"]["images"]
    images = context.select("test", IMAGES).batch(np.arange(IMAGES))
    rounded = (images - images.round()).square().flatten(1).mean(1).sqrt().max()
    assert moved == pytest.approx(127.5 * float(rounded), rel=1e-3)
    assert refused.startswith(
        "system 'cancelling', bfloat16: deviates from float32 at T = 2: images by "
    )
    assert f"grey levels (tolerated: {TOLERANCES['images']:g}), SSIM by 0." in refused
    assert refused.endswith("; use --precision float32")


def test_a_system_that_breaks_with_many_steps_alone_is_refused(context):
    class Drifting(Plain):
        name = fingerprint = "drifting"

        def decode(self, code, steps=100):
            images = super().decode(code, steps)
            rounded = (torch.ones(1, 1) @ torch.full((1, 1), 0.3)).float() - 0.3
            return images + 40 * steps * rounded  # 0.3 is not a number of 8 bits

    context.profile = context.profile.changed_by({"reconstruction.steps": (1, 4)})
    found, refused = guarded(context, Drifting())
    assert found["T = 1"]["images"] * 3 < found["T = 4"]["images"]
    assert "deviates from float32 at T = 4: " in refused


def test_tf32_on_a_cpu_is_float32_and_is_said_to_be(context):
    found, refused = guarded(context, Cancelling(), precision="tf32")
    assert refused == "" and {v for of in found.values() for v in of.values()} == {0.0}


def test_in_float32_nothing_is_asked(context):
    system = Cancelling()
    assert guarded(context, system, precision="float32") == (None, "")
    assert system.decoded == [] and not context.store.root.exists()


def test_a_system_that_bfloat16_makes_raise_is_told_so(context):
    class Overflowing(Plain):
        name = fingerprint = "overflowing"

        def decode(self, code, steps=100):
            image = super().decode(code, steps)
            exact = (torch.ones(1, 1) @ torch.full((1, 1), 0.3)).float() == 0.3
            return image if exact else image / 0

    found, refused = guarded(context, Overflowing())
    assert found is None and "not finite (in bfloat16, and not in float32: use --prec" in refused


def test_noise_from_pytorchs_generator_is_the_same_in_each_precision(context):
    class Noisy(Plain):
        name = fingerprint = "noisy"

        def encode_semantic(self, images):
            return images.flatten(1) + torch.randn(len(images), SIZE)

    before = torch.get_rng_state()
    assert guarded(context, Noisy())[1] == ""
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("capabilities", "compared"),
    [
        ({SEMANTIC}, {"semantic"}),
        ({SAMPLE}, {"samples"}),
        ({DECODE, STOCHASTIC}, {"x_T", "samples"}),
        ({DECODE, SEMANTIC}, {"semantic", "samples"}),
        ({ENCODE, DECODE, STOCHASTIC}, {"x_T", "images", "ssim"}),
    ],
)
def test_a_system_is_asked_for_what_it_can(capabilities, compared, context):
    class Able(Plain):
        name, fingerprint = "able", str(sorted(capabilities))

        def encode_stochastic(self, images, semantic, steps):
            return images

        def decode(self, code, steps=100):
            part = code.x_T if code.semantic is None else code.semantic
            return super().decode(Code(part.flatten(1).clamp(-1, 1)), steps)

        def sample(self, indices, seed, steps):
            return self.decode(Code(self.random_x_T(indices, seed)), steps)

    Able.capabilities = frozenset(capabilities)
    found, refused = guarded(context, Able())
    assert refused == "" and found["T = 2"].keys() == compared


# ----------------------------------------------------------------------------------------------
# In a run


def test_what_was_compared_once_is_kept(context):
    first, again, broken = Plain(), Plain(), Cancelling()
    found = guarded(context, first)
    assert sorted(set(first.decoded)) == [2, 4]
    assert guarded(context, again) == found and again.decoded == []
    guarded(context, again, precision="tf32")
    assert again.decoded, "another precision is another question"
    assert guarded(context, broken) == guarded(context, Cancelling())


@pytest.fixture(scope="module")
def baseline(patches, tmp_path_factory):
    """The packaged baseline after its guard in bfloat16: the evaluation, and how often its UNet was called."""
    context = small_context(patches, tmp_path_factory.mktemp("baseline"), {})
    system, calls = systems.load("ddim", None, CPU), []
    hook = system.networks()["UNet"].register_forward_hook(lambda *_: calls.append(1))
    run = Evaluation(replace(context, precision="bfloat16"), [system])
    run.guard(["reconstruction"], lambda line: None)
    hook.remove()
    return run, calls


def test_the_plan_counts_the_calls_that_are_made(context, baseline):
    """Counted while it runs, of the packaged baseline: both ways, in both precisions, by every
    solver asked for.
    """
    (run, calls), system = baseline, systems.load("ddim", None, CPU)
    lower = replace(context, precision="bfloat16")
    planned, _ = dry_run.collect(lower, ("reconstruction",), [system])
    works = [work for name, _, work in planned if name == "precision"]
    assert len(works) == len(run.deviations["ddim"]) and works[0].images == IMAGES
    assert sum(work.calls.decoder for work in works) == len(calls)
    assert len(calls) == 2 * sum(2 * work.steps for work in works), "one a step, both ways"
    assert not any(work.calls.encoder or work.calls.latent for work in works)
    exact, _ = dry_run.collect(context, ("reconstruction",), [system])
    assert exact and all(name != "precision" for name, *_ in exact)


def test_a_run_goes_on_without_the_one_that_is_refused(patches, tmp_path, capable):
    out = tmp_path / "run"
    results = evaluate(
        {"sound": Plain(), "broken": Cancelling()}, "reconstruction", patches, "smoke", out,
        precision="bfloat16", device="cpu", limit=4, cache=False,
    )  # fmt: skip
    values = {row.system for row in results.rows if row.value is not None}
    assert values == {"sound"}
    (failure,) = results.failures
    assert failure.system == "broken" and "; use --precision float32" in failure.note
    said = json.loads((out / "run.json").read_text())
    assert said["precision_tolerance"] == TOLERANCES
    assert said["precision_deviation"] == dict(results.precision_deviation)
    moved = {name: of["T = 4"]["images"] for name, of in results.precision_deviation.items()}
    assert moved["plain"] < TOLERANCES["images"] < moved["cancelling"]
    (failed,) = said["failed"]
    assert failed["system"] == "broken" and failed["reason"] == failure.note
    assert not any("precision_deviation" in fields for fields in results.protocols.values())


def test_each_system_is_checked_whichever_are_refused_before_it(patches, capable):
    results = evaluate(
        {"broken": Cancelling(), "as broken": Cancelling(), "sound": Plain()}, "reconstruction",
        patches, "smoke",
        precision="bfloat16", device="cpu", limit=2, cache=False,
    )  # fmt: skip
    assert {row.system for row in results.failures} == {"broken", "as broken"}
    assert {row.system for row in results.rows if row.value is not None} == {"sound"}


def test_the_packaged_models_are_far_within_what_is_tolerated(baseline):
    """They are what the tolerances were measured on."""
    run, _ = baseline
    assert run.missing == {}
    for of in run.deviations["ddim"].values():
        for what, value in of.items():
            assert 0 < value < TOLERANCES[what] / 1.5, what


def test_a_deviation_is_said_beside_its_tolerance():
    assert "0.5 grey levels (tolerated: 4)" in precision_guard.in_words("images", 0.5)
    assert IMAGES <= 8 and np.isfinite(list(TOLERANCES.values())).all()
