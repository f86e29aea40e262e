"""Codes of which only the beginning is decoded: what --keep measures, and systems with `lengths`."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from colours import without_effnet
from sklearn.decomposition import PCA

from benchmarks import evaluate, systems
from benchmarks.commands.planned import collect
from benchmarks.core.job import Job
from benchmarks.core.runner.evaluation import rows
from benchmarks.runtime.calling import Batches
from benchmarks.runtime.choices import TaskOptions
from benchmarks.systems import Code, Part, System, SystemFailed
from benchmarks.systems.references import PixelsPCA
from benchmarks.tasks.reconstruction.reconstruction import BENCHMARK, BY_LENGTH, TABLE1
from diffae.system.errors import UserError
from reports.page.sheets import read_sheet

pytestmark = pytest.mark.usefixtures("no_effnet")
COUNT, DIM = 45, 3 * 32**2


class Bits(System):
    """The brightness of the first pixels, a binary digit a token: k digits are the middle of 2^-k."""

    name = title = fingerprint = "bits"
    capabilities = frozenset({"encode", "decode", "semantic"})
    image_size, latent_dim = 32, 30
    semantic_parts = (Part.of_tokens((6,), 2, width=5),)
    lengths = (1, 2, 4, 6)

    def encode_semantic(self, images):
        level = (brightness(images) * 64).long().clamp(0, 63)
        return (level[:, None] >> torch.arange(5, -1, -1)) % 2

    def decode(self, code, steps=100, keep=None):
        kept = code.semantic[:, :keep].float()
        powers = 0.5 ** torch.arange(1, kept.shape[1] + 1)
        return grey(kept @ powers + powers[-1] / 2)


def brightness(images):
    return (images[:, 0, 0, 0] + 1) / 2


def grey(unit):
    return (2 * unit - 1)[:, None, None, None].expand(-1, 3, 32, 32).clone()


class Noised(System):
    """The mean colour, a channel a number, and a tenth of x_T."""

    name = title = fingerprint = "noised"
    capabilities = frozenset({"encode", "decode", "semantic", "stochastic"})
    image_size, semantic_dim, latent_dim, lengths = 32, 3, 3 + DIM, (1, 3)

    def encode_semantic(self, images):
        return images.mean((2, 3))

    def encode_stochastic(self, images, semantic, steps):
        return 10 * (images - semantic[:, :, None, None])

    def decode(self, code, steps=100, *, keep=None):
        mean = code.semantic.clone()
        mean[:, keep or 3 :] = 0
        return mean[:, :, None, None] + code.x_T / 10


@pytest.fixture
def context(context):
    persons = np.arange(150) // 3
    context.dataset = replace(context.dataset, identities=persons)
    context.profile = context.profile.changed_by({"reconstruction.images": COUNT})
    return without_effnet(context)


def keeping(context, system, *keep):
    """Rows by (table, setting, metric)."""
    context.options = TaskOptions(keep=keep)
    found = rows(BENCHMARK, context, [system])
    return {(row.table, row.setting, row.metric): row for row in found}


def test_pixels_from_their_first_components(context):
    """As scikit-learn's; on the images of the fit, what is lost is the variance of the others."""
    context.profile = context.profile.changed_by(
        {"reconstruction.images": 90, "reconstruction.split": "train"}
    )
    images = context.select("train", 90)
    x = images.batch(np.arange(90))
    system = PixelsPCA(None, torch.device("cpu"))
    assert system.lengths == (1, 2, 4, 8, 16, 32, 64, 128, 256)
    system.fit([x])
    assert system.lengths == (1, 2, 4, 8, 16, 32, 64, 90)
    found = keeping(context, systems.as_system(system), 1, 4, 90)
    flat = x.flatten(1).double().numpy()
    eigenvalues = np.linalg.svd(flat - flat.mean(0), compute_uv=False) ** 2
    for k in (1, 4):
        pca = PCA(k, svd_solver="full").fit(flat)
        decoded = pca.inverse_transform(pca.transform(flat))
        mse = found[BY_LENGTH, str(k), "mse"].value
        assert mse == pytest.approx(np.square((flat - decoded) / 2).mean(), rel=1e-4)
        assert mse == pytest.approx(eigenvalues[k:].sum() / 4 / 90 / DIM, rel=1e-4)
    for metric in ("mse", "psnr", "ssim", "pd_effnet", "latent_dim"):
        ours, whole = found[BY_LENGTH, "90", metric], found[TABLE1, "", metric]
        assert (ours.value, ours.stderr) == (whole.value, whole.stderr)
    for k in ("1", "4"):  # no image is farther from a larger subspace
        row = found[BY_LENGTH, k, "worse_with_more"]
        assert (row.value, row.stderr) == (0, None)
        assert row.note.startswith("no error: the share is 0 of 90")
    assert (BY_LENGTH, "90", "worse_with_more") not in found


def test_numbers_bits_errors_and_what_more_makes_worse(context):
    found = keeping(context, systems.as_system(Bits()), 1, 2, 4)
    images = context.select("test", COUNT)
    x = (images.batch(np.arange(COUNT)).double().numpy() + 1) / 2
    first, mse, groups = x[:, 0, 0, 0], {}, images.groups
    for k in (1, 2, 4):
        decoded = (np.floor(first * 2**k) + 0.5) / 2**k
        mse[k] = np.square(x - decoded[:, None, None, None]).mean((1, 2, 3))
        row = found[BY_LENGTH, str(k), "mse"]
        assert row.value == pytest.approx(mse[k].mean(), rel=1e-4) and row.n == COUNT
        assert row.stderr == pytest.approx(clustered(mse[k], groups), rel=1e-3)
        psnr = found[BY_LENGTH, str(k), "psnr"]
        assert psnr.value == pytest.approx(-10 * np.log10(mse[k]).mean(), rel=1e-4)
        assert found[BY_LENGTH, str(k), "latent_dim"].value == 5 * k
        assert found[BY_LENGTH, str(k), "code_bits"].value == k
        assert found[BY_LENGTH, str(k), "mse"].measured_by["keep"] == k
    row = found[BY_LENGTH, "2", "worse_with_more"]
    worse = mse[4] > mse[2]
    assert 5 <= worse.sum() <= COUNT - 5
    assert row.value == pytest.approx(worse.mean())
    assert row.stderr == pytest.approx(clustered(worse.astype(float), groups), rel=1e-6)
    assert row.measured_by["longer"] == 4
    assert row.estimate.influences[0].units.startswith("persons")
    shorter, longer = (found[BY_LENGTH, k, "mse"].estimate for k in ("2", "4"))
    paired = longer.minus(shorter).stderr
    assert paired == pytest.approx(clustered(mse[4] - mse[2], groups), rel=1e-3)
    assert paired != pytest.approx(np.hypot(shorter.stderr, longer.stderr), rel=0.05)


def clustered(values, groups):
    """The standard error of a mean of images, by persons (Liang and Zeger, 1986)."""
    n, k = len(values), len(np.unique(groups))
    sums = np.array([(values - values.mean())[groups == g].sum() for g in np.unique(groups)])
    return np.sqrt(np.square(sums).sum() * k / (k - 1)) / n


def test_x_T_is_drawn_and_the_same_for_every_length(context):
    system = Noised()
    found = keeping(context, systems.as_system(system), 1, 3)
    images = context.select("test", COUNT)
    x, noise = images.batch(np.arange(COUNT)), system.random_x_T(images.order.tolist(), 0)
    for k in (1, 3):
        decoded = system.decode(Code(system.encode_semantic(x), noise), keep=k).clamp(-1, 1)
        expected = float(((decoded - x) / 2).square().mean())
        row = found[BY_LENGTH, str(k), "mse"]
        assert row.value == pytest.approx(expected, rel=1e-5)
        assert row.measured_by["x_T"] == "x_T random"
        assert found[BY_LENGTH, str(k), "latent_dim"].value == k
    assert found[BY_LENGTH, "3", "mse"].value == found[TABLE1, "x_T random", "mse"].value


def test_a_picture_shows_each_length(context):
    keeping(context, systems.as_system(Bits()), 2, 4)
    sheet = read_sheet(context.pictures / "reconstruction-by-length-bits.png")
    assert list(sheet.rows) == ["input", "first 2", "first 4"]
    images = context.select("test", 3).batch(np.arange(3))
    for row, k in ((1, 2), (2, 4)):
        for column, unit in enumerate(brightness(images).tolist()):
            level = round(255 * (int(unit * 2**k) + 0.5) / 2**k)
            assert np.abs(np.asarray(sheet.cell(row, column)).astype(int) - level).max() <= 1


def test_without_keep_there_is_no_such_row(context):
    assert not any(table == BY_LENGTH for table, *_ in keeping(context, Bits()))


def test_what_cannot_be_kept_is_a_row_or_a_line(patches):
    how = {"data": patches, "profile": "smoke", "stand_ins": True, "progress": False}
    with pytest.raises(UserError, match="^--keep 3: choose among 1, 2, 4, 6$"):
        evaluate(Bits(), "reconstruction", keep=[2, 3], **how)
    with pytest.raises(UserError, match="--keep: is of reconstruction, which is not asked for"):
        evaluate(Bits(), "probes", keep=2, **how)
    given = [Bits(), Noised(), "dummy-map"]
    found = evaluate(given, "reconstruction", keep=[2, 3], **how)
    said = {
        (row.system, row.setting): row.note
        for row in found.rows
        if row.table == BY_LENGTH and row.value is None
    }
    assert said == {
        ("bits", "3"): "it decodes the first 1, 2, 4, 6 of its code",
        ("noised", "2"): "it decodes the first 1, 3 of its code",
        ("dummy: map", ""): "its code is decoded as a whole",
    }


def test_a_dry_run_counts_a_decode_for_each_length(context):
    context.options = TaskOptions(keep=(1, 2, 6))
    system = systems.as_system(Bits())
    planned, _ = collect(context, ["reconstruction"], [system])
    calls = [
        (p.job.title, p.job.count, p.job.calls.decoder) for p in planned if isinstance(p.job, Job)
    ]
    assert calls.count(("decode, of the first of the code", COUNT, 1)) == 3
    assert calls.count(("decode", COUNT, 1)) == calls.count(("z_sem of test", COUNT, 0)) == 1


# ----------------------------------------------------------------------------------------------
# Systems with lengths


@pytest.mark.parametrize("wrong", [(0, 1), (1.0, 2.0), "12", 3])
def test_wrong_lengths_are_refused(wrong):
    with pytest.raises(SystemFailed, match="system 'bits', fields: "):
        systems.as_system(type("Wrong", (Bits,), {"lengths": wrong})())


@pytest.mark.parametrize(
    ("made_of", "most"),
    [
        ((Part((8,)),), 8),
        ((Part((4, 2)),), 4),
        ((Part.of_tokens((4, 2), 3),), 8),
        ((Part((5, None)),), 5),
        ((Part.of_tokens((None, 3), 2),), 0),
        ((Part((4,)), Part((26,))), 0),
    ],
)
def test_a_length_is_of_tokens_or_of_the_first_axis(made_of, most):
    fields = {"semantic_parts": made_of, "latent_dim": 120}
    if most:
        system = type("Kind", (Bits,), fields | {"lengths": [most]})()
        assert systems.as_system(system).lengths == (most,)
    longer = type("Longer", (Bits,), fields | {"lengths": [most + 1]})()
    with pytest.raises(
        SystemFailed, match=f"lengths \\({most + 1},\\) need a code that is one tensor"
    ):
        systems.as_system(longer)


def test_a_system_of_any_batch_is_told_what_to_keep():
    x = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0)) - 0.5
    for inner in (Bits(), Noised()):
        system = systems.as_system(inner)
        code = system.encode(x, 2)
        system.batches = Batches(2)
        for keep in inner.lengths:
            assert torch.equal(system.decode(code, 2, keep=keep), inner.decode(code, 2, keep=keep))
        assert torch.equal(system.decode(code, 2), inner.decode(code, 2))
