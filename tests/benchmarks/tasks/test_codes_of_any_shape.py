"""Every task on a code of every shape: known numbers, or a row that says why there is none."""

import math
from dataclasses import replace

import pytest
import torch
from colours import without_effnet
from lone_context import small_context
from torch.nn.functional import avg_pool2d, interpolate

from benchmarks import systems
from benchmarks.commands.planned import collect
from benchmarks.core.images import features_of, semantic_of
from benchmarks.core.registry import REGISTRY
from benchmarks.core.runner.evaluation import rows
from benchmarks.core.store import MemoryStore
from benchmarks.metrics.path_length import path_length
from benchmarks.systems.protocol.base import IN_WORDS
from benchmarks.systems.protocol.parts import (
    NO_DIRECTION,
    NOTHING_BETWEEN,
    tensors,
)
from benchmarks.tasks import denoising, interpolation, variation
from benchmarks.tasks.reconstruction import reconstruction
from diffae.data import open_dataset
from diffae.data.portraits import PortraitDrawing
from diffae.diffusion.interpolation import lerp

NAMES = ("dummy-map", "dummy-levels", "dummy-layers", "dummy-tokens", "dummy-stochastic")
TASKS = tuple(REGISTRY.own)


@pytest.fixture(scope="module")
def context(portraits, tmp_path_factory):
    changes = {
        "probes.train": 96,
        "fewshot.reference": 64,
        "fewshot.pool": 32,
        "fewshot.pu_unlabeled": 50,
        "unconditional.reference": 64,
        "samples.count": 32,
    }
    folder = tmp_path_factory.mktemp("run")
    data = replace(open_dataset(portraits, 32), truth=PortraitDrawing(0, 64))
    return without_effnet(small_context(data, folder, changes))


@pytest.fixture(scope="module")
def dummies():
    return [systems.load(name) for name in NAMES]


@pytest.fixture(scope="module")
def found(context, dummies, short_fits):
    """All rows of all tasks, by task and system."""
    context = replace(context, store=MemoryStore())
    table = {(task, name): [] for task in TASKS for name in NAMES}
    names = {system.title: system.name for system in dummies}
    for task in TASKS:
        for row in rows(REGISTRY.get(task), context, dummies):
            title = row.system.partition(",")[0].partition(" +")[0]
            if title in names:
                table[task, names[title]].append(row)
    return table


def values(found, task, name, metric):
    rows = [row for row in found[task, name] if row.table != reconstruction.CODEBOOKS]
    return {row.setting: row.value for row in rows if row.metric == metric}


def reconstructed(context):
    """The images that reconstruction is measured on."""
    selection = context.select("test", context.sizes(reconstruction.Sizes).images)
    return selection.batch(range(len(selection)))


def mse(x, y):
    """In [0, 1], of images in [-1, 1]."""
    return float((x - y).double().square().mean()) / 4


# Those that measure tokens too; others may say why they cannot.
OF_TOKENS = "reconstruction probes representation edits latent fewshot unconditional memorisation cost".split()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("task", TASKS)
def test_every_task_gives_numbers_or_the_reason(found, task, name):
    rows = found[task, name]
    assert rows and not any(row.failed for row in rows)
    if lacking := REGISTRY.get(task).needs - systems.load(name).capabilities:
        (row,) = rows
        reason = " or ".join(IN_WORDS[capability] for capability in sorted(lacking))
        assert row.value is None and f"cannot {reason}" in row.note
    elif not any(row.value is not None for row in rows):
        assert name == "dummy-tokens" and task not in OF_TOKENS, [row.note for row in rows]
        assert all(row.note for row in rows)


def test_latent_dim_counts_numbers_and_bits_tokens(found):
    sizes = {"dummy-map": 192, "dummy-levels": 4032, "dummy-layers": 192, "dummy-tokens": 3072}
    for name, size in sizes.items():
        assert values(found, "reconstruction", name, "latent_dim") == {"": size}
        bits = {"": 3072 * 4} if name == "dummy-tokens" else {}
        assert values(found, "reconstruction", name, "code_bits") == bits


def test_reconstructions_are_as_good_as_the_code_allows(found, context):
    x = reconstructed(context)
    for name, side in (("dummy-map", 4), ("dummy-layers", 8)):
        expected = mse(x, interpolate(avg_pool2d(x, side), scale_factor=side))
        assert expected > 1e-3
        assert values(found, "reconstruction", name, "mse")[""] == pytest.approx(expected, 1e-4)
    assert values(found, "reconstruction", "dummy-levels", "mse")[""] < 1e-13
    assert values(found, "reconstruction", "dummy-levels", "ssim")[""] == pytest.approx(1)
    assert 0 < values(found, "reconstruction", "dummy-tokens", "mse")[""] <= (1 / 30) ** 2
    stochastic = values(found, "reconstruction", "dummy-stochastic", "mse")
    within = mse(x, x.mean((2, 3), keepdim=True))
    assert stochastic["x_T inverted"] < 1e-12
    assert stochastic["x_T random"] == pytest.approx(within + 0.1**2 / 4, 0.02)


def test_between_levels_images_fade_into_each_other(context):
    """A pyramid is linear, so its path is that of the pixels."""
    selection = context.select("test", 6)
    x = selection.batch(range(6)).double()

    def squared(a, b):
        return (a - b).double().square().flatten(1).sum(1)

    t = torch.tensor([0.1, 0.5, 0.9])
    system = systems.load("dummy-levels")
    a, b = (system.encode(x[i::2].float()) for i in (0, 1))
    a, b = (code.each(lambda part: part.double()) for code in (a, b))
    ours = path_length(system.decode, a, b, squared, t, 1e-4, interpolation.interpolate)
    theirs = path_length(lambda y: y, x[::2], x[1::2], squared, t, 1e-4, lerp)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=0)


def test_what_varies_and_what_is_predicted_is_known(found, context):
    draws = context.sizes(variation.Sizes).draws
    c4 = math.sqrt(2 / (draws - 1)) * math.gamma(draws / 2) / math.gamma((draws - 1) / 2)
    spread = values(found, "variation", "dummy-stochastic", "pixel_std")["x_T varies"]
    assert spread == pytest.approx(c4 * 0.1 / 2, 0.02)
    selection = context.select("test", context.sizes(denoising.Sizes).images)
    x = selection.batch(range(len(selection)))
    predicted = values(found, "denoising", "dummy-stochastic", "mse")
    assert predicted
    for value in predicted.values():
        assert value == pytest.approx(mse(x, x.mean((2, 3), keepdim=True)), 1e-4)


def test_probes_read_what_the_protocol_says(found, context):
    readings = {
        name: {row.measured_by.get("reading") for row in found["probes", name]} for name in NAMES
    }
    assert readings == {
        "dummy-map": {"pooled over all but axis 0 of 3 x 8 x 8"},
        "dummy-levels": {"flat 3 x 8 x 8; flat 3 x 16 x 16; flat 3 x 32 x 32"},
        "dummy-layers": {"pooled over all but axis 1 of 4 x 48"},
        "dummy-tokens": {"histogram of 3 x 32 x 32 tokens of 16"},
        "dummy-stochastic": {None},
    }
    train = context.select("train", 20)
    jobs = [context.codes.features(systems.load(name), train) for name in NAMES]
    widths = [features_of(arrays).shape for arrays in context.store.read_all(jobs)]
    assert widths == [(20, 3), (20, 4032), (20, 48), (20, 16), (20, 3)]


def test_the_store_gives_codes_back_in_their_own_shape(context, dummies):
    selection = context.select("test", 70)  # two chunks
    x = selection.batch(range(70))
    for system in dummies:
        kept = semantic_of(context.store.read(context.codes.semantic(system, selection)))
        made = system.encode_semantic(x)
        assert type(kept) is type(made)
        pairs = zip(tensors(kept), tensors(made), strict=True)
        for ours, theirs in pairs:
            assert ours.dtype == theirs.dtype and torch.equal(ours, theirs)


def test_a_dry_run_says_the_same(context, dummies):
    refused = [tuple(one[:3]) for one in collect(context, TASKS, dummies)[1]]
    assert ("identity", "dummy: tokens", NO_DIRECTION) in refused
    assert ("interpolation", "dummy: tokens", NOTHING_BETWEEN) in refused
