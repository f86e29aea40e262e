"""Data whose images are all test images: half of them serve to learn from, where that is needed."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import systems
from benchmarks.core.registry import REGISTRY
from benchmarks.core.runner.evaluation import rows
from diffae.data.partition import HALVED, TEST


@pytest.fixture
def all_test(context):
    nothing = np.full(len(context.dataset), TEST, np.int8)
    return replace(context, dataset=replace(context.dataset, partition=nothing))


def test_half_of_the_persons_serve_to_learn_from(context, all_test):
    """In the benchmarks that need it alone; keys and protocols differ from those of all images."""
    assert context.with_training_images().dataset is context.dataset
    persons = np.arange(len(all_test.dataset)) // 3
    all_test.dataset = replace(all_test.dataset, identities=persons)
    fits, plain = (REGISTRY.get(name).context_of(all_test) for name in ("probes", "variation"))
    assert plain.dataset is all_test.dataset
    partition = fits.dataset.partition
    assert np.abs(np.bincount(partition) - [60, 15, 75]).max() < 3  # whole persons of 150 images
    assert all(len({*partition[persons == person]}) == 1 for person in {*persons})
    keys = [here.select("test", 9).key for here in (fits, plain)]
    assert keys[0] != keys[1] and fits.protocol(n=1) != plain.protocol(n=1)
    assert (replace(all_test, seed=1).with_training_images().dataset.partition != partition).any()


@pytest.mark.usefixtures("no_effnet")
def test_numbers_of_codes_are_of_all_test_images(all_test):
    records = list(rows(REGISTRY.get("latent"), all_test, [systems.load("dummy-map")]))
    of_space = [record for record in records if record.table == "latent_space"]
    assert of_space and all("of test images" in record.note for record in of_space)
    measured = [record for record in of_space if record.value is not None]
    assert {record.n for record in measured} == {len(all_test.dataset)}
    moved = [record for record in records if record not in of_space and record.value is not None]
    halves = [record for record in moved if record.table != "latent_equivariance"]
    assert halves and all(HALVED in record.note for record in halves)
