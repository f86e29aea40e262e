"""Behaviour common to all data sets: splits, batches, loading in threads."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from PIL import Image

from diffae.data import dataset, open_dataset
from diffae.data.fingerprint import digest_parts
from diffae.data.partition import seeded_partition
from diffae.system.errors import UserError


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("noise")
    rng = np.random.default_rng(0)
    for index in range(150):
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(
            folder / f"{index:03d}.png"
        )
    return open_dataset(folder, 16)


def test_batch_is_images_in_minus_one_to_one(data):
    images = torch.from_numpy(data.images([5, 2])).permute(0, 3, 1, 2).double()
    assert data.batch([5, 2]).dtype == torch.float32
    torch.testing.assert_close(data.batch([5, 2]).double(), images / 255 * 2 - 1, rtol=0, atol=1e-6)


def test_no_indices_give_no_images(data):
    assert data.images([]).shape == (0, 16, 16, 3)
    assert data.batch([]).shape == (0, 3, 16, 16)
    assert data.load_all([]).shape == (0, 16, 16, 3)


@pytest.mark.parametrize("indices", [[True, False], [0.0]])
def test_masks_and_floats_are_not_indices(data, indices):
    with pytest.raises(TypeError):
        data.images(np.array(indices))


def test_splits_divide_the_images(data):
    parts = [data.indices(split) for split in ("train", "valid", "test")]
    assert [len(part) for part in parts] == [90, 15, 45]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), data.indices("all"))


def test_unknown_split(data):
    with pytest.raises(UserError, match="split 'val' is unknown; choose one of train, valid, test"):
        data.indices("val")


def test_seed_decides_the_split(data):
    again, other = open_dataset(data.root, 16), open_dataset(data.root, 16, seed=1)
    np.testing.assert_array_equal(again.partition, data.partition)
    assert (other.partition != data.partition).any()
    assert other.fingerprint == data.fingerprint


def test_groups_are_never_divided_and_shares_hold():
    sizes = np.random.default_rng(0).integers(1, 30, 1000)
    groups = np.repeat(np.random.default_rng(1).permutation(5000)[:1000], sizes)
    partition = seeded_partition(groups, seed=0)
    assert len(np.unique(np.stack([groups, partition], axis=1), axis=0)) == 1000
    np.testing.assert_allclose(np.bincount(partition) / len(groups), [0.6, 0.1, 0.3], atol=0.002)


def test_digest_counts_boundaries():
    assert digest_parts([b"ab", b"c"]) != digest_parts([b"a", b"bc"])


def test_a_dataset_is_frozen_and_its_labels_must_fit(data):
    with pytest.raises(FrozenInstanceError):
        data.name = "other"
    with pytest.raises(ValueError, match="identities: 3 rows for 150 images"):
        replace(data, identities=np.arange(3))


def test_images_are_read_once_as_far_as_memory_goes(tmp_path, monkeypatch):
    """Of five images two are kept; a copy at another size reads its own."""
    rng = np.random.default_rng(0)
    for index in range(5):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(tmp_path / f"{index}.png")
    found, read = open_dataset(tmp_path, 8), []
    source = type(found.source).read
    monkeypatch.setattr(
        type(found.source), "read", lambda self, i: read.append(i) or source(self, i)
    )
    monkeypatch.setattr(dataset, "KEPT", 2 * 8 * 8 * 3)
    first = found.images(range(5))
    np.testing.assert_array_equal(found.images(range(5)), first)
    assert read == [0, 1, 2, 3, 4, 2, 3, 4]
    assert found.at(16).images([0]).shape == (1, 16, 16, 3) and read[-1] == 0
