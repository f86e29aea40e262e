"""Reconstruction of systems whose error is known in closed form."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from colours import without_effnet
from PIL import Image
from skimage.metrics import structural_similarity
from systems import Mixture, Pixels

from benchmarks.core import store
from benchmarks.core.runner.evaluation import rows
from benchmarks.systems.protocol.base import DECODE, ENCODE, STOCHASTIC
from benchmarks.tasks.reconstruction.pictures import caption
from benchmarks.tasks.reconstruction.reconstruction import (
    BENCHMARK,
    TABLE1,
    TABLE2,
)
from diffae.data import open_dataset

COUNT = 45  # test images of `patches`, in three chunks

INVERTED, RANDOM = "x_T inverted", "x_T random"


HALF = 0.5  # the contrast of a system that is wrong


@pytest.fixture
def context(context, monkeypatch):
    without_effnet(context)
    monkeypatch.setattr(store, "CHUNK", 16)
    context.profile = context.profile.changed_by(
        {"reconstruction.images": COUNT, "reconstruction.steps": (4, 8)}
    )
    return context


def run(context, system):
    """Rows by (table, setting, T, metric)."""
    found = list(rows(BENCHMARK, context, [system]))
    return {(r.table, r.setting, r.steps, r.metric): r for r in found}


def originals(context):
    order = context.select("test", COUNT)
    return order.batch(np.arange(COUNT)).double().numpy()


def test_an_inverted_x_T_gives_the_image_and_a_random_one_its_noise(context):
    found = run(context, Mixture(b=0.1))
    inverted, noisy = (found[TABLE1, name, None, "mse"] for name in (INVERTED, RANDOM))
    assert inverted.value == pytest.approx(0, abs=1e-10)
    assert found[TABLE1, INVERTED, None, "ssim"].value == pytest.approx(1, abs=1e-5)
    assert noisy.value == pytest.approx(0.1**2 / 4, rel=0.01)  # 0.05 in [0, 1]; nothing is clipped
    assert noisy.n == inverted.n == COUNT
    # The mean of 3,072 squares of N(0, 0.05): each image's own noise, so a relative spread of sqrt(2 / 3072).
    assert noisy.stderr == pytest.approx(noisy.value * np.sqrt(2 / 3072 / COUNT), rel=0.35)


def test_what_a_system_cannot_encode_in_its_code_is_lost(context):
    """a = 0: x_T carries all of an image, so that a random one leaves nothing of it but its size."""
    found = run(context, Mixture(a=0.0, b=0.1))
    image, noise = originals(context), 0.1**2
    assert found[TABLE1, INVERTED, None, "mse"].value == pytest.approx(0, abs=1e-10)
    expected = ((image**2).mean() + noise) / 4
    assert found[TABLE1, RANDOM, None, "mse"].value == pytest.approx(expected, rel=0.01)


def test_the_latent_size_is_that_of_what_is_kept(context):
    found = run(context, Mixture())
    assert found[TABLE1, INVERTED, None, "latent_dim"].value == 2 * 3072
    assert found[TABLE1, RANDOM, None, "latent_dim"].value == 3072


def test_a_random_x_T_belongs_to_its_image_and_to_the_seed(context):
    """The same two images in another order and in another chunk have the same noise; another seed
    has another.
    """
    received = {}

    class Spy(Mixture):
        def random_x_T(self, indices, seed):
            noise = super().random_x_T(indices, seed)
            received.update({(seed, i): x_T for i, x_T in zip(indices, noise, strict=True)})
            return noise

    run(context, Spy())
    selection = context.select("test", COUNT)
    assert {i for _, i in received} == set(selection.order.tolist())
    x_T = torch.stack([received[0, i] for i in selection.order.tolist()]).flatten(1)
    assert torch.equal(x_T.unique(dim=0).sort(0).values, x_T.sort(0).values)  # no two alike
    first = int(selection.order[0])
    assert torch.equal(received[0, first], Mixture().random_x_T([first], 0)[0])
    context.seed = 1
    run(context, Spy())
    shared = [i for seed, i in received if seed == 1]
    assert not any(torch.equal(received[1, i], received[0, i]) for i in shared)


def test_every_T_is_inverted_and_decoded_with_that_T(context):
    """decode adds c / T: inverted with the same T it cancels, with a random x_T it stays."""
    found = run(context, Mixture(b=0.01, c=0.4))
    for T in (4, 8):
        assert found[TABLE2, INVERTED, T, "mse"].value == pytest.approx(0, abs=1e-9)
        expected = ((0.4 / T) ** 2 + 0.01**2) / 4
        assert found[TABLE2, RANDOM, T, "mse"].value == pytest.approx(expected, rel=0.01)
        protocol = found[TABLE2, INVERTED, T, "mse"].measured_by
        assert (protocol["inversion_steps"], protocol["decoding_steps"]) == (T, T)
        protocol = found[TABLE2, RANDOM, T, "mse"].measured_by
        assert (protocol["inversion_steps"], protocol["decoding_steps"]) == (None, T)
    assert found[TABLE1, RANDOM, 8, "mse"].value == found[TABLE2, RANDOM, 8, "mse"].value
    assert (TABLE1, RANDOM, 4, "mse") not in found


def test_scores_are_means_over_images_of_what_others_compute(context):
    """scikit-image's SSIM over valid windows, and MSE and PSNR by definition: the PSNR is a mean of
    decibels.
    """
    found = run(context, Pixels(contrast=HALF))
    a, b = ((x + 1) / 2 for x in (originals(context), HALF * originals(context)))
    mse = ((a - b) ** 2).mean((1, 2, 3))
    psnr = -10 * np.log10(mse)
    ssim = [
        structural_similarity(
            x, y, channel_axis=0, data_range=1, gaussian_weights=True, use_sample_covariance=False
        )
        for x, y in zip(a, b, strict=True)
    ]
    for metric, values in (("mse", mse), ("psnr", psnr), ("ssim_valid", ssim)):
        record = found[TABLE1, "", None, metric]
        assert record.value == pytest.approx(np.mean(values), rel=1e-4)
        assert record.stderr == pytest.approx(np.std(values, ddof=1) / np.sqrt(COUNT), rel=1e-3)
    assert np.mean(psnr) > -10 * np.log10(mse.mean()) + 0.01  # or the two could be mixed up


def test_images_of_one_person_count_as_one(context):
    """Up to three of the 45 images are of one person: the error is that of the persons' sums."""
    persons = np.arange(150) % 50  # the images are independent, so only the grouping is at stake
    context.dataset = replace(context.dataset, identities=persons)
    record = run(context, Pixels(contrast=HALF))[TABLE1, "", None, "mse"]
    images = (originals(context) * (1 - HALF) / 2) ** 2
    values, groups = images.mean((1, 2, 3)), persons[context.select("test", COUNT).order]
    moved = values - values.mean()
    names, member = np.unique(groups, return_inverse=True)
    sums, k = np.bincount(member, weights=moved), len(names)
    expected = np.sqrt((sums**2).sum() * k / (k - 1)) / COUNT
    assert k < COUNT
    assert record.stderr == pytest.approx(expected, rel=1e-3)
    alone = np.std(values, ddof=1) / np.sqrt(COUNT)
    assert expected != pytest.approx(alone, rel=0.02)


def test_a_system_without_a_semantic_code_has_no_random_x_T(context):
    class Noise(Mixture):
        capabilities = frozenset({ENCODE, DECODE, STOCHASTIC})

        def encode_stochastic(self, images, semantic, steps):
            return images

        def decode(self, code, steps=100):
            return code.x_T

    assert {setting for _, setting, _, _ in run(context, Noise())} == {INVERTED}


def test_the_picture_of_the_worst_images_names_their_classes(tmp_path):
    """Files of two classes may have one name."""
    for number, place in enumerate(("train/cat", "train/dog", "test/cat", "test/dog")):
        (tmp_path / place).mkdir(parents=True)
        Image.new("RGB", (16, 16), (60 * number, 0, 0)).save(tmp_path / place / "0.png")
    data = open_dataset(tmp_path, image_size=16)
    captions = {data.name_of(i): caption(data, i) for i in range(len(data))}
    assert captions == {name: name.split("/", 1)[1] for name in captions}
    assert len(captions) == 4
    plain = replace(data, classes=None)
    assert {caption(plain, i) for i in range(4)} == {"0.png"}
