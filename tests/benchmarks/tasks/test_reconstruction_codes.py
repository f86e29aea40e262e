"""Table 1 on codes and sets of reconstructions: sizes, codebooks, Frechet distance, image sizes."""

import math
from dataclasses import replace

import numpy as np
import pytest
from colours import without_effnet
from scipy.linalg import sqrtm
from scipy.stats import entropy
from torch.nn.functional import avg_pool2d, interpolate

from benchmarks import systems
from benchmarks.core import store
from benchmarks.core.codes import embedded
from benchmarks.core.runner.rows import rows
from benchmarks.metrics.frechet_jackknife import BLOCKS, influences, shares_of
from benchmarks.metrics.frechet_pairs import paired_jackknife
from benchmarks.systems.protocol.base import DECODE, ENCODE, SEMANTIC, Code, System
from benchmarks.systems.protocol.parts import Part
from benchmarks.tasks.reconstruction.reconstruction import BENCHMARK, CODEBOOKS, TABLE1
from benchmarks.tasks.shared.codebook_use import Use, _counts, uses
from reports.records.record import Distinct
from reports.records.uncertainty import error

COUNT = 45


@pytest.fixture
def context(context):
    context.profile = context.profile.changed_by({"reconstruction.images": COUNT})
    return without_effnet(context)


def run(context, system):
    """Rows by (table, setting, metric)."""
    found = list(rows(BENCHMARK, context, [system]))
    assert not any(row.value is None and row.note != "the value is infinite" for row in found)
    return {(row.table, row.setting, row.metric): row for row in found}


class Halves(System):
    """Two maps of tokens: whether a pixel is bright, at full size and at half: few codes of many
    are used
    """

    name = title = fingerprint = "halves"
    capabilities = frozenset({ENCODE, DECODE, SEMANTIC})
    image_size, latent_dim = 32, 32**2 + 16**2
    semantic_parts = (Part.of_tokens((32, 32), 8), Part.of_tokens((16, 16), 4))

    def encode_semantic(self, images):
        grey = images.mean(1)
        return 2 * (grey > 0).long(), 1 + (avg_pool2d(grey, 2) > 0.2).long()

    def decode(self, code, steps=100):
        return (code.semantic[0][:, None].float() - 1).expand(-1, 3, -1, -1).contiguous()


def test_use_and_perplexity_of_each_codebook(context):
    found = run(context, systems.as_system(Halves()))
    images = context.select("test", COUNT).batch(np.arange(COUNT))
    for name, size, tokens in zip(
        ("part 1", "part 2"), (8, 4), Halves().encode_semantic(images), strict=True
    ):
        shares = np.bincount(tokens.flatten().numpy(), minlength=size) / tokens.numel()
        assert found[CODEBOOKS, name, "code_bits"].value == math.log2(size)
        assert found[CODEBOOKS, name, "codebook_use"].value == pytest.approx(2 / size)
        row = found[CODEBOOKS, name, "perplexity"]
        assert row.value == pytest.approx(np.exp(entropy(shares)), rel=1e-9)
    assert found[TABLE1, "", "code_bits"].value == 32**2 * 3 + 16**2 * 2
    assert found[TABLE1, "", "bits_per_pixel"].value == pytest.approx(3 + 2 / 4)
    assert found[TABLE1, "", "compression"].value == pytest.approx(3 * 1024 / 1280)


def test_bits_of_a_code_and_of_the_whole_are_two_numbers_where_there_is_one_codebook(
    context, tmp_path
):
    """A file of records takes no number twice."""
    found = run(context, systems.load("dummy-tokens"))
    distinct = Distinct(tmp_path / "records.csv")
    for row in found.values():
        distinct.add(row, "a row")
    assert found[CODEBOOKS, "codebook", "code_bits"].value == 4
    assert found[TABLE1, "", "code_bits"].value == 3 * 32**2 * 4


def test_the_error_of_a_perplexity_is_that_of_new_images():
    """Images whose share of a code scatters: the jackknife's error is the spread over draws of images."""
    rng, found, errors = np.random.default_rng(0), [], []
    for _ in range(200):
        p = rng.beta(2, 3, size=60)
        tokens = (rng.random((60, 50)) < p[:, None]).astype(np.int64)
        use = Use("", _counts(tokens, np.arange(60) % BLOCKS, 2))
        found.append(use.perplexity)
        errors.append(math.sqrt(np.square(use.perplexity_influences()).sum()))
    assert np.mean(errors) == pytest.approx(np.std(found), rel=0.12)


def test_the_error_of_a_perplexity_has_each_image_in_its_block_whatever_the_chunks(
    context, monkeypatch
):
    monkeypatch.setattr(store, "CHUNK", 16)
    selection = context.select("test", COUNT)
    use, _ = uses(context, systems.as_system(Halves()), selection)
    tokens = Halves().encode_semantic(selection.batch(np.arange(COUNT)))[0].numpy()
    blocks = selection.blocks(BLOCKS)
    whole, *without = (
        np.exp(entropy(np.bincount(tokens[blocks != block].ravel(), minlength=8)))
        for block in range(-1, BLOCKS)
    )
    parts = influences(whole, np.array(without), shares_of(blocks))
    assert error(use.uncertainty(selection)).stderr == pytest.approx(np.linalg.norm(parts))


def test_a_system_without_codebooks_has_no_such_rows(context):
    found = run(context, systems.load("dummy-map"))
    assert not any(table == CODEBOOKS for table, *_ in found)
    assert (TABLE1, "", "bits_per_pixel") not in found
    assert found[TABLE1, "", "compression"].value == 16


def test_the_distance_of_reconstructions_is_that_of_heusel_et_al(context):
    context.networks, system = replace(context.networks), Halves()  # with EfficientNet-lite0
    row = run(context, system)[TABLE1, "", "rfd_effnet"]
    selection = context.select("test", COUNT)
    images = selection.batch(np.arange(COUNT))
    ours, theirs = (
        embedded(some, context.networks.features[0]).astype(np.float64)
        for some in (system.decode(system.encode(images)), images)
    )
    (mean, cov), (other_mean, other_cov) = (
        (x.mean(0), np.cov(x, rowvar=False)) for x in (ours, theirs)
    )
    root = sqrtm(cov @ other_cov + 1e-12 * np.eye(len(cov))).real
    expected = np.square(mean - other_mean).sum() + np.trace(cov + other_cov - 2 * root)
    assert row.value == pytest.approx(expected, rel=1e-3)
    pairs = paired_jackknife(ours, theirs, selection.blocks(BLOCKS))
    assert row.stderr == pytest.approx(np.linalg.norm(pairs.influences), rel=1e-3)
    assert "with so few images" in row.note


def test_perfect_reconstructions_are_at_no_distance(context):
    row = run(context, systems.load("dummy-perfect"))[TABLE1, "", "rfd_effnet"]
    assert row.value == pytest.approx(0, abs=1e-4)


# ----------------------------------------------------------------------------------------------
# Systems of other sizes than that of the comparison


class Larger(System):
    """Takes 48 px, gives back what it was given"""

    name = title = fingerprint = "larger"
    capabilities = frozenset({ENCODE, DECODE, SEMANTIC})
    image_size, latent_dim = 48, 3 * 48**2

    def encode_semantic(self, images):
        assert images.shape[2:] == (48, 48)
        return images.flatten(1)

    def decode(self, code: Code, steps=100):
        return code.semantic.reshape(-1, 3, 48, 48)


def test_a_larger_system_runs_at_its_size_and_is_compared_at_the_others(context):
    """The paper's rule for Table 1: others at 256 px, compared at 128 px."""
    found = run(context, Larger())
    selection = context.select("test", COUNT)
    originals = selection.batch(np.arange(COUNT))
    from_48 = interpolate(
        selection.dataset.at(48).batch(selection.order), (32, 32), mode="bilinear", antialias=True
    )
    mse = ((from_48.clamp(-1, 1) - originals) / 2).square().mean()
    assert found[TABLE1, "", "mse"].value == pytest.approx(float(mse), rel=1e-4)
    assert mse > 1e-5
    assert found[TABLE1, "", "compression"].value == 1
    model = found[TABLE1, "", "mse"].measured_by.get("model", {})
    assert model == {"run_at": 48, "compared_at": "32, bilinear with antialiasing"}


def test_a_system_of_the_size_of_the_comparison_says_nothing_of_sizes(context):
    row = run(context, systems.load("dummy-perfect"))[TABLE1, "", "mse"]
    assert "run_at" not in row.measured_by.get("model", {})


def test_images_of_another_size_are_the_same_images(context):
    selection = context.select("test", 3)
    larger = selection.seen_by(Larger())
    assert larger.batch(np.arange(3)).shape == (3, 3, 48, 48)
    assert np.array_equal(larger.order, selection.order) and larger.key != selection.key
    assert selection.seen_by(systems.load("dummy-perfect")).dataset is selection.dataset
